"""Between network and encoder: smoothing over time, full size, edges, true colours."""

from __future__ import annotations

import logging
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.errors import UsageError
from mattecast.filters.matting.closed_form import EVERY_OTHER, SPARSE, closed_form
from mattecast.filters.matting.solvers import load, memory, solve
from mattecast.filters.matting.trimap import trimap
from mattecast.filters.pictures.composite import at_chroma_size
from mattecast.filters.pictures.despill import WallFinder, despill, spilled
from mattecast.filters.pictures.edges import EdgeWish, adjust
from mattecast.filters.pictures.foreground import local_colours, recover
from mattecast.filters.pictures.upsampling import FLOOR, enlargement
from mattecast.filters.time.islands import Sweeper
from mattecast.filters.time.smoothing import SMOOTHERS, Smoother
from mattecast.flow import StageTimes, abreast, all_the_cores
from mattecast.matting.corrections import Look
from mattecast.matting.guidance import Clock, Guidance, guide, mask
from mattecast.matting.prepare import full_size
from mattecast.media.frame import ALPHA_MAX, Estimated, Frame, Matted, components
from mattecast.plan import Plan
from mattecast.settings import Settings

_LOG = logging.getLogger("mattecast")
# Half width of the unknown band in pixels of a 720-line picture: for a solver from the picture
# alone, and for ours, which begins from a matte that is nearly right.
SOLVER_BAND, BAND = 3.0, 1.5
STEPS = 20
# The same at the network's size, in its pixels: half a pixel more leaves more faint traces (MAD)
# than it finds hair (Grad). Five steps lose 1 % of Grad.
SMALL_BAND, SMALL_STEPS, SMALL_PRIOR = 1.0, 8, 0.03
FINE = "fine"
# The least island of files, in percent of the picture, where nothing else is asked: chair backs
# at the frame's side have up to 1.5, and no true matte of ours loses anything (MAD 1 % down).
ISLAND = 2.0
# Pictures less than this much larger than the network's were solved at their own size already: a
# second time makes them tremble (dtSSD 9 % up) for nothing.
LARGER = 1.5
# Frames whose edge is solved at once: memory goes with them, and Python's own lock lets no more of
# them help.
ABREAST = min(4, all_the_cores())


def refine(
    estimates: Iterable[Estimated],
    guidance: Guidance,
    clock: Clock,
    settings: Settings,
    times: StageTimes,
    look: Look | None = None,
) -> Iterator[Matted]:
    """Everything the settings ask for, in order: the one stage between network and encoder.

    look: how corrections see what lies before them, as guidance.guide says.
    """
    plan = clock.plan
    if settings.refine:
        announce(settings.refine, plan.size)
    if guidance.before:
        estimates = guide(estimates, guidance, clock, times, look)
    # What was drawn by hand is meant, however far and small.
    drawn = guidance.corrections or guidance.first
    estimates = settle(estimates, settings, times, island=0.0 if drawn else ISLAND)
    solver = settings.refine or (FINE if settings.detail == FINE else None)
    mattes = enlarge(estimates, plan, edge_wish(settings), times, solver)
    if guidance.keep or guidance.garbage:
        mattes = mask(mattes, guidance, clock, times)
    if plan.format.matte_only:
        return mattes
    if settings.foreground == "estimate":
        mattes = recover_foreground(mattes, plan, times)
    if settings.despill:
        mattes = take_spill(mattes, Despiller(plan, settings.despill), times)
    return mattes


def settle(
    estimates: Iterable[Estimated], settings: Settings, times: StageTimes, island: float = ISLAND
) -> Iterable[Estimated]:
    """What is done at the network's size, wherever pictures lie: edges solved again, then smoothed
    over time, which also takes out what solving frame by frame makes tremble.

    island: what min_island is unless the settings say, as for `smoothers`.
    """
    if settings.detail != "fast" and not settings.refine:
        estimates = solve_small(estimates, times)
    for smoother in smoothers(settings, island):
        estimates = smooth(estimates, smoother, times)
    return estimates


def announce(solver: str, size: tuple[int, int]) -> None:
    """Say what a solver will need. Raises UsageError when it is not installed or cannot fit."""
    try:
        load(solver)
    except ImportError as error:
        raise UsageError(f"refine {solver}: {error}") from error
    needed, present = memory(size, solver), _free_memory()
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


def smoothers(settings: Settings, island: float = 0.0) -> Iterator[Smoother]:
    """The filters over time that are asked for.

    island: what min_island is unless the settings say, in percent of the picture.
    """
    island = island if settings.min_island is None else settings.min_island
    if island or settings.min_hole:
        yield Sweeper(island / 100, settings.min_hole / 100)
    name, _, strength = settings.smooth.partition(":")
    if name != "off":
        yield SMOOTHERS[name](strength=float(strength)) if strength else SMOOTHERS[name]()


def edge_wish(settings: Settings) -> EdgeWish:
    """What is asked of the edge."""
    return EdgeWish(
        choke=settings.choke,
        feather=settings.feather,
        gamma=settings.gamma,
        threshold=settings.threshold,
    )


def smooth(
    estimates: Iterable[Estimated], smoother: Smoother, times: StageTimes
) -> Iterator[Estimated]:
    """The stage: mattes smoothed within their shot; as many frames late as the smoother is."""
    smoothing = Smoothing(smoother)
    for estimated in estimates:
        with times.measure("smooth"):
            leaving = smoothing.push(estimated)
        yield from leaving
    yield from smoothing.flush()


class Smoothing:
    """A smoother for frames with their mattes: holds each frame as long as its matte is held."""

    def __init__(self, smoother: Smoother) -> None:
        self._smoother, self._held = smoother, deque[Estimated]()

    def push(self, estimated: Estimated) -> list[Estimated]:
        """Take the next frame; return those that are ready, oldest first."""
        before = self.flush() if estimated.first else []
        self._held.append(estimated)
        return before + self._leaving(self._smoother.push(estimated.alpha, estimated.frame.small))

    def flush(self) -> list[Estimated]:
        """Return what is still held and forget everything, as after a cut."""
        return self._leaving(self._smoother.flush())

    def _leaving(self, alphas: list[NDArray[np.float32]]) -> list[Estimated]:
        return [replace(self._held.popleft(), alpha=alpha) for alpha in alphas]


def solve_small(estimates: Iterable[Estimated], times: StageTimes) -> Iterator[Estimated]:
    """The stage: each matte's edge solved again from the picture that the network saw."""

    def better(estimated: Estimated) -> Estimated:
        with times.measure("detail"):
            return replace(estimated, alpha=medium(estimated.alpha, estimated.frame.small))

    return abreast(estimates, better, ABREAST)


