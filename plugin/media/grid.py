"""Constant frame rates on coarse clocks: the exact times from which a container's are rounded.

Matroska, WebM and FLV count milliseconds, MPEG-TS 1/90000 s: a clip of 30 frames a second has steps
of 33, 33 and 34 ms there.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import dropwhile, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.container import InputContainer

from mattecast.media.clock import Clock
from mattecast.media.container import frame_rate, may_jump, open_media, plausible_rates, time_base

if TYPE_CHECKING:
    from mattecast.media.feed import Feed

# Rates in use, frames a second. Those of NTSC are n/1001 (SMPTE ST 170).
_NTSC = tuple(Fraction(rate * 1000, 1001) for rate in (15, 24, 30, 48, 60, 120, 240))
_WHOLE = tuple(map(Fraction, (5, 6, 8, 10, 12, 15, 18, 20, 24, 25, 30, 48, 50, 60, 72)))
_FAST = tuple(map(Fraction, (75, 90, 100, 120, 144, 240)))
STANDARD = (*_NTSC, Fraction(25, 2), *_WHOLE, *_FAST)
# Rates nearer than this to an exact one are its decimal form, such as 29.97 for 30000/1001: 18 ms
# an hour at most.
_NEAR = Fraction(1, 200_000)
# A clock that steps by at most this (seconds) may be coarser than its time base says: MP4 written
# from Matroska has milliseconds in units of 1/16000 s.
_MILLISECOND = Fraction(1, 1000)
# At most this much of a frame may be one step of the clock: GIF has steps of 1/100 s.
_COARSEST = Fraction(1, 3)
# Packets of the picture that are looked at: at the beginning, and at each of a few other places.
_FIRST, _LATER, _PLACES = 120, 40, 6
# Packets of all streams that may lie between two of the picture.
_PATIENCE = 2000
# Seconds between two frames from which on the clock may have been set anew between them.
_HOLE = 10
# Clocks of GIF and of Matroska, WebM, FLV; libav may take their steps for frames.
_CLOCKS = Fraction(1, 100), Fraction(1, 1000)
# Files of up to so many bytes are read whole to find breaks of the clock: a tenth of a second.
SMALL = 16_000_000
# Of a larger file's parts of one size, one may last so many times as long as another.
_UNEVEN = 5
# The clock on which frames of a grid are written has about as many steps a second.
_FINE = 90_000


@dataclass(frozen=True, slots=True)
class Grid:
    """Evenly spaced times, on which the frames of a clip lie.

    rate: frames a second. pace: the same by the container's clock, which may have rounded it (29.97
    for 30000/1001). first: the time of one frame in seconds on the container's clock. tolerance:
    how far from its place a frame's time may lie, in seconds.
    """

    rate: Fraction
    pace: Fraction
    first: Fraction
    tolerance: Fraction

    def time(self, seconds: Fraction) -> Fraction:
        """The exact time of a frame, from the container's. A frame far from any place keeps its
        own."""
        number = round((seconds - self.first) * self.pace)
        off = seconds - self.first - number / self.pace
        return self.first + number / self.rate + (off if abs(off) > self.tolerance else 0)

    def duration(self, seconds: Fraction) -> Fraction:
        """How long a frame lasts, from the container's duration of it."""
        steps = max(1, round(seconds * self.pace))
        late = seconds - steps / self.pace
        return steps / self.rate if late <= self.tolerance else seconds

    def time_base(self, base: Fraction) -> Fraction:
        """A time base that holds all places: the container's own if it does."""
        if (1 / (self.rate * base)).denominator == 1:
            return base
        return Fraction(1, self.rate.numerator * math.ceil(_FINE / self.rate.numerator))


def exact_rate(rate: Fraction) -> Fraction:
    """The rate of which this is the decimal form; else the rate itself."""
    return next((exact for exact in STANDARD if abs(rate / exact - 1) < _NEAR), rate)


def standard_rate(rate: Fraction) -> Fraction:
    """The rate in use that is nearest to a rate."""
    return min(STANDARD, key=lambda each: abs(rate / each - 1))


