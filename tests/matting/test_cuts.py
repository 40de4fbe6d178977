"""Cuts are found where two shots meet, and not in flashes, fades or fast movement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mattecast.filters.time.cuts import AHEAD, CutDetector
from mattecast.flow import StageTimes, run
from mattecast.matting.network import Network, Preroll, warm
from mattecast.matting.shots import Shots
from mattecast.media.frame import Frame

Shot = list[NDArray[np.uint8]]


def _shot(seed: int, frames: int, *, speed: float = 1.0) -> Shot:
    """A camera that moves over smooth random patches, with noise; (90, 160, 3)."""
    random = np.random.default_rng(seed)
    tint = random.integers(30, 200, 3)
    scene = np.kron(random.integers(-30, 31, (12, 40, 3)), np.ones((12, 12, 1))) + tint
    shot = []
    for frame in range(frames):
        left = int(speed * frame)
        noise = random.normal(0, 3, (90, 160, 3))
        shot.append(np.clip(scene[20:110, left : left + 160] + noise, 0, 255).astype(np.uint8))
    return shot


def _found(pictures: Shot) -> list[int]:
    detector = CutDetector()
    return [
        n
        for n, picture in enumerate(pictures)
        if detector.push(picture, pictures[n + 1 : n + 1 + AHEAD])
    ]


@pytest.mark.parametrize("seed", range(8))
def test_cuts(seed: int) -> None:
    shots = [_shot(10 * seed + n, 9 + 4 * n, speed=1.2 * n) for n in range(4)]
    assert _found([picture for shot in shots for picture in shot]) == [0, 9, 22, 39]


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_is_no_cut(length: int) -> None:
    shot = _shot(3, 16)
    for frame in range(6, 6 + length):
        shot[frame] = np.clip(shot[frame].astype(int) + 120, 0, 255).astype(np.uint8)
    assert _found(shot) == [0]


def test_a_fade_and_fast_movement_are_none() -> None:
    first, second = _shot(1, 12), _shot(2, 12)
    mixed = [
        (a * (1 - w) + b * w).astype(np.uint8)
        for a, b, w in zip(first, second, np.linspace(0, 1, 12), strict=True)
    ]
    assert _found(first[:4] + mixed + second[-4:]) == [0]
    assert _found(_shot(4, 14, speed=20)) == [0]


def test_after_black_a_shot_begins_with_its_picture() -> None:
    black = [np.zeros((90, 160, 3), np.uint8)] * 5
    assert _found(_shot(1, 6) + black + _shot(2, 6)) == [0, 11]


def test_a_fade_over_black_is_one_cut() -> None:
    light = np.concatenate([np.linspace(1, 0, 20), np.linspace(0, 1, 20)])
    shots = _shot(1, 20) + _shot(2, 20)
    faded = [
        (picture * share).astype(np.uint8) for picture, share in zip(shots, light, strict=True)
    ]
    found = _found(faded)
    assert len(found) == 2 and found[0] == 0 and 20 <= found[1] <= 30


class Recorder:
    """An engine that notes what it is shown, by the mean of each picture."""

    def __init__(self) -> None:
        self.seen: list[int | str] = []

    def step(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen.append(int(picture[0, 0, 0]))
        return np.zeros(picture.shape[:2], np.float32)

    def reset(self) -> None:
        self.seen.append("reset")


def _frames(shots: Shot) -> Iterator[Frame]:
    for number, small in enumerate(shots):
        yield Frame(None, None, small, number, 1)  # type: ignore[arg-type]


def _network(engine: Any, following: Any) -> list[Any]:
    """The stages that find shots and run the network; following: the pictures after a frame."""
    return [Shots(cuts=True), Network(engine, Preroll(following, cuts=True))]


def test_each_shot_starts_with_a_memory_of_itself() -> None:
    pictures = _shot(1, 6) + _shot(2, 6)
    for number, picture in enumerate(pictures):
        picture[0, 0] = number
    engine = Recorder()
    after = lambda frame: pictures[frame.pts + 1 : frame.pts + 9]  # noqa: E731
    out = list(run(_frames(pictures), _network(engine, after), StageTimes()))
    assert [each.first for each in out] == [n in (0, 6) for n in range(12)]
    assert [each.frame.pts for each in out] == list(range(12))
    # Nothing of the shot after the first is seen before it.
    assert engine.seen == [
        "reset",
        5,
        4,
        3,
        2,
        1,
        0,
        1,
        2,
        3,
        4,
        5,
        "reset",
        11,
        10,
        9,
        8,
        7,
        6,
        7,
        8,
        9,
        10,
        11,
    ]


def test_what_waits_anyway_is_not_asked_for() -> None:
    pictures = _shot(1, AHEAD)
    engine, asked = Recorder(), list[Frame]()

    def noted(frame: Frame) -> list[NDArray[np.uint8]]:
        asked.append(frame)
        return []

    list(run(_frames(pictures), _network(engine, noted), StageTimes()))
    assert not asked and len(engine.seen) == 1 + AHEAD - 1 + AHEAD


def test_without_pre_roll_the_network_sees_no_picture_in_advance() -> None:
    pictures = _shot(1, 6)
    for number, picture in enumerate(pictures):
        picture[0, 0] = number
    engine = Recorder()
    alone: list[Any] = [Shots(cuts=True), Network(engine, lambda item: [])]  # type: ignore[arg-type]
    list(run(_frames(pictures), alone, StageTimes()))
    assert engine.seen == ["reset", 0, 1, 2, 3, 4, 5]


def test_a_single_picture_is_seen_twice() -> None:
    engine = Recorder()
    warm(engine, [np.full((4, 4, 3), 7, np.uint8)])  # type: ignore[arg-type]
    assert engine.seen == ["reset", 7]
