"""Images built again are the same; what they are made of is known; other releases can be built.

The base image is the shared store's (VCT_IMAGES, else the default place).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import IMAGES, VCT
from vct.build import record, store
from vct.drivers import process

ARCHES = ("amd64", "i386")


def vct(*arguments: str, **environment: str) -> process.Completed:
    given = {"VCT_IMAGES": str(IMAGES), **environment}
    return process.run([*VCT, *arguments], env=given, check=False, timeout_s=600)


def answer(*arguments: str, **environment: str) -> Any:
    done = vct("--json", *arguments, **environment)
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    """What building the base image said, for each architecture."""
    return {arch: answer("build", "base-debian", "--arch", arch)[0] for arch in ARCHES}


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHES)
def test_it_works(arch: str, built: dict[str, Any]) -> None:
    again = answer("image", "verify", "base-debian", "--arch", arch)
    assert (again["identical"], again["differences"]) == (True, [])
    assert again["recorded"] == again["found"] == again["again"]


@pytest.mark.parametrize("arch", ARCHES)
def test_what_the_mirror_could_not_serve_is_told_each_time(
    arch: str, built: dict[str, Any]
) -> None:
    image = store.find_image(IMAGES, "base-debian", arch)
    assert list(record.left_out(image)) == built[arch]["left_out"]
    done = vct("build", "base-debian", "--arch", arch)
    assert "is there already" in done.stdout
    assert all(suite in done.stdout for suite in built[arch]["left_out"])


@pytest.mark.parametrize("arch", ARCHES)
def test_every_package_of_an_image_is_known_by_its_digest(
    arch: str, built: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "vct.lock"
    answer("image", "lock", "base-debian", "--arch", arch, "--output", str(file))
    entry = json.loads(file.read_text())["images"]["base-debian"][arch]
    assert all(len(facts["sha256"]) == 64 for facts in entry["packages"].values())
    assert entry["sources"][0]["suite"] == entry["suite"] == "bookworm"
    assert {"apt", "dpkg", "sysvinit-core"} <= entry["packages"].keys()


@pytest.mark.slow
def test_a_locked_build_gives_the_same_files(built: dict[str, Any], tmp_path: Path) -> None:
    file, images = tmp_path / "vct.lock", tmp_path / "store"
    answer("image", "lock", "base-debian", "--output", str(file))
    done = vct("build", "base-debian", "--locked", str(file), VCT_IMAGES=str(images))
    assert done.code == 0, done.stderr
    again = store.find_image(images, "base-debian", "amd64")
    entry = json.loads(file.read_text())["images"]["base-debian"]["amd64"]
    assert record.read(again)["tree"] == entry["tree"]
    assert "not those that were locked" not in done.stderr


def test_a_bill_of_materials_names_all_packages(built: dict[str, Any]) -> None:
    bill = json.loads(vct("image", "sbom", "base-debian").stdout)
    image = store.find_image(IMAGES, "base-debian", "amd64")
    names = {component["name"] for component in bill["components"]}
    assert names == {text.partition("=")[0] for text in image.packages}


def test_the_schema_of_recipes_is_printed() -> None:
    assert "bootstrap" in json.loads(vct("image", "schema").stdout)["properties"]


@pytest.mark.slow
def test_the_next_release_can_be_built(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "next.yaml").write_text(
        "name: next\nkind: base\nparameters: {suite: bookworm}\n"
        "bootstrap: {suite: '${suite}'}\npackages: [sysvinit-core]\n"
    )
    own = {"VCT_IMAGES": str(tmp_path / "store"), "VCT_RECIPES": str(tmp_path / "recipes")}
    answer("build", "next", "--set", "suite=trixie", **own)
    image = store.find_image(tmp_path / "store", "next", "amd64")
    assert "VERSION_CODENAME=trixie" in (image.root / "etc" / "os-release").read_text()
    assert (image.root / "sbin" / "init").exists()
    assert record.read(image)["parameters"] == {"suite": "trixie"}
