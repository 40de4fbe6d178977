"""Keys of the terminal, and commands by the line, for a session that runs."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial

from mattecast.errors import MattecastError
from mattecast.live.session import Session

BACKGROUNDS = ("none", "blur", "green", "white", "black")
# Pixels or parts that one press of a key changes.
_STEPS: Mapping[str, tuple[str, float]] = {
    "+": ("choke", 0.5),
    "-": ("choke", -0.5),
    "f": ("feather", 0.5),
    "F": ("feather", -0.5),
    "g": ("gamma", 0.1),
    "G": ("gamma", -0.1),
}
HELP = (
    "keys: space on/off, b background, + - edge in and out, f F softer and harder, "
    "g G soft alpha up and down, s smoothing, o put into OBS's current scene, q quit"
)


def press(session: Session, key: str) -> str:
    """What a key does; gives one line. Raises MattecastError when it cannot."""
    settings = session.matting.controls.settings
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
                try:
                    pressed = read(0.2)
                except OSError:
                    return  # the terminal has gone
                for key in pressed:
                    _heed(partial(press, session, key), say)

        thread = threading.Thread(target=listen, name="keys", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(2)


@contextmanager
def _raw() -> Iterator[Callable[[float], Sequence[str]]]:
    """Single keys of the terminal: a function that waits some seconds for them, and raises OSError
    when the terminal has gone."""
    if os.name == "nt":
        import msvcrt

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

    def read(seconds: float) -> Sequence[str]:
        if not _in_front(number):
            time.sleep(seconds)
            return ""
        try:
            if termios.tcgetattr(number)[3] & termios.ICANON:
                # It begins, or was stopped by Ctrl-Z: a shell then sets its own ways.
                tty.setcbreak(number)
        except termios.error as error:
            raise OSError(*error.args) from error
        if not select.select([number], [], [], seconds)[0]:
            return ""
        data = os.read(number, 64)
        if not data:
            raise OSError("end of the terminal")
        return split(data)

    try:
        yield read
    finally:
        with suppress(OSError, termios.error):
            if _in_front(number):
                termios.tcsetattr(number, termios.TCSADRAIN, before)


def split(data: bytes) -> Sequence[str]:
    """The keys in what a terminal sent at once. One that is no character, such as an arrow, comes
    as an escape and others, which are no keys of their own."""
    text = data.decode("utf-8", "replace")
    return [text] if text.startswith("\x1b") else text


def _in_front(number: int) -> bool:
    """Whether the terminal is ours: a job in the background that touches it is stopped."""
    try:
        return os.tcgetpgrp(number) == os.getpgrp()
    except OSError:
        return True  # a terminal without jobs


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
