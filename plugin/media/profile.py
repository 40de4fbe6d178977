"""ICC profiles of picture files (ICC.1:2022): found, understood, and written into files.

A profile lies in JPEG's APP2 segments (annex B.4), PNG's iCCP chunk, WebP's ICCP chunk and TIFF's
tag 34675.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mattecast.media import exif

_SEGMENT = b"ICC_PROFILE\0"
_LARGEST_SEGMENT = 65519
_PNG_HEADER = 33  # bytes of the signature and of IHDR
# Red, green and blue of H.273's primaries as XYZ under D50, the white of all profiles.
_COLOURS = {
    1: ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)),
    9: ((0.6735, 0.2790, -0.0019), (0.1657, 0.6753, 0.0300), (0.1250, 0.0456, 0.7968)),
    12: ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)),
}
SRGB = np.array(_COLOURS[1]).T
_SAME_COLOUR, _SAME_CURVE = 0.004, 0.02


@dataclass(frozen=True, slots=True)
class Profile:
    """An ICC profile. data: as it stands in a file. kind: 'RGB', 'GRAY', 'CMYK' and so on."""

    data: bytes

    @property
    def kind(self) -> str:
        """The colour space of the pictures that it describes."""
        return self.data[16:20].decode("latin-1").strip()

    @property
    def name(self) -> str:
        """What the profile calls itself; empty where that cannot be read."""
        text = self._tag("desc")
        if text.startswith(b"desc"):
            return text[12:].split(b"\0")[0].decode("latin-1")
        if text.startswith(b"mluc") and len(text) >= 28:
            length, place = struct.unpack_from(">II", text, 20)
            return text[place : place + length].decode("utf-16-be", "replace").strip("\0")
        return ""

    @property
    def can_convert(self) -> bool:
        """Whether curves, and a matrix for RGB, are all that the profile consists of."""
        known = self.kind == "GRAY" or self.matrix() is not None
        return known and self.curve(2) is not None

    def primaries(self) -> int | None:
        """H.273's code of its red, green and blue where sRGB's curve goes with them, else None."""
        matrix, curve = self.matrix(), self.curve(256)
        if matrix is None or curve is None:
            return None
        srgb = ((128 / 255 + 0.055) / 1.055) ** 2.4
        for code, colours in _COLOURS.items():
            if np.abs(matrix - np.array(colours).T).max() < _SAME_COLOUR:
                return code if abs(curve[128] - srgb) < _SAME_CURVE else None
        return None

    def matrix(self) -> NDArray[np.float64] | None:
        """(3, 3): linear R, G, B to XYZ under D50; None for profiles that are no such matrix."""
        columns = [self._tag(name) for name in ("rXYZ", "gXYZ", "bXYZ")]
        if self.kind != "RGB" or not all(len(column) >= 20 for column in columns):
            return None
        return np.array([struct.unpack_from(">3i", column, 8) for column in columns]).T / 65536

    def curve(self, size: int) -> NDArray[np.float64] | None:
        """(size,): linear light in [0, 1] of codes 0 to size-1; None where there is no curve.

        Red's curve, or gray's: the three of a display are alike in practice.
        """
        tag = self._tag("kTRC" if self.kind == "GRAY" else "rTRC")
        code = np.linspace(0.0, 1.0, size)
        try:
            if tag.startswith(b"curv"):
                return _sampled(tag, code)
            return _parametric(tag, code) if tag.startswith(b"para") else None
        except struct.error:
            return None

    def _tag(self, name: str) -> bytes:
        """The data of a tag; empty where there is none."""
        try:
            (count,) = struct.unpack_from(">I", self.data, 128)
            for place in range(132, 132 + 12 * min(count, 200), 12):
                key, start, length = struct.unpack_from(">4sII", self.data, place)
                if key == name.encode():
                    return self.data[start : start + length]
        except struct.error:
            pass
        return b""


def _sampled(tag: bytes, code: NDArray[np.float64]) -> NDArray[np.float64]:
    """The curve of a `curv` tag: a gamma, or samples that are joined by lines."""
    (count,) = struct.unpack_from(">I", tag, 8)
    if count == 0:
        return code
    points = np.array(struct.unpack_from(f">{count}H", tag, 12), float)
    if count == 1:
        return np.asarray(code ** (points[0] / 256))
    return np.interp(code, np.linspace(0, 1, count), points / 65535)


def _parametric(tag: bytes, code: NDArray[np.float64]) -> NDArray[np.float64]:
    """The curve of a `para` tag: ICC.1:2022, 10.18."""
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = (1, 3, 4, 5, 7)[min(kind, 4)]
    given = [value / 65536 for value in struct.unpack_from(f">{count}i", tag, 12)]
    g, a, b, c, d, e, f = (given + [1.0, 0.0, 0.0, 0.0, 0.0, 0.0][count - 1 :])[:7]
    if kind in (1, 2):  # zero below -b/a, and e is c
        d, e, c, f = -b / a, c, 0.0, c if kind == 2 else 0.0
    power = np.maximum(a * code + b, 0) ** g
    return np.where(code >= d, power + e, c * code + f) if kind else np.asarray(code**g)


def of_file(data: bytes) -> Profile | None:
    """The profile in a picture file, or None."""
    found = b"".join(_pieces(data)) if not data.startswith(exif.TIFF) else exif.tiff_profile(data)
    return Profile(found) if len(found) > 132 and found[36:40] == b"acsp" else None


def _pieces(data: bytes) -> list[bytes]:
    pieces: list[tuple[int, bytes]] = []
    for name, body in exif.parts(data):
        if name == b"\xe2" and body.startswith(_SEGMENT):
            pieces.append((body[12], body[14:]))
        elif name == b"ICCP":
            pieces.append((0, body))
        elif name == b"iCCP":
            try:
                pieces.append((0, zlib.decompress(body[body.index(b"\0") + 2 :])))
            except (zlib.error, ValueError):
                continue
    return [piece for _, piece in sorted(pieces)]


def into_png(data: bytes, profile: Profile) -> bytes:
    """A PNG file with the profile in front of its picture."""
    body = b"iCCP" + b"profile\0\0" + zlib.compress(profile.data)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:_PNG_HEADER] + chunk + data[_PNG_HEADER:]


def into_jpeg(data: bytes, profile: Profile) -> bytes:
    """A JPEG file with the profile behind its JFIF header."""
    place = 4 + int.from_bytes(data[4:6]) if data[2:4] == b"\xff\xe0" else 2
    pieces = [
        profile.data[start : start + _LARGEST_SEGMENT]
        for start in range(0, len(profile.data), _LARGEST_SEGMENT)
    ]
    out = io.BytesIO()
    out.write(data[:place])
    for number, piece in enumerate(pieces, 1):
        body = _SEGMENT + bytes([number, len(pieces)]) + piece
        out.write(b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body)
    out.write(data[place:])
    return out.getvalue()
