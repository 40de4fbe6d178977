"""Constant rates on coarse clocks: the exact times come back; other times stay what they are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Recipe, make, times

from mattecast import Settings, matte
from mattecast.inspect.check import check
from mattecast.media.clip import Clip

pytestmark = pytest.mark.usefixtures("left_half")

MS = Fraction(1, 1000)
X264 = (("preset", "ultrafast"), ("bf", "0"), ("qp", "0"), ("g", "10"))
RATES = [
    *(Fraction(n * 1000, 1001) for n in (24, 30, 60)),
    *map(Fraction, (24, 25, 30, 50, 60, 120)),
]
# libav guesses a thousand frames a second where a WebM or FLV names no rate.
UNKNOWN = Fraction(1000)


def rounded(rate: Fraction, numbers: range | list[int], **more: object) -> Recipe:
    """Frames of a rate on a clock of milliseconds; the file names the rate."""
    recipe = {
        "size": (64, 48),
        "rate": rate,
        "time_base": MS,
        "pts": [round(n / rate * 1000) for n in numbers],
        "options": X264,
    }
    return Recipe(**{**recipe, **more})  # type: ignore[arg-type]


def exact(rate: Fraction, numbers: range | list[int]) -> list[Fraction]:
    """Times n/rate as a clock of at least 1/90000 s holds them."""
    return pytest.approx([n / rate for n in numbers], abs=1e-6)  # type: ignore[return-value]


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize("suffix", [".mkv", ".flv", ".ts"])
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_the_exact_rate_comes_back(
    rate: Fraction, suffix: str, claimed: bool, tmp_path: Path
) -> None:
    numbers = range(int(2 * rate) if not claimed else 12)
    recipe = rounded(rate, numbers)
    if suffix == ".ts":
        base = Fraction(1, 90000)
        recipe = rounded(rate, numbers, time_base=base, pts=[int(n / rate / base) for n in numbers])
    recipe = recipe if claimed else replace(recipe, rate=UNKNOWN)
    source = make(tmp_path / f"source{suffix}", recipe)
    with Clip(source) as clip:
        assert clip.facts.rate == rate and not clip.facts.variable_rate
    if not claimed and rate > 30:
        return  # the same, and slow
    summary = matte(source, tmp_path / "out.mov", Settings(range="..0.4"))
    assert summary.rate == rate and not summary.notes
    assert times(tmp_path / "out.mov") == exact(rate, range(summary.frames))
    with av.open(str(tmp_path / "out.mov")) as clip:
        assert clip.streams.video[0].average_rate == rate
    assert any("constant" in each.detail for each in check(tmp_path / "out.mov").findings)


@pytest.mark.parametrize("rate", RATES[:6], ids=str)
def test_left_out_frames_leave_their_places_empty(rate: Fraction, tmp_path: Path) -> None:
    numbers = [n for n in range(40) if n % 7 != 3]
    source = make(tmp_path / "source.mkv", rounded(rate, numbers))
    matte(source, tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == exact(rate, numbers)
    (timing,) = (each for each in check(tmp_path / "out.mov").findings if each.what == "timing")
    assert " frames/s, 6 of them left out" in timing.detail


def test_milliseconds_in_mp4_are_a_coarse_clock_too(tmp_path: Path) -> None:
    numbers = range(40)
    finer = [16 * round(n * 1000 / 30) for n in numbers]
    recipe = rounded(Fraction(30), numbers, time_base=Fraction(1, 16000), pts=finer)
    matte(make(tmp_path / "source.mp4", recipe), tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == exact(Fraction(30), numbers)


@pytest.mark.parametrize("hundredths", [2997, 5994])
def test_the_decimal_form_of_a_rate_becomes_the_exact_one(hundredths: int, tmp_path: Path) -> None:
    written, rate = Fraction(hundredths, 100), Fraction(round(hundredths / 99.9) * 1000, 1001)
    recipe = Recipe(rate=written, pts=tuple(range(12)), timecode="01:00:00;10")
    source = make(tmp_path / "source.mov", recipe)
    summary = matte(source, tmp_path / "out.mov")
    assert summary.rate == rate and summary.timecode == "01:00:00;10"
    assert times(tmp_path / "out.mov") == exact(rate, range(12))
    findings = check(tmp_path / "out.mov").findings
    assert any("01:00:00;10, drop-frame" in each.detail for each in findings)
    assert not [each for each in findings if each.what == "timecode" and each.level != "ok"]


JITTER = [0, 29, 71, 95, 140, 162, 205, 230, 263, 306, 330, 371, 395, 440]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".flv"])
def test_variable_rates_keep_their_times_and_are_reported(suffix: str, tmp_path: Path) -> None:
    recipe = rounded(Fraction(30), [], pts=JITTER)
    source = make(tmp_path / f"source{suffix}", recipe)
    summary = matte(source, tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == [Fraction(time, 1000) for time in JITTER]
    assert "variable rate" in summary.notes[0] and "--cfr 30" in summary.notes[0]
    assert not matte(source, tmp_path / "even.mov", Settings(cfr=Fraction(30))).notes


def test_a_range_at_a_constant_rate_has_a_picture_at_its_start(tmp_path: Path) -> None:
    """The range starts while the picture before it is shown."""
    recipe = rounded(Fraction(30), [], pts=JITTER)
    source = make(tmp_path / "source.mkv", recipe)
    settings = Settings(cfr=Fraction(60), range="100/1000..300/1000")
    matte(source, tmp_path / "out.mov", settings)
    written = times(tmp_path / "out.mov")
    assert written == exact(Fraction(60), range(len(written))) and len(written) >= 12


@pytest.mark.parametrize("suffix", [".mkv", ".flv"])
def test_a_thousand_frames_a_second_are_a_clock(suffix: str, tmp_path: Path) -> None:
    source = make(tmp_path / f"source{suffix}", rounded(UNKNOWN, [], pts=JITTER))
    assert 25 < matte(source, tmp_path / "out.mov").rate < 35


def test_a_later_frame_off_the_grid_keeps_its_own_time(tmp_path: Path) -> None:
    """Only the beginning and a few other places are read to tell the rate."""
    pts = [round(n * 1000 / 30) for n in range(900)]
    pts[200] += 11
    source = make(tmp_path / "source.mkv", rounded(Fraction(30), [], pts=pts, size=(32, 32)))
    with Clip(source) as clip:
        assert clip.facts.rate == 30 and not clip.facts.variable_rate
        kept = [frame.pts * clip.facts.time_base for frame in clip.frames()]
    assert kept == [Fraction(pts[n], 1000) if n == 200 else Fraction(n, 30) for n in range(900)]


def test_frames_minutes_apart_have_a_rate(tmp_path: Path) -> None:
    recipe = Recipe(size=(64, 48), rate=Fraction(25), time_base=MS, pts=[0, 300_000, 600_000])
    with Clip(make(tmp_path / "slow.mkv", recipe)) as clip:
        assert clip.facts.rate == Fraction(1, 300)


def test_a_clock_set_anew_by_hours_keeps_the_rate(tmp_path: Path) -> None:
    base = Fraction(1, 90000)
    parts = [
        make(
            tmp_path / f"{start}.ts",
            Recipe(size=(64, 48), time_base=base, pts=[start + 3600 * n for n in range(12)]),
        )
        for start in (90000 * 700, 90000 * 100)
    ]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    with Clip(joined) as clip:
        assert clip.facts.rate == 25 and not clip.facts.variable_rate
        assert [frame.pts * clip.facts.time_base for frame in clip.frames()] == exact(
            Fraction(25), range(24)
        )


def test_a_vob_has_a_constant_rate(tmp_path: Path) -> None:
    recipe = Recipe(
        codec="mpeg2video",
        size=(320, 176),
        rate=Fraction(30),
        pts=range(15),
        options=(),
        audio=("mp2",),
    )
    with Clip(make(tmp_path / "disc.vob", recipe)) as clip:
        assert clip.facts.rate == 30 and not clip.facts.variable_rate
