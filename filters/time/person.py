"""One person of several: the piece of the matte that was pointed at, followed by its overlap."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

# Alpha above which two places hang together.
BODY = 0.3
# Pixels around the chosen piece in which soft alpha belongs to it.
_AROUND = 7


@dataclass(slots=True)
class Follower:
    """Keeps one connected piece of each matte. People who touch in the picture are one piece."""

    _kept: NDArray[np.bool_] | None = None

    def choose(self, box: tuple[float, float, float, float], shape: tuple[int, ...]) -> None:
        """Follow from here what lies in a box: left, top, right, bottom in parts of the picture."""
        height, width = shape[:2]
        left, right = sorted(int(side * width) for side in box[::2])
        top, bottom = sorted(int(side * height) for side in box[1::2])
        self._kept = np.zeros((height, width), bool)
        self._kept[max(0, top) : max(top, bottom) + 1, max(0, left) : max(left, right) + 1] = True

    def step(self, alpha: Float) -> Float:
        """The next matte, (h, w) float32 in [0, 1], without anybody else."""
        if self._kept is None:
            return alpha
        body = (alpha > BODY).astype(np.uint8)
        count, labels = cv2.connectedComponents(body)
        overlap = np.bincount(labels[self._kept], minlength=count)
        overlap[0] = 0
        if not overlap.any():
            return np.zeros_like(alpha)  # gone, or behind somebody; looked for in the same place
        mine = labels == int(np.argmax(overlap))
        self._kept = np.asarray(mine, bool)
        others = (body != 0) & ~mine
        near = cv2.dilate(mine.astype(np.uint8), np.ones((2 * _AROUND + 1,) * 2, np.uint8)) != 0
        return np.where(near & ~others, alpha, 0).astype(np.float32)
