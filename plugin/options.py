"""What an option is: one row for its flag, its check, the control page and the documentation.

The rows themselves are the fields of `mattecast.settings.Settings`, in the order people read them.
"""

from __future__ import annotations

import math
import types
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cache
from typing import Any, get_args, get_type_hints

from mattecast.errors import UsageError

# What a value of each type is called in an error.
_EXPECTED = {
    str: "text",
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    Fraction: "a Fraction",
}


@dataclass(frozen=True, slots=True)
class Slider:
    """How the control page of `mattecast live` changes an option."""

    label: str
    least: float
    most: float
    step: float


@dataclass(frozen=True, slots=True)
class Option:
    """One thing a run can be asked for.

    help: one line for people. group: the heading it stands under. metavar: what its value is called
    in the help. flag: where it is not the field's name. choices: the only values, or the only words
    before ':AMOUNT'. amount: the least and the most AMOUNT, where there is one. several: whether
    more than one of the choices may be named, with commas between them. least, most: of a number.
    live: whether `mattecast live` has it too; live_default, live_help: where they differ there.
    slider: on the control page. gpu: whether composites made on a GPU heed it.
    """

    help: str
    group: str
    metavar: str | None = None
    flag: str | None = None
    choices: tuple[str | int, ...] = ()
    amount: tuple[float, float] | None = None
    several: bool = False
    least: float | None = None
    most: float | None = None
    live: bool = False
    live_default: str | None = None
    live_help: str | None = None
    slider: Slider | None = None
    gpu: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """An option with the name, the type and the default that its field gives it."""

    name: str
    type: type
    optional: bool
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """The flag on the command line."""
        return self.option.flag or "--" + self.name.replace("_", "-")

    def check(self, value: object) -> None:
        """Raise UsageError for a value of another type, and for a value that is not allowed."""
        if value is None and self.optional:
            return
        if not self._is_of_type(value):
            expected = _EXPECTED[self.type] + (" or None" if self.optional else "")
            kind = type(value).__name__
            raise UsageError(f"{self.name}: got {value!r} ({kind}), expected {expected}")
        if self.option.amount and isinstance(value, str):
            word, _, amount = value.partition(":")
            check_choice(self.name, word, self.option.choices)
            check_range(f"{self.name} strength", amount or 1, *self.option.amount)
        elif self.option.choices:
            is_list = self.option.several and isinstance(value, str)
            for one in str(value).split(",") if is_list else (value,):
                check_choice(self.name, one, self.option.choices)
        if self.option.least is not None and self.option.most is not None:
            check_range(self.name, value, self.option.least, self.option.most)

    def _is_of_type(self, value: object) -> bool:
        if self.type is bool or isinstance(value, bool):
            return self.type is bool and isinstance(value, bool)
        if self.type is float:
            return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
        if self.type is Fraction:
            return isinstance(value, (Fraction, int))
        return isinstance(value, self.type)


def option(default: Any, help: str, group: str, **more: Any) -> Any:
    """A field of Settings. more: as Option has them."""
    return field(default=default, metadata={"option": Option(help, group, **more)})


@cache
def rows(settings: type) -> tuple[Row, ...]:
    """The options of a class of settings, in order."""
    hints = get_type_hints(settings)
    found = []
    for each in fields(settings):
        hint = hints[each.name]
        kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        kind = next(one for one in kinds if one is not type(None))
        optional = type(None) in kinds
        found.append(Row(each.name, kind, optional, each.default, each.metadata["option"]))
    return tuple(found)


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise UsageError unless the value is one of those allowed."""
    if value not in allowed:
        known = ", ".join(str(one) for one in allowed)
        raise UsageError(f"{name} '{value}' is not known: choose one of {known}")


def check_range(name: str, value: object, least: float, most: float) -> None:
    """Raise UsageError unless the value is a number from `least` to `most`."""
    try:
        good = least <= float(str(value)) <= most
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"{name}: {value} is out of range ({least:g} to {most:g})")
