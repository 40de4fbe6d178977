"""Answers the scripts inside Resolve: mattes the clips that they name, and says where mattes go."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

from mattecast.errors import MattecastError
from mattecast.hosts.resolve.exchange import Exchange, Preferences
from mattecast.hosts.resolve.request import Request
from mattecast.hosts.resolve.shots import Part, Shot, free_tracks, lies_there, parts, shots_of

# Seconds: between two looks for a request; between two at a run; until the answer is written again
# as a sign of life; until a program that was started for one request gives up.
_WATCH, _POLL, _SIGN, _ONE = 0.5, 0.1, 1.0, 20.0


class Cancelled(Exception):
    """The script asks to give up."""


class Failed(MattecastError):
    """A run of `mattecast matte` failed: its own line."""


@dataclass(frozen=True, slots=True)
class Matte:
    """A matte that was made. first: where it begins, in seconds from the clip's first frame."""

    path: Path
    first: Fraction
    rate: Fraction
    frames: int
    notes: tuple[str, ...]


def serve(exchange: Exchange, say: Callable[[str], None], *, once: bool = False) -> None:
    """Answer requests until a signal stops the program; or one request alone.

    say: prints a line. Raises OutputError where the folder cannot be written.
    """
    exchange.prepare()
    began = time.monotonic()
    while not once or time.monotonic() - began < _ONE:
        asked = exchange.take()
        if asked is None:
            time.sleep(_WATCH if not once else _POLL)
            continue
        _answer(exchange, asked, say)
        if once:
            return


def _answer(exchange: Exchange, asked: dict[str, Any], say: Callable[[str], None]) -> None:
    """Answer one request, whatever happens."""
    ticket = str(asked.get("ticket"))
    try:
        state, message, more = "done", *_done(exchange, ticket, asked, say)
    except Cancelled:
        state, message, more = "cancelled", "cancelled; the timeline is as it was", {}
    except MattecastError as error:
        state, message, more = "failed", str(error), {}
    except Exception as error:  # a mistake of ours with one request keeps no other from its answer
        wrong = f"{type(error).__name__}: {error}"
        state, message, more = "failed", f"this should not happen: {wrong}; please report it", {}
    except BaseException:
        exchange.answer(ticket, "failed", "the program was stopped; the timeline is as it was")
        raise
    exchange.answer(ticket, state, message, **more)
    for line in (*more.get("lines", ()), message):
        say(line)


def _done(
    exchange: Exchange, ticket: str, asked: dict[str, Any], say: Callable[[str], None]
) -> tuple[str, dict[str, Any]]:
    """The message for a request, its lines and the places of its mattes."""
    exchange.answer(ticket, "working", "looking at the clips")
    request, preferences = Request.of(asked), exchange.preferences()
    shots, lines = shots_of(request)
    made = []
    runs = parts(shots, preferences.handles)
    for number, part in enumerate(runs, 1):
        name = part.shots[0].piece.name
        say(title := f"{number} of {len(runs)}: {name}")
        try:
            matte = _matted(exchange, ticket, part, preferences, title)
            made += [(shot, matte) for shot in part.shots]
        except Failed as error:
            lines.append(f"{name}: {error}")
    more = _answered(request, made, preferences)
    laid, kept = len(more["places"]), len(made) - len(more["places"])
    count = f"{laid} {'matte' if laid == 1 else 'mattes'}" if laid else "nothing"
    message = f"laid {count}" + (f"; {kept} lay there already" if kept else "")
    return message, {**more, "lines": lines + more["lines"]}


def _answered(
    request: Request, made: list[tuple[Shot, Matte]], preferences: Preferences
) -> dict[str, Any]:
    """Where the script lays mattes that lie nowhere yet, and what is odd in them."""
    wanted = [each for each in made if not lies_there(request, each[0].piece, each[1].path)]
    tracks = free_tracks(request, [shot for shot, _ in wanted])
    places = [
        _place(shot, matte, tracks[shot.piece.track], request.rate, preferences)
        for shot, matte in wanted
    ]
    lines = [f"{shot.piece.name}: {note}" for shot, matte in wanted for note in matte.notes]
    return {"lines": lines, "places": places}


