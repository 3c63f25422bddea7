"""`vct build --output`: what a recipe's output format says, in a directory of the user's own.

Also what becomes of hard links on their way from a command to an image and its exports.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.system.workshop import Workshop
from vct.build import store
from vct.build.formats import description
from vct.build.formats.tree import tree_facts
from vct.drivers import process

FORMATS = {"tar.zst": ".tar.zst", "lxc": "-lxc", "incus": "-incus", "squashfs": ".squashfs"}
LINKS = """\
run:
  - echo one >/etc/one; ln /etc/one /etc/two
  - echo three >/etc/three
  - ln /etc/three /etc/four"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="module")
def built(workshop: Workshop, place: Path) -> dict[str, Any]:
    """What `vct build --output` said for a recipe of each format."""
    found = {}
    for form, ending in FORMATS.items():
        name = f"as{ending.replace('.', '-')}"
        level = "" if form == "squashfs" else ", compression: 1"
        workshop.write(name, f"{LINKS}\noutput: {{format: {form}{level}}}")
        found[form] = workshop.json("build", name, "--output", str(place))
    return found


@pytest.mark.parametrize("form", FORMATS)
def test_it_works(form: str, built: dict[str, Any], workshop: Workshop) -> None:
    base, image = built[form]
    assert base["output"] is None
    assert image["output"].endswith(f"{image['name']}-amd64{FORMATS[form]}")
    written = Path(image["output"])
    beside = written.with_name(written.name + description.SUFFIX)
    told = written / description.INSIDE if written.is_dir() else beside
    described = description.parse(told.read_bytes(), str(told))
    assert (described.format, described.digest) == (form, image["digest"])
    process.run(
        ["sha256sum", "--check", "SHA256SUMS" if written.is_dir() else f"{written.name}.sha256"],
        cwd=written if written.is_dir() else written.parent,
    )


def test_the_store_keeps_a_directory_of_what_is_exported(
    built: dict[str, Any], workshop: Workshop
) -> None:
    kept = {one.name: one.format for one in store.list_images(workshop.images)}
    assert {kept[built[form][1]["name"]] for form in ("tar.zst", "lxc", "incus")} == {"directory"}
    assert kept[built["squashfs"][1]["name"]] == "squashfs"


def test_a_second_time_there_is_nothing_to_do(
    built: dict[str, Any], workshop: Workshop, place: Path
) -> None:
    name = built["lxc"][1]["name"]
    before = (place / f"{name}-amd64-lxc" / "rootfs.tar.xz").stat()
    done = workshop.vct("build", name, "--output", str(place))
    assert "is there already:" in done.stdout
    assert (place / f"{name}-amd64-lxc" / "rootfs.tar.xz").stat() == before


def test_hard_links_of_a_command_are_in_the_image(
    built: dict[str, Any], workshop: Workshop
) -> None:
    root = store.find_image(workshop.images, built["lxc"][1]["name"], "amd64").root
    assert (root / "etc" / "one").samefile(root / "etc" / "two")
    assert (root / "etc" / "three").samefile(root / "etc" / "four")  # of a layer below


def test_hard_links_are_in_every_format(
    built: dict[str, Any], workshop: Workshop, tmp_path: Path
) -> None:
    whole = store.find_image(workshop.images, built["lxc"][1]["name"], "amd64")
    digest = tree_facts(whole.root).digest  # which hard links are part of
    packed = built["squashfs"][1]["output"]
    process.run(["unsquashfs", "-quiet", "-no-progress", "-dest", str(tmp_path / "root"), packed])
    assert tree_facts(tmp_path / "root").digest == digest
    for form in ("tar.zst", "lxc", "incus"):
        name = f"back-{FORMATS[form].strip('.-').replace('.', '-')}"
        workshop.json("image", "import", built[form][1]["output"], "--name", name)
        root = store.find_image(workshop.images, name, "amd64").root
        assert (root / "etc" / "three").samefile(root / "etc" / "four")
