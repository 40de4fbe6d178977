"""Garbage and keep masks drawn by hand: polygons and pictures with keyframes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

Alpha16 = NDArray[np.uint16]
# Fractional bits of the coordinates that fillPoly takes.
_SHIFT = 8


@dataclass(frozen=True, slots=True)
class Keyframe:
    """A shape at a time, in seconds from the run's first frame.

    The shape is a polygon, (n, 2) float64, x and y as shares of the picture's width and height, or
    a picture, (h, w) uint8, 255 inside.
    """

    time: Fraction
    polygon: NDArray[np.float64] | None = None
    picture: NDArray[np.uint8] | None = None


def mask_at(keys: Sequence[Keyframe], time: Fraction, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask of a keyframed shape at a time: (H, W) uint8, 255 inside.

    size: (width, height). Before the first keyframe and after the last one the shape stands still.
    Between two polygons with the same number of corners it moves in straight lines; otherwise it
    stands still until the next keyframe.
    """
    place = bisect_right([key.time for key in keys], time)
    before = keys[max(0, place - 1)]
    after = keys[min(place, len(keys) - 1)]
    if before.picture is not None:
        drawn = cv2.resize(before.picture, size, interpolation=cv2.INTER_LINEAR)
        return np.asarray(drawn, np.uint8)
    assert before.polygon is not None
    polygon = before.polygon
    if after.polygon is not None and after.polygon.shape == polygon.shape and after is not before:
        share = min(1.0, max(0.0, float((time - before.time) / (after.time - before.time))))
        polygon = polygon + share * (after.polygon - polygon)
    return _draw(polygon, size)


def _draw(polygon: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    mask = np.zeros((size[1], size[0]), np.uint8)
    # A pixel's centre lies half a pixel from its corner.
    corners = (polygon * size - 0.5) * (1 << _SHIFT)
    # Further outside the picture fillPoly's integers would overflow.
    corners = np.clip(np.round(corners), -(1 << 24), 1 << 24).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, _SHIFT)
    return mask


def apply_garbage_mask(alpha: Alpha16, mask: NDArray[np.uint8]) -> Alpha16:
    """Remove what lies inside a mask from (H, W) uint16 alpha.

    mask: (H, W) uint8. Alpha becomes exactly 0 where the mask is 255, and is unchanged where the
    mask is 0.
    """
    kept = (255 - mask).astype(np.float32)
    # Exact: a product of 16 and 8 bits fits the 24 bits of a float32.
    product = cv2.multiply(alpha, kept, scale=1 / 255, dtype=cv2.CV_16U)
    return np.asarray(product, np.uint16)


def apply_keep_mask(alpha: Alpha16, mask: NDArray[np.uint8]) -> Alpha16:
    """Make (H, W) uint16 alpha solid inside a (H, W) uint8 mask: exactly 65535 where it is 255."""
    solid = mask.astype(np.uint16) * np.uint16(257)
    return np.asarray(np.maximum(alpha, solid), np.uint16)
