"""Ending a container: one that halts, one that does not, one whose disk is released late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vct.drivers import guest, waiting
from vct.drivers.guest import Guest
from vct.drivers.layers import Layers
from vct.drivers.process import Completed
from vct.errors import VctError

LET_GO_S = 0.4  # the longest that was seen of the kernel


@dataclass
class Clockwork:
    """LXC, the kernel and the clock. `takes_s` is how long lxc-stop takes to end a container."""

    takes_s: float
    now_s: float = 0.0
    stopped_s: float | None = None
    told: list[str] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def state_of(self, _path: Path, _name: str) -> tuple[str, int]:
        return ("RUNNING", 7) if self.stopped_s is None else ("STOPPED", -1)

    def run(self, argv: Sequence[str], **_options: Any) -> Completed:
        self.told.append(argv[-1])
        self.now_s += self.takes_s
        self.stopped_s = self.now_s
        return Completed(0, "", "")

    def disk_in_use(self, _guest: Guest) -> bool:
        return self.stopped_s is None or self.now_s < self.stopped_s + LET_GO_S


def stop(clockwork: Clockwork, place: Path, patch: pytest.MonkeyPatch, *, kill: bool) -> None:
    for name in ("state_of", "run", "disk_in_use"):
        patch.setattr(guest, name, getattr(clockwork, name))
    patch.setattr(waiting, "time", clockwork)
    (place / "0001").mkdir()
    (place / "0001" / "config").touch()
    node = Guest(
        called="node 0001",
        name="0001",
        lxc_path=place,
        layers=Layers(image=place, place=place),
        group="vct/t/0001",
        again="vct init",
    )
    guest.stop(node, kill=kill)


def test_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clockwork = Clockwork(takes_s=0.1)
    stop(clockwork, tmp_path, monkeypatch, kill=False)
    assert clockwork.told == [f"--timeout={guest.HALT_DEADLINE_S}"]


def test_one_that_does_not_halt_is_stopped_when_lxc_has_killed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clockwork = Clockwork(takes_s=guest.HALT_DEADLINE_S + 1)
    stop(clockwork, tmp_path, monkeypatch, kill=False)
    assert clockwork.told == [f"--timeout={guest.HALT_DEADLINE_S}"]


def test_to_kill_is_not_to_halt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clockwork = Clockwork(takes_s=0.1)
    stop(clockwork, tmp_path, monkeypatch, kill=True)
    assert clockwork.told == ["--kill"]


def test_one_that_never_ends_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clockwork = Clockwork(takes_s=1)
    monkeypatch.setattr(Clockwork, "disk_in_use", lambda *_: True)
    with pytest.raises(VctError, match="gave up waiting for node 0001 to stop"):
        stop(clockwork, tmp_path, monkeypatch, kill=False)
