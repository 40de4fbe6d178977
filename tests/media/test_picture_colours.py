"""The colours of picture files: sRGB where nothing else is meant, else as their tags and profiles
say."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import Recipe, make
from commands import call
from profiles import ADOBE_RGB, DISPLAY_P3, SRGB, SRGB_CURVE, icc, png_chunks

from mattecast.inspect.check import check
from mattecast.inspect.prores import header
from mattecast.media import profile
from mattecast.media.clip import Clip

pytestmark = pytest.mark.usefixtures("left_half")
# (range, matrix, primaries, transfer) of clips that screens show as they show sRGB.
STANDARD = ((1, 1, 1, 1), (1, 6, 6, 6), (1, 5, 5, 6), (1, 5, 5, 5), (2, 1, 1, 13), (1, 2, 2, 2))
# The same of others, and what cICP then says of primaries and transfer.
TAGGED = (
    ((1, 9, 9, 16), (9, 16)),
    ((1, 9, 9, 18), (9, 18)),
    ((1, 1, 12, 1), (12, 13)),
    ((1, 9, 9, 14), (9, 13)),
)


def matted(source: Path, output: Path, *options: str) -> Path:
    """The output of a run, which must succeed."""
    result = call("matte", source, "-o", output, "--quiet", *options)
    assert result.code == 0, result.err
    return output


def jpeg(path: Path, icc_profile: bytes | None = None, *, gray: bool = False) -> Path:
    """A JPEG file of soft ramps, with a profile."""
    y, x = np.mgrid[0:64, 0:96]
    ramps = np.stack([80 + x, 60 + y, 200 - x], -1).astype(np.uint8)
    picture = ramps[..., 0] if gray else ramps
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    if icc_profile:
        data = profile.into_jpeg(data, profile.Profile(icc_profile))
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("colour", STANDARD)
def test_png_of_a_standard_clip_is_srgb(colour: tuple[int, int, int, int], tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", Recipe(colour=colour, pts=(0, 1)))
    folder = matted(clip, tmp_path / "out", "--format", "png")
    for name in ("out_000000.png", "out_000001.png"):
        chunks = png_chunks((folder / name).read_bytes())
        assert "sRGB" in chunks and not {"cICP", "iCCP"} & set(chunks)
        assert chunks["gAMA"] == struct.pack(">I", 45455)  # what the PNG standard names for sRGB


@pytest.mark.parametrize(("colour", "codes"), TAGGED)
def test_png_of_other_clips_is_tagged(
    colour: tuple[int, int, int, int], codes: tuple[int, int], tmp_path: Path
) -> None:
    clip = make(tmp_path / "clip.mp4", Recipe(colour=colour, pts=(0,)))
    folder = matted(clip, tmp_path / "out", "--format", "png", "--no-sdr")
    chunks = png_chunks((folder / "out_000000.png").read_bytes())
    assert chunks["cICP"] == bytes([*codes, 0, 1]) and "sRGB" not in chunks


def test_a_photograph_without_a_profile_is_srgb(tmp_path: Path) -> None:
    source = jpeg(tmp_path / "plain.jpg")
    chunks = png_chunks(matted(source, tmp_path / "out.png").read_bytes())
    assert "sRGB" in chunks and "cICP" not in chunks
    with Clip(source) as clip:
        colour = clip.facts.colour
    assert (colour.matrix, colour.primaries, colour.transfer) == (5, 1, 13)
    # Large pictures have the same matrix as small ones.
    cv2.imwrite(str(tmp_path / "large.webp"), np.full((800, 64, 3), 90, np.uint8), [64, 80])
    with Clip(tmp_path / "large.webp") as clip:
        assert clip.facts.colour.matrix in (5, 6)


@pytest.mark.parametrize("colours", [DISPLAY_P3, ADOBE_RGB])
@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
def test_profiles_go_on(name: str, colours: tuple[float, ...], tmp_path: Path) -> None:
    made = icc(colours)
    source = jpeg(tmp_path / "photo.jpg", made)
    if name.endswith("png"):
        data = cv2.imencode(".png", cv2.imread(str(source)))[1].tobytes()
        source = tmp_path / name
        source.write_bytes(profile.into_png(data, profile.Profile(made)))
    chunks = png_chunks(matted(source, tmp_path / "out.png").read_bytes())
    assert zlib.decompress(chunks["iCCP"].split(b"\0", 1)[1][1:]) == made
    assert not {"cICP", "sRGB", "gAMA", "cHRM"} & set(chunks)
    again = profile.of_file(matted(source, tmp_path / "out.jpg").read_bytes())
    assert again is not None and again.data == made
    assert any("Made" in str(each) for each in check(tmp_path / "out.png").findings)


def test_what_cannot_be_kept_of_a_profile_is_said(tmp_path: Path) -> None:
    adobe, gray = icc(ADOBE_RGB, name="Adobe RGB"), icc((), (2.2,), name="Dot Gain")
    source = jpeg(tmp_path / "adobe.jpg", adobe)
    said = call("matte", source, "-o", tmp_path / "out.mov").err
    assert "not kept: ICC profile Adobe RGB: colours are converted to sRGB" in said
    source = jpeg(tmp_path / "gray.jpg", gray, gray=True)
    said = call("matte", source, "-o", tmp_path / "gray.png").err
    assert "ICC profile Dot Gain" in said
    assert "iCCP" not in png_chunks((tmp_path / "gray.png").read_bytes())
    source = jpeg(tmp_path / "p3.jpg", icc(DISPLAY_P3))
    assert "converted to sRGB" in call("matte", source, "-o", tmp_path / "out.webp").err
    assert "not kept" not in call("matte", source, "-o", tmp_path / "out.png").err


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("output", "colours"), [("out.mov", ADOBE_RGB), ("out.gif", DISPLAY_P3)])
def test_other_profiles_are_converted(
    output: str, colours: tuple[float, ...], turned: bool, tmp_path: Path
) -> None:
    """By hand: the profile's gamma, its matrix to XYZ, back by sRGB's, and sRGB's curve."""
    gamma = (2.2,) if output == "out.mov" else SRGB_CURVE
    made = profile.Profile(icc(colours, gamma))
    code = np.array([120, 170, 90])
    picture = np.full((96, 64, 3) if turned else (64, 96, 3), code[::-1], np.uint8)
    data = cv2.imencode(".png", picture)[1].tobytes()
    (tmp_path / "in.png").write_bytes(profile.into_png(data, made))
    options = ("--format", "qtrle") if output == "out.mov" else ()
    source = matted(tmp_path / "in.png", tmp_path / output, *options)
    light = made.curve(256)[code]  # type: ignore[index]
    into, back = (np.reshape(each, (3, 3)).T for each in (colours, SRGB))
    light = np.clip(np.linalg.inv(back) @ into @ light, 0, 1)
    wanted = 255 * np.where(light < 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    with av.open(str(source)) as clip:
        pixel = next(clip.decode(video=0)).to_ndarray(format="rgb24")[20, 20]
    assert np.abs(pixel - wanted).max() < 1.5 and np.abs(code - wanted).max() > 3


def test_srgb_by_a_profile_is_srgb(tmp_path: Path) -> None:
    source = jpeg(tmp_path / "photo.jpg", icc(SRGB))
    chunks = png_chunks(matted(source, tmp_path / "out.png").read_bytes())
    assert "sRGB" in chunks and "iCCP" not in chunks


def test_display_p3_is_tagged_in_movies(tmp_path: Path) -> None:
    source = jpeg(tmp_path / "photo.jpg", icc(DISPLAY_P3))
    with av.open(str(matted(source, tmp_path / "out.mov"))) as clip:
        packet = next(clip.demux(video=0))
        assert header(bytes(packet)).colour == (12, 1, 6)
    with av.open(str(matted(source, tmp_path / "out.apng"))) as clip:
        frame = next(clip.decode(video=0))
        assert (frame.color_primaries, frame.color_trc) == (12, 13)


def test_the_black_of_cmyk_is_no_alpha(tmp_path: Path) -> None:
    Image = pytest.importorskip("PIL.Image")
    Image.new("CMYK", (64, 48), (20, 150, 80, 12)).save(tmp_path / "ink.jpg")
    with Clip(tmp_path / "ink.jpg") as ink:
        assert not ink.facts.has_alpha


@pytest.mark.parametrize("output", ["out.mov", "out.mkv", "out.mp4", "out.webm", "out.apng"])
@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.jpg", "gamma22.mp4", "rgb.mkv"])
def test_our_own_check_has_no_warning(name: str, output: str, tmp_path: Path) -> None:
    source = tmp_path / name
    if name.endswith("mp4"):
        make(source, Recipe(colour=(1, 5, 5, 4), pts=(0, 1)))
    elif name.endswith("mkv"):
        make(source, Recipe(codec="libx264rgb", pixels="rgb24", colour=(2, 0, 1, 13), pts=(0, 1)))
    elif name.endswith("gif"):
        make(source, Recipe(codec="gif", pixels="rgb8", options=(), pts=(0, 1)))
    else:
        cv2.imwrite(str(source), cv2.imread(str(jpeg(tmp_path / "b.jpg"))))
    options = ("--background", "none") if output.endswith("mov") else ()
    report = check(matted(source, tmp_path / output, *options))
    assert [each for each in report.findings if each.level in ("warning", "error")] == []
