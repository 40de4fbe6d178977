"""Solving a trimap's unknown band tile by tile, so that memory goes with a tile and not with the
picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.trimap import PERSON, UNKNOWN

Float = NDArray[np.float32]
Area = tuple[slice, slice]


def tiled(
    known: NDArray[np.uint8],
    alpha: Float,
    solve: Callable[[Area], Float | None],
    tile: int,
    overlap: int,
) -> Float:
    """Alpha solved in the unknown band; elsewhere it is exactly 0 or 1.

    known: (h, w) uint8 trimap. alpha: (h, w) float32, kept where no tile is solved. solve: an
    area's alpha, or None where it is not to be solved. Tiles that overlap give way to each other
    without a seam.
    """
    total, share = np.zeros_like(alpha), np.zeros_like(alpha)
    for area in tiles(known, tile, overlap):
        solved = solve(area)
        if solved is not None:
            weight = window(known[area].shape, overlap)
            total[area] += weight * solved
            share[area] += weight
    found = np.where(share > 0, total / np.maximum(share, 1), alpha)
    solid = (known == PERSON).astype(np.float32)
    return np.where(known == UNKNOWN, np.clip(found, 0, 1), solid).astype(np.float32)


def tiles(known: NDArray[np.uint8], tile: int, overlap: int) -> Iterator[Area]:
    """Areas that together cover all unknown pixels, each reaching over its neighbours."""
    height, width = known.shape
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            if (known[top : top + tile, left : left + tile] == UNKNOWN).any():
                rows = slice(max(0, top - overlap), min(height, top + tile + overlap))
                yield rows, slice(max(0, left - overlap), min(width, left + tile + overlap))


def window(shape: tuple[int, ...], overlap: int) -> Float:
    """Weights that fall towards a tile's rim, so that no seam shows."""
    sides = [np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) for n in shape]
    rows, columns = (np.minimum(side, overlap).astype(np.float32) for side in sides)
    return np.asarray(rows[:, None] * columns, np.float32)
