"""Masks drawn by hand: polygons and pictures with keyframes, laid over a matte exactly."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

Alpha16 = NDArray[np.uint16]
# fillPoly's fractional bits of a coordinate.
_SHIFT = 8


@dataclass(frozen=True, slots=True)
class Key:
    """A shape at a time (seconds from the run's first frame).

    polygon: (n, 2) float64, x and y in parts of the picture; or picture: (h, w) uint8, 255 inside.
    """

    time: Fraction
    polygon: NDArray[np.float64] | None = None
    picture: NDArray[np.uint8] | None = None


def mask_at(keys: Sequence[Key], time: Fraction, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The mask a keyframed shape draws at a time: (H, W) uint8, 255 inside.

    size: (width, height). Before the first key and after the last the shape stands still; between
    two polygons of as many corners it moves in straight lines, else it stands until the next key.
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
        way = min(1.0, max(0.0, float((time - before.time) / (after.time - before.time))))
        polygon = polygon + way * (after.polygon - polygon)
    return _filled(polygon, size)


def _filled(polygon: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.uint8]:
    mask = np.zeros((size[1], size[0]), np.uint8)
    # Pixel centres lie at half places.
    corners = (polygon * size - 0.5) * (1 << _SHIFT)
    # Far outside a picture fillPoly's integers overflow; a polygon that far in is cut off alike.
    corners = np.clip(np.round(corners), -(1 << 24), 1 << 24).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, _SHIFT)
    return mask


def without(alpha: Alpha16, mask: NDArray[np.uint8]) -> Alpha16:
    """Alpha with everything inside a mask gone: exactly 0 where it is 255, untouched where 0."""
    kept = (255 - mask).astype(np.float32)
    # Exact: a product of 16 and 8 bits fits a float32's 24.
    product = cv2.multiply(alpha, kept, scale=1 / 255, dtype=cv2.CV_16U)
    return np.asarray(product, np.uint16)


def held(alpha: Alpha16, mask: NDArray[np.uint8]) -> Alpha16:
    """Alpha with everything inside a mask solid: exactly 65535 where it is 255."""
    solid = mask.astype(np.uint16) * np.uint16(257)
    return np.asarray(np.maximum(alpha, solid), np.uint16)
