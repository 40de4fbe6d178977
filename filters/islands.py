"""Stray pieces and pinholes: removed by their size, strength, place and time.

Size alone does not tell a mistake: on clips with true mattes nearly every small hole that a good
network (Robust Video Matting) draws and holds is the wall seen between arm and body.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

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
# How many times the least area a piece may have that is seen in one frame only.
ONCE = 10
# How far a removed piece's faint rim reaches, in pixels.
RIM = 2


@dataclass(slots=True)
class Sweeper:
    """Sweeps mattes in order, one frame late. Keeps the protocol of temporal.Smoother.

    island, hole: as parts of the picture's area. A smaller piece goes where it is weak, far from
    every large one, or not seen both in the frame before and in the one after; one up to ten
    times as large where neither of them shows it. Holes are pieces of the complement, but none
    is ever far: the larger a gap between arm and body, the further in it lies.
    """

    island: float = 0.0
    hole: float = 0.0
    _alphas: deque[Float] = field(default_factory=deque)

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
        return [self._swept(held[-1], held[:-1])] if held else []

    def _swept(self, alpha: Float, beside: list[Float]) -> Float:
        swept = alpha
        if self.island:
            swept = _without_strays(swept, beside, self.island, FAR)
        if self.hole:
            inverses = [1 - each for each in beside]
            closed = _without_strays(1 - swept, inverses, self.hole, None)
            swept = np.asarray(1 - closed, np.float32)
        return swept


def _without_strays(alpha: Float, beside: list[Float], least: float, far: float | None) -> Float:
    """A matte without its stray pieces; far None: no piece goes for its place."""
    mask = alpha > PRESENT
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8))
    if count <= 2:
        return alpha
    areas = stats[:, cv2.CC_STAT_AREA] / mask.size
    areas[0] = 1
    largest = areas[1:].max()
    small = areas < min(least, STRAY * largest)
    once = areas < min(ONCE * least, STRAY * largest)
    # All that follows only looks at the pixels of pieces that may go.
    places = np.flatnonzero(once[labels])
    if not places.size:
        return alpha
    piece = labels.take(places)

    def shown(where: Mask) -> Mask:
        return np.asarray(np.bincount(piece[where], minlength=count) > 0)

    seen = [shown(other.take(places) > PRESENT) for other in beside] or [np.ones(count, bool)]
    safe = np.all(seen, axis=0) & shown(alpha.take(places) >= WEAK)
    if far is not None and (small & safe).any():
        distance = _distance(mask & ~small[labels]).take(places)
        safe &= shown(distance <= far * np.sqrt(largest * mask.size))
    stray = (small & ~safe) | (once & ~np.any(seen, axis=0))
    return _without(alpha, mask, stray[labels]) if stray.any() else alpha


def _without(alpha: Float, mask: Mask, stray: Mask) -> Float:
    """A matte without some pieces of its mask, and without their rim: that lies below what counts
    as present. What is kept does not lose its own."""
    rim, beside = (
        cv2.dilate(each.view(np.uint8), np.ones((side, side), np.uint8)).view(bool)
        for each, side in ((stray, 2 * RIM + 1), (mask & ~stray, 3))
    )
    return np.where(stray | (rim & ~beside), np.float32(0), alpha)


def _distance(mask: Mask) -> Float:
    """How many pixels away a mask is."""
    distance = cv2.distanceTransform((~mask).view(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(distance, np.float32)
