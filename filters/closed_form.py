"""Closed-form matting of a trimap's unknown band, without building its matrix.

Levin et al., "A Closed-Form Solution to Natural Image Matting" (IEEE TPAMI 2008), solved by
conjugate gradients. The matting Laplacian is worked out only in windows that touch the band, as
what each window's colours do not explain (its linear model: He et al., "Fast Matting Using Large
Kernel Matting Laplacian Matrices", CVPR 2010), so time and memory go with the band's length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.trimap import PERSON, UNKNOWN

Float = NDArray[np.float32]
Places = NDArray[np.intp]
Area = tuple[slice, slice]

# How much colours may vary in a window of 3x3, in squares of 0..1, without telling anything.
EPSILON = 1e-4
PIXELS = 9  # of a window
# How firmly the first matte holds in the band: the Laplacian alone loses what no edge bounds.
PRIOR = 0.01
STEPS = 40
# Pixels to a side of a tile, and how far tiles reach over one another.
TILE, OVERLAP = 512, 24


def closed_form(
    picture: NDArray[np.uint8], known: NDArray[np.uint8], alpha: Float, *,
    prior: float = PRIOR, steps: int = STEPS,
) -> Float:  # fmt: skip
    """Solve alpha in the unknown band; elsewhere it is exactly 0 or 1.

    picture: (h, w, 3) uint8 RGB. known: (h, w) uint8 trimap. alpha: (h, w) float32, the
    first matte. Unknown tiles are solved one by one and blended where they overlap.
    """
    solid = (known == PERSON).astype(np.float32)
    start = np.where(known == UNKNOWN, alpha, solid).astype(np.float32)
    if max(known.shape) <= TILE:
        return np.clip(_solve(picture, known, start, prior, steps), 0, 1)
    total, share = np.zeros_like(start), np.zeros_like(start)
    for area in tiles(known, TILE, OVERLAP):
        weight = window(start[area].shape)
        solved = _solve(picture[area], known[area], start[area], prior, steps)
        total[area] += solved * weight
        share[area] += weight
    found = total / np.maximum(share, np.float32(1e-6))
    solved_here = (known == UNKNOWN) & (share > 0)
    return np.asarray(np.where(solved_here, np.clip(found, 0, 1), start), np.float32)


def tiles(known: NDArray[np.uint8], tile: int, overlap: int) -> Iterator[Area]:
    """Areas that together cover all unknown pixels, each reaching over its neighbours."""
    height, width = known.shape
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            if (known[top : top + tile, left : left + tile] == UNKNOWN).any():
                rows = slice(max(0, top - overlap), min(height, top + tile + overlap))
                yield rows, slice(max(0, left - overlap), min(width, left + tile + overlap))


def window(shape: tuple[int, ...], overlap: int = OVERLAP) -> Float:
    """Weights that fall towards a tile's rim, so that no seam shows."""
    sides = [np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) for n in shape]
    rows, columns = (np.minimum(side, overlap).astype(np.float32) for side in sides)
    return np.asarray(rows[:, None] * columns, np.float32)


def _solve(
    picture: NDArray[np.uint8], known: NDArray[np.uint8], start: Float, prior: float, steps: int
) -> Float:
    """(L + prior) x = prior start in the band; x = start elsewhere."""
    sought = known == UNKNOWN
    band = np.flatnonzero(sought)
    # Numbers are kept for the pixels of the windows that touch the band, one behind the other.
    pixels, places = _windows(sought)
    index = np.zeros(known.size, np.intp)
    index[pixels] = np.arange(pixels.size)
    unknown = index[band]
    colours = picture.reshape(-1, 3)[pixels].T.astype(np.float32, order="C") / np.float32(255)
    laplacian = _laplacian(colours, index[places])
    first = start.ravel()[pixels]
    moving = np.zeros_like(first)

    def product(x: Float) -> Float:
        moving[unknown] = x
        return np.asarray(laplacian(moving)[unknown] + np.float32(prior) * x, np.float32)

    mine = first[unknown]
    fixed = first.copy()
    fixed[unknown] = 0
    right = np.float32(prior) * mine - laplacian(fixed)[unknown]
    found = start.copy()
    found.ravel()[band] = _conjugate_gradients(product, right, mine, steps)
    return found


def _windows(band: NDArray[np.bool_]) -> tuple[Places, Places]:
    """Pixels of all windows of 3x3 that touch the band, (p,), and those of each window, (9, n)."""
    width = band.shape[1]
    wide = np.zeros(band.shape, np.uint8)
    wide[1:-1, 1:-1] = cv2.dilate(band.astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    middles = np.flatnonzero(wide)
    reach = np.arange(-1, 2)
    places = (reach[:, None] * width + reach).reshape(PIXELS, 1) + middles
    # The band's own pixels in a corner of the picture may lie in none of them.
    seen = cv2.dilate(wide, np.ones((3, 3), np.uint8)) > 0
    return np.flatnonzero(seen | band), places


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


def _laplacian(colours: Float, places: Places) -> Callable[[Float], Float]:
    """The matting Laplacian's product with a (p,) x, per pixel of a window.

    colours: (3, p) in [0, 1]. places: (9, n), where among them each window's pixels are.
    """
    seen = colours.take(places, axis=1)
    seen -= seen.mean(1, keepdims=True)
    inverse = _inverses(np.einsum("ikn,jkn->ijn", seen, seen) / np.float32(PIXELS))
    # What a window's values are multiplied by for the slopes of its linear model.
    slopes = np.einsum("ijn,jkn->ikn", inverse, seen) / np.float32(PIXELS)
    flat = places.ravel()

    def product(x: Float) -> Float:
        values = x.take(places)
        values -= values.mean(0)
        values -= np.einsum("in,ikn->kn", np.einsum("ikn,kn->in", slopes, values), seen)
        return np.asarray(np.bincount(flat, values.ravel(), x.size) * (1 / PIXELS), np.float32)

    return product


def _inverses(covariance: Float) -> Float:
    """(3, 3, n) to the same: the inverse of each window's colour covariance, made regular. By
    cofactors, in double precision: colours on a line make determinants of nearly nothing."""
    eye = np.eye(3)[..., None]
    a, b, c, d, e, f = (covariance.astype(np.float64) + EPSILON / PIXELS * eye)[
        [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]
    ]
    aa, ab, ac = d * f - e * e, c * e - b * f, b * e - c * d
    bb, bc, cc = a * f - c * c, b * c - a * e, a * d - b * b
    scale = 1 / (a * aa + b * ab + c * ac)
    inverse = np.array([[aa, ab, ac], [ab, bb, bc], [ac, bc, cc]]) * scale
    return np.asarray(inverse, np.float32)
