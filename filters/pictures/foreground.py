"""True foreground colours under soft alpha: what is seen there is half background.

Blur fusion (Forte and Pitie, "Approximate Fast Foreground Colour Estimation", ICIP 2021, arXiv
2006.14970): local means of foreground and background, found at the network's size, then one step
of the matting equation at full size, only at pixels whose alpha is soft. Everything is linear in
the picture's codes, so it holds for luma, chroma and R'G'B' at any depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.composite import Plane
from mattecast.filters.pictures.upsampling import FULL, lookup

Float = NDArray[np.float32]

# Half sides of the two windows in parts of the picture's height: the paper's 90 and 6 pixels at
# 1080 lines.
WIDE, NARROW = 1 / 12, 1 / 180
# Local means are smooth: they are found at the network's size divided by this, and looked up
# enlarged as many times, without interpolation.
SHRINK = 2
# Pixels worked on at once: few enough that all their numbers stay in a core's cache.
_CHUNK = 16 * 1024
# Rows searched at once for soft pixels, for the same reason.
_ROWS = 128


@dataclass(frozen=True, slots=True)
class LocalColours:
    """Smooth colours on either side of an edge: (h, w, 3) float32, in the codes of the planes."""

    foreground: Float
    background: Float

    def of(self, part: slice) -> LocalColours:
        """The colours of some of the planes."""
        return LocalColours(self.foreground[..., part], self.background[..., part])

    def coded(self, table: Float) -> LocalColours:
        """The same colours in other codes: (3, 4) float32 table, the last column added."""
        foreground, background = (
            np.asarray(cv2.transform(each, table), np.float32)
            for each in (self.foreground, self.background)
        )
        return LocalColours(foreground, background)


def local_colours(picture: NDArray[Any], alpha: Float) -> LocalColours:
    """Mean foreground and background colours around every pixel of a small picture.

    picture: (h, w, 3) float32 or uint8, any linear code. alpha: (h, w) float32 in [0, 1].
    """
    height, width = alpha.shape
    size = (max(1, width // SHRINK), max(1, height // SHRINK))
    small, few = (
        np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA), np.float32)
        for each in (picture, alpha)
    )
    weight = np.asarray(cv2.merge([few, few, few]), np.float32)
    foreground, background = _fused(small, small, weight, max(1, round(WIDE * size[1])))
    seen = foreground + weight * (small - background - weight * (foreground - background))
    seen = np.asarray(seen, np.float32)
    return LocalColours(*_fused(seen, background, weight, max(1, round(NARROW * size[1]))))


def _fused(foreground: Float, background: Float, weight: Float, radius: int) -> tuple[Float, Float]:
    """Means of foreground weighted by alpha and of background weighted by its complement."""
    side = (2 * radius + 1, 2 * radius + 1)
    share = cv2.blur(weight, side)
    inside = cv2.blur(cv2.multiply(foreground, weight), side)
    outside = cv2.blur(cv2.multiply(background, 1 - weight), side)
    # Where nothing of a side is near, its colour is not needed: anything finite will do.
    tiny = np.float32(1e-5)
    front, back = cv2.divide(inside, share + tiny), cv2.divide(outside, 1 + tiny - share)
    return np.asarray(front, np.float32), np.asarray(back, np.float32)


def recover(
    planes: list[Plane], alpha16: NDArray[np.uint16], colours: LocalColours, top: int
) -> None:
    """Replace, in place, the codes of planes of one size by foreground codes where alpha is soft.

    planes: up to three (h, w) planes, matching the last axis of `colours`. alpha16: (h, w) uint16,
    0..65535, of the same size. top: the highest code.
    """
    places = _soft(alpha16)
    lookup = _Lookup(colours, alpha16.shape)
    for first in range(0, places.size, _CHUNK):
        _recover_some(planes, alpha16, lookup, top, places[first : first + _CHUNK])


def _soft(alpha16: NDArray[np.uint16]) -> NDArray[np.intp]:
    """Flat indices of the pixels that are neither empty nor full."""
    found = []
    for top in range(0, alpha16.shape[0], _ROWS):
        soft = np.asarray(cv2.inRange(alpha16[top : top + _ROWS], 1, FULL - 1), np.uint8)
        found.append(np.flatnonzero(soft.view(bool)) + top * alpha16.shape[1])
    return np.concatenate(found)


class _Lookup:
    """Foreground, and its difference to the background, at any pixel of a picture."""

    def __init__(self, colours: LocalColours, shape: tuple[int, ...]) -> None:
        height, width = colours.foreground.shape[:2]
        size = (width * SHRINK, height * SHRINK)
        difference = colours.foreground - colours.background
        # One row of numbers a plane: gathering single numbers is quicker than triples.
        self._planes = [
            [
                cv2.resize(np.ascontiguousarray(each[..., plane]), size).ravel()
                for each in (colours.foreground, difference)
            ]
            for plane in range(difference.shape[2])
        ]
        self._rows = lookup(size[1], shape[0]) * size[0]
        self._columns = lookup(size[0], shape[1])

    def __call__(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> Iterator[tuple[Float, Float]]:
        """Both at n pixels, plane after plane: (n,) float32, free to be written into."""
        places = self._rows.take(rows) + self._columns.take(columns)
        for foreground, difference in self._planes:
            yield foreground.take(places), difference.take(places)


def _recover_some(
    planes: list[Plane],
    alpha16: NDArray[np.uint16],
    lookup: _Lookup,
    top: int,
    places: NDArray[np.intp],
) -> None:
    width = alpha16.shape[1]
    rows = places // width
    columns = places - rows * width
    alpha = alpha16.ravel().take(places) * np.float32(1 / FULL)
    rest = 1 - alpha
    steps, at = (width, 1), places
    for plane, (front, code) in zip(planes, lookup(rows, columns), strict=True):
        flat, *own_steps = _flat(plane)
        if tuple(own_steps) != steps:
            steps = own_steps[0], own_steps[1]
            at = rows * steps[0] + columns * steps[1]
        seen = flat.take(at)
        # F + alpha (C - B - alpha (F - B)), as what is to be added to C.
        code *= alpha
        code += front
        code -= seen
        code *= rest
        code += seen
        code += np.float32(0.5)
        flat[at] = np.clip(code, 0, top, out=code).astype(plane.dtype)


def _flat(plane: Plane) -> tuple[Plane, int, int]:
    """A plane's memory as one row, and the steps down and across in it: indexing that is three
    times quicker than by row and column, whatever padding or packing lies between."""
    down, across = (stride // plane.itemsize for stride in plane.strides)
    length = (plane.shape[0] - 1) * down + (plane.shape[1] - 1) * across + 1
    flat: Plane = np.lib.stride_tricks.as_strided(  # type: ignore[assignment]
        plane, (length,), (plane.itemsize,)
    )
    return flat, down, across
