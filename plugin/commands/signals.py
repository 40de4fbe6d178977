"""Signals that ask a program to stop, as an exception that lets the program clean up first."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# A further signal counts again after this long (seconds): the clean-up is stuck then.
_PATIENCE = 10.0


class Stopped(BaseException):
    """A signal to stop, raised so that every `finally` runs. number: the signal's."""

    def __init__(self, number: int) -> None:
        self.number = number


def report_stop(stop: Stopped, *, streamed: bool = False) -> int:
    """Print one line about the signal that stopped the run; return the exit code for it.

    streamed: whether the output went to standard output, whose reader has what was written.
    """
    left = "" if streamed else "; nothing half-written was left"
    print(f"mattecast: stopped by {signal.Signals(stop.number).name}{left}", file=sys.stderr)
    return 128 + stop.number


@contextmanager
def stoppable(stops: list[int]) -> Iterator[None]:
    """Raise Stopped for a signal to stop; ignore further signals while the program cleans up.

    stops: the numbers of the signals are added to it. One `stoppable` may stand inside another.
    """
    # A signal that is ignored from the start (nohup, a shell's background jobs) stays ignored.
    numbers = [
        number
        for name in ("SIGINT", "SIGTERM", "SIGHUP")
        if (number := getattr(signal, name, None))
        and signal.getsignal(number) is not signal.SIG_IGN
    ]
    since = -_PATIENCE

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal since
        if time.monotonic() - since > _PATIENCE:
            since = time.monotonic()
            stops.append(number)
            raise Stopped(number)

    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    except Stopped:
        before = [signal.SIG_IGN] * len(numbers)  # nothing but the exit is left
        raise
    finally:
        for number, handler in zip(numbers, before, strict=True):
            # A handler that somebody inside has replaced stays as it is.
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)
