"""OBS by its WebSocket (protocol 5): the link, and the media source that listens for us."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import websocket
from obswebsocket import obsws
from obswebsocket.core import RecvThread
from obswebsocket.exceptions import ConnectionFailure

from mattecast.errors import MattecastError

# The library logs its handshake, and warns of what is handled here.
logging.getLogger("obswebsocket").setLevel(logging.ERROR)

DEFAULT_PORT = 4455
CONNECT_TIMEOUT, CALL_TIMEOUT = 3.0, 4.0
# Where pictures go when OBS is on another machine, whose free ports cannot be asked for.
REMOTE_PORT = 9700
KIND = "ffmpeg_source"
_LOCAL = ("127.0.0.1", "localhost", "::1")
# Codes of obs-websocket's RequestStatus.
NOT_READY, NOT_FOUND = 207, 600


class ObsError(MattecastError):
    """OBS cannot be reached, or refuses. fatal: trying again will not help."""

    def __init__(self, text: str, *, fatal: bool = False, code: int = 0) -> None:
        super().__init__(text)
        self.fatal, self.code = fatal, code


class PasswordError(ObsError):
    """OBS wants a password, and not this one."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where OBS's WebSocket server is."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT

    @property
    def local(self) -> bool:
        """Whether OBS runs on this machine."""
        return self.host in _LOCAL

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """'host', 'host:port', ':port' or '' as an address; raises ValueError otherwise."""
    host, colon, port = text.rpartition(":") if ":" in text else (text, "", "")
    if colon and not (port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"'{text}' is not HOST:PORT")
    return Address(host or "127.0.0.1", int(port) if port else DEFAULT_PORT)


class _Receiver(RecvThread):  # type: ignore[misc]
    """The library's receiving thread, but quiet when OBS goes away."""

    def run(self) -> None:
        try:
            super().run()
        except (OSError, websocket.WebSocketException, RuntimeError):
            pass
        finally:
            self.core.lost()


