"""Recipes that begin with what is not there, or is not what it should be: nothing is left of them.

Each has a store of its own. Faults in a recipe's text are in tests/unit/test_recipe.py.
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

from tests.system.conftest import VCT
from vct.drivers import process


@dataclass(frozen=True)
class Shop:
    """A store and recipes of a test's own."""

    root: Path

    @property
    def images(self) -> Path:
        return self.root / "store"

    def write(self, name: str, rest: str) -> None:
        (self.root / "recipes").mkdir(exist_ok=True)
        file = self.root / "recipes" / f"{name}.yaml"
        file.write_text(f"name: {name}\nkind: node\n{rest}\n")

    def archive(self, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
        path = self.root / "root.tar.gz"
        with tarfile.open(path, "w:gz") as writer:
            for entry, content in members:
                entry.size = len(content)
                writer.addfile(entry, io.BytesIO(content))
        return path

    def build(self, *arguments: str) -> process.Completed:
        own = {"VCT_IMAGES": str(self.images), "VCT_RECIPES": str(self.root / "recipes")}
        return process.run([*VCT, "build", *arguments], env=own, check=False, timeout_s=300)

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


ARCHIVES = {
    "climbs": member("../../etc/evil", b"x"),
    "has a disk's device": member("etc/sda", type=tarfile.BLKTYPE, devmajor=8),
    "is a bomb": member("big", b"0" * (17 << 20)),
}


@pytest.mark.parametrize("what", ARCHIVES)
def test_an_archive_that_is_bad_is_refused(shop: Shop, what: str) -> None:
    file = shop.archive(member("etc", type=tarfile.DIRTYPE, mode=0o755), ARCHIVES[what])
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
    "sha256": ("fetch: {url: 'file:///etc/hostname', format: tar.gz, sha256: %s}", "sha256"),
    "file": ("fetch: {url: 'file:///no/such.tar.gz', sha256: %s}", "no such file"),
    "server": ("fetch: {url: 'http://127.0.0.1:9/a.tar.gz', sha256: %s}", "cannot be read"),
    "suite": ("bootstrap: {suite: no-such-suite}", "the mirror does not have it"),
    "component": (
        "bootstrap: {suite: bookworm, components: [main, no-such]}",
        "the mirror does not have it",
    ),
    "mirror": (
        "bootstrap: {suite: bookworm, mirror: 'http://127.0.0.1:9/debian'}",
        "cannot be reached",
    ),
    "package": (
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


def test_a_parameter_that_no_recipe_has_is_told(shop: Shop) -> None:
    shop.write("bad", "parameters: {suite: bookworm}\nbootstrap: {suite: '${suite}'}")
    done = shop.build("bad", "--set", "siute=trixie")
    assert done.code == 2
    assert "did you mean suite?" in done.stderr
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
