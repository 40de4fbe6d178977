"""The element's properties: options of `mattecast`, and a few that only a pipeline needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mattecast.errors import UsageError
from mattecast.options import Row, check_choice, rows
from mattecast.settings import LIVE_SMOOTHING, Settings

# Options of recorded clips that have a meaning in a pipeline too.
_RECORDED = ("cuts", "detail", "whole_picture")
# How `live` and `recorded` differ stands in docs/gstreamer.md.
MODES = ("auto", "live", "recorded")
# What stands for "not given" where a property cannot be empty.
_AUTO, _NONE, _UNSET = "auto", "none", -1
_MOST_THREADS = 1024


@dataclass(frozen=True, slots=True)
class Property:
    """One property: its name in GStreamer, its type, its default, its range, and a line on it.

    field: of Settings; None for a property of the element alone.
    """

    name: str
    type: type
    default: Any
    blurb: str
    least: float = 0
    most: float = 0
    field: str | None = None


_OWN = (
    Property(
        "mode",
        str,
        _AUTO,
        "live gives each picture quickly and leaves out those that are late; recorded takes every "
        "picture and looks ahead; auto asks the source",
    ),
    Property(
        "latency",
        int,
        100,
        "live: how old a picture may be when it leaves the element, in milliseconds; the network "
        "gets smaller until pictures are that young",
        1,
        10000,
    ),
    Property("qos", bool, True, "leave out pictures that come too late for their display"),
)


def _property(row: Row) -> Property:
    """The property of an option."""
    option, name = row.option, row.name.replace("_", "-")
    default, least, most = row.default, option.least or 0, option.most or _MOST_THREADS
    blurb = option.help
    if row.optional and row.type in (int, float):
        # Numbers that may be left out are 0 or more.
        default, least = row.type(_UNSET), _UNSET
        blurb = f"{blurb}; -1 is the default"
    if option.choices and row.type is str:
        blurb = f"{blurb} ({', '.join(map(str, option.choices))})"
    if row.name == "smooth":
        default, blurb = _AUTO, f"{option.help}; auto is two-way in recorded clips, causal live"
    elif row.type is str and default is None:
        default = _NONE
    return Property(name, row.type, default, blurb, least, most, row.name)


PROPERTIES: Mapping[str, Property] = {
    each.name: each
    for each in (
        *_OWN,
        *(_property(row) for row in rows(Settings) if row.option.live or row.name in _RECORDED),
    )
}


def settings(values: Mapping[str, Any], *, live: bool) -> Settings:
    """The settings that the values of the properties stand for. Raises UsageError."""
    given = {
        each.field: values[name]
        for name, each in PROPERTIES.items()
        if each.field and values[name] not in (each.default, None, "")
    }
    smooth = given.get("smooth", "causal" if live else "two-way")
    if live and smooth.partition(":")[0] not in LIVE_SMOOTHING:
        raise UsageError(
            f"smooth={smooth}: a live pipeline does not wait for so many later pictures; choose "
            f"one of {', '.join(LIVE_SMOOTHING)}, or mode=recorded"
        )
    return Settings(**{**given, "smooth": smooth}, guidance="off")


def check(values: Mapping[str, Any]) -> None:
    """Raise UsageError for values that are wrong whatever pictures come."""
    check_choice("mode", values["mode"], MODES)
    settings(values, live=values["mode"] == "live")
