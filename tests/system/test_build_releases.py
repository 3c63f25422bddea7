"""The base image of every Debian release that the configured mirror has for an architecture.

The mirror is asked when the tests are collected: what it does not have is no test.
"""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.system.conftest import VCT
from vct.build import apt, recipes, record, store
from vct.drivers import process
from vct.errors import HostError

RELEASES = ("bullseye", "trixie")  # beside bookworm, which all others are tested with
ARCHES = ("amd64", "i386")
ASKING_S = 10


def source_of(suite: str) -> apt.AptSource:
    """The release itself, from the host's mirror."""
    base = recipes.find_recipe(
        "base-debian", recipes.recipe_directories(None), parameters={"suite": suite}
    )
    assert base.bootstrap is not None
    return apt.bootstrap_sources(base.bootstrap)[0]


def has(suite: str) -> tuple[str, ...]:
    """The architectures of a release on the mirror; all of ours if there is no answer, so that a
    test says why."""
    try:
        where = f"{source_of(suite).uri}/dists/{suite}/Release"
        with urllib.request.urlopen(where, timeout=ASKING_S) as answer:  # noqa: S310 - apt's own
            lines = answer.read(1 << 20).decode().splitlines()
    except (OSError, HostError) as error:
        return () if getattr(error, "code", None) == 404 else ARCHES
    named = next((line for line in lines if line.startswith("Architectures:")), "").split()
    return tuple(arch for arch in ARCHES if arch in named)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "suite" in metafunc.fixturenames:
        found = [(suite, arch) for suite in RELEASES for arch in has(suite)]
        metafunc.parametrize(("suite", "arch"), found or [("bookworm", "amd64")])


@pytest.mark.slow
def test_it_works(suite: str, arch: str, tmp_path: Path) -> None:
    images = tmp_path / "store"
    # A mirror that is given is used alone: old releases' security updates are not whole everywhere.
    source = ["--mirror", source_of(suite).uri, "--set", f"suite={suite}"]
    done = process.run(
        [*VCT, "--json", "build", "base-debian", "--arch", arch, *source],
        env={"VCT_IMAGES": str(images)},
        timeout_s=600,
    )
    assert [one["name"] for one in json.loads(done.stdout)] == ["base-debian"]
    image = store.find_image(images, "base-debian", arch)
    assert f"VERSION_CODENAME={suite}" in (image.root / "etc" / "os-release").read_text()
    assert (image.root / "etc" / "vct" / "init").readlink() == Path("/sbin/init")
    assert {one.arch for one in record.packages_of(image)} == {arch, "all"}
    said = process.run(["chroot", str(image.root), "/sbin/init", "--version"], check=False)
    assert "SysV init" in said.stdout + said.stderr