def _place(
    shot: Shot, matte: Matte, track: int, rate: Fraction, preferences: Preferences
) -> dict[str, Any]:
    """Where the script lays a matte. first, last: frames of the matte; last is not part of it."""
    piece = shot.piece
    first = (shot.first - matte.first) * matte.rate
    last = first + piece.length / rate * matte.rate
    return {
        "clip": piece.number,
        "path": str(matte.path),
        "first": _number(first),
        "last": _number(last),
        "record": piece.start,
        "length": piece.length,
        "track": track,
        "alpha": "Premultiplied" if "--premultiplied" in preferences.matte else "Straight",
        "colour": preferences.colour,
    }


def _number(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)


def _command(part: Part, preferences: Preferences) -> list[str]:
    """The command line that mattes a part of a clip."""
    source = part.shots[0].source
    # pythonw.exe, which was started so that no window opens, has nothing that a program can read.
    python = Path(sys.executable)
    python = python.with_name("python.exe") if python.name == "pythonw.exe" else python
    made = [str(python), "-m", "mattecast", "matte", str(source), "--reuse", "--json"]
    made += ["--progress", "json", "--for", "resolve", "--no-audio"]
    made += ["--out-dir", str(source.parent / preferences.folder)]
    if preferences.handles is not None:
        made += ["--range", f"{part.start}..{part.end}", "--handles", str(preferences.handles)]
    return made + list(preferences.matte)


def _matted(
    exchange: Exchange, ticket: str, part: Part, preferences: Preferences, title: str
) -> Matte:
    """Run `mattecast matte`. Raises Failed with its line, Cancelled when the script asks so."""
    with (
        tempfile.TemporaryDirectory() as folder,
        _run(_command(part, preferences), Path(folder)) as run,
        open(Path(folder) / "err", "rb") as printed,
    ):
        watch = _Watch(exchange, ticket, title)
        while run.poll() is None:
            watch.look(printed)
            if exchange.cancelled(ticket):
                raise Cancelled
            time.sleep(_POLL)
        watch.look(printed)
        if run.returncode:
            raise Failed(watch.last or f"mattecast ended with code {run.returncode}")
        return _matte(json.loads((Path(folder) / "out").read_bytes()), part)


@contextmanager
def _run(command: list[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that prints into the files out and err of a folder; it ends with the block."""
    hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
        run = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, creationflags=hidden
        )
    try:
        yield run
    finally:
        if run.poll() is None:
            run.terminate()
        run.wait()


class _Watch:
    """Reads what a run prints and tells the script."""

    def __init__(self, exchange: Exchange, ticket: str, title: str) -> None:
        self._exchange, self._ticket, self._title = exchange, ticket, title
        self._message, self._answered, self._rest = title, 0.0, b""
        self.last = ""  # the newest line that is no progress: of an error

    def look(self, printed: IO[bytes]) -> None:
        """Read what is new; write the answer where it is due."""
        *lines, self._rest = (self._rest + printed.read()).split(b"\n")
        for line in lines:
            self._read(line.decode("utf-8", "replace").strip())
        if time.monotonic() - self._answered >= _SIGN:
            self._answered = time.monotonic()
            self._exchange.answer(self._ticket, "working", self._message)

    def _read(self, line: str) -> None:
        try:
            self._message = f"{self._title}: {_standing(json.loads(line))}"
        except (ValueError, KeyError, TypeError):
            self.last = line.removeprefix("mattecast: ") or self.last


def _standing(progress: dict[str, Any]) -> str:
    """'120 of 300 frames, 12.3 a second, 0:15 left'."""
    total, left = progress["total"], progress["seconds_left"]
    counted = f"{progress['done']} of {total} frames" if total else f"{progress['done']} frames"
    ahead = f", {int(left) // 60}:{int(left) % 60:02d} left" if left is not None else ""
    return f"{counted}, {progress['fps']:.1f} a second{ahead}"


def _matte(summaries: list[dict[str, Any]], part: Part) -> Matte:
    """The matte that a run made, which must hold all that the items show."""
    summary = summaries[0]
    first, rate = Fraction(summary["start"]), Fraction(summary["rate"])
    path = Path(summary["outputs"][0]).absolute()
    if not path.is_file():
        raise Failed(f"{path} is a folder; settings.toml names a format of pictures")
    if first > part.start or first + (summary["frames"] + 1) / rate < part.end:
        raise Failed(f"{path} does not hold all that the timeline shows")
    notes = ("nobody was found in it",) if summary["nobody"] else ()
    return Matte(path, first, rate, summary["frames"], notes)
