"""Pixel formats of GStreamer that the element takes and gives, and what libav calls them."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

# GStreamer's names of pixel formats and libav's, the one that is taken first in front.
TAKEN: Mapping[str, str] = {
    "RGBA": "rgba",
    "BGRA": "bgra",
    "ARGB": "argb",
    "RGBx": "rgb0",
    "BGRx": "bgr0",
    "xRGB": "0rgb",
    "RGB": "rgb24",
    "BGR": "bgr24",
    "I420": "yuv420p",
    "NV12": "nv12",
    "Y42B": "yuv422p",
    "Y444": "yuv444p",
    "I420_10LE": "yuv420p10le",
    "P010_10LE": "p010le",
    "I422_10LE": "yuv422p10le",
    "Y444_10LE": "yuv444p10le",
}
GIVEN: Mapping[str, str] = {
    "RGBA": "rgba",
    "BGRA": "bgra",
    "ARGB": "argb",
    "A420": "yuva420p",
    "A444_10LE": "yuva444p10le",
}
# The clock of GStreamer: nanoseconds.
CLOCK = Fraction(1, 1_000_000_000)
