"""Full-size alpha from a network's small one, sharpened along the edges of the picture itself."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

# Radius in small pixels, and how flat (in squared full-scale luma) counts as no edge: chosen on 50
# training pictures reduced 2 and 3 times, where a radius of 3 makes MAD 2 to 7 % worse; larger
# radii let background texture into the matte.
RADIUS = 2
EPSILON = 1e-3
# What a network leaves at 0.01 is background and at 0.99 is person: stretched away, so that flat
# areas are exactly 0 and 1.
FLOOR = 0.02
FULL = 65535

# How far from soft alpha, in small pixels, the filter is worked out: past its first window nothing
# of it survives the floor (in the natural pictures tried, not a single code differed).
REACH = RADIUS + 2
# Rows of small pixels worked on at once: with the columns that are soft there, few enough that
# all numbers stay in a core's cache.
STRIP = 32

Area: TypeAlias = tuple[slice, slice]


class GuidedUpsampler:
    """guided_upsample for the frames of a clip, only around where the matte is soft."""

    def __call__(
        self,
        alpha: NDArray[np.float32],
        guide_small: NDArray[np.float32],
        guide: NDArray[np.uint8] | NDArray[np.uint16],
        *,
        guide_max: float,
    ) -> NDArray[np.uint16]:
        """See guided_upsample."""
        flat = np.where(alpha > 0.5, np.uint16(FULL), np.uint16(0))
        # The nearest pixel, by rows that are copied whole: half the time of OpenCV's resize.
        rows, columns = (lookup(*sides) for sides in zip(alpha.shape, guide.shape, strict=True))
        whole: NDArray[np.uint16] = flat.take(columns, axis=1).take(rows, axis=0)
        near = _near_edges(alpha)
        areas = _areas(near, guide.shape)
        if not areas:
            return whole
        # Enlarging looks beyond an area by one of its steps.
        part = _grown(_hull(areas), _steps(alpha.shape, guide.shape), alpha.shape)
        slope, offset = (np.empty_like(alpha) for _ in range(2))
        slope[part], offset[part] = linear_model(
            alpha[part], guide_small[part], RADIUS, EPSILON * guide_max**2, FLOOR
        )
        for area in areas:
            _enlarge(slope, offset, guide, whole, area)
        return whole


def lookup(small: int, full: int) -> NDArray[np.intp]:
    """For each of `full` pixels in a row the one of `small` that it lies in."""
    return np.arange(full) * small // full


def _near_edges(alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(h, w) uint8, 255 within REACH of alpha that is soft, or of two sides that meet hard."""
    square = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
    some, solid = (cv2.inRange(alpha, least, 2.0) for least in (FLOOR / 2, 1 - FLOOR / 2))
    return np.asarray(cv2.subtract(cv2.dilate(some, square), cv2.erode(solid, square)), np.uint8)


def _steps(shape: tuple[int, ...], full: tuple[int, ...]) -> tuple[int, int]:
    """How many small pixels down and across lie between two places where pixels of both sizes
    begin."""
    down, across = (
        small // math.gcd(small, large) for small, large in zip(shape, full, strict=True)
    )
    return down, across


