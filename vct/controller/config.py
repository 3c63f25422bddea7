"""The one settings file of a testbed's controller: JSON, mode 0600, named by VCT_CONTROLLER_CONFIG.

Whoever makes the testbed writes it with `write`; `vct.controller.settings` reads it. Secrets have
no defaults: they are generated for each testbed. Needs no Django.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from vct import names
from vct.errors import InputError, UsageError
from vct.wire.limits import MgmtBackend

VARIABLE = "VCT_CONTROLLER_CONFIG"
SECRET_LENGTH = 50
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What one controller is told. Paths are absolute; prefixes are the first 48 bits."""

    secret_key: str
    data: str  # files, the SQLite database, the certification authority: all below this directory
    database: str = "sqlite"  # or postgresql://user:password@host:port/name
    hosts: tuple[str, ...] = ()  # names and addresses that clients may call it by, [::1] with []
    origins: tuple[str, ...] = ()  # https://name of front ends that pages may be posted from
    https_only: bool = False
    debug: bool = False
    testbed: str = "vct"
    mgmt_prefix: str = str(names.MANAGEMENT_IPV6_PREFIX)
    debug_prefix: str = str(names.DEBUG_IPV6_PREFIX)
    priv_prefix: str = str(names.PRIVATE_IPV6_PREFIX)
    poll_interval_s: int = 20
    tls: bool = False  # something in front of this server answers on port 443
    mgmt_backend: str = MgmtBackend.TINC  # how this server is in the management network, or native
    tinc_address: str = ""  # where others reach its tincd: an IP address, empty for nowhere
    agent_poll_s: int = 60  # seconds between two questions of a node that nothing asked for
    upload_limit_mib: int = 1024

    @property
    def media(self) -> Path:
        """Uploaded files that everybody may read."""
        return Path(self.data) / "media"

    @property
    def private(self) -> Path:
        """Files that need permission: firmware."""
        return Path(self.data) / "private"

    @property
    def static(self) -> Path:
        """Style sheets and scripts, collected when the image is built or the server starts."""
        return Path(self.data) / "static"

    @property
    def pki(self) -> Path:
        """Keys and certificates of the certification authority, and of this server."""
        return Path(self.data) / "pki"

    @property
    def tinc(self) -> Path:
        """What the server's tincd is told, for a service that copies it."""
        return Path(self.data) / "tinc"


def generated(data: Path, **told: Any) -> Config:
    """A configuration with a fresh secret; `told` are fields of Config."""
    return Config(secret_key=secrets.token_urlsafe(SECRET_LENGTH), data=str(data), **told)


def write(config: Config, path: Path) -> None:
    """Readable by its owner only, and whole or not there at all."""
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(config), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)


def load(environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration that the environment names.

    Raises UsageError without one, InputError for a file that cannot be meant or that others can
    read.
    """
    if VARIABLE not in environment:
        raise UsageError(
            f"{VARIABLE} is not set: this controller belongs to no testbed",
            hint="start it with: vct controller serve",
        )
    path = Path(environment[VARIABLE])
    try:
        text, mode = path.read_text(), path.stat().st_mode
    except OSError as error:
        raise InputError(str(error.strerror), file=str(path), hint="run: vct init") from error
    if stat.S_IMODE(mode) & 0o077:
        raise InputError(
            "holds secrets and others can read it", file=str(path), hint=f"chmod 600 {path}"
        )
    return parse(text, str(path))


def parse(text: str, file: str) -> Config:
    """The configuration in a file's text. Raises InputError naming the key that is wrong."""
    try:
        written = json.loads(text)
    except ValueError as error:
        raise InputError(str(error), file=file, hint="it must be one JSON object") from error
    if not isinstance(written, dict):
        raise InputError("is not a JSON object", file=file)
    known = {field.name: field.type for field in fields(Config)}
    for key, value in written.items():
        _check(key, value, known.get(key), file)
    for key in ("secret_key", "data"):
        if not written.get(key):
            raise InputError("is missing", file=file, key=key, hint="run: vct init")
    if len(written["secret_key"]) < SECRET_LENGTH:
        raise InputError("is too short to be secret", file=file, key="secret_key")
    if written.get("mgmt_backend", MgmtBackend.TINC) not in set(MgmtBackend):
        raise InputError(f"must be {' or '.join(MgmtBackend)}", file=file, key="mgmt_backend")
    lists = {key: tuple(value) for key, value in written.items() if isinstance(value, list)}
    return Config(**{**written, **lists})


_SHAPES: dict[str, tuple[type, str]] = {
    "str": (str, "a string"),
    "bool": (bool, "true or false"),
    "int": (int, "a number"),
    "tuple[str, ...]": (list, "a list of strings"),
}


def _check(key: str, value: object, kind: object, file: str) -> None:
    if kind is None:
        raise InputError("is not a setting of the controller", file=file, key=key)
    python, words = _SHAPES[str(kind)]
    good = isinstance(value, python) and (python is bool or not isinstance(value, bool))
    if isinstance(value, list):
        good = good and all(isinstance(item, str) for item in value)
    if not good:
        raise InputError(f"must be {words}", file=file, key=key)


def database(config: Config) -> dict[str, Any]:
    """Django's description of the database: SQLite in write-ahead mode, or PostgreSQL.

    Raises UsageError for a URL of another database.
    """
    if config.database == "sqlite":
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(config.data) / "controller.sqlite3"),
            "ATOMIC_REQUESTS": False,
            "CONN_MAX_AGE": 60,  # opening one takes as long as reading a node
            "OPTIONS": {
                # a transaction that reads first and writes later cannot fail half-way
                "transaction_mode": "IMMEDIATE",
                "timeout": 10,
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    url = urlsplit(config.database)
    if url.scheme != "postgresql" or len(url.path) < 2:
        raise UsageError(
            f"no database is called {config.database!r}",
            hint='"sqlite" or "postgresql://user:password@host:port/name"',
        )
    options = dict(parse_qsl(url.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(url.path[1:]),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        # a directory is that of a server's socket: postgresql:///name?host=/run/postgresql
        "HOST": options.pop("host", url.hostname or ""),
        "PORT": str(url.port or ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }
