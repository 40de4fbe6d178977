"""The threads of a live session: a slot that holds the newest item only, and a thread that ends.

Stages of a recorded clip wait for the slowest one. Live stages must not, so a slow stage misses
items, the slot counts them, and no other stage waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
# How long `Task.close` waits for a thread to end (seconds).
PATIENCE = 8.0


class Latest(Generic[T]):
    """A slot for the newest item. One thread puts items in, another takes them out.

    dropped: how many items were replaced before they were taken.
    """

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._item: T | None = None
        self.dropped = 0

    def put(self, item: T) -> None:
        """Put an item in, in place of one that was not taken; never waits."""
        with self._ready:
            self.dropped += self._item is not None
            self._item = item
            self._ready.notify()

    @property
    def empty(self) -> bool:
        """Whether the item was taken, or none has come."""
        return self._item is None

    def take(self, timeout: float) -> T | None:
        """Wait up to `timeout` seconds for an item and take it; None when none came."""
        with self._ready:
            if self._item is None:
                self._ready.wait(timeout)
            item, self._item = self._item, None
            return item


class Task:
    """A thread that runs `work(stop)`, which shall return soon after `stop` is set.

    failure: the error that ended the work, for the main thread to raise; or None.
    """

    def __init__(self, name: str, work: Callable[[threading.Event], None]) -> None:
        self.name, self._work = name, work
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread. May be called once."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the work has begun and not ended."""
        return self._thread.is_alive()

    def close(self) -> bool:
        """Tell the work to stop and wait PATIENCE seconds for its end; safe to call twice.

        Gives whether the work has ended. What it uses must not be released before.
        """
        self._stop.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work(self._stop)
        except BaseException as error:
            self.failure = error


def growing(first: float = 0.5, most: float = 8.0) -> Iterator[float]:
    """Waits between attempts in seconds: each is twice the one before, up to `most`."""
    wait = first
    while True:
        yield wait
        wait = min(most, 2 * wait)


def now() -> float:
    """Seconds on the monotonic clock that times and ages of pictures are measured by."""
    return time.monotonic()
