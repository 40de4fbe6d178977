"""A matte corrected by hand at one frame: the correction travels on with what it was drawn on, into
the frames after it and into those before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mattecast.filters.time.smoothing import carried

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# A change that nowhere is larger has been lost on the way.
FAINT = 0.02


@dataclass(slots=True)
class Correction:
    """Adds to each matte what the last correction changed, moved along the picture's motion."""

    _change: Float | None = None
    _picture: Bytes | None = None

    def step(
        self,
        alpha: Float,
        picture: Bytes,
        wanted: Float | None = None,
        coming: Float | None = None,
        share: float = 0.0,
    ) -> Float:
        """The next matte corrected.

        wanted: (h, w) float32 in [0, 1] at a frame drawn by hand. coming: (h, w) float32, what the
        next correction changes here (see `backwards`), and share, 0 to 1, how far the way to it
        is gone: the one correction gives way to the other.
        """
        if wanted is not None:
            self._change = np.asarray(wanted - alpha, np.float32)
        elif self._change is not None and self._picture is not None:
            self._change = carried(self._change, self._picture, picture)
        self._picture = picture
        change = self._change
        if coming is not None:
            weight = np.float32(share)
            change = coming if change is None else change + weight * (coming - change)
        if change is None:
            return alpha
        return np.asarray(np.clip(alpha + change, 0, 1), np.float32)

    def forget(self) -> None:
        """Drop the correction: at a cut."""
        self._change = self._picture = None


def backwards(change: Float, picture: Bytes, earlier: Iterable[Bytes]) -> Iterator[Float]:
    """What a correction changes in the frames before the one it was drawn on, until it is lost.

    change: (h, w) float32 in [-1, 1], wanted less estimated matte of `picture`, (h, w, 3) uint8.
    earlier: the pictures before it, the latest first.
    """
    for before in earlier:
        change = carried(change, picture, before)
        if float(np.abs(change).max()) < FAINT:
            return
        yield change
        picture = before
