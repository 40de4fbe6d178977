"""Trimaps: what is surely person, what is surely not, and what has to be found out."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BACKGROUND, UNKNOWN, PERSON = 0, 128, 255
NARROW = 3.0  # pixels: up to here a disc is quicker than distances


def trimap(alpha: NDArray[np.float32], width: float, *, sure: float = 0.05) -> NDArray[np.uint8]:
    """A trimap of a matte: (h, w) uint8 of 0, 128 and 255.

    alpha: (h, w) float32 in [0, 1]. width: of the unknown band on either side of an edge, in
    pixels. sure: how near to 0 or 1 alpha counts as known. This is erosion of both sides by a disc
    of that radius, exactly; a wide one is found by distance, which costs the same for any width.
    """
    # A hard edge between two known sides is unknown as well: both its pixels lie at distance 1.
    person, background = (
        _eroded(side.view(np.uint8), width) for side in (alpha >= 1 - sure, alpha <= sure)
    )
    return UNKNOWN + person * np.uint8(PERSON - UNKNOWN) - background * np.uint8(UNKNOWN)


def _eroded(mask: NDArray[np.uint8], width: float) -> NDArray[np.uint8]:
    """1 where a mask has nothing outside it within `width`."""
    if width > NARROW:
        return (_distance(mask) > width).view(np.uint8)
    reach = int(width)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (x * x + y * y <= width * width).astype(np.uint8)
    return np.asarray(cv2.erode(mask, disc), np.uint8)


def _distance(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Distance of each pixel of a mask to the nearest outside it; nothing lies outside an all-1."""
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    found = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(found, np.float32)
