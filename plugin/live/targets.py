"""The other places pictures go to: standard output, servers, and a virtual camera."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from mattecast.errors import UsageError
from mattecast.live.outlets import Gone, Target
from mattecast.live.picture import Picture, over_colour
from mattecast.live.sender import CODINGS, Muxer, Sender
from mattecast.live.shared import SharedMemory
from mattecast.live.source import public

# What a server of each scheme takes. None of these carries alpha: they get a composite.
_SERVERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "rtmp": ("flv", {}), "rtmps": ("flv", {}), "srt": ("mpegts", {}), "udp": ("mpegts", {}),
    "rtsp": ("rtsp", {"rtsp_transport": "tcp"}),
}  # fmt: skip
_X264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "g": "60"}
# For readers of pipes pictures keep their times; OBS alone wants them at once.
_PIPED = replace(CODINGS["raw"], arrival=False)


def target(output: str, format: str | None) -> Target:
    """What `-o OUTPUT` means. Raises UsageError for what is nothing known."""
    if output == "-":
        return Y4m() if format == "y4m" else Pipe()
    scheme, found, rest = output.partition("://")
    if found and scheme == "shm":
        if not sys.platform.startswith("linux") or "/" in rest or not rest:
            raise UsageError(f"{output}: expected shm://NAME, on Linux only")
        return SharedMemory(Path("/dev/shm") / rest)
    if found and scheme == "tcp":
        host, _, port = rest.rpartition(":")
        if not host or not port.isdecimal():
            raise UsageError(f"{output}: expected tcp://HOST:PORT of a listening media source")
        return Sender(output, lambda: (host, int(port)), CODINGS["raw"])
    if found and scheme in _SERVERS:
        if scheme == "srt" and not _speaks("srt"):
            raise UsageError(f"{public(output)}: this PyAV has no SRT; use rtmp, rtsp, udp "
                             "or tcp, or pipe `-o -` into ffmpeg")  # fmt: skip
        return Server(output, *_SERVERS[scheme])
    raise UsageError(f"{public(output)}: expected - for standard output, or a URL that begins with "
                     f"tcp, {', '.join(_SERVERS)}; --record writes files")  # fmt: skip


def _speaks(protocol: str) -> bool:
    """Whether libav was built with a protocol."""
    try:
        av.open(f"{protocol}://127.0.0.1:1?timeout=1000", timeout=0.2).close()
    except av.error.ProtocolNotFoundError:
        return False
    except (av.error.FFmpegError, OSError, ValueError):
        return True
    return True


class _Stdout:
    """Standard output as a file PyAV writes to; whoever reads it may leave."""

    def write(self, data: bytes) -> int:
        sys.stdout.buffer.write(data)
        return len(data)


class Pipe:
    """NUT with raw BGRA and true times, on standard output."""

    name = "standard output"

    def __init__(self) -> None:
        self._muxer: Muxer | None = None

    def open(self, picture: Picture) -> None:
        """See Target.open."""
        self._muxer = Muxer(_Stdout(), _PIPED, picture.size)

    def write(self, picture: Picture) -> None:
        """See Target.write."""
        assert self._muxer is not None
        try:
            self._muxer.write(picture)
            sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            raise Gone("its reader has closed it") from error

    def close(self) -> None:
        """See Target.close."""
        if self._muxer is not None:
            self._muxer.close()
            self._muxer = None


class Y4m:
    """YUV4MPEG2 on standard output: a composite, 4:2:0, frames as they come at a nominal 30."""

    name = "standard output"

    def open(self, picture: Picture) -> None:
        """See Target.open."""
        width, height = _even(picture.size)
        head = f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n"
        _piped(head.encode())

    def write(self, picture: Picture) -> None:
        """See Target.write."""
        frame = _composite(picture, tagged=False)
        data = [b"FRAME\n"]
        for plane, part in zip(frame.planes, (0, 1, 1), strict=True):
            width, height = frame.width >> part, frame.height >> part
            rows = memoryview(plane)
            data += [bytes(rows[row * plane.line_size :][:width]) for row in range(height)]
        _piped(b"".join(data))

    def close(self) -> None:
        """See Target.close; standard output stays open."""


def _piped(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError as error:
        raise Gone("its reader has closed it") from error


class Server:
    """H.264 of the composite to a server, with no look-ahead."""

    def __init__(self, url: str, format: str, options: Mapping[str, str]) -> None:
        self.name, self._url = public(url), url
        self._format, self._options = format, options
        self._container: Any = None
        self._first, self._last = 0.0, -1

    def open(self, picture: Picture) -> None:
        """See Target.open."""
        self._container = av.open(self._url, "w", format=self._format,
                                  options=dict(self._options), timeout=5.0)  # fmt: skip
        self._stream = self._container.add_stream("libx264", rate=30, options=dict(_X264))
        self._stream.width, self._stream.height = _even(picture.size)
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, 1000)
        self._first, self._last = picture.time, -1

    def write(self, picture: Picture) -> None:
        """See Target.write."""
        frame = _composite(picture)
        self._last = max(self._last + 1, round(1000 * (picture.time - self._first)))
        frame.pts, frame.time_base = self._last, Fraction(1, 1000)
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """See Target.close."""
        container, self._container = self._container, None
        if container is not None:
            try:
                container.close()
            except (av.error.FFmpegError, OSError, ValueError):
                return


def _even(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // 2 * 2, size[1] // 2 * 2


def _composite(picture: Picture, *, tagged: bool = True) -> av.VideoFrame:
    """The picture over green as 4:2:0; untagged, in the matrix that players take for its size."""
    width, height = _even(picture.size)
    matrix = "ITU709" if tagged or height >= 720 or width > 1024 else "ITU601"
    frame = av.VideoFrame.from_ndarray(over_colour(picture), format="bgr24")
    made = frame.reformat(width, height, "yuv420p", dst_colorspace=matrix,
                          src_color_range="JPEG", dst_color_range="MPEG")  # fmt: skip
    made.colorspace, made.color_range = 1, 1
    return made


class VirtualCamera:
    """A camera other programs see, through pyvirtualcam; it has no alpha."""

    def __init__(self, device: str | None = None) -> None:
        self.name = f"virtual camera{f' {device}' if device else ''}"
        self._device = device
        self._camera: Any = None
        try:
            import pyvirtualcam
        except ImportError as error:
            raise UsageError("--virtual-camera needs pyvirtualcam: "
                             "pip install 'mattecast[virtual-camera]'") from error  # fmt: skip
        self._library = pyvirtualcam

    def open(self, picture: Picture) -> None:
        """See Target.open."""
        width, height = picture.size
        try:
            self._camera = self._library.Camera(
                width=width, height=height, fps=30, device=self._device,
                fmt=self._library.PixelFormat.BGR,
            )  # fmt: skip
        except RuntimeError as error:
            lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
            raise Gone(f"cannot be opened ({'; '.join(lines[:2]).lower()}); on Linux load "
                       "v4l2loopback, elsewhere install OBS") from error  # fmt: skip

    def write(self, picture: Picture) -> None:
        """See Target.write."""
        self._camera.send(over_colour(picture))

    def close(self) -> None:
        """See Target.close."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()


