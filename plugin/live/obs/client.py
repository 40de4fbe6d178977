"""A client of obs-websocket, protocol 5 (OBS 28 and newer).

The protocol: the server says Hello, the client answers with Identify and proves that it knows the
password, the server says Identified. From then on requests and their responses carry the same id,
and events arrive whenever something changes in OBS.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import websocket

from mattecast.errors import MattecastError
from mattecast.live.threads import Task

DEFAULT_PORT = 4455
# How long connecting may take, and how long OBS may take to answer a message (seconds).
CONNECT_TIMEOUT, ANSWER_TIMEOUT = 3.0, 4.0
# How long a server that does not say Hello may take to answer in protocol 4 (seconds).
OLD_TIMEOUT = 1.0
# How often the receiving thread looks whether it shall stop (seconds).
_POLL = 1.0
_RPC_VERSION = 1
# Of protocol 5's EventSubscription: Config (scene collections), Scenes, Inputs.
_EVENTS = 1 << 1 | 1 << 2 | 1 << 3
# Of protocol 5's WebSocketCloseCode: authentication failed.
_WRONG_PASSWORD = 4009
# Of protocol 5's RequestStatus.
NOT_READY, NOT_FOUND = 207, 600
_LOCAL = ("127.0.0.1", "localhost", "::1")

Message = dict[str, Any]


class _Op(IntEnum):
    """Protocol 5's WebSocketOpCode: what a message is."""

    HELLO = 0
    IDENTIFY = 1
    IDENTIFIED = 2
    EVENT = 5
    REQUEST = 6
    RESPONSE = 7
    BATCH = 8
    BATCH_RESPONSE = 9


class ObsError(MattecastError):
    """OBS cannot be reached, or refuses a request.

    fatal: trying again will not help. code: of protocol 5's RequestStatus, 0 for no answer.
    """

    def __init__(self, text: str, *, fatal: bool = False, code: int = 0) -> None:
        super().__init__(text)
        self.fatal, self.code = fatal, code


class PasswordError(ObsError):
    """OBS requires a password, and did not get the right one."""


class _Closed(Exception):
    """The server has closed the connection. code: of WebSocketCloseCode, 0 where none was sent."""

    def __init__(self, code: int = 0) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Address:
    """Where OBS's WebSocket server listens."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT

    @property
    def local(self) -> bool:
        """Whether OBS runs on this machine."""
        return self.host in _LOCAL

    @property
    def url(self) -> str:
        """The address as a WebSocket URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ws://{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Parse 'host', 'host:port', ':port' or ''. Raises ValueError for anything else."""
    host, colon, port = text.rpartition(":") if ":" in text else (text, "", "")
    if colon and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"'{text}' is not HOST:PORT")
    return Address(host or "127.0.0.1", int(port) if port else DEFAULT_PORT)


def authentication(password: str, salt: str, challenge: str) -> str:
    """The proof that we know the password, as protocol 5 defines it: a hash of the password and
    the salt, hashed again with the server's challenge, each in base64."""
    secret = base64.b64encode(hashlib.sha256((password + salt).encode()).digest())
    return base64.b64encode(hashlib.sha256(secret + challenge.encode()).digest()).decode()


