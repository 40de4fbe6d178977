"""Times: an output begins at zero, whatever clock its source runs on; sound stays in sync."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Recipe, make, times

from mattecast import Settings, matte
from mattecast.media.clip import Clip

pytestmark = pytest.mark.usefixtures("left_half")

MPEG = Fraction(1, 90000)
X264 = (("preset", "ultrafast"), ("bf", "0"), ("qp", "0"))
# MPEG's clocks have 33 bits; libav takes a start a little before the end for a negative one.
STARTS = {"one second": 126000, "an hour": 324_000_000, "wrap": 2**33 - 25000}


def stream(first: int, lead: int = 0, **more: object) -> Recipe:
    """Thirty frames at 25 a second and sound, which begins `lead` units before the picture."""
    recipe = {
        "options": X264,
        "time_base": MPEG,
        "pts": [first + 3600 * n for n in range(30)],
        "audio": ("mp2",),
        "audio_start": (first - lead) * MPEG,
    }
    return Recipe(**{**recipe, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("output", ["out.mov", "out.webm", "out.mp4"])
@pytest.mark.parametrize("start", STARTS)
def test_an_output_begins_at_zero(start: str, output: str, tmp_path: Path) -> None:
    source = make(tmp_path / "source.ts", stream(STARTS[start]))
    matte(source, tmp_path / output)
    # WebM's clock has a step of a millisecond.
    assert times(tmp_path / output) == pytest.approx([n / 25 for n in range(30)], abs=0.0005)
    assert _ahead(tmp_path / output) == pytest.approx(_ahead(source), abs=0.003)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".vob"])
def test_every_container_may_begin_late(suffix: str, tmp_path: Path) -> None:
    recipe = stream(90000)
    if suffix == ".vob":
        second = [25 + n for n in range(30)]
        recipe = stream(90000, codec="mpeg2video", options=(), time_base=None, pts=second)
    source = make(tmp_path / f"source{suffix}", recipe)
    assert times(source)[0] > Fraction(1, 2)
    matte(source, tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == pytest.approx([n / 25 for n in range(30)], abs=0.001)
    assert _ahead(tmp_path / "out.mov") == pytest.approx(_ahead(source), abs=0.003)


@pytest.mark.parametrize("output", ["out.mov", "out.webm", "out.mkv"])
@pytest.mark.parametrize("codec", ["aac", "mp2"])
def test_sound_that_leads_by_less_than_a_frame_gives_no_black_frame(
    codec: str, output: str, tmp_path: Path
) -> None:
    source = make(tmp_path / "source.ts", stream(126000, lead=1920, audio=(codec,)))
    matte(source, tmp_path / output)
    assert times(tmp_path / output)[0] == 0
    assert _ahead(tmp_path / output) == pytest.approx(_ahead(source), abs=0.003)


def test_sound_that_leads_by_more_begins_at_zero(tmp_path: Path) -> None:
    source = make(tmp_path / "source.ts", stream(126000, lead=48000))
    matte(source, tmp_path / "out.mov")
    with av.open(str(source)) as clip:
        lead = (clip.streams.video[0].start_time - clip.streams.audio[0].start_time) * MPEG
    assert times(tmp_path / "out.mov")[0] == lead > Fraction(1, 2)
    assert _ahead(tmp_path / "out.mov") == pytest.approx(_ahead(source), abs=0.003)
    # Without its sound nothing comes before the picture.
    matte(source, tmp_path / "mute.mov", Settings(audio=False))
    assert times(tmp_path / "mute.mov")[0] == 0
    matte(source, tmp_path / "two.mov", Settings(format="fill-key"))
    begins = {times(tmp_path / f"two.{part}.mov")[0] for part in ("fill", "key")}
    assert begins == {lead}


def test_a_range_counts_from_the_first_frame(tmp_path: Path) -> None:
    source = make(tmp_path / "source.ts", stream(126000))
    summary = matte(source, tmp_path / "out.mov", Settings(range="0.4..0.8"))
    assert times(tmp_path / "out.mov") == [Fraction(n, 25) for n in range(summary.frames)]
    assert summary.frames == 10
    # The click half a second after the first frame is at 0.1 s.
    assert _click(tmp_path / "out.mov", 0.05) == pytest.approx(_ahead(source) - 0.4, abs=0.003)


def test_a_range_begins_with_a_frame(tmp_path: Path) -> None:
    """A range that begins between two frames gives no empty time before the first of its own."""
    rate = Fraction(30000, 1001)
    recipe = Recipe(rate=rate, pts=tuple(range(40)), audio=("aac",), timecode="00:00:00;00")
    source = make(tmp_path / "source.mov", recipe)
    summary = matte(source, tmp_path / "out.mov", Settings(range="0.4..0.8"))
    assert times(tmp_path / "out.mov") == [n / rate for n in range(12)]
    assert summary.timecode == "00:00:00;12"
    # The click at 0.5 s.
    assert _click(tmp_path / "out.mov", 0.05) == pytest.approx(0.5 - float(12 / rate), abs=0.025)


def test_chapters_move_with_the_picture(tmp_path: Path) -> None:
    recipe = stream(90000, chapters=True, audio=())
    with Clip(make(tmp_path / "source.mkv", recipe)) as clip:
        moved = [float(chapter["start"] * chapter["time_base"]) for chapter in clip.chapters]
    assert moved == pytest.approx([-1.0, -0.9], abs=0.001)


def _ahead(path: Path) -> float:
    """How long after the first frame the sound's first click comes (seconds)."""
    return _click(path) - float(times(path)[0])


def _click(path: Path, later: float = 0.2) -> float:
    """When the test tone's first click comes that is some seconds after the sound's start."""
    with av.open(str(path)) as clip:
        resampler = av.AudioResampler("fltp")
        begin = None
        for frame in clip.decode(audio=0):
            for block in resampler.resample(frame):
                begin = float(block.time or 0) if begin is None else begin
                loud = np.flatnonzero(np.abs(block.to_ndarray()[0]) > 0.5)
                for place in loud:
                    time = float(block.time or 0) + place / block.sample_rate
                    if time - begin > later:
                        return time
    raise AssertionError(f"{path} has no click")


@pytest.mark.parametrize("options", [X264, (*X264, ("bf", "2"), ("b_strategy", "0"))])
def test_a_stream_that_begins_between_key_frames(options: object, tmp_path: Path) -> None:
    """The output begins with the first picture that can be decoded; nothing else is wrong."""
    whole = make(tmp_path / "whole.ts", stream(126000, options=(*options, ("g", "15"))))  # type: ignore[misc]
    data = whole.read_bytes()
    source = tmp_path / "cut.ts"
    source.write_bytes(data[len(data) // 188 // 5 * 188 :])
    summary = matte(source, tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == [Fraction(n, 25) for n in range(15)]
    (line,) = summary.damage
    assert "begins between key frames" in line and "pictures cannot be decoded" in line
    # The click one second after the whole clip's first frame is 0.4 s after the output's.
    assert _ahead(tmp_path / "out.mov") == pytest.approx(0.4, abs=0.03)
