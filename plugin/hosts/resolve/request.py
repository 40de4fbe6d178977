"""What a script inside Resolve asks for: clips of a timeline, as the scripting API tells them.

The frame numbers are those of the API: GetStart and GetEnd count frames of the timeline, and the
end does not belong to the item. GetLeftOffset counts frames of the timeline too, of whatever rate
the clip is (measured by others in 21.1). GetSourceStartFrame counts frames of the clip and may be
one too low; it only serves to check the first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mattecast.errors import UsageError
from mattecast.media.grid import standard_rate

FORM = 1  # of the request; the script's must be the same
_NUMBER = re.compile(r"\d+([.,]\d+)?")


@dataclass(frozen=True, slots=True)
class Piece:
    """An item of the timeline.

    number: in the request, from 1. start, length: frames of the timeline. left, right: frames of
    the timeline before the in point and after the out point; right where Resolve tells it.
    source_start, source_end: frames of the clip, where Resolve tells
    them. speed: percent, where Resolve tells it. kind: 'video', 'generator', ..., where Resolve
    tells it. path: of the file; empty where the item has none. rate: of the clip's attributes.
    frames: that the clip has; 0 where Resolve does not say.
    """

    number: int
    name: str
    track: int
    start: int
    length: int
    left: Fraction
    right: Fraction | None
    source_start: Fraction | None
    source_end: Fraction | None
    speed: float | None
    kind: str
    path: str
    rate: Fraction | None
    frames: int


@dataclass(frozen=True, slots=True)
class Place:
    """What lies on a track, from a frame of the timeline to another, which is not part of it."""

    start: int
    end: int
    path: str


@dataclass(frozen=True, slots=True)
class Track:
    """A video track of the timeline."""

    locked: bool
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A request. rate: the timeline's. tracks: its video tracks from the lowest."""

    ticket: str
    rate: Fraction
    pieces: tuple[Piece, ...]
    tracks: tuple[Track, ...]

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Request:
        """A request from what the script wrote.

        Raises UsageError for one of another version of the script, or one that makes no sense.
        """
        if asked.get("form") != FORM:
            raise UsageError(
                "the script and the program are of different versions of mattecast; "
                "run mattecast hosts install resolve"
            )
        try:
            pieces = tuple(_piece(n, each) for n, each in enumerate(asked["clips"], 1))
            tracks = tuple(_track(each) for each in asked["tracks"])
            rate = _rate(asked["rate"])
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise UsageError(f"the request cannot be read: {error!r}") from error
        if rate is None or not pieces:
            raise UsageError("the request has no clips, or no rate of the timeline")
        return cls(str(asked["ticket"]), rate, pieces, tracks)


def _piece(number: int, item: Mapping[str, Any]) -> Piece:
    media = item["media"] or {}
    speed = item.get("speed")
    return Piece(
        number=number,
        name=str(item["name"]),
        track=int(item["track"]),
        start=_whole(item["start"], "start"),
        length=_whole(item["length"], "length"),
        left=_fraction(item["left"]),
        right=_optional(item.get("right")),
        source_start=_optional(item.get("source_start")),
        source_end=_optional(item.get("source_end")),
        speed=None if speed is None else float(speed),
        kind=str(item.get("kind") or ""),
        path=str(media.get("path") or ""),
        rate=_rate(media.get("rate")),
        frames=int(_optional(media.get("frames") or None) or 0),
    )


def _track(track: Mapping[str, Any]) -> Track:
    places = (Place(int(start), int(end), str(path)) for start, end, path in track["places"])
    return Track(bool(track["locked"]), tuple(places))


def _rate(value: object) -> Fraction | None:
    """'23.976', 23.976, '29.97 DF', or nothing, as the exact rate."""
    match = _NUMBER.match(str(value or "").strip())
    number = Fraction(match[0].replace(",", ".")) if match else None
    return standard_rate(number) if number else None


def _optional(value: object) -> Fraction | None:
    return None if value is None else _fraction(value)


def _fraction(value: object) -> Fraction:
    """Frames as a fraction. Floats hold parts of frames; a ten-thousandth is none."""
    return Fraction(str(value)).limit_denominator(1000)


def _whole(value: object, name: str) -> int:
    number = _fraction(value)
    if number.denominator != 1:
        raise ValueError(f"{name} {value} lies between two frames of the timeline")
    return int(number)
