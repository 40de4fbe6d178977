"""Everything a run can be asked for, in one frozen object; flags have the same names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mattecast.errors import UsageError
from mattecast.media.formats import FORMATS, NAMES, PRORES_QUALITY

SOLVERS = (
    "closed-form",
    "knn",
    "random-walk",
    "learning-based",
    "shared",
    "bayesian",
    "global",
    "poisson",
)
TINT = 0.25  # of --blend poisson
SMOOTHING = ("off", "causal", "delayed", "two-way")
LIVE_SMOOTHING = SMOOTHING[:3]  # what waits for no more than one later picture
DESPILL = ("green", "blue", "auto")
# Name, least, most; pixels of the output, or percent of its area; network_size: of what it sees.
_RANGES = (
    ("choke", -100, 100),
    ("feather", 0, 100),
    ("gamma", 0.1, 10),
    ("threshold", 0, 1),
    ("min_island", 0, 50),
    ("min_hole", 0, 50),
    ("light_wrap", 0, 1),
    ("shadow", 0, 1),
    ("colour_match", 0, 1),
    ("network_size", 64, 4096),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to matte a clip.

    format: a name of mattecast.media.formats, guessed from the output's suffix when None.
    background: None or 'none' keeps alpha; 'green', '#rrggbb', 'blur[:strength]', or the path of a
        picture or video makes an opaque composite. H.264 and HEVC default to green.
    quality: ProRes quantiser, 'fast', 'high' or 'max'.
    premultiplied: multiply colours by alpha; None takes what the format's users expect.
    depth: bits of PNG (8, 16) or EXR (16 half, 32 float); None follows the source.
    range: first and last time wanted, as 'START..END' (seconds, [HH:]MM:SS.s, or HH:MM:SS:FF).
    size: 'WIDTHxHEIGHT', or a height as in '720p'. cfr: constant output rate.
    rate: frames a second of picture sequences read.
    whole_picture: keep the source's colours far outside the person too, instead of flat black.
    smooth: 'off', 'causal', 'delayed' or 'two-way', with ':STRENGTH' from 0 to 1.
    cuts: look for cuts, across which nothing is remembered.
    detail: 'medium' solves the edge's unknown band again from the picture that the network sees,
        'fine' then from the picture itself; 'fast' leaves the edge to the network, and takes no
        closer look at small pictures (engines.closer).
    refine: one of SOLVERS, of which the first five are PyMatting's, for stills and short clips.
    foreground: 'estimate' true colours under soft alpha, or keep the 'source' colours.
    despill: take a wall's light off the person's edge: 'green', 'blue' or 'auto', with ':STRENGTH'
        from 0 to 1.
    blend: 'over', or 'poisson[:TINT]' for a composite whose person takes on the background's light:
        all of it at 1, as the method has it, which blackens before a night who stood before a wall.
    choke, feather, gamma, threshold: changes of the edge, as filters.edges.EdgeAdjustment says.
    min_island, min_hole: smaller pieces go if faint, brief, or far from people as a shot begins;
        smaller holes if faint or brief; percent of the picture. min_island None: 2 in files, unless
        mattes were drawn by hand; 0 in live pictures, for it waits for the next.
    model, backend, device, precision, threads: which network runs, on what, how.
    fallback: when a GPU fails in mid-clip, go on with the CPU.
    gpu_video: decode, and encode H.264 and HEVC, on an NVIDIA GPU where one can.
    network_size: long side the network sees, 64 to 4096 pixels; None takes the model's own.
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
    smooth: str = "two-way"
    cuts: bool = True
    detail: str = "medium"
    refine: str | None = None
    foreground: str = "estimate"
    despill: str | None = None
    choke: float = 0.0
    feather: float = 0.0
    gamma: float = 1.0
    threshold: float | None = None
    min_island: float | None = None
    min_hole: float = 0.0
    light_wrap: float = 0.0
    shadow: float = 0.0
    colour_match: float = 0.0
    linear_light: bool = False
    blend: str = "over"
    guidance: str | None = None
    garbage: str | None = None
    keep: str | None = None
    plate: str | None = None
    person: str | None = None
    first_mask: str | None = None
    trimap: str | None = None
    model: str = "default"
    backend: str = "auto"
    device: str = "auto"
    fallback: bool = False
    gpu_video: bool = False
    precision: str = "auto"
    threads: int | None = None
    network_size: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        _among("format", self.format, (None, *NAMES))
        _among("quality", self.quality, tuple(PRORES_QUALITY))
        _among("depth", self.depth, (None, 8, 16, 32))
        _among("detail", self.detail, ("fast", "medium", "fine"))
        _among("refine", self.refine, (None, *SOLVERS))
        _among("foreground", self.foreground, ("estimate", "source"))
        self.tint()
        name, _, strength = self.smooth.partition(":")
        _among("smooth", name, SMOOTHING)
        _within("smooth strength", strength or 1, 0, 1)
        if self.despill is not None:
            name, _, strength = self.despill.partition(":")
            _among("despill", name, DESPILL)
            _within("despill strength", strength or 1, 0, 1)
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if value is not None:
                _within(name, value, least, most)
        for name in ("cfr", "rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1000:
                raise UsageError(f"{name}: {value} frames a second is out of range (0 to 1000)")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads: {self.threads} is not a positive number")

    def tint(self) -> float | None:
        """How much of the background's light 'poisson[:TINT]' puts on the person, 0 to 1; None for
        'over'."""
        name, colon, tint = self.blend.partition(":")
        _among("blend", name, ("over", "poisson"))
        if name == "over":
            if colon:
                raise UsageError(f"blend '{self.blend}': over takes no amount")
            return None
        _within("blend poisson tint", tint or TINT, 0, 1)
        return float(tint or TINT)

    def resolved_format(self, output: Path | None) -> str:
        """The format's name, guessed from the output where none was asked for."""
        from mattecast.media.formats import guess

        return self.format or guess(output)


def _within(name: str, value: float | str, least: float, most: float) -> None:
    try:
        good = least <= float(value) <= most
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"{name}: {value} is out of range ({least:g} to {most:g})")


def parse_rate(text: str) -> Fraction:
    """'25', '29.97', '24000/1001' or 'ntsc' style rates; 23.976, 29.97 and 59.94 are exact NTSC.

    Raises ValueError for anything else.
    """
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9}|/0*[1-9]\d{0,8})?", text, re.ASCII):
        raise ValueError(f"'{text}' is not a frame rate (25, 29.97, 24000/1001)")
    rate = Fraction(text)
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
    match = re.fullmatch(r"(?:(\d{1,5})x)?(\d{1,5})p?", text.lower(), re.ASCII)
    tall = int(match[2]) if match else 0
    wide = int(match[1]) if match and match[1] else max(2, round(width * tall / height / 2) * 2)
    if not all(16 <= side <= 16384 for side in (wide, tall)):
        raise UsageError(
            f"size '{text}': expected WIDTHxHEIGHT or a height such as 720p, sides 16 to 16384"
        )
    return wide, tall


def _among(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        known = ", ".join(str(one) for one in allowed if one is not None)
        raise UsageError(f"{name} '{value}' is not known: choose one of {known}")


__all__ = ["FORMATS", "Settings", "parse_rate", "parse_size"]