@dataclass(frozen=True, slots=True)
class Pace:
    """How the times of a clip run.

    grid: where its frames lie, if the rate is constant. rate: frames a second. seekable: whether a
    time is found by seeking, because the clock is set anew nowhere.
    """

    grid: Grid | None
    rate: Fraction
    seekable: bool = True


def find_pace(
    path: Path, container: InputContainer, stream: av.VideoStream, feed: Feed | None = None
) -> Pace:
    """How the times of a clip's pictures run.

    container, stream: the opened clip, which is not read. Where it does not say enough, the times
    of packets at a few places of the file are read; of a pipe, with its feed, those at its
    beginning.
    """
    claims = plausible_rates(stream)
    base = time_base(stream)
    if claims and (_counts_frames(base, claims[0]) or _is_regular(container, stream)):
        rate = exact_rate(claims[0])
        grid = Grid(rate, claims[0], (stream.start_time or 0) * base, base)
        return Pace(grid, rate, seekable=feed is None)
    codec = stream.codec_context.framerate
    if codec:
        claims.append(Fraction(codec))
    sample = [feed.times()] if feed else _sample(path, stream.index)
    sampled = [sorted(place) for place in sample if len(place) > 1]
    # A place across which the clock is set anew is two places.
    parts = [part for place in sampled for part in _parted(place, base)]
    places = parts if may_jump(container) else sampled
    # A clock that may be set anew between two places has a phase of its own at each.
    groups = [[place] for place in places] if may_jump(container) else [places] if places else []
    fitted = _fitted(groups, base, claims)
    rate = fitted.rate if fitted else _average(frame_rate(stream), places, base)
    steady = feed is None and (not may_jump(container) or _is_steady(path, places, base))
    return Pace(fitted, rate, steady)


def _is_steady(path: Path, places: Sequence[Sequence[int]], base: Fraction) -> bool:
    """Whether the clock of a file seems to be set anew nowhere. Small files are read whole."""
    if os.path.getsize(path) <= SMALL:
        breaks: list[Fraction] = []
        with suppress(av.error.FFmpegError, OSError), open_media(path) as container:
            deque(Clock(container, breaks).packets(), maxlen=0)
        return not breaks
    begins = [place[0] * base for place in places]
    steps = [later - earlier for earlier, later in pairwise(begins)]
    return bool(steps) and min(steps) > 0 and max(steps) <= _UNEVEN * min(steps)


def _counts_frames(base: Fraction, rate: Fraction) -> bool:
    """Whether a time base is one frame, not a clock that happens to be as quick."""
    return rate * base == 1 and base not in _CLOCKS


def _average(claimed: Fraction, places: Sequence[Sequence[int]], base: Fraction) -> Fraction:
    """The rate that the container claims, unless frames are more than twice as far apart."""
    if not places:
        return claimed
    rate = 1 / (Fraction(places[0][-1] - places[0][0], len(places[0]) - 1) * base)
    return claimed if claimed <= 2 * rate else rate.limit_denominator(100) or rate


def _is_regular(container: InputContainer, stream: av.VideoStream) -> bool:
    """Whether an MP4's index says that every frame lasts the same."""
    rate = stream.average_rate
    if "mp4" not in container.format.name or not rate or rate != stream.base_rate:
        return False
    times = [entry.timestamp for entry in islice(stream.index_entries, _PATIENCE)]
    steps = {later - earlier for earlier, later in pairwise(times)}
    return len(steps) == 1 and rate * time_base(stream) * steps.pop() == 1


def _sample(path: Path, index: int) -> Iterator[set[int]]:
    """Times of packets of one stream at the file's beginning and at some other places."""
    with suppress(av.error.FFmpegError, OSError, OverflowError), open_media(path) as container:
        yield _times(container, index, _FIRST)
        for place in range(1, _PLACES + 1):
            share = Fraction(place, _PLACES + 1)
            if may_jump(container):
                container.seek(int(container.size * share), unsupported_byte_offset=True)
            elif container.duration:
                first = container.start_time or 0
                container.seek(int(first + container.duration * share))
            else:
                return
            yield _times(container, index, _LATER)


