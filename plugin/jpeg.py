"""What decoders keep to themselves of a JPEG file: whether it is whole, whether it is mirrored.

Markers: ITU-T T.81, annex B. Orientation: Exif 2.32 (CIPA DC-008), tag 0x0112.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SCAN, _APP1, _END = 0xDA, 0xE1, b"\xff\xd9"
_ORIENTATION = 0x0112
# Of the eight orientations; the others only turn.
_MIRRORED = (2, 4, 5, 7)


def whole(data: bytes) -> bool:
    """Whether the picture goes on to its end: decoders fill what is missing with gray."""
    # An embedded thumbnail, which has an end of its own, comes before the first scan.
    return data.find(_END, sum(4 + len(body) for _, body in _segments(data))) >= 0


def mirrored(data: bytes) -> bool:
    """Whether the picture has to be mirrored top to bottom before it is turned."""
    for marker, body in _segments(data):
        if marker == _APP1 and body.startswith(b"Exif\0\0"):
            return _orientation(body[6:]) in _MIRRORED
    return False


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and body of every segment before the first scan."""
    place = 2
    while data[place : place + 1] == b"\xff" and place + 4 <= len(data):
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        if marker == _SCAN:
            return
        yield marker, data[place + 4 : place + 2 + length]
        place += 2 + length


def _orientation(tiff: bytes) -> int:
    """The tag's value in the first directory, 1 where there is none or none can be read."""
    order = "<" if tiff.startswith(b"II") else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, first)
        for place in range(first + 2, first + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, place)
            if tag == _ORIENTATION:
                return int(value)
    except struct.error:
        pass
    return 1
