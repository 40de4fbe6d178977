"""The parts of media files that a timeline uses, each to be matted once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path

from mattecast.media.facts import Facts
from mattecast.timelines.timeline import Use

_ZERO = Fraction(0)


@dataclass(frozen=True, slots=True)
class Part:
    """What one use shows of its media, and what is matted for it.

    begin, end: in seconds from the media's first frame. first, last: frames of the media, the last
    one exclusive. index: of the use. zero: when the media's first frame comes on the timeline's
    clock of the media.
    """

    index: int
    begin: Fraction
    end: Fraction
    first: int
    last: int
    zero: Fraction


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a media file that is matted at once, for one use or several.

    first, last: frames from the media's first one, the last one exclusive.
    """

    media: Path
    rate: Fraction
    first: int
    last: int
    parts: tuple[Part, ...]

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return self.last - self.first

    @property
    def range(self) -> str:
        """The piece as `matte --range` takes it."""
        start, end = self.first / self.rate, self.last / self.rate
        return f"{start.numerator}/{start.denominator}..{end.numerator}/{end.denominator}"


def timecode_start(facts: Facts) -> Fraction | None:
    """The timecode of a file's first frame in seconds; None where it has none."""
    if facts.timecode is None:
        return None
    return facts.timecode.frames / (facts.rate / max(1, facts.fields))


def part(index: int, use: Use, facts: Facts, handles: int) -> Part | str:
    """What a use needs of its media; a line of why not where the media does not have it."""
    if use.end <= use.begin:
        return "has no frames"
    zero = use.first
    if zero is None:
        # Some programs name no clock: then it is the timecode, or it counts from zero.
        own = timecode_start(facts) or _ZERO
        zero = own if use.begin >= own else _ZERO
    begin, end = use.begin - zero, use.end - zero
    frames = _frames(facts)
    if begin < 0 or (frames is not None and floor(begin * facts.rate) >= frames):
        return f"shows a part that {use.media.name} does not have"
    first = floor((begin - use.before) * facts.rate) - handles
    last = ceil((end + use.after) * facts.rate) + handles
    if frames is not None:
        if end * facts.rate > frames:
            return f"shows more than {use.media.name} has"
        last = min(last, frames)
    return Part(index, begin, end, max(0, first), last, zero)


def pieces(
    parts: Iterable[Part], uses: Mapping[int, Use], facts: Mapping[int, Facts]
) -> list[Piece]:
    """Parts of the same media that overlap or touch become one piece; in the order of use.

    uses, facts: by the index of the use.
    """
    by_media: dict[Path, list[Part]] = defaultdict(list)
    for each in parts:
        by_media[uses[each.index].media].append(each)
    found = []
    for media, own in by_media.items():
        rate = facts[own[0].index].rate
        group: list[Part] = []
        last = 0
        for each in sorted(own, key=lambda part: part.first):
            if group and each.first > last:
                found.append(_piece(media, rate, group))
                group = []
            last = max(last, each.last) if group else each.last
            group.append(each)
        found.append(_piece(media, rate, group))
    return sorted(found, key=lambda piece: min(part.index for part in piece.parts))


def _piece(media: Path, rate: Fraction, group: list[Part]) -> Piece:
    last = max(part.last for part in group)
    return Piece(media, rate, group[0].first, last, tuple(group))


def _frames(facts: Facts) -> int | None:
    """How many frames a clip has; None where the file does not say."""
    if facts.duration is None:
        return facts.frames or None
    return max(1, round(facts.duration * facts.rate))
