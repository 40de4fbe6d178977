"""Mattes at full size, along the picture's edges, and the person's own colours under them."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.composite import at_chroma_size
from mattecast.filters.pictures.despill import WallFinder, despill, spill_weight
from mattecast.filters.pictures.edges import EdgeAdjustment, adjust
from mattecast.filters.pictures.foreground import local_colours, recover_colours
from mattecast.filters.pictures.upsampling import (
    FLOOR,
    enlargement,
    guided_upsample,
    plain_resize,
)
from mattecast.flow import Abreast, Immediate, Stage
from mattecast.matting.detail import ABREAST, FINE, solved
from mattecast.media.colour import Colour
from mattecast.media.fit import clear_outside
from mattecast.media.frame import Estimated, Frame, Matted, components
from mattecast.plan import Plan
from mattecast.settings import Settings

# Pictures less than this many times larger than the network's were solved at their own size
# already. A second time makes them tremble (dtSSD 9 % up) and gains nothing.
LARGER = 1.5


def edges(settings: Settings, plan: Plan, *, live: bool) -> Stage[Estimated, Matted]:
    """The stage that brings mattes to full size, solves their edge if asked, and adjusts it."""
    solver = None if live else settings.refine or (FINE if settings.detail == FINE else None)
    adjusted = Edges(plan, edge_adjustment(settings), solver)
    if solver is None:
        return adjusted
    # A solver's memory was counted for one frame.
    return Abreast("edges", adjusted.matted, ABREAST if solver == FINE else 1)


def edge_adjustment(settings: Settings) -> EdgeAdjustment:
    """What the settings change of the edge."""
    return EdgeAdjustment(
        choke=settings.choke,
        feather=settings.feather,
        gamma=settings.gamma,
        threshold=settings.threshold,
    )


class Edges(Immediate):
    """The stage that brings mattes to full size and adjusts their edge.

    solver: what solves the edge again from the full picture, see detail.solved; None for nothing.
    """

    name = "edges"

    def __init__(self, plan: Plan, adjustment: EdgeAdjustment, solver: str | None = None) -> None:
        self._plan, self._adjustment, self._solver = plan, adjustment, solver

    def push(self, estimated: Estimated) -> list[Matted]:
        """See flow.Stage."""
        return [self.matted(estimated)]

    def matted(self, estimated: Estimated) -> Matted:
        """The frame with its matte at full size."""
        frame, alpha = estimated.frame, estimated.alpha
        whole = full_size(alpha, frame, self._plan)
        if self._solver and not self._solved_already(alpha, whole):
            whole = solved(whole, frame, self._solver)
        alpha16 = adjust(whole, self._adjustment)
        if frame.inside is not None:
            clear_outside(alpha16, frame.inside)
        scale = alpha.shape[0] / alpha16.shape[0]
        return Matted(frame, alpha16, _reaching(alpha, self._adjustment, scale))

    def _solved_already(self, alpha: NDArray[np.float32], whole: NDArray[np.uint16]) -> bool:
        return self._solver == FINE and enlargement(alpha.shape, whole.shape) < LARGER


def _reaching(
    alpha: NDArray[np.float32], adjustment: EdgeAdjustment, scale: float
) -> NDArray[np.float32]:
    """The small matte, grown by what the adjustment adds outside, so that its colours are kept."""
    reach = math.ceil(max(0.0, 3 * adjustment.feather - adjustment.choke) * scale)
    if not reach:
        return alpha
    grown = cv2.dilate(alpha, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return np.asarray(grown, np.float32)


def full_size(alpha: NDArray[np.float32], frame: Frame, plan: Plan) -> NDArray[np.uint16]:
    """A network's matte (h, w) float32 at the picture's size, along its edges: (H, W) uint16."""
    height, width = frame.guide.shape
    if alpha.shape[0] >= height and alpha.shape[1] >= width:
        return plain_resize(alpha, (width, height))
    bits = _guide_bits(frame, plan)
    return guided_upsample(
        alpha, small_guide(frame, plan, bits), frame.guide, guide_max=float((1 << bits) - 1)
    )


def small_guide(frame: Frame, plan: Plan, bits: int) -> NDArray[np.float32]:
    """Luma (h, w) float32 of the network's picture, in the output's own codes at `bits` bits."""
    colour = plan.colour if plan.yuv else plan.colour.as_rgb()
    scale, offset = colour.luma_units(bits)
    weights = np.asarray(colour.luma_weights()) * (scale / 255)
    table = np.array([[*weights, offset]], np.float32)
    return np.asarray(cv2.transform(frame.small.astype(np.float32), table), np.float32)


def _guide_bits(frame: Frame, plan: Plan) -> int:
    return max(part.bits for part in frame.picture.format.components) if plan.yuv else 8


class Colours(Immediate):
    """The stage that replaces the picture's codes under soft alpha by the person's own colours."""

    name = "colours"

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def push(self, matted: Matted) -> list[Matted]:
        """See flow.Stage. The picture is changed in place."""
        picture = matted.frame.picture
        planes = components(picture)[:3]
        bits = picture.format.components[0].bits
        # Not the alpha that is drawn but the network's: the blur is wider than their difference.
        alpha = np.clip((matted.alpha_small - FLOOR) / np.float32(1 - 2 * FLOOR), 0, 1)
        local = local_colours(matted.frame.small, alpha)
        colours = local.converted(_codes(self._plan).from_rgb(bits))
        whole = planes[0].shape == planes[1].shape
        for part in (slice(0, 3),) if whole else (slice(0, 1), slice(1, 3)):
            alpha16 = at_chroma_size(matted.alpha16, planes[part][0].shape)
            recover_colours(planes[part], alpha16, colours.of_planes(part), (1 << bits) - 1)
        return [matted]


class Despill(Immediate):
    """The stage that takes a wall's light off the person's edge. wanted: see Settings.despill."""

    name = "despill"

    def __init__(self, plan: Plan, wanted: str) -> None:
        self._plan = plan
        self._wall, _, strength = wanted.partition(":")
        self._strength = np.float32(strength or 1)
        self._finder = WallFinder()

    def push(self, matted: Matted) -> list[Matted]:
        """See flow.Stage. The picture is changed in place."""
        wall: str | None = self._wall
        if wall == "auto":
            wall = self._finder.find(matted.frame.small, matted.alpha_small)
        if wall:
            picture = matted.frame.picture
            bits = picture.format.components[0].bits
            weight = np.asarray(spill_weight(matted.alpha_small) * self._strength, np.float32)
            to_codes = _codes(self._plan).from_rgb(bits)
            despill(components(picture)[:3], weight, wall, to_codes, (1 << bits) - 1)
        return [matted]


def _codes(plan: Plan) -> Colour:
    """What the codes of the picture mean."""
    return plan.colour if plan.yuv else plan.colour.as_rgb()
