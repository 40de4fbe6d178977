"""Video on a GPU: what is said and done where there is none, and equality where there is one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import av.error
import cv2
import numpy as np
import pytest
from av.video.reformatter import Interpolation
from clips import Recipe, make, picture, planes, times
from commands import StandIn, call

from mattecast.engines.cuda import no_driver
from mattecast.media import gpu
from mattecast.media.clip import Clip
from mattecast.media.colour import Colour
from mattecast.media.movie import MovieWriter

here = pytest.mark.skipif(no_driver() is None, reason="there is an NVIDIA driver")


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mattecast.engines.load", lambda spec, size, **_: StandIn(size))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "a.mp4", Recipe(size=(320, 192), pts=tuple(range(6))))


@here
@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("out.mov", ["no GPU decodes here (no NVIDIA driver); the CPU does"]),
        (
            "out.mp4",
            [
                "no GPU decodes here (no NVIDIA driver); the CPU does",
                "no GPU encodes this (no NVIDIA driver); the CPU does",
            ],
        ),
    ],
)
def test_without_a_driver_the_cpu_does_it_and_the_run_reports_it(
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
        format="rgb24",
        interpolation=exact,
        src_color_range=tags[0],
        dst_color_range=2,
        src_colorspace=colour.swscale_matrix,
    ).to_ndarray()
    expected = cv2.resize(whole, (160, 96), interpolation=cv2.INTER_AREA).astype(int)
    shrunk = gpu.shrunk(decoded, (160, 96), colour)
    assert shrunk.shape == (96, 160, 3) and shrunk.dtype == np.uint8
    difference = np.abs(shrunk - expected)
    assert expected.std() > 10 and difference.mean() < 0.7 and difference.max() <= 3
    assert not gpu.is_readable_by_torch(decoded)  # in memory swscale does it


@pytest.mark.gpu
@pytest.mark.parametrize(("codec", "pixels"), [("libx264", "yuv420p"), ("libx265", "yuv420p10le")])
def test_a_gpu_decodes_what_the_cpu_decodes(codec: str, pixels: str, tmp_path: Path) -> None:
    options = (("preset", "ultrafast"),)
    clip = make(
        tmp_path / "a.mp4",
        Recipe(codec=codec, pixels=pixels, size=(640, 384), pts=tuple(range(12)), options=options),
    )
    accel = gpu.decoder()
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
            down = gpu.downloaded(other)
            assert down.sw_format is None and down.pts == one.pts
            np.testing.assert_array_equal(
                one.reformat(format=pixels).to_ndarray(), down.reformat(format=pixels).to_ndarray()
            )
            small = gpu.shrunk(other, (160, 96), theirs.facts.colour).astype(int)
            expected = one.reformat(160, 96, "rgb24", interpolation=Interpolation.AREA).to_ndarray()
            assert np.abs(small - expected).mean() < 1


@pytest.mark.gpu
def test_alpha_formats_are_what_the_cpu_makes(
    source: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Decoded on the GPU, downloaded through pinned memory."""
    caplog.set_level("WARNING", "mattecast")
    for name, more in (("gpu", ["--gpu-video"]), ("cpu", [])):
        assert call("matte", source, "-o", tmp_path / f"{name}.mov", *more).code == 0
    assert not caplog.records
    for index in range(6):
        ours, theirs = (planes(tmp_path / f"{name}.mov", index) for name in ("gpu", "cpu"))
        for one, other in zip(ours, theirs, strict=True):
            # The network's own picture is shrunk by other code.
            assert np.abs(one.astype(int) - other).mean() < 2


@pytest.fixture
def nvenc() -> None:
    """Skips on cards that only decode, as data-centre ones do."""
    context = av.CodecContext.create("h264_nvenc", "w")
    context.width, context.height, context.pix_fmt = 320, 192, "nv12"
    context.time_base = Fraction(1, 25)
    try:
        context.open()
    except (av.error.FFmpegError, OSError) as error:
        pytest.skip(f"this GPU has no encoder, or its driver is too old: {error}")


@pytest.mark.gpu
@pytest.mark.parametrize("more", [[], ["--background", "blur"], ["--choke", "1"]])
@pytest.mark.parametrize(("format", "pixels"), [("h264", "yuv420p"), ("hevc", "yuv420p10le")])
def test_a_gpu_encodes_composites(
    format: str,
    pixels: str,
    more: list[str],
    tmp_path: Path,
    nvenc: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Made on the GPU or, where asked for what only the CPU does, uploaded: a valid file, alike."""
    caplog.set_level("WARNING", "mattecast")
    codec = "libx265" if pixels.endswith("10le") else "libx264"
    source = make(
        tmp_path / "a.mp4",
        Recipe(codec=codec, pixels=pixels, size=(320, 192), options=(("preset", "ultrafast"),)),
    )
    outputs = [tmp_path / f"{name}.mp4" for name in ("gpu", "cpu")]
    wish = ["--format", format, *more]
    assert call("matte", source, "-o", outputs[0], *wish, "--gpu-video").code == 0
    said = [record.message for record in caplog.records]
    assert said == (
        ["composites are made on the CPU (choke); the GPU encodes them"]
        if "--choke" in more
        else []
    )
    assert call("matte", source, "-o", outputs[1], *wish).code == 0
    assert times(outputs[0]) == times(outputs[1])
    with av.open(str(outputs[0])) as ours, av.open(str(outputs[1])) as theirs:
        one, other = (each.streams.video[0].codec_context for each in (ours, theirs))
        assert one.name == format and one.pix_fmt == other.pix_fmt
        assert (one.colorspace, one.color_range) == (other.colorspace, other.color_range)
    scale = 4 if pixels.endswith("10le") else 1
    for one, other in zip(planes(outputs[0], 4), planes(outputs[1], 4), strict=True):
        assert np.abs(one.astype(int) - other).mean() < 2 * scale


@pytest.mark.gpu
def test_nothing_of_a_composite_comes_down(
    source: Path, tmp_path: Path, nvenc: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the decoder to the encoder the output's picture stays on the GPU."""
    handed: list[str] = []
    write = MovieWriter.write

    def seen(self: MovieWriter, picture: av.VideoFrame, pts: int, duration: int) -> None:
        handed.append(picture.format.name)
        write(self, picture, pts, duration)

    def never(frame: av.VideoFrame) -> av.VideoFrame:
        raise AssertionError("downloaded")

    monkeypatch.setattr(MovieWriter, "write", seen)
    monkeypatch.setattr("mattecast.matting.prepare.downloaded", never)
    assert call("matte", source, "-o", tmp_path / "a.mp4", "--gpu-video").code == 0
    assert handed == ["cuda"] * 6
