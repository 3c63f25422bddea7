"""Quantities as users write them: a number and a unit, converted exactly to whole base units.

A time is held in microseconds, a share in parts per million, a rate in bits per second, a size in
MiB. What does not fit exactly, or is absurd, is refused with a word on what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

NUMBER = r"[0-9]{1,15}(?:\.[0-9]{1,15})?"


class WrongValue(ValueError):  # noqa: N818 - pydantic collects ValueErrors, users see InputError
    """A value that cannot be meant; `hint` is what would be right."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A kind of quantity: its units in base units, and the least and the most that make sense."""

    noun: str
    units: Mapping[str, int]
    base: str
    least: int
    most: str
    examples: tuple[str, ...]
    zero_hint: str = ""

    @property
    def pattern(self) -> str:
        """A regular expression for what is written, without its ends."""
        return f"({NUMBER})({'|'.join(self.units)})"

    @property
    def hint(self) -> str:
        *most, last = self.examples
        return f"{self.noun} is a number and a unit: {', '.join(most)} or {last}"


TIME = Quantity(
    noun="a time",
    units={"us": 1, "ms": 1000, "s": 1_000_000},
    base="microsecond",
    least=0,
    most="60s",
    examples=("500us", "10ms", "1.5s"),
)
SHARE = Quantity(
    noun="a loss",
    units={"%": 10_000},
    base="part per million (0.0001%)",
    least=0,
    most="100%",
    examples=("0.5%", "1%"),
)
RATE = Quantity(
    noun="a rate",
    units={"bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9},
    base="bit per second",
    least=1,
    most="100gbit",
    examples=("100bit", "512kbit", "54mbit", "1gbit"),
    zero_hint="leave the rate out for no limit, or write loss: 100% for a dead link",
)
SIZE = Quantity(
    noun="a size",
    units={"MiB": 1, "GiB": 1024},
    base="MiB",
    least=16,
    most="1024GiB",
    examples=("256MiB", "1GiB"),
)


def parser(quantity: Quantity) -> Callable[[object], int]:
    """A function that reads this quantity; see parse_quantity."""
    return lambda value: parse_quantity(quantity, value)


def parse_quantity(quantity: Quantity, value: object) -> int:
    """`"1.5s"` to 1500000, in the quantity's base unit. Raises WrongValue."""
    if value is None:
        raise WrongValue("has no value", hint=quantity.hint)
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise WrongValue("needs a unit", hint=quantity.hint)
    if not isinstance(value, str):
        raise WrongValue(f"must be {quantity.noun}", hint=quantity.hint)
    exact = _base_units(quantity, value)
    if exact is None:
        raise WrongValue(_malformed(quantity, value), hint=_nearest(quantity, value))
    most = _base_units(quantity, quantity.most)
    assert most is not None  # noqa: S101 - a fault in the tables above
    if exact > most:
        raise WrongValue(f"{value} is too much", hint=f"at most {quantity.most}")
    if exact < quantity.least:
        least = f"at least {quantity.least}{next(iter(quantity.units))}"
        raise WrongValue(f"{value} is too little", hint=quantity.zero_hint or least)
    if exact.denominator != 1:
        raise WrongValue(
            f"{value} is finer than vct can do", hint=f"use multiples of one {quantity.base}"
        )
    return exact.numerator


def _base_units(quantity: Quantity, text: str) -> Fraction | None:
    match = re.fullmatch(quantity.pattern, text)
    return Fraction(match[1]) * quantity.units[match[2]] if match else None


def _malformed(quantity: Quantity, text: str) -> str:
    if re.fullmatch(rf"{NUMBER}\s*", text):
        return "needs a unit"
    if text.startswith("-") and _base_units(quantity, text[1:]) is not None:
        return f"{text} is negative"
    return f"{shorten(text)!r} is not {quantity.noun}"


def _nearest(quantity: Quantity, text: str) -> str:
    """The hint: the same without spaces and in the right case, if that is a quantity."""
    squeezed = "".join(text.split()).lower()
    for unit in quantity.units:
        if re.fullmatch(NUMBER + re.escape(unit.lower()), squeezed):
            return f"write {squeezed.removesuffix(unit.lower())}{unit}"
    return quantity.hint


def shorten(text: str, width: int = 40) -> str:
    """The text, cut to `width` characters, for messages."""
    return text if len(text) <= width else text[: width - 1] + "…"
