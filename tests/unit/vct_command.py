"""`vct` run in a test's own process: its exit code and what it printed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from vct.cli import main as entry


class Result(NamedTuple):
    """What a run of vct gave."""

    code: int
    out: str
    err: str


Vct = Callable[..., Result]


@pytest.fixture
def vct(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Vct:
    """Runs vct with an empty state root and image store, and none of the caller's settings."""
    for variable in [name for name in os.environ if name.startswith("VCT_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("VCT_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("VCT_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("VCT_IMAGES", str(tmp_path / "images"))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["vct", *arguments])
        with pytest.raises(SystemExit) as leaving:
            entry.main()
        captured = capsys.readouterr()
        assert isinstance(leaving.value.code, int)
        return Result(leaving.value.code, captured.out, captured.err)

    return run
