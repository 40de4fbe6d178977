"""A matte corrected by hand at one frame: the correction travels on with what it was drawn on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mattecast.filters.temporal import carried

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@dataclass(slots=True)
class Correction:
    """Adds to each matte what the last correction changed, moved along the picture's motion."""

    _change: Float | None = None
    _picture: Bytes | None = None

    def step(self, alpha: Float, picture: Bytes, wanted: Float | None = None) -> Float:
        """The next matte corrected. wanted: (h, w) float32 in [0, 1] at a frame drawn by hand."""
        if wanted is not None:
            self._change = np.asarray(wanted - alpha, np.float32)
        elif self._change is not None and self._picture is not None:
            self._change = carried(self._change, self._picture, picture)
        self._picture = picture
        if self._change is None:
            return alpha
        return np.asarray(np.clip(alpha + self._change, 0, 1), np.float32)

    def forget(self) -> None:
        """Drop the correction: at a cut."""
        self._change = self._picture = None
