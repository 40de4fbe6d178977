"""Controls of a running session: single keys of the terminal, and commands by the line."""

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
# What each key changes, and by how much.
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
    """Do what a key stands for, and give one line about it. Raises MattecastError as Session.do."""
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
    """Obey single keys while the block runs, where standard input is a terminal."""
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
                    return  # the terminal is closed
                for key in pressed:
                    _obey(partial(press, session, key), say)

        thread = threading.Thread(target=listen, name="keys", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(2)


@contextmanager
def _raw() -> Iterator[Callable[[float], Sequence[str]]]:
    """A function that reads single keys of the terminal while the block runs.

    It waits for keys up to the given number of seconds, and raises OSError when the terminal is
    closed.
    """
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
    changing, ended = threading.Lock(), threading.Event()

    def read(seconds: float) -> Sequence[str]:
        if not _in_foreground(number):
            time.sleep(seconds)
            return ""
        try:
            with changing:
                # The first read, or the first one after Ctrl-Z: the shell has reset the terminal.
                # A reader that comes late leaves the restored terminal alone.
                if not ended.is_set() and termios.tcgetattr(number)[3] & termios.ICANON:
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
        with changing, suppress(OSError, termios.error):
            ended.set()
            if _in_foreground(number):
                termios.tcsetattr(number, termios.TCSADRAIN, before)


def split(data: bytes) -> Sequence[str]:
    """The keys in the bytes that a terminal sent at once. An arrow and the like come as an escape
    character and letters; the letters are no keys then."""
    text = data.decode("utf-8", "replace")
    return [text] if text.startswith("\x1b") else text


def _in_foreground(number: int) -> bool:
    """Whether this process is in the terminal's foreground. The system stops a job in the
    background that reads the terminal."""
    try:
        return os.tcgetpgrp(number) == os.getpgrp()
    except OSError:
        return True  # this terminal has no job control


@contextmanager
def command_lines(session: Session, say: Callable[[str], None]) -> Iterator[None]:
    """Obey lines of standard input, such as 'background blur', or 'key +' for a key. The end of
    standard input ends the session."""

    def listen() -> None:
        for line in sys.stdin:
            name, _, value = line.strip().partition(" ")
            if name:
                act = partial(press, session) if name == "key" else partial(session.do, name)
                _obey(partial(act, value), say)
        session.quitting.set()

    # Nothing but the other side ends its read, so it is a daemon that nobody waits for.
    threading.Thread(target=listen, name="commands", daemon=True).start()
    yield


def _obey(act: Callable[[], str], say: Callable[[str], None]) -> None:
    try:
        say(act())
    except MattecastError as error:
        say(str(error))
