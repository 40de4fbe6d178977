"""What decoders do not tell about a photograph's file: is it mirrored, is a JPEG complete, where
the parts of the file lie.

Exif 2.32 (CIPA DC-008): a small TIFF file whose tag 0x0112 is the orientation. It lies in JPEG's
APP1 segment (ITU-T T.81, annex B), PNG's eXIf chunk, WebP's EXIF chunk; a TIFF file is one itself.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_JPEG, _PNG, _RIFF, TIFF = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF", (b"II*\0", b"MM\0*")
_SCAN, _APP1, _END = b"\xda", b"\xe1", b"\xff\xd9"
_ORIENTATION, _PROFILE = 0x0112, 0x8773
# Of the eight orientations. The others only turn the picture, which decoders tell.
_MIRRORED = (2, 4, 5, 7)


def is_complete_jpeg(data: bytes) -> bool:
    """Whether a JPEG picture reaches its end marker: decoders fill what is missing with gray."""
    # An embedded thumbnail, which has an end of its own, comes before the first scan.
    return data.find(_END, sum(4 + len(body) for _, body in _segments(data))) >= 0


def is_mirrored(data: bytes) -> bool:
    """Whether a picture file asks to be mirrored top to bottom before it is turned."""
    if data.startswith(TIFF):
        return _orientation(data) in _MIRRORED
    for name, body in parts(data):
        if name in (b"eXIf", b"EXIF") or (name == _APP1 and body.startswith(b"Exif\0\0")):
            return _orientation(body.removeprefix(b"Exif\0\0")) in _MIRRORED
    return False


def parts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and body of each part of a JPEG, PNG or WebP file."""
    if data.startswith(_JPEG):
        yield from _segments(data)
    elif data.startswith(_PNG):
        yield from _chunks(data)
    elif data.startswith(_RIFF):
        yield from _riff(data)


def _segments(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Marker and body of every segment of a JPEG file before the first scan."""
    place = 2
    while data[place : place + 1] == b"\xff" and place + 4 <= len(data):
        marker, length = data[place + 1 : place + 2], int.from_bytes(data[place + 2 : place + 4])
        if marker == _SCAN:
            return
        yield marker, data[place + 4 : place + 2 + length]
        place += 2 + length


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and body of the chunks of a PNG file, which are length, name, body and checksum."""
    place = len(_PNG)
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        yield name, data[place + 8 : place + 8 + length]
        place += 12 + length


def _riff(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and body of the chunks of a WebP file, which are name, length and padded body."""
    place = 12
    while place + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, place)
        yield name, data[place + 8 : place + 8 + length]
        place += 8 + length + length % 2


def _orientation(tiff: bytes) -> int:
    """The orientation in the first directory; 1, upright, where none can be read."""
    return _entry(tiff, _ORIENTATION, "HIH")[1] or 1


def tiff_profile(tiff: bytes) -> bytes:
    """The ICC profile of a TIFF file; empty where there is none."""
    length, place = _entry(tiff, _PROFILE, "HII")
    return tiff[place : place + length]


def _entry(tiff: bytes, wanted: int, form: str) -> tuple[int, int]:
    """Count and value of an entry of the first directory; zeros where it cannot be read.

    form: struct's letters of the entry's type, count and value.
    """
    order = "<" if tiff.startswith(b"II") else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, first)
        for place in range(first + 2, first + 2 + 12 * entries, 12):
            tag, _, count, value = struct.unpack_from(f"{order}H{form}", tiff, place)
            if tag == wanted:
                return int(count), int(value)
    except struct.error:
        pass
    return 0, 0
