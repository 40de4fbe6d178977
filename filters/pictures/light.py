"""A person and a background that look as if they belonged together: wrap, shadow, colours.

All three are affine in a plane's codes, so they hold for luma, chroma and R'G'B' at any depth.
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

# Light wraps around edges by this part of the picture's height; shadows are this soft and fall
# this far to the right and down.
WRAP, SOFTNESS, FALL = 1 / 60, 1 / 30, (1 / 50, 1 / 25)
# Blurs are found on pictures at most this high.
_HIGH = 270
# How much of a new frame's colours enters the running statistics: a match must not pulse.
_NEW = 0.1


def light_wrap(front: Plane, back: Plane | int, alpha16: Alpha16, strength: float) -> Plane:
    """The person's plane, (h, w), with the background's light bleeding over its edge.

    back, alpha16: of the same size, back also one flat code. strength: 0 to 1.
    """
    alpha = _small(alpha16) / np.float32(65535)
    sigma = WRAP * alpha.shape[0]
    edge = alpha * (1 - cv2.GaussianBlur(alpha, (0, 0), sigma))
    light = cv2.GaussianBlur(_small(back, front.shape), (0, 0), sigma)
    share, towards = (_large(each, front.shape) for each in (edge * (2 * strength), light))
    return _codes(front + np.minimum(share, 1) * (towards - front), front)


def shadow(back: Plane | int, black: int, alpha16: Alpha16, strength: float, kind: Plane) -> Plane:
    """A background plane, as `kind` in shape and type, in which the person throws a soft shadow.

    black: the plane's code without light. strength: how much of the light is taken, 0 to 1.
    """
    alpha = _small(alpha16) / np.float32(65535)
    height, width = alpha.shape
    move = np.array([[1, 0, FALL[0] * height], [0, 1, FALL[1] * height]], np.float32)
    fallen = cv2.warpAffine(alpha, move, (width, height))
    shade = _large(cv2.GaussianBlur(fallen, (0, 0), SOFTNESS * height), kind.shape)
    return _codes(black + (np.float32(1) * back - black) * (1 - np.float32(strength) * shade), kind)


@dataclass(slots=True)
class ColourMatch:
    """Moves a person's colours to the background's mean and spread (Reinhard et al., "Color
    Transfer between Images", IEEE CG&A 2001), by planes, with statistics that run over time."""

    strength: float
    _running: dict[int, Float] = field(default_factory=dict)

    def apply(
        self, index: int, front: Plane, back: Plane | int, alpha16: Alpha16, top: int
    ) -> Plane:
        """Plane number `index` of the person, (h, w), matched to that of the background.

        top: the highest code.
        """
        person, behind, alpha = _small(front), _small(back, front.shape), _small(alpha16)
        seen = person[alpha > 32768]
        if not seen.size:
            return front
        now = np.array([seen.mean(), seen.std(), behind.mean(), behind.std()], np.float32)
        before = self._running.get(index, now)
        self._running[index] = before + np.float32(_NEW) * (now - before)
        mean, spread, wanted, wide = self._running[index]
        # A flat background has no spread to match, and none may tear the person's apart.
        ratio = np.clip(wide / max(float(spread), 1e-3), 0.7, 1.4) if wide > 1 else 1.0
        gain = np.float32(1 + self.strength * (ratio - 1))
        target = mean + np.float32(self.strength) * (wanted - mean)
        return _codes(np.minimum((front - mean) * gain + target, top), front)


def blurred(plane: Plane, alpha16: Alpha16, sigma: float) -> Plane:
    """A plane, (h, w), blurred by a Gaussian of `sigma` pixels, without the person's colours."""
    # Blurred at a size where sigma is about 4 pixels, a large blur costs no more than a small.
    scale = max(1.0, sigma / 4)
    return _behind(plane, alpha16, scale, lambda it: cv2.GaussianBlur(it, (0, 0), sigma / scale))


def bokeh(plane: Plane, alpha16: Alpha16, radius: float) -> Plane:
    """A plane, (h, w), out of focus as a round lens shows it, without the person's colours.

    radius: of the disc, in the plane's pixels. Highlights keep the shape of the disc.
    """
    scale = max(1.0, radius / 8)
    disc = _disc(radius / scale)
    return _behind(plane, alpha16, scale, lambda it: cv2.filter2D(it, cv2.CV_32F, disc))


def _behind(plane: Plane, alpha16: Alpha16, scale: float, mean: Callable[[Float], Any]) -> Plane:
    """Local means of the background alone, worked out at 1/scale of the size: the person is left
    out, so that no halo surrounds the sharp one."""
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
    """How much a pixel of alpha 0..1, numpy's or torch's, counts for the background's colours.

    Soft pixels hold the person's colours already, and count little; never nothing, since where
    all is person there is no other mean, and nobody sees it.
    """
    return (1 - alpha) ** 2 + 1e-3


def _disc(radius: float) -> Float:
    side = int(np.ceil(radius))
    y, x = np.mgrid[-side : side + 1, -side : side + 1]
    disc = np.clip(radius + 0.5 - np.hypot(y, x), 0, 1)
    return np.asarray(disc / disc.sum(), np.float32)


def _small(plane: Plane | int, shape: tuple[int, ...] = (1, 1)) -> Float:
    """A plane at most _HIGH lines high, float32; of a flat code, one of that shape."""
    height, width = shape if isinstance(plane, int) else plane.shape
    scale = min(1.0, _HIGH / height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if isinstance(plane, int):
        return np.full(size[::-1], plane, np.float32)
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _large(small: NDArray[Any], shape: tuple[int, ...]) -> Float:
    values, size = small.astype(np.float32, copy=False), (shape[1], shape[0])
    large = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.float32)


def _codes(values: Any, kind: Plane) -> Plane:
    codes: Plane = np.maximum(values + np.float32(0.5), 0).astype(kind.dtype)
    return codes
