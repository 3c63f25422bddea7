"""A controller's data as one file, and back. The archive is the controller's own program's.

A backup is written under a temporary name and renamed when it is whole; a restore is put in place
by a restart, which either has all of it or nothing (vct.controller.lifecycle.backup).
"""

from __future__ import annotations

import json
import os
import tarfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from vct.apply.lock import locked
from vct.drivers.controller import attach_command
from vct.drivers.process import PIPE, run, start
from vct.errors import InputError, RefusedError, VctError, system_error
from vct.paths import TestbedPaths
from vct.verbs.controller import COMMAND, require_controller, wait_ready

INDEX = "backup.json"
FORMAT = "vct controller backup 1"
RESTART = ("/etc/vct/controller-service", "restart")
RESTART_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A finished backup."""

    file: Path
    octets: int


def backup(paths: TestbedPaths, file: Path, *, replace: bool = False) -> Written:
    """Write all data of a running controller to a file, for root only.

    Raises RefusedError when there is a file already, VctError (disk full, …) and leaves nothing.
    """
    require_controller(paths)
    if file.exists() and not replace:
        raise RefusedError(f"{file} is there already", hint="name another file, or remove it")
    part = file.with_name(f".{file.name}.part")
    try:
        part.unlink(missing_ok=True)  # a killed one's, or a trap of whoever writes to this place
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            _piped(paths, "backup", stdout=stream)
            os.fsync(stream.fileno())
        _check(part)
        part.rename(file)
    except OSError as error:
        raise system_error(error, f"writing {file}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return Written(file=file, octets=file.stat().st_size)


def restore(paths: TestbedPaths, file: Path, timeout_s: float) -> None:
    """Put a backup's data in the place of the controller's, and wait until it is ready.

    Raises InputError for a file that is no backup, before anything is changed.
    """
    require_controller(paths)
    _check(file)
    with locked(paths.lock):
        with file.open("rb") as stream:
            _piped(paths, "restore", stdin=stream)
        run(attach_command(paths, RESTART), timeout_s=RESTART_S)
        wait_ready(paths, timeout_s)


def _piped(
    paths: TestbedPaths,
    what: str,
    *,
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
) -> None:
    """Run one of the controller's commands with a file as its input or output."""
    argv = attach_command(paths, [COMMAND, what])
    with Path(os.devnull).open("r+b") as nothing:
        given, taken = stdin or nothing, stdout or nothing
        running = start(argv, stdin=given, stdout=taken, stderr=PIPE, new_session=True)
    try:
        _, said = running.communicate()
    except BaseException:
        running.kill()
        running.communicate()
        raise
    if running.returncode != 0:
        words = said.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
        raise VctError(
            f"the controller's {what} failed: {words[0].removeprefix('CommandError: ')}",
            hint="is there room on this disk, and on the controller's? vct controller status",
        )


def _check(file: Path) -> None:
    """Raise InputError unless the file is a whole archive that says that it is a backup."""
    try:
        with tarfile.open(file, "r:") as archive:
            first = archive.next()
            index = archive.extractfile(first) if first and first.name == INDEX else None
            told = json.loads(index.read(4096)) if index else None
            good = isinstance(told, dict) and told.get("format") == FORMAT
            names = archive.getnames() if good else []
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise _wrong(file, str(error)) from None
    except OSError as error:
        raise _wrong(file, error.strerror or str(error)) from None
    if "controller.sqlite3" not in names:
        raise _wrong(file, "it has no database" if good else "it does not say that it is one")


def _wrong(file: Path, why: str) -> InputError:
    return InputError(
        f"is no backup of a controller: {why}",
        file=str(file),
        hint="make one with: vct controller backup FILE",
    )
