"""What a clip holds: sizes, rate, clock, colours, sound and timecode, read once at its opening."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from mattecast.media.colour import Colour
from mattecast.media.timecode import Timecode

# Shapes of a pixel; the widest in use is 2:1 of anamorphic lenses.
_SQUEEZED = Fraction(1, 10), 10
# Frames a second; what lies outside comes of a broken header or of a few frames far apart.
_PLAUSIBLE = Fraction(1, 60), 1000


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


def read_facts(path: Path, container: Any, stream: Any, first: av.VideoFrame) -> Facts:
    """The facts of an opened container, its picture stream, and the first frame of that."""
    rotation = int(first.rotation) % 360
    sideways = rotation % 180 == 90
    sar = Fraction(stream.sample_aspect_ratio or 1)
    sar = sar if _SQUEEZED[0] <= sar <= _SQUEEZED[1] else Fraction(1)
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    form = first.sw_format or first.format  # a frame on a GPU says only that it is there
    rate = next((rate for rate in rates if rate and _PLAUSIBLE[0] <= rate <= _PLAUSIBLE[1]), 25)
    start = (first.pts or 0) * stream.time_base
    return Facts(
        path=path,
        container=container.format.name,
        codec=stream.codec_context.name,
        pixel_format=form.name,
        bits=max(component.bits for component in form.components),
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
        has_alpha=any(component.is_alpha for component in form.components),
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
        named.append(kind_of(stream))
    return tuple(named)


def kind_of(stream: Any) -> str:
    """What a person calls a stream: video, audio, subtitle, data, cover art."""
    return "cover art" if stream.disposition & Disposition.attached_pic else str(stream.type)
