"""Steps that several solvers share: one-sided trimaps, nearest known colours, mixing shares."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.trimap import BACKGROUND, PERSON

Values = TypeVar("Values", NDArray[np.float32], NDArray[np.float64])


def matte_of_one_side(trimap: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """The matte of a trimap that lacks person or background, so that nothing is to be solved.

    trimap: (h, w) uint8. Returns (h, w) float32, 1 or 0 everywhere; None where both sides exist.
    """
    person = bool((trimap == PERSON).any())
    if person and (trimap == BACKGROUND).any():
        return None
    return np.full(trimap.shape, float(person), np.float32)


def nearest(values: Values, side: NDArray[np.bool_], mask: int) -> Values:
    """The values of one side, and outside it those of the side's nearest pixel.

    values: (h, w) or (h, w, c) float. side: (h, w) bool, not empty. mask: 3 or 5, the mask size of
    the distance transform; 5 finds the nearest pixel more exactly.
    """
    _, labels = cv2.distanceTransformWithLabels(
        (~side).astype(np.uint8), cv2.DIST_L2, mask, labelType=cv2.DIST_LABEL_PIXEL
    )
    own = np.zeros((int(labels.max()) + 1, *values.shape[2:]), values.dtype)
    own[labels[side]] = values[side]
    found: Values = own[labels]
    return found


def mixing_share(offset: Values, difference: Values) -> Values:
    """Alpha, (n,) in [0, 1], with which foreground and background mix best to given colours.

    offset: (n, c), the colours less the background's. difference: (n, c), the foreground's colours
    less the background's.
    """
    share = (offset * difference).sum(1) / np.maximum((difference * difference).sum(1), 1e-3)
    alpha: Values = np.clip(share, 0, 1)
    return alpha
