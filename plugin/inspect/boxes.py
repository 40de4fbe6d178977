"""Boxes of a QuickTime or MP4 file: a size, a kind of four letters, a payload."""

from __future__ import annotations

import struct

# No real file has this many boxes side by side; a forged one would cost time without end.
MAX_BOXES = 4096

Boxes = dict[str, list[memoryview]]


def head_of(start: bytes | memoryview, left: int) -> tuple[str, int, int]:
    """(kind, header size, whole size) of the box starting here."""
    size, kind = struct.unpack_from(">I4s", start)
    name, head = kind.decode("latin-1"), 8
    if size == 1:
        (size,), head = struct.unpack_from(">Q", start, 8), 16
    size = left if size == 0 else size
    if size < head:
        raise ValueError(f"box {name!r} claims {size} bytes")
    return name, head, size


def children(data: memoryview) -> Boxes:
    """The boxes side by side in a payload, by kind."""
    found: Boxes = {}
    at = count = 0
    # Four zero bytes may end a QuickTime list; they are no box.
    while at + 8 <= len(data) and any(data[at : at + 4]):
        kind, head, size = head_of(data[at : at + 16], len(data) - at)
        if at + size > len(data) or count == MAX_BOXES:
            raise ValueError(f"box {kind!r} runs past the box around it")
        found.setdefault(kind, []).append(data[at + head : at + size])
        at, count = at + size, count + 1
    return found
