"""Pictures as outputs: a folder of numbered files, or a single file."""

from __future__ import annotations

import os
import shutil
from fractions import Fraction
from pathlib import Path

import av

from mattecast.media.destinations import hidden_path, output_errors
from mattecast.media.pictures import numbered_name
from mattecast.plan import Plan


class SequenceWriter:
    """A folder of numbered pictures, each encoded on its own."""

    def __init__(self, folder: Path, pattern: str, plan: Plan, *, threads: int) -> None:
        self.output, self._pattern = folder, pattern
        # A link to a folder stays; the folder it points to is replaced.
        self._place = Path(os.path.realpath(folder))
        self._part, self._old = hidden_path(self._place), hidden_path(self._place, "old")
        self._number = 0
        self._whole = False
        self._encoder = _encoder(plan, threads)
        # A run that was killed may have left a folder, and process numbers come again.
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir()

    @property
    def kept_audio(self) -> list[str]:
        """Empty: pictures carry no sound."""
        return []

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """See Writer.write. Times are not kept; the pictures are counted from 0."""
        picture.pts = None
        self._store(picture)

    def _store(self, picture: av.VideoFrame | None) -> None:
        with output_errors(self.output):
            for packet in self._encoder.encode(picture):
                (self._part / numbered_name(self._pattern, self._number)).write_bytes(bytes(packet))
                self._number += 1

    def flush(self) -> None:
        """See Writer.flush."""
        self._store(None)
        self._whole = True

    def finish(self) -> None:
        """See Writer.finish."""
        if not self._whole:
            self.flush()
        with output_errors(self.output):
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
        self.output, self._part = output, hidden_path(output)
        self._encoder = _encoder(plan, threads)
        self._data = b""

    @property
    def kept_audio(self) -> list[str]:
        """Empty: pictures carry no sound."""
        return []

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """See Writer.write; there is one picture only."""
        picture.pts = None
        with output_errors(self.output):
            self._data += b"".join(bytes(packet) for packet in self._encoder.encode(picture))

    def flush(self) -> None:
        """See Writer.flush."""
        with output_errors(self.output):
            self._data += b"".join(bytes(packet) for packet in self._encoder.encode(None))
            self._part.write_bytes(self._data)

    def finish(self) -> None:
        """See Writer.finish."""
        if not self._part.exists():
            self.flush()
        with output_errors(self.output):
            os.replace(self._part, self.output)

    def abort(self) -> None:
        """See Writer.abort."""
        self._part.unlink(missing_ok=True)


def _encoder(plan: Plan, threads: int) -> av.VideoCodecContext:
    context = av.CodecContext.create(plan.format.codec, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = plan.size
    context.pix_fmt = plan.pixels
    context.time_base = Fraction(1, 1000)
    context.sample_aspect_ratio = plan.sar
    context.thread_count = threads
    context.thread_type = "FRAME"
    context.options = dict(plan.options)
    plan.colour.tag(context)
    return context
