"""A recorded clip: its facts, read once, and its frames in order with their own timestamps."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.stream import Disposition

from mattecast.errors import MediaError
from mattecast.media import exif
from mattecast.media.facts import Facts, kind_of, read_facts
from mattecast.media.frame import upended

if TYPE_CHECKING:
    from av.container.core import Chapter

LARGEST_SIDE = 16384
# No picture is held for an hour (seconds): such a time is a broken one.
HELD = 3600
# How many packets in a row may fail before the rest of the file is taken for lost: decoders that
# have lost their parameters fail on every packet of an hour-long file.
_HOPELESS = 500


@dataclass(slots=True)
class Damage:
    """What had to be skipped or guessed while reading; zero everywhere for a sound file."""

    undecodable: int = 0
    missing: int = 0
    corrupt: int = 0
    retimed: int = 0
    resized: int = 0
    sound: int = 0
    ended_early: bool = False

    def lines(self) -> list[str]:
        """One line for each kind of damage met."""
        counted = (
            (self.undecodable, "picture packet", "could not be decoded: skipped"),
            (self.missing, "frame", "missing: the others keep their times"),
            (self.corrupt, "frame", "damaged: kept as decoded"),
            (self.retimed, "frame", "without a time of its own: given one"),
            (self.resized, "frame", "of another size: scaled to that of the first"),
            (self.sound, "sound packet", "damaged: left out"),
        )
        said = [
            f"{number} {noun}{'s' * (number > 1)} {fate}"
            for number, noun, fate in counted
            if number
        ]
        if self.ended_early:
            said.append("the file ends before its own index says; what is there was used")
        return said


class Clip:
    """An opened clip. Use as a context manager; `frames()` may be called once.

    hwaccel: decodes instead of the CPU what it can; its frames may stay where they are.
    Raises MediaError when the file is missing, not a regular file, not video, or holds no frame
    that decodes.
    """

    def __init__(self, path: str | Path, *, hwaccel: HWAccel | None = None) -> None:
        self.path = Path(path)
        self.damage = Damage()
        self._container = open_media(self.path, hwaccel)
        try:
            self._stream = _picture_stream(self._container, self.path)
            self._stream.thread_type = "AUTO"
            self._head: deque[av.VideoFrame] = deque()
            self._source = self._decode()
            self.facts = self._read_facts()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; safe to call twice."""
        self._source.close()
        self._container.close()

    @property
    def files(self) -> list[Path]:
        """What is read: the clip itself."""
        return [self.path]

    @property
    def chapters(self) -> list[Chapter]:
        """The chapters as PyAV gives them (id, start, end, time_base, metadata)."""
        return list(self._container.chapters())

    def frames(
        self,
        start: Fraction | None = None,
        end: Fraction | None = None,
        *,
        passing: int | None = None,
    ) -> Iterator[av.VideoFrame]:
        """Decoded frames in display order, each with a pts in the clip's time base.

        start, end: seconds on the clip's own clock; frames with start <= time < end are given.
        passing: how many may lie before the start; where more do, none are given.
        """
        base = self.facts.time_base
        # Where frames have no times of their own they are counted, so from the first one on.
        if start is not None and start > self.facts.start and self._first.pts is not None:
            self._seek(start)
        last: int | None = None
        for number, frame in enumerate(self._timed()):
            assert frame.pts is not None
            time = frame.pts * base
            if end is not None and time >= end:
                break
            if start is None or time >= start:
                self._judge(frame, last)
                last = frame.pts
                yield frame
            elif number == passing:
                break

    def _judge(self, frame: av.VideoFrame, last: int | None) -> None:
        """Count what is wrong with a frame, and the frames that should stand between it and the
        one at pts `last`."""
        self.damage.resized += _differs(frame, self._first)
        self.damage.corrupt += frame.is_corrupt
        if last is not None and frame.pts is not None and self._regular:
            steps = (frame.pts - last) * self.facts.time_base * self.facts.rate
            # Times that are no whole steps apart were never meant to be regular.
            self._regular &= abs(steps - round(steps)) < Fraction(1, 10)
            self.damage.missing = self._regular * (self.damage.missing + max(0, round(steps) - 1))

    def _seek(self, start: Fraction) -> None:
        try:
            self._container.seek(int(start / self.facts.time_base), stream=self._stream)
        except (av.error.FFmpegError, OSError, OverflowError):
            return  # Some files only play from their start: what comes too early is passed over.
        self._head.clear()
        self._source.close()
        self._source = self._decode()

    def _timed(self) -> Iterator[av.VideoFrame]:
        """Every frame with a strictly growing pts; the step is guessed where the file has none."""
        step = _frame_step(self.facts)
        last: int | None = None
        for frame in self._all():
            place = _placed(frame.pts, last, step, round(HELD / self.facts.time_base))
            self.damage.retimed += place != (frame.pts or 0)
            frame.pts = last = place
            yield frame

    def _all(self) -> Iterator[av.VideoFrame]:
        while self._head:
            yield self._head.popleft()
        yield from self._source

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """Decode past damage: a packet that fails is counted and skipped."""
        failed = 0  # in a row
        newest: int | None = None
        shown: int | None = None
        file = b""  # of a picture, which may come out only after it
        for packet in self._packets(self._container, self._stream):
            if self._still and packet.size:
                file = bytes(packet)
            try:
                frames = self._stream.decode(packet)
            except (av.error.FFmpegError, OSError):
                frames = []
                failed += 1
                self.damage.undecodable += 1
                if failed == _HOPELESS:
                    self.damage.ended_early = True
                    return
            for frame in frames:
                failed = 0
                shown = _later(shown, frame.pts)
                yield self._photograph(frame, file) if self._still else frame
            if not packet.is_discard:
                newest = _later(newest, packet.pts)
        if newest is not None and shown is not None and newest - shown >= _frame_step(self.facts):
            self.damage.undecodable -= failed
            yield from self._tail(shown)

    @property
    def _still(self) -> bool:
        """Whether a packet is the whole file of a picture."""
        name: str = self._container.format.name
        return name == "image2" or name.endswith("_pipe")

    def _photograph(self, frame: av.VideoFrame, file: bytes) -> av.VideoFrame:
        """A picture as its file means it, but for the turn that Facts.rotation tells."""
        if self._stream.codec_context.name == "mjpeg":
            self.damage.corrupt += not exif.whole(file)
        return upended(frame) if exif.mirrored(file) else frame

    def _packets(self, container: Any, stream: Any) -> Iterator[Any]:
        """The stream's packets, then an empty one: the decoder gives what it still holds."""
        try:
            for packet in container.demux(stream):
                if packet.has_sidedata("encryption_info"):
                    raise MediaError(f"{self.path}: is encrypted; only clear files can be read")
                # To a decoder, an empty packet is the end.
                if packet.size:
                    yield packet
        except (av.error.FFmpegError, OSError):
            self.damage.ended_early = True
        index = stream.index_entries
        if len(index) and index[-1].pos + index[-1].size > os.path.getsize(self.path):
            self.damage.ended_early = True
        end = av.Packet()
        end.time_base = stream.time_base
        yield end

    def _tail(self, shown: int) -> Iterator[av.VideoFrame]:
        """Decode what comes after pts `shown` again, one packet at a time.

        When one of the last packets is damaged, a decoder on many threads keeps to itself all
        that it holds of the others.
        """
        with open_media(self.path) as container:
            stream = container.streams[self._stream.index]
            stream.thread_type = "SLICE"
            with suppress(av.error.FFmpegError, OSError):
                container.seek(shown, stream=stream)
            for packet in self._packets(container, stream):
                try:
                    frames = stream.decode(packet)
                except (av.error.FFmpegError, OSError):
                    self.damage.undecodable += (packet.pts or 0) > shown
                    continue
                yield from (frame for frame in frames if (frame.pts or 0) > shown)

    def _read_facts(self) -> Facts:
        first = next(self._source, None)
        described = first or self._stream.codec_context
        size = described.width, described.height
        if any(size) and (max(size) > LARGEST_SIDE or min(size) < 16):
            raise MediaError(
                f"{self.path}: pictures of {size[0]}x{size[1]} are not supported; "
                f"sides from 16 to {LARGEST_SIDE} are"
            )
        if first is None:
            raise MediaError(
                f"{self.path}: no frame could be decoded (empty, damaged, or too large); "
                "check that a player shows it"
            )
        self._head.append(first)
        self._first = first
        facts = read_facts(self.path, self._container, self._stream, first)
        self._regular = not facts.variable_rate
        return facts


