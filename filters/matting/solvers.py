"""Solvers of the unknown band, PyMatting's and our own, in tiles, for stills and short clips."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.bayesian import bayesian_matting
from mattecast.filters.matting.global_sampling import global_sampling
from mattecast.filters.matting.poisson import poisson_matting
from mattecast.filters.matting.tiles import Area, tiled
from mattecast.filters.matting.trimap import BACKGROUND, PERSON, UNKNOWN

Bytes = NDArray[np.uint8]
Float = NDArray[np.float32]
Solver = Callable[[Bytes, Bytes], Float]  # of an RGB picture and its trimap

MISSING = "PyMatting is not installed: pip install 'mattecast[refine]'"
# Name to PyMatting's function (Germer et al., JOSS 2020) or ours, and its memory in bytes a pixel
# of tile: of PyMatting's the sparse matrix, its preconditioner and the solver's vectors. Peaks at
# 320 x 320, PyMatting 1.1.16: knn 3470, learning-based 2540, random-walk 560, closed-form 460; a
# wider unknown band takes more, so the rows are rounded up, the last two generously. That of shared
# is a guess. Ours, at 608 x 456 with a sixth of it unknown: bayesian 340, global 104, poisson 83.
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


def memory(size: tuple[int, int], name: str) -> int:
    """Bytes a solver needs for a picture of (width, height), tiles being solved one by one."""
    width, height = (min(side, TILE + 2 * OVERLAP) for side in size)
    return width * height * SOLVERS[name][1] + size[0] * size[1] * 40


def load(name: str) -> Solver:
    """The function of a solver. Raises ImportError that says how to install what it is from."""
    function = SOLVERS[name][0]
    if not isinstance(function, str):
        return function
    try:
        import pymatting
    except ImportError as error:
        raise ImportError(f"{MISSING} ({error})") from error
    theirs: Callable[..., Any] = getattr(pymatting, function)

    def solver(picture: Bytes, known: Bytes) -> Float:
        alpha = theirs(picture / 255.0, np.where(known == UNKNOWN, 0.5, known / 255.0))
        return np.asarray(alpha, np.float32)

    return solver


def solve(picture: Bytes, known: Bytes, alpha: Float, name: str) -> Float:
    """Solve alpha in the unknown band; elsewhere it is exactly 0 or 1.

    picture: (h, w, 3) uint8 RGB. known: (h, w) uint8 trimap. alpha: (h, w) float32, kept where a
    tile knows only one side.
    """
    solver = load(name)

    def solved(area: Area) -> Float | None:
        part = known[area]
        both = (part == PERSON).any() and (part == BACKGROUND).any()
        return solver(picture[area], part) if both else None

    return tiled(known, alpha, solved, TILE, OVERLAP)
