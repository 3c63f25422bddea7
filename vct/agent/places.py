"""Where the agent's files are, and writing them so that a power cut leaves the old or the new one.

Known to all of the agent. In a node: firmware is mounted read-only, `persist` outlives updates of
the system, `run` is gone with a reboot.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vct.wire.firmware import DIRECTORY

READ_MAX = 8 << 20  # octets of any file that the agent reads


@dataclass(frozen=True)
class Places:
    """Directories and files of one agent; tests have others than a node."""

    firmware: Path = Path(DIRECTORY)
    persist: Path = Path("/persist/agent")
    log: Path = Path("/persist/log/agent.log")
    run: Path = Path("/run/vct-agent")
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    version: Path = Path("/etc/vct/agent-version")

    @property
    def state(self) -> Path:
        return self.persist / "state.json"

    @property
    def cache(self) -> Path:
        return self.persist / "cache.json"

    @property
    def authorized_keys(self) -> Path:
        return self.persist / "authorized_keys"

    @property
    def boot(self) -> Path:
        return self.run / "boot"


def read(path: Path) -> str:
    """A file's text, "" if there is none. Raises OSError, and ValueError for what is no text."""
    try:
        with path.open("rb") as file:
            content = file.read(READ_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if len(content) > READ_MAX:
        raise ValueError(f"{path} is longer than {READ_MAX} octets")
    return content.decode()


def write(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file as a whole: readers and power cuts see the old text or the new one.

    Raises OSError, and then the old one is untouched.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
