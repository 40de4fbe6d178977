"""Outputs that appear whole or not at all: written under another name, renamed when finished."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import av

from mattecast.media.destinations import output_errors, refuse_losing, refuse_mixing
from mattecast.media.movie import MovieWriter
from mattecast.media.pictures import is_pattern
from mattecast.media.pipe import is_pipe
from mattecast.media.source import Description
from mattecast.media.stills import SequenceWriter, StillWriter
from mattecast.media.stream import StreamWriter
from mattecast.plan import Plan, sequence_name


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
        """Write what encoders still hold: the output is whole, but not in its place yet."""
        ...

    def finish(self) -> None:
        """Flush unless that was done, and put the output in its place."""
        ...

    def abort(self) -> None:
        """Remove what was written so far; does nothing after `finish`."""
        ...


def open_writer(
    source: Description, output: Path, plan: Plan, *, overwrite: bool, threads: int
) -> Writer:
    """The writer for a plan; threads: of the encoder.

    Raises OutputError when the output cannot be created.
    """
    with output_errors(output):
        if is_pipe(output):
            return StreamWriter(source, plan, threads=threads)
        if plan.still and output.suffix.lower() in plan.format.suffixes and not is_pattern(output):
            refuse_losing(output, source, overwrite=overwrite)
            if plan.format.is_sequence:
                return StillWriter(output, plan, threads=threads)
        elif plan.format.is_sequence:
            folder, pattern = sequence_name(output, plan.format)
            refuse_mixing(folder, pattern, source, overwrite=overwrite)
            return SequenceWriter(folder, pattern, plan, threads=threads)
        refuse_losing(output, source, overwrite=overwrite)
        return MovieWriter(source, output, plan, threads=threads)
