"""A container whose configuration lost its root file system is never started: LXC would boot the
host's init on the host's files. Nothing here calls lxc-start; the driver's call is watched."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import Bed
from tests.system.trouble import paths_of, steps_left, vct_with
from vct.drivers import guest
from vct.drivers.containers import ContainerDriver
from vct.errors import RefusedError
from vct.plan.things import Container

ONE = 'nodes: {"0001": {}}\n'


class StartReachedError(AssertionError):
    """The guard let a start through."""


@pytest.fixture(scope="module")
def stopped(shared_bed: Bed) -> Bed:
    """A testbed of one node, which is stopped and has a good configuration."""
    shared_bed.init(ONE)
    shared_bed.vct("node", "stop", "0001")
    return shared_bed


@pytest.fixture
def guarded(stopped: Bed, monkeypatch: pytest.MonkeyPatch) -> tuple[ContainerDriver, Container]:
    """The driver, with every program that could start something replaced by a failure."""

    def refuse(argv: Sequence[str], **_options: Any) -> None:
        raise StartReachedError(argv)

    monkeypatch.setattr(guest, "run", refuse)
    driver = ContainerDriver(paths_of(stopped))
    (thing,) = driver.observe()
    return driver, replace(thing, running=True)


def without_root(text: str) -> str:
    return "".join(line for line in text.splitlines(True) if "rootfs" not in line)


def root_is_host(text: str) -> str:
    return "".join(
        "lxc.rootfs.path = /\n" if "rootfs.path" in line else line for line in text.splitlines(True)
    )


TAMPERINGS: dict[str, Callable[[str], str]] = {
    "the root's line removed": without_root,
    "emptied": lambda _text: "",
    "half written": lambda text: text[: len(text) // 2],
    "the last line missing": lambda text: text[: text.rindex("\n", 0, -1) + 1],
    "the root changed to /": root_is_host,
    "the root changed to dir:/": lambda text: root_is_host(text).replace("= /\n", "= dir:/\n"),
    "the root emptied at the end": lambda text: text + "lxc.rootfs.path =\n",
    "another root at the end": lambda text: text + "lxc.rootfs.path = /\n",
    "the init changed": lambda text: text.replace("/etc/vct/init", "/sbin/init"),
    "an include added": lambda text: text + "lxc.include = /usr/share/lxc/config/common.conf\n",
    "not text": lambda _text: "\0\1\2" * 99,
}


def test_it_works(guarded: tuple[ContainerDriver, Container]) -> None:
    """The watch works: with a good configuration the start is reached."""
    driver, thing = guarded
    with pytest.raises(StartReachedError):
        driver.start(thing)


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_a_tampered_configuration_is_never_started(
    stopped: Bed, guarded: tuple[ContainerDriver, Container], tampering: str
) -> None:
    driver, thing = guarded
    config = paths_of(stopped).node("0001").config
    good = config.read_text()
    config.write_text(TAMPERINGS[tampering](good))
    try:
        with pytest.raises(RefusedError, match="was not started") as refusal:
            driver.start(thing)
        assert "vct init" in refusal.value.hint
        assert driver.observe()[0].intact is False
    finally:
        config.write_text(good)


def test_a_missing_configuration_is_never_started(
    stopped: Bed, guarded: tuple[ContainerDriver, Container]
) -> None:
    driver, thing = guarded
    config = paths_of(stopped).node("0001").config
    good = config.read_text()
    config.unlink()
    try:
        with pytest.raises(RefusedError, match="was not started"):
            driver.start(thing)
    finally:
        config.write_text(good)


def test_a_root_that_is_no_image_of_ours_is_never_started(
    stopped: Bed, guarded: tuple[ContainerDriver, Container], tmp_path: Path
) -> None:
    """Also when the configuration says so from the first line to the last."""
    driver, thing = guarded
    config = paths_of(stopped).node("0001").config
    good = config.read_text()
    try:
        for root in ("/", str(tmp_path), str(tmp_path / "gone")):
            config.write_text(good.replace(thing.root, root))
            with pytest.raises(RefusedError, match="was not started"):
                driver.start(replace(thing, root=root))
    finally:
        config.write_text(good)


def test_node_start_writes_the_configuration_anew(stopped: Bed) -> None:
    config = paths_of(stopped).node("0001").config
    good = config.read_text()
    for text in ("", root_is_host(good)):
        config.write_text(text)
        stopped.vct("node", "start", "0001")
        assert stopped.sh("0001", "hostname").stdout == "rd0001\n"
        assert config.read_text() == good
        stopped.vct("node", "stop", "--kill", "0001")


def test_init_writes_the_configuration_anew(stopped: Bed) -> None:
    file = str(stopped.file(ONE))
    paths_of(stopped).node("0001").config.write_text("lxc.uts.name = host\n")
    assert steps_left(stopped, "init", file) == ["change node 0001"]
    assert stopped.json("init", file)["ready"] == ["0001"]
    stopped.vct("node", "stop", "0001")


def test_an_image_deleted_from_under_a_node_is_named(stopped: Bed, tmp_path: Path) -> None:
    """The store is a copy without the image's files: the real one is not touched."""
    images = tmp_path / "images"
    for part in ("names", "store"):
        shutil.copytree(
            Path(stopped.environment["VCT_IMAGES"]) / part,
            images / part,
            symlinks=True,
            ignore=lambda directory, names: (
                names if Path(directory).name == "root" else {"root.squashfs"} & set(names)
            ),
        )
    for lost, code in (("root", 4), ("store", 1)):
        if lost == "store":
            shutil.rmtree(images / "store")
        done = vct_with(stopped, {"VCT_IMAGES": str(images)}, "node", "start", "0001")
        assert done.code == code
        assert "vct build" in done.stderr
