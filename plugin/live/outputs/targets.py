"""Targets other than OBS: standard output, a listening media source, and a virtual camera."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from av.video.reformatter import VideoReformatter

from mattecast.errors import UsageError
from mattecast.live.capture import without_secrets
from mattecast.live.outputs.outlet import Gone, Target
from mattecast.live.outputs.sender import CODINGS, Muxer, Sender
from mattecast.live.picture import Picture, composite, even, over_colour
from mattecast.media.pipe import StandardOutput

# Between two processes pictures keep the time they were captured at.
PIPED = replace(CODINGS["raw"], arrival=False)
# Schemes of servers that ffmpeg can send to.
_SERVERS = ("rtmp", "rtmps", "rtsp", "srt", "udp")


def target(output: str, format: str | None) -> Target:
    """The target that `-o OUTPUT` stands for; format: of standard output.

    Raises UsageError for an output that is not known.
    """
    if output == "-":
        return Y4m() if format == "y4m" else Pipe()
    scheme, found, rest = output.partition("://")
    if found and scheme == "tcp":
        host, _, port = rest.rpartition(":")
        if not host or not port.isdecimal():
            raise UsageError(f"{output}: expected tcp://HOST:PORT of a listening media source")
        return Sender(output, lambda: (host, int(port)), CODINGS["raw"])
    if found and scheme in _SERVERS:
        raise UsageError(
            # The path of such an address ends with the stream's key, which is a secret.
            f"{scheme}://...: mattecast does not send to servers; pipe `-o - --format y4m` into "
            "`ffmpeg -i - ... URL`, see docs/live.md"
        )
    raise UsageError(
        f"{without_secrets(output)}: expected - for standard output, or tcp://HOST:PORT; "
        "--record writes files"
    )


class Pipe:
    """Writes NUT with raw BGRA and true times to standard output."""

    name, one_size = "standard output", True

    def __init__(self) -> None:
        self._muxer: Muxer | None = None
        self._stdout: StandardOutput | None = None

    def open(self, picture: Picture) -> None:
        """See Target.open."""
        self._stdout = StandardOutput()
        self._muxer = Muxer(self._stdout, PIPED, picture.size)

    def write(self, picture: Picture) -> None:
        """See Target.write."""
        assert self._muxer is not None
        try:
            self._muxer.write(picture)
        except BrokenPipeError as error:
            raise Gone("its reader has closed it") from error

    def close(self) -> None:
        """See Target.close."""
        if self._muxer is not None:
            self._muxer.close()
            self._muxer = None
        if self._stdout is not None:
            self._stdout.close()


class Y4m:
    """Writes a composite as YUV4MPEG2 in 4:2:0 to standard output, with a nominal rate of 30."""

    name, one_size = "standard output", True

    def open(self, picture: Picture) -> None:
        """See Target.open."""
        width, height = even(picture.size)
        head = f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n"
        self._converter = VideoReformatter()
        _write_stdout(head.encode())

    def write(self, picture: Picture) -> None:
        """See Target.write."""
        frame = composite(picture, self._converter, tagged=False)
        data = [b"FRAME\n"]
        for plane, part in zip(frame.planes, (0, 1, 1), strict=True):
            width, height = frame.width >> part, frame.height >> part
            rows = memoryview(plane)
            data += [bytes(rows[row * plane.line_size :][:width]) for row in range(height)]
        _write_stdout(b"".join(data))

    def close(self) -> None:
        """See Target.close; standard output stays open."""


def _write_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError as error:
        raise Gone("its reader has closed it") from error


class VirtualCamera:
    """Feeds a camera that other programs see, through pyvirtualcam; it has no alpha."""

    one_size = True

    def __init__(self, device: str | None = None) -> None:
        self.name = f"virtual camera{f' {device}' if device else ''}"
        self._device = device
        self._camera: Any = None
        try:
            import pyvirtualcam
        except ImportError as error:
            raise UsageError(
                "--virtual-camera needs pyvirtualcam: pip install 'mattecast[virtual-camera]'"
            ) from error
        self._library = pyvirtualcam

    def open(self, picture: Picture) -> None:
        """See Target.open."""
        width, height = picture.size
        try:
            self._camera = self._library.Camera(
                width=width,
                height=height,
                fps=30,
                device=self._device,
                fmt=self._library.PixelFormat.BGR,
            )
        except RuntimeError as error:
            lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
            raise Gone(
                f"cannot be opened ({'; '.join(lines[:2]).lower()}); on Linux load "
                "v4l2loopback, elsewhere install OBS"
            ) from error

    def write(self, picture: Picture) -> None:
        """See Target.write."""
        self._camera.send(over_colour(picture))

    def close(self) -> None:
        """See Target.close."""
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()
