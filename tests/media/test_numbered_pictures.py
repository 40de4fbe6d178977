"""Numbered pictures: their numbers stay, and the time of missing ones stays empty."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from clips import times
from commands import call, entries, photograph

from mattecast.media.pictures import Pictures, is_pattern, matches, numbered_name

pytestmark = pytest.mark.usefixtures("left_half")


@pytest.fixture
def shot(tmp_path: Path) -> Path:
    """A folder with the pictures 1001 to 1006 of a shot, without 1003."""
    folder = tmp_path / "seq"
    folder.mkdir()
    for number in (1001, 1002, 1004, 1005, 1006):
        photograph(folder / f"shot.{number}.png", 60 + number % 100)
    return folder


@pytest.mark.parametrize(
    "name", ["shot.%04d.png", "shot.####.png", "shot.#.png", "shot.%d.png", ""]
)
def test_numbers_stay(name: str, shot: Path, tmp_path: Path) -> None:
    result = call("matte", shot / name, "-o", tmp_path / "new" / "cut.####.png")
    assert result.code == 0 and "1 frame missing" in result.err, result.err
    numbers = (1001, 1002, 1004, 1005, 1006)
    assert entries(tmp_path / "new") == [f"cut.{number}.png" for number in numbers]
    assert call("matte", shot / name, "-o", tmp_path / "f", "--format", "jpeg").code == 0
    assert entries(tmp_path / "f") == [f"f_{number:06d}.jpg" for number in numbers]


def test_a_range_keeps_numbers(shot: Path, tmp_path: Path) -> None:
    options = ("--rate", "24", "--format", "png", "--range")
    assert call("matte", shot / "shot.%04d.png", "-o", tmp_path / "a", *options, "0.1..").code == 0
    assert entries(tmp_path / "a") == ["a_001004.png", "a_001005.png", "a_001006.png"]
    options = (*options, "0.04..0.2", "--start", "1")
    assert call("matte", shot / "shot.%04d.png", "-o", tmp_path / "b", *options).code == 0
    assert entries(tmp_path / "b") == ["b_000001.png", "b_000003.png", "b_000004.png"]


def test_a_movie_holds_the_picture_before_a_missing_one(shot: Path, tmp_path: Path) -> None:
    result = call("matte", shot / "shot.####.png", "-o", tmp_path / "out.mov", "--rate", "24")
    assert result.code == 0, result.err
    assert [time * 24 for time in times(tmp_path / "out.mov")] == [0, 1, 3, 4, 5]
    result = call("matte", shot, "-o", tmp_path / "cfr.mov", "--rate", "24", "--cfr", "24")
    assert result.code == 0 and len(times(tmp_path / "cfr.mov")) == 6


def test_pictures_of_a_video_are_counted(talk: Path, tmp_path: Path) -> None:
    assert call("matte", talk, "-o", tmp_path / "a", "--format", "png").code == 0
    assert entries(tmp_path / "a")[0] == "a_000000.png"
    options = ("--format", "png", "--start", "1001")
    assert call("matte", talk, "-o", tmp_path / "b", *options).code == 0
    assert entries(tmp_path / "b") == [f"b_{number:06d}.png" for number in range(1001, 1009)]


def test_an_album_is_no_shot(tmp_path: Path) -> None:
    """The numbers of photographs that were picked out say nothing about time."""
    for name in ("IMG_0012.jpg", "IMG_0400.jpg", "IMG_0911.jpg"):
        photograph(tmp_path / name)
    with Pictures(tmp_path) as album:
        assert [frame.pts for frame in album.frames()] == [0, 1, 2]
        assert album.facts.first_number is None and album.damage.missing == 0
    photograph(tmp_path / "first.jpg")
    with Pictures(tmp_path) as album:
        assert album.facts.duration == Fraction(4, 25)


def test_patterns() -> None:
    assert is_pattern("a_%04d.png") and is_pattern("a_####.png") and is_pattern("a.#.png")
    assert not is_pattern("take #2.png") and not is_pattern("100%.png")
    assert matches("a_###.png", "a_012.png") and matches("a_###.png", "a_1012.png")
    assert not matches("a_###.png", "a_12.png") and not matches("a_###.png", "b_012.png")
    assert numbered_name("a_###.png", 7) == "a_007.png" == numbered_name("a_%03d.png", 7)
    assert numbered_name("a.#.png", 1234) == "a.1234.png"
