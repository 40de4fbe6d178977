"""A clip that comes through standard input: it is read once, from its beginning to its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer

from mattecast.errors import MediaError
from mattecast.media.clip import Clip
from mattecast.media.container import open_pipe
from mattecast.media.decoder import Decoder
from mattecast.media.feed import Feed, Packet
from mattecast.media.pipe import Raw, standard_input

_TS_PACKET = 188  # bytes of MPEG-TS (ISO/IEC 13818-1)
# What messages call it.
_NAME = Path("standard input")
# On Unix this is the file that a shell has opened as standard input.
_STDIN = Path("/dev/stdin")


class PipedClip(Clip):
    """Standard input as a clip.

    track: see Clip. raw: what its pictures are, where they have no header. rate: frames a second of
    raw pictures and of picture files. Raises MediaError as Clip does, and where nothing comes.
    """

    def __init__(
        self, *, track: int | None = None, raw: Raw | None = None, rate: Fraction | None = None
    ) -> None:
        if sys.stdin is None:
            raise MediaError(f"{_NAME}: is closed; pipe a video stream into it")
        self._file, self._raw, self._rate = standard_input(), raw, rate
        self._kind = ""
        try:
            super().__init__(_NAME, track=track)
        except MediaError as error:
            if self._file.failure is not None:
                raise self._file.failure from error
            if not self._file.count:
                raise MediaError(
                    f"{_NAME}: is empty; see what the program before the pipe says"
                ) from error
            if not self._file.seeks and "mp4" in self._kind:
                raise MediaError(
                    f"{_NAME}: MP4 and MOV come through a pipe only with their index first: write "
                    "them with -movflags +faststart, or name the file"
                ) from error
            raise
        if self._file.failure is not None:
            self.close()
            raise self._file.failure

    def _open(self, hwaccel: HWAccel | None) -> InputContainer:
        container = open_pipe(self._file, self.path, self._raw, self._rate)
        self._kind = container.format.name
        return container

    def _make_decoder(self) -> Decoder:
        # Threads that decode a frame each hold one back each, and lose them where a stream ends
        # in damage.
        self._stream.thread_type = "SLICE"
        self._feed = Feed(self._container, self._stream, self.damage, str(self.path))
        return _PipeDecoder(self, self._container, self._stream, self._feed)

    @property
    def feed(self) -> Feed:
        """See Description."""
        return self._feed

    @property
    def files(self) -> Sequence[Path]:
        """See Clip. A shell may have made a file standard input."""
        return [_STDIN] if _STDIN.is_file() else []

    @property
    def bytes_read(self) -> int:
        """How much has come so far."""
        return self._file.count

    def stop(self) -> None:
        """End the input, also for a thread that waits for it."""
        self._file.stop()

    def again(self) -> Clip:
        """It cannot be opened again."""
        raise MediaError(f"{self.path}: cannot be read a second time")

    def frames(
        self,
        start: Fraction | None = None,
        end: Fraction | None = None,
        *,
        passing: int | None = None,
    ) -> Iterator[av.VideoFrame]:
        """See Clip.frames. All before the start is decoded and dropped."""
        self._feed.begin()
        return super().frames(start, end)

    def _seek(self, start: Fraction) -> None:
        pass


class _PipeDecoder(Decoder):
    """Decodes what a feed gives."""

    def __init__(
        self, clip: PipedClip, container: InputContainer, stream: av.VideoStream, feed: Feed
    ) -> None:
        super().__init__(clip.path, container, stream, clip.damage)
        self._clip, self._feed = clip, feed
        self._last: Packet | None = None
        self._largest = 0  # bytes of the largest packet
        self._failed = 0  # packets before the last one

    def _demuxed(
        self, container: InputContainer, stream: av.VideoStream
    ) -> Iterator[av.Packet[av.VideoStream]]:
        for packet in self._feed.pictures():
            if packet.size:
                self._last, self._failed = packet, self._damage.undecodable
                self._largest = max(self._largest, packet.size)
            yield packet

    def _end_early(self) -> None:
        self._damage.broke_off = True

    def _is_cut_off(self, stream: av.VideoStream) -> bool:
        """Whether the stream ends before its end, as far as its container shows it."""
        last, name, count = self._last, self._container.format.name, self._clip.bytes_read
        if last is None:
            return False
        if name == "mpegts":
            return count % _TS_PACKET != 0
        # The demuxer of y4m drops a picture of which a part is missing.
        dropped = name == "yuv4mpegpipe" and count > (last.pos or 0) + last.size
        missing = name == "nut" and self._feed.end >= count and not self._is_whole(stream, last)
        return last.is_corrupt or dropped or missing or self._damage.undecodable > self._failed

    def _is_whole(self, stream: av.VideoStream, last: Packet) -> bool:
        """Whether NUT may end with a packet. What stands behind is an index or one more header;
        only long streams without an index lack both, and mattecast writes such with raw
        pictures."""
        return stream.codec_context.name == "rawvideo" and last.size == self._largest

    def _ends_early(self, frame: int, packet: int | None) -> bool:
        return False  # no thread holds a frame back
