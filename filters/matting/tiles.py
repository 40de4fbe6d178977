"""Solving a trimap's unknown band tile by tile: memory depends on the tile, not on the picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.trimap import PERSON, UNKNOWN

Float = NDArray[np.float32]
Area = tuple[slice, slice]


def solve_in_tiles(
    trimap: NDArray[np.uint8],
    alpha: Float,
    solve: Callable[[Area], Float | None],
    tile: int,
    overlap: int,
) -> Float:
    """Solve alpha in the unknown band; elsewhere it is exactly 0 or 1.

    trimap: (h, w) uint8. alpha: (h, w) float32, which stays where no tile is solved. solve: gives
    an area's alpha, or None where the area is not to be solved. tile, overlap: in pixels; tiles
    are blended where they overlap. Returns (h, w) float32 in [0, 1].
    """
    total, share = np.zeros_like(alpha), np.zeros_like(alpha)
    for area in tiles(trimap, tile, overlap):
        solved = solve(area)
        if solved is not None:
            weight = tile_weight(trimap[area].shape, overlap)
            total[area] += weight * solved
            share[area] += weight
    found = np.where(share > 0, total / np.maximum(share, 1), alpha)
    solid = (trimap == PERSON).astype(np.float32)
    return np.where(trimap == UNKNOWN, np.clip(found, 0, 1), solid).astype(np.float32)


def tiles(trimap: NDArray[np.uint8], tile: int, overlap: int) -> Iterator[Area]:
    """Areas that together cover all unknown pixels; neighbours overlap."""
    height, width = trimap.shape
    for top in range(0, height, tile):
        for left in range(0, width, tile):
            if (trimap[top : top + tile, left : left + tile] == UNKNOWN).any():
                rows = slice(max(0, top - overlap), min(height, top + tile + overlap))
                yield rows, slice(max(0, left - overlap), min(width, left + tile + overlap))


def tile_weight(shape: tuple[int, ...], overlap: int) -> Float:
    """Weights that fall towards a tile's rim, so that no seam shows: float32 of this shape."""
    sides = [np.minimum(np.arange(1, n + 1), np.arange(n, 0, -1)) for n in shape]
    rows, columns = (np.minimum(side, overlap).astype(np.float32) for side in sides)
    return np.asarray(rows[:, None] * columns, np.float32)
