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
Bool = NDArray[np.bool_]
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
        colours = picture.astype(np.float32) * np.float32(1 / 255)
        return np.clip(_solve(colours, known, start, prior, steps), 0, 1)
    total, share = np.zeros_like(start), np.zeros_like(start)
    for area in tiles(known, TILE, OVERLAP):
        weight = window(start[area].shape)
        colours = picture[area].astype(np.float32) * np.float32(1 / 255)
        solved = _solve(colours, known[area], start[area], prior, steps)
        total[area] += solved * weight
        share[area] += weight
    found = total / np.maximum(share, np.float32(1e-6))
    solved_here = (known == UNKNOWN) & (share > 0)
    return np.asarray(np.where(solved_here, np.clip(found, 0, 1), start), np.float32)


def tiles(known: NDArray[np.uint8], tile: int = TILE, overlap: int = OVERLAP) -> Iterator[Area]:
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
    picture: Float, known: NDArray[np.uint8], start: Float, prior: float, steps: int
) -> Float:
    """(L + prior) x = prior start in the band; x = start elsewhere."""
    band = known == UNKNOWN
    laplacian = _laplacian(picture, band)
    found = start.copy()
    whole = np.zeros_like(start)

    def product(x: Float) -> Float:
        whole[band] = x
        return np.asarray(laplacian(whole)[band] + np.float32(prior) * x, np.float32)

    fixed = np.where(band, np.float32(0), start)
    right = np.float32(prior) * start[band] - laplacian(fixed)[band]
    found[band] = _conjugate_gradients(product, right, start[band], steps)
    return found


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


def _laplacian(picture: Float, band: Bool) -> Callable[[Float], Float]:
    """The matting Laplacian's product with an (h, w) x, right in the band, per pixel of a window.

    picture: (h, w, 3) in [0, 1].
    """
    height, width = band.shape
    touched = cv2.dilate(band.astype(np.uint8), np.ones((3, 3), np.uint8))
    middles = np.flatnonzero(touched[1:-1, 1:-1])
    middles += 2 * (middles // (width - 2)) + width + 1  # as places in the whole picture
    reach = np.arange(-1, 2)
    places = (reach[:, None] * width + reach).reshape(PIXELS, 1) + middles
    colours = np.stack([picture[..., each].ravel().take(places) for each in range(3)])
    colours -= colours.mean(1, keepdims=True)
    inverse = _inverses(np.einsum("ikn,jkn->ijn", colours, colours) / PIXELS)
    # What a window's values are multiplied by for the slopes of its linear model.
    slopes = np.einsum("ijn,jkn->ikn", inverse, colours) / np.float32(PIXELS)

    def product(x: Float) -> Float:
        values = x.ravel().take(places)
        values -= values.mean(0)
        values -= np.einsum("in,ikn->kn", np.einsum("ikn,kn->in", slopes, values), colours)
        total = np.bincount(places.ravel(), values.ravel(), height * width)
        return np.asarray(total * (1 / PIXELS), np.float32).reshape(height, width)

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
