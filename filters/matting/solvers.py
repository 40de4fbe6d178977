"""Solvers of a trimap's unknown band by name, for stills and short clips: PyMatting's and ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.bayesian import bayesian_matting
from mattecast.filters.matting.global_sampling import global_sampling
from mattecast.filters.matting.poisson import poisson_matting
from mattecast.filters.matting.tiles import Area, solve_in_tiles
from mattecast.filters.matting.trimap import BACKGROUND, PERSON, UNKNOWN

Bytes = NDArray[np.uint8]
Float = NDArray[np.float32]
# From (h, w, 3) uint8 RGB and a (h, w) uint8 trimap to (h, w) float32 alpha.
Solver = Callable[[Bytes, Bytes], Float]

MISSING = "PyMatting is not installed: pip install 'mattecast[refine]'"
# For each name PyMatting's function (Germer et al., JOSS 2020) or ours, and its memory in bytes for
# each pixel of a tile. PyMatting's memory holds the sparse matrix, its preconditioner and the
# solver's vectors. Peaks at 320 x 320 with PyMatting 1.1.16: knn 3470, learning-based 2540,
# random-walk 560, closed-form 460; a wider unknown band takes more, so the rows are rounded up, the
# last two generously. The value of shared is a guess. Peaks of ours at 608 x 456 with a sixth of it
# unknown: bayesian 340, global 104, poisson 83.
SOLVERS: dict[str, tuple[str | Solver, int]] = {
    "closed-form": ("estimate_alpha_cf", 1400),
    "knn": ("estimate_alpha_knn", 4000),
    "random-walk": ("estimate_alpha_rw", 900),
    "learning-based": ("estimate_alpha_lbdm", 3000),
    "shared": ("estimate_alpha_sm", 600),
    "bayesian": (bayesian_matting, 500),
    "global": (global_sampling, 200),
    "poisson": (poisson_matting, 150),
}
TILE, OVERLAP = 512, 48


def memory_needed(size: tuple[int, int], name: str) -> int:
    """Bytes that a solver needs for a picture of (width, height), solved tile by tile."""
    width, height = (min(side, TILE + 2 * OVERLAP) for side in size)
    return width * height * SOLVERS[name][1] + size[0] * size[1] * 40


def load_solver(name: str) -> Solver:
    """The function of a solver; raises ImportError that says how to install a missing PyMatting."""
    function = SOLVERS[name][0]
    if not isinstance(function, str):
        return function
    try:
        import pymatting
    except ImportError as error:
        raise ImportError(f"{MISSING} ({error})") from error
    estimate: Callable[..., Any] = getattr(pymatting, function)

    def solver(picture: Bytes, trimap: Bytes) -> Float:
        alpha = estimate(picture / 255.0, np.where(trimap == UNKNOWN, 0.5, trimap / 255.0))
        return np.asarray(alpha, np.float32)

    return solver


def solve(picture: Bytes, trimap: Bytes, alpha: Float, name: str) -> Float:
    """Solve alpha in the unknown band; elsewhere it is exactly 0 or 1.

    picture: (h, w, 3) uint8 RGB. trimap: (h, w) uint8. alpha: (h, w) float32, which stays where a
    tile's trimap lacks person or background. name: a key of SOLVERS.
    """
    solver = load_solver(name)

    def solve_tile(area: Area) -> Float | None:
        part = trimap[area]
        both_sides = (part == PERSON).any() and (part == BACKGROUND).any()
        return solver(picture[area], part) if both_sides else None

    return solve_in_tiles(trimap, alpha, solve_tile, TILE, OVERLAP)
