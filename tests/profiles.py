"""ICC profiles made on the fly, and the colour chunks of PNG files."""

from __future__ import annotations

import struct
from collections.abc import Sequence

# Red, green and blue as XYZ under D50 (ICC.1:2022), from the published primaries.
DISPLAY_P3 = (0.5151, 0.2412, -0.0011, 0.2920, 0.6922, 0.0419, 0.1571, 0.0666, 0.7841)
SRGB = (0.4361, 0.2225, 0.0139, 0.3851, 0.7169, 0.0971, 0.1431, 0.0606, 0.7141)
ADOBE_RGB = (0.6097, 0.3111, 0.0195, 0.2053, 0.6257, 0.0609, 0.1492, 0.0632, 0.7446)
# The parameters of a `para` curve of kind 3.
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def fixed(values: Sequence[float]) -> bytes:
    """Numbers as s15Fixed16."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def icc(colours: Sequence[float], curve: Sequence[float] = SRGB_CURVE, name: str = "Made") -> bytes:
    """A profile of a display; without colours it is one of gray. curve: a gamma, or sRGB's."""
    kind = struct.pack(">4sIHH", b"para", 0, 3 if len(curve) > 1 else 0, 0)
    text = name.encode("utf-16-be")
    tags = {b"desc": struct.pack(">4sIII4sII", b"mluc", 0, 1, 12, b"enUS", len(text), 28) + text}
    for place, letter in enumerate("rgb" if colours else ""):
        column = fixed(colours[3 * place : 3 * place + 3])
        tags[f"{letter}XYZ".encode()] = b"XYZ \0\0\0\0" + column
        tags[f"{letter}TRC".encode()] = kind + fixed(curve)
    if not colours:
        tags[b"kTRC"] = kind + fixed(curve)
    start, table, body = 132 + 12 * len(tags), struct.pack(">I", len(tags)), b""
    for key, data in tags.items():
        table += struct.pack(">4sII", key, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    space = b"RGB " if colours else b"GRAY"
    head = struct.pack(
        ">I4sI4s4s4s", start + len(body), b"\0" * 4, 0x04400000, b"mntr", space, b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + fixed((0.9642, 1, 0.8249)) + bytes(48)
    return head + table + body


def png_chunks(data: bytes) -> dict[str, bytes]:
    """The chunks of a PNG file by their names; of several alike the last."""
    place, found = 8, {}
    while place < len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        found[name.decode()] = data[place + 8 : place + 8 + length]
        place += 12 + length
    return found
