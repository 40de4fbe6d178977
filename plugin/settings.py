"""Everything a run can be asked for, in one frozen object; flags have the same names."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mattecast.errors import UsageError
from mattecast.formats import FORMATS, NAMES, PRORES_QUALITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to matte a clip.

    format: a name of mattecast.formats, guessed from the output's suffix when None.
    background: None or 'none' keeps alpha; 'green', '#rrggbb', 'blur[:strength]', or the path of a
        picture or video makes an opaque composite. H.264 and HEVC default to green.
    quality: ProRes quantiser, 'fast', 'high' or 'max'.
    premultiplied: multiply colours by alpha; None takes what the format's users expect.
    depth: bits of PNG (8, 16) or EXR (16 half, 32 float); None follows the source.
    range: first and last time wanted, as 'START..END' (seconds, [HH:]MM:SS.s, or HH:MM:SS:FF).
    size: 'WIDTHxHEIGHT', or a height as in '720p'. cfr: constant output rate.
    rate: frames a second of picture sequences read.
    whole_picture: keep the source's colours far outside the person too, instead of flat black.
    model, backend, precision, threads: which network runs, on what, how.
    network_size: long side the network sees, in pixels; None takes the model's own.
    overwrite: replace an existing output.
    """

    format: str | None = None
    background: str | None = None
    quality: str = "high"
    premultiplied: bool | None = None
    depth: int | None = None
    range: str | None = None
    size: str | None = None
    cfr: Fraction | None = None
    rate: Fraction | None = None
    audio: bool = True
    whole_picture: bool = False
    model: str = "default"
    backend: str = "auto"
    precision: str = "auto"
    threads: int | None = None
    network_size: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        _among("format", self.format, (None, *NAMES))
        _among("quality", self.quality, tuple(PRORES_QUALITY))
        _among("depth", self.depth, (None, 8, 16, 32))
        for name in ("cfr", "rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1000:
                raise UsageError(f"{name}: {value} frames a second is out of range (0 to 1000)")

    def resolved_format(self, output: Path | None) -> str:
        """The format's name, guessed from the output where none was asked for."""
        from mattecast.formats import guess

        return self.format or guess(output)


def parse_rate(text: str) -> Fraction:
    """'25', '29.97', '24000/1001' or 'ntsc' style rates; 23.976, 29.97 and 59.94 are exact NTSC.

    Raises ValueError for anything else.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"'{text}' is not a frame rate (25, 29.97, 24000/1001)") from error
    for nominal in (24, 30, 48, 60, 120):
        ntsc = Fraction(nominal * 1000, 1001)
        if "/" not in text and rate != nominal and abs(rate - ntsc) < Fraction(1, 100):
            return ntsc
    if not 0 < rate <= 1000:
        raise ValueError(f"'{text}' is not a frame rate between 0 and 1000")
    return rate


def parse_size(text: str, width: int, height: int) -> tuple[int, int]:
    """'1280x720', or '720p' (width follows the shape, even) for a source of width x height.

    Raises UsageError for text that is neither, and for sides outside 16 to 16384.
    """
    parts = text.lower().removesuffix("p").split("x")
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers = [max(2, round(width * numbers[0] / height / 2) * 2), numbers[0]]
    if len(numbers) != 2 or not all(16 <= side <= 16384 for side in numbers):
        raise UsageError(f"size '{text}': expected WIDTHxHEIGHT or a height such as 720p")
    return numbers[0], numbers[1]


def _among(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        known = ", ".join(str(one) for one in allowed if one is not None)
        raise UsageError(f"{name} '{value}' is not known: choose one of {known}")


__all__ = ["FORMATS", "Settings", "parse_rate", "parse_size"]
