"""The live picture: colour and alpha of one moment in one array; and conversions of it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
# B, G, R of the green that `--background green` stands for.
GREEN = (64, 177, 0)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its own alpha.

    bgra: (H, W, 4) uint8, sRGB-coded B, G, R and straight alpha; nobody writes into it.
    time: when the picture was captured, in seconds on the clock of `threads.now`.
    opaque: whether alpha is 255 everywhere, because there is a background.
    """

    bgra: Bytes
    time: float
    opaque: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.bgra.shape[1], self.bgra.shape[0]


@dataclass(slots=True)
class GrowingTimes:
    """Timestamps counted from the first picture, in units of `unit` seconds. Each is larger than
    the one before, whatever the times of the pictures are, because containers require that."""

    unit: Fraction
    last: int = -1
    _first: float | None = None

    def stamp(self, time: float) -> int:
        """The timestamp of a picture that was captured at `time` (seconds)."""
        if self._first is None:
            self._first = time
        self.last = max(self.last + 1, round((time - self._first) / self.unit))
        return self.last


def blank(size: tuple[int, int], time: float, opaque: bool) -> Picture:
    """An empty picture of (width, height): transparent, or black where pictures are opaque."""
    bgra = np.zeros((size[1], size[0], 4), np.uint8)
    if opaque:
        bgra[..., 3] = 255
    return Picture(bgra, time, opaque)


def fitted(picture: Picture, size: tuple[int, int]) -> Picture:
    """The picture scaled to fit (width, height), in the middle of an empty picture."""
    if picture.size == size:
        return picture
    scale = min(room / side for room, side in zip(size, picture.size, strict=True))
    width, height = (max(1, round(scale * side)) for side in picture.size)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    made = blank(size, picture.time, picture.opaque)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    made.bgra[top : top + height, left : left + width] = cv2.resize(
        picture.bgra, (width, height), interpolation=method
    )
    return made


def over_colour(picture: Picture, colour: tuple[int, int, int] = GREEN) -> Bytes:
    """(H, W, 3) uint8 B, G, R: the picture over a colour, for outputs without alpha."""
    if picture.opaque:
        return np.asarray(cv2.cvtColor(picture.bgra, cv2.COLOR_BGRA2BGR), np.uint8)
    height, width = picture.bgra.shape[:2]
    return laid_over(picture.bgra, np.full((height, width, 3), colour, np.uint8))


def laid_over(bgra: Bytes, behind: Bytes) -> Bytes:
    """(H, W, 3) uint8: B, G, R and straight alpha over `behind` (H, W, 3), in sRGB codes."""
    bgr = cv2.cvtColor(bgra, cv2.COLOR_BGRA2BGR)
    alpha = np.asarray(cv2.cvtColor(cv2.extractChannel(bgra, 3), cv2.COLOR_GRAY2BGR))
    front = cv2.multiply(bgr, alpha, scale=1 / 255)
    back = cv2.multiply(behind, cv2.bitwise_not(alpha), scale=1 / 255)
    return np.asarray(cv2.add(front, back), np.uint8)


def even(size: tuple[int, int]) -> tuple[int, int]:
    """The size made even, because 4:2:0 cannot hold a last odd column or row."""
    return size[0] // 2 * 2, size[1] // 2 * 2


def composite(
    picture: Picture, converter: VideoReformatter, *, tagged: bool = True
) -> av.VideoFrame:
    """The picture over green as 4:2:0 in limited range.

    tagged: whether the stream says its matrix, which then is BT.709. Otherwise the matrix is the
    one that players assume for pictures of this size.
    """
    width, height = even(picture.size)
    large = tagged or height >= 720 or width > 1024
    matrix = Colorspace.ITU709 if large else Colorspace.ITU601
    frame = av.VideoFrame.from_ndarray(over_colour(picture), format="bgr24")
    made = converter.reformat(
        frame,
        width,
        height,
        "yuv420p",
        dst_colorspace=matrix,
        threads=1,
        src_color_range="JPEG",
        dst_color_range="MPEG",
    )
    made.colorspace, made.color_range = 1, 1
    return made


def as_yuv(picture: Picture, pixels: str, converter: VideoReformatter) -> av.VideoFrame:
    """The picture as YUV with alpha in BT.709, limited range.

    converter: the same for all pictures of a stream, because it keeps its tables.
    """
    made = converter.reformat(
        av.VideoFrame.from_ndarray(picture.bgra, format="bgra"),
        format=pixels,
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range="JPEG",
        dst_color_range="MPEG",
        threads=1,
    )
    made.colorspace, made.color_primaries, made.color_trc, made.color_range = 1, 1, 1, 1
    return made
