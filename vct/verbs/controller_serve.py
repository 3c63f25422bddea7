"""A controller for development on this PC: no container, no root, SQLite in a directory.

It is another program (`python -m vct.controller`) and gets its settings in a file, as in a testbed.
"""

from __future__ import annotations

import json
import secrets
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vct.drivers.process import CommandError, foreground, run
from vct.drivers.textfiles import write
from vct.errors import HostError, VctError

SECRET_OCTETS = 50
ADMINISTRATOR = "vct"


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A directory that is ready to be served; `password` only if the administrator was made now."""

    directory: Path
    password: str

    @property
    def settings(self) -> Path:
        return self.directory / "controller.json"

    @property
    def environment(self) -> dict[str, str]:
        return {"VCT_CONTROLLER_CONFIG": str(self.settings)}


def prepare(directory: Path) -> Served:
    """Make what is missing in the directory: settings, database, an administrator."""
    for module in ("django", "rest_framework", "whitenoise"):
        if find_spec(module) is None:
            raise HostError(
                f"this Python lacks {module}, which the controller needs",
                hint=f"get it: {sys.executable} -m pip install 'vct[controller]'",
            )
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    served = Served(directory=directory, password="")
    if not served.settings.exists():
        write(served.settings, render_settings(directory), mode=0o600)
    _tell(served, "prepare")
    _tell(served, "collectstatic", "--no-input", "--verbosity", "0")
    users = json.loads(_tell(served, "account", "list"))
    if any(user["username"] == ADMINISTRATOR for user in users):
        return served
    made = json.loads(_tell(served, "account", "add", ADMINISTRATOR, "--superuser"))
    return Served(directory=directory, password=made["password"])


def render_settings(directory: Path) -> str:
    """Settings with a secret of their own, for callers on this PC."""
    told = {
        "secret_key": secrets.token_urlsafe(SECRET_OCTETS),
        "data": str(directory),
        "hosts": ["127.0.0.1", "localhost"],
        "testbed": "development",
        "debug": True,
    }
    return json.dumps(told, indent=2) + "\n"


def words(served: Served, port: int) -> list[str]:
    """What a person needs to know."""
    lines = [f"controller at http://127.0.0.1:{port}/, data in {served.directory}"]
    if served.password:
        lines.append(f"log in as {ADMINISTRATOR} with password {served.password} (shown once)")
    return lines


def serve(served: Served, port: int) -> int:
    """Serve on this terminal until it is ended; the program's exit code."""
    argv = [*_command("runserver"), "--nostatic", f"127.0.0.1:{port}"]
    return foreground(argv, env=served.environment)


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "vct.controller", *words]


def _tell(served: Served, *what: str) -> str:
    try:
        return run(_command(*what), env=served.environment).stdout
    except CommandError as error:
        said = error.completed.stderr.strip().splitlines()[-1:] or ["without a word"]
        raise VctError(
            f"the controller in {served.directory} cannot be used: {said[0]}",
            hint=f"replay it with: VCT_CONTROLLER_CONFIG={served.settings} "
            f"{sys.executable} -m vct.controller {' '.join(what)}",
        ) from error
