"""Global sampling: for each unknown pixel the best pair of all the colours along the band.

Method: He et al., "A Global Sampling Method for Alpha Matting" (CVPR 2011). Each known pixel beside
the band is a sample. Samples are sorted by brightness, so that pairs of samples form a plane whose
neighbours are alike. The pair with the least cost (their equation 4) is searched there as in
PatchMatch: among the pairs of neighbouring pixels, and at random at ever smaller distances. As in
the paper, closed-form matting then smooths alpha and keeps close to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.closed_form import closed_form
from mattecast.filters.matting.sides import matte_of_one_side, mixing_share
from mattecast.filters.matting.trimap import BACKGROUND, PERSON, UNKNOWN

Float = NDArray[np.float32]
Places = NDArray[np.intp]

ROUNDS = 10
NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1))


@dataclass(frozen=True)
class Samples:
    """The samples of one side, dark to bright: colours (m, 3) and places (m, 2) as (y, x).

    distance: (n,) from each unknown pixel to the side, in pixels.
    """

    colours: Float
    places: Float
    distance: Float


def global_sampling(picture: NDArray[np.uint8], trimap: NDArray[np.uint8]) -> Float:
    """(h, w) float32 alpha in [0, 1], exactly 0 and 1 where the trimap is.

    picture: (h, w, 3) uint8 RGB. trimap: (h, w) uint8; where it lacks person or background, alpha
    is that of the other side everywhere.
    """
    if (whole := matte_of_one_side(trimap)) is not None:
        return whole
    person, empty, unknown = (trimap == value for value in (PERSON, BACKGROUND, UNKNOWN))
    alpha = person.astype(np.float32)
    if unknown.any():
        colours = picture.astype(np.float32)
        front, back = (_samples(colours, side, unknown) for side in (person, empty))
        alpha[unknown] = _search(colours[unknown], unknown, front, back)
    return closed_form(picture, trimap, alpha)


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


def _search(colours: Float, unknown: NDArray[np.bool_], front: Samples, back: Samples) -> Float:
    """Alpha, (n,), of the unknown pixels. colours: their colours, (n, 3)."""
    rng, where = np.random.default_rng(0), np.argwhere(unknown)
    sizes = np.array([len(front.colours), len(back.colours)])
    pair = rng.integers(0, sizes, (len(colours), 2))
    alpha, cost = _alpha_and_cost(colours, where, front, back, pair)

    def offer(other: Places) -> None:
        """Take the pairs that cost less than the present ones."""
        found, price = _alpha_and_cost(colours, where, front, back, other)
        better = price < cost
        pair[better], alpha[better], cost[better] = other[better], found[better], price[better]

    neighbours = [_neighbours(unknown, where, step) for step in NEIGHBOURS]
    for _ in range(ROUNDS):
        for index in neighbours:
            offer(pair[index])
        reach = sizes.astype(np.float64)
        while reach.max() >= 1:
            chance = rng.uniform(-1, 1, pair.shape)
            offer(np.clip(pair + np.round(reach * chance).astype(np.intp), 0, sizes - 1))
            reach /= 2
    return alpha


def _neighbours(unknown: NDArray[np.bool_], where: Places, step: tuple[int, int]) -> Places:
    """For each unknown pixel the number of the unknown pixel one step further, or its own: (n,)."""
    number = np.full(unknown.shape, -1, np.intp)
    number[unknown] = np.arange(len(where))
    y, x = np.clip(where + step, 0, np.array(unknown.shape) - 1).T
    found = number[y, x]
    return np.where(found < 0, np.arange(len(where)), found)


def _alpha_and_cost(
    colours: Float, where: Places, front: Samples, back: Samples, pair: Places
) -> tuple[Float, Float]:
    """Alpha by each pixel's pair of samples, and the pair's cost, both (n,).

    The cost adds the colour error in 8-bit levels, and how many times further away each sample is
    than the nearest known pixel of its side.
    """
    one, other = front.colours[pair[:, 0]], back.colours[pair[:, 1]]
    offset, difference = colours - other, one - other
    alpha = mixing_share(offset, difference)
    cost = np.linalg.norm(offset - alpha[:, None] * difference, axis=1)
    for side, which in ((front, 0), (back, 1)):
        far = np.linalg.norm(side.places[pair[:, which]] - where, axis=1)
        cost = cost + far / np.maximum(side.distance, 1)
    return alpha, cost.astype(np.float32)
