"""What the network sees before a shot's first frame counts: the right pictures, and only those."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from clips import Recipe, make

from mattecast.flow import StageTimes
from mattecast.matting import second_pass
from mattecast.matting.prepare import Preparer, own_times
from mattecast.matting.second_pass import PREROLL, Following
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
        timed = own_times(clip.frames(), clip.facts, ours)
        return ours, list(Preparer(clip.facts, ours, NETWORK).frames(timed, StageTimes()))


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize("number", [0, 1, 17, 30, 39])
def test_the_pictures_after_a_frame(tmp_path: Path, number: int, rotation: int) -> None:
    path = _clip(tmp_path, "clip.mp4", rotation=rotation)
    ours, frames = _prepared(path)
    found = list(Following(partial(Clip, path), ours, NETWORK)(frames[number]))
    expected = [frame.small for frame in frames[number + 1 : number + 1 + PREROLL]]
    assert len(found) == len(expected)
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


def test_a_file_that_does_not_seek_is_not_read_from_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _clip(tmp_path, "clip.h264")
    ours, frames = _prepared(path)
    after = Following(partial(Clip, path), ours, NETWORK)
    assert len(list(after(frames[30]))) == 9
    monkeypatch.setattr(second_pass, "PATIENCE", 20)
    assert not list(after(frames[30]))
    assert len(list(after(frames[15]))) == PREROLL


def test_a_file_that_is_gone_gives_none(tmp_path: Path) -> None:
    path = _clip(tmp_path, "clip.mp4")
    ours, frames = _prepared(path)
    path.unlink()
    assert not list(Following(partial(Clip, path), ours, NETWORK)(frames[0]))


def test_it_stops_in_the_middle(tmp_path: Path) -> None:
    path = _clip(tmp_path, "clip.mp4")
    ours, frames = _prepared(path)
    after = Following(partial(Clip, path), ours, NETWORK)
    pictures = after(frames[0])
    next(pictures)
    after.stop()
    assert not list(pictures)
