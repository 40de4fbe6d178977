"""Pictures for live tests, and a target that keeps the pictures it gets."""

from __future__ import annotations

import numpy as np

from mattecast.live.picture import Picture
from mattecast.live.threads import now


class Collected:
    """A target that keeps what it gets."""

    name, one_size = "collected", False

    def __init__(self) -> None:
        self.pictures: list[Picture] = []

    def open(self, picture: Picture) -> None:
        """Nothing to open."""

    def write(self, picture: Picture) -> None:
        self.pictures.append(picture)

    def close(self) -> None:
        """Nothing to close."""


def picture(index: int = 0, size: tuple[int, int] = (64, 48)) -> Picture:
    """A picture of known codes, different for each index."""
    bgra = np.zeros((size[1], size[0], 4), np.uint8)
    bgra[:] = (index, 100, 200, 255)
    bgra[: size[1] // 2, :, 3] = 128
    return Picture(bgra, now())
