"""Closed-form matting of a trimap's unknown band, without building its matrix.

Levin et al., "A Closed-Form Solution to Natural Image Matting" (IEEE TPAMI 2008), solved by
conjugate gradients whose products with the matting Laplacian are box filters (He et al., "Fast
Matting Using Large Kernel Matting Laplacian Matrices", CVPR 2010): memory is a few pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.trimap import PERSON, UNKNOWN

Float = NDArray[np.float32]
Area = tuple[slice, slice]

RADIUS = 1
EPSILON = 1e-4
# How firmly the first matte holds in the band: the Laplacian alone loses what no edge bounds.
PRIOR = 0.01
STEPS = 40
# Pixels to a side of a tile, and how far tiles reach over one another.
TILE, OVERLAP = 256, 24


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
    total, share = np.zeros_like(start), np.zeros_like(start)
    for area in tiles(known):
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
    band = (known == UNKNOWN).astype(np.float32)
    laplacian = _laplacian(picture)

    def product(x: Float) -> Float:
        return np.asarray(band * (laplacian(x) + np.float32(prior) * x), np.float32)

    fixed = start * (1 - band)
    right = band * (np.float32(prior) * start - laplacian(fixed))
    solved = _conjugate_gradients(product, right, start * band, steps)
    return np.asarray(fixed + solved, np.float32)


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


def _laplacian(picture: Float) -> Callable[[Float], Float]:
    """The matting Laplacian of a picture over its windows, per pixel of a window."""
    mean = _mean(picture)
    inverse = _inverse_covariances(picture, mean)

    def product(x: Float) -> Float:
        middle = _mean(x)
        covariance = _mean(picture * x[..., None]) - mean * middle[..., None]
        slope = np.einsum("hwij,hwj->hwi", inverse, covariance)
        offset = middle - (slope * mean).sum(axis=2)
        return np.asarray(x - (_mean(slope) * picture).sum(axis=2) - _mean(offset), np.float32)

    return product


def _inverse_covariances(picture: Float, mean: Float) -> Float:
    """(h, w, 3, 3): the inverse of each window's colour covariance, made regular."""
    covariance = np.empty((*picture.shape, 3), np.float32)
    for i in range(3):
        for j in range(i, 3):
            product = _mean(picture[..., i] * picture[..., j]) - mean[..., i] * mean[..., j]
            covariance[..., i, j] = covariance[..., j, i] = product
    covariance += np.float32(EPSILON / (2 * RADIUS + 1) ** 2) * np.eye(3, dtype=np.float32)
    return np.asarray(np.linalg.inv(covariance), np.float32)


def _mean(values: Float) -> Float:
    side = (2 * RADIUS + 1, 2 * RADIUS + 1)
    return np.asarray(cv2.blur(values, side, borderType=cv2.BORDER_REFLECT), np.float32)
