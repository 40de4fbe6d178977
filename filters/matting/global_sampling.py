"""Global sampling: for each unknown pixel the best pair of all the colours along the band.

He et al., "A Global Sampling Method for Alpha Matting" (CVPR 2011). Every known pixel beside the
band is a sample, sorted by brightness, so that pairs of samples lie in a plane whose neighbours are
alike; the pair of least cost (their equation 4) is looked for there as PatchMatch does, by what
neighbouring pixels found and by chance ever closer around. Closed-form matting smooths what was
found, as in the paper, and holds on to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.closed_form import closed_form
from mattecast.filters.matting.sides import mixed, one_sided
from mattecast.filters.matting.trimap import BACKGROUND, PERSON, UNKNOWN

Float = NDArray[np.float32]
Places = NDArray[np.intp]

ROUNDS = 10
AROUND = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1))


@dataclass(frozen=True)
class Samples:
    """One side's colours (m, 3) and places (m, 2), dark to bright, and how far the side is from
    each unknown pixel, (n,), in pixels."""

    colours: Float
    places: Float
    distance: Float


def global_sampling(picture: NDArray[np.uint8], known: NDArray[np.uint8]) -> Float:
    """(h, w) float32 alpha in [0, 1], exactly 0 and 1 where the trimap is.

    picture: (h, w, 3) uint8 RGB. known: (h, w) uint8 trimap; a trimap without one of the two sides
    has nothing to solve and gives the other everywhere.
    """
    if (whole := one_sided(known)) is not None:
        return whole
    person, empty, unknown = (known == value for value in (PERSON, BACKGROUND, UNKNOWN))
    alpha = person.astype(np.float32)
    if unknown.any():
        colours = picture.astype(np.float32)
        front, back = (_samples(colours, side, unknown) for side in (person, empty))
        alpha[unknown] = _search(colours[unknown], unknown, front, back)
    return closed_form(picture, known, alpha)


def _samples(colours: Float, side: NDArray[np.bool_], unknown: NDArray[np.bool_]) -> Samples:
    rim = side & (cv2.dilate(unknown.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    rim = rim if rim.any() else side
    order = np.argsort(colours[rim].sum(1))
    distance = cv2.distanceTransform((~side).astype(np.uint8), cv2.DIST_L2, 5)[unknown]
    return Samples(
        colours[rim][order],
        np.argwhere(rim)[order].astype(np.float32),
        np.asarray(distance, np.float32),
    )


def _search(seen: Float, unknown: NDArray[np.bool_], front: Samples, back: Samples) -> Float:
    """Alpha of the unknown pixels, whose colours (n, 3) are seen."""
    rng, where = np.random.default_rng(0), np.argwhere(unknown)
    sizes = np.array([len(front.colours), len(back.colours)])
    pair = rng.integers(0, sizes, (len(seen), 2))
    alpha, cost = _judged(seen, where, front, back, pair)

    def offer(other: Places) -> None:
        found, price = _judged(seen, where, front, back, other)
        better = price < cost
        pair[better], alpha[better], cost[better] = other[better], found[better], price[better]

    beside = [_neighbours(unknown, where, step) for step in AROUND]
    for _ in range(ROUNDS):
        for place in beside:
            offer(pair[place])
        reach = sizes.astype(np.float64)
        while reach.max() >= 1:
            chance = rng.uniform(-1, 1, pair.shape)
            offer(np.clip(pair + np.round(reach * chance).astype(np.intp), 0, sizes - 1))
            reach /= 2
    return alpha


def _neighbours(unknown: NDArray[np.bool_], where: Places, step: tuple[int, int]) -> Places:
    """(n,) for each unknown pixel the number of the one a step further, or its own."""
    number = np.full(unknown.shape, -1, np.intp)
    number[unknown] = np.arange(len(where))
    y, x = np.clip(where + step, 0, np.array(unknown.shape) - 1).T
    found = number[y, x]
    return np.where(found < 0, np.arange(len(where)), found)


def _judged(
    seen: Float, where: Places, front: Samples, back: Samples, pair: Places
) -> tuple[Float, Float]:
    """Alpha by each pixel's pair, and its cost: colours that do not mix to the pixel's, in levels,
    and samples further away than the nearest."""
    one, other = front.colours[pair[:, 0]], back.colours[pair[:, 1]]
    away, gap = seen - other, one - other
    alpha = mixed(away, gap)
    cost = np.linalg.norm(away - alpha[:, None] * gap, axis=1)
    for side, which in ((front, 0), (back, 1)):
        far = np.linalg.norm(side.places[pair[:, which]] - where, axis=1)
        cost = cost + far / np.maximum(side.distance, 1)
    return alpha, cost.astype(np.float32)
