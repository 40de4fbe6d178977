"""Full-size alpha from a network's small one, sharpened along the edges of the picture itself."""

from __future__ import annotations

import math
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

# Radius in small pixels, and how flat (in squared full-scale luma) counts as no edge: chosen on
# held-out training pictures; larger radii let background texture into the matte.
RADIUS = 3
EPSILON = 1e-3
# What a network leaves at 0.01 is background and at 0.99 is person: stretched away, so that flat
# areas are exactly 0 and 1.
FLOOR = 0.02

Area: TypeAlias = tuple[slice, slice]
Buffers: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint16]]


class GuidedUpsampler:
    """guided_upsample for the frames of a clip, only around where the matte is soft.

    Keeps its full-size buffers from frame to frame.
    """

    def __init__(self) -> None:
        self._buffers = (np.empty((0, 0), np.float32), np.empty((0, 0), np.float32))

    def __call__(
        self,
        alpha: NDArray[np.float32],
        guide_small: NDArray[np.float32],
        guide: NDArray[np.uint8] | NDArray[np.uint16],
        *,
        guide_max: float,
    ) -> NDArray[np.uint16]:
        """See guided_upsample."""
        if self._buffers[0].shape != guide.shape:
            self._buffers = (np.empty(guide.shape, np.float32), np.empty(guide.shape, np.float32))
        small, full = _soft_area(alpha, guide.shape)
        whole = np.empty(guide.shape, np.uint16)
        if alpha[small].size < alpha.size:
            flat = np.where(alpha > 0.5, np.uint16(65535), np.uint16(0))
            cv2.resize(flat, guide.shape[::-1], whole, interpolation=cv2.INTER_NEAREST)
        if guide[full].size:
            buffers = (self._buffers[0][full], self._buffers[1][full], whole[full])
            guided_upsample(
                alpha[small], guide_small[small], guide[full], guide_max=guide_max, buffers=buffers
            )
        return whole




def _soft_area(alpha: NDArray[np.float32], shape: tuple[int, ...]) -> tuple[Area, Area]:
    """The rectangle that holds all soft alpha and the filter's reach, small and at full size.

    Its sides lie where pixels of both sizes begin, so that a part is enlarged as the whole is.
    """
    soft = (alpha > FLOOR / 2) & (alpha < 1 - FLOOR / 2)
    areas = [
        _span(np.asarray(soft.any(axis=1 - axis)), *sides)
        for axis, sides in enumerate(zip(alpha.shape, shape, strict=True))
    ]
    (rows, tall), (columns, wide) = areas
    return (rows, columns), (tall, wide)


def _span(soft: NDArray[np.bool_], small: int, full: int) -> tuple[slice, slice]:
    places = np.flatnonzero(soft)
    if not places.size:
        return slice(0, 0), slice(0, 0)
    step = small // math.gcd(small, full)
    reach = 2 * RADIUS + 2
    first = max(0, int(places[0]) - reach) // step * step
    last = min(small, -(-(int(places[-1]) + 1 + reach) // step) * step)
    return slice(first, last), slice(first * full // small, last * full // small)


def guided_upsample(
    alpha: NDArray[np.float32],
    guide_small: NDArray[np.float32],
    guide: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    guide_max: float,
    radius: int = RADIUS,
    epsilon: float = EPSILON,
    floor: float = FLOOR,
    buffers: Buffers | None = None,
) -> NDArray[np.uint16]:
    """Upsample alpha along the picture's luma edges (fast guided filter, He and Sun 2015).

    alpha: (h, w) float32 in [0, 1]. guide_small: (h, w) float32, the luma of the same picture at
    the same size, in the units of `guide`. guide: (H, W) luma, full scale `guide_max`.
    floor: alpha below it becomes 0, above 1 - floor becomes 1, linear between. buffers: two (H, W)
    float32 arrays to work in and the (H, W) uint16 one to return.
    Returns (H, W) uint16, 0..65535. Filters stay in float32: half precision breaks the variances.
    """
    slope, offset = _linear_model(alpha, guide_small, radius, epsilon * guide_max**2)
    # The filter alone would blur what the network drew and the picture does not show: give the
    # small matte back exactly, and take from the picture only what is finer.
    offset += alpha - (slope * guide_small + offset)
    scale = 65535.0 / (1.0 - 2.0 * floor)
    size = (guide.shape[1], guide.shape[0])
    slope *= np.float32(scale)
    offset = (offset - np.float32(floor)) * np.float32(scale)
    work = buffers or (None, None, None)
    slopes = cv2.resize(slope, size, work[0], interpolation=cv2.INTER_LINEAR)
    offsets = cv2.resize(offset, size, work[1], interpolation=cv2.INTER_LINEAR)
    cv2.multiply(slopes, guide, dst=slopes, dtype=cv2.CV_32F)
    # The saturating conversion rounds and clips to 0..65535 in the same pass.
    return np.asarray(cv2.add(slopes, offsets, work[2], dtype=cv2.CV_16U), np.uint16)


def _linear_model(
    alpha: NDArray[np.float32], guide: NDArray[np.float32], radius: int, epsilon: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Slope and offset of alpha as a local linear function of the guide, averaged over windows."""

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        side = 2 * radius + 1
        return np.asarray(
            cv2.boxFilter(values, -1, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32
        )

    mean_guide, mean_alpha = mean(guide), mean(alpha)
    variance = mean(guide * guide) - mean_guide * mean_guide
    covariance = mean(guide * alpha) - mean_guide * mean_alpha
    slope = np.asarray(covariance / (variance + np.float32(epsilon)), np.float32)
    return mean(slope), mean(mean_alpha - slope * mean_guide)


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
