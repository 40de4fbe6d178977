"""Pictures of another shape than the first: whole and centred in a black picture of its shape."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from mattecast.media.colour import Colour
from mattecast.media.facts import Facts
from mattecast.media.formats import sampling
from mattecast.media.frame import EXACT, components, take_times, upright
from mattecast.media.turn import Turn

# Where a picture lies in another, as shares of its height and width: top, bottom, left, right.
Inside = tuple[float, float, float, float]


class Fit:
    """Fits pictures that differ from the first one of a clip. facts: of the clip."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._stored = facts.turn.size(facts.width, facts.height)
        self._converter = VideoReformatter()

    def __call__(self, decoded: av.VideoFrame) -> tuple[av.VideoFrame, Inside] | None:
        """The picture, upright, at the clip's upright size, and where it lies in there. None for
        one that is as the first, which needs nothing."""
        turn = Turn.of(decoded, still=self._facts.still)
        if (decoded.width, decoded.height) == self._stored and turn == self._facts.turn:
            return None
        return self._fitted(decoded, turn)

    def _fitted(self, decoded: av.VideoFrame, turn: Turn) -> tuple[av.VideoFrame, Inside]:
        facts = self._facts
        room = facts.width, facts.height
        left, top, wide, high = place(room, turn.size(decoded.width, decoded.height))
        made = self._black(*room)
        picture = upright(self._scaled(decoded, turn.size(wide, high), made.format.name), turn)
        for source, target in zip(components(picture), components(made), strict=True):
            target[top : top + high, left : left + wide] = source
        take_times(made, decoded)
        inside = top / room[1], (top + high) / room[1], left / room[0], (left + wide) / room[0]
        return made, inside

    def _black(self, width: int, height: int) -> av.VideoFrame:
        facts = self._facts
        deep = "" if facts.bits <= 8 else "10le" if facts.bits <= 10 else "16le"
        # Whole chroma can be turned.
        planar = "gbrp" if sampling(facts) == "rgb" else "yuv444p"
        made = av.VideoFrame(width, height, planar + deep)
        facts.colour.tag(made)
        black = facts.colour.black(made.format.components[0].bits)
        for plane, code in zip(components(made), black, strict=True):
            plane[:] = code
        return made

    def _scaled(self, decoded: av.VideoFrame, size: tuple[int, int], pixels: str) -> av.VideoFrame:
        source, target = Colour.of(decoded, still=self._facts.still), self._facts.colour
        return self._converter.reformat(
            decoded,
            *size,
            pixels,
            interpolation=EXACT,
            src_colorspace=source.swscale_matrix,
            src_color_range=source.range,
            dst_colorspace=target.swscale_matrix,
            dst_color_range=target.range,
            threads=1,
        )


def place(room: tuple[int, int], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of a picture of a size (width, height) in a room of another."""
    if room == size:
        return 0, 0, *size
    scale = min(room[0] / size[0], room[1] / size[1])
    # Even places keep every chroma sampling of the outputs aligned.
    wide, high = (
        min(most, max(2, round(side * scale / 2) * 2))
        for side, most in zip(size, room, strict=True)
    )
    return (room[0] - wide) // 4 * 2, (room[1] - high) // 4 * 2, wide, high


def clear_outside(alpha16: NDArray[np.uint16], inside: Inside) -> None:
    """Make alpha (H, W) zero around the picture, in place."""
    height, width = alpha16.shape
    top, bottom = round(inside[0] * height), round(inside[1] * height)
    left, right = round(inside[2] * width), round(inside[3] * width)
    alpha16[:top] = alpha16[bottom:] = 0
    alpha16[:, :left] = alpha16[:, right:] = 0
