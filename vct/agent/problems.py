"""What is wrong, as the node publishes it: `{member, message}`, with a sentence on what to do.

    VctError
    └── AgentError             something of the node's own
        └── RegistryError      asking the registry failed; `fault` says how

A Problem is told and worked around; an AgentError ends the step that it is raised in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from vct.errors import VctError

MESSAGE_MAX = 500


@dataclass(frozen=True)
class Problem:
    """One entry of a node's or a sliver's `errors`. `member` is a path without a slash at its end.

    `grave`: the node's configuration is wrong, so the node goes to debug.
    """

    member: str
    message: str
    grave: bool = False

    @property
    def entry(self) -> dict[str, str]:
        return {"member": self.member, "message": self.message}


class Fault(StrEnum):
    """How asking the registry can fail."""

    UNREACHABLE = "unreachable"
    TLS = "tls"
    CLOCK = "clock"
    REDIRECT = "redirect"
    GONE = "gone"  # it says that there is no such thing
    REFUSED = "refused"  # it says that we may not
    BROKEN = "broken"  # it says that it cannot
    GARBAGE = "garbage"  # what it says cannot be meant


class AgentError(VctError):
    """Something of the node's own does not work."""


class RegistryError(AgentError):
    """A document could not be had."""

    def __init__(self, message: str, *, fault: Fault, hint: str = "") -> None:
        super().__init__(message, hint=hint or HINTS[fault])
        self.fault = fault


HINTS = {
    Fault.UNREACHABLE: "see whether the controller runs and the management network is up",
    Fault.TLS: "write the node's firmware anew (vct init), or look who answers at that address",
    Fault.CLOCK: "set the node's clock",
    Fault.REDIRECT: "correct the registry's base URI in the firmware, or the controller's hosts",
    Fault.GONE: "register the node and enrol it again: vct init",
    Fault.REFUSED: "see who may read nodes in the controller",
    Fault.BROKEN: "read the controller's log",
    Fault.GARBAGE: "see whether a controller answers at that address, and of which version",
}


def told(error: VctError, member: str = "", *, grave: bool = False) -> Problem:
    """An error as it is published: what is wrong, then what to do."""
    return Problem(member, sentence(error.message, error.hint), grave)


def of_system(error: OSError, doing: str) -> Problem:
    """What the operating system refused, in the same form."""
    words = error.strerror or str(error)
    where = f" {error.filename}" if error.filename else ""
    return Problem("", sentence(f"{doing}{where}: {words}", "free some room or look at the disk"))


def sentence(message: str, hint: str = "") -> str:
    """One line, ending with a full stop, of bounded length: it may hold what others sent."""
    text = f"{message.rstrip('.')}: {hint}" if hint else message
    line = "".join(sign if sign.isprintable() else " " for sign in text)
    return f"{line[:MESSAGE_MAX].rstrip('.')}."


def entries(problems: Iterable[Problem]) -> list[dict[str, str]]:
    """The `errors` member, each once."""
    return list({(one.member, one.message): one.entry for one in problems}.values())