class Client:
    """A connection to OBS. Every wait ends, with an answer or with an ObsError.

    on_event: called with the name and the data of each event, on the receiving thread.
    timeout: seconds that OBS may take to answer a request.
    dead: set when the connection is gone.
    """

    def __init__(
        self,
        where: Address,
        password: str = "",
        on_event: Callable[[str, Message], None] | None = None,
        *,
        timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        self.where, self.timeout = where, timeout
        self.dead = threading.Event()
        self._on_event = on_event
        self._numbers = itertools.count(1)
        self._waiting: dict[str, Future[Message]] = {}
        self._lock = threading.Lock()
        self._socket = _new_socket()
        try:
            self._connect()
            self._identify(password)
            self._socket.settimeout(_POLL)
        except BaseException:
            self._socket.shutdown()
            raise
        self._receiver = Task("obs receiver", self._receive_all)
        self._receiver.start()

    # Connecting.

    def _connect(self) -> None:
        try:
            self._socket.connect(self.where.url, timeout=CONNECT_TIMEOUT, suppress_origin=True)
        except (TimeoutError, websocket.WebSocketTimeoutException) as error:
            raise self._no_answer() from error
        except (OSError, websocket.WebSocketAddressException) as error:
            raise ObsError(_unreachable(self.where, error)) from error
        except (websocket.WebSocketException, ValueError) as error:
            raise ObsError(
                f"{self.where} is not OBS's WebSocket server: another program "
                "listens there; see OBS: Tools, WebSocket Server Settings",
                fatal=True,
            ) from error

    def _identify(self, password: str) -> None:
        """Answer the server's Hello; afterwards it takes requests."""
        greeted = False
        try:
            hello = self._receive(_Op.HELLO)
            greeted = True
            self._send(_Op.IDENTIFY, self._identification(hello, password))
            self._receive(_Op.IDENTIFIED)
        except (_Closed, websocket.WebSocketConnectionClosedException) as error:
            if isinstance(error, _Closed) and error.code == _WRONG_PASSWORD:
                raise self._password_error("wrong") from error
            raise (self._closed() if greeted else self._too_old()) from error
        except (TimeoutError, websocket.WebSocketTimeoutException) as error:
            raise (self._too_old() if self._speaks_4() else self._no_answer()) from error
        except (websocket.WebSocketException, ValueError, KeyError, TypeError) as error:
            raise self._too_old() from error
        except OSError as error:
            raise ObsError(_unreachable(self.where, error)) from error

    def _identification(self, hello: Message, password: str) -> Message:
        data: Message = {"rpcVersion": _RPC_VERSION, "eventSubscriptions": _EVENTS}
        if required := hello.get("authentication"):
            if not password:
                raise self._password_error("needed, and none was given")
            data["authentication"] = authentication(
                password, required["salt"], required["challenge"]
            )
        return data

    def _speaks_4(self) -> bool:
        """Whether a server that does not say Hello answers in protocol 4."""
        try:
            self._socket.settimeout(OLD_TIMEOUT)
            self._socket.send(json.dumps({"request-type": "GetVersion", "message-id": "1"}))
            return '"message-id"' in str(self._socket.recv())
        except (OSError, websocket.WebSocketException):
            return False

    # Messages.

    def _send(self, op: _Op, data: Message) -> None:
        self._socket.send(json.dumps({"op": op, "d": data}))

    def _receive(self, *expected: _Op) -> Message:
        """The data of the next message, which must be one of the expected ones.

        Raises _Closed when the server closes the connection, ValueError for any other message.
        """
        op, data = self._next_message()
        if op not in expected:
            raise ValueError(f"message {op}")
        return data

    def _next_message(self) -> tuple[int, Message]:
        """(operation, data) of the next message."""
        kind, content = self._socket.recv_data()
        if kind == websocket.ABNF.OPCODE_CLOSE:
            raise _Closed(int.from_bytes(content[:2], "big"))
        message = json.loads(content)
        op, data = message["op"], message["d"]
        if not isinstance(op, int) or not isinstance(data, dict):
            raise ValueError("not a message of protocol 5")
        return op, data

    def _receive_all(self, stop: threading.Event) -> None:
        """The receiving thread: hand out responses and events until the connection ends."""
        try:
            while not stop.is_set():
                with suppress(websocket.WebSocketTimeoutException):
                    self._dispatch(*self._next_message())
        except (_Closed, OSError, websocket.WebSocketException, ValueError, KeyError, TypeError):
            pass  # whoever waits is told so below
        finally:
            self._end()

    def _dispatch(self, op: int, data: Message) -> None:
        if op == _Op.EVENT and self._on_event is not None:
            self._on_event(data["eventType"], data.get("eventData") or {})
        elif op in (_Op.RESPONSE, _Op.BATCH_RESPONSE):
            with self._lock:
                waiting = self._waiting.pop(data["requestId"], None)
            if waiting is not None:  # else its time was up
                waiting.set_result(data)

    def _end(self) -> None:
        """Let go of everybody who waits for an answer."""
        with self._lock:
            self.dead.set()
            waiting, self._waiting = list(self._waiting.values()), {}
        for one in waiting:
            one.set_exception(self._closed())

    # Requests.

    def request(self, name: str, **data: Any) -> Message:
        """Ask OBS for something, and give its answer.

        Raises ObsError when OBS refuses, does not answer, or is gone.
        """
        return self._answer(name, self._ask(_Op.REQUEST, name, _request(name, data)))

    def batch(self, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> list[Message]:
        """Ask OBS for several things in one message, and give the answers in the same order.

        requests: (name, data) of each. Raises ObsError as `request` does, for the first request
        that OBS refuses; the others may have been carried out.
        """
        if not requests:
            return []
        names = [name for name, _ in requests]
        body = {"requests": [_request(name, data) for name, data in requests]}
        results = self._ask(_Op.BATCH, names[0], body)["results"]
        if len(results) != len(names):
            raise ObsError(f"OBS at {self.where} answered {len(results)} of {len(names)} requests")
        return [self._answer(name, one) for name, one in zip(names, results, strict=True)]

    def _ask(self, op: _Op, name: str, body: Message) -> Message:
        """Send a request or a batch, and wait for the response with its id."""
        number, waiting = str(next(self._numbers)), Future[Message]()
        with self._lock:
            if self.dead.is_set():
                raise self._closed()
            self._waiting[number] = waiting
        try:
            self._send(op, {"requestId": number, **body})
            return waiting.result(self.timeout)
        except (TimeoutError, websocket.WebSocketTimeoutException) as error:
            raise ObsError(f"OBS at {self.where} does not answer ({name})") from error
        except (OSError, websocket.WebSocketException) as error:
            raise self._closed() from error
        finally:
            with self._lock:
                self._waiting.pop(number, None)

    def _answer(self, name: str, response: Message) -> Message:
        """The data of a response. Raises ObsError where OBS has refused the request."""
        status = response["requestStatus"]
        if not status["result"]:
            code = int(status["code"])
            reason = str(status.get("comment") or f"code {code}").rstrip(".")
            raise ObsError(f"OBS refused {name}: {reason}", code=code)
        data: Message = response.get("responseData") or {}
        return data

    def close(self) -> None:
        """Disconnect; safe to call twice. An OBS that hangs is not waited for."""
        connection = self._socket.sock
        if connection is None:
            return
        with suppress(OSError, websocket.WebSocketException):
            self._socket.send_close()
        with suppress(OSError):
            # This wakes the receiving thread.
            connection.shutdown(socket.SHUT_RDWR)
        self._receiver.close()
        self._socket.shutdown()

    # What went wrong.

    def _closed(self) -> ObsError:
        return ObsError(f"OBS at {self.where} has closed the connection")

    def _no_answer(self) -> ObsError:
        return ObsError(
            f"OBS at {self.where} does not answer: it hangs or is still starting; "
            "look at its window, restart it if it is frozen"
        )

    def _too_old(self) -> ObsError:
        return ObsError(
            f"{self.where} does not speak obs-websocket 5: port 4444 belongs to the old plug-in; "
            "OBS 28 and newer have the new one, by default on port 4455",
            fatal=True,
        )

    def _password_error(self, problem: str) -> PasswordError:
        return PasswordError(
            f"OBS at {self.where}: the WebSocket password is {problem}; set OBS_PASSWORD or "
            "--obs-password-file (OBS: Tools, WebSocket Server Settings, Show Connect Info)",
            fatal=True,
        )


def _new_socket() -> Any:
    # The library has types for some of its functions only.
    return websocket.WebSocket()


def _request(name: str, data: Mapping[str, Any]) -> Message:
    return {"requestType": name, "requestData": dict(data)}


def _unreachable(where: Address, error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return (
            f"no OBS at {where}: it does not run, or its WebSocket server is off "
            "(OBS: Tools, WebSocket Server Settings, Enable)"
        )
    if isinstance(error, websocket.WebSocketAddressException):
        return f"no OBS at {where}: no machine of that name is known"
    return f"no OBS at {where} ({str(getattr(error, 'strerror', None) or error).lower()})"
