"""What a build tells while it is under way. The command line shows it, `--events` prints it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


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
