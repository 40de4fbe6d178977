"""Stray pieces and pinholes: removed by their size, and by how briefly they are seen."""

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


@dataclass(slots=True)
class Sweeper:
    """Sweeps mattes in order, one frame late: a piece must be large, or seen in a frame beside it.

    island, hole: least area, as a part of the picture's. A piece between that and ten times it
    that neither the frame before nor the one after shows is an accident of one frame, and goes.
    Keeps the protocol of temporal.Smoother.
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
            seen = [each > PRESENT for each in beside]
            swept = np.where(_stray(alpha > PRESENT, seen, self.island), 0, swept)
        if self.hole:
            open_ = [each < 1 - PRESENT for each in beside]
            swept = np.where(_stray(alpha < 1 - PRESENT, open_, self.hole), 1, swept)
        return np.asarray(swept, np.float32)


def remove_islands(alpha: Float, least: float) -> Float:
    """Alpha without pieces smaller than `least` parts of the picture: (h, w) float32."""
    return np.where(_stray(alpha > PRESENT, [], least), 0, alpha).astype(np.float32)


def fill_holes(alpha: Float, least: float) -> Float:
    """Alpha without holes smaller than `least` parts of the picture: (h, w) float32."""
    return np.where(_stray(alpha < 1 - PRESENT, [], least), 1, alpha).astype(np.float32)


def _stray(mask: Mask, beside: list[Mask], least: float) -> Mask:
    """The pieces of a mask that are too small, or small and in none of the masks beside it."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8))
    areas = stats[:, cv2.CC_STAT_AREA] / mask.size
    stray = areas < least
    if beside:
        seen = np.zeros(count, bool)
        for other in beside:
            seen[np.unique(labels[other & mask])] = True
        stray |= (areas < 10 * least) & ~seen
    stray[0] = False
    return np.asarray(stray[labels], bool)
