"""Soft edges solved again from the picture, inside the unknown band of a trimap."""

from __future__ import annotations

import logging
import os
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mattecast.errors import UsageError
from mattecast.filters.matting.closed_form import EVERY_OTHER, SPARSE, closed_form
from mattecast.filters.matting.solvers import load_solver, memory_needed, solve
from mattecast.filters.matting.trimap import trimap
from mattecast.filters.pictures.upsampling import FLOOR
from mattecast.flow import Abreast, all_the_cores
from mattecast.media.frame import ALPHA_MAX, Estimated, Frame

_LOG = logging.getLogger("mattecast")
FINE = "fine"  # `--detail fine`, as a solver's name
# Half width of the unknown band in pixels of a 720-line picture: for a solver that begins from the
# picture alone, and for ours, which begins from a matte that is nearly right.
SOLVER_BAND, BAND = 3.0, 1.5
STEPS = 20
# The same at the network's size, in its pixels. Half a pixel more leaves more faint traces (MAD)
# than it finds hair (Grad). Five steps lose 1 % of Grad.
SMALL_BAND, SMALL_STEPS, SMALL_PRIOR = 1.0, 8, 0.03
# How many frames are solved at once. Memory goes with them, and Python's own lock lets no more of
# them help.
ABREAST = min(4, all_the_cores())


def medium_detail() -> Abreast:
    """The stage that solves each matte's edge again from the picture that the network saw."""

    def better(estimated: Estimated) -> Estimated:
        return replace(estimated, alpha=medium(estimated.alpha, estimated.frame.small))

    return Abreast("detail", better, ABREAST)


def medium(alpha: NDArray[np.float32], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A network's matte whose edge is solved again from the network's picture.

    alpha: (h, w) float32 in [0, 1]. picture: (h, w, 3) uint8 RGB. Solving leaves faint traces,
    which go together with the network's own, see FLOOR.
    """
    sure = np.clip((alpha - np.float32(FLOOR)) / np.float32(1 - 2 * FLOOR), 0, 1)
    return closed_form(
        picture,
        trimap(sure, SMALL_BAND),
        sure,
        prior=SMALL_PRIOR,
        steps=SMALL_STEPS,
        windows=SPARSE,
    )


def fine(
    picture: NDArray[np.uint8], known: NDArray[np.uint8], alpha: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Alpha (H, W) float32, solved in a trimap's unknown band as `--detail fine` does it."""
    return closed_form(picture, known, alpha, steps=STEPS, windows=EVERY_OTHER)


def solved(alpha16: NDArray[np.uint16], frame: Frame, solver: str) -> NDArray[np.uint16]:
    """A full-size matte whose edge is solved again from the picture.

    alpha16: (H, W) uint16. solver: FINE, or one of settings.SOLVERS.
    """
    alpha = alpha16.astype(np.float32) * np.float32(1 / ALPHA_MAX)
    band = BAND if solver == FINE else SOLVER_BAND
    known = trimap(alpha, band * max(1, alpha.shape[0] / 720))
    picture = frame.picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    alpha = fine(picture, known, alpha) if solver == FINE else solve(picture, known, alpha, solver)
    return np.asarray(np.round(alpha * ALPHA_MAX), np.uint16)


def check_solver(solver: str, size: tuple[int, int]) -> None:
    """Log what a solver will need for pictures of (width, height).

    Raises UsageError where the solver is not installed or needs more memory than is free.
    """
    try:
        load_solver(solver)
    except ImportError as error:
        raise UsageError(f"refine {solver}: {error}") from error
    needed, present = memory_needed(size, solver), _free_memory()
    if present is not None and needed > present:
        raise UsageError(
            f"refine {solver}: needs about {needed >> 20} MB and {present >> 20} MB are free; "
            "--size makes pictures smaller, --detail fine needs less"
        )
    _LOG.warning("refine %s: about %d MB, and seconds a frame", solver, needed >> 20)


def _free_memory() -> int | None:
    """Bytes of memory that are free, where the system says so."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
