"""What the network sees before a shot's first frame counts: the right pictures, and only those."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from clips import Recipe, make

from mattecast.engines import EngineInfo
from mattecast.flow import StageTimes, run
from mattecast.job import Job
from mattecast.matting import second_pass
from mattecast.matting.guidance import Guidance
from mattecast.matting.prepare import Convert, OwnTimes
from mattecast.matting.second_pass import PREROLL, SecondPass
from mattecast.media.clip import Clip
from mattecast.media.formats import FORMATS
from mattecast.media.frame import Frame
from mattecast.plan import Plan, plan
from mattecast.settings import Settings

NETWORK = (96, 64)
# Ten frames between key frames, and pictures of the past and of the future in them.
OPTIONS = (("g", "10"), ("bf", "2"), ("qp", "0"))


def _clip(folder: Path, name: str, **recipe: object) -> Path:
    made = Recipe(options=OPTIONS, pts=range(40), **recipe)  # type: ignore[arg-type]
    return make(folder / name, made)


def _prepared(path: Path) -> tuple[Plan, list[Frame]]:
    with Clip(path) as clip:
        ours = plan(clip.facts, Settings(), FORMATS["prores"])
        prepare = [OwnTimes(clip.facts, ours), Convert(clip.facts, ours, NETWORK)]
        return ours, list(run(clip.frames(), prepare, StageTimes()))


class Blind:
    """An engine of which only the size counts."""

    info = EngineInfo("blind", "none", "0", "f32", "cpu", NETWORK, "of a test")


def _again(path: Path, ours: Plan) -> SecondPass:
    with Clip(path) as clip:
        job = Job(clip.facts, ours, Settings(), Guidance(), Blind(), NETWORK)  # type: ignore[arg-type]
    return SecondPass(job, partial(Clip, path), Blind)  # type: ignore[arg-type]


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("number", [0, 1, 17, 30, 39])
def test_the_pictures_after_a_frame(tmp_path: Path, number: int, rotation: int) -> None:
    path = _clip(tmp_path, "clip.mp4", rotation=rotation)
    ours, frames = _prepared(path)
    found = list(_again(path, ours).following(frames[number]))
    expected = [frame.small for frame in frames[number + 1 : number + 1 + PREROLL]]
    assert len(found) == len(expected)
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


def test_a_file_that_does_not_seek_is_not_read_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _clip(tmp_path, "clip.h264")
    ours, frames = _prepared(path)
    again = _again(path, ours)
    assert len(list(again.following(frames[30]))) == 9
    monkeypatch.setattr(second_pass, "PATIENCE", 20)
    assert not list(again.following(frames[30]))
    assert len(list(again.following(frames[15]))) == PREROLL


def test_a_file_that_is_gone_gives_none(tmp_path: Path) -> None:
    path = _clip(tmp_path, "clip.mp4")
    ours, frames = _prepared(path)
    again = _again(path, ours)
    path.unlink()
    assert not list(again.following(frames[0]))


def test_it_stops_in_the_middle(tmp_path: Path) -> None:
    path = _clip(tmp_path, "clip.mp4")
    ours, frames = _prepared(path)
    again = _again(path, ours)
    pictures = again.following(frames[0])
    next(pictures)
    again.stop()
    assert not list(pictures)
