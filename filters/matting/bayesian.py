"""Bayesian matting: the most likely colours and alpha, from the rim of the band inwards.

Method: Chuang et al., "A Bayesian Approach to Digital Matting" (CVPR 2001). For each unknown pixel
the colours around it form one Gaussian for each side; colours (their equation 9) and alpha
(equation 10) are solved by turns. A whole ring of the band is solved at once, and its pixels count
as known for the next ring. The paper clusters the colours of a side and tries all pairs of
clusters; here each side has one Gaussian.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.sides import matte_of_one_side, mixing_share, nearest
from mattecast.filters.matting.trimap import BACKGROUND, PERSON, UNKNOWN

Float = NDArray[np.float32]
Exact = NDArray[np.float64]
Places = NDArray[np.intp]

RADIUS = 12  # pixels around a pixel that count; their weights have the paper's deviation
DEVIATION = 8.0
NOISE = 4.0  # of the camera, in 8-bit levels
TURNS = 20
PART = 1000  # pixels solved at once, in 150 MB


def bayesian_matting(picture: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> Float:
    """(h, w) float32 alpha in [0, 1], exactly 0 and 1 where the trimap is.

    picture: (h, w, 3) uint8 RGB. trimap: (h, w) uint8; where it lacks person or background, alpha
    is that of the other side everywhere.
    """
    if (whole := matte_of_one_side(trimap)) is not None:
        return whole
    person, empty = trimap == PERSON, trimap == BACKGROUND
    seen = picture.astype(np.float64)
    front, back = (nearest(seen, side, 5) for side in (person, empty))
    alpha = person.astype(np.float64)
    sure = (person | empty).astype(np.float64)  # 1 where alpha is known or found
    depth = cv2.distanceTransform((trimap == UNKNOWN).astype(np.uint8), cv2.DIST_L2, 5)
    ring = np.ceil(depth).astype(int)
    for number in range(1, ring.max() + 1):
        where = np.argwhere(ring == number)
        parts = [where[first : first + PART] for first in range(0, len(where), PART)]
        found = [_solved(seen, front, back, alpha, sure, part) for part in parts]
        for part, (one, other, share) in zip(parts, found, strict=True):
            place = tuple(part.T)
            front[place], back[place], alpha[place], sure[place] = one, other, share, 1
    return np.asarray(alpha, np.float32)


def _solved(
    seen: Exact, front: Exact, back: Exact, alpha: Exact, sure: Exact, where: Places
) -> tuple[Exact, Exact, Exact]:
    """Colours of both sides, (n, 3), and alpha, (n,), of the pixels at `where`, (n, 2)."""
    steps = np.indices((2 * RADIUS + 1,) * 2).reshape(2, -1).T - RADIUS
    around = where[:, None] + steps
    inside = ((around >= 0) & (around < alpha.shape)).all(2)
    y, x = np.moveaxis(np.clip(around, 0, np.array(alpha.shape) - 1), 2, 0)
    near = np.exp(-(steps**2).sum(1) / (2 * DEVIATION**2)) * inside * sure[y, x]
    place, shares = tuple(where.T), alpha[y, x]
    sides = (
        _gaussian(front[y, x], near * shares**2, front[place]),
        _gaussian(back[y, x], near * (1 - shares) ** 2, back[place]),
    )
    known = near.sum(1)
    share = np.where(known > 0, (near * shares).sum(1) / np.maximum(known, 1e-9), 0.5)
    return _by_turns(seen[place], *sides, share)


def _gaussian(colours: Exact, weights: Exact, fallback: Exact) -> tuple[Exact, Exact]:
    """Mean, (n, 3), and inverse covariance, (n, 3, 3), of weighted colours.

    colours: (n, m, 3). weights: (n, m). fallback: (n, 3), the mean where all weights are 0; the
    covariance there is the camera's noise alone.
    """
    total = weights.sum(1)[:, None]
    mean = np.where(
        total > 1e-6, np.einsum("nm,nmc->nc", weights, colours) / np.maximum(total, 1e-6), fallback
    )
    away = colours - mean[:, None]
    spread = np.einsum("nm,nmc,nmd->ncd", weights, away, away) / np.maximum(total, 1e-6)[..., None]
    return mean, np.linalg.inv(spread + NOISE**2 * np.eye(3))


def _by_turns(
    seen: Exact, front: tuple[Exact, Exact], back: tuple[Exact, Exact], share: Exact
) -> tuple[Exact, Exact, Exact]:
    """Solve for colours (equation 9) and for alpha (equation 10) by turns."""
    unit = np.eye(3) / NOISE**2
    system, right = np.empty((len(seen), 6, 6)), np.empty((len(seen), 6, 1))
    for _ in range(TURNS):
        one, other = share[:, None, None], 1 - share[:, None, None]
        system[:, :3, :3] = front[1] + one**2 * unit
        system[:, 3:, 3:] = back[1] + other**2 * unit
        system[:, :3, 3:] = system[:, 3:, :3] = one * other * unit
        for rows, (mean, inverse), part in ((slice(0, 3), front, one), (slice(3, 6), back, other)):
            right[:, rows] = inverse @ mean[..., None] + part * seen[..., None] / NOISE**2
        found = np.clip(np.linalg.solve(system, right)[..., 0], 0, 255)
        gap = found[:, :3] - found[:, 3:]
        share = mixing_share(seen - found[:, 3:], gap)
    return found[:, :3], found[:, 3:], share
