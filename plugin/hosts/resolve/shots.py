"""Which part of which file an item of a Resolve timeline shows, and where its matte goes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from unicodedata import normalize

from mattecast.errors import MattecastError, UsageError
from mattecast.hosts.resolve.request import Piece, Place, Request, Track
from mattecast.media.facts import Facts
from mattecast.media.grid import standard_rate
from mattecast.media.source import open_source

# Resolve's own numbers of an untouched item differ by so many frames (measured by others).
_LOOSE = 2
# Less than this is no part of a frame, but rounding: frames at 23.976 are 0.999 of those at 24.
_ROUNDED = Fraction(1, 2000)
# The name of an output of `matte --reuse`.
_MATTE = re.compile(r"\.[0-9a-f]{10}\.matte\.\w+$")


@dataclass(frozen=True, slots=True)
class Shot:
    """A piece of a clip to matte.

    first: where the item begins, in seconds from the clip's first frame. start, end: the frames
    that it shows, whole frames, in the same seconds; end does not belong to them. rate: the clip's.
    """

    piece: Piece
    source: Path
    first: Fraction
    start: Fraction
    end: Fraction
    rate: Fraction


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a clip that is matted in one run, for all of its shots. start, end: as a shot's."""

    start: Fraction
    end: Fraction
    shots: tuple[Shot, ...]


def shot(piece: Piece, rate: Fraction, known: dict[str, Facts]) -> Shot:
    """The part of its file that an item shows.

    rate: the timeline's, frames a second. known: what files hold that were read for other items.
    Raises a MattecastError with one line for an item whose matte cannot lie above it rightly.
    """
    _check_kind(piece)
    if piece.path not in known:
        with open_source(piece.path) as source:
            known[piece.path] = source.facts
    facts = known[piece.path]
    if facts.still:
        raise UsageError(f"{piece.name}: is a still picture")
    _check_rate(piece, facts)
    first = _first(piece, rate)
    length = piece.length / rate
    frame = 1 / facts.rate
    if facts.duration is not None and first + length > facts.duration + 2 * frame:
        raise UsageError(f"{piece.name}: goes on after the end of {piece.path}")
    start = floor(first * facts.rate) * frame
    end = ceil((first + length) * facts.rate) * frame
    return Shot(piece, Path(piece.path), first, start, end, facts.rate)


def parts(shots: Iterable[Shot], handles: int | None) -> list[Part]:
    """The runs that shots need: shots of one clip that overlap or touch share one.

    handles: frames that each run makes more on both sides; None where it makes the whole clip.
    """
    found: list[Part] = []
    for one in sorted(shots, key=lambda each: (each.source, each.start)):
        last = found[-1] if found else None
        if (
            last is not None
            and last.shots[0].source == one.source
            and (handles is None or one.start - last.end <= 2 * handles / one.rate)
        ):
            found[-1] = Part(last.start, max(last.end, one.end), (*last.shots, one))
        else:
            found.append(Part(one.start, one.end, (one,)))
    return sorted(found, key=lambda part: min(each.piece.number for each in part.shots))


def _check_kind(piece: Piece) -> None:
    """Refuse items that are no clip of a file, or of one that is not there."""
    if piece.kind not in ("", "video"):
        raise UsageError(f"{piece.name}: is no video clip but a {piece.kind}")
    if not piece.path:
        raise UsageError(
            f"{piece.name}: has no file of its own (a compound, multicam or Fusion clip, a title, "
            "a generator or a timeline); open it and matte the clips in it, or render it in place"
        )
    if _MATTE.search(piece.path):
        raise UsageError(f"{piece.name}: is a matte already")
    if "[" in Path(piece.path).name and not Path(piece.path).exists():
        raise UsageError(f"{piece.name}: is numbered pictures; mattecast matte takes their pattern")
    if not Path(piece.path).is_file():
        raise UsageError(f"{piece.name}: is offline: there is no {piece.path}")


def _check_rate(piece: Piece, facts: Facts) -> None:
    """Refuse clips whose attributes make other frames of the file's."""
    if piece.rate is None:
        raise UsageError(f"{piece.name}: Resolve tells no frame rate of it")
    own = facts.rate / max(1, facts.fields)
    if not facts.variable_rate and piece.rate != standard_rate(own):
        raise UsageError(
            f"{piece.name}: plays at {_shown(piece.rate)} frames a second by its clip attributes, "
            f"and its file has {_shown(own)}"
        )
    counted = facts.frames and piece.frames and not facts.variable_rate and not facts.fields
    if counted and abs(facts.frames - piece.frames) > _LOOSE:
        raise UsageError(
            f"{piece.name}: has {piece.frames} frames and its file {facts.frames}: "
            "it is a subclip, or the file was changed; put the whole clip on the timeline"
        )


