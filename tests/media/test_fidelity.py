"""What comes in goes out: frames, times, shapes and colours of every kind of source."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Recipe, make, picture, planes, times

from mattecast import Settings, matte

pytestmark = pytest.mark.usefixtures("left_half")

NTSC_FILM, NTSC = Fraction(24000, 1001), Fraction(30000, 1001)
VFR = [0, 512, 1024, 1200, 2560, 2600, 4096, 9000]
X264 = (("preset", "ultrafast"), ("qp", "0"))
B_FRAMES = (("preset", "ultrafast"), ("bf", "2"), ("b_strategy", "0"), ("g", "12"), ("qp", "1"))
WHOLE = Settings(whole_picture=True, foreground="source", quality="max")

TIMINGS = {
    "25": Recipe(),
    "24000/1001": Recipe(rate=NTSC_FILM),
    "30000/1001": Recipe(rate=NTSC, time_base=Fraction(1, 30000), pts=[1001 * n for n in range(8)]),
    "variable": Recipe(time_base=Fraction(1, 15360), pts=VFR),
    "b-frames": Recipe(options=B_FRAMES, pts=tuple(range(20))),
    "odd size": Recipe(size=(853, 479), pixels="yuv444p", pts=(0, 1, 2)),
}


@pytest.mark.parametrize("kind", TIMINGS)
def test_every_time_is_kept(kind: str, tmp_path: Path) -> None:
    source = make(tmp_path / "source.mp4", TIMINGS[kind])
    matte(source, tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == times(source)


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".webm", ".gif", ".mpg", ".ts"])
def test_other_containers(suffix: str, tmp_path: Path) -> None:
    codec = {".webm": "libvpx-vp9", ".gif": "gif", ".mpg": "mpeg2video", ".avi": "mpeg4"}
    pixels = "rgb8" if suffix == ".gif" else "yuv420p"
    recipe = Recipe(codec=codec.get(suffix, "libx264"), pixels=pixels, options=())
    source = make(tmp_path / f"source{suffix}", recipe)
    matte(source, tmp_path / "out.mov")
    first, *_ = before = times(source)
    assert times(tmp_path / "out.mov") == [time - first for time in before]


CODECS = {
    "hevc 8": ("libx265", "yuv420p", ".mp4"),
    "hevc 10": ("libx265", "yuv420p10le", ".mp4"),
    "vp9": ("libvpx-vp9", "yuv420p", ".webm"),
    "av1": ("libsvtav1", "yuv420p10le", ".mkv"),
    "prores 4444": ("prores_ks", "yuva444p10le", ".mov"),
    "dnxhr": ("dnxhd", "yuv422p10le", ".mxf"),
    "mjpeg": ("mjpeg", "yuvj420p", ".avi"),
    "qtrle": ("qtrle", "argb", ".mov"),
    "png": ("png", "rgb24", ".mov"),
}


@pytest.mark.parametrize("kind", CODECS)
def test_every_codec(kind: str, tmp_path: Path) -> None:
    codec, pixels, suffix = CODECS[kind]
    options = {"dnxhd": {"profile": "dnxhr_hqx"}, "libx265": {"x265-params": "log-level=none"}}
    colour = (2, 1, 1, 1) if pixels == "yuvj420p" else (1, 1, 1, 1)
    recipe = Recipe(
        codec=codec,
        pixels=pixels,
        size=(256, 144),
        colour=colour,
        options=tuple(options.get(codec, {}).items()),
        pts=(0, 1, 2, 3),
    )
    source = make(tmp_path / f"source{suffix}", recipe)
    summary = matte(source, tmp_path / "out.mov")
    assert summary.frames == 4 and times(tmp_path / "out.mov") == times(source)


def test_pictures_by_folder_and_by_pattern(tmp_path: Path) -> None:
    (tmp_path / "shot").mkdir()
    for number in (8, 9, 10, 11):
        frame = picture(Recipe(), number).reformat(format="rgb24")
        frame.save(tmp_path / "shot" / f"shot_{number}.png")
    for source in (tmp_path / "shot", tmp_path / "shot" / "shot_%d.png"):
        settings = Settings(rate=NTSC_FILM, whole_picture=True, foreground="source", overwrite=True)
        matte(source, tmp_path / "out.mov", settings)
        assert times(tmp_path / "out.mov") == [n / NTSC_FILM for n in range(4)]
        # Number 8 comes before number 10, whatever the alphabet says.
        brightness = [float(planes(tmp_path / "out.mov", n)[0].mean()) for n in range(4)]
        assert brightness == sorted(brightness)


def test_edit_list(tmp_path: Path) -> None:
    """A source whose edit list starts in mid-clip shows, and yields, only what is inside."""
    source = make(tmp_path / "source.mp4", Recipe(pts=tuple(range(12))))
    cut = tmp_path / "cut.mp4"
    with av.open(str(source)) as whole, av.open(str(cut), "w") as out:
        stream = whole.streams.video[0]
        target = out.add_stream_from_template(stream)
        for packet in whole.demux(stream):
            if packet.dts is None:
                continue
            shift = int(Fraction(3, 25) / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = target
            out.mux(packet)
    shown = times(cut)
    assert len(shown) == 9 and shown[0] == 0
    matte(cut, tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == shown


CODES = {
    "8 bit 4:2:0": Recipe(),
    "10 bit 4:2:0": Recipe(codec="ffv1", pixels="yuv420p10le", options=()),
    "10 bit 4:2:2": Recipe(codec="ffv1", pixels="yuv422p10le", options=()),
    "10 bit 4:4:4": Recipe(codec="ffv1", pixels="yuv444p10le", options=()),
    "prores 4:2:2": Recipe(codec="prores_ks", pixels="yuv422p10le", options=()),
    "bt2020 pq": Recipe(codec="ffv1", pixels="yuv444p10le", options=(), colour=(1, 9, 9, 16)),
    "bt2020 hlg": Recipe(codec="ffv1", pixels="yuv444p10le", options=(), colour=(1, 9, 9, 18)),
    "bt601": Recipe(codec="ffv1", pixels="yuv444p", options=(), colour=(1, 6, 6, 6)),
}


@pytest.mark.parametrize("kind", CODES)
def test_colours_survive_at_ten_bits(kind: str, tmp_path: Path) -> None:
    """Luma codes, and 4:4:4 chroma codes, within 2/1023; the four tags unchanged."""
    recipe = CODES[kind]
    source = make(tmp_path / ("source.mov" if recipe.codec != "ffv1" else "source.mkv"), recipe)
    matte(source, tmp_path / "out.mov", WHOLE)
    before, after = planes(source), planes(tmp_path / "out.mov")
    depth = 10 if "10" in recipe.pixels else 8
    depth = 10 if recipe.codec == "prores_ks" else depth
    kept = 3 if "444" in recipe.pixels else 1
    for index in range(kept):
        # 12-bit codes as libav decodes ProRes 4444.
        wanted = before[index].astype(float) * 2.0 ** (10 - depth)
        # An 8-bit ramp is a staircase at 10 bits, which costs the codec a little more.
        limit = 2.0 if depth == 10 else 3.0
        assert np.abs(after[index] / 4.0 - wanted).max() <= limit, f"component {index}"
    # ProRes has one code for the curve that BT.601 and BT.709 share.
    expected = (1, 6, 6, 1) if kind == "bt601" else recipe.colour
    assert _tags(tmp_path / "out.mov") == expected


def test_full_range_becomes_limited_without_a_shift(tmp_path: Path) -> None:
    recipe = Recipe(codec="ffv1", pixels="yuv444p", options=(), colour=(2, 1, 1, 1))
    source = make(tmp_path / "source.mkv", recipe)
    matte(source, tmp_path / "out.mov", WHOLE)
    luma, blue, _ = (plane.astype(float) for plane in planes(source))
    after = [plane / 4.0 for plane in planes(tmp_path / "out.mov")]
    # libswscale's range conversion is 1.3 codes low at worst, before the codec's own error.
    assert np.abs(after[0] - (64 + luma / 255 * 876)).max() <= 3.5
    assert np.abs(after[1] - (512 + (blue - 128) / 255 * 896)).max() <= 3.5
    assert _tags(tmp_path / "out.mov") == (1, 1, 1, 1)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_baked_upright(degrees: int, tmp_path: Path) -> None:
    recipe = Recipe(rotation=degrees, sar=Fraction(4, 3))
    source = make(tmp_path / "source.mp4", recipe)
    matte(source, tmp_path / "out.mov", WHOLE)
    luma = planes(source)[0].astype(float) * 4
    with av.open(str(source)) as clip:
        turn = next(clip.decode(video=0)).rotation
    after = planes(tmp_path / "out.mov")[0] / 4.0
    assert np.abs(after - np.rot90(luma, turn // 90)).max() <= 2.0
    with av.open(str(tmp_path / "out.mov")) as clip:
        assert next(clip.decode(video=0)).rotation == 0
        wanted = Fraction(4, 3) if degrees == 180 else Fraction(3, 4)
        assert clip.streams.video[0].sample_aspect_ratio == wanted


def test_anamorphic_pixels_stay(tmp_path: Path) -> None:
    source = make(tmp_path / "source.mp4", Recipe(sar=Fraction(16, 11)))
    matte(source, tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as clip:
        assert clip.streams.video[0].sample_aspect_ratio == Fraction(16, 11)


def test_timecode_chapters_and_tags(tmp_path: Path) -> None:
    recipe = Recipe(rate=NTSC, timecode="01:02:03;04", chapters=True)
    source = make(tmp_path / "source.mov", recipe)
    summary = matte(source, tmp_path / "out.mov")
    assert summary.timecode == "01:02:03;04"
    with av.open(str(tmp_path / "out.mov")) as clip:
        assert clip.streams.video[0].metadata["timecode"] == "01:02:03;04"
        titles = [chapter["metadata"]["title"] for chapter in clip.chapters()]
    assert titles == ["one", "two"]


def test_range_by_seconds_and_by_timecode(tmp_path: Path) -> None:
    recipe = Recipe(timecode="10:00:00:00", pts=tuple(range(40)))
    source = make(tmp_path / "source.mov", recipe)
    for text in ("0.4..0.8", "10:00:00:10..10:00:00:20"):
        out = tmp_path / "out.mov"
        settings = Settings(range=text, whole_picture=True, foreground="source", overwrite=True)
        summary = matte(source, out, settings)
        assert summary.frames == 10 and summary.timecode == "10:00:00:10"
        assert times(out) == [Fraction(n, 25) for n in range(10)]
        assert np.abs(planes(out)[0] / 4.0 - planes(source, 10)[0] * 4.0).max() < 80


def test_constant_rate_keeps_the_length(tmp_path: Path) -> None:
    recipe = Recipe(time_base=Fraction(1, 1000), pts=[0, 40, 55, 60, 300, 320, 400])
    source = make(tmp_path / "source.mkv", recipe)
    summary = matte(source, tmp_path / "out.mov", Settings(cfr=Fraction(25)))
    # Frames at 40, 55 and 60 ms want one slot: the last of them that is nearest to it stays.
    assert times(tmp_path / "out.mov") == [Fraction(n, 25) for n in range(summary.frames)]
    assert summary.frames == 11


def test_size(tmp_path: Path) -> None:
    source = make(tmp_path / "source.mp4", Recipe(size=(192, 108)))
    summary = matte(source, tmp_path / "out.mov", Settings(size="54p"))
    assert summary.size == (96, 54)


def _tags(path: Path) -> tuple[int, int, int, int]:
    with av.open(str(path)) as clip:
        frame = next(clip.decode(video=0))
        return (
            int(frame.color_range),
            int(frame.colorspace),
            int(frame.color_primaries),
            int(frame.color_trc),
        )
