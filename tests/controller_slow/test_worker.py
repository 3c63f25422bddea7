"""The worker as a process: it says what it does, and ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.controller_slow.live import manage
from vct.controller import config


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    """That of a controller with an empty database."""
    path = tmp_path / "controller.json"
    config.write(config.generated(tmp_path), path)
    environment = {**os.environ, config.VARIABLE: str(path)}
    environment["DJANGO_SETTINGS_MODULE"] = "vct.controller.settings"
    manage(environment, "migrate", "--verbosity", "0")
    return environment


def work(environment: Mapping[str, str]) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "vct.controller", "work"]
    return subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True)


def test_it_works(environment: Mapping[str, str]) -> None:
    worker = work(environment)
    assert worker.stderr is not None
    first = json.loads(worker.stderr.readline())
    worker.send_signal(signal.SIGTERM)
    rest = worker.communicate()[1]
    assert first["message"].startswith("working")
    assert json.loads(rest.splitlines()[-1])["message"] == "stopped"
    assert worker.returncode == 0


def test_a_second_one_for_the_same_testbed_refuses(environment: Mapping[str, str]) -> None:
    first = work(environment)
    assert first.stderr is not None
    first.stderr.readline()
    second = work(environment)
    words = second.communicate()[1]
    first.terminate()
    first.communicate()
    assert second.returncode == 1
    assert "another worker" in words
