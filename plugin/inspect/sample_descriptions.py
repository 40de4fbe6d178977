"""The description of a QuickTime track's samples: an entry of `stsd` and the boxes inside it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

from mattecast.inspect.boxes import children


@dataclass(frozen=True)
class Colour:
    """A `colr` box: H.273 (primaries, transfer, matrix) of kind nclc or nclx, or an ICC profile."""

    kind: str
    codes: tuple[int, int, int] | None
    full_range: bool | None


@dataclass(frozen=True)
class Picture:
    """A video sample description: its entry and the boxes after it, None where absent."""

    width: int
    height: int
    depth: int  # 24 = opaque, 32 = with alpha
    colour: Colour | None
    fields: tuple[int, int] | None  # `fiel`: number of fields, order code
    aspect: Fraction | None  # `pasp`: width / height of a pixel
    aperture: tuple[int, ...] | None  # `clap`: eight integers as stored


@dataclass(frozen=True)
class Counter:
    """A `tmcd` sample description."""

    rate: Fraction  # frames a second
    base: int  # frames a nominal second
    drop: bool


def picture(entry: memoryview) -> Picture:
    """Read the sample description of a video track; ValueError where a box makes no sense."""
    width, height = struct.unpack_from(">HH", entry, 24)
    depth, palette = struct.unpack_from(">Hh", entry, 74)
    # Palette 0 means one is stored right here, in place of the boxes.
    extra = children(entry[78:]) if palette else {}
    first = {kind: payloads[0] for kind, payloads in extra.items()}
    return Picture(
        width,
        height,
        depth,
        colour=_colour(first["colr"]) if "colr" in first else None,
        fields=struct.unpack_from(">BB", first["fiel"]) if "fiel" in first else None,
        aspect=_aspect(first["pasp"]) if "pasp" in first else None,
        aperture=struct.unpack_from(">8i", first["clap"]) if "clap" in first else None,
    )


def _colour(colr: memoryview) -> Colour:
    kind = bytes(colr[:4]).decode("latin-1")
    if kind not in ("nclc", "nclx"):
        return Colour(kind, None, None)
    primaries, transfer, matrix = struct.unpack_from(">HHH", colr, 4)
    full = bool(colr[10] & 0x80) if kind == "nclx" and len(colr) > 10 else None
    return Colour(kind, (primaries, transfer, matrix), full)


def _aspect(pasp: memoryview) -> Fraction:
    across, down = struct.unpack_from(">II", pasp)
    if not across or not down:
        raise ValueError(f"'pasp' claims pixels of {across}:{down}")
    return Fraction(across, down)


def counter(entry: memoryview) -> Counter:
    """Read the sample description of a timecode track; ValueError for a rate of 0."""
    flags, scale, ticks, base = struct.unpack_from(">IIIB", entry, 12)
    if not (scale and ticks and base):
        raise ValueError("'tmcd' has a rate of 0")
    return Counter(Fraction(scale, ticks), base, bool(flags & 1))
