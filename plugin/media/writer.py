"""Outputs that appear whole or not at all: written beside their place, renamed when finished."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import av.error

from mattecast.errors import MattecastError
from mattecast.media.destinations import beside, explained, refuse_losing, refuse_mixing
from mattecast.media.pictures import is_pattern, numbered
from mattecast.media.sound import Sound
from mattecast.media.source import Description
from mattecast.plan import Plan, sequence_name

# Tags that describe the old file, not its content.
_TECHNICAL = {
    "major_brand",
    "minor_version",
    "compatible_brands",
    "encoder",
    "timecode",
    "handler_name",
    "vendor_id",
    "duration",
}
# How long the muxer may hold pictures back for sound that never comes (microseconds). Its own
# ten seconds would hold ten seconds of ProRes in memory after a sound track ends.
_INTERLEAVE = "1000000"


class Writer(Protocol):
    """Takes pictures in order; `finish` makes the output appear, `abort` leaves nothing."""

    output: Path

    @property
    def kept_audio(self) -> list[str]:
        """What became of each sound track."""
        ...

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """Encode one picture; pts and duration in units of the plan's time base."""
        ...

    def flush(self) -> None:
        """Write all that is still held: the output is whole, but not in its place yet."""
        ...

    def finish(self) -> None:
        """Flush unless that was done, and put the output in its place."""
        ...

    def abort(self) -> None:
        """Remove what was written so far; safe after finish, which it leaves alone."""
        ...


def open_writer(
    source: Description, output: Path, plan: Plan, *, overwrite: bool, threads: int
) -> Writer:
    """The writer for a plan. Raises OutputError when the output cannot be created."""
    with explained(output):
        if plan.still and output.suffix.lower() == plan.format.suffix and not is_pattern(output):
            refuse_losing(output, source, overwrite=overwrite)
            if plan.format.is_sequence:
                return StillWriter(output, plan, threads=threads)
        elif plan.format.is_sequence:
            folder, pattern = sequence_name(output, plan.format)
            refuse_mixing(folder, pattern, source, overwrite=overwrite)
            return SequenceWriter(folder, pattern, plan, threads=threads)
        refuse_losing(output, source, overwrite=overwrite)
        return MovieWriter(source, output, plan, threads=threads)


class MovieWriter:
    """One container file: the picture, the sound, timecode, chapters and tags."""

    def __init__(self, source: Description, output: Path, plan: Plan, *, threads: int) -> None:
        self.output, self._plan = output, plan
        self._part = beside(output)
        self._sound: Sound | None = None
        self._durations: dict[int, int] = {}
        self._container: Any = None
        self._whole = self._done = False
        try:
            self._open(source, threads)
        except BaseException:
            self.abort()
            raise

    def _open(self, source: Description, threads: int) -> None:
        plan, facts = self._plan, source.facts
        container_options = {**plan.format.container_options, "max_interleave_delta": _INTERLEAVE}
        if plan.format.container in ("mov", "mp4"):
            # The default movie clock of 1/1000 s would round the edit that keeps a start offset.
            container_options["movie_timescale"] = str(_movie_timescale(plan.time_base))
        self._container = av.open(
            str(self._part), "w", format=plan.format.container, options=container_options
        )
        self._container.metadata.update(
            {key: value for key, value in facts.metadata.items() if key not in _TECHNICAL}
        )
        self._stream = _video_stream(self._container, plan, threads)
        if plan.timecode is not None:
            target = self._stream if plan.format.timecode_track else self._container
            target.metadata["timecode"] = str(plan.timecode)
        if plan.audio:
            self._sound = Sound(source.path, self._container, plan, source.damage)
        if source.chapters:
            self._container.set_chapters(_moved_chapters(source.chapters, plan))

    @property
    def kept_audio(self) -> list[str]:
        """What became of each sound track."""
        return self._sound.kept if self._sound else []

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """See Writer.write."""
        picture.pts, picture.time_base = pts, self._plan.time_base
        self._durations[pts] = duration
        with explained(self.output):
            for packet in self._stream.encode(picture):
                self._mux(packet)
            if self._sound:
                self._sound.pump(pts * self._plan.time_base)

    def _mux(self, packet: Any) -> None:
        # The encoder's packets come in the codec's time base, which is the plan's.
        packet.duration = self._durations.pop(packet.pts, 0)
        self._container.mux(packet)

    def flush(self) -> None:
        """See Writer.flush."""
        with explained(self.output):
            for packet in self._stream.encode(None):
                self._mux(packet)
            if self._sound:
                self._sound.finish()
            self._container.close()
        self._release()
        self._whole = True

    def finish(self) -> None:
        """See Writer.finish."""
        if not self._whole:
            self.flush()
        with explained(self.output):
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
        with explained(place):
            os.replace(self._part, place)
        return closed

    def abort(self) -> None:
        """See Writer.abort."""
        if self._done:
            return
        self._done = True
        self._release()
        # Closing moves all of a fast-start file to make room for its index, unless the file has
        # gone: so it goes first, where the system lets go of open files.
        with suppress(OSError):
            self._part.unlink()
        if self._container is not None:
            # The trailer may fail for the very reason of the abort.
            with suppress(OSError, ValueError, av.error.FFmpegError):
                self._container.close()
        self._part.unlink(missing_ok=True)

    def _release(self) -> None:
        if self._sound:
            self._sound.close()


