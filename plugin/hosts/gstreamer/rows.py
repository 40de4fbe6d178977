"""Pictures as the rows of their planes, which is how they go into GStreamer's buffers."""

from __future__ import annotations

from typing import TypeAlias

import av
import numpy as np
from numpy.typing import NDArray

from mattecast.hosts.gstreamer.formats import GIVEN
from mattecast.media.formats import Format

# The rows of each plane of a picture, with or without padding: (h, stride) uint8.
Rows: TypeAlias = list[NDArray[np.uint8]]


def output(name: str) -> Format:
    """The pictures that leave the element. name: GStreamer's, of GIVEN."""
    pixels = GIVEN[name]
    yuv = pixels.startswith("yuv")
    return Format(
        "gstreamer",
        "pictures in a pipeline of GStreamer",
        ("",),
        "nut",
        "rawvideo",
        lambda bits, sampling: pixels,
        lambda bits, sampling: pixels,
        range="limited" if yuv else "source",
    )


def rows(frame: av.VideoFrame) -> Rows:
    """The rows of each plane with their padding, (h, stride) uint8."""
    return [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        for plane in frame.planes
    ]
