"""Boxes of QuickTime and MP4 made by hand, for what no muxer here writes."""

from __future__ import annotations

import struct
from pathlib import Path

# Bytes between the start of a box and its first child.
_HEADS = {b"stsd": 16}
_SAMPLE = 86  # of a video sample entry
SAMPLE_ENTRY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", None)
TRACK = (b"moov", b"trak")


def box(kind: bytes, payload: bytes) -> bytes:
    """A box with its head."""
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def insert(path: Path, new: bytes, parents: tuple[bytes | None, ...] = SAMPLE_ENTRY) -> Path:
    """Put a box at the end of others in a file whose header comes last; None: the first child."""
    data = path.read_bytes()
    assert data.find(b"moov") > data.find(b"mdat")
    at, end, grown = 0, len(data), []
    for parent in parents:
        size, kind = struct.unpack_from(">I4s", data, at)
        while parent not in (None, kind):
            at += size
            size, kind = struct.unpack_from(">I4s", data, at)
        grown.append((at, size))
        at, end = at + (_SAMPLE if parent is None else _HEADS.get(kind, 8)), at + size
    result = bytearray(data[:end] + new + data[end:])
    for place, size in grown:
        struct.pack_into(">I", result, place, size + len(new))
    path.write_bytes(result)
    return path


def dolby_vision(profile: int, compatible: int) -> bytes:
    """The configuration record of a Dolby Vision stream ("Dolby Vision Streams within the ISO Base
    Media File Format", section 3.2). compatible: how its base layer alone can be shown."""
    flags = [1, 0, profile << 1, (6 << 3) | 0b101, compatible << 4]
    return box(b"dvcC" if profile < 8 else b"dvvC", bytes(flags) + bytes(19))


def stereo(mode: int) -> bytes:
    """Google's spherical video V2: how two views lie in a picture; 1 top and bottom, 2 side by
    side."""
    return box(b"st3d", bytes([0, 0, 0, 0, mode]))


def sphere() -> bytes:
    """Google's spherical video V2: a whole equirectangular sphere."""
    projection = box(b"prhd", bytes(16)) + box(b"equi", bytes(20))
    return box(b"sv3d", box(b"svhd", bytes(4) + b"x\0") + box(b"proj", projection))