def _video_stream(container: Any, plan: Plan, threads: int) -> Any:
    stream = container.add_stream(plan.format.codec, rate=plan.rate, options=dict(plan.options))
    stream.width, stream.height = (
        side + extra for side, extra in zip(plan.size, plan.padding, strict=True)
    )
    stream.pix_fmt = plan.encoded or plan.pixels
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
    return stream


def _still_encoder(plan: Plan, threads: int) -> Any:
    context: Any = av.CodecContext.create(plan.format.codec, "w")
    context.width, context.height = plan.size
    context.pix_fmt = plan.pixels
    context.time_base = Fraction(1, 1000)
    context.sample_aspect_ratio = plan.sar
    context.thread_count = threads
    context.thread_type = "FRAME"
    context.options = dict(plan.options)
    plan.colour.tag(context)
    return context


def _movie_timescale(time_base: Fraction) -> int:
    scale = time_base.denominator
    while scale < 1000:
        scale *= 2
    return min(scale, 1_000_000)


def _moved_chapters(chapters: list[Any], plan: Plan) -> list[Any]:
    """Chapters counted from the start of the range; those that end before it are left out."""
    moved = []
    for chapter in chapters:
        base = chapter["time_base"]
        shift = round(plan.origin / base)
        if chapter["end"] > shift and (plan.end is None or chapter["start"] * base < plan.end):
            start = max(0, chapter["start"] - shift)
            moved.append({**chapter, "start": start, "end": chapter["end"] - shift})
    return moved


class SequenceWriter:
    """A folder of numbered pictures, each encoded on its own."""

    def __init__(self, folder: Path, pattern: str, plan: Plan, *, threads: int) -> None:
        self.output, self._pattern = folder, pattern
        # A link to a folder stays: what it points to is replaced.
        self._place = Path(os.path.realpath(folder))
        self._part, self._old = beside(self._place), beside(self._place, "old")
        self._number = 0
        self._whole = False
        self._encoder = _still_encoder(plan, threads)
        # A run that was killed may have left one, and process numbers come again.
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir()

    @property
    def kept_audio(self) -> list[str]:
        """None: pictures carry no sound."""
        return []

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """See Writer.write; timing is not kept, the pictures are counted from 0."""
        picture.pts = None
        self._store(picture)

    def _store(self, picture: av.VideoFrame | None) -> None:
        with explained(self.output):
            for packet in self._encoder.encode(picture):
                (self._part / numbered(self._pattern, self._number)).write_bytes(bytes(packet))
                self._number += 1

    def flush(self) -> None:
        """See Writer.flush."""
        self._store(None)
        self._whole = True

    def finish(self) -> None:
        """See Writer.finish."""
        if not self._whole:
            self.flush()
        with explained(self.output):
            if self._place.exists():
                os.rename(self._place, self._old)
            os.rename(self._part, self._place)
        shutil.rmtree(self._old, ignore_errors=True)

    def abort(self) -> None:
        """See Writer.abort."""
        if self._old.exists() and not self._place.exists():
            os.rename(self._old, self._place)
        for folder in (self._part, self._old):
            shutil.rmtree(folder, ignore_errors=True)


class StillWriter:
    """One picture in one file."""

    def __init__(self, output: Path, plan: Plan, *, threads: int) -> None:
        self.output, self._part = output, beside(output)
        self._encoder = _still_encoder(plan, threads)
        self._data = b""

    @property
    def kept_audio(self) -> list[str]:
        """None: pictures carry no sound."""
        return []

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """See Writer.write; there is one picture only."""
        picture.pts = None
        with explained(self.output):
            self._data += b"".join(bytes(packet) for packet in self._encoder.encode(picture))

    def flush(self) -> None:
        """See Writer.flush."""
        with explained(self.output):
            self._data += b"".join(bytes(packet) for packet in self._encoder.encode(None))
            self._part.write_bytes(self._data)

    def finish(self) -> None:
        """See Writer.finish."""
        if not self._part.exists():
            self.flush()
        with explained(self.output):
            os.replace(self._part, self.output)

    def abort(self) -> None:
        """See Writer.abort."""
        self._part.unlink(missing_ok=True)
