"""A recorded clip: its facts, read once, and its frames in order with their own timestamps."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import av.logging
from av.stream import Disposition

from mattecast.colour import Colour
from mattecast.errors import MediaError
from mattecast.timecode import Timecode

# libav prints decoding errors on its own; here they are counted and reported once.
av.logging.set_level(None)

LARGEST_SIDE = 16384
# How many packets in a row may fail before the rest of the file is taken for lost: decoders that
# have lost their parameters fail on every packet of an hour-long file.
_HOPELESS = 500


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One sound track as the container declares it."""

    index: int
    codec: str
    rate: int
    channels: int
    layout: str
    language: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a clip holds. Sizes and SAR are upright, after its rotation is applied."""

    path: Path
    container: str
    codec: str
    pixel_format: str
    bits: int
    width: int
    height: int
    sar: Fraction
    rotation: int
    interlaced: bool
    rate: Fraction
    variable_rate: bool
    time_base: Fraction
    start: Fraction
    duration: Fraction | None
    frames: int
    colour: Colour
    has_alpha: bool
    timecode: Timecode | None
    audio: tuple[AudioTrack, ...]
    others: tuple[str, ...]
    chapters: int
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Damage:
    """What had to be skipped or guessed while reading; zero everywhere for a sound file."""

    undecodable: int = 0
    corrupt: int = 0
    retimed: int = 0
    resized: int = 0
    ended_early: bool = False

    def lines(self) -> list[str]:
        """One line for each kind of damage met."""
        said = []
        if self.undecodable:
            said.append(f"{self.undecodable} damaged packets could not be decoded and were skipped")
        if self.corrupt:
            said.append(f"{self.corrupt} frames are damaged and were kept as decoded")
        if self.retimed:
            said.append(f"{self.retimed} frames had no or repeated timestamps and were given new")
        if self.resized:
            said.append(f"{self.resized} frames of another size were scaled to the first one's")
        if self.ended_early:
            said.append("the file ends before its own index says; what is there was used")
        return said


class Clip:
    """An opened clip. Use as a context manager; `frames()` may be called once.

    Raises MediaError when the file is missing, not a regular file, not video, or holds no frame
    that decodes.
    """

    def __init__(self, path: str | Path, *, options: Mapping[str, str] | None = None,
                 format: str | None = None) -> None:  # fmt: skip
        self.path = Path(path)
        self.damage = Damage()
        self._container = _open(self.path, dict(options or {}), format)
        try:
            self._stream = _picture_stream(self._container, self.path)
            self._stream.thread_type = "AUTO"
            self._head: deque[av.VideoFrame] = deque()
            self._source = self._decode()
            self.facts = self._read_facts()
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; safe to call twice."""
        self._source.close()
        self._container.close()

    @property
    def chapters(self) -> list[Any]:
        """The chapters as PyAV gives them (id, start, end, time_base, metadata)."""
        return list(self._container.chapters())

    def frames(self, start: Fraction | None = None, end: Fraction | None = None
               ) -> Iterator[av.VideoFrame]:  # fmt: skip
        """Decoded frames in display order, each with a pts in the clip's time base.

        start, end: seconds on the clip's own clock; frames with start <= time < end are given.
        """
        base = self.facts.time_base
        if start is not None and start > self.facts.start:
            self._seek(start)
        for frame in self._timed():
            assert frame.pts is not None
            time = frame.pts * base
            if end is not None and time >= end:
                break
            if start is None or time >= start:
                yield frame

    def _seek(self, start: Fraction) -> None:
        self._container.seek(int(start / self.facts.time_base), stream=self._stream)
        self._head.clear()
        self._source.close()
        self._source = self._decode()

    def _timed(self) -> Iterator[av.VideoFrame]:
        """Every frame with a strictly growing pts; the step is guessed where the file has none."""
        step = _frame_step(self.facts)
        last: int | None = None
        for frame in self._all():
            if frame.pts is None or (last is not None and frame.pts <= last):
                self.damage.retimed += frame.pts is not None or last is not None
                frame.pts = 0 if last is None else last + (step if frame.pts is None else 1)
            self.damage.resized += _differs(frame, self._first)
            self.damage.corrupt += frame.is_corrupt
            last = frame.pts
            yield frame

    def _all(self) -> Iterator[av.VideoFrame]:
        while self._head:
            yield self._head.popleft()
        yield from self._source

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """Decode past damage: a packet that fails is counted and skipped."""
        failures_in_row = 0
        packets = self._container.demux(self._stream)
        while failures_in_row < _HOPELESS:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                self.damage.ended_early = True
                packet = None
            if packet is None:
                return
            try:
                frames = packet.decode()
            except av.error.EOFError:
                return
            except (av.error.FFmpegError, OSError):
                self.damage.undecodable += 1
                failures_in_row += 1
                continue
            failures_in_row = 0
            yield from frames
        self.damage.ended_early = True

    def _read_facts(self) -> Facts:
        first = next(self._source, None)
        if first is None:
            raise MediaError(
                f"{self.path}: no frame could be decoded (empty, encrypted or damaged); "
                "check that a player shows it"
            )
        if max(first.width, first.height) > LARGEST_SIDE or min(first.width, first.height) < 16:
            raise MediaError(
                f"{self.path}: pictures of {first.width}x{first.height} are not supported; "
                f"sides from 16 to {LARGEST_SIDE} are"
            )
        self._head.append(first)
        self._first = first
        return _facts(self.path, self._container, self._stream, first)


