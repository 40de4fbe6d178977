"""Photographs from phones: HEIF whole and upright, or refused; moving WebP read as a clip."""

from __future__ import annotations

import builtins
import sys
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import heif
import numpy as np
import pytest
from clips import times
from commands import call, entries
from profiles import DISPLAY_P3, icc, png_chunks

from mattecast.media.clip import Clip
from mattecast.media.photograph import open_file

pytestmark = pytest.mark.usefixtures("left_half")


def ramps(width: int = 160, height: int = 120) -> np.ndarray:
    """(H, W, 3) uint8 RGB, another in every tile."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([40 + x, 40 + y, 230 - x], -1).astype(np.uint8)


@pytest.mark.parametrize("turn", [0, 1, 3])
def test_a_heif_photograph_comes_whole_and_upright(turn: int, tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    stored = np.ascontiguousarray(np.rot90(ramps(), -turn))
    photo = heif.write(tmp_path / "photo.heic", stored, turn=turn, profile=icc(DISPLAY_P3))
    result = call("matte", photo, "-o", tmp_path / "out.png", "--whole-picture")
    assert result.code == 0 and ": 1 frame, 160x120, png" in result.err, result.err
    made = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)
    assert np.abs(made[..., 2::-1].astype(int) - ramps()).mean() < 1.5
    chunks = png_chunks((tmp_path / "out.png").read_bytes())
    assert zlib.decompress(chunks["iCCP"].split(b"\0", 1)[1][1:]) == icc(DISPLAY_P3)
    # libav alone gives one tile of six, which came out with exit code 0.
    with av.open(str(photo)) as container:
        assert next(container.decode(video=0)).width == heif.TILE


def test_heif_in_folders(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    album = tmp_path / "album"
    album.mkdir()
    heif.write(album / "a.HEIC", ramps())
    heif.write(album / "b.hif", ramps(120, 160))
    result = call("matte", album, "--stills", "--out-dir", tmp_path / "out", "--quiet")
    assert result.code == 0, result.err
    assert entries(tmp_path / "out") == ["a.matte.png", "b.matte.png"]
    result = call("matte", album, "-o", tmp_path / "out.mov")
    assert result.code == 0 and "2 frames, 160x120" in result.err, result.err
    assert "1 frame of another size: fitted" in result.err


def test_without_the_library_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = heif.write(tmp_path / "photo.heic", ramps())
    load = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "pi_heif":
            raise ImportError(name)
        return load(name, *rest)

    monkeypatch.delitem(sys.modules, "pi_heif", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    result = call("matte", photo, "-o", tmp_path / "out.png")
    result.refuses(1, "photo.heic", "pip install pi-heif")
    assert entries(tmp_path) == ["photo.heic"]


def test_a_heif_that_is_cut_off_is_refused_or_reported(tmp_path: Path) -> None:
    pytest.importorskip("pi_heif")
    photo = heif.write(tmp_path / "photo.heic", ramps())
    for length in (40, 400):
        (tmp_path / "cut.heic").write_bytes(photo.read_bytes()[:length])
        result = call("matte", tmp_path / "cut.heic", "-o", tmp_path / "out.png")
        result.refuses(1, "cut.heic")
    (tmp_path / "cut.heic").write_bytes(photo.read_bytes()[:-900])
    result = call("matte", tmp_path / "cut.heic", "-o", tmp_path / "out.png")
    assert "cut.heic" in result.err if result.code else "the file ends before" in result.err


@pytest.mark.parametrize("rate", [Fraction(10), Fraction(30), Fraction(24)])
def test_a_moving_webp_is_a_clip(rate: Fraction, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    source = tmp_path / "moving.webp"
    with av.open(str(source), "w") as out:
        stream = out.add_stream("libwebp_anim", rate=rate, options={"lossless": "1"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "bgra"
        for number in range(6):
            picture = np.full((64, 96, 4), (60, 90, 40 + 20 * number, 255), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgra")))
        out.mux(stream.encode(None))
    result = call("matte", source, "-o", tmp_path / "out.mov", "--detail", "fast")
    assert result.code == 0, result.err
    assert times(tmp_path / "out.mov") == [number / rate for number in range(6)]
    with open_file(source) as clip:
        reds = [frame.to_ndarray(format="rgb24")[32, 48, 0] for frame in clip.frames()]
    assert reds == [40 + 20 * number for number in range(6)]
    assert call("check", source).code == 0


def test_other_files_stay_with_libav(talk: Path) -> None:
    with open_file(talk) as clip:
        assert isinstance(clip, Clip)
