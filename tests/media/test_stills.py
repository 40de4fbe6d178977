"""Single pictures: what comes in, upright and whole or said, and one file that comes out."""

from __future__ import annotations

import struct
import zlib

import av
import cv2
import numpy as np
import pytest
from commands import call, entries, photograph

from mattecast.errors import MediaError
from mattecast.media.clip import Clip
from mattecast.media.frame import upright
from mattecast.media.pictures import Pictures


def test_one_picture_becomes_one_file(tmp_path, left_half):
    photograph(tmp_path / "photo.jpg")
    out = tmp_path / "out" / "photo.png"
    out.parent.mkdir()
    assert call("matte", tmp_path / "photo.jpg", "-o", out, "--quiet").code == 0
    assert entries(out.parent) == ["photo.png"]
    picture = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
    assert picture.shape == (96, 160, 4)
    assert (picture[:, :60, 3] == 255).all() and (picture[:, 100:, 3] == 0).all()
    refused = call("matte", tmp_path / "photo.jpg", "-o", out)
    refused.refuses(1, "exists already; --overwrite replaces it")
    assert call("matte", tmp_path / "photo.jpg", "-o", out, "--overwrite", "--quiet").code == 0


def test_pictures_of_a_folder_one_by_one(tmp_path, left_half):
    album = tmp_path / "album"
    album.mkdir()
    for name in ("a.jpg", "b.png"):
        photograph(album / name)
    (album / "notes.txt").write_text("not a picture")
    result = call("matte", album, "--stills", "--out-dir", tmp_path / "out", "--quiet")
    assert result.code == 0, result.err
    assert entries(tmp_path / "out") == ["a.matte.png", "b.matte.png"]
    result = call(
        "matte",
        album / "a.jpg",
        album / "b.png",
        "--out-dir",
        tmp_path / "green",
        "--format",
        "exr",
        "--quiet",
    )
    assert result.code == 0, result.err
    assert entries(tmp_path / "green") == ["a.matte.exr", "b.matte.exr"]


def oriented(orientation, order=">"):
    """The TIFF block of an Exif orientation."""
    return {"<": b"II", ">": b"MM"}[order] + struct.pack(
        f"{order}HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0
    )


def jpeg(picture, orientation=1, order=">"):
    """A JPEG file's bytes, with an Exif orientation."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    body = b"Exif\0\0" + oriented(orientation, order)
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def png(picture, orientation=1, order=">"):
    """A PNG file's bytes, with an eXIf chunk behind its header."""
    data = cv2.imencode(".png", picture)[1].tobytes()
    body = b"eXIf" + oriented(orientation, order)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]


def palette(picture, orientation=1, order=">"):
    """The same, its picture gray with a palette."""
    height, width = picture.shape[:2]
    lines = b"".join(b"\0" + bytes(row) for row in picture[..., 0])
    table = bytes(level for level in range(256) for _ in range(3))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = (
        (b"IHDR", header),
        (b"eXIf", oriented(orientation, order)),
        (b"PLTE", table),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )


def webp(picture, orientation=1, order=">"):
    """A lossless WebP file's bytes, with an EXIF chunk at its end."""
    data = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    height, width = picture.shape[:2]
    sides = b"".join((side - 1).to_bytes(3, "little") for side in (width, height))
    parts = ((b"VP8X", bytes([8, 0, 0, 0]) + sides), (b"EXIF", oriented(orientation, order)))
    large, last = (name + struct.pack("<I", len(body)) + body for name, body in parts)
    whole = b"WEBP" + large + data[12:] + last
    return b"RIFF" + struct.pack("<I", len(whole)) + whole


def tiff(picture, orientation=1, order="<"):
    """An uncompressed TIFF file's bytes: picture, then directory and what it points to."""
    height, width = picture.shape[:2]
    body, place = picture[..., ::-1].tobytes(), 8 + picture.size
    tags = (
        (256, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 2),
        (273, 8),
        (0x0112, orientation),
        (277, 3),
        (278, height),
        (279, len(body)),
    )
    entries = b"".join(struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, place)
    return head + body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def quarters():
    """Four grays, (64, 96, 3) uint8: no turn and no mirror leaves it as it is."""
    grays = np.uint8([[20, 90], [160, 230]])
    plane = cv2.resize(grays, (96, 64), interpolation=cv2.INTER_NEAREST)
    return np.dstack([plane] * 3)


