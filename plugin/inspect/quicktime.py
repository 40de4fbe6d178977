"""The structure of a QuickTime or MP4 file, read box by box and without decoding anything.

Sources: Apple's QuickTime File Format Specification, ISO/IEC 14496-12. Written for files of unknown
origin: sizes are checked before anything is read, and boxes are followed without recursion.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mattecast.errors import MediaError
from mattecast.inspect.boxes import MAX_BOXES, Boxes, children, head_of
from mattecast.inspect.sample_descriptions import Counter, Picture, counter, picture

# Ten hours of 60 frames a second with every table at its largest stay below this.
MAX_HEADER = 256 << 20
MAX_TRACKS = 64
# Brands of pictures, which have no tracks.
PICTURES = {b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif"}
FIRST_BOXES = {"ftyp", "moov", "mdat", "wide", "free", "skip", "pnot"}

Table = NDArray[np.int64]


@dataclass(frozen=True)
class Edit:
    """A piece of an edit list: seconds shown, and where it starts in the media (None: empty)."""

    length: Fraction
    start: Fraction | None


@dataclass(frozen=True)
class Samples:
    """Where a track's samples lie."""

    sizes: Table | int  # one for each, or the size all share
    count: int
    runs: Table  # (n, 3): first chunk (from 1), samples per chunk, description
    chunks: Table  # offset of each chunk in the file

    def locate(self, index: int) -> tuple[int, int]:
        """(offset, size) in bytes of a sample; ValueError when the tables do not hold it."""
        if not 0 <= index < self.count or not len(self.runs):
            raise ValueError(f"sample {index} is not in its table of {self.count}")
        first, each = self.runs[:, 0] - 1, self.runs[:, 1]
        lengths = np.diff(np.append(first, len(self.chunks)))
        if first[0] != 0 or (lengths < 0).any() or (each < 1).any():
            raise ValueError("the sample-to-chunk table is not in order")
        before = np.append(0, np.cumsum(lengths * each))
        run = int(np.searchsorted(before, index, "right")) - 1
        if run >= len(first):
            raise ValueError(f"sample {index} lies beyond the last chunk")
        chunk, within = divmod(index - int(before[run]), int(each[run]))
        offset = int(self.chunks[int(first[run]) + chunk])
        if isinstance(self.sizes, int):
            return offset + within * self.sizes, self.sizes
        return offset + int(self.sizes[index - within : index].sum()), int(self.sizes[index])


@dataclass(frozen=True)
class Track:
    """One track; times are exact seconds on the clip's own clock."""

    handler: str  # 'vide', 'soun', 'tmcd', ...
    ident: int
    tag: str  # codec
    timescale: int  # ticks a second
    start: Fraction
    end: Fraction
    edits: tuple[Edit, ...]
    steps: Table  # (n, 2): samples, ticks each
    samples: Samples
    references: dict[str, tuple[int, ...]]
    picture: Picture | None
    counter: Counter | None


@dataclass(frozen=True)
class Movie:
    """A whole file."""

    path: Path
    brand: str
    faststart: bool  # header before media: plays before it has been read whole
    fragmented: bool
    missing: int  # bytes the last box claims beyond the end of the file
    tracks: tuple[Track, ...] = field(repr=False)


def is_quicktime(path: Path) -> bool:
    """Whether a file starts like a QuickTime or MP4 file, and is no HEIF or AVIF picture."""
    with open(path, "rb") as file:
        start = file.read(12)
    picture = start[4:8] == b"ftyp" and start[8:] in PICTURES
    return len(start) >= 8 and start[4:8].decode("latin-1") in FIRST_BOXES and not picture


def read(path: Path) -> Movie:
    """Read a file's structure; MediaError when it is damaged or never finished."""
    try:
        with open(path, "rb") as file:
            return _movie(path, file)
    except (ValueError, IndexError, struct.error) as error:
        advice = "recover it with the program that made it, or export it again"
        raise MediaError(f"{path}: damaged QuickTime structure: {error}; {advice}") from error


def _movie(path: Path, file: BinaryIO) -> Movie:
    places, missing = _outline(file)
    if "moov" not in places:
        raise ValueError("it has no header (moov), so its recording or copying never finished")
    offset, size = places["moov"]
    if size > MAX_HEADER:
        raise ValueError(f"its header claims {size} bytes")
    file.seek(offset)
    moov = children(memoryview(file.read(size)))
    brand = places.get("ftyp", (0, 0))[0]
    file.seek(brand)
    return Movie(
        path,
        file.read(4).decode("latin-1") if brand else "qt  ",
        faststart=offset < places.get("mdat", (offset + 1, 0))[0],
        fragmented="mvex" in moov or "moof" in places,
        missing=missing,
        tracks=tuple(_tracks(moov)),
    )


def _outline(file: BinaryIO) -> tuple[dict[str, tuple[int, int]], int]:
    """First (payload offset, size) of each kind of top box, and bytes missing at the end."""
    end, at, places = file.seek(0, 2), 0, dict[str, tuple[int, int]]()
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return places, 0
        file.seek(at)
        kind, head, size = head_of(file.read(16), end - at)
        places.setdefault(kind, (at + head, min(size, end - at) - head))
        at += size
        if at > end:
            return places, at - end
    return places, 0  # a long run of fragments; the header comes before them


def _inside(boxes: Boxes, *kinds: str) -> Boxes:
    """The boxes inside the first box at a path; empty where there is none."""
    for kind in kinds:
        boxes = children(boxes[kind][0]) if kind in boxes else {}
    return boxes


