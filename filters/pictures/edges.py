"""Adjustments of a full-size matte's edge: choke, feather, gamma, threshold."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Alpha16 = NDArray[np.uint16]
FULL = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeAdjustment:
    """How an edge is to be changed; the defaults change nothing.

    choke: pixels by which the edge moves inwards, fractions too; a negative choke moves it
    outwards. feather: standard deviation of a blur, in pixels. gamma: above 1 raises soft alpha,
    below 1 lowers it. threshold: alpha in [0, 1]; from it on alpha becomes 1, below it 0, before
    the feather.
    """

    choke: float = 0.0
    feather: float = 0.0
    gamma: float = 1.0
    threshold: float | None = None


def adjust(alpha: Alpha16, adjustment: EdgeAdjustment) -> Alpha16:
    """Apply threshold, choke, feather and gamma, in this order, to (H, W) uint16 alpha.

    Alpha is 0..65535 before and after.
    """
    if adjustment.threshold is not None:
        alpha = np.where(alpha >= round(adjustment.threshold * FULL), FULL, 0).astype(np.uint16)
    if adjustment.choke:
        alpha = choke(alpha, adjustment.choke)
    if adjustment.feather:
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), adjustment.feather), np.uint16)
    if adjustment.gamma != 1.0:
        alpha = _gamma_table(adjustment.gamma)[alpha]
    return alpha


def choke(alpha: Alpha16, pixels: float) -> Alpha16:
    """Move the edge of (H, W) uint16 alpha inwards by some pixels, outwards if negative.

    A disc erodes (or dilates) by whole pixels; a fraction mixes the results of the two nearest
    whole numbers.
    """
    move = cv2.erode if pixels > 0 else cv2.dilate
    whole, fraction = divmod(abs(pixels), 1.0)
    nearer = move(alpha, _disc(int(whole))) if whole else alpha
    if not fraction:
        return np.asarray(nearer, np.uint16)
    further = move(alpha, _disc(int(whole) + 1))
    mixed = cv2.addWeighted(nearer, 1 - fraction, further, fraction, 0.0)
    return np.asarray(mixed, np.uint16)


def _disc(radius: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(x * x + y * y <= (radius + 0.3) ** 2, np.uint8)


def _gamma_table(gamma: float) -> Alpha16:
    """The 65536 values of alpha after the gamma."""
    ramp = np.linspace(0.0, 1.0, FULL + 1) ** (1 / gamma)
    return np.round(ramp * FULL).astype(np.uint16)
