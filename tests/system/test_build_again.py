"""Images built again are the same, other releases can be built, and bad input leaves nothing.

The base image is the shared store's; everything that fails has a store of its own.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import IMAGES, VCT
from vct.build import record, store
from vct.drivers import process

ARCHES = ("amd64", "i386")


def vct(*arguments: str, images: Path = IMAGES, recipes: Path | None = None) -> process.Completed:
    own = {"VCT_RECIPES": str(recipes)} if recipes else {}
    environment = {"VCT_IMAGES": str(images), **own}
    return process.run([*VCT, *arguments], env=environment, check=False, timeout_s=600)


def answer(*arguments: str, **options: Any) -> Any:
    done = vct("--json", *arguments, **options)
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHES)
def test_it_works(arch: str) -> None:
    [built] = answer("build", "base-debian", "--arch", arch)
    image = store.find_image(IMAGES, "base-debian", arch)
    assert list(record.left_out(image)) == built["left_out"]
    again = answer("image", "verify", "base-debian", "--arch", arch)
    assert (again["identical"], again["differences"]) == (True, [])
    assert again["recorded"] == again["found"] == again["again"]


@pytest.mark.parametrize("arch", ARCHES)
def test_every_package_of_an_image_is_known_by_its_digest(arch: str, tmp_path: Path) -> None:
    answer("build", "base-debian", "--arch", arch)
    file = tmp_path / "vct.lock"
    answer("image", "lock", "base-debian", "--arch", arch, "--output", str(file))
    entry = json.loads(file.read_text())["images"]["base-debian"][arch]
    assert all(len(facts["sha256"]) == 64 for facts in entry["packages"].values())
    assert entry["sources"][0]["suite"] == entry["suite"] == "bookworm"
    assert {"apt", "dpkg", "sysvinit-core"} <= entry["packages"].keys()


def test_a_bill_of_materials_names_all_packages() -> None:
    answer("build", "base-debian")
    bill = json.loads(vct("image", "sbom", "base-debian").stdout)
    image = store.find_image(IMAGES, "base-debian", "amd64")
    names = {component["name"] for component in bill["components"]}
    assert names == {text.partition("=")[0] for text in image.packages}


def test_the_schema_of_recipes_is_printed() -> None:
    assert "bootstrap" in json.loads(vct("image", "schema").stdout)["properties"]


# --- a workshop ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shop:
    """A store and recipes of a test's own."""

    root: Path

    @property
    def images(self) -> Path:
        return self.root / "store"

    @property
    def recipes(self) -> Path:
        return self.root / "recipes"

    def write(self, name: str, rest: str) -> None:
        self.recipes.mkdir(exist_ok=True)
        (self.recipes / f"{name}.yaml").write_text(f"name: {name}\nkind: node\n{rest}\n")

    def archive(self, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
        path = self.root / "root.tar.gz"
        with tarfile.open(path, "w:gz") as writer:
            for entry, content in members:
                entry.size = len(content)
                writer.addfile(entry, io.BytesIO(content))
        return path

    def build(self, *arguments: str) -> process.Completed:
        return vct("build", *arguments, images=self.images, recipes=self.recipes)

    def is_empty(self) -> bool:
        """Nothing half-built: no image, no layer, no name, no work."""
        places = [self.images / name for name in ("store", "names", "tmp", "cache/layers")]
        return not any(list(place.iterdir()) for place in places if place.exists())


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def member(name: str, content: bytes = b"", **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(entry, key, value)
    return entry, content


@pytest.mark.slow
def test_the_next_release_can_be_built(shop: Shop) -> None:
    shop.write(
        "next",
        "parameters: {suite: bookworm}\nbootstrap: {suite: '${suite}'}\npackages: [sysvinit-core]",
    )
    done = shop.build("next", "--set", "suite=trixie")
    assert done.code == 0, done.stderr
    image = store.find_image(shop.images, "next", "amd64")
    assert "VERSION_CODENAME=trixie" in (image.root / "etc" / "os-release").read_text()
    assert (image.root / "sbin" / "init").exists()
    assert record.read(image)["parameters"] == {"suite": "trixie"}


# --- bad input -----------------------------------------------------------------------------------

ARCHIVES: dict[str, tuple[tarfile.TarInfo, bytes]] = {
    "climbs": member("../../etc/evil", b"x"),
    "device": member("etc/sda", type=tarfile.BLKTYPE, devmajor=8),
    "bomb": member("big", b"0" * (17 << 20)),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_is_not_what_it_should_be_is_refused(shop: Shop, name: str) -> None:
    file = shop.archive(member("etc", type=tarfile.DIRTYPE, mode=0o755), ARCHIVES[name])
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    shop.write(
        "bad", f"fetch:\n  url: file://{file}\n  sha256: {digest}\n  size_max: 16MiB\nrun: [ls]"
    )
    done = shop.build("bad")
    assert done.code == 1
    assert "bad.yaml:4: fetch: bad for amd64: fetch file://" in done.stderr
    assert "is not usable" in done.stderr
    assert shop.is_empty()
    assert not (shop.root / "etc").exists()


def test_an_archive_that_is_cut_off_is_refused(shop: Shop) -> None:
    file = shop.archive(member("big", bytes(range(256)) * 4096))
    file.write_bytes(file.read_bytes()[:-200])
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    shop.write("bad", f"fetch: {{url: 'file://{file}', sha256: {digest}}}")
    done = shop.build("bad")
    assert (done.code, shop.is_empty()) == (1, True)
    assert "bad.yaml:3: fetch" in done.stderr


WRONG = {
    "the sha256": ("fetch: {url: 'file:///etc/hostname', format: tar.gz, sha256: %s}", "sha256"),
    "the file": ("fetch: {url: 'file:///no/such.tar.gz', sha256: %s}", "no such file"),
    "the server": ("fetch: {url: 'http://127.0.0.1:9/a.tar.gz', sha256: %s}", "cannot be read"),
    "the suite": ("bootstrap: {suite: no-such-suite}", "the mirror does not have it"),
    "the component": (
        "bootstrap: {suite: bookworm, components: [main, no-such]}",
        "the mirror does not have it",
    ),
    "the mirror": (
        "bootstrap: {suite: bookworm, mirror: 'http://127.0.0.1:9/debian'}",
        "cannot be reached",
    ),
    "the package": (
        "bootstrap: {suite: bookworm}\npackages: [no-such-package]",
        "Unable to locate package no-such-package",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_beginning_that_is_not_there_is_told_with_its_line(shop: Shop, what: str) -> None:
    text, words = WRONG[what]
    shop.write("bad", text.replace("%s", "a" * 64))
    done = shop.build("bad")
    assert done.code == 1
    assert "bad.yaml:3: " in done.stderr
    assert "bad for amd64: " in done.stderr
    assert words in done.stderr
    assert shop.is_empty()


def test_a_missing_keyring_is_told(shop: Shop) -> None:
    shop.write("bad", "bootstrap: {suite: bookworm, keyring: no-such-keyring.gpg}")
    done = shop.build("bad")
    assert done.code == 3
    assert "/usr/share/keyrings/no-such-keyring.gpg is missing" in done.stderr
    assert shop.is_empty()


def test_a_lock_that_the_mirror_cannot_meet_stops_the_build_before_it_begins(shop: Shop) -> None:
    shop.write("pinned", "bootstrap: {suite: bookworm}")
    packages = {"apt": {"version": "0.1~none", "sha256": ""}}
    entry = {"suite": "bookworm", "tree": "", "packages": packages}
    file = shop.root / "vct.lock"
    file.write_text(json.dumps({"lock": 1, "images": {"pinned": {"amd64": entry}}}))
    done = shop.build("pinned", "--locked", str(file))
    assert done.code == 1
    assert "pinned for amd64 cannot be built as locked" in done.stderr
    assert "| apt 0.1~none is not there" in done.stderr
    assert shop.is_empty()
