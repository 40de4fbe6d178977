"""Full-size alpha from a network's small alpha, along the edges of the full-size picture.

Method: the fast guided filter (He and Sun 2015, arXiv 1505.00996), computed only around soft alpha.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

# Radius in small pixels, and the variance (in squared full-scale luma) that counts as flat. They
# were chosen on 50 training pictures reduced 2 to 3 times: a radius of 3 or 4 makes MAD 1 to 7 %
# worse (larger ones let background texture into the matte), a variance of 1e-3 makes Grad worse.
RADIUS = 2
EPSILON = 3e-4
WINDOW = np.full(2 * RADIUS + 1, 1 / (2 * RADIUS + 1), np.float32)
# Enlarging softens edges, so alpha is sharpened before: by this share of what a blur of one small
# pixel takes away, where it is enlarged very much; see _sharpened. On the same pictures sharpening
# lowers MAD by 2 to 3 % and changes Grad and MSE by less than 1 %.
SHARPENING = 0.5
# Alpha below this becomes 0, alpha above 1 less this becomes 1: a network leaves background at 0.01
# and the person at 0.99, and flat areas must be exactly 0 and 1.
FLOOR = 0.02
FULL = 65535

# How far from soft alpha, in small pixels, the filter is computed: beyond its first window almost
# nothing of it exceeds the floor. One pixel less takes as long and misses single pixels.
REACH = RADIUS + 3
# How far the inputs of one value of the linear model reach, in small pixels: two windows and a blur
# of 5x5.
MODEL_REACH = 2 * RADIUS + 2
# Rows of small pixels enlarged at once: so few that most numbers stay in a core's cache, so many
# that the cost of a call does not matter.
STRIP = 64
# Runs of columns with no larger gap than this are enlarged together, for the same reason.
COLUMN_GAP = 8

Area: TypeAlias = tuple[slice, slice]
# Rows, and the runs of columns that have to be computed in them.
Strip: TypeAlias = tuple[slice, list[slice]]


def guided_upsample(
    alpha: NDArray[np.float32],
    guide_small: NDArray[np.float32],
    guide: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    guide_max: float,
) -> NDArray[np.uint16]:
    """Upsample alpha along the edges of the picture's luma.

    alpha: (h, w) float32 in [0, 1]. guide_small: (h, w) float32, the luma of the same picture at
    the same size, in the codes of `guide`. guide: (H, W) uint8 or uint16 luma, whose highest code
    is `guide_max`. Returns (H, W) uint16, 0..65535: alpha up to FLOOR is 0, from 1 - FLOOR on it is
    65535, and linear between. Filters run in float32: half precision would break the variances.
    """
    whole = _nearest(alpha, guide.shape)
    strips = list(_strips(_near_soft(alpha), _steps(alpha.shape, guide.shape)[0]))
    if strips:
        # Enlarging needs one pixel more on each side.
        around = _grown(_hull(strips), (MODEL_REACH + 1, MODEL_REACH + 1), alpha.shape)
        slope, offset = (np.zeros_like(alpha) for _ in range(2))
        slope[around], offset[around] = linear_model(
            alpha[around], guide_small[around], guide_max, enlargement(alpha.shape, guide.shape)
        )
        for strip in strips:
            _enlarge(slope, offset, guide, whole, strip)
    return whole


def _nearest(alpha: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.uint16]:
    """(H, W) uint16, 0 or 65535: nearest-neighbour enlargement of alpha > 0.5.

    Four pixels of a row are written as one uint64, all with the value of the first.
    """
    rows, columns = (nearest_indices(*sides) for sides in zip(alpha.shape, shape, strict=True))
    fours = (alpha > 0.5).take(columns[::4], axis=1) * np.uint64(0xFFFF_FFFF_FFFF_FFFF)
    # Copying whole rows takes half the time of OpenCV's resize.
    return np.ascontiguousarray(fours.view(np.uint16)[:, : shape[1]]).take(rows, axis=0)


def nearest_indices(small: int, full: int) -> NDArray[np.intp]:
    """For each of `full` pixels of a side, the index of the one of `small` pixels it lies in."""
    return np.arange(full) * small // full


def _near_soft(alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(h, w) uint8, 255 within REACH of soft alpha and of hard edges."""
    square = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
    present, solid = (cv2.inRange(alpha, least, 2.0) for least in (FLOOR / 2, 1 - FLOOR / 2))
    return np.asarray(cv2.subtract(cv2.dilate(present, square), cv2.erode(solid, square)), np.uint8)


def _steps(shape: tuple[int, ...], full: tuple[int, ...]) -> tuple[int, int]:
    """The small pixels, down and across, between places where pixels of both sizes begin."""
    down, across = (
        small // math.gcd(small, large) for small, large in zip(shape, full, strict=True)
    )
    return down, across


