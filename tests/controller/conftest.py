"""A controller for the tests: SQLite in memory, or with VCT_TEST_DATABASE=postgresql a server of
this process's own, unprivileged, in a temporary directory, on a socket only.

    VCT_TEST_DATABASE=postgresql .venv/bin/pytest tests/controller
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import django
import pytest
from pytest_django import Settings

from tests.controller import postgresql

_homes = ExitStack()
if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker has its own below that of who started it
    _home = _homes.enter_context(TemporaryDirectory(prefix="vct-controller-"))
    Path(_home).chmod(0o711)  # the secrets inside have a mode of their own
    os.environ["VCT_TEST_HOME"] = _home
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.controller.settings"

django.setup()

from tests.controller import settings as test_settings  # noqa: E402 - Django's are known now

test_settings.CONFIG.static.mkdir(exist_ok=True)


def pytest_unconfigure() -> None:
    """Said here, as the processes of pytest-xdist end without clearing up."""
    _homes.close()


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> Iterator[None]:
    """pytest-django asks for this before it makes the test database."""
    with ExitStack() as running:
        if test_settings.POSTGRESQL:
            running.enter_context(postgresql.server(test_settings.HOME, test_settings.SOCKETS))
        yield


@pytest.fixture(autouse=True)
def _media(tmp_path: Path, settings: Settings) -> None:
    """What a test uploads goes with the test."""
    settings.MEDIA_ROOT = tmp_path / "media"
