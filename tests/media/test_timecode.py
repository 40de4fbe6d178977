"""Timecode: text to frame number and back, with and without dropped numbers."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mattecast.media.timecode import Timecode

NTSC, NTSC_60 = Fraction(30000, 1001), Fraction(60000, 1001)
RATES = [
    Fraction(24000, 1001),
    Fraction(24),
    Fraction(25),
    NTSC,
    Fraction(30),
    Fraction(50),
    NTSC_60,
    Fraction(60),
]

KNOWN = [  # SMPTE ST 12-1: numbers 0 and 1 (0 to 3) are left out each minute but the tenth
    ("00:00:59;29", NTSC, 1799),
    ("00:01:00;02", NTSC, 1800),
    ("00:02:00;02", NTSC, 3598),
    ("00:10:00;00", NTSC, 17982),
    ("01:00:00;00", NTSC, 107892),
    ("23:59:59;29", NTSC, 2589407),
    ("00:01:00;04", NTSC_60, 3600),
    ("00:10:00;00", NTSC_60, 35964),
    ("00:01:00:00", NTSC, 1800),
    ("01:00:00:00", Fraction(25), 90000),
    ("10:00:00:23", Fraction(24000, 1001), 864023),
]


@pytest.mark.parametrize(("text", "rate", "frames"), KNOWN)
def test_known_values(text: str, rate: Fraction, frames: int) -> None:
    timecode = Timecode.parse(text, rate)
    assert timecode.frames == frames and str(timecode) == text


@settings(database=None, derandomize=True)
@given(rate=st.sampled_from(RATES), second=st.integers(0, 86399), frame=st.integers(0, 59))
def test_text_and_back_without_drops(rate: Fraction, second: int, frame: int) -> None:
    frame %= round(rate)
    text = f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}:{frame:02d}"
    timecode = Timecode.parse(text, rate)
    assert str(timecode) == text and timecode.frames == second * round(rate) + frame


@settings(database=None, derandomize=True)
@given(rate=st.sampled_from([NTSC, NTSC_60]), frames=st.integers(0, 2589407))
def test_frame_and_back_with_drops(rate: Fraction, frames: int) -> None:
    timecode = Timecode(frames, round(rate), True)
    assert Timecode.parse(str(timecode), rate) == timecode
    # Dropped numbers keep the clock within a tenth of a second of real time.
    hours, minutes, rest = str(timecode).split(":")
    seconds, number = rest.split(";")
    shown = int(hours) * 3600 + int(minutes) * 60 + int(seconds) + Fraction(int(number)) / rate
    assert abs(shown - frames / rate) < Fraction(1, 10)


@settings(database=None, derandomize=True)
@given(frames=st.integers(0, 2589407), more=st.integers(0, 2589407))
def test_adding_frames_wraps_at_midnight(frames: int, more: int) -> None:
    day = 24 * 107892
    assert Timecode(frames, 30, True).plus(more).frames == (frames + more) % day
    assert Timecode(86400 * 25 - 1, 25, False).plus(1) == Timecode(0, 25, False)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("00:00:00:25", Fraction(25)),
        ("00:60:00:00", Fraction(25)),
        ("00:00:60:00", Fraction(25)),
        ("00:01:00;00", NTSC),  # dropped
        ("00:01:00;03", NTSC_60),  # dropped
        ("00:00:00", Fraction(25)),
        ("10", Fraction(25)),
        ("", Fraction(25)),
        ("00:00:00:00", Fraction(1, 3)),
    ],
)
def test_what_is_no_timecode(text: str, rate: Fraction) -> None:
    with pytest.raises(ValueError, match="timecode"):
        Timecode.parse(text, rate)


@pytest.mark.parametrize(
    "rate", [Fraction(30), Fraction(60), Fraction(2997, 100), Fraction(5994, 100)], ids=str
)
def test_a_semicolon_means_dropped_numbers_at_a_nominal_30_or_60(rate: Fraction) -> None:
    text = "01:00:00;10"
    timecode = Timecode.parse(text, rate)
    assert timecode.drop and str(timecode) == text


def test_a_semicolon_means_nothing_where_no_numbers_are_dropped() -> None:
    assert Timecode.parse("00:01:00;00", Fraction(25)) == Timecode(1500, 25, False)


@settings(database=None, derandomize=True)
@given(text=st.text(max_size=14), rate=st.sampled_from(RATES))
def test_any_text_is_a_timecode_or_a_value_error(text: str, rate: Fraction) -> None:
    try:
        Timecode.parse(text, rate)
    except ValueError as error:
        assert "timecode" in str(error)
