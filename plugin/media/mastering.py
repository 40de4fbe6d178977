"""The screen that an HDR clip was mastered on, and how bright its pictures get."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.sidedata.sidedata import Type

# Units of SMPTE ST 2086 as H.265 and ISO/IEC 14496-12 write them: of chromaticity and of cd/m2.
_CHROMATICITY, _LUMINANCE = 50_000, 10_000


@dataclass(frozen=True, slots=True)
class Mastering:
    """What a clip says of its mastering.

    screen: x and y of red, green, blue and white in CIE 1931, then the least and the most cd/m2
    (SMPTE ST 2086); None where the clip does not say. light: the most cd/m2 of a pixel, and of the
    average of a picture (MaxCLL and MaxFALL of CTA-861.3); None where the clip does not say.
    """

    screen: tuple[Fraction, ...] | None
    light: tuple[int, int] | None

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Mastering | None:
        """What the side data of a decoded frame says; None where it says nothing."""
        screen = side_data(frame, Type.MASTERING_DISPLAY_METADATA)
        light = side_data(frame, Type.CONTENT_LIGHT_LEVEL)
        mastering = cls(_screen(screen) if screen else None, _light(light) if light else None)
        return mastering if mastering.screen or mastering.light else None

    @property
    def x265(self) -> str:
        """The parameters that make x265 write it, joined by colons."""
        parts = []
        if self.screen:
            red, green, blue, white = self._points()
            least, most = self._luminances()
            pairs = zip("GBR", (green, blue, red), strict=True)
            points = "".join(f"{name}({x},{y})" for name, (x, y) in pairs)
            parts.append(f"master-display={points}WP({white[0]},{white[1]})L({most},{least})")
        if self.light:
            parts.append(f"max-cll={self.light[0]},{self.light[1]}")
        return ":".join(parts)

    @property
    def boxes(self) -> bytes:
        """The boxes `mdcv` and `clli` of a QuickTime sample entry (ISO/IEC 14496-12, 12.1.7 and
        12.1.8)."""
        boxes = b""
        if self.screen:
            red, green, blue, white = self._points()
            least, most = self._luminances()
            values = *green, *blue, *red, *white, most, least
            boxes += struct.pack(">I4s8H2I", 32, b"mdcv", *values)
        if self.light:
            boxes += struct.pack(">I4s2H", 12, b"clli", *self.light)
        return boxes

    def _points(self) -> list[tuple[int, int]]:
        assert self.screen is not None
        values = [round(value * _CHROMATICITY) for value in self.screen[:8]]
        return list(zip(values[::2], values[1::2], strict=True))

    def _luminances(self) -> list[int]:
        assert self.screen is not None
        return [round(value * _LUMINANCE) for value in self.screen[8:]]


def side_data(frame: av.VideoFrame, kind: Type) -> bytes | None:
    """What comes with a decoded frame beside its pixels, as libavutil stores it; None without.

    PyAV 18 lists nothing of a frame that has side data of a kind unknown to it: None there too.
    """
    try:
        found: Any = frame.side_data  # PyAV's own types know no get()
        data = found.get(kind)
    except ValueError:
        return None
    return None if data is None else bytes(data)


def _light(data: bytes) -> tuple[int, int] | None:
    """The values of libavutil's AVContentLightMetadata; zeros stand for unknown."""
    most, average = struct.unpack_from("=II", data)
    return (most, average) if most or average else None


def _screen(data: bytes) -> tuple[Fraction, ...] | None:
    """The values of libavutil's AVMasteringDisplayMetadata, where it has them all."""
    *numbers, has_primaries, has_luminance = struct.unpack_from("=22i", data)
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    if not (has_primaries and has_luminance) or any(below <= 0 for _, below in pairs):
        return None
    return tuple(Fraction(above, below) for above, below in pairs)
