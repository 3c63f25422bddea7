"""What a build or an export tells while it is under way. The command line shows it.

With `--events` it prints it as JSON.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a build is doing. `done` ends what began with the same image, layer and step.

    `layer` is the recipe's key of the layer under way, the `at`th of `of` that are to be made; it
    is "" for the image as a whole. `lasting` steps are known to take their time: they are worth a
    line when they begin. `note` is a remark: nothing begins or ends with it.
    """

    image: str
    arch: str
    step: str
    layer: str = ""
    at: int = 0
    of: int = 0
    done: bool = False
    seconds: float = 0.0
    lasting: bool = False
    note: bool = False


Report = Callable[[Progress], None]


def notes(report: Report, image: str, arch: str) -> Callable[[str], None]:
    """Called with words, reports them as a remark on this image."""

    def note(words: str) -> None:
        report(Progress(image=image, arch=arch, step=words, lasting=True, note=True))

    return note


@contextmanager
def told(report: Report, event: Progress) -> Iterator[None]:
    """Report that a step begins and, if the block succeeds, its end with its seconds."""
    started = time.monotonic()
    report(event)
    yield
    report(replace(event, done=True, seconds=time.monotonic() - started))
