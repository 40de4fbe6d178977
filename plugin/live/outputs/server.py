"""Sends H.264 to a server, from a process of its own.

libav holds Python's lock while it connects, writes a header or disconnects. In this process a
server that does not answer would stop every other output, OBS's too.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import IO, Any

import av
import av.error
from av.video.reformatter import VideoReformatter

from mattecast.live.capture import without_secrets
from mattecast.live.outputs.sender import CODINGS, Muxer
from mattecast.live.picture import Picture, composite, even
from mattecast.live.threads import Task, growing, now

# How pictures go to the other process: raw, with their own times.
PIPED = replace(CODINGS["raw"], arrival=False)
_X264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "g": "60"}
# A server that takes nothing for this long is disconnected, and tried again (seconds).
PATIENCE = 5.0
# After a connection of this length the next wait is the shortest again (seconds).
_STEADY = 20.0


class Server:
    """A Target that sends the composite as H.264, with no look-ahead.

    format: libav's; libav takes the protocol from the URL. options: of the container.
    """

    one_size = True

    def __init__(self, url: str, format: str, options: Mapping[str, str]) -> None:
        name = without_secrets(url)
        # The path of an RTMP address ends with the stream's key, which is a secret.
        self.name = name.rpartition("/")[0] if format == "flv" else name
        self._request = {"url": url, "format": format, "options": dict(options)}
        self._process: subprocess.Popen[bytes] | None = None
        self._muxer: Muxer | None = None
        self._waits, self._opened, self._again = growing(1.0), 0.0, 0.0
        self._complaint = "connecting"
        self._busy_since: float | None = None

    def open(self, picture: Picture) -> None:
        """See Target.open. The other process connects; `write` raises where it fails."""
        if now() < self._again:
            raise ConnectionError(self._complaint)
        self._opened = now()
        # The address may hold secrets, so it stands neither on the command line nor in the
        # environment, which other users may read.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mattecast.live.outputs.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Windows would open a console window for it.
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        assert self._process.stdin is not None
        into = _Whole(self._process.stdin)
        into.write(json.dumps({**self._request, "size": even(picture.size)}).encode() + b"\n")
        Task("guard", self._guard).start()
        self._muxer = Muxer(into, PIPED, picture.size)

    def write(self, picture: Picture) -> None:
        """See Target.write."""
        assert self._muxer is not None
        self._busy_since = now()
        try:
            self._muxer.write(picture)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise ConnectionError(self._end(self._process)) from error
        finally:
            self._busy_since = None

    def close(self) -> None:
        """See Target.close."""
        process, self._process = self._process, None
        if process is None:
            return
        self._end(process)
        if now() - self._opened > _STEADY:
            self._waits = growing(1.0)
        self._again = now() + next(self._waits)
        if self._muxer is not None:
            self._muxer.close()
            self._muxer = None

    def _end(self, process: subprocess.Popen[bytes] | None) -> str:
        """End the process, and give the last line it has written."""
        assert process is not None and process.stdin is not None and process.stderr is not None
        with suppress(OSError):  # it may have ended already
            process.stdin.close()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if not process.stderr.closed:
            lines = process.stderr.read().decode(errors="replace").split("\n")
            process.stderr.close()
            self._complaint = next((line for line in reversed(lines) if line), "it has ended")
        return self._complaint

    def _guard(self, stop: threading.Event) -> None:
        """End a process whose server takes nothing, which ends the `write` that waits for it."""
        process = self._process
        assert process is not None and process.stdout is not None
        with process.stdout as starting:
            # On a busy machine it takes a while until Python has started.
            starting.readline()
        ready = now()
        while process.poll() is None:
            since = self._busy_since
            if since is not None and now() - max(ready, since) > PATIENCE:
                process.kill()
            stop.wait(0.5)


class _Whole:
    """A pipe as a file that PyAV writes to; it keeps nothing back."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def write(self, data: bytes) -> int:
        self._pipe.write(data)
        self._pipe.flush()
        return len(data)


def main() -> int:
    """The other process. It reads a line of JSON, then NUT, from standard input."""
    # Ctrl-C goes to all processes of a terminal; this process ends when its input ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    request = json.loads(sys.stdin.buffer.readline())
    print("ready", flush=True)
    try:
        _stream(request)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        print(str(getattr(error, "strerror", None) or error).lower(), file=sys.stderr)
        return 1
    return 0


def _stream(request: Mapping[str, Any]) -> None:
    with av.open(request["url"], "w", format=request["format"], options=request["options"]) as out:
        stream: Any = out.add_stream("libx264", rate=30, options=dict(_X264))
        stream.width, stream.height = request["size"]
        stream.pix_fmt, stream.codec_context.time_base = "yuv420p", PIPED.step
        out.start_encoding()
        converter = VideoReformatter()
        pictures: Any = av.open(sys.stdin.buffer, format="nut")
        with pictures:
            for received in pictures.decode(video=0):
                bgra = received.to_ndarray()
                opaque = bool(bgra[..., 3].min() == 255)
                frame = composite(Picture(bgra, 0.0, opaque), converter)
                frame.pts, frame.time_base = received.pts, received.time_base
                out.mux(stream.encode(frame))


if __name__ == "__main__":
    raise SystemExit(main())
