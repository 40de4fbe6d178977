"""HEIF photographs as phones write them: a grid of HEVC pictures (ISO/IEC 23008-12), made here."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np

TILE = 64


def write(path: Path, picture: np.ndarray, *, turn: int = 0, profile: bytes = b"") -> Path:
    """Store a picture (H, W, 3) uint8 RGB in tiles. turn: quarter turns counter-clockwise that make
    it upright. profile: an ICC profile."""
    high, wide = picture.shape[:2]
    rows, columns = -(-high // TILE), -(-wide // TILE)
    whole = np.pad(picture, ((0, rows * TILE - high), (0, columns * TILE - wide), (0, 0)), "edge")
    cells = [
        whole[row * TILE :, column * TILE :][:TILE, :TILE]
        for row in range(rows)
        for column in range(columns)
    ]
    hevc = [_hevc(path.with_suffix(".mp4"), cell) for cell in cells]
    path.with_suffix(".mp4").unlink()
    grid = struct.pack(">BBBBHH", 0, 0, rows - 1, columns - 1, wide, high)
    items = [grid, *(data for _, data in hevc)]
    head = _box(b"ftyp", b"heic\0\0\0\0mif1heic")
    # The length of the boxes does not hang on the places that they hold.
    start = len(head) + len(_meta(items, 0, hevc[0][0], (wide, high), turn, profile)) + 8
    meta = _meta(items, start, hevc[0][0], (wide, high), turn, profile)
    path.write_bytes(head + meta + _box(b"mdat", b"".join(items)))
    return path


def _hevc(path: Path, cell: np.ndarray) -> tuple[bytes, bytes]:
    """The decoder's configuration (hvcC) and the one picture."""
    with av.open(str(path), "w") as out:
        options = {"x265-params": "qp=4:keyint=1:info=0:log-level=none"}
        stream = out.add_stream("libx265", rate=1, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width = stream.height = TILE
        stream.pix_fmt = "yuvj420p"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(cell), format="rgb24")
        frame = frame.reformat(format="yuvj420p", dst_colorspace=5, dst_color_range=2)
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    data = path.read_bytes()
    place = data.index(b"hvcC") - 4
    with av.open(str(path)) as made:
        sample = bytes(next(made.demux(video=0)))
    return data[place : place + int.from_bytes(data[place : place + 4])], sample


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _meta(
    items: list[bytes],
    start: int,
    hvcc: bytes,
    size: tuple[int, int],
    turn: int,
    profile: bytes,
) -> bytes:
    count = len(items)
    kinds = [b"grid"] + [b"hvc1"] * (count - 1)
    entries = b"".join(
        _box(b"infe", struct.pack(">IHH4s", 2 << 24 | (number > 1), number, 0, kind) + b"\0")
        for number, kind in enumerate(kinds, 1)
    )
    tiles = struct.pack(f">HH{count - 1}H", 1, count - 1, *range(2, count + 1))
    colour = b"prof" + profile if profile else b"nclx" + struct.pack(">HHHB", 1, 13, 6, 0x80)
    properties = (
        hvcc
        + _box(b"ispe", struct.pack(">III", 0, TILE, TILE))
        + _box(b"ispe", struct.pack(">III", 0, *size))
        + _box(b"irot", bytes([turn]))
        + _box(b"colr", colour)
    )
    # Properties are counted from 1; the highest bit says that a reader must know one.
    links = struct.pack(">HBBBB", 1, 3, 3, 0x84, 5)
    links += b"".join(struct.pack(">HBBB", number, 2, 0x81, 2) for number in range(2, count + 1))
    places = b""
    for number, item in enumerate(items, 1):
        places += struct.pack(">HHHII", number, 0, 1, start, len(item))
        start += len(item)
    return _box(
        b"meta",
        bytes(4)
        + _box(b"hdlr", bytes(8) + b"pict" + bytes(13))
        + _box(b"pitm", struct.pack(">IH", 0, 1))
        + _box(b"iloc", struct.pack(">IBBH", 0, 0x44, 0, count) + places)
        + _box(b"iinf", struct.pack(">IH", 0, count) + entries)
        + _box(b"iref", bytes(4) + _box(b"dimg", tiles))
        + _box(
            b"iprp",
            _box(b"ipco", properties) + _box(b"ipma", struct.pack(">II", 0, count) + links),
        ),
    )
