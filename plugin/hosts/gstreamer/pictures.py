"""Pictures of GStreamer: what caps say of them, and what lies in buffers."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from gi.repository import Gst, GstVideo
from numpy.typing import NDArray

from mattecast.errors import MediaError
from mattecast.hosts.gstreamer.formats import CLOCK, TAKEN
from mattecast.hosts.gstreamer.rows import Rows, rows
from mattecast.live.capture import plain_facts
from mattecast.media.colour import FULL, LIMITED, Colour
from mattecast.media.facts import Facts

if TYPE_CHECKING:
    from av.filter.context import FilterContext

# Python takes no name that begins with a digit.
_FULL = getattr(GstVideo.VideoColorRange, "0_255")
_LIMITED = getattr(GstVideo.VideoColorRange, "16_235")
# What a buffer has besides its memory.
_ALL_BUT_MEMORY = (
    Gst.BufferCopyFlags.FLAGS | Gst.BufferCopyFlags.TIMESTAMPS | Gst.BufferCopyFlags.META
)
# Where chroma lies between the lumas: GStreamer's words and libav's.
_CHROMA = {"jpeg": "center", "mpeg2": "left", "v-cosited": "top", "cosited": "topleft"}
# The rate of a source whose rate is unknown or changes.
_RATE = Fraction(30)


def facts(info: GstVideo.VideoInfo) -> Facts:
    """The facts of pictures with these caps. Raises MediaError for interlaced ones."""
    if info.interlace_mode != GstVideo.VideoInterlaceMode.PROGRESSIVE:
        mode = GstVideo.VideoInterlaceMode.to_string(info.interlace_mode)
        raise MediaError(
            f"the pictures are interlaced ({mode}): put 'deinterlace' in front of mattecast"
        )
    rate = Fraction(info.fps_n, info.fps_d) if info.fps_n > 0 and info.fps_d > 0 else _RATE
    return replace(
        plain_facts((info.width, info.height)),
        pixel_format=TAKEN[info.finfo.name],
        bits=max(info.finfo.depth[: info.finfo.n_components]),
        sar=Fraction(info.par_n or 1, info.par_d or 1),
        rate=rate,
        variable_rate=info.fps_n == 0,
        time_base=CLOCK,
        colour=colour(info),
        has_alpha=bool(info.finfo.flags & GstVideo.VideoFormatFlags.ALPHA),
    )


def colour(info: GstVideo.VideoInfo) -> Colour:
    """What the codes of pictures with these caps mean, said or assumed."""
    said = info.colorimetry
    picture = av.VideoFrame(info.width, info.height, TAKEN[info.finfo.name])
    picture.color_range = FULL if said.range == _FULL else LIMITED
    picture.colorspace = GstVideo.video_color_matrix_to_iso(said.matrix)
    picture.color_primaries = GstVideo.video_color_primaries_to_iso(said.primaries)
    picture.color_trc = GstVideo.video_transfer_function_to_iso(said.transfer)
    return Colour.of(picture)


def colorimetry(colour: Colour) -> str:
    """The colours as the caps of GStreamer name them."""
    said = GstVideo.VideoColorimetry()
    said.range = _FULL if colour.range == FULL else _LIMITED
    said.matrix = GstVideo.video_color_matrix_from_iso(colour.matrix)
    said.primaries = GstVideo.video_color_primaries_from_iso(colour.primaries)
    said.transfer = GstVideo.video_transfer_function_from_iso(colour.transfer)
    return str(said.to_string())


class Reader:
    """Reads the pictures of buffers with these caps. info: what the caps say."""

    def __init__(self, caps: Gst.Caps, info: GstVideo.VideoInfo) -> None:
        self._info = info
        self._sited: list[FilterContext] | None = None
        # Not from the info: GStreamer 1.22 says of all pictures that they are 'jpeg' there.
        place = _CHROMA.get(caps.get_structure(0).get_string("chroma-site") or "")
        if place is not None and TAKEN[info.finfo.name].startswith(("yuv", "nv", "p01")):
            self._sited = self._filter(place)

    def _filter(self, place: str) -> list[FilterContext]:
        """What says of a frame where its chroma lies; PyAV's frames have no name for it.

        A small picture that is enlarged for the network changes by up to 16 codes with it.
        """
        info = self._info
        shape = f"{info.width}x{info.height}:pix_fmt={TAKEN[info.finfo.name]}"
        self._graph = graph = av.filter.Graph()
        steps = [
            graph.add("buffer", f"video_size={shape}:time_base={CLOCK}"),
            graph.add("setparams", f"chroma_location={place}"),
            graph.add("buffersink"),
        ]
        for one, other in pairwise(steps):
            one.link_to(other)
        graph.configure()
        return steps

    def __call__(self, buffer: Gst.Buffer) -> av.VideoFrame:
        """A copy of the picture in a buffer, whose rows may have any stride.

        A copy, since stages work on pictures in place, and the buffer's owner wants it back.
        """
        info = self._info
        frame = av.VideoFrame(info.width, info.height, TAKEN[info.finfo.name])
        with buffer.map(Gst.MapFlags.READ) as mapped:
            for source, target in zip(_planes(mapped.data, buffer, info), rows(frame), strict=True):
                width = min(source.shape[1], target.shape[1])
                target[:, :width] = source[: target.shape[0], :width]
        return self._with_site(frame)

    def _with_site(self, frame: av.VideoFrame) -> av.VideoFrame:
        if self._sited is None:
            return frame
        self._sited[0].push(frame)
        sited = self._sited[-1].pull()
        assert isinstance(sited, av.VideoFrame)
        return sited


def label(buffer: Gst.Buffer) -> Gst.Buffer:
    """A buffer without memory that has the times, the flags and the metas of another."""
    made = Gst.Buffer.new()
    made.copy_into(buffer, _ALL_BUT_MEMORY, 0, buffer.get_size())
    return made


def write(picture: Rows, label: Gst.Buffer, info: GstVideo.VideoInfo) -> Gst.Buffer:
    """A buffer with a picture, laid out as its caps say. label: see `label`."""
    buffer = Gst.Buffer.new_allocate(None, info.size, None)
    buffer.copy_into(label, _ALL_BUT_MEMORY, 0, 0)
    with buffer.map(Gst.MapFlags.WRITE) as mapped:
        for source, target in zip(picture, _planes(mapped.data, None, info), strict=True):
            width = min(source.shape[1], target.shape[1])
            target[: source.shape[0], :width] = source[:, :width]
    return buffer


def _planes(data: Any, buffer: Gst.Buffer | None, info: GstVideo.VideoInfo) -> Rows:
    """The same of mapped memory. buffer: its meta may say other strides than the caps."""
    meta = GstVideo.buffer_get_video_meta(buffer) if buffer is not None else None
    strides, offsets = (meta or info).stride, (meta or info).offset
    whole = np.frombuffer(data, np.uint8)
    return [
        _plane(whole[offsets[number] :], _height(info, number), strides[number])
        for number in range(info.finfo.n_planes)
    ]


def _plane(bytes: NDArray[np.uint8], height: int, stride: int) -> NDArray[np.uint8]:
    missing = height * stride - len(bytes)
    if missing > 0:
        # The last row may end with its last pixel.
        bytes = np.pad(bytes, (0, missing))
    return bytes[: height * stride].reshape(height, stride)


def _height(info: GstVideo.VideoInfo, plane: int) -> int:
    """How many rows a plane has."""
    parts = range(info.finfo.n_components)
    first = next(each for each in parts if info.finfo.plane[each] == plane)
    return int(-(-info.height // (1 << info.finfo.h_sub[first])))
