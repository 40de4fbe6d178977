"""Interlaced material becomes whole pictures, at frame rate or field rate, at exact times."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import planes, times
from commands import call
from numpy.typing import NDArray

from mattecast import Settings, matte
from mattecast.inspect.probe import probe
from mattecast.media.source import open_source

pytestmark = pytest.mark.usefixtures("left_half")
SIZE = (96, 64)
NTSC = Fraction(60000, 1001)
PLAIN = {"whole_picture": True, "foreground": "source", "detail": "fast", "smooth": "off"}


def moving(number: int) -> NDArray[np.uint8]:
    """Luma of a soft bar that goes four pixels to the right in each field."""
    x = np.arange(SIZE[0]) - 20 - 4 * number
    return np.tile(60 + 120 * np.exp(-((x / 8.0) ** 2)), (SIZE[1], 1)).astype(np.uint8)


def marking(order: str, rate: Fraction) -> Callable[[av.VideoFrame], Any]:
    """What marks frames as interlaced, with 'tff' or 'bff' as the order of their fields."""
    graph = av.filter.Graph()
    steps = (
        graph.add("buffer", f"video_size={SIZE[0]}x{SIZE[1]}:pix_fmt=yuv444p:time_base={1 / rate}"),
        graph.add("setfield", order),
        graph.add("buffersink"),
    )
    steps[0].link_to(steps[1])
    steps[1].link_to(steps[2])
    graph.configure()

    def marked(frame: av.VideoFrame) -> Any:
        steps[0].push(frame)
        return steps[2].pull()

    marked.graph = graph  # type: ignore[attr-defined]  # its filters do not keep it
    return marked


def interlaced(
    path: Path, *, rate: Fraction = Fraction(50), first: str = "top", marked: bool = True
) -> Path:
    """Six frames of twelve fields, without loss; first: the field that is shown first."""
    with av.open(str(path), "w") as out:
        options = {"qp": "0", "preset": "ultrafast", "flags": "+ildct" if marked else "+bitexact"}
        mark = marking("tff" if first == "top" else "bff", rate / 2)
        stream = out.add_stream("libx264", rate=rate / 2, options=options)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv444p"
        stream.metadata["timecode"] = "10:00:00:10"
        stream.codec_context.time_base = 2 / rate
        for number in range(6):
            frame = av.VideoFrame(*SIZE, "yuv444p")
            early, late = moving(2 * number), moving(2 * number + 1)
            top, bottom = (early, late) if first == "top" else (late, early)
            woven = np.where((np.arange(SIZE[1]) % 2)[:, None] == 0, top, bottom)
            for plane, codes in zip(frame.planes, (woven, 128, 128), strict=True):
                rows = np.frombuffer(memoryview(plane), np.uint8).reshape(SIZE[1], -1)
                rows[:, : SIZE[0]] = codes
            frame.pts = number
            out.mux(stream.encode(mark(frame) if marked else frame))
        out.mux(stream.encode(None))
    return path


def error(clip: Path, index: int, field: int) -> float:
    """How far a frame is from the true picture of a field, in 8-bit codes at worst."""
    return float(np.abs(planes(clip, index)[0] / 4.0 - moving(field)).max())


@pytest.mark.parametrize("first", ["top", "bottom"])
@pytest.mark.parametrize("rate", [Fraction(50), NTSC])
def test_marked_material_is_deinterlaced(first: str, rate: Fraction, tmp_path: Path) -> None:
    source = interlaced(tmp_path / "in.mp4", rate=rate, first=first)
    summary = matte(source, tmp_path / "out.mkv", Settings(**PLAIN))  # type: ignore[arg-type]
    assert summary.frames == 6 and summary.rate == rate / 2
    assert any("one picture of two fields" in loss for loss in summary.losses)
    assert max(error(tmp_path / "out.mkv", n, 2 * n) for n in range(1, 5)) < 6
    matte(source, tmp_path / "out.mov", Settings(**PLAIN))  # type: ignore[arg-type]
    assert times(tmp_path / "out.mov") == times(source)
    field = Settings(**PLAIN, deinterlace="field")  # type: ignore[arg-type]
    summary = matte(source, tmp_path / "field.mkv", field)
    assert (
        summary.frames == 12
        and summary.rate == rate
        and not any("fields" in loss for loss in summary.losses)
    )
    assert max(error(tmp_path / "field.mkv", n, n) for n in range(2, 10)) < 6
    matte(source, tmp_path / "field.mov", field)
    assert times(tmp_path / "field.mov") == [n / rate for n in range(12)]
    with av.open(str(tmp_path / "field.mov")) as out:
        assert out.streams.video[0].metadata["timecode"].replace(";", ":") == "10:00:00:20"


def test_off_keeps_the_lines_as_they_are(tmp_path: Path) -> None:
    source = interlaced(tmp_path / "in.mp4")
    off = Settings(**PLAIN, deinterlace="off")  # type: ignore[arg-type]
    summary = matte(source, tmp_path / "out.mkv", off)
    assert any("matted whole and marked progressive" in loss for loss in summary.losses)
    np.testing.assert_array_equal(
        planes(tmp_path / "out.mkv", 2)[0], planes(source, 2)[0] * np.int64(4)
    )


def test_unmarked_material_is_deinterlaced_on_request_alone(tmp_path: Path) -> None:
    source = interlaced(tmp_path / "in.mp4", marked=False)
    matte(source, tmp_path / "as_is.mkv", Settings(**PLAIN))  # type: ignore[arg-type]
    assert error(tmp_path / "as_is.mkv", 2, 4) > 20
    asked = Settings(**PLAIN, deinterlace="frame")  # type: ignore[arg-type]
    matte(source, tmp_path / "asked.mkv", asked)
    assert error(tmp_path / "asked.mkv", 2, 4) < 6


@pytest.mark.parametrize("how", ["frame", "field"])
def test_a_range_gives_the_pictures_of_the_whole_clip(how: str, tmp_path: Path) -> None:
    source = interlaced(tmp_path / "in.mp4")
    with open_source(source, deinterlace=how) as clip:
        whole = {frame.pts: frame.to_ndarray() for frame in clip.frames()}
        base = clip.facts.time_base
    with open_source(source, deinterlace=how) as clip:
        part = {f.pts: f.to_ndarray() for f in clip.frames(Fraction(2, 25), Fraction(4, 25))}
    assert [pts * base for pts in part] == [
        Fraction(2, 25) + Fraction(n, 50 if how == "field" else 25)
        for n in range(4 if how == "field" else 2)
    ]
    for pts, picture in part.items():
        np.testing.assert_array_equal(picture, whole[pts])
    # A timecode counts the frames of the file, at field rate too.
    result = call(
        *("matte", source, "-o", tmp_path / "out.mov", "--deinterlace", how),
        *("--range", "10:00:00:12..10:00:00:14"),
    )
    assert result.code == 0 and f": {len(part)} frames" in result.err, result.err


@pytest.mark.parametrize(("stored", "shown"), [(608, 576), (512, 486)])
def test_the_lines_above_an_imx_picture_are_cut_off(
    stored: int, shown: int, tmp_path: Path
) -> None:
    source, vbi = tmp_path / "imx.mxf", stored - shown
    with av.open(str(source), "w") as out:
        stream = out.add_stream("mpeg2video", rate=25, options={"qmin": "1", "b": "50M", "g": "1"})
        stream.width, stream.height, stream.pix_fmt = 720, stored, "yuv422p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3) * Fraction(stored, 720)
        for number in range(2):
            frame = av.VideoFrame(720, stored, "yuv422p")
            rows = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(stored, -1)
            rows[:vbi], rows[vbi:] = 235, 60
            for plane in frame.planes[1:]:
                np.frombuffer(memoryview(plane), np.uint8)[:] = 128
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    summary = matte(source, tmp_path / "out.mov", Settings(**PLAIN))  # type: ignore[arg-type]
    assert summary.size == (720, shown)
    assert any(f"the {vbi} lines above the picture" in loss for loss in summary.losses)
    assert planes(tmp_path / "out.mov")[0].max() < 70 * 16
    with av.open(str(tmp_path / "out.mov")) as out:
        shape = out.streams.video[0].sample_aspect_ratio * Fraction(720, shown)
    assert shape == Fraction(4, 3)
    assert f"720x{shown}" in " ".join(probe(source))
