"""The movie file of an output: pictures, sound, timecode, chapters and tags in one container."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error
from av.container import OutputContainer

from mattecast.errors import MattecastError
from mattecast.media import tags
from mattecast.media.destinations import hidden_path, output_errors
from mattecast.media.palette import Palette
from mattecast.media.sound import Sound
from mattecast.media.source import Description
from mattecast.plan import Plan

if TYPE_CHECKING:
    from av.container.core import Chapter

# How long the muxer may hold pictures back for sound that never comes (microseconds). Its own
# ten seconds would hold ten seconds of ProRes in memory after a sound track ends.
_INTERLEAVE = "1000000"
# The sample entry of the picture lies within these first bytes of a file.
_HEADER = 1 << 16


class MovieWriter:
    """One container file: the picture, the sound, timecode, chapters and tags."""

    def __init__(self, source: Description, output: Path, plan: Plan, *, threads: int) -> None:
        self.output, self._plan = output, plan
        self._part = hidden_path(output)
        self._sound: Sound | None = None
        self._durations: dict[int | None, int] = {}  # by pts
        self._whole = self._done = False
        self._palette = Palette(plan.size) if plan.format.codec == "gif" else None
        self._container = self._open()
        try:
            self._add_streams(source, threads)
        except BaseException:
            self.abort()
            raise

    def _open(self) -> OutputContainer:
        form = self._plan.format.container
        return av.open(str(self._part), "w", format=form, options=_options(self._plan))

    def _add_streams(self, source: Description, threads: int) -> None:
        plan = self._plan
        self._container.metadata.update(plan.tags)
        self._stream = _video_stream(self._container, plan, threads)
        if plan.timecode is not None:
            tagged = self._stream if plan.format.timecode_track else self._container
            tagged.metadata["timecode"] = str(plan.timecode)
        if plan.audio:
            self._sound = Sound(source, self._container, plan)
        if source.chapters:
            self._container.set_chapters(_moved_chapters(source.chapters, plan))

    @property
    def kept_audio(self) -> list[str]:
        """What became of each sound track."""
        return self._sound.kept if self._sound else []

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """See Writer.write."""
        if self._palette:
            picture = self._palette(picture)
        picture.pts, picture.time_base = pts, self._plan.time_base
        self._durations[pts] = duration
        with output_errors(self.output):
            for packet in self._stream.encode(picture):
                self._mux(packet)
            if self._sound:
                self._sound.pump(pts * self._plan.time_base)

    def _mux(self, packet: av.Packet[av.VideoStream]) -> None:
        # The encoder's packets come in the codec's time base, which is the plan's.
        packet.duration = self._durations.pop(packet.pts, 0)
        self._container.mux(packet)

    def flush(self) -> None:
        """See Writer.flush."""
        with output_errors(self.output):
            for packet in self._stream.encode(None):
                self._mux(packet)
            if self._sound:
                self._sound.finish()
            self._container.close()
            if self._plan.mastering and self._plan.format.codec == "prores_ks":
                _name_mastering(self._part, self._plan.mastering.boxes)
        self._release()
        self._whole = True

    def finish(self) -> None:
        """See Writer.finish."""
        if not self._whole:
            self.flush()
        with output_errors(self.output):
            os.replace(self._part, self.output)
        self._done = True

    def keep(self, place: Path) -> bool:
        """Put what was written so far at `place`, after an error that ended the writing.

        Gives whether the file could be closed. If not, it lacks its index, without which most
        programs cannot read it.
        """
        closed = True
        if not self._whole:
            try:
                self.flush()
            except (MattecastError, MemoryError):
                closed = False
                with suppress(OSError, ValueError, av.error.FFmpegError):
                    self._container.close()
        self._done = True
        self._release()
        with output_errors(place):
            os.replace(self._part, place)
        return closed

    def abort(self) -> None:
        """See Writer.abort."""
        if self._done:
            return
        self._done = True
        self._release()
        # Closing moves all of a fast-start file to make room for its index, unless the file is
        # gone. So the file is removed first, where the system lets go of open files.
        with suppress(OSError):
            self._part.unlink()
        # The trailer may fail for the very reason of the abort.
        with suppress(OSError, ValueError, av.error.FFmpegError):
            self._container.close()
        self._part.unlink(missing_ok=True)

    def _release(self) -> None:
        if self._sound:
            self._sound.close()


def _options(plan: Plan) -> dict[str, str]:
    """The muxer's options."""
    options = {**plan.format.container_options, "max_interleave_delta": _INTERLEAVE}
    if plan.format.container in ("mov", "mp4"):
        # The default movie clock of 1/1000 s would round the edit of a track that begins later.
        options["movie_timescale"] = str(_movie_timescale(plan.time_base))
        if tags.need_keys(plan.tags):
            options["movflags"] = options.get("movflags", "") + "+use_metadata_tags"
    return options


def _video_stream(container: OutputContainer, plan: Plan, threads: int) -> av.VideoStream:
    stream = container.add_stream(plan.format.codec, rate=plan.rate, options=dict(plan.options))
    assert isinstance(stream, av.VideoStream)
    stream.width, stream.height = (
        side + extra for side, extra in zip(plan.size, plan.padding, strict=True)
    )
    stream.pix_fmt = "pal8" if plan.format.codec == "gif" else plan.encoder_pixels or plan.pixels
    context = stream.codec_context
    # The source's own clock carries every pts exactly, constant rate or not.
    context.time_base = plan.time_base
    context.sample_aspect_ratio = plan.sar
    context.field_order = 1  # progressive: writes `fiel`
    context.thread_count = threads
    if plan.format.codec in ("prores_ks", "cfhd", "exr", "png", "ffv1"):
        # Frames are coded on their own, so whole frames in parallel scale best.
        context.thread_type = "FRAME" if plan.format.codec != "ffv1" else "SLICE"
    plan.colour.tag(context)
    if plan.format.name == "hevc":
        context.codec_tag = "hvc1"  # QuickTime and Safari do not open the muxer's own hev1
    if plan.mastering and plan.format.codec == "prores_ks":
        context.extradata = _placeholder(plan.mastering.boxes)
    return stream


def _placeholder(boxes: bytes) -> bytes:
    """What makes the muxer write a box `glbl` that is as large as `boxes`, whose place it holds.
    PyAV cannot hand mastering metadata to a muxer."""
    return boxes[8:]


def _name_mastering(path: Path, boxes: bytes) -> None:
    """Put boxes of a picture's sample entry in the place that was kept for them, which is near the
    start of a file whose header comes first."""
    kept = struct.pack(">I4s", len(boxes), b"glbl") + _placeholder(boxes)
    with open(path, "r+b") as file:
        place = file.read(_HEADER).find(kept)
        if place >= 0:
            file.seek(place)
            file.write(boxes)


def _movie_timescale(time_base: Fraction) -> int:
    scale = time_base.denominator
    while scale < 1000:
        scale *= 2
    return min(scale, 1_000_000)


def _moved_chapters(chapters: list[Chapter], plan: Plan) -> list[Chapter]:
    """Chapters counted from the start of the range; those that end before it are left out."""
    moved: list[Chapter] = []
    for chapter in chapters:
        base = chapter["time_base"] or Fraction(1, av.time_base)
        shift = round(plan.origin / base)
        if chapter["end"] > shift and (plan.end is None or chapter["start"] * base < plan.end):
            start = max(0, chapter["start"] - shift)
            moved.append({**chapter, "start": start, "end": chapter["end"] - shift})
    return moved