def _tracks(moov: Boxes) -> Iterator[Track]:
    if "mvhd" not in moov:
        raise ValueError("its header has no clock (mvhd), or is compressed")
    clock, _ = _clock(moov["mvhd"][0], "mvhd")
    if len(moov.get("trak", [])) > MAX_TRACKS:
        raise ValueError(f"it claims {len(moov['trak'])} tracks")
    for payload in moov.get("trak", []):
        yield _track(children(payload), clock)


def _track(trak: Boxes, clock: int) -> Track:
    media, table = _inside(trak, "mdia"), _inside(trak, "mdia", "minf", "stbl")
    timescale, ticks = _clock(_only(media, "mdhd"), "mdhd")
    handler = bytes(_only(media, "hdlr")[8:12]).decode("latin-1")
    tag, entry = _entry(_only(table, "stsd"))
    edits = tuple(_edits(_inside(trak, "edts"), clock, timescale))
    start, end = _span(edits, Fraction(ticks, timescale), _first_shift(table, timescale))
    return Track(
        handler=handler,
        ident=_ident(_only(trak, "tkhd")),
        tag=tag,
        timescale=timescale,
        start=start,
        end=end,
        edits=edits,
        steps=_table(table, "stts", ">u4", 2),
        samples=_samples(table),
        references=_references(_inside(trak, "tref")),
        picture=picture(entry) if handler == "vide" else None,
        counter=counter(entry) if tag == "tmcd" else None,
    )


def _only(boxes: Boxes, kind: str) -> memoryview:
    if kind not in boxes:
        raise ValueError(f"a track has no {kind!r} box")
    return boxes[kind][0]


def _clock(payload: memoryview, kind: str) -> tuple[int, int]:
    """(ticks a second, ticks) of mvhd or mdhd."""
    layout, offset = (">IQ", 20) if payload[0] == 1 else (">II", 12)
    scale, ticks = struct.unpack_from(layout, payload, offset)
    if not scale:
        raise ValueError(f"{kind!r} has a clock of 0 ticks a second")
    return scale, ticks


def _ident(tkhd: memoryview) -> int:
    return int(struct.unpack_from(">I", tkhd, 20 if tkhd[0] == 1 else 12)[0])


def _entry(stsd: memoryview) -> tuple[str, memoryview]:
    """Tag and payload of the first sample description."""
    entries = children(stsd[8:])
    if not entries:
        return "", memoryview(b"")
    tag, payloads = next(iter(entries.items()))
    return tag, payloads[0]


def _table(boxes: Boxes, kind: str, dtype: str, columns: int, at: int = 4) -> Table:
    """The rows of a counted table box as int64, (n, columns); empty where there is none."""
    if kind not in boxes:
        return np.zeros((0, columns), np.int64)
    (count,) = struct.unpack_from(">I", boxes[kind][0], at)
    rows = boxes[kind][0][at + 4 :]
    if count * columns * np.dtype(dtype).itemsize > len(rows):
        raise ValueError(f"{kind!r} claims {count} rows, more than it holds")
    values: NDArray[Any] = np.frombuffer(rows, dtype, count * columns)
    return values.astype(np.int64).reshape(count, columns)


def _samples(table: Boxes) -> Samples:
    if "stsz" not in table:  # compact sizes (stz2), which no video track uses
        return Samples(0, 0, np.zeros((0, 3), np.int64), np.zeros(0, np.int64))
    (uniform, count) = struct.unpack_from(">II", table["stsz"][0], 4)
    offsets = ("co64", ">u8") if "co64" in table else ("stco", ">u4")
    return Samples(
        sizes=uniform or _table(table, "stsz", ">u4", 1, at=8)[:, 0],
        count=count,
        runs=_table(table, "stsc", ">u4", 3),
        chunks=_table(table, *offsets, columns=1)[:, 0],
    )


def _edits(edts: Boxes, clock: int, timescale: int) -> Iterator[Edit]:
    if "elst" not in edts:
        return
    wide = edts["elst"][0][0] == 1
    kinds = ">u8,>i8,>u4" if wide else ">u4,>i4,>u4"
    (count,) = struct.unpack_from(">I", edts["elst"][0], 4)
    if count > MAX_BOXES:
        raise ValueError(f"'elst' claims {count} edits")
    rows = np.frombuffer(edts["elst"][0][8:], np.dtype(kinds), count).tolist()
    for length, start, _ in rows:
        yield Edit(Fraction(length, clock), None if start < 0 else Fraction(start, timescale))


def _first_shift(table: Boxes, timescale: int) -> Fraction:
    """How much later than its decoding the first sample shows (`ctts`)."""
    shifts = _table(table, "ctts", ">i4", 2)
    return Fraction(int(shifts[0, 1]), timescale) if len(shifts) else Fraction(0)


def _span(edits: tuple[Edit, ...], media: Fraction, shift: Fraction) -> tuple[Fraction, Fraction]:
    """(start, end) on the clip's clock of what a track shows."""
    played = [edit for edit in edits if edit.start is not None]
    if not played:
        return shift, shift + media
    empty = sum((edit.length for edit in edits[: edits.index(played[0])]), Fraction(0))
    begins = played[0].start or Fraction(0)
    length = sum((edit.length for edit in played), Fraction(0))
    if len(played) == 1:
        # The movie clock is coarse (often 1 ms) and players stop where the media stops.
        length = min(length or media, media - begins + shift)
    return empty + max(Fraction(0), shift - begins), empty + length


def _references(tref: Boxes) -> dict[str, tuple[int, ...]]:
    return {
        kind: struct.unpack(f">{len(found[0]) // 4}I", found[0][: len(found[0]) // 4 * 4])
        for kind, found in tref.items()
    }
