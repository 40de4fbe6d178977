"""One clock for a file whose own is set back or on in mid-file, as spliced MPEG streams have it.

At such a break every stream goes on where it was: one offset for all, as players do. Sound and
picture are read from two openings of a file; both see the same packets, so both find the same
offsets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeAlias

import av
import av.error
from av.container import InputContainer

from mattecast.media.container import is_cover_art, may_jump

Packet: TypeAlias = "av.Packet[Any]"

# A clock set back by more than the first, or on by more than the second (seconds), was set anew.
# FFmpeg's own command has the same limits.
_BACK, _ON = Fraction(1, 10), Fraction(10)
# How far the streams of a file overlap at most where it was cut (seconds).
_OVERLAP = Fraction(1)
# How many packets after a break are looked at for the other streams' first ones.
_PATIENCE = 300


@dataclass(slots=True)
class _Stream:
    """Where one stream stands: the offset on its times, and when its next packet is due.

    time: of its last packet, by the file's clock. step: the shortest between two so far. shown:
    when the last of its pictures so far is shown, on the unbroken clock.
    """

    offset: Fraction
    due: Fraction
    time: Fraction
    step: Fraction = Fraction(0)
    shown: Fraction | None = None

    def need(self, packet: Packet, time: Fraction) -> Fraction:
        """The least offset with which a packet neither is early nor is shown before the others."""
        if packet.pts is None or self.shown is None:
            return self.due - time
        return max(self.due - time, self.shown + self.step - packet.pts * packet.time_base)

    def late(self, time: Fraction, offset: Fraction) -> Fraction:
        """How long after it is due a packet comes, if its time is moved by an offset."""
        return time + offset - self.due

    def continues(self, time: Fraction) -> bool:
        """Whether a packet of a time goes on where the stream stands."""
        return -_BACK <= self.late(time, self.offset) <= _ON

    def take(self, packet: Packet, time: Fraction) -> None:
        """Go on to the next packet. Parsers guess how long a picture lasts; sound tells."""
        step, self.time = time - self.time, time
        if 0 < step <= _ON:  # the shortest, since a pause in the pictures is no pace
            self.step = min(step, self.step or step)
        lasts = (packet.duration or 0) * packet.time_base
        is_picture = packet.stream.type == "video"
        if is_picture and packet.pts is not None:
            shown = packet.pts * packet.time_base + self.offset
            self.shown = shown if self.shown is None else max(shown, self.shown)
        self.due = time + self.offset + (self.step if is_picture and self.step else lasts)


class Clock:
    """Reads packets in the file's order and gives them times without breaks.

    breaks: where the times of breaks are put, in seconds on the unbroken clock.
    """

    def __init__(self, container: InputContainer, breaks: list[Fraction] | None = None) -> None:
        self._container = container
        self._breaks = [] if breaks is None else breaks
        self._broken = may_jump(container)
        self._streams: dict[int, _Stream] = {}
        self._offsets = [Fraction(0)]
        self._ahead: deque[Packet] = deque()
        self._error: av.error.FFmpegError | OSError | None = None

    def packets(self, *streams: av.stream.Stream) -> Iterator[Packet]:
        """The packets of some streams; empty ones too, which have no time.

        Raises FFmpegError and OSError as PyAV does.
        """
        if not self._broken:
            yield from self._container.demux(streams)
            return
        wanted = {stream.index for stream in streams}
        # All are read, so that whoever reads some of them finds the same breaks.
        kept = [*self._container.streams.video, *self._container.streams.audio]
        source = self._container.demux([each for each in kept if not is_cover_art(each)])
        while (packet := self._next(source)) is not None:
            self._move(packet, source)
            if packet.stream_index in wanted:
                yield packet
        if self._error is not None:
            raise self._error

    def _next(self, source: Iterator[Packet]) -> Packet | None:
        return self._ahead.popleft() if self._ahead else self._read(source)

    def _read(self, source: Iterator[Packet]) -> Packet | None:
        if self._error is None:
            try:
                return next(source, None)
            except (av.error.FFmpegError, OSError) as error:
                self._error = error  # raised when all packets before it are given
        return None

    def _move(self, packet: Packet, source: Iterator[Packet]) -> None:
        """Put a packet on the unbroken clock."""
        time = _time(packet)
        if time is None:
            return
        stream = self._streams.get(packet.stream_index)
        if stream is None:
            stream = self._streams[packet.stream_index] = self._begun(time)
        if not stream.continues(time):
            known = self._known(stream, time)
            stream.offset = self._found(packet, time, source) if known is None else known
        stream.take(packet, time)
        _shift(packet, stream.offset)

    def _begun(self, time: Fraction) -> _Stream:
        """A stream that begins: by the offset that puts it nearest to the others."""
        newest = max((each.due for each in self._streams.values()), default=time)
        offset = min(self._offsets, key=lambda each: abs(time + each - newest))
        return _Stream(offset, time + offset, time)

    def _known(self, stream: _Stream, time: Fraction) -> Fraction | None:
        """The offset of a break that another stream came to first, or of before a stray time."""
        place = len(self._offsets) - self._offsets[::-1].index(stream.offset)
        later, earlier = self._offsets[place:], self._offsets[:place]
        fits = [each for each in later if -_OVERLAP <= stream.late(time, each) <= _ON]
        fits += [each for each in earlier if abs(stream.late(time, each)) <= _BACK]
        return min(fits, key=lambda each: abs(stream.late(time, each)), default=None)

    def _found(self, packet: Packet, time: Fraction, source: Iterator[Packet]) -> Fraction:
        """The offset of a new break: the picture goes on, or what would go back far does."""
        streams = {index: replace(each) for index, each in self._streams.items()}
        own = streams[packet.stream_index].need(packet, time)
        needs = {packet.stream_index: own}
        firsts = [packet]
        for other in self._look_ahead(source):
            index, begins = other.stream_index, _time(other)
            if begins is None or index not in streams or index in needs:
                continue
            stream = streams[index]
            if stream.continues(begins):
                stream.take(other, begins)
            elif abs(stream.need(other, begins) - own) <= _OVERLAP:
                needs[index] = stream.need(other, begins)
                firsts.append(other)
            if len(needs) == len(streams):
                break
        picture = next((each for each in firsts if each.stream.type == "video"), packet)
        offset, need = max(needs.values()), needs[picture.stream_index]
        # A little sound that overlaps is cut; a picture that lasts longer would be seen.
        offset = need if offset - need <= _BACK else offset
        self._offsets.append(offset)
        self._breaks.append((picture.pts or 0) * picture.time_base + offset)
        return offset

    def _look_ahead(self, source: Iterator[Packet]) -> Iterator[Packet]:
        """Packets to come, which stay to be given."""
        yield from tuple(self._ahead)
        while len(self._ahead) < _PATIENCE and (packet := self._read(source)) is not None:
            self._ahead.append(packet)
            yield packet


def _time(packet: Packet) -> Fraction | None:
    ticks = packet.pts if packet.dts is None else packet.dts
    return None if ticks is None else ticks * packet.time_base


def _shift(packet: Packet, offset: Fraction) -> None:
    ticks = round(offset / packet.time_base)
    if ticks:
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