def _times(container: InputContainer, index: int, count: int) -> set[int]:
    packets = islice(container.demux(), _PATIENCE)
    own = (each for each in packets if each.stream_index == index)
    # Before a sequence header libavformat guesses an MPEG-PS's times, in steps of half a frame.
    guesses = container.format.name == "mpeg"
    sure = dropwhile(lambda packet: guesses and not packet.is_keyframe, own)
    times = (packet.pts for packet in sure if packet.pts is not None)
    return set(islice(times, count))


def _parted(times: Sequence[int], base: Fraction) -> list[list[int]]:
    """Times in order, parted at holes of more than _HOLE seconds. Parts of one time are left out.

    base: seconds of one unit.
    """
    steps = enumerate(pairwise(times), 1)
    ends = [index for index, (one, other) in steps if (other - one) * base > _HOLE]
    parts = (list(times[begin:end]) for begin, end in pairwise((0, *ends, len(times))))
    return [part for part in parts if len(part) > 1]


def _fitted(
    groups: Sequence[Sequence[Sequence[int]]], base: Fraction, claims: list[Fraction]
) -> Grid | None:
    """The grid that fits all places of every group; each group may have a phase of its own.

    groups: of places, each with its times in units of base, in order. claims: rates that container
    and codec name, in frames a second.
    """
    if not groups:
        return None
    tick = _tick(groups, base)
    named = [exact_rate(claim) for claim in claims]
    fits = []
    for rank, pace in enumerate((*claims, *STANDARD)):
        rate = exact_rate(pace)
        if pace * tick > _COARSEST:
            continue
        found = [_spread(group, base, pace) for group in groups]
        spreads = [each[0] for each in found if each is not None]
        if len(spreads) < len(groups) or (worst := max(spreads)) > _allowed(tick, pace):
            continue
        order = (worst > tick * Fraction(21, 20), rate not in STANDARD, rate not in named)
        rank = 0 if rank >= len(claims) else rank
        assert found[0] is not None
        fits.append((*order, rank, worst, Grid(rate, pace, found[0][1], 2 * tick)))
    return min(fits, key=lambda fit: fit[:-1])[-1] if fits else None


def _tick(groups: Sequence[Sequence[Sequence[int]]], base: Fraction) -> Fraction:
    """Seconds of one step of the clock."""
    times = [time for group in groups for place in group for time in place]
    common = math.gcd(*(time - times[0] for time in times)) * base
    return common if base < common <= _MILLISECOND else base


def _allowed(tick: Fraction, pace: Fraction) -> Fraction:
    """How far the errors of a grid may spread. Decoding time and the way from it to display may
    both be rounded; where a step is much of a frame, no more than one rounding is believed."""
    return tick * (2 if tick * pace < Fraction(1, 10) else Fraction(21, 20))


def _spread(
    places: Sequence[Sequence[int]], base: Fraction, pace: Fraction
) -> tuple[float, Fraction] | None:
    """How far the errors of times spread around n/pace, and the time of a frame without error.

    None where most frames are no single step apart, or two frames want one place.
    """
    begin = places[0][0]
    # Whole units from the first time on, so that floats are exact enough.
    seconds = [(np.array(place) - begin) * float(base) for place in places]
    phase, found = 0.0, None
    for _ in range(2):
        numbers = [np.round((each - phase) * float(pace)) for each in seconds]
        errors = np.concatenate(seconds) - np.concatenate(numbers) / float(pace)
        phase = float(errors.max() + errors.min()) / 2
        steps = np.concatenate([np.diff(each) for each in numbers])
        if steps.min() >= 1 and 2 * np.count_nonzero(steps == 1) > len(steps):
            found = float(np.ptp(errors)), begin * base + Fraction(phase).limit_denominator(10**7)
    return found