# How a picture lies in the file for each orientation of Exif.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 3),
}


@pytest.mark.parametrize("orientation", STORED)
def test_photographs_come_out_upright(orientation, tmp_path, left_half):
    order = "<" if orientation % 2 else ">"
    stored = np.ascontiguousarray(STORED[orientation](quarters()))
    (tmp_path / "photo.jpg").write_bytes(jpeg(stored, orientation, order))
    result = call("matte", tmp_path / "photo.jpg", "-o", tmp_path / "out.png", "--whole-picture")
    assert result.code == 0 and ": 1 frame, 96x64" in result.err, result.err
    found = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)
    assert found.shape == (64, 96, 4)
    assert np.abs(found[..., :3].astype(int) - quarters()).mean() < 2
    assert (found[:, :40, 3] == 255).all() and (found[:, 56:, 3] == 0).all()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("write", [jpeg, png, palette, webp, tiff])
@pytest.mark.parametrize("orientation", STORED)
def test_every_kind_of_file_is_turned_and_mirrored(orientation, write, order, tmp_path):
    stored = np.ascontiguousarray(STORED[orientation](quarters()))
    path = tmp_path / f"photo.{write.__name__}"
    path.write_bytes(write(stored, orientation, order))
    with Clip(path) as clip:
        (frame,) = clip.frames()
        assert (clip.facts.width, clip.facts.height) == (96, 64)
        found = upright(frame.reformat(format="gray"), clip.facts.turn).to_ndarray()
        assert clip.damage.corrupt == 0
    assert np.abs(found.astype(int) - quarters()[..., 0]).mean() < 2


def test_a_photograph_that_is_cut_off_is_reported(tmp_path, left_half):
    noise = np.random.default_rng(0).integers(0, 255, (96, 160, 3)).astype(np.uint8)
    data, whole = jpeg(noise), tmp_path / "album" / "a.jpg"
    whole.parent.mkdir()
    whole.write_bytes(data)
    cut = whole.with_name("b.jpg")
    cut.write_bytes(data[: len(data) // 2])
    said = []
    for photo in (whole, cut):
        result = call("matte", photo, "-o", tmp_path / f"{photo.stem}.png")
        assert result.code == 0, result.err
        said.append("in the source: 1 frame damaged: kept as decoded" in result.err)
    assert said == [False, True]
    with Pictures(whole.parent) as album:
        assert len(list(album.frames())) == 2 and album.damage.corrupt == 1


@pytest.mark.parametrize("place", range(0, 40, 3))
def test_broken_exif_is_no_reason_to_fail(place, tmp_path):
    data = bytearray(jpeg(quarters(), 2))
    data[place + 4 : place + 8] = b"\xff\xff\xff\xff"
    (tmp_path / "photo.jpg").write_bytes(bytes(data))
    try:
        with Clip(tmp_path / "photo.jpg") as clip:
            assert len(list(clip.frames())) == 1
    except MediaError as error:
        assert "photo.jpg" in str(error)


def test_names_with_a_number_in_them_are_names_where_such_a_file_is(tmp_path, left_half):
    photograph(tmp_path / "50%d off.png")
    result = call("matte", tmp_path / "50%d off.png", "--out-dir", tmp_path / "out", "--quiet")
    assert result.code == 0, result.err
    assert entries(tmp_path / "out") == ["50_d off.matte.png"]


def test_a_moving_png_becomes_a_folder(tmp_path, left_half):
    with av.open(str(tmp_path / "two.png"), "w", format="apng") as out:
        stream = out.add_stream("apng", rate=5)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "rgb24"
        for value in (60, 200):
            picture = np.full((64, 96, 3), value, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    result = call("matte", tmp_path / "two.png", "-o", tmp_path / "out.png", "--quiet")
    assert result.code == 0, result.err
    assert entries(tmp_path / "out") == ["out_000000.png", "out_000001.png"]
    assert entries(tmp_path) == ["out", "two.png"]
