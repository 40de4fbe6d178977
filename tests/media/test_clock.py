"""Clocks that are set back or on in mid-file: one offset for picture and sound, and it is said."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Recipe, make, times

from mattecast import Settings, matte
from mattecast.media import grid

pytestmark = pytest.mark.usefixtures("left_half")

MPEG = Fraction(1, 90000)
X264 = (("preset", "ultrafast"), ("g", "10"), ("qp", "0"))
B_FRAMES = (*X264, ("bf", "2"), ("b_strategy", "0"))
# How much later than the first part the clock of the second begins, in its own units; 30 frames
# last 108000.
SET = {"back": 0, "far back": -90000, "a little back": 90000, "five minutes on": 27_000_000}


def part(path: Path, first: int, **more: object) -> bytes:
    """Thirty frames at 25 a second, with sound that clicks at each half second."""
    recipe = {
        "options": X264,
        "time_base": MPEG,
        "pts": [first + 3600 * n for n in range(30)],
        "audio": ("mp2",),
        "audio_start": first * MPEG,
    }
    return make(path, Recipe(**{**recipe, **more})).read_bytes()  # type: ignore[arg-type]


def spliced(folder: Path, *firsts: int, **more: object) -> Path:
    """Parts whose clocks begin at some times, one after the other in one file."""
    parts = [part(folder / f"{n}.ts", first, **more) for n, first in enumerate(firsts)]
    whole = folder / "spliced.ts"
    whole.write_bytes(b"".join(parts))
    return whole


@pytest.mark.parametrize("options", [X264, B_FRAMES], ids=["i-p", "i-p-b"])
@pytest.mark.parametrize("audio", ["mp2", "aac"])
@pytest.mark.parametrize("kind", SET)
def test_both_parts_are_whole_and_in_sync(
    kind: str, audio: str, options: tuple[tuple[str, str], ...], tmp_path: Path
) -> None:
    source = spliced(tmp_path, 126000, 126000 + SET[kind], options=options, audio=(audio,))
    summary = matte(source, tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == [Fraction(n, 25) for n in range(60)]
    assert _clicks(tmp_path / "out.mov") == pytest.approx(
        [0, 0.5, 1, 1.2, 1.7, 2.2], abs=0.03
    ) or _clicks(tmp_path / "out.mov") == pytest.approx([0.5, 1, 1.2, 1.7, 2.2], abs=0.03)
    assert summary.damage == ("the clock is set anew at 1.200 s: joined there, sound too",)


def test_a_pause_of_the_picture_is_no_break(tmp_path: Path) -> None:
    """A second part goes on with the clock where the sound of the first ended, half a second after
    its picture."""
    pictures = [126000 + 3600 * n for n in (*range(30), *range(42, 72))]
    source = make(
        tmp_path / "source.ts",
        Recipe(
            options=X264, time_base=MPEG, pts=pictures, audio=("mp2",), audio_start=126000 * MPEG
        ),
    )
    summary = matte(source, tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == [Fraction(pts - 126000, 90000) for pts in pictures]
    assert not [line for line in summary.damage if "clock" in line]


def test_many_breaks(tmp_path: Path) -> None:
    source = spliced(tmp_path, 126000, 126000, 9_000_000, 126000, 90000)
    summary = matte(source, tmp_path / "out.webm")
    assert times(tmp_path / "out.webm") == pytest.approx([n / 25 for n in range(150)], abs=0.001)
    assert _clicks(tmp_path / "out.webm")[-1] == pytest.approx(5.8, abs=0.06)
    assert summary.damage[0].startswith("the clock is set anew at 1.200, 2.400, 3.600, 4.800 s")


def test_parts_cut_anywhere(tmp_path: Path) -> None:
    """Recordings are cut amid groups of pictures: what is lost there squeezes no other frame."""
    first = part(tmp_path / "one.ts", 126000, options=B_FRAMES)
    second = part(tmp_path / "two.ts", 126000, options=B_FRAMES)
    source = tmp_path / "spliced.ts"
    source.write_bytes(first[: len(first) // 188 * 3 // 5 * 188] + second[len(second) // 4 :])
    matte(source, tmp_path / "out.mov")
    shown = times(tmp_path / "out.mov")
    assert len(shown) > 30
    assert min(later - earlier for earlier, later in pairwise(shown)) >= Fraction(1, 25)


def test_program_streams_too(tmp_path: Path) -> None:
    one = Recipe(codec="mpeg2video", options=(), pts=tuple(range(30)), audio=("mp2",))
    data = make(tmp_path / "one.vob", one).read_bytes()
    source = tmp_path / "two.vob"
    source.write_bytes(data + data)
    matte(source, tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == [Fraction(n, 25) for n in range(60)]
    assert _clicks(tmp_path / "out.mov")[-1] == pytest.approx(2.2, abs=0.03)


@pytest.mark.parametrize(
    ("kind", "whole"), [*((kind, True) for kind in SET), ("far back", False), ("back", False)]
)
def test_a_range_after_the_break(
    kind: str, whole: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not whole:  # large files are not read whole to find their breaks
        monkeypatch.setattr(grid, "SMALL", 0)
    source = spliced(tmp_path, 126000, 126000 + SET[kind])
    summary = matte(source, tmp_path / "out.mov", Settings(range="1.4..2.0"))
    assert times(tmp_path / "out.mov") == [Fraction(n, 25) for n in range(15)]
    assert _clicks(tmp_path / "out.mov") == pytest.approx([0.3], abs=0.03)
    assert not summary.damage


def test_a_range_over_the_break(tmp_path: Path) -> None:
    source = spliced(tmp_path, 126000, 126000)
    summary = matte(source, tmp_path / "out.mov", Settings(range="0.8..2.0"))
    assert times(tmp_path / "out.mov") == [Fraction(n, 25) for n in range(30)]
    assert _clicks(tmp_path / "out.mov") == pytest.approx([0.2, 0.4, 0.9], abs=0.03)
    assert summary.damage == ("the clock is set anew at 1.200 s: joined there, sound too",)


def _clicks(path: Path) -> list[float]:
    """When the loud bursts of the test tone begin (seconds)."""
    blocks: list[np.ndarray] = []
    start = 0.0
    with av.open(str(path)) as clip:
        resampler = av.AudioResampler("fltp")
        for frame in clip.decode(audio=0):
            start = start if blocks else float(frame.time or 0)
            blocks += [block.to_ndarray()[0] for block in resampler.resample(frame)]
        rate = clip.streams.audio[0].rate
    loud = np.flatnonzero(np.abs(np.concatenate(blocks)) > 0.5)
    firsts = loud[np.flatnonzero(np.diff(loud, prepend=-rate) > rate / 12)]
    return [start + first / rate for first in firsts]


def test_one_stray_time_is_one_break(tmp_path: Path) -> None:
    """A picture of a wrong time, after which the clock goes on as before."""
    times_of = ([0, 3600, 7200, 10800], [14400 + 9_000_000], [18000, 21600, 25200])
    parts = []
    for number, pts in enumerate(times_of):
        recipe = Recipe(options=X264, time_base=MPEG, pts=[126000 + each for each in pts])
        parts.append(make(tmp_path / f"{number}.ts", recipe).read_bytes())
    source = tmp_path / "source.ts"
    source.write_bytes(b"".join(parts))
    summary = matte(source, tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == [Fraction(n, 25) for n in range(8)]
    assert summary.damage == ("the clock is set anew at 0.160 s: joined there, sound too",)
