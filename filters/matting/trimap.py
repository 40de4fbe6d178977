"""Trimaps: pixels that surely are the person, surely are background, or are unknown."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

BACKGROUND, UNKNOWN, PERSON = 0, 128, 255
NARROW = 3.0  # pixels: up to this width eroding by a disc is quicker than a distance transform


def trimap(alpha: NDArray[np.float32], width: float, *, sure: float = 0.05) -> NDArray[np.uint8]:
    """The trimap of a matte: (h, w) uint8, BACKGROUND, UNKNOWN or PERSON.

    alpha: (h, w) float32 in [0, 1]. width: of the unknown band on either side of an edge, in
    pixels. sure: how near to 0 or 1 alpha counts as known. Both sides are eroded by a disc of
    radius `width`; for a wide band a distance transform gives the same in a constant time.
    """
    # A hard edge becomes unknown as well: the pixels on both of its sides lie at distance 1.
    person, background = (
        _eroded(side.view(np.uint8), width) for side in (alpha >= 1 - sure, alpha <= sure)
    )
    return UNKNOWN + person * np.uint8(PERSON - UNKNOWN) - background * np.uint8(UNKNOWN)


def _eroded(mask: NDArray[np.uint8], width: float) -> NDArray[np.uint8]:
    """A 0/1 mask eroded by a disc: 1 where all pixels within `width` are 1."""
    if width > NARROW:
        return (_distance(mask) > width).view(np.uint8)
    reach = int(width)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (x * x + y * y <= width * width).astype(np.uint8)
    return np.asarray(cv2.erode(mask, disc), np.uint8)


def _distance(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The distance of each pixel to the nearest 0 of a mask; infinite where the mask has no 0."""
    if mask.all():
        return np.full(mask.shape, np.inf, np.float32)
    found = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(found, np.float32)
