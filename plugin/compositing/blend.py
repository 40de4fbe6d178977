"""Lays a person over a background: light wrap, shadow, matched colours, linear light."""

from __future__ import annotations

from functools import lru_cache

import av
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.composite import Plane, at_chroma_size, over
from mattecast.filters.pictures.light import ColourMatch, light_wrap, shadow
from mattecast.filters.pictures.poisson import (
    Membrane,
    apply_membrane,
    clone,
    membrane_size,
    reduce_alpha,
    reduce_plane,
)
from mattecast.media.colour import linear_light
from mattecast.media.frame import components
from mattecast.plan import Plan
from mattecast.settings import Settings

# How many steps linear light from 0 to 1 has when it becomes a picture's codes again.
_STEPS = 65535


class Blend:
    """Lays the planes of a person over the planes of a background, as the settings ask."""

    def __init__(self, plan: Plan, settings: Settings) -> None:
        self._plan, self._settings = plan, settings
        self._tint = settings.tint() or 0.0
        self._membrane = Membrane() if self._tint else None
        self._match = ColourMatch(settings.colour_match) if settings.colour_match else None

    def lay(
        self, picture: av.VideoFrame, behind: list[Plane] | list[int], alpha16: NDArray[np.uint16]
    ) -> None:
        """Write the composite into the picture, which becomes opaque.

        behind: for each colour a plane, or the one code of a flat plane. alpha16: (H, W) uint16.
        """
        planes, behind = components(picture)[:3], behind[:3]
        for whole in components(picture)[3:]:
            whole[:] = np.iinfo(whole.dtype).max
        if self._membrane:
            self._take_light(picture, planes, behind, alpha16, self._membrane)
        bases: list[Plane | int] = [
            self._prepared(index, *parts, alpha16, picture.format.components[0].bits)
            for index, parts in enumerate(zip(planes, behind, strict=True))
        ]
        if self._settings.linear_light:
            self._blend_light(picture, bases, alpha16)
            return
        for plane, base in zip(planes, bases, strict=True):
            plane[:] = over(plane, base, at_chroma_size(alpha16, plane.shape))

    def _take_light(
        self,
        picture: av.VideoFrame,
        planes: list[Plane],
        behind: list[Plane] | list[int],
        alpha16: NDArray[np.uint16],
        membrane: Membrane,
    ) -> None:
        """Give the person the background's light, in place: see filters.pictures.poisson."""
        alpha = alpha16.astype(np.float32) * np.float32(1 / 65535)
        if self._plan.still and picture.format.name == "rgb24":
            back = np.empty((*alpha.shape, 3), np.uint8)
            for index, base in enumerate(behind):
                back[..., index] = base
            front = clone(np.dstack(planes).astype(np.uint8), back, alpha, self._tint)
            for index, plane in enumerate(planes):
                plane[:] = front[..., index]
            return
        size, top = membrane_size(*alpha.shape[::-1]), (1 << picture.format.components[0].bits) - 1
        small, back_small = (
            np.dstack([reduce_plane(each, size) for each in side]) for side in (planes, behind)
        )
        change = membrane.step(small, back_small, reduce_alpha(alpha, size), top)
        for index, plane in enumerate(planes):
            apply_membrane(plane, np.ascontiguousarray(change[..., index]), top, self._tint)

    def _prepared(
        self, index: int, plane: Plane, base: Plane | int, alpha16: NDArray[np.uint16], bits: int
    ) -> Plane | int:
        """Return the background's plane with its shadow; change the person's plane in place."""
        settings, alpha = self._settings, at_chroma_size(alpha16, plane.shape)
        if self._match:
            plane[:] = self._match.apply(index, plane, base, alpha, (1 << bits) - 1)
        if settings.shadow:
            black = self._plan.colour.black(bits)[index] if self._plan.yuv else 0
            base = shadow(base, black, alpha, settings.shadow, plane)
        if settings.light_wrap:
            plane[:] = light_wrap(plane, base, alpha, settings.light_wrap)
        return base

    def _blend_light(
        self, picture: av.VideoFrame, bases: list[Plane | int], alpha16: NDArray[np.uint16]
    ) -> None:
        """Blend in linear light, by way of R'G'B' codes of 16 bits."""
        back = av.VideoFrame(picture.width, picture.height, picture.format.name)
        for target, base in zip(components(back)[:3], bases, strict=True):
            target[:] = base
        front16, back16 = (self._rgb(each) for each in (picture, back))
        to_light, to_code = _tables(self._plan.colour.transfer)
        alpha = alpha16.astype(np.float32) * np.float32(1 / 65535)
        for plane, base in zip(components(front16), components(back16), strict=True):
            dark = to_light[base]
            light = dark + alpha * (to_light[plane] - dark)
            plane[:] = to_code[np.round(light * _STEPS).astype(np.int32)]
        colour = self._plan.colour
        blended = front16.reformat(
            format=picture.format.name,
            src_color_range=2,
            dst_color_range=colour.range,
            dst_colorspace=colour.swscale_matrix,
            src_colorspace=colour.swscale_matrix,
        )
        for target, source in zip(components(picture), components(blended), strict=True):
            target[:] = source

    def _rgb(self, picture: av.VideoFrame) -> av.VideoFrame:
        colour = self._plan.colour
        return picture.reformat(
            format="gbrp16le",
            src_color_range=colour.range,
            dst_color_range=2,
            src_colorspace=colour.swscale_matrix,
            dst_colorspace=colour.swscale_matrix,
        )


@lru_cache(maxsize=2)
def _tables(transfer: int) -> tuple[NDArray[np.float32], NDArray[np.uint16]]:
    """Two tables of a transfer: codes to light, and light to codes.

    The first is (65536,) float32, scaled to a peak of 1. The second is (65536,) uint16, for light
    in 65535 steps.
    """
    light = linear_light(transfer)
    light = light / light[-1]
    steps = np.interp(np.linspace(0, 1, _STEPS + 1), light, np.arange(light.size))
    return light.astype(np.float32), np.round(steps).astype(np.uint16)
