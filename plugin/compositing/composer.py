"""A matted frame becomes the picture that is encoded: with alpha, or over a background."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from mattecast.compositing.backgrounds import Background, Blur, background
from mattecast.compositing.blend import Blend
from mattecast.errors import UsageError
from mattecast.filters.pictures.composite import (
    Plane,
    at_chroma_size,
    fill_empty_blocks,
    over,
    to_bits,
    to_luma,
)
from mattecast.media.colour import linear_light
from mattecast.media.frame import EXACT, Matted, components, pixels
from mattecast.media.light import Codes
from mattecast.plan import Plan
from mattecast.settings import Settings

DEFAULTS = Settings()

# How far from any alpha the source's colours are kept, in pixels of a 1080-line picture. That is
# enough for an editor to spread or feather the matte.
KEPT_MARGIN = 24


class Composer:
    """Makes the pictures of one run from matted frames. Close it when done.

    Raises UsageError for a background that cannot be used, and for a blend without a background.
    """

    def __init__(self, plan: Plan, settings: Settings = DEFAULTS) -> None:
        self._plan = plan
        self._whole = settings.whole_picture or plan.format.archive
        self._blend = Blend(plan, settings)
        self._background: Background | Blur | None = None
        if plan.background is not None:
            self._background = background(plan.background, plan)
        elif settings.tint() is not None:
            raise UsageError(f"blend {settings.blend}: needs a background to blend into; name one")
        self._to_output = VideoReformatter()
        self._linear = linear_light(plan.colour.transfer) if plan.format.linear else None
        self._codes = Codes(plan.colour.transfer) if plan.format.linear else None

    def close(self) -> None:
        """Release the background's files."""
        if self._background is not None:
            self._background.close()

    def __call__(self, matted: Matted) -> av.VideoFrame:
        """The picture to encode, tagged with its colours. It uses the frame's own buffers again."""
        picture = matted.frame.picture
        if self._plan.format.matte_only:
            picture = self._matte(matted)
        elif self._background is not None:
            self._over_background(matted, self._background)
        elif self._linear is None and self._plan.format.alpha_pixels is not None:
            picture = self._with_alpha(matted)
        if self._linear is not None:
            picture = self._linear_light(matted, self._linear)
        picture = self._padded(self._encodable(picture))
        self._plan.colour.tag(picture)
        return picture

    def _with_alpha(self, matted: Matted) -> av.VideoFrame:
        picture = matted.frame.picture
        colours = components(picture)[:3]
        black = self._plan.colour.black(picture.format.components[0].bits)
        if self._plan.premultiplied:
            for plane, code in zip(colours, black, strict=True):
                plane[:] = over(plane, code, at_chroma_size(matted.alpha16, plane.shape))
        elif not self._whole:
            margin = round(KEPT_MARGIN * max(1.0, matted.alpha16.shape[0] / 1080))
            whole = pixels(picture)
            if whole is None:
                fill_empty_blocks(colours, black, matted.alpha_small, margin)
            else:
                # In a packed picture this is black without alpha.
                fill_empty_blocks([whole], (0,), matted.alpha_small, margin)
        picture = self._encodable(picture)
        to_bits(matted.alpha16, picture.format.components[-1].bits, components(picture)[-1])
        return picture

    def _encodable(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture in the pixel format that the encoder takes."""
        if picture.format.name == self._plan.pixels:
            return picture
        return self._to_output.reformat(picture, format=self._plan.pixels, interpolation=EXACT)

    def _over_background(self, matted: Matted, background: Background | Blur) -> None:
        time = max(Fraction(0), matted.pts * self._plan.time_base)
        picture = matted.frame.picture
        if isinstance(background, Blur):
            behind: list[Plane] | list[int] = background.around(picture, matted.alpha16)
        else:
            behind = background.planes(picture, time)
        self._blend.lay(picture, behind, matted.alpha16)

    def _matte(self, matted: Matted) -> av.VideoFrame:
        height, width = matted.alpha16.shape
        picture = av.VideoFrame(width, height, self._plan.working_pixels)
        bits = picture.format.components[0].bits
        luma, *chroma = components(picture)
        luma[:] = to_luma(matted.alpha16, *self._plan.colour.luma_units(bits))
        for plane in chroma:
            plane[:] = 1 << (bits - 1)
        return picture

    def _linear_light(self, matted: Matted, table: NDArray[np.float32]) -> av.VideoFrame:
        """Float planes in linear light, multiplied by alpha where the plan says so."""
        source = components(matted.frame.picture)[:3]
        height, width = matted.alpha16.shape
        picture = av.VideoFrame(width, height, self._plan.pixels)
        alpha = matted.alpha
        weight = alpha if self._plan.premultiplied else np.float32(1)
        for number, part in enumerate(picture.format.components[:3]):
            light = table[source[number]]
            own = matted.frame.light
            if own is not None and self._codes is not None:
                # White and above stay too, wherever the codes were left alone.
                alone = source[number] == self._codes(own[number])
                light = np.where(alone, own[number], light)
            _floats(picture, part.plane)[:] = light * weight
        if self._background is None:
            _floats(picture, 3)[:] = alpha
        return picture

    def _padded(self, picture: av.VideoFrame) -> av.VideoFrame:
        """Repeat the last column and row where the encoder takes even sizes only."""
        right, bottom = self._plan.padding
        if not right and not bottom:
            return picture
        size = (picture.width + right, picture.height + bottom)
        padded = av.VideoFrame(*size, picture.format.name)
        for source, target in zip(components(picture), components(padded), strict=True):
            grown = [
                (0, large - small) for large, small in zip(target.shape, source.shape, strict=True)
            ]
            target[:] = np.pad(source, grown, mode="edge")
        return padded


def _floats(picture: av.VideoFrame, index: int) -> NDArray[np.float32]:
    plane = picture.planes[index]
    rows = np.frombuffer(memoryview(plane), np.float32).reshape(plane.height, -1)
    return rows[:, : picture.width]
