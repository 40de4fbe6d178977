"""The link to OBS: finds OBS, makes our source there, follows OBS's events, and reconnects."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from mattecast.live.obs.client import NOT_READY, Address, Client, ObsError
from mattecast.live.obs.media_source import (
    MediaSource,
    add_to_scene,
    current_scene,
    ensure_source,
    free_port,
    settings_for,
)
from mattecast.live.threads import Task, growing

# OBS answers before it takes requests; a large scene collection takes a while to load (seconds).
_READY = 15.0
# The first and the longest wait between two attempts to connect (seconds).
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 4.0
# The largest offset of sound that OBS takes (milliseconds).
_LARGEST_OFFSET = 20000
# How long OBS itself keeps a picture before it is shown, in the mean (frames of the canvas).
_OBS_FRAMES = 1.5

# An event of OBS: its name and its data.
Event = tuple[str, Mapping[str, Any]]


class Link:
    """A connection to OBS that is made again whenever it breaks.

    source: our source in OBS. password: is called for each connection. follow: whether the source
    is added to every scene that comes on air. state: what the link does, for people. scene: the
    scene that our source was last added to or found in.
    """

    def __init__(
        self,
        where: Address,
        source: MediaSource,
        password: Callable[[], str],
        *,
        follow: bool = False,
    ) -> None:
        self.where, self.source, self.scene = where, source, ""
        self.state = f"OBS at {where}: connecting"
        self._password, self._follow = password, follow
        self._port: int | None = None
        self._client: Client | None = None
        self._task = Task("obs", self._run)
        self._connected_once = False

    def start(self) -> None:
        """Start to look for OBS."""
        self._task.start()

    @property
    def failure(self) -> BaseException | None:
        """The error that waiting will not mend, such as a wrong password; or None."""
        return self._task.failure

    @property
    def connected(self) -> bool:
        """Whether OBS answers and has our source."""
        return self._client is not None and self._port is not None

    def address(self) -> tuple[str, int] | None:
        """(host, port) where our source listens; None before there is one."""
        return (self.where.host, self._port) if self._port else None

    def close(self) -> None:
        """Disconnect. The source stays in OBS, empty, and the next run finds it again."""
        self._task.close()

    def place_here(self) -> str:
        """Add the source to the scene that is on air; gives the scene's name."""
        client = self._connection()
        if self._port is None:  # the source was removed
            self._ensure(client)
        scene = current_scene(client)
        add_to_scene(client, scene, self.source.name)
        self._set_scene(scene)
        return scene

    def sync_audio(self, microphone: str, seconds: float) -> int:
        """Delay a microphone by the age of the pictures; gives the milliseconds set.

        seconds: the age of pictures when they are sent to OBS.
        """
        client = self._connection()
        video = client.request("GetVideoSettings")
        frame = video["fpsDenominator"] / video["fpsNumerator"]
        offset: int = min(_LARGEST_OFFSET, round(1000 * (seconds + _OBS_FRAMES * frame)))
        client.request("SetInputAudioSyncOffset", inputName=microphone, inputAudioSyncOffset=offset)
        return offset

    def listen_elsewhere(self) -> None:
        """Make the source listen on another port, because another program has taken its port."""
        client = self._connection()
        if self.where.local and self.source.port is None:
            self._port = free_port()
        assert self._port is not None
        client.request(
            "SetInputSettings",
            inputName=self.source.name,
            inputSettings=settings_for(self.source, self.where, self._port),
        )

    def _connection(self) -> Client:
        if self._client is None:
            raise ObsError(f"OBS is not connected ({self.state})")
        return self._client

    def _run(self, stop: threading.Event) -> None:
        waits = growing(_FIRST_WAIT, _LONGEST_WAIT)
        while not stop.is_set():
            try:
                self._serve(stop)
                waits = growing(_FIRST_WAIT, _LONGEST_WAIT)
            except ObsError as error:
                if error.fatal and not self._connected_once:
                    raise  # the session ends with this error
                self.state = str(error)
                stop.wait(next(waits))

    def _serve(self, stop: threading.Event) -> None:
        """Make a connection, and serve it until it ends."""
        # Events of an earlier connection speak of an OBS that is gone.
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        client = Client(self.where, self._password(), lambda *event: events.put(event))
        try:
            _wait_until_ready(client, stop)
            self._client = client
            self._ensure(client)
            self._connected_once = True
            while not stop.is_set() and not client.dead.is_set():
                self._handle_next(client, events, stop)
            if not stop.is_set():
                self.state = f"OBS at {self.where} has gone; waiting for it"
        finally:
            self._client = None
            client.close()

    def _ensure(self, client: Client) -> None:
        self._port, scene = ensure_source(client, self.source)
        self._set_scene(scene)

    def _set_scene(self, scene: str) -> None:
        self.scene = scene
        self.state = f"OBS at {self.where}: source '{self.source.name}' in scene '{scene}'"

    def _handle_next(
        self, client: Client, events: queue.SimpleQueue[Event], stop: threading.Event
    ) -> None:
        """Wait a little for an event, and handle it."""
        try:
            name, data = events.get(timeout=0.2)
        except queue.Empty:
            return
        ours = self.source.name
        if name == "CurrentProgramSceneChanged" and self._follow:
            add_to_scene(client, str(data["sceneName"]), ours)
            self._set_scene(str(data["sceneName"]))
        elif name == "CurrentSceneCollectionChanged":
            _wait_until_ready(client, stop)
            self._ensure(client)
        elif name == "InputNameChanged" and data.get("oldInputName") == ours:
            self.source = replace(self.source, name=str(data["inputName"]))
            self._set_scene(self.scene)
        elif name == "InputRemoved" and data.get("inputName") == ours:
            self._port = None
            self.state = f"source '{ours}' was removed in OBS; key o makes it again"


def _wait_until_ready(client: Client, stop: threading.Event) -> None:
    """Wait until OBS takes requests. Raises ObsError when it does not."""
    end = time.monotonic() + _READY
    while not stop.is_set():
        try:
            client.request("GetSceneList")
            return
        except ObsError as error:
            if error.code != NOT_READY or time.monotonic() > end:
                raise
            stop.wait(0.1)
