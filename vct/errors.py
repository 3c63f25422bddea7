"""The error tree. Raised low, printed once by the command line, never swallowed in between.

    VctError                 1    the operation failed
    ├── UsageError           2    a command line that cannot be meant
    │   └── InputError       2    a file that cannot be meant: file, line, column, key
    ├── HostError            3    this host lacks something; the hint is the fix
    ├── RefusedError         4    not ours, in use
    │   └── LockedError      4    another vct works on this testbed
    ├── NotReadyError        1    a node did not become ready; carries what was seen last
    └── InterruptedByUser    130  Ctrl-C or SIGTERM; what this run did was undone

Every error says what is wrong (`message`) and what to do next (`hint`).
"""

from __future__ import annotations

import errno


class VctError(Exception):
    """The operation failed. `hint` is the next command or edit, one or more lines."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def details(self) -> dict[str, object]:
        """Fields for `--json` beside `message` and `hint`; subclasses add theirs."""
        return {}


class UsageError(VctError):
    """A command line that cannot be meant."""

    exit_code = 2


class InputError(UsageError):
    """A user's file is wrong at one place: `file`, 1-based `line` and `column`, dotted `key`."""

    def __init__(
        self,
        message: str,
        *,
        file: str,
        line: int | None = None,
        column: int | None = None,
        key: str = "",
        hint: str = "",
    ) -> None:
        place = ":".join(str(part) for part in (file, line, column) if part is not None)
        subject = f"{place}: {key}: {message}" if key else f"{place}: {message}"
        super().__init__(subject, hint=hint)
        self.problem = message
        self.file, self.line, self.column, self.key = file, line, column, key

    def details(self) -> dict[str, object]:
        return {"file": self.file, "line": self.line, "column": self.column, "key": self.key}


class HostError(VctError):
    """This host lacks something; `hint` is how to get it."""

    exit_code = 3


class RefusedError(VctError):
    """Something in the way is not ours, or is in use; it was left untouched."""

    exit_code = 4


class LockedError(RefusedError):
    """Another vct process holds the testbed's lock."""


class NotReadyError(VctError):
    """Nodes did not become ready in time; `seen` maps a node id to the last thing seen of it."""

    def __init__(self, message: str, *, seen: dict[str, str], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.seen = seen

    def details(self) -> dict[str, object]:
        return {"seen": self.seen}


class InterruptedByUser(VctError):  # noqa: N818 - not a failure of ours
    """Ctrl-C or SIGTERM arrived; what this run had done was undone."""

    exit_code = 130


def system_error(error: OSError, doing: str = "") -> VctError:
    """What the operating system said, as an error that says what to do next."""
    words = error.strerror or str(error)
    parts = [str(part) for part in (doing, error.filename, words) if part]
    return VctError(": ".join(parts), hint=_SYSTEM_HINTS.get(error.errno or 0, "ask: vct doctor"))


_NO_ROOM = "free some room (see: df), then try again"
_NO_RIGHT = "run it with sudo"
_SYSTEM_HINTS = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: "choose a place that can be written to: VCT_HOME=DIRECTORY",
}
