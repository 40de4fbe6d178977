"""An outlet sends the newest picture to a target, on a thread of its own."""

from __future__ import annotations

import os
import threading
from typing import Protocol

import av.error

from mattecast.live.governor import Window
from mattecast.live.picture import Picture, fitted
from mattecast.live.threads import Latest, Task, now

# How often an outlet tries to reach a receiver that is not there (seconds).
_RETRY = 0.2


class Target(Protocol):
    """What an outlet writes to: a socket, a pipe, or a virtual camera.

    A target has no thread; an Outlet opens it, writes to it, and opens it anew after an error
    (OSError, ValueError or libav's).

    one_size: whether the receiver takes pictures of one size only. The outlet then fits later
    pictures into the size of the first.
    """

    name: str
    one_size: bool

    def open(self, picture: Picture) -> None:
        """Connect, for pictures of this picture's size. Raises Gone where that is impossible."""
        ...

    def write(self, picture: Picture) -> None:
        """Send one picture, of the size the target was opened for."""
        ...

    def close(self) -> None:
        """Disconnect; safe to call twice."""
        ...


class Gone(Exception):
    """The receiver will not come back, for instance the reader of a pipe that has closed it."""


class Outlet:
    """A Sink that sends the newest picture to a target, and connects to it again and again.

    state: what it does, for people. stalls: how often a receiver was there and took nothing.
    The other attributes are those of a Sink.
    """

    progress, result, incomplete = "", "", False

    def __init__(self, target: Target) -> None:
        self.target = target
        self.state = ""
        self.ages, self.sent, self.stalls = Window(), 0, 0
        self.gone = threading.Event()
        self._slot: Latest[Picture] = Latest()
        self._task = Task(target.name, self._run)

    def start(self) -> None:
        """Start to send."""
        self._task.start()

    @property
    def failure(self) -> BaseException | None:
        """The error that ended the thread, or None."""
        return self._task.failure

    @property
    def dropped(self) -> int:
        """How many pictures were replaced before they could be sent."""
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
                    self.state = f"{self.target.name}: {_reason(error)}"
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


def _reason(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there yet"
    return str(getattr(error, "strerror", None) or error).lower()


def lower_priority() -> None:
    """Lower the priority of the calling thread, and of those it starts, so that the threads of the
    live picture come first. On Linux only: other systems know no priority of threads."""
    if hasattr(os, "setpriority") and hasattr(threading, "get_native_id") and os.name == "posix":
        try:
            thread = threading.get_native_id()
            lowered = max(10, os.getpriority(os.PRIO_PROCESS, thread))
            os.setpriority(os.PRIO_PROCESS, thread, lowered)
        except OSError:
            return
