"""Pictures as outputs: moving PNG, WebP and GIF in one file, JPEG, mattes as PNG; and names."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from clips import Recipe, make
from commands import StandIn, call, entries

from mattecast import engines
from mattecast.inspect.check import check
from mattecast.media.photograph import open_file


class SoftEdge(StandIn):
    """A person on the left with a soft edge in the middle."""

    def step(self, picture: Any) -> np.ndarray:
        width, height = self.info.size
        alpha = np.clip(1.5 - 2 * np.mgrid[0:height, 0:width][1] / width, 0, 1)
        return alpha.astype(np.float32)


@pytest.fixture(autouse=True)
def soft_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "load", lambda spec, size, **_: SoftEdge(size))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make(tmp_path / "clip.mp4", Recipe(pixels="yuv444p", audio=("aac",)))


def run(source: Path, output: Path, *options: str) -> str:
    """What a run says, which must succeed."""
    result = call("matte", source, "-o", output, "--detail", "fast", *options)
    assert result.code == 0, result.err
    return result.err


def pictures(path: Path) -> list[np.ndarray]:
    """The pictures of a file, (H, W, 4) uint8 RGBA."""
    with open_file(path) as opened:
        return [frame.to_ndarray(format="rgba") for frame in opened.frames()]


@pytest.mark.parametrize(
    ("output", "options"),
    [
        ("x.mp4", ("--format", "prores")),
        ("x.png", ("--format", "prores")),
        ("x.apng", ("--format", "png")),
        ("x.webm", ("--format", "h264")),
        ("x.mov", ("--format", "png")),
        ("x.mov", ("--format", "webp")),
        ("x.jpg", ("--format", "matte")),
        ("x.mxf", ("--format", "prores")),
        ("x_%d.jpg", ("--format", "png")),
    ],
)
def test_a_name_of_another_format_is_refused_early(
    output: str, options: tuple[str, ...], clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "load", lambda *_, **__: pytest.fail("the network was loaded"))
    before = entries(clip.parent)
    result = call("matte", clip, "-o", clip.with_name(output), *options)
    result.refuses(2, f"format {options[1]} is", "change the name or --format")
    assert entries(clip.parent) == before


@pytest.mark.parametrize("name", ["x.apng", "x.webp", "x.gif"])
def test_a_clip_becomes_one_moving_file(name: str, clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    said = run(clip, tmp_path / name)
    assert (tmp_path / name).is_file() and "sound: " in said
    with open_file(tmp_path / name) as opened:
        facts = opened.facts
        times = [(frame.pts or 0) * facts.time_base for frame in opened.frames()]
    assert times == [Fraction(number, 25) for number in range(8)]
    made = pictures(tmp_path / name)
    run(clip, tmp_path / "frames", "--format", "png")
    for number, picture in enumerate(made):
        png = pictures(tmp_path / "frames" / f"frames_{number:06d}.png")[0]
        seen = png[..., 3] > 0
        if name == "x.gif":
            assert set(np.unique(picture[..., 3])) == {0, 255}
            assert ((picture[..., 3] == 255) == (png[..., 3] >= 128)).mean() > 0.99
            seen = picture[..., 3] == 255
            assert np.abs(picture[seen].astype(int) - png[seen])[:, :3].mean() < 6
        else:
            np.testing.assert_array_equal(picture[seen], png[seen])
            assert not picture[..., 3][~seen].any()
    assert [each for each in check(tmp_path / name).findings if each.level == "error"] == []


@pytest.mark.parametrize("name", ["x.apng", "x.gif"])
def test_other_readers_agree_on_the_times(name: str, clip: Path, tmp_path: Path) -> None:
    run(clip, tmp_path / name)
    query = ("ffprobe", "-v", "error", "-show_entries", "packet=duration_time", "-of", "csv=p=0")
    found = subprocess.run([*query, tmp_path / name], capture_output=True, text=True, check=True)
    assert [float(line.strip(",")) for line in found.stdout.split()] == [0.04] * 8


def test_gif_is_not_faster_than_browsers_show(tmp_path: Path) -> None:
    fast = make(tmp_path / "fast.mp4", Recipe(rate=Fraction(60), pts=tuple(range(12))))
    assert "60 frames a second become 30" in run(fast, tmp_path / "x.gif")
    with av.open(str(tmp_path / "x.gif")) as opened:
        steps = [packet.duration for packet in opened.demux(video=0) if packet.size]
    assert len(steps) in (6, 7) and set(steps) <= {3, 4}
    call("matte", fast, "-o", tmp_path / "y.gif", "--cfr", "60").refuses(2, "50 a second at most")


def test_a_still_becomes_one_picture_of_each_kind(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    rows = np.mgrid[0:64, 0:96][0]
    cv2.imwrite(str(source), np.stack([60 + rows, 120 - rows, 90 + rows], -1).astype(np.uint8))
    run(source, tmp_path / "x.png")
    (png,) = pictures(tmp_path / "x.png")
    for name in ("x.webp", "x.apng"):
        run(source, tmp_path / name)
        (picture,) = pictures(tmp_path / name)
        np.testing.assert_array_equal(picture[png[..., 3] > 0], png[png[..., 3] > 0])
        assert call("check", tmp_path / name).code == 0
    run(source, tmp_path / "x.jpg")
    run(source, tmp_path / "red.jpeg", "--background", "#ff0000")
    assert call("check", tmp_path / "x.jpg").code == 0
    share = png[..., 3:] / 255
    for name, behind in (("x.jpg", (255, 255, 255)), ("red.jpeg", (255, 0, 0))):
        (picture,) = pictures(tmp_path / name)
        expected = png[..., :3] * share + np.array(behind) * (1 - share)
        assert np.abs(picture[..., :3] - expected).mean() < 2


def test_depth_of_moving_png(tmp_path: Path) -> None:
    deep = make(tmp_path / "deep.mkv", Recipe(codec="ffv1", pixels="yuv444p10le", options=()))
    run(deep, tmp_path / "x.apng")
    with av.open(str(tmp_path / "x.apng")) as opened:
        assert opened.streams.video[0].codec_context.pix_fmt == "rgba64be"


@pytest.mark.parametrize(("depth", "pixels"), [("8", "gray"), ("16", "gray16be")])
def test_the_matte_of_pictures_is_a_gray_png(
    depth: str, pixels: str, clip: Path, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.full((64, 96, 3), 90, np.uint8))
    options = ("--format", "matte", "--depth", depth)
    run(tmp_path / "photo.png", tmp_path / "m.png", *options)
    run(clip, tmp_path / "mattes" / "m.####.png", *options)
    run(tmp_path / "photo.png", tmp_path / "x.png", "--depth", depth)
    assert entries(tmp_path / "mattes")[:2] == ["m.0000.png", "m.0001.png"]
    for path in (tmp_path / "m.png", tmp_path / "mattes" / "m.0000.png"):
        with av.open(str(path)) as opened:
            assert next(opened.decode(video=0)).format.name == pixels
    matte = cv2.imread(str(tmp_path / "m.png"), cv2.IMREAD_UNCHANGED)
    alpha = cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_UNCHANGED)[..., 3]
    np.testing.assert_array_equal(matte, alpha)
    result = call("matte", tmp_path / "photo.png", "--out-dir", tmp_path / "o", "--format", "matte")
    assert result.code == 0 and entries(tmp_path / "o") == ["photo.matte.png"]