class Client(obsws):  # type: ignore[misc]
    """A connection to OBS. Every wait ends: in an answer or in an ObsError.

    tell: is given the name and data of each event, on the receiving thread.
    """

    def __init__(
        self,
        where: Address,
        password: str = "",
        tell: Callable[[str, Mapping[str, Any]], None] | None = None,
    ) -> None:
        super().__init__(where.host, where.port, password, legacy=False, timeout=CALL_TIMEOUT)
        self.where = where
        self.dead = threading.Event()
        self._numbers = itertools.count(1)
        if tell:
            self.register(lambda event: tell(event.name, event.datain))
        try:
            self._connect()
        except BaseException:
            if self.ws is not None:
                self.ws.shutdown()
            raise

    def _connect(self) -> None:
        url_host = f"[{self.host}]" if ":" in self.host else self.host
        made: Any = websocket.WebSocket()
        self.ws = made
        try:
            made.connect(
                f"ws://{url_host}:{self.port}", timeout=CONNECT_TIMEOUT, suppress_origin=True
            )
        except (TimeoutError, websocket.WebSocketTimeoutException) as error:
            raise self._hangs() from error
        except (OSError, websocket.WebSocketAddressException) as error:
            raise ObsError(_unreachable(self.where, error)) from error
        except (websocket.WebSocketException, ValueError) as error:
            raise ObsError(
                f"{self.where} is not OBS's WebSocket server: another program "
                "listens there; see OBS: Tools, WebSocket Server Settings",
                fatal=True,
            ) from error
        self._identify()
        self.ws.settimeout(None)
        self.thread_recv = _Receiver(self)
        self.thread_recv.daemon = True
        self.thread_recv.start()

    def _identify(self) -> None:
        try:
            self._auth()
        except (ConnectionFailure, websocket.WebSocketConnectionClosedException) as error:
            if self.server_version is None:
                raise self._old() from error
            told = "wrong" if self.password else "needed, and none was given"
            raise PasswordError(
                f"OBS at {self.where}: the WebSocket password is {told}; set OBS_PASSWORD or "
                "--obs-password-file (OBS: Tools, WebSocket Server Settings, Show Connect Info)",
                fatal=True,
            ) from error
        except (TimeoutError, websocket.WebSocketTimeoutException) as error:
            raise (self._old() if self._speaks_4() else self._hangs()) from error
        except (websocket.WebSocketException, ValueError, KeyError) as error:
            raise self._old() from error
        except OSError as error:
            raise ObsError(_unreachable(self.where, error)) from error

    def _speaks_4(self) -> bool:
        """Whether a server that does not speak first, as protocol 5 has it, answers in 4."""
        try:
            self.ws.settimeout(1)
            self.ws.send(json.dumps({"request-type": "GetVersion", "message-id": "1"}))
            return '"message-id"' in str(self.ws.recv())
        except (OSError, websocket.WebSocketException):
            return False

    def _hangs(self) -> ObsError:
        return ObsError(
            f"OBS at {self.where} does not answer: it hangs or is still starting; "
            "look at its window, restart it if it is frozen"
        )

    def _old(self) -> ObsError:
        return ObsError(
            f"{self.where} does not speak obs-websocket 5: port 4444 belongs to the old plug-in; "
            "OBS 28 and newer have the new one, by default on port 4455",
            fatal=True,
        )

    def lost(self) -> None:
        """Whoever waits for an answer need not wait longer."""
        self.dead.set()
        for event in list(self.events.values()):
            event.set()

    def request(self, name: str, **data: Any) -> dict[str, Any]:
        """Ask OBS for something; its answer. Raises ObsError when it refuses or is gone."""
        if self.dead.is_set():
            raise ObsError(f"OBS at {self.where} has closed the connection")
        number = str(next(self._numbers))
        answered = self.events[number] = threading.Event()
        try:
            self.ws.send(
                json.dumps(
                    {"op": 6, "d": {"requestId": number, "requestType": name, "requestData": data}}
                )
            )
            answered.wait(self.timeout)
        except (OSError, websocket.WebSocketException) as error:
            raise ObsError(f"OBS at {self.where} has closed the connection") from error
        finally:
            self.events.pop(number, None)
        answer = self.answers.pop(number, None)
        if answer is None:
            gone = "has closed the connection" if self.dead.is_set() else "does not answer"
            raise ObsError(f"OBS at {self.where} {gone} ({name})")
        status = answer["requestStatus"]
        if not status["result"]:
            comment = status.get("comment", "").rstrip(".")
            raise ObsError(f"OBS refused {name}: {comment or status['code']}", code=status["code"])
        result: dict[str, Any] = answer.get("responseData") or {}
        return result

    def close(self) -> None:
        """Disconnect; safe to call twice. An OBS that hangs is not waited for."""
        receiver, connection = self.thread_recv, self.ws.sock
        if connection is None:
            return
        with suppress(OSError, websocket.WebSocketException):
            self.ws.send_close()
        if receiver is not None:
            receiver.running = False
            receiver.join(1)
        with suppress(OSError):
            # Whatever still reads from it is woken.
            connection.shutdown(socket.SHUT_RDWR)
        if receiver is not None:
            receiver.join(2)
        self.ws.shutdown()


