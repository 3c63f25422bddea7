"""What a build writes down: packages, and what the mirror could not serve at that time."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from vct.build import record
from vct.build.bill import Package, render
from vct.build.mirror import MAX_AGE_S, LeftOut, Snapshot
from vct.build.store import Image

SECURITY = LeftOut(source="deb x bookworm-security main", suite="bookworm-security", reason="sync")
LESS = Package(
    name="less", version="590", arch="i386", source="less", source_version="590", size_kib=1
)


def snapshot(*left_out: LeftOut, taken: float = 0.0) -> Snapshot:
    return Snapshot(
        arch="i386",
        directory=Path("/none"),
        taken=taken or time.time(),
        used=(),
        left_out=left_out,
        releases=(),
        options=(),
    )


@pytest.fixture
def image(tmp_path: Path) -> Image:
    (tmp_path / "root").mkdir()
    return Image(
        name="base",
        arch="i386",
        digest="d" * 64,
        format="directory",
        path=tmp_path / "root",
        size_mib=1.0,
        built="2026-01-01T00:00:00+00:00",
        made="m",
        seconds=1.0,
        packages=("less=590", "apt=2:1"),
        manifest={},
        layers={},
    )


def write(image: Image, mirror: Snapshot | None, **more: object) -> None:
    told = {"mirror": record.mirror_facts(mirror) if mirror else None, **more}
    (image.path.parent / "record.json").write_text(json.dumps(told))


def test_it_works(image: Image) -> None:
    write(image, snapshot(SECURITY), installed=render([LESS]))
    assert record.packages_of(image) == [LESS]
    assert record.left_out(image) == ("bookworm-security",)


def test_an_image_that_has_all_is_never_stale(image: Image) -> None:
    write(image, snapshot(taken=1.0))
    assert record.stale(image, refresh=True) == ""


def test_an_image_that_lacks_something_is_stale_after_a_day(image: Image) -> None:
    write(image, snapshot(SECURITY))
    assert record.stale(image) == ""
    write(image, snapshot(SECURITY, taken=time.time() - MAX_AGE_S))
    assert record.stale(image).startswith("bookworm-security could not be had from the mirror on")


def test_it_is_stale_at_once_on_request(image: Image) -> None:
    write(image, snapshot(SECURITY))
    assert record.stale(image, refresh=True)


def test_looking_again_at_the_same_mirror_is_enough_for_another_day(image: Image) -> None:
    write(image, snapshot(SECURITY, taken=1.0), installed=render([LESS]))
    assert record.looked_again(image, snapshot(SECURITY))
    assert record.stale(image) == ""
    assert record.packages_of(image) == [LESS]


def test_a_mirror_that_has_it_now_makes_the_image_anew(image: Image) -> None:
    write(image, snapshot(SECURITY, taken=1.0))
    assert not record.looked_again(image, snapshot())


def test_an_imported_image_knows_names_and_versions(image: Image) -> None:
    write(image, None)
    assert [(one.name, one.version) for one in record.packages_of(image)] == [
        ("less", "590"),
        ("apt", "2:1"),
    ]
    assert record.left_out(image) == ()


def test_a_layers_bill_can_be_read_again(tmp_path: Path) -> None:
    record.write_bill(tmp_path, [LESS], snapshot(SECURITY))
    found = record.read_bill(tmp_path)
    assert found is not None
    assert [one["name"] for one in found["packages"]] == ["less"]
    assert found["mirror"]["left_out"][0]["suite"] == "bookworm-security"


def test_a_layer_without_packages_has_no_bill(tmp_path: Path) -> None:
    assert record.read_bill(tmp_path) is None
