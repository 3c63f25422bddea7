"""What goes wrong in the controller beside bad fields, which are Django's ValidationError.

    VctError
    ├── ConflictError    409  somebody else changed the same thing meanwhile, nothing was written
    ├── InUseError       409  it cannot be deleted as others need it
    ├── ForbiddenError   403  the policy says no
    ├── TooLargeError    413  a file beyond its limit, nothing was kept
    └── NoRoomError      507  the disk is full, nothing was kept

`status` is the code that both dialects of the API answer with.
"""

from __future__ import annotations

from vct.errors import VctError


class ControllerError(VctError):
    """An order that was refused; `status` is the HTTP code for it."""

    status = 409


class ConflictError(ControllerError):
    """Somebody else changed the same thing meanwhile; nothing was written."""


class InUseError(ControllerError):
    """It cannot be deleted, others need it."""


class ForbiddenError(ControllerError):
    """The policy says no; the message says what it asks for."""

    status = 403


class TooLargeError(ControllerError):
    """A file is larger than it may be; nothing of it was kept."""

    status = 413


class NoRoomError(ControllerError):
    """The disk is full; nothing of the file was kept."""

    status = 507