def _open(path: Path, options: dict[str, str], format: str | None) -> Any:
    """Open for reading what is a regular file (or a pattern the image reader expands)."""
    if format is None:
        try:
            mode = os.stat(path).st_mode
        except OSError as error:
            raise MediaError(f"{path}: {(error.strerror or str(error)).lower()}") from error
        if not stat.S_ISREG(mode):
            raise MediaError(f"{path}: not a regular file; name a video file")
        if os.path.getsize(path) == 0:
            raise MediaError(f"{path}: the file is empty")
    try:
        return av.open(str(path), "r", format=format, options=options, metadata_errors="replace")
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
    kinds = sorted({stream.type for stream in container.streams})
    held = f"only {' and '.join(kinds)}" if kinds else "no streams at all"
    raise MediaError(f"{path}: holds no video ({held})")


def _facts(path: Path, container: Any, stream: Any, first: av.VideoFrame) -> Facts:
    rotation = int(first.rotation) % 360
    sideways = rotation % 180 == 90
    sar = Fraction(stream.sample_aspect_ratio or 1)
    sar = Fraction(1) if sar <= 0 else sar
    rate = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
    start = (first.pts or 0) * stream.time_base
    return Facts(
        path=path,
        container=container.format.name,
        codec=stream.codec_context.name,
        pixel_format=first.format.name,
        bits=max(component.bits for component in first.format.components),
        width=first.height if sideways else first.width,
        height=first.width if sideways else first.height,
        sar=1 / sar if sideways else sar,
        rotation=rotation,
        interlaced=first.interlaced_frame,
        rate=Fraction(rate),
        variable_rate=_is_variable(stream),
        time_base=Fraction(stream.time_base),
        start=Fraction(start),
        duration=_duration(container, stream),
        frames=stream.frames,
        colour=Colour.of(first),
        has_alpha=any(component.is_alpha for component in first.format.components),
        timecode=_timecode(container, stream, Fraction(rate)),
        audio=tuple(_audio_track(track) for track in container.streams.audio),
        others=_other_streams(container, stream),
        chapters=len(container.chapters()),
        metadata=dict(container.metadata),
    )


def _is_variable(stream: Any) -> bool:
    """Whether the container's two estimates of the rate disagree, or no single step fits."""
    average, base = stream.average_rate, stream.base_rate
    if not average or not base:
        return False
    return bool(abs(Fraction(average) / Fraction(base) - 1) > Fraction(1, 500))


def _duration(container: Any, stream: Any) -> Fraction | None:
    if stream.duration:
        return Fraction(stream.duration * stream.time_base)
    if container.duration:
        return Fraction(container.duration, av.time_base)
    return None


def _timecode(container: Any, stream: Any, rate: Fraction) -> Timecode | None:
    """The start timecode: from the video track, a tmcd track, or the container's tags."""
    tags = [stream.metadata, *(other.metadata for other in container.streams), container.metadata]
    for tag in tags:
        text = {key.lower(): value for key, value in tag.items()}.get("timecode")
        if text:
            try:
                return Timecode.parse(text, rate)
            except ValueError:
                continue
    return None


def _audio_track(stream: Any) -> AudioTrack:
    context = stream.codec_context
    return AudioTrack(
        index=stream.index,
        codec=context.name if context else "unknown",
        rate=context.sample_rate if context else 0,
        channels=context.layout.nb_channels if context else 0,
        layout=context.layout.name if context else "",
        language=stream.metadata.get("language"),
    )


def _other_streams(container: Any, picture: Any) -> tuple[str, ...]:
    """Streams that are neither the picture, sound nor timecode: named so that a loss is said."""
    named = []
    for stream in container.streams:
        if stream.index == picture.index or stream.type == "audio":
            continue
        if stream.type == "data" and "timecode" in stream.metadata:
            continue
        named.append("cover art" if stream.disposition & Disposition.attached_pic else stream.type)
    return tuple(named)


def _frame_step(facts: Facts) -> int:
    return max(1, round(1 / (facts.rate * facts.time_base)))


def _differs(frame: av.VideoFrame, first: av.VideoFrame) -> bool:
    return (frame.width, frame.height) != (first.width, first.height)
