"""Full-size alpha from a network's small one, sharpened along the edges of the picture itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

# Radius in small pixels, and how flat (in squared full-scale luma) counts as no edge: chosen on 50
# training pictures reduced 2 to 3 times, where a radius of 3 or 4 makes MAD 1 to 7 % worse (larger
# ones let background texture into the matte) and a flatness of 1e-3 makes Grad worse.
RADIUS = 2
EPSILON = 3e-4
# What enlarging softens is put back before: this much of what a blur of one small pixel takes away,
# when enlarged without end; see _sharpened. On the same pictures it lowers MAD by 2 to 3 % and
# leaves Grad and MSE as they are to 1 %.
SHARPER = 0.5
# What a network leaves at 0.01 is background and at 0.99 is person: stretched away, so that flat
# areas are exactly 0 and 1.
FLOOR = 0.02
FULL = 65535

# How far from soft alpha, in small pixels, the filter is worked out: past its first window nothing
# of it survives the floor (in the natural pictures tried, not a single code differed).
REACH = RADIUS + 2
# How far a value of the linear model looks, in small pixels: two windows behind a blur of 5x5.
SEEN = 2 * RADIUS + 2
# Rows of small pixels worked on at once: with the columns that are soft there, few enough that
# most numbers stay in a core's cache, and enough that what a call costs by itself does not count.
STRIP = 64

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
        slope, offset = (np.empty_like(alpha) for _ in range(2))
        larger = enlargement(alpha.shape, guide.shape)
        for areas in _strips(_near_edges(alpha), guide.shape):
            # Enlarging looks beyond an area by one of its steps.
            part = _grown(_hull(areas), _steps(alpha.shape, guide.shape), alpha.shape)
            around = _grown(part, (SEEN, SEEN), alpha.shape)
            inner = _within(part, around)
            model = linear_model(alpha[around], guide_small[around], guide_max, larger)
            slope[part], offset[part] = (each[inner] for each in model)
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


def _strips(near: NDArray[np.uint8], shape: tuple[int, ...]) -> Iterator[list[Area]]:
    """Areas of the small matte that together hold all of a mask, those of the same rows at a time,
    each beginning and ending where pixels of both sizes do, so that a part is enlarged as the whole
    is."""
    down, across = _steps(near.shape, shape)
    height = -(-STRIP // down) * down
    for top in range(0, near.shape[0], height):
        rows = slice(top, min(near.shape[0], top + height))
        if found := spans(near[rows], across):
            yield [(rows, columns) for columns in found]


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


def _within(area: Area, outer: Area) -> Area:
    """An area's place in an array that holds `outer` only."""
    rows, columns = (slice(side.start - outside.start, side.stop - outside.start)
                     for side, outside in zip(area, outer, strict=True))  # fmt: skip
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
    inner = _within(full, around)
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
) -> NDArray[np.uint16]:
    """Upsample alpha along the picture's luma edges (fast guided filter, He and Sun 2015).

    alpha: (h, w) float32 in [0, 1]. guide_small: (h, w) float32, the luma of the same picture at
    the same size, in the units of `guide`. guide: (H, W) luma, full scale `guide_max`.
    Returns (H, W) uint16, 0..65535: alpha below FLOOR is 0, above 1 - FLOOR 65535, linear between.
    Filters stay in float32: half precision breaks the variances.
    """
    slope, offset = linear_model(
        alpha, guide_small, guide_max, enlargement(alpha.shape, guide.shape)
    )
    whole = np.empty(guide.shape, np.uint16)
    height, width = alpha.shape
    _enlarge(slope, offset, guide, whole, (slice(0, height), slice(0, width)))
    return whole


def enlargement(small: tuple[int, ...], full: tuple[int, ...]) -> float:
    """How many times the long side of `full` is that of `small`."""
    return max(full) / max(small)


def linear_model(
    alpha: NDArray[np.float32], guide: NDArray[np.float32], guide_max: float, larger: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slope and offset of alpha, stretched by FLOOR and to 0..65535, in the guide: all four (h, w)
    float32. guide_max: the guide's full scale. larger: how many times they will be enlarged."""
    scale = np.float32(FULL / (1.0 - 2.0 * FLOOR))
    alpha = _sharpened(alpha, SHARPER * (1 - 1 / max(1.0, larger)))
    slope = _slope(alpha, guide, EPSILON * guide_max**2) * scale
    # The filter's own offset would blur what the network drew and the picture does not show: give
    # the small matte back exactly, and take from the picture only what is finer.
    offset = (alpha - np.float32(FLOOR)) * scale - slope * guide
    return slope, np.asarray(offset, np.float32)


def _sharpened(alpha: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """Unsharp masking, kept within [0, 1], so that flat areas and their borders stay as they are:
    a small pixel is the mean of a square, and between such means enlarging draws straight lines,
    both of which make an edge softer than it is."""
    blurred = cv2.GaussianBlur(alpha, (5, 5), 1.0)
    return np.asarray(
        np.clip(cv2.addWeighted(alpha, 1 + amount, blurred, -amount, 0.0), 0.0, 1.0), np.float32
    )


def _slope(
    alpha: NDArray[np.float32], guide: NDArray[np.float32], epsilon: float
) -> NDArray[np.float32]:
    """Slope of alpha as a local linear function of the guide, averaged over windows; epsilon in
    squared units of the guide."""

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        side = 2 * RADIUS + 1
        return np.asarray(
            cv2.boxFilter(values, -1, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32
        )

    mean_guide, mean_alpha = mean(guide), mean(alpha)
    variance = mean(guide * guide) - mean_guide * mean_guide
    covariance = mean(guide * alpha) - mean_guide * mean_alpha
    return mean(np.asarray(covariance / (variance + np.float32(epsilon)), np.float32))


def plain_resize(
    alpha: NDArray[np.float32], size: tuple[int, int]
) -> NDArray[np.uint16]:
    """Resize alpha to (width, height) with no guide: for networks that run at or above that size.

    alpha: (h, w) float32 in [0, 1]. Returns (H, W) uint16, 0..65535, stretched as guided_upsample.
    """
    smaller = size[0] < alpha.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized = cv2.resize(alpha, size, interpolation=method)
    scale = FULL / (1.0 - 2.0 * FLOOR)
    stretched = cv2.addWeighted(resized, scale, resized, 0.0, -FLOOR * scale, dtype=cv2.CV_16U)
    return np.asarray(stretched, np.uint16)