def _areas(near: NDArray[np.uint8], shape: tuple[int, ...]) -> list[Area]:
    """Areas of the small matte that together hold all of a mask, each beginning and ending where
    pixels of both sizes do, so that a part is enlarged as the whole is."""
    down, across = _steps(near.shape, shape)
    height = -(-STRIP // down) * down
    areas = []
    for top in range(0, near.shape[0], height):
        rows = slice(top, min(near.shape[0], top + height))
        areas += [(rows, columns) for columns in spans(near[rows], across)]
    return areas


def _hull(areas: list[Area]) -> Area:
    rows, columns = (slice(min(side.start for side in sides), max(side.stop for side in sides))
                     for sides in zip(*areas, strict=True))  # fmt: skip
    return rows, columns


def spans(mask: NDArray[np.uint8], step: int) -> list[slice]:
    """Runs of columns in which a (h, w) uint8 mask is set anywhere, both ends at multiples of
    `step` (or the mask's own); runs less than two steps apart are one."""
    seen = np.zeros(mask.shape[1] + 2, bool)
    seen[1:-1] = mask.max(axis=0)
    edges = np.flatnonzero(seen[1:] != seen[:-1]).tolist()
    runs: list[slice] = []
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        first, last = left // step * step, min(mask.shape[1], -(-right // step) * step)
        if runs and first <= runs[-1].stop + step:
            first = runs.pop().start
        runs.append(slice(first, last))
    return runs


def _grown(area: Area, by: tuple[int, int], shape: tuple[int, ...]) -> Area:
    rows, columns = (slice(max(0, side.start - more), min(most, side.stop + more))
                     for side, more, most in zip(area, by, shape, strict=True))  # fmt: skip
    return rows, columns


def _at_full_size(area: Area, ratios: list[tuple[int, int]]) -> Area:
    rows, columns = (slice(side.start * large // small, side.stop * large // small)
                     for side, (small, large) in zip(area, ratios, strict=True))  # fmt: skip
    return rows, columns


def _enlarge(
    slope: NDArray[np.float32], offset: NDArray[np.float32], guide: NDArray[Any],
    whole: NDArray[np.uint16], area: Area,
) -> None:  # fmt: skip
    """Work out one small area of the matte at full size."""
    ratios = list(zip(slope.shape, guide.shape, strict=True))
    # Enlarging looks one pixel further than the area: a step more on each side, then cut off.
    outer = _grown(area, _steps(slope.shape, guide.shape), slope.shape)
    full, around = (_at_full_size(each, ratios) for each in (area, outer))
    size = (around[1].stop - around[1].start, around[0].stop - around[0].start)
    inner = tuple(slice(side.start - outside.start, side.stop - outside.start)
                  for side, outside in zip(full, around, strict=True))  # fmt: skip
    slopes = cv2.resize(slope[outer], size, interpolation=cv2.INTER_LINEAR)[inner]
    offsets = cv2.resize(offset[outer], size, interpolation=cv2.INTER_LINEAR)[inner]
    np.multiply(slopes, guide[full], out=slopes)
    # The saturating conversion rounds and clips to 0..65535 in the same pass.
    cv2.add(slopes, offsets, whole[full], dtype=cv2.CV_16U)


def guided_upsample(
    alpha: NDArray[np.float32],
    guide_small: NDArray[np.float32],
    guide: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    guide_max: float,
    radius: int = RADIUS,
    epsilon: float = EPSILON,
    floor: float = FLOOR,
) -> NDArray[np.uint16]:
    """Upsample alpha along the picture's luma edges (fast guided filter, He and Sun 2015).

    alpha: (h, w) float32 in [0, 1]. guide_small: (h, w) float32, the luma of the same picture at
    the same size, in the units of `guide`. guide: (H, W) luma, full scale `guide_max`.
    floor: alpha below it becomes 0, above 1 - floor becomes 1, linear between.
    Returns (H, W) uint16, 0..65535. Filters stay in float32: half precision breaks the variances.
    """
    slope, offset = linear_model(
        alpha, guide_small, radius, epsilon * guide_max**2, floor
    )
    whole = np.empty(guide.shape, np.uint16)
    height, width = alpha.shape
    _enlarge(slope, offset, guide, whole, (slice(0, height), slice(0, width)))
    return whole


def linear_model(
    alpha: NDArray[np.float32], guide: NDArray[np.float32], radius: int, epsilon: float,
    floor: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Slope and offset of alpha, stretched by the floor and to 0..65535, in the guide: all four
    (h, w) float32, epsilon in squared units of the guide."""
    scale = np.float32(FULL / (1.0 - 2.0 * floor))
    slope = _slope(alpha, guide, radius, epsilon) * scale
    # The filter's own offset would blur what the network drew and the picture does not show: give
    # the small matte back exactly, and take from the picture only what is finer.
    offset = (alpha - np.float32(floor)) * scale - slope * guide
    return slope, np.asarray(offset, np.float32)


def _slope(
    alpha: NDArray[np.float32], guide: NDArray[np.float32], radius: int, epsilon: float
) -> NDArray[np.float32]:
    """Slope of alpha as a local linear function of the guide, averaged over windows."""

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        side = 2 * radius + 1
        return np.asarray(
            cv2.boxFilter(values, -1, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32
        )

    mean_guide, mean_alpha = mean(guide), mean(alpha)
    variance = mean(guide * guide) - mean_guide * mean_guide
    covariance = mean(guide * alpha) - mean_guide * mean_alpha
    return mean(np.asarray(covariance / (variance + np.float32(epsilon)), np.float32))


def plain_resize(
    alpha: NDArray[np.float32], size: tuple[int, int], *, floor: float = FLOOR
) -> NDArray[np.uint16]:
    """Resize alpha to (width, height) with no guide: for networks that run at or above that size.

    alpha: (h, w) float32 in [0, 1]. Returns (H, W) uint16, 0..65535, stretched as guided_upsample.
    """
    smaller = size[0] < alpha.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized = cv2.resize(alpha, size, interpolation=method)
    scale = 65535.0 / (1.0 - 2.0 * floor)
    stretched = cv2.addWeighted(resized, scale, resized, 0.0, -floor * scale, dtype=cv2.CV_16U)
    return np.asarray(stretched, np.uint16)
