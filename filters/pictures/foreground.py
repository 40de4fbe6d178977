"""The person's own colours under soft alpha, where the picture shows half the background.

Method: blur fusion (Forte and Pitie, "Approximate Fast Foreground Colour Estimation", ICIP 2021,
arXiv 2006.14970). Local means of foreground and background are computed at the network's size, and
one step of the matting equation at full size, only at pixels whose alpha is soft. All of it is
linear in the picture's codes, so it holds for luma, chroma and R'G'B' at any depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.composite import Plane
from mattecast.filters.pictures.upsampling import FULL, nearest_indices

Float = NDArray[np.float32]

# Half the sides of the two windows, as shares of the picture's height: the paper's 90 and 6 pixels
# at 1080 lines.
WIDE, NARROW = 1 / 12, 1 / 180
# Local means are smooth: they are computed at the network's size divided by this, enlarged as many
# times, and read without interpolation.
SHRINK = 2
# Pixels computed at once: so few that all their numbers stay in a core's cache.
_CHUNK = 16 * 1024
# Rows searched at once for soft pixels, for the same reason.
_ROWS = 128


@dataclass(frozen=True, slots=True)
class LocalColours:
    """Smooth colours on both sides of an edge: (h, w, 3) float32, in the codes of the planes."""

    foreground: Float
    background: Float

    def of_planes(self, part: slice) -> LocalColours:
        """The colours of some of the planes."""
        return LocalColours(self.foreground[..., part], self.background[..., part])

    def converted(self, matrix: Float) -> LocalColours:
        """The same colours in other codes. matrix: (3, 4) float32, its last column is added."""
        foreground, background = (
            np.asarray(cv2.transform(each, matrix), np.float32)
            for each in (self.foreground, self.background)
        )
        return LocalColours(foreground, background)


def local_colours(picture: NDArray[Any], alpha: Float) -> LocalColours:
    """Mean foreground and background colours around the pixels of a small picture.

    picture: (h, w, 3) float32 or uint8, in any linear code. alpha: (h, w) float32 in [0, 1].
    Returns colours of (h / SHRINK, w / SHRINK, 3) in the same code.
    """
    height, width = alpha.shape
    size = (max(1, width // SHRINK), max(1, height // SHRINK))
    small, small_alpha = (
        np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA), np.float32)
        for each in (picture, alpha)
    )
    weight = np.asarray(cv2.merge([small_alpha] * 3), np.float32)
    foreground, background = _weighted_means(small, small, weight, max(1, round(WIDE * size[1])))
    estimate = foreground + weight * (small - background - weight * (foreground - background))
    estimate = np.asarray(estimate, np.float32)
    return LocalColours(
        *_weighted_means(estimate, background, weight, max(1, round(NARROW * size[1])))
    )


def _weighted_means(
    foreground: Float, background: Float, weight: Float, radius: int
) -> tuple[Float, Float]:
    """Local means of foreground weighted by alpha, and of background by 1 - alpha."""
    side = (2 * radius + 1, 2 * radius + 1)
    share = cv2.blur(weight, side)
    inside = cv2.blur(cv2.multiply(foreground, weight), side)
    outside = cv2.blur(cv2.multiply(background, 1 - weight), side)
    # Where one side is far away, its colour is not needed: any finite value will do.
    tiny = np.float32(1e-5)
    front, back = cv2.divide(inside, share + tiny), cv2.divide(outside, 1 + tiny - share)
    return np.asarray(front, np.float32), np.asarray(back, np.float32)


def recover_colours(
    planes: list[Plane], alpha16: NDArray[np.uint16], colours: LocalColours, top: int
) -> None:
    """Replace, in place, the codes of planes by the foreground's codes where alpha is soft.

    planes: up to three (h, w) planes of one size, one for each plane of `colours`. alpha16: (h, w)
    uint16, 0..65535, of the same size. colours: in the planes' codes. top: the highest code.
    """
    pixels = _soft_pixels(alpha16)
    maps = _ColourMaps(colours, alpha16.shape)
    for first in range(0, pixels.size, _CHUNK):
        _recover_chunk(planes, alpha16, maps, top, pixels[first : first + _CHUNK])


def _soft_pixels(alpha16: NDArray[np.uint16]) -> NDArray[np.intp]:
    """Flat indices of the pixels whose alpha is neither 0 nor full."""
    found = []
    for top in range(0, alpha16.shape[0], _ROWS):
        soft = np.asarray(cv2.inRange(alpha16[top : top + _ROWS], 1, FULL - 1), np.uint8)
        found.append(np.flatnonzero(soft.view(bool)) + top * alpha16.shape[1])
    return np.concatenate(found)


class _ColourMaps:
    """The foreground's colours and their difference to the background's, at any full-size pixel."""

    def __init__(self, colours: LocalColours, shape: tuple[int, ...]) -> None:
        height, width = colours.foreground.shape[:2]
        size = (width * SHRINK, height * SHRINK)
        difference = colours.foreground - colours.background
        # One flat array for each plane: gathering single numbers is quicker than triples.
        self._planes = [
            [
                cv2.resize(np.ascontiguousarray(each[..., plane]), size).ravel()
                for each in (colours.foreground, difference)
            ]
            for plane in range(difference.shape[2])
        ]
        self._rows = nearest_indices(size[1], shape[0]) * size[0]
        self._columns = nearest_indices(size[0], shape[1])

    def at(
        self, rows: NDArray[np.intp], columns: NDArray[np.intp]
    ) -> Iterator[tuple[Float, Float]]:
        """Both at n pixels, plane after plane: (n,) float32 arrays, which the caller may change."""
        indices = self._rows.take(rows) + self._columns.take(columns)
        for foreground, difference in self._planes:
            yield foreground.take(indices), difference.take(indices)


def _recover_chunk(
    planes: list[Plane],
    alpha16: NDArray[np.uint16],
    maps: _ColourMaps,
    top: int,
    pixels: NDArray[np.intp],
) -> None:
    """Recover the foreground at some pixels, which are flat indices."""
    width = alpha16.shape[1]
    rows = pixels // width
    columns = pixels - rows * width
    alpha = alpha16.ravel().take(pixels) * np.float32(1 / FULL)
    complement = 1 - alpha
    steps, indices = (width, 1), pixels
    for plane, (front, code) in zip(planes, maps.at(rows, columns), strict=True):
        flat, *own_steps = _flat(plane)
        if tuple(own_steps) != steps:
            steps = own_steps[0], own_steps[1]
            indices = rows * steps[0] + columns * steps[1]
        picture = flat.take(indices)
        # F + alpha (C - B - alpha (F - B)), written as what is to be added to C.
        code *= alpha
        code += front
        code -= picture
        code *= complement
        code += picture
        code += np.float32(0.5)
        flat[indices] = np.clip(code, 0, top, out=code).astype(plane.dtype)


def _flat(plane: Plane) -> tuple[Plane, int, int]:
    """A plane's memory as one flat array, and the steps down and across in it.

    Flat indices are three times quicker than rows and columns, and the steps hold for any padding
    and packing of the plane.
    """
    down, across = (stride // plane.itemsize for stride in plane.strides)
    length = (plane.shape[0] - 1) * down + (plane.shape[1] - 1) * across + 1
    flat: Plane = np.lib.stride_tricks.as_strided(  # type: ignore[assignment]
        plane, (length,), (plane.itemsize,)
    )
    return flat, down, across
