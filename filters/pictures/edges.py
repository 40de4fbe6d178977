"""Hand adjustments of a full-size matte's edge: choke, feather, gamma, threshold."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Alpha16 = NDArray[np.uint16]
FULL = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeWish:
    """How an edge is to be changed; the defaults change nothing.

    choke: pixels the edge moves inwards, fractions too; negative spreads it. feather: standard
    deviation of the blur in pixels. gamma: above 1 lifts soft alpha, below lowers it. threshold:
    alpha at and above it becomes 1, the rest 0, before the feather.
    """

    choke: float = 0.0
    feather: float = 0.0
    gamma: float = 1.0
    threshold: float | None = None


def adjust(alpha: Alpha16, wish: EdgeWish) -> Alpha16:
    """Apply a wish to an alpha: (H, W) uint16, 0..65535, returned as the same kind."""
    if wish.threshold is not None:
        alpha = np.where(alpha >= round(wish.threshold * FULL), FULL, 0).astype(np.uint16)
    if wish.choke:
        alpha = choked(alpha, wish.choke)
    if wish.feather:
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), wish.feather), np.uint16)
    if wish.gamma != 1.0:
        alpha = _curve(wish.gamma)[alpha]
    return alpha


def choked(alpha: Alpha16, pixels: float) -> Alpha16:
    """Move the edge inwards by some pixels, outwards if negative.

    A disc erodes by whole pixels; between two whole ones their mattes are mixed.
    """
    move = cv2.erode if pixels > 0 else cv2.dilate
    whole, rest = divmod(abs(pixels), 1.0)
    nearer = move(alpha, _disc(int(whole))) if whole else alpha
    if not rest:
        return np.asarray(nearer, np.uint16)
    further = move(alpha, _disc(int(whole) + 1))
    return np.asarray(cv2.addWeighted(nearer, 1 - rest, further, rest, 0.0), np.uint16)


def _disc(radius: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= (radius + 0.3) ** 2, np.uint8)


def _curve(gamma: float) -> Alpha16:
    ramp = np.linspace(0.0, 1.0, FULL + 1) ** (1 / gamma)
    return np.round(ramp * FULL).astype(np.uint16)
