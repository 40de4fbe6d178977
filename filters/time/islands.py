"""Removal of stray pieces and pinholes by their size, strength, place and duration.

Size alone does not show a mistake: on clips with true mattes nearly every small hole that a good
network (Robust Video Matting) draws over several frames is the wall between arm and body.
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

# Alpha above this belongs to a piece; alpha below 1 less this belongs to a hole.
PRESENT = 0.1
# A piece whose alpha nowhere reaches this is weak.
WEAK = 0.2
# A piece at least this far from every large piece is far; the unit is the side of a square that has
# the largest piece's area.
FAR = 0.25
# Only pieces smaller than this share of the largest piece may be stray: in a wide shot every person
# is small.
STRAY_SHARE = 0.1
# A piece that was removed for its place stays removed until it is this many times larger or nearer.
RETURN_FACTOR = 2
# Such a piece is recognised when this share of it lies where pieces were removed in the last MEMORY
# frames: cameras pan, and people walk past.
OVERLAP, MEMORY = 0.1, 250
# How many times the least area a piece may have that appears in one frame only.
BRIEF_FACTOR = 10
# With a piece the alpha around it is removed that is at least TRACE; where that alpha leads to a
# kept piece, only the alpha within RIM pixels is removed.
TRACE, RIM = 0.01, 2


@dataclass(slots=True)
class IslandFilter:
    """Removes islands and holes from mattes in order, one frame late; a smoothing.Smoother.

    island, hole: least areas as shares of the picture's area; 0 is off. A smaller piece is removed
    where it is weak, or not present both in the frame before and in the frame after. A piece of up
    to BRIEF_FACTOR times that area is removed where neither frame shows it. Holes are treated as
    pieces of 1 - alpha.

    An island is also removed for its place: where it is far from every large piece as the shot
    begins, or weak and far later, as furniture is. It stays removed while it is far and small,
    however strong it becomes. A piece that first appears later and strong is a hand or a person,
    and stays.
    """

    island: float = 0.0
    hole: float = 0.0
    _alphas: deque[Float] = field(default_factory=deque)
    # Whether the next matte is the first of a shot.
    _begins: bool = True
    # Where pieces of this shot were removed for their place: for how many more frames that is
    # remembered, (h, w).
    _removed: NDArray[np.uint8] | None = None

    def push(self, alpha: Float, picture: NDArray[np.uint8]) -> list[Float]:
        """See smoothing.Smoother."""
        self._alphas.append(alpha)
        if len(self._alphas) == 2:
            return [self._filtered(self._alphas[0], [self._alphas[1]])]
        if len(self._alphas) < 2:
            return []
        before, now, after = self._alphas
        self._alphas.popleft()
        return [self._filtered(now, [before, after])]

    def flush(self) -> list[Float]:
        """See smoothing.Smoother."""
        held = list(self._alphas)
        self._alphas.clear()
        last = [self._filtered(held[-1], held[:-1])] if held else []
        self._begins, self._removed = True, None
        return last

    def _filtered(self, alpha: Float, neighbours: list[Float]) -> Float:
        """A matte without its stray pieces. neighbours: the mattes before and after it."""
        filtered = self._without_islands(alpha, neighbours) if self.island else alpha
        if self.hole:
            pieces = _Pieces(1 - filtered)
            if pieces.number > 1:
                stray = pieces.weak_or_brief(self.hole, [1 - each for each in neighbours])
                filtered = np.asarray(1 - pieces.without(stray), np.float32)
        return filtered

    def _without_islands(self, alpha: Float, neighbours: list[Float]) -> Float:
        begins, self._begins = self._begins, False
        pieces = _Pieces(alpha)
        if pieces.number <= 1 and self._removed is None:
            return alpha
        far = self._far(pieces, begins)
        return pieces.without(far | pieces.weak_or_brief(self.island, neighbours))

    def _far(self, pieces: _Pieces, begins: bool) -> Mask:
        """The pieces that are removed for their place, which is remembered."""
        small = pieces.below(self.island)
        if begins:
            far = pieces.far(small, small, FAR)
        else:
            strong = (pieces.alpha >= WEAK) & small.take(pieces.labels)
            weak = small & (pieces.count(strong) == 0)
            if self._removed is not None:
                known = (
                    pieces.count(self._removed > 0) >= OVERLAP * pieces.areas * self._removed.size
                )
                grown = pieces.areas >= RETURN_FACTOR * self.island
                weak |= known & ~grown
                self._removed -= self._removed > 0
                self._removed[(known & grown).take(pieces.labels)] = 0
            far = pieces.far(weak, small | weak, FAR / RETURN_FACTOR)
        if far.any():
            self._removed = (
                np.zeros(pieces.mask.shape, np.uint8) if self._removed is None else self._removed
            )
            self._removed[far.take(pieces.labels)] = MEMORY
        return far


class _Pieces:
    """The connected pieces of a matte.

    Arrays about pieces have one entry for each piece from index 1 on; index 0 stands for the pixels
    that are in no piece.
    """

    def __init__(self, alpha: Float) -> None:
        self.alpha = alpha
        self.mask = alpha > PRESENT
        count, labels = cv2.connectedComponents(self.mask.view(np.uint8))
        self.number, self.labels = count - 1, np.asarray(labels, np.int32)

    def count(self, where: Mask) -> NDArray[np.int64]:
        """How many pixels of each piece lie where a mask is set."""
        return np.bincount(self.labels[where], minlength=self.number + 1)

    @cached_property
    def areas(self) -> NDArray[np.float64]:
        """The pieces' areas as shares of the picture's; index 0 counts as large."""
        areas = self.count(self.mask) / self.mask.size
        areas[0] = np.inf
        return areas

    def below(self, least: float) -> Mask:
        """The pieces that are smaller than `least` and much smaller than the largest."""
        return np.asarray(self.areas < min(least, STRAY_SHARE * self.areas[1:].max(initial=0)))

    def far(self, some: Mask, small: Mask, limit: float) -> Mask:
        """Which of some pieces are at least `limit` from all that are not small; unit: see FAR."""
        if not some.any():
            return some
        places = np.flatnonzero(some.take(self.labels))
        side = np.sqrt(self.areas[1:][~small[1:]].max(initial=0) * self.mask.size)
        large = self.mask & ~small.take(self.labels)
        distance = cv2.distanceTransform((~large).view(np.uint8), cv2.DIST_L2, 3)
        near = places[distance.take(places) <= limit * side]
        found = some.copy()
        found[self.labels.take(near)] = False
        return found

    def weak_or_brief(self, least: float, neighbours: list[Float]) -> Mask:
        """The small pieces that are weak or appear too briefly, see IslandFilter."""
        small, brief = self.below(least), self.below(BRIEF_FACTOR * least)
        # What follows computes only at the pixels of pieces that may be removed.
        places = np.flatnonzero(brief.take(self.labels))
        if not places.size:
            return brief
        piece = self.labels.take(places)

        def has_pixels(where: Mask) -> Mask:
            """Which pieces have a pixel where a mask over `places` is set."""
            return np.asarray(np.bincount(piece[where], minlength=brief.size) > 0)

        present = [has_pixels(other.take(places) > PRESENT) for other in neighbours]
        present = present or [np.ones(brief.size, bool)]
        safe = np.all(present, axis=0) & has_pixels(self.alpha.take(places) >= WEAK)
        return np.asarray((small & ~safe) | (brief & ~np.any(present, axis=0)))

    def without(self, some: Mask) -> Float:
        """The matte without some pieces and without the faint alpha around them.

        Pieces that are kept keep the faint alpha around them.
        """
        if not some.any():
            return self.alpha
        stray = some.take(self.labels)
        kept = self.mask & ~stray
        rim, near_kept = (
            cv2.dilate(each.view(np.uint8), np.ones((side, side), np.uint8)).view(bool)
            for each, side in ((stray, 2 * RIM + 1), (kept, 3))
        )
        count, labels = cv2.connectedComponents((self.alpha > TRACE).view(np.uint8))
        around, alone = np.asarray(labels, np.int32), np.zeros(count, bool)
        alone[around[stray]] = True
        alone[around[kept]] = False
        return np.where(alone.take(around) | stray | (rim & ~near_kept), np.float32(0), self.alpha)
