"""A WebSocket server that plays OBS for the tests: it does what OBS cannot be made to do, such as
closing a connection between a request and its answer."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

TEXT, CLOSE = 1, 8


class Connection:
    """The server's side of one connection."""

    def __init__(self, accepted: socket.socket) -> None:
        self.socket = accepted
        self._file = accepted.makefile("rb")

    def upgrade(self) -> None:
        """Turn HTTP into a WebSocket (RFC 6455)."""
        headers: dict[bytes, bytes] = {}
        while line := self._file.readline().strip():
            name, _, value = line.partition(b": ")
            headers[name.lower()] = value
        magic = headers[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(magic).digest()).decode()
        self.socket.sendall(
            "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )

    def receive(self) -> dict[str, Any]:
        """The next message. Raises ConnectionError when the client has gone."""
        first = self._file.read(2)
        if len(first) < 2 or first[0] & 15 == CLOSE:
            raise ConnectionError
        size = first[1] & 127
        if size >= 126:
            size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
        mask, data = self._file.read(4), self._file.read(size)
        text = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
        return dict(json.loads(text))

    def frame(self, kind: int, data: bytes) -> None:
        """Send one frame."""
        short = len(data) < 126
        head = bytes([0x80 | kind, len(data)]) if short else bytes([0x80 | kind, 126])
        self.socket.sendall(head + (b"" if short else len(data).to_bytes(2, "big")) + data)

    def send(self, op: int, **data: Any) -> None:
        """Send a message of protocol 5."""
        self.frame(TEXT, json.dumps({"op": op, "d": data}).encode())

    def hang_up(self, code: int = 1000) -> None:
        """Close the connection with a code of protocol 5."""
        self.frame(CLOSE, code.to_bytes(2, "big"))
        self.socket.close()

    def identify(self, **hello: Any) -> dict[str, Any]:
        """Say Hello, and take whatever Identify comes; gives its data."""
        self.upgrade()
        self.send(0, obsWebSocketVersion="5.0.0", rpcVersion=1, **hello)
        data: dict[str, Any] = self.receive()["d"]
        self.send(2, negotiatedRpcVersion=1)
        return data

    def answer(self, request: Mapping[str, Any], **data: Any) -> None:
        """Answer a request."""
        self.send(7, **response(request["d"], **data))

    def event(self, name: str, **data: Any) -> None:
        """Send an event."""
        self.send(5, eventType=name, eventIntent=1, eventData=data)


def response(request: Mapping[str, Any], **data: Any) -> dict[str, Any]:
    """A response that says yes."""
    return {
        "requestType": request["requestType"],
        "requestId": request.get("requestId", ""),
        "requestStatus": {"result": True, "code": 100},
        "responseData": data,
    }


class ObsServer:
    """Listens on a port of its own; calls the talks in turn, one for each connection."""

    def __init__(self, *talks: Callable[[Connection], None]) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._talks = talks
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        number = 0
        while True:
            try:
                accepted, _ = self._server.accept()
            except OSError:
                return
            self._open.append(accepted)
            talk = self._talks[min(number, len(self._talks) - 1)]
            number += 1
            threading.Thread(target=self._talk, args=(talk, accepted), daemon=True).start()

    @staticmethod
    def _talk(talk: Callable[[Connection], None], accepted: socket.socket) -> None:
        with suppress(OSError, ValueError):
            talk(Connection(accepted))

    def __enter__(self) -> ObsServer:
        return self

    def __exit__(self, *_: object) -> None:
        # This wakes the thread that accepts.
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(5)
