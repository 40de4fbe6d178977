"""A recorded clip: its facts, read once, and its frames in order with their own timestamps."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from mattecast.errors import MediaError
from mattecast.media.container import frame_step, open_media, picture_stream, time_base
from mattecast.media.damage import Damage
from mattecast.media.decoder import Decoder
from mattecast.media.facts import Facts, read_facts
from mattecast.media.grid import SMALL, Pace, find_pace

if TYPE_CHECKING:
    from av.container.core import Chapter

    from mattecast.media.feed import Feed

SMALLEST_SIDE, LARGEST_SIDE = 16, 16384
# The longest that a picture is shown (seconds): a time further ahead is a broken one.
LONGEST_FRAME = 3600


class Clip:
    """An opened clip. Use as a context manager; `frames()` may be called once.

    track: the number of its video track, from 1; None for the default one. hwaccel: decodes what it
    can in place of the CPU; its frames may stay where they are. like: the same clip, opened before,
    whose facts are taken over.
    Raises MediaError when the file is missing, not a regular file, not video, or holds no frame
    that decodes.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        track: int | None = None,
        hwaccel: HWAccel | None = None,
        like: Clip | None = None,
    ) -> None:
        self.path, self._track = Path(path), track
        self.damage = Damage()
        self._container = self._open(hwaccel)
        try:
            self._stream = picture_stream(self._container, self.path, track)
            self._decoder = self._make_decoder()
            self._decoded = self._decoder.frames()
            self._first = self._first_frame()
            self._head = deque([self._first])
            if like is None:
                pace = find_pace(self.path, self._container, self._stream, self.feed)
                self._grid, self.facts = pace.grid, self._read_facts(pace)
            else:
                self._grid, self.facts = like._grid, like.facts
            self.damage.zero = self.facts.zero + self.facts.start
            self._regular = not self.facts.variable_rate and not self.facts.repeats
        except BaseException:
            _close(self._container)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; safe to call twice."""
        self._decoded.close()
        _close(self._container)

    @property
    def feed(self) -> Feed | None:
        """See Description."""
        return None

    def stop(self) -> None:
        """See Source. A file makes nobody wait."""

    def _open(self, hwaccel: HWAccel | None) -> InputContainer:
        return open_media(self.path, hwaccel)

    def _make_decoder(self) -> Decoder:
        self._stream.thread_type = "AUTO"
        return Decoder(self.path, self._container, self._stream, self.damage)

    def again(self) -> Clip:
        """The same clip, opened once more."""
        return Clip(self.path, track=self._track, like=self)

    def _read_facts(self, pace: Pace) -> Facts:
        lost = self.damage.headless > 0
        return read_facts(
            self.path, self._container, self._stream, self._first, pace, headless=lost
        )

    @property
    def files(self) -> Sequence[Path]:
        """The files that are read: the clip itself."""
        return [self.path]

    @property
    def chapters(self) -> list[Chapter]:
        """The chapters as PyAV gives them (id, start, end, time_base, metadata), on the clip's
        clock."""
        return [_earlier(chapter, self.facts.zero) for chapter in self._container.chapters()]

    def frames(
        self,
        start: Fraction | None = None,
        end: Fraction | None = None,
        *,
        passing: int | None = None,
    ) -> Iterator[av.VideoFrame]:
        """Decoded frames in display order, each with a pts in the clip's time base.

        start, end: seconds on the clip's clock; frames with start <= time < end are given.
        passing: how many frames may lie before the start; where more do, none are given.
        """
        if passing is not None and not self._finds_times():
            return
        try:
            yield from self._within(start, end, passing)
        finally:
            self._forget_breaks(start, end)

    def _finds_times(self) -> bool:
        """Whether a place of the file is soon found; else all before is read."""
        return self.facts.seekable or os.path.getsize(self.path) <= SMALL

    def _forget_breaks(self, start: Fraction | None, end: Fraction | None) -> None:
        """Forget breaks of the clock that lie outside of a range."""
        for place in tuple(self.damage.breaks):
            time = place - self.facts.zero
            if (start is not None and time < start) or (end is not None and time >= end):
                self.damage.breaks.remove(place)

    def _within(
        self, start: Fraction | None, end: Fraction | None, passing: int | None
    ) -> Iterator[av.VideoFrame]:
        base = self.facts.time_base
        # Frames without times of their own are counted, so from the first one on.
        if start is not None and start > self.facts.start and self._first.pts is not None:
            self._seek(start)
        last: int | None = None
        for number, frame in enumerate(self._timed()):
            assert frame.pts is not None
            time = frame.pts * base
            if end is not None and time >= end:
                break
            if start is None or time >= start:
                self._count_damage(frame, last)
                last = frame.pts
                yield frame
            elif number == passing:
                break

    def _count_damage(self, frame: av.VideoFrame, last: int | None) -> None:
        """Count what is wrong with a frame, and the frames that are missing between it and the one
        at pts `last`."""
        self.damage.resized += _size(frame) != _size(self._first)
        self.damage.corrupt += frame.is_corrupt
        if last is not None and frame.pts is not None and self._regular:
            steps = (frame.pts - last) * self.facts.time_base * self.facts.rate
            # Times that are no whole steps apart were never meant to be regular.
            self._regular &= abs(steps - round(steps)) < Fraction(1, 10)
            self.damage.missing = self._regular * (self.damage.missing + max(0, round(steps) - 1))

    def _seek(self, start: Fraction) -> None:
        try:
            # Half a frame earlier, because exact times differ a little from the container's.
            place = start + self.facts.zero - 1 / self.facts.rate / 2
            decoded = self._decoder.frames_from(
                int(place / time_base(self._stream)), seek=self.facts.seekable
            )
        except (av.error.FFmpegError, OSError, OverflowError):
            return  # Some files only play from their start: frames before `start` are dropped.
        self._head.clear()
        self._decoded.close()
        self._decoded = decoded
        self.damage.headless = 0

    def _timed(self) -> Iterator[av.VideoFrame]:
        """Every frame with a strictly growing pts on the clip's clock; the step is guessed where
        the file has none."""
        step = frame_step(self.facts.rate, self.facts.time_base)
        last: int | None = None
        for frame in _with_times_in_order(self._all()):
            own = None if frame.pts is None else self._own_pts(frame.pts)
            pts = _pts_after(last, own, step, round(LONGEST_FRAME / self.facts.time_base))
            self.damage.retimed += pts != (own or 0)
            frame.pts = last = pts
            frame.duration = self._own_duration(frame.duration)
            frame.time_base = self.facts.time_base
            yield frame

    def _own_pts(self, pts: int) -> int:
        """A pts of the container's clock on the clip's."""
        time = pts * time_base(self._stream)
        time = time if self._grid is None else self._grid.time(time)
        return round((time - self.facts.zero) / self.facts.time_base)

    def _own_duration(self, duration: int) -> int:
        seconds = duration * time_base(self._stream)
        seconds = seconds if self._grid is None or not duration else self._grid.duration(seconds)
        return round(seconds / self.facts.time_base)

    def _all(self) -> Iterator[av.VideoFrame]:
        while self._head:
            yield self._head.popleft()
        yield from self._decoded

    def _first_frame(self) -> av.VideoFrame:
        """The first frame that decodes. Raises MediaError without one, or for its size."""
        first = next(self._decoded, None)
        width, height = size = _size(first or self._stream.codec_context)
        if any(size):
            check_size(self.path, width, height)
        if first is None:
            raise MediaError(
                f"{self.path}: no frame could be decoded (empty, damaged, or too large); "
                "check that a player shows it"
            )
        return first


def _close(container: InputContainer) -> None:
    """Close a file whose decoders may be at work; safe to call twice.

    A decoder's thread that has something to log waits for Python's lock, and the end of the decoder
    waits for its threads with this lock held. Flushing waits without it.
    """
    for stream in container.streams.video:
        if stream.codec_context is not None and stream.codec_context.is_open:
            stream.codec_context.flush_buffers()
    container.close()


def _with_times_in_order(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """The frames; where two that follow each other have each other's times, they change them.

    Decoders give frames in their order. AVI with more than one picture in a chunk (packed B-frames)
    has times by the order of its chunks.
    """
    held: av.VideoFrame | None = None
    for frame in frames:
        if held is not None:
            early, late = held.pts, frame.pts
            if early is not None and late is not None and 0 < early - late <= 4 * held.duration:
                held.pts, frame.pts = late, early
            yield held
        held = frame
    if held is not None:
        yield held


def _earlier(chapter: Chapter, seconds: Fraction) -> Chapter:
    base = chapter["time_base"] or Fraction(1, av.time_base)
    start, end = (place - round(seconds / base) for place in (chapter["start"], chapter["end"]))
    return {**chapter, "start": start, "end": end}


def check_size(path: Path, width: int, height: int) -> None:
    """Raise MediaError for pictures of a size that is not supported."""
    if max(width, height) > LARGEST_SIDE or min(width, height) < SMALLEST_SIDE:
        raise MediaError(
            f"{path}: pictures of {width}x{height} are not supported; "
            f"sides from {SMALLEST_SIDE} to {LARGEST_SIDE} are"
        )


def _pts_after(last: int | None, pts: int | None, step: int, longest: int) -> int:
    """The frame's own pts where it can follow `last`; otherwise the next one that can."""
    if last is None:
        return pts or 0
    if pts is None or not -25 * step < pts - last < longest:
        return last + step  # a clock that jumps, here about a second back or `longest` ahead
    return max(pts, last + 1)


def _size(picture: av.VideoFrame | av.VideoCodecContext) -> tuple[int, int]:
    return picture.width, picture.height