def _first(piece: Piece, rate: Fraction) -> Fraction:
    """Where an item begins in its clip, in seconds from the first frame.

    The two numbers that Resolve has for it must agree, and so must the frames of the clip and of
    the timeline: they do not where the speed was changed.
    """
    assert piece.rate is not None
    ratio = piece.rate / rate
    _check_speed(piece, ratio)
    if piece.left < 0 or (piece.left.denominator != 1 and ratio == 1):
        raise UsageError(f"{piece.name}: begins between two frames, or before its clip")
    begins = _snapped(piece.left * ratio)  # in frames of the clip
    told = piece.source_start
    if told is None and ratio != 1:
        raise UsageError(
            f"{piece.name}: its rate is not the timeline's, and Resolve before 19.0.2 does not "
            "tell its frames"
        )
    near = 1 if ratio == 1 else _LOOSE + ratio
    if told is None or abs(told - begins) <= near:
        return begins / piece.rate
    if abs(told - piece.left) <= 1:  # a version that counts frames of the clip
        return piece.left / piece.rate
    raise UsageError(
        f"{piece.name}: Resolve says that it begins with frame {_shown(told)} and with frame "
        f"{_shown(begins)}: it is a subclip, or its speed was changed"
    )


def _check_speed(piece: Piece, ratio: Fraction) -> None:
    """Refuse other speeds than 100 %. ratio: frames of the clip in one of the timeline.

    Before 21.1 Resolve tells no speed: then the frames of the clip are counted, those that the item
    shows or, before 19.0.2, all that it could show.
    """
    if piece.speed is not None:
        if abs(piece.speed - 100) > 1e-6:
            raise UsageError(f"{piece.name}: its speed is {piece.speed:g} %; matte it at 100 %")
        return
    if piece.source_start is not None and piece.source_end is not None:
        shown, lasts = piece.source_end - piece.source_start, Fraction(piece.length)
    elif piece.right is not None and piece.frames:
        shown, lasts = Fraction(piece.frames), piece.left + piece.length + piece.right
    else:
        return
    if abs(shown - lasts * ratio) > _LOOSE + ratio:
        raise UsageError(
            f"{piece.name}: has {_shown(shown)} frames in {_shown(lasts)} of the timeline: "
            "its speed was changed; matte it at 100 %"
        )


def _snapped(frames: Fraction) -> Fraction:
    """A number of frames, whole where rounding alone keeps it from being so: 5.994 frames at 29.97
    are frame 6 at 30."""
    return Fraction(round(frames)) if abs(frames - round(frames)) < _ROUNDED else frames


def _shown(number: Fraction) -> str:
    return f"{float(number):.5g}"


def free_tracks(request: Request, shots: Iterable[Shot]) -> dict[int, int]:
    """The track for the mattes of each track: the lowest one above it that is not locked and has
    room for all of them, which may be a new one on top. By the number of the clips' track."""
    taken = list(request.tracks)
    by_track: dict[int, list[Place]] = {}
    for each in shots:
        piece = each.piece
        place = Place(piece.start, piece.start + piece.length, "")
        by_track.setdefault(piece.track, []).append(place)
    chosen: dict[int, int] = {}
    for track, places in sorted(by_track.items()):
        number = track + 1
        while number <= len(taken) and not _has_room(taken[number - 1], places):
            number += 1
        taken[number - 1 : number] = [_with(taken[number - 1 : number], places)]
        chosen[track] = number
    return chosen


def _has_room(track: Track, places: Sequence[Place]) -> bool:
    return not track.locked and not any(
        one.start < other.end and other.start < one.end for one in places for other in track.places
    )


def _with(track: Sequence[Track], places: Sequence[Place]) -> Track:
    before = track[0].places if track else ()
    return Track(False, (*before, *places))


def lies_there(request: Request, piece: Piece, path: Path) -> bool:
    """Whether a matte lies above its clip already."""
    return any(
        place.start == piece.start
        and place.end == piece.start + piece.length
        and normalize("NFC", place.path) == normalize("NFC", str(path))
        for track in request.tracks[piece.track :]
        for place in track.places
    )


def shots_of(request: Request) -> tuple[list[Shot], list[str]]:
    """What to matte, and a line for each clip that is refused."""
    found: list[Shot] = []
    lines: list[str] = []
    known: dict[str, Facts] = {}
    for piece in request.pieces:
        try:
            found.append(shot(piece, request.rate, known))
        except MattecastError as error:
            lines.append(str(error))
    return found, lines
