"""Correction of a matte by a clean plate: a picture of the same scene without the person."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# Colour difference (8-bit levels, after the plate's exposure is matched) up to which a place shows
# the plate, and from which it surely does not. Starting values, tried but not tuned.
SAME, DIFFERENT = 6.0, 24.0
# Local mean of alpha from which the network is believed even where the picture equals the plate:
# people wear shirts of the wall's colour.
SOLID = 0.9


def correct_by_plate(alpha: Float, picture: Bytes, plate: Bytes) -> Float:
    """Difference keying (after Qian and Sezan, ICIP 1999) of the alpha that a network found.

    alpha: (h, w) float32 in [0, 1]. picture, plate: (h, w, 3) uint8 RGB, from one camera position.
    Returns (h, w) float32 in [0, 1]: soft alpha is lowered where the picture equals the plate, and
    raised beside people where the picture clearly differs from it.
    """
    change = _difference(picture, plate, alpha)
    empty = np.clip((DIFFERENT - change) / np.float32(DIFFERENT - SAME), 0, 1)
    # The plate decides only where alpha is soft or the piece is small.
    local = cv2.blur(alpha, (9, 9))
    doubt = np.clip((np.float32(SOLID) - local) / np.float32(0.3), 0, 1)
    lowered = alpha * (1 - empty * doubt)
    near = cv2.dilate(lowered, np.ones((5, 5), np.uint8))
    sure = np.clip((change - DIFFERENT) / np.float32(DIFFERENT), 0, 1) * (alpha > 0.3) * near
    return np.asarray(lowered + (1 - lowered) * sure * (1 - lowered), np.float32)


def _difference(picture: Bytes, plate: Bytes, alpha: Float) -> Float:
    """Smoothed colour difference, (h, w) float32 in 8-bit levels.

    The plate's exposure is first matched to the picture's where there is nobody.
    """
    now, empty = picture.astype(np.float32), plate.astype(np.float32)
    open_ = alpha < 0.02
    if np.count_nonzero(open_) > open_.size // 20:
        empty += np.median((now - empty)[open_], axis=0)
    return np.asarray(cv2.blur(np.abs(now - empty).max(axis=2), (3, 3)), np.float32)
