"""Signals that ask a program to stop, as an exception that lets it clean up first."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# How long cleaning up may take before a further Ctrl-C is taken for a new wish (seconds).
_PATIENCE = 10.0
# When a signal comes again that nothing heard (seconds).
_AGAIN = 0.05


class Stopped(BaseException):
    """A signal to stop, raised so that every `finally` runs."""

    def __init__(self, number: int) -> None:
        self.number = number


def told(stop: Stopped) -> int:
    """Print what stopped a run, in one line; gives the exit code it stands for."""
    name = signal.Signals(stop.number).name
    print(f"mattecast: stopped by {name}; nothing half-written was left", file=sys.stderr)
    return 128 + stop.number


@contextmanager
def stoppable(stops: list[int]) -> Iterator[None]:
    """Raise Stopped for a signal to stop, and let no other one soon after disturb the clean-up.
    Where Python would drop what is raised (weak references' callbacks, `__del__`), once more later.

    stops: the signals that were raised are added. One may stand inside another.
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

    def dropped(unraisable: sys.UnraisableHookArgs) -> None:
        nonlocal since
        if isinstance(unraisable.exc_value, Stopped):
            since = -_PATIENCE
            again = threading.Timer(_AGAIN, _signal, [unraisable.exc_value.number])
            again.daemon = True
            again.start()
        else:
            hook(unraisable)

    hook, sys.unraisablehook = sys.unraisablehook, dropped
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    except Stopped:
        before = [signal.SIG_IGN] * len(numbers)  # nothing but the exit is left
        raise
    finally:
        sys.unraisablehook = hook
        for number, handler in zip(numbers, before, strict=True):
            if signal.getsignal(number) is stop:  # else one inside has seen to it
                signal.signal(number, handler)


def _signal(number: int) -> None:
    """Signal the main thread, whatever it waits for."""
    if hasattr(signal, "pthread_kill") and (main := threading.main_thread().ident):
        signal.pthread_kill(main, number)
    else:  # Windows
        signal.raise_signal(number)
