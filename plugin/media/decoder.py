"""Pictures decoded past damage: a packet that fails is counted and skipped."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import cast

import av
import av.error
from av.container import InputContainer

from mattecast.errors import MediaError
from mattecast.media import exif
from mattecast.media.clock import Clock
from mattecast.media.container import (
    ends_before_its_index,
    frame_rate,
    frame_step,
    is_picture_file,
    open_media,
    time_base,
)
from mattecast.media.damage import Damage
from mattecast.media.frame import flip_vertically

# After this many failed packets in a row the rest of the file is lost: a decoder that has lost its
# parameters fails on every packet of an hour-long file.
_HOPELESS = 500
# How far before a time (seconds) a key frame is looked for. Containers without an index, such as
# MPEG-TS, take one to any packet.
_STEPS_BACK = (0, 2, 10, 60)
# How many packets a key frame may be away.
_PATIENCE = 2000


class Decoder:
    """Decodes one video stream of an opened container.

    path: of the container. damage: where everything that is skipped or guessed is counted.
    """

    def __init__(
        self, path: Path, container: InputContainer, stream: av.VideoStream, damage: Damage
    ) -> None:
        self._path, self._container, self._stream, self._damage = path, container, stream, damage
        self._is_still = is_picture_file(container)

    def frames(self) -> Generator[av.VideoFrame, None, None]:
        """All frames from where the container stands, in display order."""
        return self._decoded(self._packets(self._container, self._stream))

    def frames_from(self, pts: int, *, seek: bool = True) -> Generator[av.VideoFrame, None, None]:
        """The frames from the last key frame at or before a pts. Where no key frame is found there,
        they begin with the file.

        seek: whether the container finds times; else all before is read, though not decoded.
        Raises FFmpegError or OSError where the container cannot seek.
        """
        if not seek:
            self._damage.breaks.clear()
            self._container.seek(0, unsupported_byte_offset=True)
            return self._decoded(_from_key(self._packets(self._container, self._stream), pts))
        for seconds in _STEPS_BACK:
            place = pts - round(seconds / time_base(self._stream))
            self._container.seek(place, stream=self._stream)
            packets = self._packets(self._container, self._stream)
            first = next((each for each in islice(packets, _PATIENCE) if each.is_keyframe), None)
            if first is not None and first.pts is not None and first.pts <= pts:
                return self._decoded(chain((first,), packets))
        self._container.seek(self._stream.start_time or 0, stream=self._stream)
        return self.frames()

    def _decoded(
        self, packets: Iterator[av.Packet[av.VideoStream]]
    ) -> Generator[av.VideoFrame, None, None]:
        failures = 0  # in a row
        newest_packet: int | None = None
        newest_frame: int | None = None
        file = b""  # of a picture; its frame may come out after a later packet only
        waiting: list[av.Packet[av.VideoStream]] = []  # for the first frame
        for packet in packets:
            if newest_frame is None:
                waiting.append(packet)
            if self._is_still and packet.size:
                file = bytes(packet)
            try:
                frames = self._stream.decode(packet)
            except (av.error.FFmpegError, OSError):
                frames = []
                failures += 1
                self._damage.undecodable += 1
                # A stream that begins between key frames fails until the next one.
                if failures == _HOPELESS * (1 if waiting[0].is_keyframe else 10):
                    self._damage.ended_early = True
                    return
            for frame in frames:
                if newest_frame is None and not waiting[0].is_keyframe:
                    self._damage.headless = _count_before(waiting, frame)
                    self._damage.undecodable -= failures
                failures = 0
                newest_frame = _later(newest_frame, frame.pts)
                yield self._corrected(frame, file) if self._is_still else frame
            if not packet.is_discard:
                newest_packet = _later(newest_packet, packet.pts)
        if newest_frame is not None and self._ends_early(newest_frame, newest_packet):
            self._damage.undecodable -= failures
            yield from self._tail(newest_frame)

    def _ends_early(self, frame: int, packet: int | None) -> bool:
        """Whether the last frame lies a step or more before the last packet, both as pts."""
        step = frame_step(frame_rate(self._stream), time_base(self._stream))
        return packet is not None and packet - frame >= step

    def _corrected(self, frame: av.VideoFrame, file: bytes) -> av.VideoFrame:
        """A still as its file means it, but for the turn that Facts.turn holds."""
        if self._stream.codec_context.name == "mjpeg":
            self._damage.corrupt += not exif.is_complete_jpeg(file)
        return flip_vertically(frame) if exif.is_mirrored(file) else frame

    def _packets(
        self, container: InputContainer, stream: av.VideoStream
    ) -> Iterator[av.Packet[av.VideoStream]]:
        """The stream's packets, then an empty one, at which the decoder gives its last frames."""
        try:
            for packet in self._demuxed(container, stream):
                if packet.has_sidedata("encryption_info"):
                    raise MediaError(f"{self._path}: is encrypted; only clear files can be read")
                # A decoder takes an empty packet for the end.
                if packet.size:
                    yield packet
        except (av.error.FFmpegError, OSError):
            self._end_early()
        if self._is_cut_off(stream):
            self._end_early()
        yield _empty_packet(stream)

    def _end_early(self) -> None:
        self._damage.ended_early = True

    def _demuxed(
        self, container: InputContainer, stream: av.VideoStream
    ) -> Iterator[av.Packet[av.VideoStream]]:
        return Clock(container, self._damage.breaks).packets(stream)

    def _is_cut_off(self, stream: av.VideoStream) -> bool:
        """Whether the file ends before its own index says."""
        return ends_before_its_index(self._path, stream)

    def _tail(self, last: int) -> Iterator[av.VideoFrame]:
        """Decode what comes after pts `last` again, one packet at a time.

        When one of the last packets is damaged, a decoder with many threads never gives the frames
        of the others that it holds.
        """
        with open_media(self._path) as container:
            stream = container.streams[self._stream.index]
            assert isinstance(stream, av.VideoStream)
            stream.thread_type = "SLICE"
            packets = self._packets(container, stream)
            if self._damage.breaks:
                self._damage.breaks.clear()
                packets = _from_key(packets, last)
            else:
                with suppress(av.error.FFmpegError, OSError):
                    container.seek(last, stream=stream)
            for packet in packets:
                try:
                    frames = stream.decode(packet)
                except (av.error.FFmpegError, OSError):
                    self._damage.undecodable += (packet.pts or 0) > last
                    continue
                yield from (frame for frame in frames if (frame.pts or 0) > last)


def _count_before(packets: Sequence[av.Packet[av.VideoStream]], frame: av.VideoFrame) -> int:
    """How many packets are of pictures that come before a frame."""
    times = (packet.pts for packet in packets if packet.pts is not None)
    return sum(frame.pts is not None and time < frame.pts for time in times)


def _from_key(
    packets: Iterator[av.Packet[av.VideoStream]], pts: int
) -> Iterator[av.Packet[av.VideoStream]]:
    """The packets from the last key frame at or before a pts on; else from the first key frame."""
    held: list[av.Packet[av.VideoStream]] = []
    for packet in packets:
        time = packet.pts if packet.dts is None else packet.dts
        if time is None or time > pts:
            yield from (*held, packet)
            break
        if packet.is_keyframe and (packet.pts is None or packet.pts <= pts):
            held.clear()
        if held or packet.is_keyframe:
            held.append(packet)
    yield from packets


def _empty_packet(stream: av.VideoStream) -> av.Packet[av.VideoStream]:
    packet = av.Packet()
    packet.time_base = time_base(stream)
    return cast("av.Packet[av.VideoStream]", packet)  # it belongs to no stream


def _later(one: int | None, other: int | None) -> int | None:
    return other if one is None or (other is not None and other > one) else one
