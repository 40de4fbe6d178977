"""Streams of every kind as cameras of live, each from a server on this machine."""

from __future__ import annotations

import http.server
import io
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import av
import numpy as np
import pytest
from commands import call
from waiting import until

from mattecast.live.capture import Capture, parse
from mattecast.live.obs.media_source import free_port

SIZE = 96, 64
FRAMES, PACE = 200, 0.03


def encoded(file: object, format: str, frames: int, *, pace: float = 0.0, **options: str) -> None:
    """Gray pictures as a camera sends them, each a little lighter than the last. pace: seconds
    from one to the next."""
    with av.open(file, "w", format=format, options=options) as out:
        stream = out.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "g": "5", "tune": "zerolatency"}
        )
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for index in range(frames):
            gray = np.full((SIZE[1], SIZE[0], 3), 60 + index % 100, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(gray, format="rgb24")))
            time.sleep(pace)
        out.mux(stream.encode(None))


def transport(frames: int = FRAMES) -> bytes:
    """An MPEG transport stream."""
    held = io.BytesIO()
    encoded(held, "mpegts", frames)
    return held.getvalue()


class Files(http.server.BaseHTTPRequestHandler):
    """Serves a stream without an end of its own to whoever asks."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "video/mp2t")
        self.end_headers()
        with suppress(OSError, av.error.FFmpegError):  # the viewer has left
            encoded(self.wfile, "mpegts", FRAMES, pace=PACE)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def by_http() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/camera.ts"
        server.shutdown()
        thread.join()


@contextmanager
def by_udp() -> Iterator[str]:
    port, stop, data = free_port(), threading.Event(), transport()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not stop.is_set():
                for place in range(0, len(data), 1316):
                    out.sendto(data[place : place + 1316], ("127.0.0.1", port))
                    stop.wait(0.005)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield f"udp://127.0.0.1:{port}"
    finally:
        stop.set()
        thread.join()


class Interleaved:
    """RTP packets inside an RTSP connection: a dollar, the channel, the length, the packet."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, packet: bytes) -> int:
        head = b"$\0" + len(packet).to_bytes(2, "big")
        self._connection.sendall(head + packet)
        return len(packet)


def _rtsp(connection: socket.socket) -> None:
    """One viewer of a camera that speaks RTSP (RFC 2326) as far as a viewer needs."""
    sdp = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
        "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\na=control:track\r\n"
    )
    requests = connection.makefile("rb")
    while line := requests.readline():
        number = b""
        while (header := requests.readline()).strip():
            if header.lower().startswith(b"cseq:"):
                number = header.strip()
        method = line.split()[0].decode()
        more, body = {
            "OPTIONS": ("Public: DESCRIBE, SETUP, PLAY\r\n", ""),
            "DESCRIBE": (f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n", sdp),
            "SETUP": ("Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n", ""),
        }.get(method, ("Session: 1\r\n", ""))
        connection.sendall(f"RTSP/1.0 200 OK\r\n{number.decode()}\r\n{more}\r\n{body}".encode())
        if method == "PLAY":
            encoded(
                Interleaved(connection),
                "rtp",
                FRAMES,
                pace=PACE,
                packetsize="1400",
                payload_type="96",
            )


@contextmanager
def by_rtsp() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            try:
                while True:
                    connection, _ = server.accept()
                    with connection:
                        _rtsp(connection)
            except (OSError, av.error.FFmpegError):
                return

        threading.Thread(target=run, daemon=True).start()
        yield f"rtsp://user:secret@127.0.0.1:{server.getsockname()[1]}/camera"


@pytest.mark.parametrize("served", [by_http, by_udp, by_rtsp])
def test_a_stream_is_a_camera(served: Callable[[], object]):
    shades: set[int] = set()

    def moving() -> bool:
        if found := capture.frames.take(1):
            shades.add(int(found.frame.to_ndarray(format="gray")[32, 48]))
        return len(shades) > 3

    with served() as url:
        capture = Capture(parse(url))
        capture.start()
        try:
            until(moving, 60, "pictures that change")
        finally:
            capture.close()
    assert not capture.failure and "secret" not in capture.state


@contextmanager
def standard_input(number: int) -> Iterator[None]:
    """Let a file be this process's standard input, which libav reads by its number."""
    kept = os.dup(0)
    os.dup2(number, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


@pytest.mark.parametrize(
    "sent, code, words",
    [
        (transport(), 0, "played to its end"),
        (b"", 1, "cannot be opened"),
        (b"no video" * 99, 1, "cannot be opened"),
    ],
    ids=["whole", "empty", "no video"],
)
def test_a_pipe_that_ends_is_over(tmp_path, sent, code, words):
    (tmp_path / "sent").write_bytes(sent)
    with (tmp_path / "sent").open("rb") as pipe, standard_input(pipe.fileno()):
        result = call("live", "-", "--obs", "off")
    assert result.code == code and "Traceback" not in result.err, result.err
    assert words in result.err.splitlines()[-1], result.err
