"""Keys of the terminal, and commands by the line, for a session that runs."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from mattecast.errors import MattecastError
from mattecast.live.session import Session

BACKGROUNDS = ("none", "blur", "green", "white", "black")
# Pixels or parts that one press of a key changes.
_STEPS: Mapping[str, tuple[str, float]] = {
    "+": ("choke", 0.5), "-": ("choke", -0.5), "f": ("feather", 0.5), "F": ("feather", -0.5),
    "g": ("gamma", 0.1), "G": ("gamma", -0.1),
}  # fmt: skip
HELP = ("keys: space on/off, b background, + - edge in and out, f F softer and harder, "
        "g G soft alpha up and down, s smoothing, o put into OBS's current scene, q quit")


def press(session: Session, key: str) -> str:
    """What a key does; gives one line. Raises MattecastError when it cannot."""
    settings = session.matting.wish.settings
    if key in _STEPS:
        name, step = _STEPS[key]
        return session.do(name, f"{getattr(settings, name) + step:g}")
    if key == "b":
        here = settings.background or "none"
        place = BACKGROUNDS.index(here) + 1 if here in BACKGROUNDS else 0
        return session.do("background", BACKGROUNDS[place % len(BACKGROUNDS)])
    if key == "s":
        return session.do("smooth", "off" if settings.smooth != "off" else "causal")
    named = {" ": "toggle", "o": "place", "q": "quit"}.get(key)
    return session.do(named) if named else HELP


@contextmanager
def keyboard(session: Session, say: Callable[[str], None]) -> Iterator[None]:
    """Heed single keys while the block runs, where standard input is a terminal."""
    if not sys.stdin or not sys.stdin.isatty():
        yield
        return
    stop = threading.Event()
    with _raw() as read:

        def listen() -> None:
            while not stop.is_set():
                if key := read(0.2):
                    _heed(partial(press, session, key), say)

        thread = threading.Thread(target=listen, name="keys", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(2)


@contextmanager
def _raw() -> Iterator[Callable[[float], str]]:
    """Single keys of the terminal: a function that waits some seconds for one."""
    if os.name == "nt":
        import msvcrt
        import time

        def read_windows(seconds: float) -> str:
            if not msvcrt.kbhit():  # type: ignore[attr-defined,unused-ignore]
                time.sleep(seconds)
                return ""
            return str(msvcrt.getwch())  # type: ignore[attr-defined,unused-ignore]

        yield read_windows
        return
    import select
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)

    def read(seconds: float) -> str:
        if not select.select([number], [], [], seconds)[0]:
            return ""
        return os.read(number, 1).decode("latin-1")

    tty.setcbreak(number)
    try:
        yield read
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


@contextmanager
def command_lines(session: Session, say: Callable[[str], None]) -> Iterator[None]:
    """Heed lines such as 'background blur', or 'key +' for a key, on standard input, whose end ends
    the session."""

    def listen() -> None:
        for line in sys.stdin:
            name, _, value = line.strip().partition(" ")
            if name:
                act = partial(press, session) if name == "key" else partial(session.do, name)
                _heed(partial(act, value), say)
        session.quitting.set()

    # It waits in a read that nothing ends but the other side: a daemon, left behind at the exit.
    threading.Thread(target=listen, name="commands", daemon=True).start()
    yield


def _heed(act: Callable[[], str], say: Callable[[str], None]) -> None:
    try:
        say(act())
    except MattecastError as error:
        say(str(error))