def medium(alpha: NDArray[np.float32], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A network's matte, (h, w) float32, whose edge is solved again from the picture it saw. The
    faint traces that solving leaves go with those of the network, see FLOOR."""
    sure = np.clip((alpha - np.float32(FLOOR)) / np.float32(1 - 2 * FLOOR), 0, 1)
    return closed_form(
        picture,
        trimap(sure, SMALL_BAND),
        sure,
        prior=SMALL_PRIOR,
        steps=SMALL_STEPS,
        windows=SPARSE,
    )


def enlarge(
    estimates: Iterable[Estimated],
    plan: Plan,
    wish: EdgeWish,
    times: StageTimes,
    solver: str | None = None,
) -> Iterator[Matted]:
    """The stage: mattes at full size along the picture's edges, then the edge as asked.

    solver: what solves the edge again from the full picture, see `solved`.
    """

    def enlarged(estimated: Estimated) -> Matted:
        frame, alpha = estimated.frame, estimated.alpha
        with times.measure("filters"):
            whole = full_size(alpha, frame, plan)
            if solver and not (solver == FINE and enlargement(alpha.shape, whole.shape) < LARGER):
                whole = solved(whole, frame, solver)
            alpha16 = adjust(whole, wish)
            small = _reaching(alpha, wish, alpha.shape[0] / alpha16.shape[0])
        return Matted(frame, alpha16, small)

    if not solver:
        return map(enlarged, estimates)
    # A solver's memory was told for one frame.
    return abreast(estimates, enlarged, ABREAST if solver == FINE else 1)


def solved(alpha16: NDArray[np.uint16], frame: Frame, solver: str) -> NDArray[np.uint16]:
    """A matte whose edge is solved again from the picture, by FINE or a solver of that name."""
    alpha = alpha16.astype(np.float32) * np.float32(1 / ALPHA_MAX)
    band = BAND if solver == FINE else SOLVER_BAND
    known = trimap(alpha, band * max(1, alpha.shape[0] / 720))
    picture = frame.picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
    alpha = fine(picture, known, alpha) if solver == FINE else solve(picture, known, alpha, solver)
    return np.asarray(np.round(alpha * ALPHA_MAX), np.uint16)


def fine(
    picture: NDArray[np.uint8], known: NDArray[np.uint8], alpha: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Alpha solved in a trimap's unknown band as `--detail fine` does it; see closed_form."""
    return closed_form(picture, known, alpha, steps=STEPS, windows=EVERY_OTHER)


def _reaching(alpha: NDArray[np.float32], wish: EdgeWish, scale: float) -> NDArray[np.float32]:
    """The small matte grown by what the wish adds outside, so that its colours are kept."""
    reach = math.ceil(max(0.0, 3 * wish.feather - wish.choke) * scale)
    if not reach:
        return alpha
    grown = cv2.dilate(alpha, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return np.asarray(grown, np.float32)


def recover_foreground(mattes: Iterable[Matted], plan: Plan, times: StageTimes) -> Iterator[Matted]:
    """The stage: the picture's own codes under soft alpha give way to the person's."""
    for matted in mattes:
        with times.measure("foreground"):
            _recover(matted, plan)
        yield matted


def _recover(matted: Matted, plan: Plan) -> None:
    picture = matted.frame.picture
    planes = components(picture)[:3]
    bits = picture.format.components[0].bits
    colour = plan.colour if plan.yuv else plan.colour.as_rgb()
    # Not the alpha that is drawn but the network's: the blur is wider than their difference.
    alpha = np.clip((matted.alpha_small - FLOOR) / np.float32(1 - 2 * FLOOR), 0, 1)
    colours = local_colours(matted.frame.small, alpha).coded(colour.from_rgb(bits))
    top = (1 << bits) - 1
    whole = planes[0].shape == planes[1].shape
    for part in (slice(0, 3),) if whole else (slice(0, 1), slice(1, 3)):
        alpha16 = at_chroma_size(matted.alpha16, planes[part][0].shape)
        recover(planes[part], alpha16, colours.of(part), top)


class Despiller:
    """Takes a wall's light off pictures. wish: see Settings.despill."""

    def __init__(self, plan: Plan, wish: str) -> None:
        self._plan = plan
        self._wall, _, strength = wish.partition(":")
        self._strength = np.float32(strength or 1)
        self._finder = WallFinder()

    def __call__(self, matted: Matted) -> None:
        """Change the picture's codes in place."""
        wall: str | None = self._wall
        if wall == "auto":
            wall = self._finder.find(matted.frame.small, matted.alpha_small)
        if not wall:
            return
        picture = matted.frame.picture
        bits = picture.format.components[0].bits
        colour = self._plan.colour if self._plan.yuv else self._plan.colour.as_rgb()
        weight = np.asarray(spilled(matted.alpha_small) * self._strength, np.float32)
        despill(components(picture)[:3], weight, wall, colour.from_rgb(bits), (1 << bits) - 1)


def take_spill(
    mattes: Iterable[Matted], despiller: Despiller, times: StageTimes
) -> Iterator[Matted]:
    """The stage: a green or blue wall's light is taken off the person's edge."""
    for matted in mattes:
        with times.measure("despill"):
            despiller(matted)
        yield matted
