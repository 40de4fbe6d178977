"""Poisson matting: alpha from the picture's gradients.

Method: Sun et al., "Poisson Matting" (ACM SIGGRAPH 2004), its global part. Where foreground F and
background B are smooth, nabla alpha = nabla I / (F - B), so alpha solves Poisson's equation in the
unknown band with 0 and 1 around it. F and B are the nearest known colours, blurred. Pixels whose
alpha becomes nearly 0 or 1 join the known ones, and the equation is solved again.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.sides import matte_of_one_side, nearest
from mattecast.filters.matting.trimap import BACKGROUND, PERSON
from mattecast.filters.pictures.poisson import FIXED_WEIGHT, relax

Float = NDArray[np.float32]

ROUNDS, SWEEPS = 4, 120
SURE = 0.04  # how near to 0 or 1 alpha makes a pixel known
LEAST = 12.0  # levels (of 255) that foreground and background differ by at least


def poisson_matting(picture: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> Float:
    """(h, w) float32 alpha in [0, 1], exactly 0 and 1 where the trimap is.

    picture: (h, w, 3) uint8 RGB. trimap: (h, w) uint8; where it lacks person or background, alpha
    is that of the other side everywhere.
    """
    if (whole := matte_of_one_side(trimap)) is not None:
        return whole
    person, empty = trimap == PERSON, trimap == BACKGROUND
    gray = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)
    alpha = _first(person, empty)
    for _ in range(ROUNDS):
        alpha = _round(gray, person, empty, alpha)
        # As in the paper, a pixel joins only where its gray agrees with the nearest known pixel's.
        near_front, near_back = (nearest(gray, side, 3) for side in (person, empty))
        person = person | ((alpha > 1 - SURE) & (np.abs(gray - near_front) < LEAST))
        empty = empty | ((alpha < SURE) & (np.abs(gray - near_back) < LEAST))
    alpha[trimap == PERSON], alpha[trimap == BACKGROUND] = 1, 0
    return alpha


def _first(person: NDArray[np.bool_], empty: NDArray[np.bool_]) -> Float:
    """The first alpha: how much nearer the person is than the background, in [0, 1]."""
    inside, outside = (
        cv2.distanceTransform((~side).astype(np.uint8), cv2.DIST_L2, 3) for side in (person, empty)
    )
    return np.asarray(outside / np.maximum(inside + outside, 1e-6), np.float32)


def _round(gray: Float, person: NDArray[np.bool_], empty: NDArray[np.bool_], alpha: Float) -> Float:
    front, back = (cv2.GaussianBlur(nearest(gray, side, 3), (0, 0), 2) for side in (person, empty))
    difference = np.asarray(front - back, np.float32)
    tame = np.where(difference < 0, -1, 1) * np.maximum(np.abs(difference), LEAST)
    scaled = (1 / tame).astype(np.float32)
    fixed = (person | empty).astype(np.float32) * np.float32(FIXED_WEIGHT)
    pull = fixed * person - _divergence(gray, scaled)
    found = relax(alpha[..., None], fixed, pull[..., None], SWEEPS)
    return np.clip(found[..., 0], 0, 1)


def _divergence(gray: Float, scaled: Float) -> Float:
    """div(scaled nabla gray), between neighbouring pixels; nothing passes the border."""
    across, down = np.diff(gray, axis=1), np.diff(gray, axis=0)
    across *= (scaled[:, 1:] + scaled[:, :-1]) / 2
    down *= (scaled[1:] + scaled[:-1]) / 2
    across, down = np.pad(across, ((0, 0), (1, 1))), np.pad(down, ((1, 1), (0, 0)))
    return np.asarray(np.diff(across, axis=1) + np.diff(down, axis=0), np.float32)
