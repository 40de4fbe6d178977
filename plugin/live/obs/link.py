"""Keeping in touch with OBS: finds it, sees to our source, follows what happens, comes back."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mattecast.live.obs.client import (
    NOT_READY,
    Address,
    Client,
    ObsError,
    SourceWish,
    add_to,
    current_scene,
    ensure_source,
    free_port,
    settings_for,
)
from mattecast.live.threads import Task, growing

# OBS answers before it is ready to be asked anything; a large collection takes a while (seconds).
_READY = 15.0
# Furthest that OBS lets sound be moved (milliseconds).
_SYNC_MOST = 20000
# Of a canvas frame: how long OBS itself keeps a picture before it is shown, in the mean.
_OBS_FRAMES = 1.5


class Link:
    """A connection to OBS that is made again whenever it breaks. state: one line for people.

    password: asked for at each connection. follow: put the source into every scene that comes on
    air.
    """

    def __init__(
        self, where: Address, wish: SourceWish, password: Callable[[], str], *, follow: bool = False
    ) -> None:
        self.where, self.wish, self.scene = where, wish, ""
        self.state = f"OBS at {where}: connecting"
        self._password, self._follow = password, follow
        self._port: int | None = None
        self._client: Client | None = None
        self._events: queue.SimpleQueue[tuple[str, Mapping[str, Any]]] = queue.SimpleQueue()
        self._task = Task("obs", self._run)
        self._ever = False

    def start(self) -> None:
        """Begin looking for OBS."""
        self._task.start()

    @property
    def failure(self) -> BaseException | None:
        """Why it has given up: only for what will not change by waiting."""
        return self._task.failure

    @property
    def connected(self) -> bool:
        """Whether OBS answers and has our source."""
        return self._client is not None and self._port is not None

    def address(self) -> tuple[str, int] | None:
        """Where pictures are to be sent; None before the source is there."""
        return (self.where.host, self._port) if self._port else None

    def close(self) -> None:
        """Disconnect; the source stays in OBS, empty, and is found again by the next run."""
        self._task.close()

    def place_here(self) -> str:
        """Put the source into the scene that is on air; gives its name."""
        client = self._living()
        if self._port is None:  # it was removed
            self._ensure(client)
        scene = current_scene(client)
        add_to(client, scene, self.wish.name)
        self._came_to(scene)
        return scene

    def sync_audio(self, microphone: str, seconds: float) -> int:
        """Delay a microphone by what pictures take; gives the milliseconds set."""
        client = self._living()
        video = client.request("GetVideoSettings")
        frame = video["fpsDenominator"] / video["fpsNumerator"]
        offset: int = min(_SYNC_MOST, round(1000 * (seconds + _OBS_FRAMES * frame)))
        client.request("SetInputAudioSyncOffset", inputName=microphone, inputAudioSyncOffset=offset)
        return offset

    def listen_elsewhere(self) -> None:
        """Have the source listen on another port: somebody else has taken the one it had."""
        client = self._living()
        if self.where.local and self.wish.port is None:
            self._port = free_port()
        assert self._port is not None
        client.request(
            "SetInputSettings",
            inputName=self.wish.name,
            inputSettings=settings_for(self.wish, self.where, self._port),
        )

    def _living(self) -> Client:
        if self._client is None:
            raise ObsError(f"OBS is not connected ({self.state})")
        return self._client

    def _run(self, stop: threading.Event) -> None:
        waits = growing(0.5, 4.0)
        while not stop.is_set():
            try:
                self._serve(stop)
                waits = growing(0.5, 4.0)
            except ObsError as error:
                if error.fatal and not self._ever:
                    raise  # it is said as what ended the run
                self.state = str(error)
                stop.wait(next(waits))

    def _serve(self, stop: threading.Event) -> None:
        """One connection, from its making to its end."""
        client = Client(self.where, self._password(), lambda *event: self._events.put(event))
        try:
            self._client = _ready(client, stop)
            self._ensure(client)
            self._ever = True
            while not stop.is_set() and not client.dead.is_set():
                self._heed(client)
            if not stop.is_set():
                self.state = f"OBS at {self.where} has gone; waiting for it"
        finally:
            self._client = None
            client.close()

    def _ensure(self, client: Client) -> None:
        self._port, scene = ensure_source(client, self.wish)
        self._came_to(scene)

    def _came_to(self, scene: str) -> None:
        self.scene = scene
        self.state = f"OBS at {self.where}: source '{self.wish.name}' in scene '{scene}'"

    def _heed(self, client: Client) -> None:
        """Wait a little for an event, and do what it asks for."""
        try:
            name, data = self._events.get(timeout=0.2)
        except queue.Empty:
            return
        ours = self.wish.name
        if name == "CurrentProgramSceneChanged" and self._follow:
            add_to(client, str(data["sceneName"]), ours)
            self._came_to(str(data["sceneName"]))
        elif name == "CurrentSceneCollectionChanged":
            self._ensure(_ready(client, threading.Event()))
        elif name == "InputNameChanged" and data.get("oldInputName") == ours:
            self.wish = replace(self.wish, name=str(data["inputName"]))
            self._came_to(self.scene)
        elif name == "InputRemoved" and data.get("inputName") == ours:
            self._port = None
            self.state = f"source '{ours}' was removed in OBS; key o makes it again"


def _ready(client: Client, stop: threading.Event) -> Client:
    """The client, once OBS takes requests."""
    end = time.monotonic() + _READY
    while not stop.is_set():
        try:
            client.request("GetSceneList")
            return client
        except ObsError as error:
            if error.code != NOT_READY or time.monotonic() > end:
                raise
            stop.wait(0.1)
    return client
