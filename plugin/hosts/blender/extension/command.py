"""The command line of one piece of a clip, and what the program says while it runs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

# Formats of the panel: name, label, what it is. The first is the default.
FORMATS = (
    ("AUTO", "Automatic", "What every version of Blender shows rightly, 8 bit, lossless"),
    ("PRORES", "ProRes 4444", "10 to 12 bit, with the alpha that this version of Blender reads"),
    ("H264", "H.264", "Small, without alpha: needs a background"),
)
BACKGROUNDS = (
    ("NONE", "Transparent", "The person alone, with alpha"),
    ("COLOUR", "Colour", "The person over a colour"),
    ("FILE", "Picture or Movie", "The person over a picture or a looping movie"),
    ("BLUR", "Blur", "The person over the clip's own background, blurred"),
    ("BOKEH", "Bokeh", "The person over the clip's own background, out of focus"),
)
SMOOTHINGS = (
    ("two-way", "Two-Way", "Use frames on both sides: the steadiest"),
    ("delayed", "Delayed", "Use past frames and the next one"),
    ("causal", "Causal", "Use past frames"),
    ("off", "Off", "Each frame by itself"),
)
DETAILS = (
    ("fast", "Fast", "Edges as the network gives them"),
    ("medium", "Medium", "Edges solved again at the network's size"),
    ("fine", "Fine", "Edges solved once more at the picture's size: slower"),
)
# From 4.4 on, Blender takes the colours of deep movies for premultiplied ones.
PREMULTIPLIED_SINCE = (4, 4)
# Folder of the mattes, beside the clip.
FOLDER = "mattes"


class RequestError(Exception):
    """What was asked for cannot be done: one line for people."""


@dataclass(frozen=True, slots=True)
class Options:
    """The settings of the panel.

    colour: '#rrggbb'. choke, feather: pixels. strength: of smoothing, 0 to 1. more: further options
    of `mattecast matte`, as a shell takes them. folder: for mattes; '' for the one beside the clip.
    """

    format: str = "AUTO"
    background: str = "NONE"
    colour: str = "#00ff00"
    file: str = ""
    choke: float = 0.0
    feather: float = 0.0
    smoothing: str = "two-way"
    strength: float = 1.0
    detail: str = "medium"
    folder: str = ""
    more: str = ""

    @property
    def has_alpha(self) -> bool:
        """Whether the result has alpha."""
        return self.background == "NONE"


@dataclass(frozen=True, slots=True)
class Piece:
    """What is matted of a clip.

    source: a movie, a picture, or a pattern of numbered pictures (shot_%04d.png). rate: of the
    result, pictures a second; None keeps the clip's own. part: for `--range`; '' for the whole
    clip. track: of a movie with several, counted from 0.
    """

    source: Path
    rate: Fraction | None = None
    part: str = ""
    track: int = 0
    pictures: bool = False


def command(program: Path, piece: Piece, options: Options, blender: tuple[int, ...]) -> list[str]:
    """The command line. blender: the version of Blender. Raises RequestError."""
    # What begins with a dash would be an option; a full path never does.
    made = [
        str(program),
        "matte",
        str(piece.source),
        "--out-dir",
        str(folder(piece.source, options)),
    ]
    made += ["--reuse", "--json", "--progress", "json", "--no-audio"]
    made += _output(piece, options, blender)
    if piece.rate is not None:
        made += ["--rate" if piece.pictures else "--cfr", _text(piece.rate)]
    if piece.part:
        made += ["--range", piece.part]
    if piece.track:
        made += ["--track", str(piece.track + 1)]
    made += ["--background", _background(options)] if not options.has_alpha else []
    made += [f"--choke={options.choke:g}"] if options.choke else []
    made += ["--feather", f"{options.feather:g}"] if options.feather else []
    made += ["--smooth", _smoothing(options), "--detail", options.detail or "medium"]
    try:
        return made + shlex.split(options.more)
    except ValueError as error:
        raise RequestError(f"More Options: {str(error).lower()}") from error


def folder(source: Path, options: Options) -> Path:
    """Where the matte goes."""
    return Path(options.folder) if options.folder else source.parent / FOLDER


def premultiplied(options: Options, blender: tuple[int, ...]) -> bool:
    """Whether the colours of the movie are multiplied by alpha."""
    return options.format == "PRORES" and options.has_alpha and blender[:2] >= PREMULTIPLIED_SINCE


def _output(piece: Piece, options: Options, blender: tuple[int, ...]) -> list[str]:
    """Format and host."""
    if options.format == "H264" and options.has_alpha:
        raise RequestError("H.264 has no alpha: choose a background, or the format Automatic")
    if piece.pictures:
        return ["--for", "blender", "--format", "png"]
    if options.format == "H264":
        return ["--for", "blender", "--format", "h264"]
    if options.format == "PRORES":
        host = "blender-5" if premultiplied(options, blender) else "blender-4.2"
        return ["--for", host, "--format", "prores"]
    return ["--for", "blender"]


def _background(options: Options) -> str:
    if options.background == "FILE":
        if not options.file:
            raise RequestError("choose the picture or movie of the background")
        return options.file
    return options.colour if options.background == "COLOUR" else options.background.lower()


def _smoothing(options: Options) -> str:
    name = options.smoothing or "two-way"
    return name if name == "off" else f"{name}:{options.strength:g}"


def _text(rate: Fraction) -> str:
    return f"{rate.numerator}/{rate.denominator}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. total: None where the clip's length is unknown."""

    done: int
    total: int | None
    seconds_left: float | None
    limiting: str

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total else 0.0

    def __str__(self) -> str:
        counted = f"{self.done} of {self.total} frames" if self.total else f"{self.done} frames"
        left = self.seconds_left
        if left is None:
            return counted
        return f"{counted}, {round(left) // 60}:{round(left) % 60:02d} left"


def progress(line: str) -> Progress | None:
    """A line of progress; None for a message."""
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
        return Progress(
            int(fields["done"]),
            fields["total"],
            fields.get("seconds_left"),
            str(fields.get("limiting")),
        )
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run made. start: seconds from the clip's first frame to the output's first."""

    output: Path
    frames: int
    start: Fraction
    size: tuple[int, int]
    reused: bool
    notes: tuple[str, ...]


def summary(text: str) -> Summary:
    """What `--json` prints. Raises RequestError where that is something else."""
    try:
        (fields,) = json.loads(text)
        width, height = fields["size"]
        notes: Sequence[Any] = [*fields["losses"], *fields["notes"], *fields["damage"]]
        nobody = ("nobody was found in it",) if fields["nobody"] else ()
        return Summary(
            output=Path(fields["outputs"][0]),
            frames=int(fields["frames"]),
            start=Fraction(fields["start"]),
            size=(int(width), int(height)),
            reused=bool(fields["reused"]),
            notes=(*nobody, *map(str, notes)),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise RequestError("the program's summary is not understood: is it too new?") from error


def failure(code: int, messages: Sequence[str]) -> str:
    """Why a run failed, from its exit code and its messages: one line."""
    errors = [line for line in messages if line.startswith("mattecast: ")]
    reason = errors[-1].removeprefix("mattecast: ") if errors else ""
    if "unrecognized arguments" in reason:
        return f"{reason} (an older mattecast? Preferences, Add-ons, mattecast, Check)"
    last = messages[-1] if messages else "no message"
    return reason or f"mattecast ended with exit code {code}: {last}"