def _strips(near: NDArray[np.uint8], down: int) -> Iterator[Strip]:
    """Strips that together cover a mask.

    Each begins and ends at a row where pixels of both sizes begin, which is every `down` rows, so
    that a strip is enlarged exactly as the whole picture would be.
    """
    height = -(-STRIP // down) * down
    for top in range(0, near.shape[0], height):
        rows = slice(top, min(near.shape[0], top + height))
        if runs := column_runs(near[rows], COLUMN_GAP):
            yield rows, runs


def _hull(strips: list[Strip]) -> Area:
    """The smallest area that holds all strips."""
    rows = slice(strips[0][0].start, strips[-1][0].stop)
    columns = slice(
        min(runs[0].start for _, runs in strips), max(runs[-1].stop for _, runs in strips)
    )
    return rows, columns


def column_runs(mask: NDArray[np.uint8], gap: int) -> list[slice]:
    """Runs of columns in which a (h, w) uint8 mask is set anywhere.

    Runs with at most `gap` columns between them are joined.
    """
    used = np.zeros(mask.shape[1] + 2, bool)
    used[1:-1] = mask.max(axis=0)
    edges = np.flatnonzero(used[1:] != used[:-1]).tolist()
    runs: list[slice] = []
    for left, right in zip(edges[::2], edges[1::2], strict=True):
        first = runs.pop().start if runs and left <= runs[-1].stop + gap else left
        runs.append(slice(first, right))
    return runs


def _grown(area: Area, margins: tuple[int, int], shape: tuple[int, ...]) -> Area:
    """An area with a margin on each side, within a picture of this shape."""
    rows, columns = (
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, margin, length in zip(area, margins, shape, strict=True)
    )
    return rows, columns


def _at_full_size(side: slice, small: int, full: int) -> slice:
    """A run of rows or columns of the small picture (`small` of them) in the full-size one."""
    return slice(side.start * full // small, side.stop * full // small)


def _enlarge(
    slope: NDArray[np.float32],
    offset: NDArray[np.float32],
    guide: NDArray[Any],
    whole: NDArray[np.uint16],
    strip: Strip,
) -> None:
    """Compute one strip of the full-size matte, in place in `whole`."""
    rows, runs = strip
    down, across = _steps(slope.shape, guide.shape)
    first, last = runs[0].start // across * across, -(-runs[-1].stop // across) * across
    # Enlarging needs one pixel beyond the strip: a step more on each side, which is cut off later.
    outer = _grown((rows, slice(first, last)), (down, across), slope.shape)
    full, outer_rows, outer_columns = (
        _at_full_size(side, slope.shape[axis], guide.shape[axis])
        for side, axis in ((rows, 0), (outer[0], 0), (outer[1], 1))
    )
    inner = slice(full.start - outer_rows.start, full.stop - outer_rows.start)
    # Across first, which is a small part of the work; then down, only in the columns that count.
    flat = outer_columns.stop - outer_columns.start, outer[0].stop - outer[0].start
    wide = [cv2.resize(model[outer], flat) for model in (slope, offset)]
    for run in runs:
        left, right = (-(-end * guide.shape[1] // slope.shape[1]) for end in (run.start, run.stop))
        here = slice(left - outer_columns.start, right - outer_columns.start)
        tall = right - left, outer_rows.stop - outer_rows.start
        slopes, offsets = (cv2.resize(each[:, here], tall)[inner] for each in wide)
        place = full, slice(left, right)
        np.multiply(slopes, guide[place], out=slopes)
        # The conversion to uint16 rounds and clips to 0..65535 in the same pass.
        cv2.add(slopes, offsets, whole[place], dtype=cv2.CV_16U)


def enlargement(small: tuple[int, ...], full: tuple[int, ...]) -> float:
    """How many times longer the long side of shape `full` is than that of shape `small`."""
    return max(full) / max(small)


def linear_model(
    alpha: NDArray[np.float32], guide: NDArray[np.float32], guide_max: float, times: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slope and offset of alpha as a local linear function of the guide, both (h, w) float32.

    alpha, guide: (h, w) float32. guide_max: the guide's highest code. times: how many times slope
    and offset will be enlarged, see enlargement. The function gives alpha stretched by FLOOR, on a
    scale of 0..65535.
    """
    scale = np.float32(FULL / (1.0 - 2.0 * FLOOR))
    offset = _sharpened(alpha, SHARPENING * (1 - 1 / max(1.0, times)))
    slope = _slope(offset, guide, EPSILON * guide_max**2)
    slope *= scale
    # The filter's own offset would blur what the network drew and the picture does not show. This
    # offset gives the small matte back exactly, and the picture adds only what is finer.
    offset -= np.float32(FLOOR)
    offset *= scale
    offset -= slope * guide
    return slope, offset


def _sharpened(alpha: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """Unsharp masking within [0, 1], which leaves flat areas as they are.

    A small pixel is the mean of a square, and enlarging interpolates linearly between such means;
    both make an edge softer than it is.
    """
    blurred = cv2.GaussianBlur(alpha, (5, 5), 1.0)
    sharp = np.asarray(cv2.addWeighted(alpha, 1 + amount, blurred, -amount, 0.0), np.float32)
    return np.clip(sharp, 0.0, 1.0, out=sharp)


def _slope(
    alpha: NDArray[np.float32], guide: NDArray[np.float32], epsilon: float
) -> NDArray[np.float32]:
    """Slope of alpha as a local linear function of the guide, averaged over windows.

    epsilon: the variance that counts as flat, in squared codes of the guide.
    """
    mean_guide, mean_alpha = _mean(guide), _mean(alpha)
    variance = _mean(guide * guide)
    variance -= mean_guide * mean_guide
    variance += np.float32(epsilon)
    slope = _mean(guide * alpha)
    slope -= mean_guide * mean_alpha
    slope /= variance
    return _mean(slope)


def _mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of square windows; cv2.blur takes half as long again, because it sums in double."""
    return np.asarray(cv2.sepFilter2D(values, -1, WINDOW, WINDOW), np.float32)


def plain_resize(alpha: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint16]:
    """Resize alpha without a guide, for pictures that are no larger than the network's.

    alpha: (h, w) float32 in [0, 1]. size: (width, height). Returns (H, W) uint16, 0..65535, with
    FLOOR applied as in guided_upsample.
    """
    smaller = size[0] < alpha.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized = cv2.resize(alpha, size, interpolation=method)
    scale = FULL / (1.0 - 2.0 * FLOOR)
    stretched = cv2.addWeighted(resized, scale, resized, 0.0, -FLOOR * scale, dtype=cv2.CV_16U)
    return np.asarray(stretched, np.uint16)
