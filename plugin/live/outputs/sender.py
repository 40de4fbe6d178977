"""Sends pictures with alpha to a media source of OBS that listens: NUT or WebM over TCP."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from mattecast.live.picture import GrowingTimes, Picture, as_yuv

# How much the kernel may hold back for a network (bytes). It is little, because pictures get old
# there. On the same machine the kernel may take a whole picture, because otherwise sender and OBS
# would wait for each other several times a picture; OBS reads faster than pictures come, so none
# queues there.
_SEND_BUFFER = 1 << 16
# How much libav writes at once (bytes); each of its usual 32 KiB would cost a call into Python.
_CHUNK = 1 << 20
# The connection is given up when OBS takes nothing for this long (seconds).
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Coding:
    """How pictures are coded for the way to OBS.

    format: libav's container. about: for people. step: the time base in seconds. arrival: whether
    the timestamps of pictures are one step apart. OBS shows a picture when its time has come, so
    pictures that queue at the start stay queued; timestamps much slower than the clock make OBS
    show each picture on arrival. WebM needs true times.
    """

    format: str
    codec: str
    pixels: str
    about: str
    arrival: bool = True
    step: Fraction = Fraction(1, 1000)
    threads: int = 1
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


CODINGS: Mapping[str, Coding] = {
    "raw": Coding("nut", "rawvideo", "bgra", "exact, for OBS on this machine"),
    "ffv1": Coding(
        "nut",
        "ffv1",
        "yuva420p",
        "lossless 4:2:0, for a wired network (50 Mbit/s at 720p)",
        threads=4,
        options={"coder": "0", "context": "0", "slices": "4", "level": "3", "slicecrc": "0"},
    ),
    "vp8": Coding(
        "webm",
        "libvpx",
        "yuva420p",
        "5 to 8 Mbit/s for Wi-Fi, a tenth of a second later",
        arrival=False,
        metadata={"alpha_mode": "1"},
        # A cluster is written when it ends, so each picture gets a cluster of its own.
        container_options={"live": "1", "cluster_time_limit": "1"},
        options={
            "deadline": "realtime",
            "cpu-used": "8",
            "lag-in-frames": "0",
            "b": "6M",
            "auto-alt-ref": "0",
            "error-resilient": "1",
        },
    ),
}


class _Socket:
    """A socket as a file that PyAV writes to."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> int:
        self._connection.sendall(data)
        return len(data)


class Sender:
    """A Target that connects to a media source that listens.

    address: gives (host, port), or None while the address is unknown.
    """

    one_size = False

    def __init__(
        self, name: str, address: Callable[[], tuple[str, int] | None], coding: Coding
    ) -> None:
        self.name, self._address, self._coding = name, address, coding
        self._socket: socket.socket | None = None
        self._muxer: Muxer | None = None

    def open(self, picture: Picture) -> None:
        """See Target.open."""
        address = self._address()
        if address is None:
            raise ConnectionRefusedError
        self._socket = socket.create_connection(address, 1.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._socket.getsockname()[0] != self._socket.getpeername()[0]:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._socket.settimeout(_PATIENCE)
        self._muxer = Muxer(_Socket(self._socket), self._coding, picture.size)

    def write(self, picture: Picture) -> None:
        """See Target.write."""
        assert self._muxer is not None
        self._muxer.write(picture)

    def close(self) -> None:
        """See Target.close."""
        if self._socket is not None:
            # The socket is closed first, because the muxer's trailer would wait for an OBS that
            # hangs.
            self._socket.close()
            self._socket = None
        if self._muxer is not None:
            self._muxer.close()
            self._muxer = None


class Muxer:
    """Writes pictures of one size to a container in `file`."""

    def __init__(self, file: Any, coding: Coding, size: tuple[int, int]) -> None:
        self._coding, self._times = coding, GrowingTimes(coding.step)
        self._converter = VideoReformatter()
        # Each picture is written at once, instead of when a buffer is full.
        options = {"flush_packets": "1", **coding.container_options}
        self._container: Any = av.open(
            file, "w", format=coding.format, options=options, buffer_size=_CHUNK
        )
        coding_options = dict(coding.options)
        stream: Any = self._container.add_stream(coding.codec, rate=30, options=coding_options)
        stream.width, stream.height, stream.pix_fmt = *size, coding.pixels
        stream.codec_context.time_base = coding.step
        stream.codec_context.thread_count = coding.threads
        stream.metadata.update(coding.metadata)
        if coding.pixels != "bgra":
            stream.codec_context.color_range = 1
            stream.codec_context.colorspace = 1
        self._stream = stream

    def write(self, picture: Picture) -> None:
        """Send one picture."""
        if self._coding.codec == "rawvideo":
            # PyAV takes any buffer and keeps it without a copy, though its types say bytes.
            whole: Any = np.ascontiguousarray(picture.bgra)
            packet = av.Packet(whole)
            packet.stream, packet.time_base = self._stream, self._coding.step
            packet.pts = packet.dts = self._time(picture)
            packet.is_keyframe = True
            self._container.mux(packet)
            return
        frame = as_yuv(picture, self._coding.pixels, self._converter)
        frame.pts, frame.time_base = self._time(picture), self._coding.step
        self._container.mux(self._stream.encode(frame))

    def _time(self, picture: Picture) -> int:
        """The picture's timestamp: its time, or its number where OBS shows it on arrival."""
        return self._times.stamp(0.0 if self._coding.arrival else picture.time)

    def close(self) -> None:
        """Close the container. Errors are ignored: the receiver may have gone."""
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError, ValueError):
            return
