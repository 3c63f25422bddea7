"""Images carried away and back: every format, bad files, and nothing half-done.

A tiny image, imported from a tree that the tests make, goes through every format.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.system.exchange import CAPABILITY, Shop, digest_of, is_untouched, make_shop
from vct.build import store
from vct.drivers import process

FORMATS = ("directory", "tar.zst", "squashfs", "lxc", "incus")
FAST = {"tar.zst": "3", "squashfs": "1", "lxc": "0", "incus": "1"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make_shop(tmp_path_factory.mktemp("exchange"))


@pytest.fixture(scope="module")
def exports(shop: Shop) -> dict[str, Any]:
    """The tiny image in every format; what vct said about each."""
    directory = shop.root / "exports"
    directory.mkdir()
    found = {}
    for form in FORMATS:
        level = ("--compression-level", FAST[form]) if form in FAST else ()
        found[form] = shop.json(
            shop.origin, "image", "export", "tiny", "--format", form, "--output", str(directory),
            *level,
        )  # fmt: skip
    return found


def test_it_works(shop: Shop, exports: dict[str, Any]) -> None:
    image = store.find_image(shop.origin, "tiny", "amd64")
    assert {told["tree"] for told in exports.values()} == {digest_of(image)}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("stored", ["directory", "squashfs"])
def test_an_export_comes_back_as_the_same_tree(
    shop: Shop, exports: dict[str, Any], form: str, stored: str
) -> None:
    told = shop.json(
        shop.other, "image", "import", exports[form]["path"], "--format", stored,
        "--name", f"tiny-{stored}",
    )  # fmt: skip
    image = store.find_image(shop.other, f"tiny-{stored}", "amd64")
    assert (image.digest, image.format) == (told["digest"], stored)
    if stored == "directory":
        assert digest_of(image) == exports[form]["tree"]
        assert (image.root / "odd" / "file").stat().st_uid == 1234
        assert (image.root / "odd" / "file").samefile(image.root / "odd" / "again")
        assert os.getxattr(image.root / "odd" / "file", "security.capability") == CAPABILITY
    again = shop.json(
        shop.other, "image", "export", f"tiny-{stored}", "--format", "tar.zst",
        "--output", str(shop.root / f"{form}-{stored}.tar.zst"), "--compression-level", "1",
    )  # fmt: skip
    assert again["tree"] == exports[form]["tree"]


@pytest.mark.parametrize("form", ["tar.zst", "squashfs", "lxc", "incus"])
def test_the_same_image_gives_the_same_bytes(
    shop: Shop, exports: dict[str, Any], form: str
) -> None:
    again = shop.json(
        shop.origin, "image", "export", "tiny", "--format", form,
        "--output", str(shop.root / f"again-{form}"), "--compression-level", FAST[form],
    )  # fmt: skip
    first = [facts["sha256"] for facts in exports[form]["files"].values()]
    assert [facts["sha256"] for facts in again["files"].values()] == first


def test_the_digest_beside_it_is_sha256sums(exports: dict[str, Any]) -> None:
    archive = Path(exports["tar.zst"]["path"])
    process.run(["sha256sum", "--check", f"{archive.name}.sha256"], cwd=archive.parent)
    process.run(["sha256sum", "--check", "SHA256SUMS"], cwd=Path(exports["incus"]["path"]))


def test_the_fingerprint_is_of_both_files_in_a_row(exports: dict[str, Any]) -> None:
    place = Path(exports["incus"]["path"])
    both = (place / "incus.tar.xz").read_bytes() + (place / "rootfs.squashfs").read_bytes()
    (place.parent / "both").write_bytes(both)
    told = process.run(["sha256sum", str(place.parent / "both")]).stdout.split()[0]
    assert exports["incus"]["fingerprint"] == told


def test_an_imported_image_says_where_it_is_from(shop: Shop, exports: dict[str, Any]) -> None:
    path = exports["tar.zst"]["path"]
    shop.json(shop.other, "image", "import", path)
    told = shop.json(shop.other, "image", "info", "tiny")
    assert told["manifest"]["imported"]["source"] == path
    assert told["manifest"]["imported"]["sha256"] in Path(f"{path}.sha256").read_text()
    assert told["manifest"]["name"] == "tiny"
    assert shop.json(shop.other, "image", "import", path)["known"] is True


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tar.zst", "squashfs"])
def test_a_truncated_export_is_refused(shop: Shop, exports: dict[str, Any], form: str) -> None:
    cut = shop.root / f"cut-{form}"
    whole = Path(exports[form]["path"]).read_bytes()
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    done = shop.vct(shop.other, "image", "import", str(cut), "--name", "cut", "--arch", "amd64")
    assert done.code == 1
    assert "cut off" in done.stderr
    assert is_untouched(shop, "cut")


def test_another_sha256_is_refused(shop: Shop, exports: dict[str, Any]) -> None:
    path = exports["tar.zst"]["path"]
    done = shop.vct(shop.other, "image", "import", path, "--sha256", "0" * 64, "--name", "wrong")
    assert done.code == 1
    assert "not 0000" in done.stderr
    assert is_untouched(shop, "wrong")


def test_a_file_that_its_description_is_not_of_is_refused(
    shop: Shop, exports: dict[str, Any]
) -> None:
    swapped = shop.root / "swapped.tar.zst"
    swapped.write_bytes(Path(exports["squashfs"]["path"]).read_bytes())
    beside = Path(f"{exports['tar.zst']['path']}.json")
    Path(f"{swapped}.json").write_text(beside.read_text())
    done = shop.vct(shop.other, "image", "import", str(swapped), "--name", "swapped")
    assert done.code == 1
    assert "not the file that its description is of" in done.stderr


def test_more_than_was_declared_is_refused(shop: Shop, exports: dict[str, Any]) -> None:
    described = json.loads(Path(f"{exports['tar.zst']['path']}.json").read_text())
    bomb = shop.root / "bomb.tar.zst"
    bomb.write_bytes(Path(exports["tar.zst"]["path"]).read_bytes())
    described["files"] = {"bomb.tar.zst": next(iter(described["files"].values()))}
    Path(f"{bomb}.json").write_text(json.dumps(described | {"size": 1000}))
    done = shop.vct(shop.other, "image", "import", str(bomb), "--name", "bomb")
    assert done.code == 1
    assert "bomb.tar.zst is not usable" in done.stderr
    assert is_untouched(shop, "bomb")


def test_a_file_without_a_name_needs_one(shop: Shop, exports: dict[str, Any]) -> None:
    bare = shop.root / "bare.tar.zst"
    bare.write_bytes(Path(exports["tar.zst"]["path"]).read_bytes())
    done = shop.vct(shop.other, "image", "import", str(bare))
    assert done.code == 2
    assert "--name NAME --arch ARCH" in done.stderr
    shop.json(shop.other, "image", "import", str(bare), "--name", "bare", "--arch", "amd64")


def test_what_is_there_is_not_overwritten(shop: Shop, exports: dict[str, Any]) -> None:
    done = shop.vct(shop.origin, "image", "export", "tiny", "--output", exports["tar.zst"]["path"])
    assert done.code == 4
    assert "is there already" in done.stderr
