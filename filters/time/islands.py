"""Stray pieces and pinholes: removed by their size, strength, place and time.

Size alone does not tell a mistake: on clips with true mattes nearly every small hole that a good
network (Robust Video Matting) draws and holds is the wall seen between arm and body.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Alpha above this belongs to a piece; below its complement, to a hole.
PRESENT = 0.1
# A piece that nowhere reaches this is weak.
WEAK = 0.2
# A piece as far as this from every large one, in sides of a square as large as the largest, is far.
FAR = 0.25
# What is smaller than this part of the largest piece may be stray: in a wide shot all are small.
STRAY = 0.1
# What has gone for its place stays away until it is this many times as large, or as near.
STAY = 2
# It is known again by this part of it that lies where it went in the last so many frames: cameras
# pan, and people walk past.
KNOWN, MEMORY = 0.1, 250
# How many times the least area a piece may have that is seen in one frame only.
ONCE = 10
# A removed piece takes along what reaches this around it, or where that leads to one that is kept,
# what is within this many pixels.
TRACE, RIM = 0.01, 2


@dataclass(slots=True)
class Sweeper:
    """Sweeps mattes in order, one frame late. Keeps the protocol of temporal.Smoother.

    island, hole: as parts of the picture's area. A smaller piece goes where it is weak, or not
    seen both in the frame before and in the one after; one up to ten times as large where neither
    of them shows it. Holes are pieces of the complement.

    An island also goes for its place: far from every large one as the shot begins, or weak and
    far later, which is how furniture comes in. It stays away while it is far and small, however
    strong it grows. One that is first seen later, and strong, is a hand or a person, and stays.
    """

    island: float = 0.0
    hole: float = 0.0
    _alphas: deque[Float] = field(default_factory=deque)
    # Whether a shot begins, and where in it pieces went for their place: for how many frames more
    # that is known.
    _begins: bool = True
    _gone: NDArray[np.uint8] | None = None

    def push(self, alpha: Float, picture: NDArray[np.uint8]) -> list[Float]:
        """See temporal.Smoother."""
        self._alphas.append(alpha)
        if len(self._alphas) == 2:
            return [self._swept(self._alphas[0], [self._alphas[1]])]
        if len(self._alphas) < 2:
            return []
        before, now, after = self._alphas
        self._alphas.popleft()
        return [self._swept(now, [before, after])]

    def flush(self) -> list[Float]:
        """See temporal.Smoother."""
        held = list(self._alphas)
        self._alphas.clear()
        last = [self._swept(held[-1], held[:-1])] if held else []
        self._begins, self._gone = True, None
        return last

    def _swept(self, alpha: Float, beside: list[Float]) -> Float:
        swept = self._without_islands(alpha, beside) if self.island else alpha
        if self.hole:
            pieces = _Pieces(1 - swept)
            if pieces.number > 1:
                stray = pieces.faint_or_brief(self.hole, [1 - each for each in beside])
                swept = np.asarray(1 - pieces.without(stray), np.float32)
        return swept

    def _without_islands(self, alpha: Float, beside: list[Float]) -> Float:
        begins, self._begins = self._begins, False
        pieces = _Pieces(alpha)
        if pieces.number <= 1 and self._gone is None:
            return alpha
        far = self._far(pieces, begins)
        return pieces.without(far | pieces.faint_or_brief(self.island, beside))

    def _far(self, pieces: _Pieces, begins: bool) -> Mask:
        """Which pieces go for their place; they are remembered."""
        small = pieces.below(self.island)
        if begins:
            far = pieces.far(small, small, FAR)
        else:
            strong = (pieces.alpha >= WEAK) & small.take(pieces.labels)
            away = small & (pieces.count(strong) == 0)
            if self._gone is not None:
                known = pieces.count(self._gone > 0) >= KNOWN * pieces.areas * self._gone.size
                grown = pieces.areas >= STAY * self.island
                away |= known & ~grown
                self._gone -= self._gone > 0
                self._gone[(known & grown).take(pieces.labels)] = 0
            far = pieces.far(away, small | away, FAR / STAY)
        if far.any():
            self._gone = np.zeros(pieces.mask.shape, np.uint8) if self._gone is None else self._gone
            self._gone[far.take(pieces.labels)] = MEMORY
        return far


class _Pieces:
    """The pieces of a matte. What is said of each is an array: of all pieces, from 1 on; what is
    in none is 0."""

    def __init__(self, alpha: Float) -> None:
        self.alpha = alpha
        self.mask = alpha > PRESENT
        count, labels = cv2.connectedComponents(self.mask.view(np.uint8))
        self.number, self.labels = count - 1, np.asarray(labels, np.int32)

    def count(self, where: Mask) -> NDArray[np.int64]:
        """How many pixels of each are there."""
        return np.bincount(self.labels[where], minlength=self.number + 1)

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """As parts of the picture's. What is in no piece counts as large."""
        areas = self.count(self.mask) / self.mask.size
        areas[0] = np.inf
        return areas

    def below(self, least: float) -> Mask:
        """Which are smaller than this, and much smaller than the largest."""
        return np.asarray(self.areas < min(least, STRAY * self.areas[1:].max(initial=0)))

    def far(self, some: Mask, small: Mask, far: float) -> Mask:
        """Which of some pieces are as far as this from all that are not small, see FAR."""
        if not some.any():
            return some
        places = np.flatnonzero(some.take(self.labels))
        side = np.sqrt(self.areas[1:][~small[1:]].max(initial=0) * self.mask.size)
        large = self.mask & ~small.take(self.labels)
        distance = cv2.distanceTransform((~large).view(np.uint8), cv2.DIST_L2, 3)
        near = places[distance.take(places) <= far * side]
        found = some.copy()
        found[self.labels.take(near)] = False
        return found

    def faint_or_brief(self, least: float, beside: list[Float]) -> Mask:
        """Which go for their strength or their time, see Sweeper."""
        small, once = self.below(least), self.below(ONCE * least)
        # All that follows only looks at the pixels of pieces that may go.
        places = np.flatnonzero(once.take(self.labels))
        if not places.size:
            return once
        piece = self.labels.take(places)

        def shown(where: Mask) -> Mask:
            return np.asarray(np.bincount(piece[where], minlength=once.size) > 0)

        seen = [shown(other.take(places) > PRESENT) for other in beside]
        seen = seen or [np.ones(once.size, bool)]
        safe = np.all(seen, axis=0) & shown(self.alpha.take(places) >= WEAK)
        return np.asarray((small & ~safe) | (once & ~np.any(seen, axis=0)))

    def without(self, some: Mask) -> Float:
        """The matte without some pieces, and without the traces around them that lie below what
        counts as present. What is kept does not lose its own."""
        if not some.any():
            return self.alpha
        stray = some.take(self.labels)
        kept = self.mask & ~stray
        rim, beside = (
            cv2.dilate(each.view(np.uint8), np.ones((side, side), np.uint8)).view(bool)
            for each, side in ((stray, 2 * RIM + 1), (kept, 3))
        )
        count, labels = cv2.connectedComponents((self.alpha > TRACE).view(np.uint8))
        around, alone = np.asarray(labels, np.int32), np.zeros(count, bool)
        alone[around[stray]] = True
        alone[around[kept]] = False
        return np.where(alone.take(around) | stray | (rim & ~beside), np.float32(0), self.alpha)
