"""Small text files: read if there, written whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

GONE = (errno.ENOENT, errno.ESRCH, errno.ENODEV)  # no file; no process, no device behind it now


def read(file: Path) -> str:
    """A file's text, empty if it is not there."""
    try:
        return file.read_text(errors="replace")
    except OSError as error:
        if error.errno in GONE:
            return ""
        raise


def write(path: Path, text: str, *, mode: int = 0o644, durable: bool = False) -> None:
    """Write a whole file or nothing: under a temporary name first, then renamed.

    `durable`: it is on the disk when this returns.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(path)
        if durable:
            _sync_directory(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
