"""One thing a check found, and the words findings share."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from av.video.reformatter import ColorPrimaries, ColorTrc

Level = Literal["ok", "note", "warning", "error"]
Codes = tuple[int, int, int]

# Stands in for the frame of audio that has none (PCM): that of AAC, in samples.
AUDIO_FRAME = 1024
# H.273 matrix codes; PyAV's own names for them follow the decoder's history instead.
MATRICES = {0: "RGB", 1: "BT709", 5: "BT470BG", 6: "SMPTE170M", 7: "SMPTE240M", 9: "BT2020_NCL"}


@dataclass(frozen=True)
class Finding:
    """One thing a clip says or does. An error breaks it in some host; a warning may.

    what: the subject in a word or two; detail: one sentence, with what to do where it helps.
    """

    level: Level
    what: str
    detail: str


def ok(what: str, detail: str) -> Finding:
    """A finding that is as it should be."""
    return Finding("ok", what, detail)


def note(what: str, detail: str) -> Finding:
    """A finding worth knowing that breaks nothing."""
    return Finding("note", what, detail)


def warning(what: str, detail: str) -> Finding:
    """A finding that some hosts will show wrongly."""
    return Finding("warning", what, detail)


def error(what: str, detail: str) -> Finding:
    """A finding that breaks the clip."""
    return Finding("error", what, detail)


def colour(codes: Codes) -> str:
    """H.273 (primaries, transfer, matrix) as '1-1-1 (BT709, BT709, BT709)'."""
    primaries, transfer, matrix = codes
    names = [
        next((each.name for each in ColorPrimaries if each.value == primaries), "unknown"),
        next((each.name for each in ColorTrc if each.value == transfer), "unknown"),
        MATRICES.get(matrix, "unknown"),
    ]
    named = ", ".join("unknown" if name == "UNSPECIFIED" else name for name in names)
    return f"{primaries}-{transfer}-{matrix} ({named})"


def rate(value: Fraction) -> str:
    """A frame rate exactly, and as people say it: '24000/1001 (23.976) frames/s'."""
    said = f" ({float(value):.3f})" if value.denominator > 1 else ""
    return f"{value}{said} frames/s"


def milliseconds(seconds: Fraction) -> str:
    """Signed, to a tenth: '+21.3 ms'."""
    return f"{float(seconds * 1000):+.1f} ms"


def sync(
    name: str,
    audio: tuple[Fraction, Fraction | None],
    video: tuple[Fraction, Fraction | None],
    frame: Fraction,
) -> Finding:
    """Audio held against video, each (start, end) in seconds; a warning beyond one audio frame."""
    begins = ends = audio[0] - video[0]
    text = f"{name} starts {milliseconds(begins)}"
    if audio[1] is not None and video[1] is not None:
        ends = audio[1] - video[1]
        text += f" and ends {milliseconds(ends)}"
    text += f" against the video (one audio frame: {float(frame * 1000):.1f} ms)"
    return (warning if max(abs(begins), abs(ends)) > frame else ok)("audio", text)
