"""Sources for live tests: a camera on the network that can be unplugged, and what it sends."""

from __future__ import annotations

import io
import socket
import threading
import time

import av
import numpy as np

from mattecast.live.capture import Capture


def bound(port: int = 0) -> socket.socket:
    """A socket on a port of this machine that nobody else can have; it refuses connections."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


class Relay:
    """A camera on the network: sends a clip to whoever connects, and can be unplugged."""

    def __init__(self, data: bytes, pace: float = 0.004) -> None:
        # A port that is bound belongs to us, and refuses connections until it listens.
        self._socket = bound()
        self.port = int(self._socket.getsockname()[1])
        self._data, self._pace = data, pace
        self._stop = threading.Event()
        self.stalled = threading.Event()
        self._thread: threading.Thread | None = None

    def plug(self) -> None:
        """Begin to listen."""
        self._stop.clear()
        self._socket.listen()
        self._thread = threading.Thread(target=self._run, args=(self._socket,), daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Hang up, and listen no more; safe to call twice."""
        if self._thread is not None:
            self._stop.set()
            self._socket.close()
            self._thread.join(5)
            self._socket, self._thread = bound(self.port), None

    def close(self) -> None:
        """Give the port back."""
        self.unplug()
        self._socket.close()

    def _run(self, server: socket.socket) -> None:
        server.settimeout(0.1)
        while not self._stop.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                continue
            with connection:
                self._feed(connection)

    def _feed(self, connection: socket.socket) -> None:
        connection.settimeout(1)
        for place in range(0, len(self._data), 4096):
            while self.stalled.is_set() and not self._stop.is_set():
                time.sleep(0.05)
            if self._stop.wait(self._pace):
                return
            try:
                connection.sendall(self._data[place : place + 4096])
            except OSError:
                return


def transport(size: tuple[int, int] = (96, 64), frames: int = 300, matrix: int = 5) -> bytes:
    """An MPEG transport stream as a network camera sends it. matrix: its colour tag (H.273)."""
    held = io.BytesIO()
    with av.open(held, "w", format="mpegts") as out:
        stream = out.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "g": "5", "tune": "zerolatency"}
        )
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.colorspace = matrix
        rng = np.random.default_rng(1)
        for _ in range(frames):
            noise = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        out.mux(stream.encode(None))
    return held.getvalue()


def captured(capture: Capture, count: int, seconds: float = 30) -> list:
    """The next pictures of a capture, as fast as they come."""
    found = []
    end = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        item = capture.frames.take(0.2)
        found += [item] if item else []
    assert len(found) >= count, capture.state
    return found
