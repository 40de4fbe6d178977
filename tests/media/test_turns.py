"""Display matrices: pictures are mirrored and turned as players do it."""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Recipe, make, planes
from commands import call

from mattecast import Settings, matte
from mattecast.media.clip import Clip
from mattecast.media.turn import Turn

pytestmark = pytest.mark.usefixtures("left_half")
WHOLE = Settings(whole_picture=True, foreground="source")
ONE = 1 << 16
EIGHT = [(degrees, mirrored) for degrees in (0, 90, 180, 270) for mirrored in (False, True)]


def source(path: Path, matrix: list[float]) -> Path:
    """A lossless clip of 4:4:4 with the four numbers (a, b, c, d) of a display matrix."""
    recipe = Recipe(pixels="yuv444p", pts=(0, 1))
    upright = make(path.with_name("upright.mp4"), recipe)
    with av.open(str(upright)) as whole, av.open(str(path), "w") as out:
        stream = whole.streams.video[0]
        target = out.add_stream_from_template(stream)
        a, b, c, d = (round(each * ONE) for each in matrix)
        target.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for packet in whole.demux(stream):
            if packet.dts is not None:
                packet.stream = target
                out.mux(packet)
    return path


def matrix(degrees: float, *, mirrored: bool = False, scale: float = 1) -> list[float]:
    """A turn counter-clockwise, after mirroring top to bottom where asked."""
    turn = math.radians(degrees)
    a, b = math.cos(turn) * scale, -math.sin(turn) * scale
    c, d = (b, -a) if mirrored else (-b, a)
    return [a, b, c, d]


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
@pytest.mark.parametrize(("degrees", "mirrored"), EIGHT)
def test_every_matrix_is_obeyed_as_ffmpeg_does(
    degrees: int, mirrored: bool, tmp_path: Path
) -> None:
    clip = source(tmp_path / "source.mp4", matrix(degrees, mirrored=mirrored))
    summary = matte(clip, tmp_path / "out.mkv", WHOLE)
    command = ["ffmpeg", "-v", "error", "-i", str(clip), "-frames:v", "1"]
    shown = subprocess.run(
        [*command, "-f", "rawvideo", "-pix_fmt", "yuv444p", "-"], check=True, capture_output=True
    )
    width, height = summary.size
    wanted = np.frombuffer(shown.stdout, np.uint8).reshape(3, height, width).astype(int)
    found = planes(tmp_path / "out.mkv")
    assert summary.size == ((64, 96) if degrees % 180 else (96, 64))
    np.testing.assert_array_equal(np.stack(found[:3]), wanted * 4)
    with av.open(str(tmp_path / "out.mkv")) as out:
        assert Turn.of(next(out.decode(video=0))) == Turn()
    # The network sees the same: the left half of what is upright is the person.
    assert (found[3][:, : width * 3 // 8] == 1023).all() and (
        found[3][:, width * 5 // 8 :] == 0
    ).all()


@pytest.mark.parametrize(
    ("degrees", "mirrored", "quarters"),
    [(80, False, 1), (37, True, 0), (181, False, 2), (-100, True, 3), (359, False, 0)],
)
def test_odd_angles_are_rounded_and_said(
    degrees: float, mirrored: bool, quarters: int, tmp_path: Path
) -> None:
    clip = source(tmp_path / "source.mp4", matrix(degrees, mirrored=mirrored))
    plain = "--whole-picture", "--foreground", "source"
    result = call("matte", clip, "-o", tmp_path / "out.mkv", *plain)
    assert result.code == 0, result.err
    turned = f"turned by {90 * quarters} degrees" if quarters else "left as it is"
    said = f"{turned}, the quarter turn nearest to its {degrees % 360}"
    assert said in result.err
    luma = planes(clip)[0].astype(int) * 4
    wanted = np.rot90(luma[::-1] if mirrored else luma, quarters)
    np.testing.assert_array_equal(planes(tmp_path / "out.mkv")[0], wanted)


def test_what_is_no_turn_of_a_matrix_turns_nothing(tmp_path: Path) -> None:
    for numbers, turn in (
        (matrix(90, scale=0.5), Turn(90)),
        (matrix(270, mirrored=True, scale=3), Turn(270, True)),
        ([2, 0, 0, 1], Turn()),
        ([0, 0, 0, 0], Turn()),
    ):
        with Clip(source(tmp_path / "source.mp4", numbers)) as clip:
            assert clip.facts.turn == turn


def test_a_mirrored_background_is_mirrored(tmp_path: Path) -> None:
    """The background's own matrix is obeyed by the same rule."""
    front = make(tmp_path / "front.mp4", Recipe(pixels="yuv444p", pts=(0, 1)))
    behind = source(tmp_path / "behind.mp4", matrix(180, mirrored=True))
    settings = Settings(whole_picture=True, background=str(behind), smooth="off")
    matte(front, tmp_path / "out.mkv", settings)
    found, wanted = planes(tmp_path / "out.mkv")[0], planes(behind)[0].astype(int)[:, ::-1] * 4
    np.testing.assert_array_equal(found[:, 64:], wanted[:, 64:])
