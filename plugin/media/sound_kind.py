"""The kind of decoded sound: its sample format, channels and sample rate, which may change."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
from av import AudioFrame, AudioLayout
from av.container import InputContainer

from mattecast.media.container import open_media

# Sample bits by PyAV's sample format; float decoders (AAC, Opus) carry no more than 24.
_BITS = {"u8": 16, "s16": 16, "s32": 32, "flt": 24, "dbl": 32, "s64": 32}
# Containers of broadcasts and discs (libavformat's names), whose sound may change in mid-stream.
_CHANGING = {"mpegts", "mpeg", "wtv"}


@dataclass(frozen=True, slots=True)
class Kind:
    """What decoded sound is like: sample format, layout (both by libav's names), samples a
    second."""

    format: str
    layout: str
    rate: int

    @classmethod
    def of(cls, sound: AudioFrame | av.AudioCodecContext) -> Kind:
        """The kind of a decoded frame, or the one that a stream's header announces."""
        return cls(sound.format.name, sound.layout.name, sound.sample_rate)

    @property
    def channels(self) -> int:
        """How many channels it has."""
        return AudioLayout(self.layout).nb_channels

    @property
    def bits(self) -> int:
        """The sample bits that keep it whole: 16, 24 or 32."""
        return _BITS.get(self.format.removesuffix("p"), 24)


def largest(kinds: set[Kind]) -> Kind:
    """One kind that holds them all: the most channels, samples a second and sample bits."""
    widest = max(kinds, key=lambda kind: kind.channels)
    deepest = max(kinds, key=lambda kind: kind.bits)
    return Kind(deepest.format, widest.layout, max(kind.rate for kind in kinds))


def kinds_in(
    source: Path, opened: InputContainer, streams: list[av.AudioStream], end: Fraction | None
) -> dict[int, set[Kind]]:
    """The kinds of sound of some streams of an opened file, which is not read, by their index.

    Broadcast streams change in mid-stream and announce it nowhere, so their sound is decoded once
    up to `end` (seconds): that takes three seconds for ten minutes.
    """
    announced = {stream.index: {Kind.of(stream.codec_context)} for stream in streams}
    if opened.format.name not in _CHANGING or not streams:
        return announced
    found: dict[int, set[Kind]] = {index: set() for index in announced}
    # Where the file is damaged, what lies before tells enough.
    with open_media(source) as container, suppress(av.error.FFmpegError, OSError):
        for packet in container.demux([container.streams[index] for index in found]):
            if end is not None and (packet.pts or 0) * packet.time_base >= end:
                break
            found[packet.stream.index] |= _kinds_of(packet)
    return {index: found[index] or announced[index] for index in found}


def _kinds_of(packet: av.Packet[Any]) -> set[Kind]:
    with suppress(av.error.FFmpegError):
        frames: list[Any] = packet.decode()
        return {Kind.of(frame) for frame in frames}
    return set()
