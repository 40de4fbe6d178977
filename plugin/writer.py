"""Outputs that appear whole or not at all: written beside their place, renamed when finished."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import av
import av.error

from mattecast.audio import Sound
from mattecast.clip import Clip
from mattecast.errors import MattecastError, OutputError
from mattecast.pictures import Pictures
from mattecast.plan import Plan, sequence_name

# Tags that describe the old file, not its content.
_TECHNICAL = {"major_brand", "minor_version", "compatible_brands", "encoder", "timecode",
              "handler_name", "vendor_id", "duration"}  # fmt: skip
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

    def finish(self) -> None:
        """Flush and put the output in its place."""
        ...

    def abort(self) -> None:
        """Remove what was written so far; safe after finish, which it leaves alone."""
        ...


def refuse_overwriting(output: Path, source: Path, *, overwrite: bool) -> None:
    """Raise OutputError where writing would lose something that exists."""
    if output.exists():
        if source.exists() and output.samefile(source):
            raise OutputError(f"{output}: is the input itself; name another output")
        if not overwrite and not (output.is_dir() and not any(output.iterdir())):
            raise OutputError(f"{output}: exists already; --overwrite replaces it")
    folder = output.parent
    if not folder.is_dir():
        raise OutputError(f"{folder}: no such folder; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder}: no permission to write there")


def open_writer(
    source: Clip | Pictures, output: Path, plan: Plan, *, overwrite: bool, threads: int
) -> Writer:
    """The writer for a plan. Raises OutputError when the output cannot be created."""
    if plan.format.is_sequence:
        folder, pattern = sequence_name(output, plan.format)
        refuse_overwriting(folder, source.path, overwrite=overwrite)
        return SequenceWriter(folder, pattern, plan, threads=threads)
    refuse_overwriting(output, source.path, overwrite=overwrite)
    return MovieWriter(source, output, plan, threads=threads)


def _beside(output: Path) -> Path:
    """A hidden name in the same folder, so that the final rename stays on one file system."""
    return output.with_name(f".{output.name}.{os.getpid()}.part")


@contextmanager
def _explained(output: Path) -> Iterator[None]:
    """Say what went wrong while writing in one line."""
    try:
        yield
    except MattecastError:
        raise
    except (OSError, ValueError) as error:
        number = getattr(error, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(f"{output}: the disk is full; free some space") from error
        if number == errno.EFBIG:
            raise OutputError(f"{output}: too large for this file system or its limits") from error
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"{output}: could not be written ({reason.lower()})") from error


class MovieWriter:
    """One container file: the picture, the sound, timecode, chapters and tags."""

    def __init__(
        self, source: Clip | Pictures, output: Path, plan: Plan, *, threads: int
    ) -> None:
        self.output, self._plan = output, plan
        self._part = _beside(output)
        self._sound: Sound | None = None
        self._durations: dict[int, int] = {}
        self._done = False
        with _explained(output):
            try:
                self._open(source, threads)
            except BaseException:
                self.abort()
                raise

    def _open(self, source: Clip | Pictures, threads: int) -> None:
        plan, facts = self._plan, source.facts
        container_options = {**plan.format.container_options, "max_interleave_delta": _INTERLEAVE}
        if plan.format.container in ("mov", "mp4"):
            # The default movie clock of 1/1000 s would round the edit that keeps a start offset.
            container_options["movie_timescale"] = str(_movie_timescale(plan.time_base))
        self._container: Any = av.open(
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
            self._sound = Sound(source.path, self._container, plan.format, plan)
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
        with _explained(self.output):
            for packet in self._stream.encode(picture):
                self._mux(packet)
            if self._sound:
                self._sound.pump(pts * self._plan.time_base)

    def _mux(self, packet: Any) -> None:
        # The encoder's packets come in the codec's time base, which is the plan's.
        packet.duration = self._durations.pop(packet.pts, 0)
        self._container.mux(packet)

    def finish(self) -> None:
        """See Writer.finish."""
        with _explained(self.output):
            for packet in self._stream.encode(None):
                self._mux(packet)
            if self._sound:
                self._sound.finish()
            self._container.close()
            os.replace(self._part, self.output)
        self._done = True
        self._release()

    def abort(self) -> None:
        """See Writer.abort."""
        if self._done:
            return
        self._done = True
        self._release()
        container = getattr(self, "_container", None)
        if container is not None:
            # Closing writes the trailer, which may fail for the very reason of the abort.
            with suppress(OSError, ValueError):
                container.close()
        self._part.unlink(missing_ok=True)

    def _release(self) -> None:
        if self._sound:
            self._sound.close()


def _video_stream(container: Any, plan: Plan, threads: int) -> Any:
    stream = container.add_stream(plan.format.codec, rate=plan.rate, options=dict(plan.options))
    stream.width, stream.height = (
        side + extra for side, extra in zip(plan.size, plan.padding, strict=True)
    )
    stream.pix_fmt = plan.pixels
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
        self._part = _beside(folder)
        self._number = 0
        self._done = False
        with _explained(folder):
            self._part.mkdir()
        self._encoder = _still_encoder(plan, threads)

    @property
    def kept_audio(self) -> list[str]:
        """None: pictures carry no sound."""
        return []

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """See Writer.write; timing is not kept, the pictures are counted from 0."""
        picture.pts = None
        self._store(picture)

    def _store(self, picture: av.VideoFrame | None) -> None:
        with _explained(self.output):
            for packet in self._encoder.encode(picture):
                (self._part / (self._pattern % self._number)).write_bytes(bytes(packet))
                self._number += 1

    def finish(self) -> None:
        """See Writer.finish."""
        self._store(None)
        with _explained(self.output):
            if self.output.exists():
                old = _beside(self.output.with_name(self.output.name + ".old"))
                os.rename(self.output, old)
                os.rename(self._part, self.output)
                shutil.rmtree(old)
            else:
                os.rename(self._part, self.output)
        self._done = True

    def abort(self) -> None:
        """See Writer.abort."""
        if not self._done:
            self._done = True
            shutil.rmtree(self._part, ignore_errors=True)
