"""Settings of the tests: a controller of its own below VCT_TEST_HOME, which `conftest` makes.

VCT_TEST_DATABASE=postgresql runs the same tests on a PostgreSQL server of this process's own, which
`conftest` starts there too. mypy's plugin for Django and makemigrations read this module without a
home: they get one for as long as it takes to read.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from vct.controller import config

POSTGRESQL = os.environ.get("VCT_TEST_DATABASE") == "postgresql"
_home = os.environ.get("VCT_TEST_HOME")

with nullcontext(_home) if _home else TemporaryDirectory(prefix="vct-controller-") as _directory:
    HOME = Path(_directory) / os.environ.get("PYTEST_XDIST_WORKER", "only")
    HOME.mkdir(mode=0o711)
    SOCKETS = HOME / "sockets"
    _url = f"postgresql://vct@/vct?host={SOCKETS}" if POSTGRESQL else "sqlite"
    _told = config.generated(HOME, database=_url, hosts=("testserver", "localhost"))
    config.write(_told, HOME / "controller.json")
    os.environ[config.VARIABLE] = str(HOME / "controller.json")

    from vct.controller.settings import *  # noqa: F403 - the settings need the file

if not POSTGRESQL:
    DATABASES["default"]["NAME"] = ":memory:"  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, not safe
