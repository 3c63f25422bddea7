"""Plain LXC, without vct: its own tools on a directory of a test's own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.system import snapshot
from vct.drivers import process
from vct.paths import LXC_LOCKS


@dataclass(frozen=True)
class PlainLxc:
    """LXC's own tools on a directory of the test's own."""

    path: Path

    def run(self, tool: str, *arguments: str, env: dict[str, str] | None = None) -> Any:
        return process.run(
            [tool, "-P", str(self.path), "-n", "one", *arguments], env=env, check=False,
            timeout_s=300,
        )  # fmt: skip

    def create(self, template: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        config = self.path / "empty-network.conf"
        config.write_text("lxc.net.0.type = empty\n")
        done = self.run("lxc-create", "-f", str(config), "-t", template, "--", *arguments, env=env)
        assert done.code == 0, done.stderr

    def sh(self, script: str) -> Any:
        return self.run("lxc-attach", "--clear-env", "--", "sh", "-c", script)

    def start(self) -> None:
        """Only with a root file system of its own: else LXC would boot this host's init."""
        root = f"dir:{self.path}/one/rootfs"
        config = (self.path / "one" / "config").read_text().splitlines()
        assert [line for line in config if "rootfs.path" in line] == [f"lxc.rootfs.path = {root}"]
        told = self.run("lxc-info", "-c", "lxc.rootfs.path").stdout.strip()
        assert told.removeprefix("lxc.rootfs.path = ").removeprefix("dir:") == root[4:]
        assert (self.path / "one" / "rootfs" / "etc" / "vct" / "init").is_symlink()
        log = self.path / "log"
        done = self.run("lxc-start", "-o", str(log), "-l", "WARN")
        assert done.code == 0, log.read_text()

    def is_up(self) -> bool:
        return bool(self.sh("cat /proc/1/comm; ps ax | grep -q '[g]etty'").code == 0)


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[PlainLxc]:
    before = snapshot.take()
    place = LXC_LOCKS / tmp_path.relative_to("/")
    locks = [one for one in (*reversed(place.parents), place) if not one.exists()]
    for parent in (tmp_path, *tmp_path.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o011)  # LXC passes through
    lxc = PlainLxc(path=tmp_path / "containers")
    lxc.path.mkdir(mode=0o711)
    try:
        yield lxc
    finally:
        lxc.run("lxc-stop", "-k")
        lxc.run("lxc-destroy")
        for directory in reversed(locks):  # LXC's own tools leave them
            shutil.rmtree(directory)
    left = snapshot.leaks(before)
    assert not left, f"left on the host: {left}"
