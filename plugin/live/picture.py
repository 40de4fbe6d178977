"""What live hands out: colour and alpha of one moment, together in one array."""

from __future__ import annotations

from dataclasses import dataclass

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
GREEN = (64, 177, 0)  # B, G, R of the green that `--background green` means


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture and the alpha that belongs to it: they cannot come apart.

    bgra: (H, W, 4) uint8, sRGB-coded B, G, R and straight alpha; nobody writes into it.
    time: seconds on the clock of `handover.now` when its picture was captured.
    opaque: whether alpha is full everywhere, because there is a background.
    """

    bgra: Bytes
    time: float
    opaque: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.bgra.shape[1], self.bgra.shape[0]


def blank(size: tuple[int, int], time: float, opaque: bool) -> Picture:
    """Nobody there: fully transparent, or black where pictures are opaque."""
    bgra = np.zeros((size[1], size[0], 4), np.uint8)
    if opaque:
        bgra[..., 3] = 255
    return Picture(bgra, time, opaque)


def over_colour(picture: Picture, colour: tuple[int, int, int] = GREEN) -> Bytes:
    """(H, W, 3) uint8 B, G, R for outputs that hold no alpha; as it is where it is opaque."""
    bgr = np.asarray(cv2.cvtColor(picture.bgra, cv2.COLOR_BGRA2BGR), np.uint8)
    if picture.opaque:
        return bgr
    alpha = np.asarray(cv2.cvtColor(cv2.extractChannel(picture.bgra, 3), cv2.COLOR_GRAY2BGR))
    behind = np.full_like(bgr, colour)
    front = cv2.multiply(bgr, alpha, scale=1 / 255)
    back = cv2.multiply(behind, cv2.bitwise_not(alpha), scale=1 / 255)
    return np.asarray(cv2.add(front, back), np.uint8)


def as_frame(picture: Picture, pixels: str) -> av.VideoFrame:
    """The picture for an encoder: BT.709, limited range where `pixels` is YUV."""
    frame = av.VideoFrame.from_ndarray(picture.bgra, format="bgra")
    if pixels == "bgra":
        return frame
    made = frame.reformat(
        format=pixels, src_colorspace="ITU709", dst_colorspace="ITU709",
        src_color_range="JPEG", dst_color_range="MPEG",
    )  # fmt: skip
    made.colorspace, made.color_primaries, made.color_trc, made.color_range = 1, 1, 1, 1
    return made
