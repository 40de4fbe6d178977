"""A clean plate: where the picture is the empty set's, there is nobody."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# Colour difference (8-bit levels, after the plate's light is matched) up to which a place shows
# the plate, and from which it surely does not. Starting values, tried but not tuned.
SAME, OTHER = 6.0, 24.0
# How much of what the network says is kept where the plate shows: people wear wall-coloured shirts.
KEPT = 0.9


def with_plate(alpha: Float, picture: Bytes, plate: Bytes) -> Float:
    """Alpha corrected by a clean plate (after Qian and Sezan, ICIP 1999: difference keying).

    alpha: (h, w) float32 in [0, 1]. picture, plate: (h, w, 3) uint8 RGB, from one camera position.
    Doubtful alpha goes where the plate shows, and rises beside people where it clearly does not.
    """
    change = _difference(picture, plate, alpha)
    empty = np.clip((OTHER - change) / np.float32(OTHER - SAME), 0, 1)
    # A solid matte is believed; what is soft or small is decided by the plate.
    solid = cv2.blur(alpha, (9, 9))
    doubt = np.clip((np.float32(KEPT) - solid) / np.float32(0.3), 0, 1)
    lowered = alpha * (1 - empty * doubt)
    near = cv2.dilate(lowered, np.ones((5, 5), np.uint8))
    sure = np.clip((change - OTHER) / np.float32(OTHER), 0, 1) * (alpha > 0.3) * near
    return np.asarray(lowered + (1 - lowered) * sure * (1 - lowered), np.float32)


def _difference(picture: Bytes, plate: Bytes, alpha: Float) -> Float:
    """Smoothed colour difference, the plate's exposure first fitted where nobody is."""
    now, before = picture.astype(np.float32), plate.astype(np.float32)
    open_ = alpha < 0.02
    if np.count_nonzero(open_) > open_.size // 20:
        before += np.median((now - before)[open_], axis=0)
    return np.asarray(cv2.blur(np.abs(now - before).max(axis=2), (3, 3)), np.float32)
