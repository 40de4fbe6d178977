"""Corrections by hand that are still to come, and what they change in the frames before them.

The run encodes a frame long before it reaches the correction after that frame. So the clip is read
once more, from each correction backwards to the one before it, a piece at a time. The memory needed
is that of one piece, and of the changes, which are packed to a few KB a frame.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mattecast.filters.time.correction import propagate_backwards
from mattecast.media.frame import Estimated

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]
# How many bytes of small pictures are held at once: some 200 pictures of a network's size.
PIECE = 64 << 20
# A packed change has one byte a pixel, 127 for a change of 1.
_STEPS = 127
# How many frames a network sees before the frame whose matte counts.
WARM = 8


class ClipAgain(Protocol):
    """The clip once more, from a time on, as the run itself sees it.

    Times are in seconds from the clip's first frame.
    """

    def estimates(self, start: Fraction, /) -> Generator[tuple[Fraction, Estimated], None, None]:
        """The time of each frame, and what the network says of the frame."""
        ...

    def pictures(self, start: Fraction, /) -> Generator[tuple[Fraction, Bytes, bool], None, None]:
        """The time of each frame, its picture as the network sees it, (h, w, 3) uint8, and whether
        a shot begins with it."""
        ...


@dataclass(slots=True)
class Coming:
    """What a coming correction changes in the frames before it.

    time: of the frame that the correction is drawn on, in seconds from the clip's first frame.
    """

    time: Fraction
    shape: tuple[int, ...]
    # Of the frames it reaches, the latest first.
    _times: list[Fraction] = field(default_factory=list)
    _packed: list[bytes] = field(default_factory=list)

    @property
    def start(self) -> Fraction:
        """The earliest time that the correction reaches."""
        return self._times[-1] if self._times else self.time

    def add(self, time: Fraction, change: Float) -> None:
        """Note the change of one more frame, which comes before all frames noted so far."""
        steps = np.round(change * np.float32(_STEPS)).astype(np.int8)
        self._times.append(time)
        self._packed.append(zlib.compress(steps.tobytes(), 1))

    def at(self, time: Fraction) -> Float | None:
        """The change of the frame at a time, (h, w) float32; None where it does not reach."""
        place = bisect_left(self._times, -time, key=lambda each: -each)
        if place == len(self._times) or self._times[place] != time:
            return None
        steps = np.frombuffer(zlib.decompress(self._packed[place]), np.int8)
        return steps.reshape(self.shape).astype(np.float32) * np.float32(1 / _STEPS)

    def share(self, time: Fraction, since: Fraction) -> float:
        """How near a time is to the correction: 0 at the one before it, 1 at its own frame."""
        start = max(self.start, since)
        return float((time - start) / (self.time - start)) if time < self.time else 1.0


def foresee(
    again: ClipAgain,
    change: Callable[[Estimated], Float],
    when: Fraction,
    since: Fraction,
    interval: Fraction,
) -> Coming | None:
    """What a correction at `when` changes in the frames of its shot, back to the time `since`.

    None where it changes no earlier frame. change: gives what the correction changes in the frame
    that it was drawn on, (h, w) float32 in [-1, 1].
    interval: seconds from one frame to the next, nearly.
    """
    start = max(since, when - WARM * interval)
    with closing(again.estimates(start)) as frames:
        found = next((each for each in frames if each[0] >= when), None)
    if found is None:
        return None
    time, estimated = found
    if estimated.first:  # no frame of its shot comes before it
        return None
    coming = Coming(time, estimated.alpha.shape)
    seen: list[Fraction] = []

    def earlier() -> Iterator[Bytes]:
        for earlier_time, picture in _earlier(again, time, since, interval):
            seen.append(earlier_time)
            yield picture

    for changed in propagate_backwards(change(estimated), estimated.frame.small, earlier()):
        coming.add(seen[-1], changed)
    return coming if coming.start < time else None


def _earlier(
    again: ClipAgain, before: Fraction, since: Fraction, interval: Fraction
) -> Iterator[tuple[Fraction, Bytes]]:
    """The small pictures of a shot before a time, and their times, the latest first."""
    count = WARM
    while before > since:
        start = max(since, before - count * interval)
        piece: list[tuple[Fraction, Bytes, bool]] = []
        with closing(again.pictures(start)) as pictures:
            for time, small, first in pictures:
                if time >= before:
                    break
                # Of the first picture nobody can see whether it is a cut.
                piece.append((time, small, bool(piece) and first))
        for time, small, first in reversed(piece):
            yield time, small
            if first:
                return
        if piece:
            count = max(WARM, PIECE // piece[0][1].nbytes)
        before = start
