"""Closed-form matting of a trimap's unknown band, without building its matrix.

Levin et al., "A Closed-Form Solution to Natural Image Matting" (IEEE TPAMI 2008), solved by
conjugate gradients. The matting Laplacian is worked out only in windows that touch the band, as
what each window's colours do not explain (its linear model: He et al., "Fast Matting Using Large
Kernel Matting Laplacian Matrices", CVPR 2010), so time and memory go with the band's length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.tiles import Area, tiled
from mattecast.filters.matting.trimap import PERSON, UNKNOWN

Float = NDArray[np.float32]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Windows:
    """What the Laplacian is summed over.

    reach: half a window's side, in pixels. apart: from one's middle to the next one's. epsilon: how
    much colours may vary in a window, in squares of 0..1, without telling anything.
    """

    reach: int
    apart: int
    epsilon: float

    @property
    def pixels(self) -> int:
        """Of one window."""
        return (2 * self.reach + 1) ** 2

    def middles(self, length: int) -> NDArray[np.intp]:
        """Along a side of so many pixels; the last window ends with the side."""
        last = length - 1 - self.reach
        return np.append(np.arange(self.reach, last, self.apart), last)


# The paper's; a quarter of them, which lose nothing where a matte is nearly right; and a ninth, but
# larger, as the second source above has them, which carry colours further in a step.
LEVIN, EVERY_OTHER, SPARSE = Windows(1, 1, 1e-4), Windows(1, 2, 3e-4), Windows(2, 3, 3e-4)
# How firmly the first matte holds in the band: the Laplacian alone loses what no edge bounds.
PRIOR = 0.01
STEPS = 40
# Pixels to a side of a tile, and how far tiles reach over one another.
TILE, OVERLAP = 512, 24


def closed_form(
    picture: NDArray[np.uint8],
    known: NDArray[np.uint8],
    alpha: Float,
    *,
    prior: float = PRIOR,
    steps: int = STEPS,
    windows: Windows = LEVIN,
) -> Float:
    """Solve alpha in the unknown band; elsewhere it is exactly 0 or 1.

    picture: (h, w, 3) uint8 RGB. known: (h, w) uint8 trimap. alpha: (h, w) float32, the
    first matte. Unknown tiles are solved one by one and blended where they overlap.
    """
    solid = (known == PERSON).astype(np.float32)
    start = np.where(known == UNKNOWN, alpha, solid).astype(np.float32)
    if max(known.shape) <= TILE:
        return np.clip(_solve(picture, known, start, prior, steps, windows), 0, 1)

    def solve(area: Area) -> Float:
        return _solve(picture[area], known[area], start[area], prior, steps, windows)

    return tiled(known, alpha, solve, TILE, OVERLAP)


def _solve(
    picture: NDArray[np.uint8],
    known: NDArray[np.uint8],
    start: Float,
    prior: float,
    steps: int,
    windows: Windows,
) -> Float:
    """(L + prior) x = prior start in the band; x = start elsewhere."""
    sought = known == UNKNOWN
    # Numbers are kept for the pixels of the windows that touch the band, one behind the other.
    pixels, places = _touching(sought, windows)
    index = np.empty(known.size, np.intp)
    index[pixels] = np.arange(pixels.size)
    colours = picture.reshape(-1, 3).take(pixels, axis=0).T.astype(np.float32, order="C")
    colours *= np.float32(1 / 255)
    laplacian = _laplacian(colours, index.take(places), windows)
    free, first = (each.ravel().take(pixels).astype(np.float32) for each in (sought, start))

    def product(x: Float) -> Float:
        return free * laplacian(x) + np.float32(prior) * x

    mine = first * free
    fixed = first - mine
    right = np.float32(prior) * mine - free * laplacian(fixed)
    found = start.copy()
    found.ravel()[pixels] = fixed + _conjugate_gradients(product, right, mine, steps)
    return found


def _touching(band: NDArray[np.bool_], windows: Windows) -> tuple[Places, Places]:
    """Pixels of the band and of all windows that touch it, (p,), and those of each window,
    (pixels, n)."""
    height, width = band.shape
    seen = band.copy()
    if min(height, width) <= 2 * windows.reach:
        return np.flatnonzero(seen), np.empty((windows.pixels, 0), np.intp)
    near = cv2.dilate(band.astype(np.uint8), np.ones((2 * windows.reach + 1,) * 2, np.uint8))
    rows, columns = (windows.middles(length) for length in band.shape)
    row, column = np.nonzero(near[np.ix_(rows, columns)])
    reach = np.arange(-windows.reach, windows.reach + 1)
    around = (reach[:, None] * width + reach).reshape(-1, 1)
    places = around + (rows.take(row) * width + columns.take(column))
    seen.ravel()[places] = True
    return np.flatnonzero(seen), places


def _conjugate_gradients(
    product: Callable[[Float], Float], right: Float, start: Float, steps: int
) -> Float:
    x = start.copy()
    rest = right - product(x)
    way, size = rest.copy(), _dot(rest, rest)
    enough = 1e-6 * max(_dot(right, right), 1e-12)
    for _ in range(steps):
        if size <= enough:
            break
        step = product(way)
        length = size / max(_dot(way, step), 1e-20)
        x += np.float32(length) * way
        rest -= np.float32(length) * step
        size, before = _dot(rest, rest), size
        way = rest + np.float32(size / before) * way
    return x


def _dot(one: Float, other: Float) -> float:
    return float(np.vdot(one, other))


def _laplacian(colours: Float, places: Places, windows: Windows) -> Callable[[Float], Float]:
    """The matting Laplacian's product with a (p,) x, per pixel of a window and per window of a
    pixel.

    colours: (3, p) in [0, 1]. places: (pixels, n), where among them each window's pixels are.
    """
    pixels = np.float32(windows.pixels)
    seen = colours.take(places, axis=1)
    seen -= seen.mean(1, keepdims=True)
    covariance = np.einsum("ikn,jkn->ijn", seen, seen) / pixels
    inverse = _inverses(covariance, windows.epsilon / windows.pixels)
    # What a window's values are multiplied by for the slopes of its linear model.
    slopes = np.einsum("ijn,jkn->ikn", inverse, seen) / pixels
    flat, share = places.ravel(), windows.apart**2 / windows.pixels

    def product(x: Float) -> Float:
        values = x.take(places)
        values -= values.mean(0)
        values -= np.einsum("in,ikn->kn", np.einsum("ikn,kn->in", slopes, values), seen)
        return np.asarray(np.bincount(flat, values.ravel(), x.size) * share, np.float32)

    return product


def _inverses(covariance: Float, epsilon: float) -> Float:
    """(3, 3, n) to the same: the inverse of each window's colour covariance, made regular. By
    cofactors, in double precision: colours on a line make determinants of nearly nothing."""
    eye = np.eye(3)[..., None]
    a, b, c, d, e, f = (covariance.astype(np.float64) + epsilon * eye)[
        [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]
    ]
    aa, ab, ac = d * f - e * e, c * e - b * f, b * e - c * d
    bb, bc, cc = a * f - c * c, b * c - a * e, a * d - b * b
    scale = 1 / (a * aa + b * ab + c * ac)
    inverse = np.array([[aa, ab, ac], [ab, bb, bc], [ac, bc, cc]]) * scale
    return np.asarray(inverse, np.float32)
