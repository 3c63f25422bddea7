"""When a node's services begin late: the script that they read, with time and files of its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from vct.drivers import process

PACE = Path("images/node-debian/etc/vct/pace")
FIRMWARE = "/etc/vct/node/confine"


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """With a clock, firmware, and a `sleep` that takes no time and is noted."""
    for name in ("run", "bin", "confine"):
        (tmp_path / name).mkdir()
    (tmp_path / "confine/node.json").touch()
    sleep = tmp_path / "bin/sleep"
    sleep.write_text(f"#!/bin/sh\necho >>{tmp_path}/slept\n")
    sleep.chmod(0o755)
    text = PACE.read_text().replace(FIRMWARE, f"{tmp_path}/confine")
    (tmp_path / "pace").write_text(text.replace("/proc/uptime", f"{tmp_path}/uptime"))
    return tmp_path


def waits(world: Path, at_s: int) -> bool:
    """Whether a service that starts then begins late."""
    (world / "uptime").write_text(f"{at_s}.25 0.00\n")
    slept = world / "slept"
    slept.unlink(missing_ok=True)
    process.run(
        ["sh", "-euc", f"run={world}/run; . {world}/pace"],
        env={"PATH": f"{world}/bin:/usr/bin:/bin"},
    )
    os.utime(world / "run/started", (time.time(), time.time()))
    return slept.exists()


def grow_old(world: Path) -> None:
    """The firmware is as old as the node."""
    os.utime(world / "confine", (0, 0))
    os.utime(world / "confine/node.json", (0, 0))


def test_it_works(world: Path) -> None:
    grow_old(world)
    assert [waits(world, at_s) for at_s in (100, 101, 102, 103)] == [False, False, False, True]


def test_what_ran_for_a_while_begins_at_once(world: Path) -> None:
    grow_old(world)
    assert not any(waits(world, at_s) for at_s in (100, 101, 102, 117, 118, 119))


def test_what_ended_for_other_firmware_begins_at_once(world: Path) -> None:
    for at_s in range(100, 106):
        new = time.time() + 5
        os.utime(world / "confine/node.json", (new, new))
        assert not waits(world, at_s)
