"""True foreground colours under soft alpha: what is seen there is half background.

Blur fusion (Forte and Pitie, "Approximate Fast Foreground Colour Estimation", ICIP 2021, arXiv
2006.14970): local means of foreground and background, found at the network's size, then one step
of the matting equation at full size, only at pixels whose alpha is soft. Everything is linear in
the picture's codes, so it holds for luma, chroma and R'G'B' at any depth.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.composite import Plane

Float = NDArray[np.float32]

# Half sides of the two windows in parts of the picture's height: the paper's 90 and 6 pixels at
# 1080 lines.
WIDE, NARROW = 1 / 12, 1 / 180
# Local means are smooth: they are found at the network's size divided by this.
SHRINK = 3
# Pixels to a row of the sampling maps; OpenCV's remap takes at most 32767. Pixels worked on at
# once: few enough that all their numbers stay in a core's cache.
_ROW, _CHUNK = 1024, 16 * 1024


@dataclass(frozen=True, slots=True)
class LocalColours:
    """Smooth colours on either side of an edge: (h, w, 3) float32, in the codes of the planes."""

    foreground: Float
    background: Float

    def of(self, part: slice) -> LocalColours:
        """The colours of some of the planes."""
        return LocalColours(*(np.ascontiguousarray(each[..., part])
                              for each in (self.foreground, self.background)))  # fmt: skip


def local_colours(picture: Float, alpha: Float) -> LocalColours:
    """Mean foreground and background colours around every pixel of a small picture.

    picture: (h, w, 3) float32, any linear code. alpha: (h, w) float32 in [0, 1].
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
    for first in range(0, places.size, _CHUNK):
        _recover_some(planes, alpha16, colours, top, places[first : first + _CHUNK])


def _recover_some(
    planes: list[Plane], alpha16: NDArray[np.uint16], colours: LocalColours, top: int,
    places: NDArray[np.int32],
) -> None:  # fmt: skip
    rows, columns = np.divmod(places, np.int32(alpha16.shape[1]))
    foreground, background = _sampled(colours, columns, rows, alpha16.shape)
    alpha = alpha16.ravel()[places].astype(np.float32) * np.float32(1 / 65535)
    for plane, front, back in zip(planes, foreground.T, background.T, strict=True):
        flat, down, across = _flat(plane)
        at = rows.astype(np.intp) * down + columns * across
        code = front + alpha * (flat[at] - back - alpha * (front - back)) + np.float32(0.5)
        flat[at] = np.clip(code, 0, top).astype(plane.dtype)


def _flat(plane: Plane) -> tuple[Plane, int, int]:
    """A plane's memory as one row, and the steps down and across in it: indexing that is three
    times quicker than by row and column, whatever padding or packing lies between."""
    down, across = (stride // plane.itemsize for stride in plane.strides)
    length = (plane.shape[0] - 1) * down + (plane.shape[1] - 1) * across + 1
    flat: Plane = np.lib.stride_tricks.as_strided(  # type: ignore[assignment]
        plane, (length,), (plane.itemsize,)
    )
    return flat, down, across


def _soft(alpha16: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Flat indices of the pixels that are neither empty nor full."""
    mask = np.asarray(cv2.inRange(alpha16, 1, 65534)).ravel()
    if mask.size % 8:
        return np.flatnonzero(mask).astype(np.int32)
    # Eight at once: most of a picture is empty or full.
    groups = np.flatnonzero(mask.view(np.uint64)).astype(np.int32)
    inside = np.flatnonzero(mask.reshape(-1, 8)[groups]).astype(np.int32)
    return np.asarray(groups[inside >> 3] * 8 + (inside & 7), np.int32)


def _sampled(
    colours: LocalColours, columns: NDArray[np.int32], rows: NDArray[np.int32],
    shape: tuple[int, ...],
) -> tuple[Float, Float]:  # fmt: skip
    """Both colours, (n, planes) float32, at pixels of a picture of the given (height, width)."""
    small = colours.foreground.shape
    x = (columns + np.float32(0.5)) * np.float32(small[1] / shape[1]) - np.float32(0.5)
    y = (rows + np.float32(0.5)) * np.float32(small[0] / shape[0]) - np.float32(0.5)
    across, down = (np.pad(each.astype(np.float32), (0, -each.size % _ROW), mode="edge")
                    .reshape(-1, _ROW) for each in (x, y))  # fmt: skip
    foreground, background = (
        np.asarray(
            cv2.remap(each, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE),
            np.float32,
        ).reshape(across.size, -1)
        for each in (colours.foreground, colours.background)
    )
    return foreground[: columns.size], background[: columns.size]
