"""Video on a GPU: what is said and done where there is none, and equality where there is one."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from clips import Recipe, make, picture, planes, times
from commands import StandIn, call

from mattecast import hardware
from mattecast.clip import Clip
from mattecast.colour import Colour
from mattecast.engines.cuda import no_driver

here = pytest.mark.skipif(no_driver() is None, reason="there is an NVIDIA driver")


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mattecast.engines.load", lambda spec, size, **_: StandIn(size))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "a.mp4", Recipe(size=(320, 192), pts=tuple(range(6))))


@here
@pytest.mark.parametrize(("output", "said"), [
    ("out.mov", ["no GPU decodes here (no NVIDIA driver); the CPU does"]),
    ("out.mp4", ["no GPU decodes here (no NVIDIA driver); the CPU does",
                 "no GPU encodes this (no NVIDIA driver); the CPU does"]),
])  # fmt: skip
def test_without_a_driver_the_cpu_does_it_and_that_is_said(
    output: str, said: list[str], source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "mattecast")
    assert call("matte", source, "-o", tmp_path / output, "--gpu-video").code == 0
    assert [record.message for record in caplog.records] == said
    assert call("matte", source, "-o", tmp_path / f"cpu_{output}").code == 0
    assert len(caplog.records) == len(said)
    ours, theirs = tmp_path / output, tmp_path / f"cpu_{output}"
    for one, other in zip(planes(ours, 3), planes(theirs, 3), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("pixels", ["nv12", "p010le"])
@pytest.mark.parametrize("tags", [(1, 1, 1, 1), (2, 1, 1, 1), (1, 5, 5, 6), (1, 9, 9, 14)])
def test_a_picture_is_shrunk_to_what_swscale_sees(pixels: str, tags: tuple[int, ...]) -> None:
    """What runs on the GPU, here over the same formats in memory."""
    pytest.importorskip("torch")
    planar = {"nv12": "yuv420p", "p010le": "yuv420p10le"}[pixels]
    frame = picture(Recipe(size=(640, 384), pixels=planar, colour=tags), 3)
    colour = Colour.of(frame)
    decoded = frame.reformat(format=pixels, src_color_range=tags[0], dst_color_range=tags[0])
    exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    whole = frame.reformat(
        format="rgb24", interpolation=exact, src_color_range=tags[0], dst_color_range=2,
        src_colorspace=colour.swscale_matrix,
    ).to_ndarray()  # fmt: skip
    expected = cv2.resize(whole, (160, 96), interpolation=cv2.INTER_AREA).astype(int)
    shrunk = hardware.shrunk(decoded, (160, 96), colour)
    assert shrunk.shape == (96, 160, 3) and shrunk.dtype == np.uint8
    difference = np.abs(shrunk - expected)
    assert expected.std() > 10 and difference.mean() < 0.7 and difference.max() <= 3
    assert not hardware.shrinks(decoded)  # in memory swscale does it


@pytest.mark.gpu
@pytest.mark.parametrize(("codec", "pixels"), [("libx264", "yuv420p"), ("libx265", "yuv420p10le")])
def test_a_gpu_decodes_what_the_cpu_decodes(codec: str, pixels: str, tmp_path: Path) -> None:
    options = (("preset", "ultrafast"),)
    clip = make(tmp_path / "a.mp4", Recipe(codec=codec, pixels=pixels, size=(640, 384),
                                           pts=tuple(range(12)), options=options))  # fmt: skip
    accel = hardware.decoder()
    assert accel is not None
    with Clip(clip) as ours, Clip(clip, hwaccel=accel) as theirs:
        assert theirs.facts.bits == ours.facts.bits and theirs.facts.colour == ours.facts.colour
        pairs = list(zip(ours.frames(), theirs.frames(), strict=True))
        assert len(pairs) == 12
        for one, other in pairs:
            assert other.sw_format is not None and one.pts == other.pts
            np.testing.assert_array_equal(
                one.reformat(format=pixels).to_ndarray(), other.reformat(format=pixels).to_ndarray()
            )
            small = hardware.shrunk(other, (160, 96), theirs.facts.colour).astype(int)
            expected = one.reformat(160, 96, "rgb24", interpolation=Interpolation.AREA).to_ndarray()
            assert np.abs(small - expected).mean() < 1


@pytest.mark.gpu
@pytest.mark.parametrize("format", ["h264", "hevc"])
def test_a_gpu_encodes_composites(format: str, source: Path, tmp_path: Path,
                                  caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    caplog.set_level("WARNING", "mattecast")
    outputs = [tmp_path / f"{name}.mp4" for name in ("gpu", "cpu")]
    assert call("matte", source, "-o", outputs[0], "--format", format, "--gpu-video").code == 0
    assert call("matte", source, "-o", outputs[1], "--format", format).code == 0
    assert not caplog.records and times(outputs[0]) == times(outputs[1])
    with av.open(str(outputs[0])) as container:
        assert container.streams.video[0].codec_context.name == format
    for one, other in zip(planes(outputs[0], 4), planes(outputs[1], 4), strict=True):
        assert np.abs(one.astype(int) - other).mean() < 2
