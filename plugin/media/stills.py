"""Pictures as outputs: a folder of numbered files, or a single file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

from mattecast.media.destinations import hidden_path, output_errors
from mattecast.media.pictures import numbered_name
from mattecast.media.profile import into_jpeg, into_png
from mattecast.plan import Plan


class SequenceWriter:
    """A folder of numbered pictures, each encoded on its own."""

    def __init__(self, folder: Path, pattern: str, plan: Plan, *, threads: int) -> None:
        self.output, self._pattern = folder, pattern
        # A link to a folder stays; the folder it points to is replaced.
        self._place = Path(os.path.realpath(folder))
        self._part, self._old = hidden_path(self._place), hidden_path(self._place, "old")
        self._plan, self._first, self._count = plan, 0, 0
        self._whole = False
        self._encoder = Encoder(plan, threads)
        # A run that was killed may have left a folder, and process numbers come again.
        shutil.rmtree(self._part, ignore_errors=True)
        self._part.mkdir()

    @property
    def kept_audio(self) -> list[str]:
        """Empty: pictures carry no sound."""
        return []

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """See Writer.write. The number of a numbered source stays; other pictures are counted."""
        if self._count == 0:
            self._first = pts
        number, self._count = self._number(pts), self._count + 1
        with output_errors(self.output):
            self._store(self._encoder.files(picture, number))

    def _number(self, pts: int) -> int:
        source, asked = self._plan.source_number, self._plan.number
        if source is None:
            return (asked or 0) + self._count
        return pts + (source if asked is None else asked - self._first)

    def _store(self, files: Iterator[tuple[int, bytes]]) -> None:
        for number, file in files:
            (self._part / numbered_name(self._pattern, number)).write_bytes(file)

    def flush(self) -> None:
        """See Writer.flush."""
        with output_errors(self.output):
            self._store(self._encoder.files(None))
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
        self._encoder = Encoder(plan, threads)
        self._data = b""

    @property
    def kept_audio(self) -> list[str]:
        """Empty: pictures carry no sound."""
        return []

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """See Writer.write; there is one picture only."""
        with output_errors(self.output):
            self._data += b"".join(file for _, file in self._encoder.files(picture))

    def flush(self) -> None:
        """See Writer.flush."""
        with output_errors(self.output):
            self._data += b"".join(file for _, file in self._encoder.files(None))
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


class Encoder:
    """Makes picture files, each with its number, and with the profile that the plan names."""

    def __init__(self, plan: Plan, threads: int) -> None:
        self._context = _context(plan, threads)
        self._profile = plan.colour.profile
        self._embed = into_jpeg if plan.format.codec == "mjpeg" else into_png

    def files(self, picture: av.VideoFrame | None, number: int = 0) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of the files that are ready; None as the picture gives the last."""
        if picture is not None:
            picture.pts, picture.time_base = number, self._context.time_base
        for packet in self._context.encode(picture):
            file = bytes(packet)
            yield packet.pts or 0, self._embed(file, self._profile) if self._profile else file


def _context(plan: Plan, threads: int) -> av.VideoCodecContext:
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
