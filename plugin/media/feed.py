"""The packets of a pipe, which come once: those of the picture in turn, sound beside them."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from fractions import Fraction
from typing import Any, TypeAlias

import av
import av.error
from av.container import InputContainer

from mattecast.errors import MediaError
from mattecast.media.clock import Clock
from mattecast.media.container import has_known_codec
from mattecast.media.damage import Damage

Packet: TypeAlias = "av.Packet[Any]"

# How many packets of the picture are looked at for their times, and how many bytes they take at
# most. The pre-roll waits for nearly as many pictures.
_LOOKED_AT, _LOOKED_AT_BYTES = 20, 64 << 20
# How much sound waits for its picture at most: 20 minutes of PCM in stereo.
_MOST_SOUND = 256 << 20
# How many packets after the last picture are looked through for the sound beside it.
_PATIENCE = 1000


class Feed:
    """Hands out the packets of an opened pipe. One thread takes pictures, another takes sound.

    tracks: those of the sound. end: the byte after the last packet that came, where the container
    says where its packets lie.
    """

    def __init__(
        self, container: InputContainer, picture: av.VideoStream, damage: Damage, name: str
    ) -> None:
        self._picture, self._name = picture.index, name
        self.tracks = container.streams.audio
        known = [each for each in self.tracks if has_known_codec(each)]
        self._known = {track.index for track in known}
        self._packets = Clock(container, damage.breaks).packets(picture, *known)
        self._ahead = deque[Packet]()
        self._error: av.error.FFmpegError | OSError | None = None
        self._sound: deque[Packet] | None = deque()
        self._sound_bytes, self._sound_is_wanted = 0, False
        self.end = 0

    def times(self) -> set[int]:
        """The pts of the first pictures, which stay to be given."""
        size, times = 0, set[int]()
        while len(times) < _LOOKED_AT and size < _LOOKED_AT_BYTES:
            if (packet := self._read()) is None:
                break
            self._ahead.append(packet)
            if packet.stream_index == self._picture and packet.pts is not None:
                size += packet.size
                times.add(packet.pts)
        return times

    def pictures(self) -> Iterator[Packet]:
        """The packets of the picture. Raises FFmpegError and OSError as PyAV does."""
        while (packet := self._next()) is not None:
            if packet.stream_index == self._picture:
                yield packet
            else:
                self._keep(packet)
        if self._error is not None:
            raise self._error

    def sound(self, indexes: Collection[int]) -> Iterator[Packet | None]:
        """The packets of some sound tracks; None as long as no further one has come.

        Call it before `begin`.
        """
        self._sound_is_wanted = True
        return self._kept(indexes)

    def begin(self) -> None:
        """Keep no sound that nobody takes."""
        if not self._sound_is_wanted:
            self._sound = None

    def read_sound(self, end: Fraction) -> None:
        """Read on to the sound of a time (seconds on the pipe's clock); pictures are dropped."""
        left = set() if self._sound is None else set(self._known)
        for _ in range(_PATIENCE):
            if not left or (packet := self._next()) is None:
                return
            if packet.stream_index == self._picture:
                continue
            self._keep(packet)
            if packet.pts is not None and packet.pts * packet.time_base >= end:
                left.discard(packet.stream_index)

    def _next(self) -> Packet | None:
        return self._ahead.popleft() if self._ahead else self._read()

    def _read(self) -> Packet | None:
        try:
            packet = next(self._packets, None)
        except (av.error.FFmpegError, OSError) as error:
            self._error = error  # raised when all packets before it are given
            return None
        if packet is not None and packet.size:
            self.end = (packet.pos or 0) + packet.size
        return packet

    def _keep(self, packet: Packet) -> None:
        if self._sound is None:
            return
        self._sound.append(packet)
        self._sound_bytes += packet.size
        if self._sound_bytes > _MOST_SOUND:
            raise MediaError(
                f"{self._name}: {_MOST_SOUND >> 20} MB of sound come before the next picture; "
                "--no-audio leaves sound out"
            )

    def _kept(self, indexes: Collection[int]) -> Iterator[Packet | None]:
        while True:
            packet = self._sound.popleft() if self._sound else None
            self._sound_bytes -= packet.size if packet else 0
            if packet is None or packet.stream_index in indexes:
                yield packet
