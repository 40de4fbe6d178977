"""Where pictures go: each outlet on a thread of its own, taking the newest, hindering nobody."""

from __future__ import annotations

import os
import threading
from typing import Protocol

import av.error

from mattecast.live.governor import Window
from mattecast.live.picture import Picture, fitted
from mattecast.live.threads import Latest, Task, now

# How often a receiver that is not there is tried again (seconds).
_RETRY = 0.2


class Target(Protocol):
    """What an outlet writes to. Errors are OSError or libav's; after one, it is opened anew.

    one_size: whoever receives takes one size only: later ones are fitted into the first.
    """

    name: str
    one_size: bool

    def open(self, picture: Picture) -> None:
        """Connect, for pictures like this one."""
        ...

    def write(self, picture: Picture) -> None:
        """Send one picture, of the size it was opened for."""
        ...

    def close(self) -> None:
        """Disconnect; safe to call twice."""
        ...


class Gone(Exception):
    """The receiver will not come back: the reader of a pipe has closed it."""


class Outlet:
    """Sends the newest picture to a target, again and again connecting to it.

    state: one line for people. ages: seconds from capture until a picture was sent. stalls: how
    often a receiver was there and took nothing.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.state = ""
        self.ages, self.sent, self.stalls = Window(), 0, 0
        self.gone = threading.Event()
        self._slot: Latest[Picture] = Latest()
        self._task = Task(target.name, self._run)

    def start(self) -> None:
        """Begin sending."""
        self._task.start()

    @property
    def failure(self) -> BaseException | None:
        """What ended it, if anything did."""
        return self._task.failure

    @property
    def dropped(self) -> int:
        """Pictures that were replaced before they could be sent."""
        return self._slot.dropped

    def offer(self, picture: Picture) -> None:
        """Take a picture; never waits."""
        self._slot.put(picture)

    def close(self) -> None:
        """Stop sending; safe to call twice."""
        self._task.close()

    def _run(self, stop: threading.Event) -> None:
        opened: Picture | None = None
        try:
            while not stop.is_set():
                picture = self._slot.take(0.2)
                if picture is None:
                    continue
                try:
                    if opened is not None and self.target.one_size:
                        picture = fitted(picture, opened.size)
                    elif opened is not None and opened.size != picture.size:
                        self.target.close()
                        opened = None
                    if opened is None:
                        self.target.open(picture)
                        opened = picture
                    self._send(picture)
                except (av.error.FFmpegError, OSError, ValueError) as error:
                    self.stalls += opened is not None and isinstance(error, TimeoutError)
                    opened = None
                    self.target.close()
                    self.state = f"{self.target.name}: {_said(error)}"
                    stop.wait(_RETRY)
                except Gone as gone:
                    self.state = f"{self.target.name}: {gone}"
                    self.gone.set()
                    return
        finally:
            self.target.close()

    def _send(self, picture: Picture) -> None:
        self.target.write(picture)
        self.sent += 1
        self.ages.add(now(), now() - picture.time)
        self.state = f"{self.target.name}: live"


def _said(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there yet"
    return str(getattr(error, "strerror", None) or error).lower()


def lower_priority() -> None:
    """Let the calling thread, and those it starts, have what the live path leaves (Linux)."""
    if hasattr(os, "setpriority") and hasattr(threading, "get_native_id") and os.name == "posix":
        try:
            thread = threading.get_native_id()
            lowered = max(10, os.getpriority(os.PRIO_PROCESS, thread))
            os.setpriority(os.PRIO_PROCESS, thread, lowered)
        except OSError:
            return  # systems that know no priority of threads
