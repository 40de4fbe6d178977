"""Trimaps: what is surely person, what is surely not, and what has to be found out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BACKGROUND, UNKNOWN, PERSON = 0, 128, 255


def trimap(alpha: NDArray[np.float32], width: float, *, sure: float = 0.05) -> NDArray[np.uint8]:
    """A trimap of a matte: (h, w) uint8 of 0, 128 and 255.

    alpha: (h, w) float32 in [0, 1]. width: of the unknown band on either side of an edge, in
    pixels. sure: how near to 0 or 1 alpha counts as known. This is erosion of both sides by a disc
    of that radius, exactly; any width costs the same, for the band is found by distance and not by
    a larger and larger kernel.
    """
    # A hard edge between two known sides is unknown as well: both its pixels lie at distance 1.
    person = (alpha >= 1 - sure).astype(np.uint8)
    background = (alpha <= sure).astype(np.uint8)
    inside, outside = (_distance(each) for each in (person, background))
    known = np.full(alpha.shape, UNKNOWN, np.uint8)
    known[inside > width] = PERSON
    known[outside > width] = BACKGROUND
    return known


def _distance(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Distance of each pixel of a mask to the nearest outside it; nothing lies outside an all-1."""
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    found = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(found, np.float32)
