"""Photographs whose ICC profile an output cannot hold: their colours, brought to sRGB."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from mattecast.media.colour import Colour
from mattecast.media.frame import EXACT, components, take_times
from mattecast.media.light import Codes
from mattecast.media.profile import SRGB, Profile
from mattecast.media.turn import Turn


def is_managed(source: Colour, output: Colour) -> bool:
    """Whether colours have to be converted on the way from a photograph to an output."""
    profile = source.profile
    if profile is None or output.profile is not None or not profile.can_convert:
        return False
    return profile.primaries() is None or (source.is_wide and not output.is_wide)


class Managed:
    """Converts upright pictures to sRGB's primaries and a transfer, by way of linear light.

    Colours outside sRGB end at its border, each of R, G, B by itself.
    """

    def __init__(self, colour: Colour, profile: Profile, transfer: int) -> None:
        self._colour, self._codes = colour, Codes(transfer)
        self._curve = np.asarray(profile.curve(65536), np.float32)
        matrix = profile.matrix()
        # A gray profile has no colours of its own.
        own = np.eye(3) if matrix is None else np.linalg.inv(SRGB) @ matrix
        self._matrix = own.astype(np.float32)
        self._converter = VideoReformatter()

    def __call__(self, decoded: av.VideoFrame) -> av.VideoFrame:
        """The picture, upright, as planar RGB of 16 bits."""
        own = self._converter.reformat(
            decoded,
            format="gbrp16le",
            interpolation=EXACT,
            src_colorspace=self._colour.swscale_matrix,
            src_color_range=self._colour.range,
            dst_color_range=2,
            threads=1,
        )
        turn = Turn.of(decoded, still=True)
        light = self._curve[np.stack([turn.upright(plane) for plane in components(own)])]
        light = np.clip(np.tensordot(self._matrix, light, 1), 0, 1)
        made = av.VideoFrame(light.shape[2], light.shape[1], "gbrp16le")
        for plane, codes in zip(components(made), self._codes(light), strict=True):
            plane[:] = codes
        take_times(made, decoded)
        return made
