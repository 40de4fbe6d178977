"""The governor: chooses the size of the network that keeps pictures as young as wanted."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

# Long sides of the network in pixels, large to small; each costs about a quarter less time.
LADDER = (512, 480, 384, 320, 256, 192)
# How long pictures must be too old, or young enough, before the size changes (seconds): a single
# slow frame is no reason to change it.
DOWN_AFTER, UP_AFTER = 2.0, 10.0
# The wait before a step up doubles after a step that was taken back, up to this (seconds).
UP_AT_MOST = 300.0
# Parts of the time between two frames: what a stage may take before frames are lost, and what it
# is expected to take at most at the next larger size for that size to be tried.
FULL, ROOM = 0.97, 0.75


class Window:
    """Numbers of the last few seconds. Any thread may add, and any may read."""

    def __init__(self, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._held: deque[tuple[float, float]] = deque()
        self._lock = threading.Lock()

    def add(self, now: float, value: float) -> None:
        """Add a value that belongs to a time (seconds)."""
        with self._lock:
            self._held.append((now, value))
            self._forget(now)

    def values(self, now: float) -> list[float]:
        """The values of the last seconds."""
        with self._lock:
            self._forget(now)
            return [value for _, value in self._held]

    def rate(self, now: float) -> float:
        """Values per second."""
        with self._lock:
            self._forget(now)
            if len(self._held) < 2:
                return 0.0
            return (len(self._held) - 1) / max(1e-6, self._held[-1][0] - self._held[0][0])

    def clear(self) -> None:
        """Forget all values."""
        with self._lock:
            self._held.clear()

    def _forget(self, now: float) -> None:
        while self._held and self._held[0][0] < now - self._seconds:
            self._held.popleft()


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which `part` (0 to 1) of them lie; 0.0 for none."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass(slots=True)
class Governor:
    """Chooses the network's size: a smaller one when the network is too slow, a larger one when
    there is time for it, with hysteresis between the two. It has no clock: callers pass the time.

    budget: the age in seconds that pictures may have when they are sent. sizes: long sides to
    choose from, large to small. place: the index of the one in use. every: 1 when each frame is
    matted, 2 when each second one is: at the smallest size, half the frames on time are better
    than all of them late. patience: seconds before a step up.
    """

    budget: float
    sizes: Sequence[int]
    place: int = 0
    every: int = 1
    patience: float = UP_AFTER
    _slow_since: float | None = None
    _easy_since: float | None = None
    _raised: float = field(default=float("-inf"))
    _reason: str = ""

    @property
    def size(self) -> int:
        """The long side in use."""
        return self.sizes[self.place]

    @property
    def reason(self) -> str:
        """Why the size was changed last; '' before it was ever changed."""
        return self._reason

    def judge(self, now: float, age: float, busy: float, interval: float) -> bool:
        """Choose the size anew; gives whether it has changed.

        age: the 95th percentile of pictures' ages when they were sent, in seconds. busy: seconds
        that the network's thread works on a frame. interval: seconds between two frames.
        """
        interval *= self.every
        slow = age > self.budget or busy > FULL * interval
        self._slow_since = _since(self._slow_since, now) if slow else None
        easy = self._would_fit(age, busy, interval)
        self._easy_since = _since(self._easy_since, now) if easy else None
        if self._slow_since is not None and now - self._slow_since >= DOWN_AFTER:
            return self._down(now, age, busy, interval)
        if self._easy_since is not None and now - self._easy_since >= self.patience:
            return self._up(now)
        return False

    def _would_fit(self, age: float, busy: float, interval: float) -> bool:
        if self.every > 1:
            # All frames again: no more work for each, in half the time.
            return busy < ROOM * interval / self.every and age < ROOM * self.budget
        if self.place == 0:
            return False
        more = busy * ((self.sizes[self.place - 1] / self.size) ** 2 - 1)
        return busy + more < ROOM * interval and age + more < ROOM * self.budget

    def _down(self, now: float, age: float, busy: float, interval: float) -> bool:
        self._slow_since = now
        smallest = self.place + 1 >= len(self.sizes)
        if smallest and self.every > 1:
            return False
        if smallest and busy < ROOM * interval:
            # Pictures are late though the thread is idle for a part of the time: fewer pictures
            # would be as late.
            self._reason = (
                f"pictures get older than the {1000 * self.budget:.0f} ms aimed at, "
                "even at the network's smallest size"
            )
            return False
        if now - self._raised < 6 * UP_AFTER:
            self.patience = min(UP_AT_MOST, 2 * self.patience)
        why = (
            f"pictures were {1000 * age:.0f} ms old"
            if age > self.budget
            else f"it took {1000 * busy:.0f} of {1000 * interval:.0f} ms a frame"
        )
        if not smallest:
            before = self.size
            self.place += 1
            # A size that is too slow by its number of pixels is not tried.
            while (
                self.place + 1 < len(self.sizes)
                and busy * (self.size / before) ** 2 > FULL * interval
            ):
                self.place += 1
            self._reason = f"network lowered to {self.size}: {why}"
        else:
            self.every = 2
            self._reason = f"every second frame is left out: {why}"
        return True

    def _up(self, now: float) -> bool:
        self._raised, self._easy_since = now, None
        if self.every > 1:
            self.every = 1
            self._reason = "every frame again: there was time for it"
        else:
            self.place -= 1
            self._reason = f"network raised to {self.size}: there was time for it"
        return True


def _since(before: float | None, now: float) -> float:
    return now if before is None else before
