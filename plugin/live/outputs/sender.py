"""Sending pictures with alpha to OBS, whose media source listens: NUT or WebM over TCP."""

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

# What the kernel may hold for a network (bytes): little, or pictures get old there. On the same
# machine the kernel takes a picture whole, else sender and OBS wait for each other several times a
# picture; OBS reads quicker than pictures come, so none queues.
_SEND_BUFFER = 1 << 16
# Bytes handed to the socket at once: libav's 32 KiB cost a call into Python each.
_CHUNK = 1 << 20
# OBS is gone, or hangs, when it takes nothing for this long (seconds).
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class Coding:
    """How pictures travel. step: of their times, in seconds. arrival: whether these are one step
    apart: OBS shows a picture when its time has come, what queued at the start stays queued, and
    times much slower than the clock make it show each on arrival. WebM needs true times."""

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
        # A cluster is written when it ends: one a picture, or pictures wait for each other.
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
    """What PyAV needs of a file, over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> int:
        self._connection.sendall(data)
        return len(data)


class Sender:
    """A live target that connects to a listening media source.

    address: (host, port), or None while it is not known where to send to.
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
            # First the socket: the muxer's trailer must not wait for an OBS that hangs.
            self._socket.close()
            self._socket = None
        if self._muxer is not None:
            self._muxer.close()
            self._muxer = None


class Muxer:
    """Writes pictures of one size into a container that goes to `file`."""

    def __init__(self, file: Any, coding: Coding, size: tuple[int, int]) -> None:
        self._coding, self._times = coding, GrowingTimes(coding.step)
        self._converter = VideoReformatter()
        # Every picture goes out at once, not when a buffer is full.
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
            # PyAV takes any buffer, and holds it without a copy; its types say bytes.
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
        """The picture's time in milliseconds, or its number where those are shown on arrival."""
        return self._times.stamp(0.0 if self._coding.arrival else picture.time)

    def close(self) -> None:
        """Let go of it; what could not be written is not missed."""
        try:
            self._container.close()
        except (av.error.FFmpegError, OSError, ValueError):
            return
