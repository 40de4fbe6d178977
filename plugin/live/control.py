"""The control page of a session: a small web server on 127.0.0.1, with a token in its address.

Everybody on this machine can reach the port, and so can every web page that the user visits.
Therefore each request must bring the token, name this host, and come from the control page itself
or from no page at all.
"""

from __future__ import annotations

import hmac
import html
import json
import logging
import secrets
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np

from mattecast.errors import MattecastError, UsageError
from mattecast.live.outputs.outlet import lower_priority
from mattecast.live.picture import Bytes, Picture, laid_over
from mattecast.live.session import COMMANDS, SLIDERS, Session, camera_names

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
# The page has no sliders of its own; the table of options makes them.
_NO_SLIDERS = "[/* the table of options */]"
# The longest body a command may have (bytes), and how long its sender may take (seconds).
LONGEST, SLOWEST = 4096, 5.0
# How many requests are served at once; a page has two or three in flight.
_AT_ONCE = 16
# The long side of the preview, and the side of the squares that stand for transparency (pixels).
_PREVIEW, _SQUARE = 640, 12
# A browser that leaves before it has its answer.
_HANG_UPS = (ConnectionError, TimeoutError)
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",  # because the address holds the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' blob: data:; "
    "connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'",
}


@contextmanager
def serve(session: Session, port: int = 0) -> Iterator[str]:
    """Serve the page while the block runs; gives its address, which includes the token.

    port: 0 for any free port. Raises UsageError when the port is taken.
    """
    try:
        server = _Server((HOST, port), session)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"control: port {port} cannot be used ({reason.lower()})") from error
    thread = threading.Thread(target=server.serve_forever, args=(0.2,), name="control", daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_port}/?token={server.token}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(2)


@contextmanager
def redirecting(address: str) -> Iterator[Path]:
    """A file that leads a browser to the page; it exists while the block runs.

    Every user of this machine can read a browser's command line, so the token must not stand
    there. The file's name may: only the user who runs the session can read the file.
    """
    with tempfile.TemporaryDirectory(prefix="mattecast-") as folder:
        page = Path(folder) / "control.html"
        page.touch(mode=0o600)
        page.write_text(
            "<!doctype html><title>mattecast live</title>"
            f'<meta http-equiv="refresh" content="0; url={html.escape(address)}">',
            encoding="utf-8",
        )
        yield page


class _Server(ThreadingHTTPServer):
    """Serves each request on a thread of its own, and a few at once."""

    daemon_threads = True
    block_on_close = False
    # The kernel delays a connection by a second or more when this many others wait.
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], session: Session) -> None:
        self.session, self.token = session, secrets.token_urlsafe(24)
        page = (Path(__file__).parent / "control.html").read_text(encoding="utf-8")
        self.page = page.replace(_NO_SLIDERS, json.dumps(slider_rows())).encode()
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        lower_priority()
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what has ended a request's thread, unless the browser has hung up."""
        error = sys.exception()
        if not isinstance(error, _HANG_UPS):
            log.warning("the control page could not serve a request", exc_info=error)


