"""Composites made as torch operations: to one code what the CPU makes, here on the CPU's torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from clips import times
from mattes import pictures
from numpy.typing import NDArray

from mattecast import Settings, flow
from mattecast.compositing.composer import Composer
from mattecast.engines import EngineError
from mattecast.flow import StageTimes
from mattecast.job import Job
from mattecast.matting.guidance import Guidance
from mattecast.matting.stages import stages
from mattecast.media.clip import Clip
from mattecast.media.formats import FORMATS
from mattecast.media.frame import Estimated, Frame, components
from mattecast.plan import Plan, plan

torch = pytest.importorskip("torch")

from mattecast import run  # noqa: E402
from mattecast.compositing.gpu import GpuComposer  # noqa: E402
from mattecast.media import gpu  # noqa: E402

SIZE, SMALL = (320, 180), (96, 64)
USUAL = Settings(format="hevc", smooth="off", background="green")


def film(path: Path, pixels: str, *, size: tuple[int, int] = SIZE, rotation: int = 0) -> Path:
    """Three frames of a bright blob over textured ground, exact in its codes."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = 1
        if rotation:
            stream.set_display_rotation(rotation)
        for picture in pictures(3, size=size):
            frame = av.VideoFrame.from_ndarray(cv2.GaussianBlur(picture, (3, 3), 0), "rgb24")
            frame = frame.reformat(format=pixels, dst_colorspace=1)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def drawn(small: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A matte with much soft alpha: the bright of the network's picture."""
    bright = cv2.GaussianBlur(small, (3, 3), 0)[..., 0].astype(np.float32)
    return np.clip((bright - 110) / 80, 0, 1)


def composites(
    source: Path, wish: Settings, device: str | None, network: tuple[int, int] = SMALL
) -> Iterator[list[NDArray[np.int_]]]:
    """The component planes of each composite, made by torch on a device or by numpy."""
    with Clip(source) as clip:
        ours = replace(plan(clip.facts, wish, FORMATS[wish.format or ""]), device=device)
        every = stages(Job(clip.facts, ours, wish, Guidance(), None, network))
        frames = flow.run(clip.frames(), every.prepare, StageTimes())
        estimates = (Estimated(frame, drawn(frame.small)) for frame in frames)
        mattes = flow.run(estimates, every.small + every.full, StageTimes())
        composer = GpuComposer(ours, wish) if device else Composer(ours, wish)
        for matted in mattes:
            picture = composer(matted)
            assert picture.colorspace == 1 and picture.color_trc == 1
            if device:
                picture = picture.reformat(format=ours.pixels)
            yield [plane.astype(int) for plane in components(picture)]
        composer.close()


def check_equal(source: Path, wish: Settings, device: str, **more: tuple[int, int]) -> None:
    """Hold torch's composites against numpy's, which differ from the source themselves."""
    pairs = zip(
        composites(source, wish, device, **more),
        composites(source, wish, None, **more),
        strict=True,
    )
    # OpenCV blurs 8 bits with rounded weights.
    count, blurred = 0, str(wish.background).startswith("blur")
    for ours, theirs in pairs:
        count += 1
        for one, other in zip(ours, theirs, strict=True):
            difference = np.abs(one - other)
            assert one.shape == other.shape and other.std() > 3
            assert difference.max() <= 1, f"{difference.max()} codes"
            assert difference.mean() < (0.15 if blurred else 0.02)
    assert count == 3


@pytest.fixture
def backdrop(tmp_path: Path) -> Path:
    picture = cv2.GaussianBlur(next(pictures(1, seed=4, size=(400, 300))), (5, 5), 0)
    cv2.imwrite(str(tmp_path / "back.png"), picture)
    return tmp_path / "back.png"


CASES = {
    "colour": {},
    "8 bits": {"format": "h264"},
    "blur": {"background": "blur"},
    "strong blur": {"background": "blur:12", "format": "h264"},
    "slight blur": {"background": "blur:0.4"},
    "source colours": {"foreground": "source"},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
def test_the_cpu_is_followed_to_one_code(case: str, pixels: str, tmp_path: Path) -> None:
    source = film(tmp_path / "a.mkv", pixels)
    check_equal(source, replace(USUAL, **CASES[case]), "cpu")


@pytest.mark.parametrize("kind", ["png", "mkv"])
def test_pictures_and_videos_lie_behind(kind: str, backdrop: Path, tmp_path: Path) -> None:
    behind = backdrop if kind == "png" else film(tmp_path / "b.mkv", "yuv420p", size=(400, 300))
    source = film(tmp_path / "a.mkv", "yuv420p10le")
    check_equal(source, replace(USUAL, background=str(behind)), "cpu")


@pytest.mark.parametrize("what", ["444", "turned", "scaled", "network as large"])
def test_what_must_be_converted_is(what: str, tmp_path: Path) -> None:
    pixels = "yuv444p10le" if what == "444" else "yuv420p"
    source = film(tmp_path / "a.mkv", pixels, rotation=90 if what == "turned" else 0)
    wish = replace(USUAL, size="160x90" if what == "scaled" else None)
    large = {"network": (352, 192)} if what == "network as large" else {}
    check_equal(source, wish, "cpu", **large)


def test_a_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stages joined as they are on a GPU, with the CPU's encoder at their end."""
    source = film(tmp_path / "a.mkv", "yuv420p")

    def on_torch(ours: Plan, settings: Settings, guidance: Guidance) -> Plan:
        return replace(ours, device="cpu", encoder_pixels="nv12")

    wish = Settings(gpu_video=True, background="blur")
    run.matte(source, tmp_path / "numpy.mp4", wish)
    monkeypatch.setattr(run, "encoded_on_gpu", on_torch)
    summary = run.matte(source, tmp_path / "torch.mp4", wish)
    assert summary.frames == 3
    assert times(tmp_path / "torch.mp4") == [Fraction(index, 25) for index in range(3)]
    with av.open(str(tmp_path / "torch.mp4")) as one, av.open(str(tmp_path / "numpy.mp4")) as other:
        for ours, theirs in zip(one.decode(video=0), other.decode(video=0), strict=True):
            assert (ours.colorspace, ours.color_range) == (theirs.colorspace, theirs.color_range)
            difference = ours.to_ndarray().astype(int) - theirs.to_ndarray()
            assert np.abs(difference).mean() < 1.5 and theirs.to_ndarray().std() > 20


@pytest.mark.parametrize("name", ["nv12", "p010le"])
def test_a_frame_is_downloaded_and_placed_as_it_is(name: str) -> None:
    planar = {"nv12": "yuv420p", "p010le": "yuv420p10le"}[name]
    rgb = av.VideoFrame.from_ndarray(next(pictures(1, size=SIZE)), "rgb24")
    frame = rgb.reformat(format=name)
    frame.pts, frame.time_base, frame.color_trc = 7, Fraction(1, 25), 16
    expected = frame.reformat(format=planar).to_ndarray()
    for copy in (gpu.downloaded(frame), gpu.copied_to_device(frame, "cpu")):
        assert copy.format.name == name and (copy.pts, copy.time_base) == (7, Fraction(1, 25))
        assert copy.color_trc == 16 and copy.color_range == frame.color_range
        np.testing.assert_array_equal(copy.reformat(format=planar).to_ndarray(), expected)
        luma, chroma = gpu.tensors(copy)
        luma.zero_()
        np.testing.assert_array_equal(frame.reformat(format=planar).to_ndarray(), expected)
        # The encoder looks for chroma right behind luma, by luma's own pitch.
        size = luma.shape[0] * luma.stride(0) * luma.element_size()
        assert chroma.data_ptr() - luma.data_ptr() == size and chroma.stride(0) == luma.stride(0)


def prepared(source: Path, pixels: str, device: str | None, **more: Any) -> list[Frame]:
    """Frames as ProRes wants them, or where composites are made; a GPU's decoder gives `pixels`."""
    with Clip(source) as clip:
        form = FORMATS["prores" if device is None else "hevc"]
        ours = replace(plan(clip.facts, Settings(**more), form), device=device)
        every = stages(Job(clip.facts, ours, Settings(**more), Guidance(), None, SMALL))
        decoded = (frame.reformat(format=pixels) for frame in clip.frames())
        return list(flow.run(decoded, every.prepare, StageTimes()))


@pytest.mark.parametrize("pixels", ["nv12", "p010le"])
def test_frames_the_decoder_leaves_on_a_gpu(
    pixels: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As they are to the composer, downloaded only to be converted: here by frames in memory."""
    planar = {"nv12": "yuv420p", "p010le": "yuv420p10le"}[pixels]
    source = film(tmp_path / "a.mkv", planar)
    expected = prepared(source, pixels, None)
    monkeypatch.setattr(
        "mattecast.matting.prepare.is_readable_by_torch", lambda frame: frame.format.name == pixels
    )
    downloads = []

    def downloaded(frame: av.VideoFrame) -> av.VideoFrame:
        downloads.append(frame)
        return gpu.downloaded(frame)

    monkeypatch.setattr("mattecast.matting.prepare.downloaded", downloaded)
    for one, other in zip(prepared(source, pixels, None), expected, strict=True):
        assert one.picture.format.name == planar and one.pts == other.pts
        for ours, theirs in zip(components(one.picture), components(other.picture), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert len(downloads) == 3
    with Clip(source) as clip:
        decoded = [frame.to_ndarray() for frame in clip.frames()]
    for frame, codes in zip(prepared(source, pixels, "cpu"), decoded, strict=True):
        assert frame.picture.format.name == pixels
        np.testing.assert_array_equal(frame.picture.reformat(format=planar).to_ndarray(), codes)
    assert len(downloads) == 3
    assert prepared(source, pixels, "cpu", size="160x90")[0].picture.width == 160
    assert len(downloads) == 6


def test_a_gpu_that_fails_is_one_line() -> None:
    frame = av.VideoFrame(*SIZE, "nv12")
    with pytest.raises(EngineError, match=r"the GPU failed on a picture .*without --") as caught:
        gpu.copied_to_device(frame, "mps")  # which no torch that the tests run on has
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"choke": 2.0, "light_wrap": 0.5}, "choke, light-wrap"),
        ({"background": "bokeh:2"}, "bokeh"),
        ({}, ""),
        ({"smooth": "two-way", "foreground": "source"}, ""),
    ],
)
def test_what_only_the_cpu_makes_is_reported(
    wish: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "_torch_on_gpu", lambda: True)
    settings = replace(USUAL, **wish)
    with Clip(film(tmp_path / "a.mkv", "yuv420p")) as clip:
        ours = plan(clip.facts, settings, FORMATS["hevc"])
    assert gpu._cpu_only_reasons(ours, settings, Guidance()) == said
    masked = Guidance(plate=np.zeros((4, 4, 3), np.uint8))
    assert "guidance" in gpu._cpu_only_reasons(ours, settings, masked)
    assert "odd sizes" in gpu._cpu_only_reasons(replace(ours, padding=(1, 0)), settings, Guidance())
    monkeypatch.setattr(gpu, "_torch_on_gpu", lambda: False)
    assert gpu._cpu_only_reasons(ours, settings, Guidance()).endswith("torch sees no GPU")


@pytest.mark.gpu
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv420p10le"])
def test_a_gpu_makes_them_too(case: str, pixels: str, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    source = film(tmp_path / "a.mkv", pixels)
    check_equal(source, replace(USUAL, **CASES[case]), "cuda:0")


@pytest.mark.gpu
def test_five_hundred_composites_take_no_more_memory(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("torch sees no GPU")
    wish = replace(USUAL, background="blur")
    with Clip(film(tmp_path / "a.mkv", "yuv420p")) as clip:
        ours = replace(plan(clip.facts, wish, FORMATS["hevc"]), device="cuda:0")
        every = stages(Job(clip.facts, ours, wish, Guidance(), None, SMALL))
        decoded = [next(clip.frames())] * 520
        composer, held = GpuComposer(ours, wish), []
        for frame in flow.run(decoded, every.prepare, StageTimes()):
            composer(Estimated(frame, drawn(frame.small)))
            held.append(torch.cuda.memory_allocated())
    assert held[-1] <= held[20]
