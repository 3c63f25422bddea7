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


def write(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a whole file or nothing: under a temporary name first, then renamed."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        temporary.rename(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
