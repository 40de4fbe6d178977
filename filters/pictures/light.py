"""Light shared by person and background: wrap, shadow, matched colours, blurred backgrounds.

All of these are affine in a plane's codes, so they hold for luma, chroma and R'G'B' at any depth.
In this module a plane is (h, w) uint8 or uint16, alpha16 is (h, w) uint16 in 0..65535.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.composite import Plane
from mattecast.filters.pictures.upsampling import FULL

Float = NDArray[np.float32]
Alpha16 = NDArray[np.uint16]

# In shares of the picture's height: how far light wraps around edges, how soft a shadow is, and how
# far it lies to the right of the person and below.
WRAP, SOFTNESS, OFFSET = 1 / 60, 1 / 30, (1 / 50, 1 / 25)
# Light and shadow are computed on pictures at most this high, in pixels.
_SMALL_HEIGHT = 270
# How much a new frame's colours count in the running statistics, which must not pulse.
_NEW_FRAME = 0.1


def light_wrap(front: Plane, back: Plane | int, alpha16: Alpha16, strength: float) -> Plane:
    """The person's plane with the background's light bleeding over the person's edge.

    back: the background's plane of the same size, or one flat code. strength: 0 to 1.
    """
    alpha = _reduced(alpha16) / np.float32(65535)
    sigma = WRAP * alpha.shape[0]
    edge = alpha * (1 - cv2.GaussianBlur(alpha, (0, 0), sigma))
    light = cv2.GaussianBlur(_reduced(back, front.shape), (0, 0), sigma)
    share, target = (_enlarged(each, front.shape) for each in (edge * (2 * strength), light))
    return _codes(front + np.minimum(share, 1) * (target - front), front)


def shadow(back: Plane | int, black: int, alpha16: Alpha16, strength: float, like: Plane) -> Plane:
    """The background's plane with a soft shadow of the person on it.

    back: the plane, or one flat code. black: the plane's code without light. strength: the share of
    light that the shadow takes, 0 to 1. like: a plane of the shape and type to return.
    """
    alpha = _reduced(alpha16) / np.float32(65535)
    height, width = alpha.shape
    move = np.array([[1, 0, OFFSET[0] * height], [0, 1, OFFSET[1] * height]], np.float32)
    moved = cv2.warpAffine(alpha, move, (width, height))
    shade = _enlarged(cv2.GaussianBlur(moved, (0, 0), SOFTNESS * height), like.shape)
    return _codes(black + (np.float32(1) * back - black) * (1 - np.float32(strength) * shade), like)


@dataclass(slots=True)
class ColourMatch:
    """Moves the person's colours towards the background's mean and spread, plane by plane.

    Method: Reinhard et al., "Color Transfer between Images" (IEEE CG&A 2001), with statistics that
    run over time. strength: 0 to 1.
    """

    strength: float
    _running: dict[int, Float] = field(default_factory=dict)

    def apply(
        self, index: int, front: Plane, back: Plane | int, alpha16: Alpha16, top: int
    ) -> Plane:
        """The person's plane number `index`, matched to the background's plane.

        back: the background's plane, or one flat code. top: the highest code.
        """
        person, background, alpha = _reduced(front), _reduced(back, front.shape), _reduced(alpha16)
        inside = person[alpha > 32768]
        if not inside.size:
            return front
        now = np.array(
            [inside.mean(), inside.std(), background.mean(), background.std()], np.float32
        )
        before = self._running.get(index, now)
        self._running[index] = before + np.float32(_NEW_FRAME) * (now - before)
        mean, spread, target_mean, target_spread = self._running[index]
        # A flat background has no spread to match; the limits keep the person's contrast natural.
        ratio = 1.0
        if target_spread > 1:
            ratio = np.clip(target_spread / max(float(spread), 1e-3), 0.7, 1.4)
        gain = np.float32(1 + self.strength * (ratio - 1))
        target = mean + np.float32(self.strength) * (target_mean - mean)
        return _codes(np.minimum((front - mean) * gain + target, top), front)


def gaussian_background(plane: Plane, alpha16: Alpha16, sigma: float) -> Plane:
    """The background of a plane blurred by a Gaussian of `sigma` pixels; the person is left out."""
    # At a size where sigma is about 4 pixels, a large blur costs no more than a small one.
    scale = max(1.0, sigma / 4)
    return _background_means(
        plane, alpha16, scale, lambda codes: cv2.GaussianBlur(codes, (0, 0), sigma / scale)
    )


def bokeh_background(plane: Plane, alpha16: Alpha16, radius: float) -> Plane:
    """The background of a plane out of focus, as a round lens shows it; the person is left out.

    radius: of the lens's disc, in the plane's pixels. Highlights take the shape of the disc.
    """
    scale = max(1.0, radius / 8)
    disc = _disc(radius / scale)
    return _background_means(
        plane, alpha16, scale, lambda codes: cv2.filter2D(codes, cv2.CV_32F, disc)
    )


def _background_means(
    plane: Plane, alpha16: Alpha16, scale: float, mean: Callable[[Float], Any]
) -> Plane:
    """Local means of the background alone, computed at 1 / scale of the size.

    The person is left out, so that no halo surrounds the sharp person in the composite.
    """
    size = (max(2, round(plane.shape[1] / scale)), max(2, round(plane.shape[0] / scale)))
    codes, alpha = (
        cv2.resize(each, size, interpolation=cv2.INTER_AREA).astype(np.float32)
        for each in (plane, alpha16)
    )
    weight = background_weight(alpha / np.float32(FULL))
    small = _codes(np.asarray(mean(codes * weight) / mean(weight), np.float32), plane)
    whole = cv2.resize(small, plane.shape[::-1], interpolation=cv2.INTER_LINEAR)
    typed: Plane = np.asarray(whole, plane.dtype)  # type: ignore[assignment]
    return typed


def background_weight(alpha: Any) -> Any:
    """How much a pixel counts for the background's colours.

    alpha: float in [0, 1], a numpy array or a torch tensor. Soft pixels hold some of the person's
    colours and count little. No pixel counts nothing, because a place where all pixels show the
    person needs some mean, which nobody sees.
    """
    return (1 - alpha) ** 2 + 1e-3


def _disc(radius: float) -> Float:
    side = int(np.ceil(radius))
    y, x = np.mgrid[-side : side + 1, -side : side + 1]
    disc = np.clip(radius + 0.5 - np.hypot(y, x), 0, 1)
    return np.asarray(disc / disc.sum(), np.float32)


def _reduced(plane: Plane | int, shape: tuple[int, ...] = (1, 1)) -> Float:
    """A plane at most _SMALL_HEIGHT high, float32; a flat code becomes a plane like `shape`."""
    height, width = shape if isinstance(plane, int) else plane.shape
    scale = min(1.0, _SMALL_HEIGHT / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if isinstance(plane, int):
        return np.full(size[::-1], plane, np.float32)
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _enlarged(small: NDArray[Any], shape: tuple[int, ...]) -> Float:
    values, size = small.astype(np.float32, copy=False), (shape[1], shape[0])
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _codes(values: Any, like: Plane) -> Plane:
    """Values rounded to codes of the type of another plane."""
    codes: Plane = np.maximum(values + np.float32(0.5), 0).astype(like.dtype)
    return codes
