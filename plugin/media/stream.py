"""Standard output as an output: each picture is written as soon as it is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import av.error
from av.container import OutputContainer

from mattecast.media.destinations import output_errors
from mattecast.media.movie import MovieWriter
from mattecast.media.pipe import StandardOutput
from mattecast.media.source import Description
from mattecast.plan import Plan

# How much libav writes at once (bytes); each of its usual 32 KiB would cost a call into Python.
_CHUNK = 1 << 20
# What messages call it.
_NAME = Path("standard output")


class StreamWriter(MovieWriter):
    """Writes to standard output. What was written when a run fails has gone to its reader."""

    def __init__(self, source: Description, plan: Plan, *, threads: int) -> None:
        self._file = StandardOutput()
        super().__init__(source, _NAME, plan, threads=threads)

    def _open(self) -> OutputContainer:
        # Each picture is written at once, instead of when a buffer is full.
        options = {**self._plan.format.container_options, "flush_packets": "1"}
        form = self._plan.format.container
        if form == "nut" and not self._file.is_regular:  # the index would grow with the stream
            options["write_index"] = "0"
        return av.open(self._file, "w", format=form, options=options, buffer_size=_CHUNK)

    @property
    def bytes(self) -> int:
        """How much was written so far."""
        return self._file.count

    def write(self, picture: av.VideoFrame, pts: int, duration: int) -> None:
        """See Writer.write. Raises BrokenPipeError where the reader has gone."""
        with self._checked():
            super().write(picture, pts, duration)

    def flush(self) -> None:
        """See Writer.flush."""
        with self._checked():
            super().flush()

    @contextmanager
    def _checked(self) -> Iterator[None]:
        """Raise what has ended the writing, whatever libav makes of it."""
        with output_errors(self.output):
            try:
                yield
            except Exception:
                self._file.check()
                raise
            self._file.check()

    def finish(self) -> None:
        """See Writer.finish."""
        if not self._whole:
            self.flush()
        self._file.close()
        self._done = True

    def abort(self) -> None:
        """See Writer.abort. Nothing more is written, not even what ends a stream."""
        if self._done:
            return
        self._done = True
        self._release()
        self._file.close()
        with suppress(OSError, ValueError, av.error.FFmpegError):
            self._container.close()
