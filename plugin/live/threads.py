"""The threads of live: a one-slot hand-over where the newest wins, and a thread that ends cleanly.

Recorded clips wait for the slowest stage; live may not. So a slow taker misses pictures and says
how many, and nobody ever waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
# How long a thread may take to notice that it shall end before it is left behind (seconds).
PATIENCE = 8.0


class Latest(Generic[T]):
    """Holds the newest item only. One thread puts, one takes."""

    def __init__(self) -> None:
        self._ready = threading.Condition()
        self._item: T | None = None
        self.dropped = 0

    def put(self, item: T) -> None:
        """Replace what was not taken yet; never waits."""
        with self._ready:
            self.dropped += self._item is not None
            self._item = item
            self._ready.notify()

    def take(self, timeout: float) -> T | None:
        """The newest item, as soon as there is one that was not taken; None after `timeout` s."""
        with self._ready:
            if self._item is None:
                self._ready.wait(timeout)
            item, self._item = self._item, None
            return item


class Task:
    """A thread that runs `work(stop)` until it returns or `stop` is set.

    failure: what it died of, for the main thread to say.
    """

    def __init__(self, name: str, work: Callable[[threading.Event], None]) -> None:
        self.name, self._work = name, work
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the work has begun and not ended."""
        return self._thread.is_alive()

    def close(self) -> bool:
        """Ask it to end and wait for that; gives whether it did. Safe to call twice."""
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
    """Waits between attempts in seconds, each twice the last, up to `most`."""
    wait = first
    while True:
        yield wait
        wait = min(most, 2 * wait)


def now() -> float:
    """Seconds on the clock that ages are counted by."""
    return time.monotonic()