def open_media(path: Path, hwaccel: HWAccel | None = None) -> Any:
    """Open a regular file for reading. Raises MediaError for all else, and where libav fails."""
    try:
        facts = os.stat(path)
    except OSError as error:
        raise MediaError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if not stat.S_ISREG(facts.st_mode):
        raise MediaError(f"{path}: not a regular file; name a video file")
    if facts.st_size == 0:
        raise MediaError(f"{path}: the file is empty")
    try:
        # Absolute, because libav takes what stands before a colon in a plain name for a protocol.
        return av.open(os.path.abspath(path), metadata_errors="replace", hwaccel=hwaccel)
    except PermissionError as error:
        raise MediaError(f"{path}: no permission to read it") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{path}: cannot be read as video ({reason.lower()}); "
            "it may be damaged, cut off, or of another kind"
        ) from error


def _picture_stream(container: Any, path: Path) -> Any:
    """The stream to matte: the first that is not cover art."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise MediaError(f"{path}: its video codec is not known to this FFmpeg build")
            return stream
    kinds = sorted({kind_of(stream) for stream in container.streams})
    held = f"only {' and '.join(kinds)}" if kinds else "no streams at all"
    raise MediaError(f"{path}: holds no video ({held})")


def _placed(pts: int | None, last: int | None, step: int, longest: int) -> int:
    """A frame's own pts where it makes sense after `last`, else the next one that does."""
    if last is None:
        return pts or 0
    if pts is None or not -25 * step < pts - last < longest:
        return last + step  # a clock that jumps, here about a second back or `longest` ahead
    return max(pts, last + 1)


def _later(one: int | None, other: int | None) -> int | None:
    return other if one is None or (other is not None and other > one) else one


def _frame_step(facts: Facts) -> int:
    return max(1, round(1 / (facts.rate * facts.time_base)))


def _differs(frame: av.VideoFrame, first: av.VideoFrame) -> bool:
    return (frame.width, frame.height) != (first.width, first.height)
