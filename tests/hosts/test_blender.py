"""The extension inside real Blenders: `MATTECAST_BPY` names Pythons that have bpy, see test_hosts.

Movies of numbered grays show frame by frame that a matte shows what its original shows.
"""

import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mattecast.hosts.plugins import find

pytestmark = pytest.mark.slow

BPYS = [Path(each) for each in os.environ.get("MATTECAST_BPY", "").split(os.pathsep) if each]
INSIDE = Path(__file__).with_name("inside_blender.py")
REAL = Path(__file__).parents[3] / "shared/eval/real/asl_man1_again.mp4"
# What every frame of an original and its matte may differ by: codecs of 4:4:4 and a rounding.
SAME = 1.5
# A start of Blender and a run take 20 s on a shared core.
PATIENCE = 600


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips whose frames are numbered by their gray, a mask, and the program."""
    made = tmp_path_factory.mktemp("in blender")
    numbers(made / "numbers 30 ö.mov", Fraction(30))
    numbers(made / "numbers 29.97.mov", Fraction(30000, 1001))
    steps = np.random.default_rng(1).choice([20, 20, 20, 30, 40], 59)
    numbers(made / "variable.mov", Fraction(30), [0, *np.cumsum(steps).tolist()])
    (made / "pictures").mkdir()
    for index in range(20):
        still(made / "pictures" / f"sh ö_{index + 7:04d}.png", 40 + 10 * index)
    still(made / "white.png", 255)
    program = made / "mattecast"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mattecast "$@"\n')
    program.chmod(0o755)
    return made


def numbers(path: Path, rate: Fraction, pts: list[int] | None = None) -> None:
    """60 pictures, the gray of picture n is 40 + 3 n. pts: in 1/600 s."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        if pts:
            stream.codec_context.time_base = Fraction(1, 600)
        for index in range(60):
            gray = np.full((48, 64, 3), 40 + 3 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(gray, format="rgb24")
            if pts:
                frame.pts, frame.time_base = pts[index], Fraction(1, 600)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def still(path: Path, gray: int) -> None:
    with av.open(path, "w", format="image2") as container:
        stream = container.add_stream("png")
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
        picture = np.full((48, 64, 3), gray, np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="module", params=BPYS or [None], ids=str)
def blender(request: pytest.FixtureRequest, folder: Path, tmp_path_factory):
    """Runs a function of inside_blender.py in a Blender with settings of its own."""
    if request.param is None:
        pytest.skip("MATTECAST_BPY names no Python with bpy; see the top of test_hosts.py")
    resources = tmp_path_factory.mktemp("resources")
    built = find("blender").build(tmp_path_factory.mktemp("built"))

    def run(name: str):
        command = [request.param, INSIDE, built, folder / "mattecast", folder, name]
        done = subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            # The paths of Blender's Python are its own, and so is its folder of settings.
            env={**os.environ, "BLENDER_USER_RESOURCES": str(resources)},
        )
        reports = [line for line in done.stdout.splitlines() if line.startswith("REPORT ")]
        assert reports, done.stdout[-3000:] + done.stderr[-3000:]
        return json.loads(reports[-1].removeprefix("REPORT "))

    run.python, run.built = request.param, built
    return run


def test_blender_finds_the_zip_valid(blender) -> None:
    tool = next(blender.python.parents[1].rglob("blender_ext.py"))
    command = [sys.executable, tool, "validate", blender.built]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "strip",
    [
        *("same_rate", "other_rate", "ntsc_in_25", "frame_by_frame", "reversed_strip", "strobe"),
        *("retimed", "cut_off", "held_ends", "variable_rate", "pictures", "one_picture"),
        *("in_meta_strip", "deep"),
    ],
)
def test_a_matte_shows_what_its_strip_shows(blender, strip) -> None:
    told = blender(strip)
    pairs = np.array(told["pairs"])
    worst = np.abs(pairs[:, 0] - pairs[:, 1]).max()
    print(f"{strip}: {len(pairs)} frames, worst {worst:.2f}/255")
    assert worst < SAME, told
    assert told["ends"] and told["channels"][1] == told["channels"][0] + 1
    # A part of the clip is matted where the strip allows it.
    if strip in ("same_rate", "one_picture", "pictures"):
        assert np.ptp(pairs[:, 0]) > 0 or strip == "one_picture"


def test_bad_requests_change_nothing(blender) -> None:
    told = blender("refusals")
    expected = {
        "wall": "a colour strip",
        "other": "a scene strip",
        "meta": "open it (Tab)",
        "gone": "no such file",
        "relative": "not saved: save it",
        "text": "cannot read this movie",
        "nothing": "nothing was selected",
        "h264": "H.264 has no alpha",
        "option": "unrecognized arguments: --nonsense",
        "program": "no program mattecast",
    }
    for name, words in expected.items():
        assert words in told["said"][name] and "\n" not in told["said"][name], told["said"]
    assert told["unchanged"]


def test_several_strips_again_and_of_a_newer_version(blender) -> None:
    told = blender("several_and_again")
    assert told["error"] == told["again"] == told["newer"] == ""
    assert told["count"] == told["count again"] == 4 and told["selected"]
    assert told["replaced"] == [True, True, False, False]
    assert told["original"] == [False, False, True, True]
    assert "a matte already" in told["of a matte"] and told["newer is left"]


def test_nodes_and_planes(blender) -> None:
    told = blender("images")
    assert told["node"] == ["numbers 30 ö.mov matte", "MOVIE", "STRAIGHT"]
    assert told["times"] == [50, 3] and told["original"] == "numbers 30 ö.mov"
    assert told["plane"] == ["SEQUENCE", 20] and "no such file" in told["gone"]


def rgb(path: Path) -> np.ndarray:
    """A 16-bit picture, (H, W, 3) in [0, 255]."""
    with av.open(path) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb48le") / 257


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is not here")
def test_a_rendered_frame_is_our_composite(blender, folder) -> None:
    clip = folder / "signing.mp4"
    if not clip.exists():
        clip.write_bytes(REAL.read_bytes())
    told = blender("composite")
    assert told["error"] == "" and told["relative"]
    with av.open(told["file"]) as container:
        frames = [frame.to_ndarray(format="rgba") for frame in container.decode(video=0)]
    rgba = frames[25 - round(told["start"])].astype(np.float64)
    alpha = rgba[..., 3:] / 255
    meant = rgba[..., :3] * alpha + (1 - alpha) * np.array((0.1, 0.5, 0.45)) * 255
    soft = ((alpha > 0.02) & (alpha < 0.98))[..., 0]
    before, after = rgb(folder / "before.png"), rgb(folder / "after.png")
    difference = np.abs(before - meant).mean(axis=2)
    print(f"soft edges {difference[soft].mean():.2f}/255, all {difference.mean():.2f}/255")
    assert 0.1 < alpha.mean() < 0.9 and soft.sum() > 500
    assert difference[soft].mean() < 1.5 and difference.mean() < 1
    assert np.array_equal(before, after)