class _Refused(Exception):
    """A request that is refused. status: of HTTP."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """GET /, /status, /preview.jpg; POST /do with {"name": ..., "value": ...}."""

    server: _Server
    server_version, sys_version = "mattecast", ""
    timeout = SLOWEST

    def do_GET(self) -> None:
        """Serve the page, the status or the preview."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Carry out a command."""
        self._answer(self._post)

    def _answer(self, make: Any) -> None:
        try:
            self._admit()
            kind, body = make()
            self._send(HTTPStatus.OK, kind, body)
        except _Refused as refused:
            self._send_json(refused.status, {"error": str(refused)})
        except MattecastError as error:
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except _HANG_UPS:
            self.close_connection = True
        except Exception as error:
            log.warning("the control page: %s failed", self.command, exc_info=error)
            self._send_json(
                HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "mattecast failed; its log says why"}
            )

    def _admit(self) -> None:
        """Raise _Refused unless the request comes from our page or from no page, with the token."""
        ours = f"{HOST}:{self.server.server_port}"
        if self.headers.get("Host") != ours:
            # A foreign name that resolves to 127.0.0.1 would make its pages look like ours.
            raise _Refused(HTTPStatus.FORBIDDEN, "wrong host")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{ours}":
            raise _Refused(HTTPStatus.FORBIDDEN, "foreign origin")
        site = self.headers.get("Sec-Fetch-Site")
        if site not in (None, "none", "same-origin") and not self._opens_page():
            raise _Refused(HTTPStatus.FORBIDDEN, "foreign page")
        try:
            query = parse_qs(urlsplit(self.path).query)
        except ValueError as error:
            raise _Refused(HTTPStatus.BAD_REQUEST, "no address") from error
        token = (query.get("token") or [self.headers.get("X-Token") or ""])[0]
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            raise _Refused(HTTPStatus.FORBIDDEN, "the token is missing or wrong")

    def _opens_page(self) -> bool:
        """Whether a link or a redirect leads a browser's tab to the page, as our own file does.

        The page that holds the link can read nothing of what the tab then shows.
        """
        return (
            self.command == "GET"
            and urlsplit(self.path).path == "/"
            and self.headers.get("Sec-Fetch-Mode") == "navigate"
            and self.headers.get("Sec-Fetch-Dest") == "document"
        )

    def _get(self) -> tuple[str, bytes]:
        path, session = urlsplit(self.path).path, self.server.session
        if path == "/":
            return "text/html; charset=utf-8", self.server.page
        if path == "/status":
            return "application/json", json.dumps(session.status()).encode()
        if path == "/choices":
            return "application/json", json.dumps(
                {
                    "cameras": camera_names(),
                    "commands": {n: c.about for n, c in COMMANDS.items()},
                }
            ).encode()
        if path == "/preview.jpg":
            if session.newest is None:
                raise _Refused(HTTPStatus.NOT_FOUND, "no picture yet")
            return "image/jpeg", preview(session.newest)
        raise _Refused(HTTPStatus.NOT_FOUND, "nothing there")

    def _post(self) -> tuple[str, bytes]:
        if urlsplit(self.path).path != "/do":
            raise _Refused(HTTPStatus.NOT_FOUND, "nothing there")
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "expected application/json")
        name, value = read_command(self._body())
        done = self.server.session.do(name, value)
        return "application/json", json.dumps({"done": done}).encode()

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or self.headers.get("Transfer-Encoding"):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "Content-Length is missing")
        if len(length) > 9 or int(length) > LONGEST:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LONGEST} bytes")
        return self.rfile.read(int(length))

    def _send_json(self, status: HTTPStatus, value: dict[str, str]) -> None:
        # Part of the body of a refused request may be unread.
        self.close_connection = True
        self._send(status, "application/json", json.dumps(value).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        try:
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except _HANG_UPS:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing, because request lines hold the token."""


def slider_rows() -> list[dict[str, str | float]]:
    """The page's sliders: the option's name, its label, and the least, the most and the step."""
    found = []
    for name, row in SLIDERS.items():
        slider = row.option.slider
        if slider is not None:
            found.append({"name": name, **asdict(slider)})
    return found


def read_command(body: bytes) -> tuple[str, str]:
    """(name, value) of a command in JSON. Raises UsageError for anything else."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UsageError("the command is not JSON") from error
    if not isinstance(message, dict) or set(message) - {"name", "value"}:
        raise UsageError('a command is {"name": ..., "value": ...}')
    name, value = message.get("name"), message.get("value", "")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = f"{value:g}" if isinstance(value, float) else str(value)
    if not isinstance(name, str) or not isinstance(value, str):
        raise UsageError("name is a text, value a text or a number")
    return name, value


def preview(picture: Picture) -> bytes:
    """The picture as a small JPEG, over squares where it is transparent."""
    width, height = picture.size
    scale = min(1.0, _PREVIEW / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(picture.bgra, size, interpolation=cv2.INTER_AREA), np.uint8)
    composite = laid_over(small, _squares(size))
    _, data = cv2.imencode(".jpg", composite, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return data.tobytes()


@cache
def _squares(size: tuple[int, int]) -> Bytes:
    """Light and dark squares that stand for transparency: (H, W, 3) uint8, gray."""
    across, down = (np.arange(side) // _SQUARE for side in size)
    gray = np.where((across[None] + down[:, None]) % 2, np.uint8(205), np.uint8(155))
    return np.asarray(cv2.merge([gray, gray, gray]), np.uint8)