def _unreachable(where: Address, error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return (
            f"no OBS at {where}: it does not run, or its WebSocket server is off "
            "(OBS: Tools, WebSocket Server Settings, Enable)"
        )
    if isinstance(error, websocket.WebSocketAddressException):
        return f"no OBS at {where}: no machine of that name is known"
    return f"no OBS at {where} ({str(getattr(error, 'strerror', None) or error).lower()})"


@dataclass(frozen=True, slots=True)
class SourceWish:
    """The source wanted in OBS. scene: None for the one that is current. linear: blend soft edges
    in linear light; otherwise as sRGB codes, which needs the item's blending method 'SRGB Off'.
    yuv: whether the coding is YUV."""

    name: str = "mattecast"
    scene: str | None = None
    linear: bool = True
    format: str = "nut"
    yuv: bool = False
    port: int | None = None


def settings_for(wish: SourceWish, where: Address, port: int) -> dict[str, Any]:
    """Settings of the media source: it listens, never gives up, and shows pictures on arrival."""
    listen = "127.0.0.1" if where.local else "0.0.0.0"
    return {
        "is_local_file": False,
        "input": f"tcp://{listen}:{port}?listen=1",
        "input_format": wish.format,
        "buffering_mb": 0,
        "reconnect_delay_sec": 1,
        "restart_on_activate": False,
        "close_when_inactive": False,
        "clear_on_media_end": True,
        "hw_decode": False,
        "color_range": 0 if wish.yuv else 2,
        "linear_alpha": wish.linear,
        "ffmpeg_options": "probesize=32 analyzeduration=0 fflags=nobuffer"
        if wish.format == "nut"
        else "fflags=nobuffer",
        # Kept by OBS, read by our OBS script, which can set what the WebSocket cannot.
        "mattecast_blend": "linear" if wish.linear else "srgb",
    }


def listening_port(settings: Mapping[str, Any]) -> int | None:
    """The port of a media source that listens for us; None for any other source."""
    found = str(settings.get("input", ""))
    before, _, port = found.removesuffix("?listen=1").rpartition(":")
    ours = before.startswith("tcp://") and found.endswith("?listen=1") and port.isdecimal()
    return int(port) if ours and not settings.get("is_local_file") else None


def free_port() -> int:
    """A port of this machine nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ensure_source(client: Client, wish: SourceWish) -> tuple[int, str]:
    """Make or adopt the source; gives (the port it listens on, the scene it is in).

    An adopted source keeps its place, size, crop and filters. Raises ObsError.
    """
    inputs = {one["inputName"]: one for one in client.request("GetInputList")["inputs"]}
    existing = inputs.get(wish.name)
    if existing is None:
        return _made(client, wish)
    if existing["inputKind"] != KIND:
        raise ObsError(
            f"OBS has a source '{wish.name}' already, a {existing['inputKind']}: "
            "--name gives ours another name",
            fatal=True,
        )
    settings = client.request("GetInputSettings", inputName=wish.name)["inputSettings"]
    port = listening_port(settings)
    if port is None and (settings.get("input") or settings.get("local_file")):
        raise ObsError(
            f"OBS has a media source '{wish.name}' already, which plays something "
            "else: --name gives ours another name",
            fatal=True,
        )
    port = wish.port or port or (free_port() if client.where.local else REMOTE_PORT)
    wanted = settings_for(wish, client.where, port)
    if any(settings.get(key) != value for key, value in wanted.items()):
        client.request("SetInputSettings", inputName=wish.name, inputSettings=wanted)
    return port, _shown_in(client, wish)


def _made(client: Client, wish: SourceWish) -> tuple[int, str]:
    scene = wish.scene or current_scene(client)
    port = wish.port or (free_port() if client.where.local else REMOTE_PORT)
    made = client.request(
        "CreateInput",
        sceneName=scene,
        inputName=wish.name,
        inputKind=KIND,
        inputSettings=settings_for(wish, client.where, port),
    )
    place(client, scene, made["sceneItemId"])
    return port, scene


def _shown_in(client: Client, wish: SourceWish) -> str:
    """The scene that shows the source; added to the wanted one, or where no scene has it."""
    scenes = [one["sceneName"] for one in client.request("GetSceneList")["scenes"]]
    found = [scene for scene in scenes if item_of(client, scene, wish.name) is not None]
    scene = wish.scene or (found[0] if found else current_scene(client))
    if scene not in found:
        add_to(client, scene, wish.name)
    return scene


def add_to(client: Client, scene: str, name: str) -> None:
    """Put the source into a scene that does not show it yet."""
    if item_of(client, scene, name) is None:
        made = client.request("CreateSceneItem", sceneName=scene, sourceName=name)
        place(client, scene, made["sceneItemId"])


def item_of(client: Client, scene: str, name: str) -> int | None:
    """The number of a source's item in a scene, groups looked into."""
    items = client.request("GetSceneItemList", sceneName=scene)["sceneItems"]
    for item in items:
        if item["sourceName"] == name:
            return int(item["sceneItemId"])
        if item.get("isGroup"):
            inside = client.request("GetGroupSceneItemList", sceneName=item["sourceName"])
            if any(one["sourceName"] == name for one in inside["sceneItems"]):
                return int(item["sceneItemId"])
    return None


def current_scene(client: Client) -> str:
    """The scene that is on air."""
    return str(client.request("GetCurrentProgramScene")["currentProgramSceneName"])


def place(client: Client, scene: str, item: int) -> None:
    """Fit a new item into the canvas, keeping its shape."""
    video = client.request("GetVideoSettings")
    client.request(
        "SetSceneItemTransform",
        sceneName=scene,
        sceneItemId=item,
        sceneItemTransform={
            "positionX": 0.0,
            "positionY": 0.0,
            "alignment": 5,
            "boundsType": "OBS_BOUNDS_SCALE_INNER",
            "boundsAlignment": 0,
            "boundsWidth": float(video["baseWidth"]),
            "boundsHeight": float(video["baseHeight"]),
        },
    )
