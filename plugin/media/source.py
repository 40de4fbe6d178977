"""A source of pictures, be it a clip or a folder of stills: what readers and writers ask of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import av
from av.codec.hwaccel import HWAccel

from mattecast.errors import MediaError, UsageError
from mattecast.media.clip import Clip
from mattecast.media.damage import Damage
from mattecast.media.facts import Facts
from mattecast.media.filtered import Filtered, Filters
from mattecast.media.photograph import open_file
from mattecast.media.pictures import Pictures, is_pattern
from mattecast.media.pipe import Raw, is_pipe
from mattecast.media.piped import PipedClip

if TYPE_CHECKING:
    from av.container.core import Chapter

    from mattecast.media.feed import Feed


class Description(Protocol):
    """What an output takes over from its source."""

    @property
    def path(self) -> Path:
        """The name the source was opened by: a file, a folder or a pattern."""
        ...

    @property
    def facts(self) -> Facts:
        """Size, rate, clock, colours, sound and timecode."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """The files that are read; no output may replace one of them."""
        ...

    @property
    def damage(self) -> Damage:
        """What had to be skipped or guessed so far; it grows while the source is read."""
        ...

    @property
    def chapters(self) -> list[Chapter]:
        """The chapters as PyAV gives them (id, start, end, time_base, metadata)."""
        ...

    @property
    def feed(self) -> Feed | None:
        """What hands out the packets of a pipe; None where the source can be opened again."""
        ...


class Source(Description, Protocol):
    """An opened source. `frames()` may be called once; use the source as a context manager."""

    def frames(
        self,
        start: Fraction | None = None,
        end: Fraction | None = None,
        *,
        passing: int | None = None,
    ) -> Iterator[av.VideoFrame]:
        """Decoded frames in display order, each with a pts in the source's time base.

        start, end: seconds on the source's clock; frames with start <= time < end are given.
        passing: how many frames may lie before the start; where more do, none are given.
        """
        ...

    def again(self) -> Source:
        """The same source, opened once more."""
        ...

    def stop(self) -> None:
        """End a pipe, also for a thread that waits for what comes through it."""
        ...

    def close(self) -> None:
        """Release the files; safe to call twice."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_source(
    path: str | Path,
    *,
    rate: Fraction | None = None,
    track: int | None = None,
    hwaccel: HWAccel | None = None,
    deinterlace: str | None = None,
    sdr: Callable[[Facts], bool] = lambda facts: False,
    raw: Raw | None = None,
) -> Source:
    """Open a video file, a folder of pictures, a picture pattern, or standard input, which is '-'.

    rate: frames a second of pictures, which carry no time of their own (25 by default). track: the
    number of a video's track, from 1; None for its default one. hwaccel: decodes videos, unless
    they need filters of the CPU. deinterlace: 'off', 'frame' or 'field'; None for 'frame' where the
    video is marked interlaced. sdr: whether a source of these facts is made a standard one. raw:
    what the pictures of standard input are, where they have no header. Raises MediaError where
    nothing there can be read.
    """
    path = Path(path)
    if is_pipe(path):
        piped = PipedClip(track=track, raw=raw, rate=rate)
        filters = Filters.needed(piped.facts, deinterlace, sdr=sdr(piped.facts))
        return Filtered(piped, filters) if filters else piped
    if raw is not None:
        raise UsageError(f"{path}: --raw is of standard input, which is -")
    if is_pattern(path) or os.path.isdir(path):
        if track not in (None, 1):
            raise MediaError(f"{path}: has no video track {track}: numbered pictures are one")
        pictures = Pictures(path, rate=rate)
        filters = Filters(tone=sdr(pictures.facts))
        return Filtered(pictures, filters) if filters else pictures
    clip = open_file(path, track=track, hwaccel=hwaccel)
    if not isinstance(clip, Clip):
        return clip
    filters = Filters.needed(clip.facts, deinterlace, sdr=sdr(clip.facts))
    if filters and hwaccel is not None:
        clip.close()
        clip = Clip(path, track=track)
    return Filtered(clip, filters) if filters else clip
