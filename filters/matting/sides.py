"""What methods that solve a trimap's unknown band from its two known sides have in common."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.trimap import BACKGROUND, PERSON

Values = TypeVar("Values", NDArray[np.float32], NDArray[np.float64])


def one_sided(known: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    """The matte of a (h, w) trimap without one of the two sides, which has nothing to solve: the
    other everywhere, (h, w) float32. None where both are there."""
    person = bool((known == PERSON).any())
    if person and (known == BACKGROUND).any():
        return None
    return np.full(known.shape, float(person), np.float32)


def nearest(values: Values, side: NDArray[np.bool_], mask: int) -> Values:
    """A side's own values, elsewhere those of its nearest pixel.

    values: (h, w) or (h, w, c). side: (h, w), not empty. mask: 3 or 5, of the distance transform:
    the larger finds the nearest more exactly.
    """
    _, labels = cv2.distanceTransformWithLabels(
        (~side).astype(np.uint8), cv2.DIST_L2, mask, labelType=cv2.DIST_LABEL_PIXEL
    )
    own = np.zeros((int(labels.max()) + 1, *values.shape[2:]), values.dtype)
    own[labels[side]] = values[side]
    found: Values = own[labels]
    return found


def mixed(away: Values, gap: Values) -> Values:
    """Alpha, (n,) in [0, 1], of colours that two others mix to best.

    away: (n, c) how far they lie from the background's. gap: (n, c) how far the foreground's do.
    """
    share = (away * gap).sum(1) / np.maximum((gap * gap).sum(1), 1e-3)
    alpha: Values = np.clip(share, 0, 1)
    return alpha
