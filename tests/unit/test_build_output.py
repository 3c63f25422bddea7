"""What `vct build --output` writes, and what it finds there already. No image is exported here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_build_store import add
from vct.build import store
from vct.build.events import Progress
from vct.build.formats import description, export
from vct.build.formats.description import Description
from vct.build.formats.output import (
    Output,
    Written,
    is_kept_otherwise,
    planned_outputs,
    write_output,
)
from vct.errors import InputError, RefusedError, UsageError
from vct.model.recipe import Recipe, parse_recipe

BUILT = "2026-01-01T00:00:00+00:00"  # as the store's images of these tests


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A store with the image `tiny`."""
    store.prepare(tmp_path / "images")
    add(tmp_path / "images")
    return tmp_path / "images"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was asked of export, which does nothing."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(export, "export", lambda _image, **given: asked.append(given))
    return asked


def recipe(output: str) -> Recipe:
    text = f"name: tiny\nkind: node\nfrom: base\noutput: {output}\n"
    return parse_recipe(text, Path("/recipes/tiny.yaml"))


def planned(output: str, place: Path) -> Output:
    [one] = planned_outputs([recipe(output)], place)
    return one


def describe(images: Path, file: Path, **changes: object) -> None:
    """Write the description of an earlier export of `tiny` as an image for Incus or as tar.zst."""
    image = store.find_image(images, "tiny", "amd64")
    fields: dict[str, Any] = {
        "name": "tiny",
        "arch": "amd64",
        "kind": "node",
        "format": "tar.zst",
        "stored": "directory",
        "digest": image.digest,
        "tree": "0" * 64,
        "size": 1,
        "entries": 1,
        "built": BUILT,
        "files": {},
    }
    file.write_text(description.render(Description(**fields | changes)))


def write(images: Path, output: Output) -> Written:
    events: list[Progress] = []
    return write_output(images, output, report=events.append)


def test_it_works(images: Path, place: Path, exported: list[dict[str, Any]]) -> None:
    output = planned("{format: tar.zst}", place)
    assert write(images, output) == Written(output=output, new=True)
    assert exported[0]["target"] == place / "tiny-amd64.tar.zst"
    assert (exported[0]["format"], exported[0]["level"]) == ("tar.zst", None)


@pytest.mark.parametrize(
    ("output", "name", "level"),
    [
        ("{format: directory}", "tiny-amd64", None),
        ("{format: squashfs, compression: 9}", "tiny-amd64.squashfs", None),  # packed so already
        ("{format: tar.zst, compression: 19}", "tiny-amd64.tar.zst", 19),
        ("{format: incus, compression: 22}", "tiny-amd64-incus", 22),
        ("{format: lxc, compression: 9}", "tiny-amd64-lxc", 9),
        ("{format: lxc}", "tiny-amd64-lxc", None),
    ],
)
def test_a_recipes_format_decides(output: str, name: str, level: int | None, place: Path) -> None:
    found = planned(output, place)
    assert (found.target, found.level) == (place / name, level)


@pytest.mark.parametrize(
    "output", ["{format: lxc, compression: 10}", "{format: tar.zst, compression: 20}"]
)
def test_a_level_that_the_format_has_not_is_told_with_the_recipes_line(
    output: str, place: Path
) -> None:
    with pytest.raises(InputError, match="has no compression level") as caught:
        planned(output, place)
    assert (caught.value.line, caught.value.key) == (4, "output.compression")


def test_a_directory_that_is_not_there_is_told_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no directory"):
        planned_outputs([recipe("{format: lxc}")], tmp_path / "none")


def test_what_vct_did_not_write_is_left_alone(place: Path) -> None:
    (place / "tiny-amd64.tar.zst").write_text("mine")
    with pytest.raises(RefusedError, match="is there already"):
        planned("{format: tar.zst}", place)


def test_another_images_export_is_left_alone(images: Path, place: Path) -> None:
    (place / "tiny-amd64-lxc").mkdir()
    describe(images, place / "tiny-amd64-lxc" / "image.json", name="other", format="lxc")
    with pytest.raises(RefusedError, match="is there already"):
        planned("{format: lxc}", place)


def test_what_is_written_already_is_not_written_again(
    images: Path, place: Path, exported: list[dict[str, Any]]
) -> None:
    (place / "tiny-amd64.tar.zst").write_text("packed")
    describe(images, place / "tiny-amd64.tar.zst.json")
    assert write(images, planned("{format: tar.zst}", place)).new is False
    assert exported == []


def test_an_earlier_making_is_not_overwritten(images: Path, place: Path) -> None:
    (place / "tiny-amd64.tar.zst").write_text("packed")
    describe(images, place / "tiny-amd64.tar.zst.json", built="2025-01-01T00:00:00+00:00")
    with pytest.raises(RefusedError, match="an earlier tiny, built 2025-01-01") as caught:
        write(images, planned("{format: tar.zst}", place))
    assert "remove it" in caught.value.hint
    assert json.loads((place / "tiny-amd64.tar.zst.json").read_text())["built"].startswith("2025")


@pytest.mark.parametrize(
    ("form", "otherwise"),
    [("directory", False), ("squashfs", False), ("tar.zst", True), ("lxc", True), ("incus", True)],
)
def test_what_the_store_does_not_keep_is_known(form: str, otherwise: bool) -> None:
    assert is_kept_otherwise(recipe(f"{{format: {form}}}")) is otherwise
