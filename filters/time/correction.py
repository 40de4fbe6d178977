"""Corrections drawn by hand at one frame, propagated to the frames after and before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mattecast.filters.time.smoothing import propagate

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# A change that is nowhere larger than this counts as lost.
FAINT = 0.02


@dataclass(slots=True)
class Correction:
    """Adds to each matte the change of the last correction, moved along the picture's motion."""

    _change: Float | None = None
    _picture: Bytes | None = None

    def step(
        self,
        alpha: Float,
        picture: Bytes,
        drawn: Float | None = None,
        next_change: Float | None = None,
        share: float = 0.0,
    ) -> Float:
        """The next matte, corrected: (h, w) float32 in [0, 1].

        alpha: (h, w) float32 in [0, 1]. picture: (h, w, 3) uint8 RGB. drawn: the matte, like alpha,
        at a frame that is corrected by hand. next_change: (h, w) float32, the change that the next
        correction makes here (see propagate_backwards). share: 0 to 1, the weight of next_change
        against the last correction's change.
        """
        if drawn is not None:
            self._change = np.asarray(drawn - alpha, np.float32)
        elif self._change is not None and self._picture is not None:
            self._change = propagate(self._change, self._picture, picture)
        self._picture = picture
        change = self._change
        if next_change is not None:
            weight = np.float32(share)
            change = next_change if change is None else change + weight * (next_change - change)
        if change is None:
            return alpha
        return np.asarray(np.clip(alpha + change, 0, 1), np.float32)

    def reset(self) -> None:
        """Forget the correction, at a cut."""
        self._change = self._picture = None


def propagate_backwards(change: Float, picture: Bytes, earlier: Iterable[Bytes]) -> Iterator[Float]:
    """The change of a correction in the frames before it, until it is lost.

    change: (h, w) float32 in [-1, 1], drawn less estimated matte of `picture`, (h, w, 3) uint8 RGB.
    earlier: the pictures before it, the latest first. Yields (h, w) float32.
    """
    for before in earlier:
        change = propagate(change, picture, before)
        if float(np.abs(change).max()) < FAINT:
            return
        yield change
        picture = before
