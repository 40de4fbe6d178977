"""One person of several: the piece of the matte that a box chose, tracked by its overlap."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

# Alpha above which neighbouring pixels belong to one piece.
BODY = 0.3
# Within this many pixels of the chosen piece soft alpha belongs to it.
_EDGE_WIDTH = 7


@dataclass(slots=True)
class PersonTracker:
    """Keeps one connected piece of each matte. People who touch in the picture are one piece."""

    _kept: NDArray[np.bool_] | None = None

    def choose(self, box: tuple[float, float, float, float], shape: tuple[int, ...]) -> None:
        """Track from here what lies in a box.

        box: left, top, right, bottom, as shares of the picture's width and height. shape: of the
        mattes, (height, width, ...).
        """
        height, width = shape[:2]
        left, right = sorted(int(side * width) for side in box[::2])
        top, bottom = sorted(int(side * height) for side in box[1::2])
        self._kept = np.zeros((height, width), bool)
        self._kept[max(0, top) : max(top, bottom) + 1, max(0, left) : max(left, right) + 1] = True

    def step(self, alpha: Float) -> Float:
        """The next matte, (h, w) float32 in [0, 1], without the other people."""
        if self._kept is None:
            return alpha
        body = (alpha > BODY).astype(np.uint8)
        count, components = cv2.connectedComponents(body)
        labels = np.asarray(components, np.int32)
        overlap = np.bincount(labels[self._kept], minlength=count)
        overlap[0] = 0
        if not overlap.any():
            return np.zeros_like(alpha)  # out of sight; the next matte is searched there again
        mine = labels == int(np.argmax(overlap))
        self._kept = np.asarray(mine, bool)
        others = (body != 0) & ~mine
        square = np.ones((2 * _EDGE_WIDTH + 1, 2 * _EDGE_WIDTH + 1), np.uint8)
        near = np.asarray(cv2.dilate(mine.astype(np.uint8), square), np.uint8) != 0
        return np.where(near & ~others, alpha, 0).astype(np.float32)
