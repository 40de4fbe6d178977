"""Float pictures of linear light: floats stay floats in EXR and become right codes elsewhere."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from clips import Recipe, make, planes
from commands import StandIn, call

from mattecast import engines
from mattecast.media.frame import components, same_planes

SIZE = (96, 64)


class Bands(StandIn):
    """Whoever looks: a person on the left, a soft edge in the middle."""

    seen: np.ndarray

    def step(self, picture: Any) -> np.ndarray:
        Bands.seen = np.array(picture)
        width, height = self.info.size
        alpha = np.clip(1.5 - 2 * np.mgrid[0:height, 0:width][1] / width, 0, 1)
        return alpha.astype(np.float32)


@pytest.fixture(autouse=True)
def bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "load", lambda spec, size, **_: Bands(size))


def ramps() -> np.ndarray:
    """Light (3, H, W) float32: R, G, B from 0 to 4, 1 and 0.5; a sun of 1000 and negative light."""
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]].astype(np.float32)
    light = np.stack([4 * y / SIZE[1], y / SIZE[1], 0.5 * x / SIZE[0]])
    light[:, 8:12, 8:12] = 1000
    light[:, 20:24, 8:12] = -0.25
    return light


def exr(path: Path, light: np.ndarray, kind: str = "float") -> Path:
    """Store R, G, B as half or float."""
    context = av.CodecContext.create("exr", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = *SIZE, "gbrpf32le"
    context.time_base, context.options = Fraction(1, 25), {"format": kind, "compression": "zip1"}
    frame = av.VideoFrame(*SIZE, "gbrpf32le")
    for place, plane in zip((2, 0, 1), light, strict=True):
        rows = np.frombuffer(memoryview(frame.planes[place]), np.float32)
        rows.reshape(SIZE[1], -1)[:, : SIZE[0]] = plane
    packets = [*context.encode(frame), *context.encode(None)]
    path.write_bytes(b"".join(bytes(packet) for packet in packets))
    return path


def read(path: Path) -> tuple[str, np.ndarray]:
    """Pixel format, and R, G, B, A as (4, H, W) float32."""
    with av.open(str(path)) as clip:
        frame = next(clip.decode(video=0))
    kind = np.float16 if "f16" in frame.format.name else np.float32
    found = [
        np.frombuffer(memoryview(frame.planes[place]), kind).reshape(SIZE[1], -1)[:, : SIZE[0]]
        for place in (2, 0, 1, 3)[: len(frame.planes)]
    ]
    return frame.format.name, np.stack(found).astype(np.float32)


def srgb(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def bt709(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light < 0.018, 4.5 * light, 1.099 * light**0.45 - 0.099)


@pytest.mark.parametrize(("kind", "pixels"), [("half", "gbrapf16le"), ("float", "gbrapf32le")])
@pytest.mark.parametrize("straight", [False, True])
def test_floats_stay_floats(kind: str, pixels: str, straight: bool, tmp_path: Path) -> None:
    source = exr(tmp_path / "in.exr", ramps(), kind)
    options = ("--no-premultiplied",) if straight else ()
    result = call("matte", source, "-o", tmp_path / "out.exr", "--detail", "fast", *options)
    assert result.code == 0 and "not kept" not in result.err, result.err
    name, found = read(tmp_path / "out.exr")
    assert name == pixels
    alpha = found[3]
    _, light = read(source)
    assert kind == "half" or (light == ramps()).all()
    np.testing.assert_array_equal(found[:3][:, alpha == 1], light[:, alpha == 1])
    assert found[:3].max() == 1000 and (alpha == 1).any(axis=1).all()
    if not straight:
        assert not found[:3][:, alpha == 0].any()


def test_the_network_sees_what_screens_show(tmp_path: Path) -> None:
    source = exr(tmp_path / "in.exr", ramps())
    assert call("matte", source, "-o", tmp_path / "out.exr", "--detail", "fast").code == 0
    seen = cv2.resize(Bands.seen, SIZE, interpolation=cv2.INTER_AREA)
    expected = 255 * srgb(ramps()).transpose(1, 2, 0)
    assert np.abs(seen[40:, 40:].astype(float) - expected[40:, 40:]).mean() < 3


def test_linear_light_becomes_srgb_in_pictures(tmp_path: Path) -> None:
    source = exr(tmp_path / "in.exr", ramps())
    result = call("matte", source, "-o", tmp_path / "out.png", "--foreground", "source")
    assert result.code == 0 and "light above white" in result.err, result.err
    with av.open(str(tmp_path / "out.png")) as clip:
        codes = next(clip.decode(video=0)).to_ndarray(format="rgb48le")[:, :40]
    expected = 65535 * srgb(ramps()).transpose(1, 2, 0)[:, :40]
    assert np.abs(codes - expected).max() < 20  # of 65535: the half float's own steps


@pytest.mark.parametrize("output", ["out.mov", "out.mkv"])
def test_linear_light_becomes_bt709_in_movies(output: str, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    for number in (1001, 1002):
        exr(folder / f"s.{number}.exr", ramps())
    options = ("--whole-picture", "--foreground", "source")
    result = call("matte", folder / "s.####.exr", "-o", tmp_path / output, *options)
    assert result.code == 0, result.err
    with av.open(str(tmp_path / output)) as clip:
        frame = next(clip.decode(video=0))
        assert (frame.color_primaries, frame.color_trc) == (1, 1)
        codes = frame.reformat(format="rgb24", src_colorspace=1).to_ndarray()[26:, :40]
    expected = 255 * bt709(ramps()).transpose(1, 2, 0)[26:, :40]
    assert np.abs(codes - expected).mean() < 1.5


@pytest.mark.parametrize("name", ["in.hdr", "in.tiff"])
def test_other_float_pictures(name: str, tmp_path: Path) -> None:
    light = np.ascontiguousarray(np.abs(ramps()).transpose(1, 2, 0))
    cv2.imwrite(str(tmp_path / name), light[..., ::-1])
    result = call("matte", tmp_path / name, "-o", tmp_path / "out.exr", "--detail", "fast")
    assert result.code == 0, result.err
    _, found = read(tmp_path / "out.exr")
    known = found[3] == 1
    accuracy = 1 / 100 if name == "in.hdr" else 1e-6  # Radiance shares an exponent of eight bits
    wanted = light.transpose(2, 0, 1)[:, known]
    assert np.abs(found[:3][:, known] - wanted).max() <= accuracy * wanted.max()


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_no_row_of_deep_planar_rgb_is_lost(bits: int, tmp_path: Path) -> None:
    """libswscale loses half of the last row where planar RGB only gains or loses alpha."""
    frame = av.VideoFrame(160, 90, f"gbrp{bits}le")
    for plane in components(frame):
        plane[:] = (1 << bits) - 1
    copy = same_planes(frame, (160, 90), f"gbrap{bits}le")
    assert copy is not None
    assert all((plane == (1 << bits) - 1).all() for plane in components(copy)[:3])
    recipe = Recipe(codec="ffv1", pixels=f"gbrp{bits}le", size=(160, 90), options=(), pts=(0,))
    source = make(tmp_path / "in.mkv", recipe)
    options = ("--detail", "fast", "--foreground", "source")
    assert call("matte", source, "-o", tmp_path / "out.mkv", *options).code == 0
    for ours, theirs in zip(planes(source), planes(tmp_path / "out.mkv"), strict=False):
        np.testing.assert_array_equal(ours, theirs)
