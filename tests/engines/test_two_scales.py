"""The second look at small pictures: edges from near, what is a person from the whole."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from clips import Recipe, make

from mattecast import Settings, matte
from mattecast.engines import EngineError, EngineInfo, Estimate, closer_size, find, looks
from mattecast.engines.engine import CheckedEngine
from mattecast.engines.two_scales import CloserEngine

NEAR, WHOLE = (640, 512), (320, 256)


class Seer(CheckedEngine):
    """What is red in a picture is alpha here, but for columns from `blind` on (0 to 1)."""

    def __init__(self, size, blind=1.0, soft=1):
        super().__init__(EngineInfo("seer", "test", "1", "f32", "CPU", size, "made up"))
        self.blind, self.soft, self.steps, self.released = blind, soft, 0, False

    def _estimate(self, picture):
        self.steps += 1
        alpha = picture[..., 0].astype(np.float32) / 255
        alpha = cv2.blur(alpha, (self.soft, self.soft))
        alpha[:, round(self.blind * alpha.shape[1]) :] = 0
        return Estimate(alpha, None)

    def _forget(self):
        self.steps = 0

    def _release(self):
        self.released = True


def two_discs() -> np.ndarray:
    picture = np.zeros((NEAR[1], NEAR[0], 3), np.uint8)
    for x in (160, 480):
        cv2.circle(picture, (x, 256), 80, (255, 0, 0), -1, cv2.LINE_AA)
    return picture


def test_the_whole_says_what_is_a_person_and_the_closer_look_where_its_edge_is():
    picture = two_discs()
    truth = picture[..., 0].astype(np.float32) / 255
    left, right = np.s_[:, : NEAR[0] // 2], np.s_[:, NEAR[0] // 2 :]
    # From afar edges are blurred and the right disc is not seen; from near it is.
    alpha = CloserEngine(Seer(NEAR), Seer(WHOLE, blind=0.5, soft=3)).step(picture).alpha
    assert alpha.shape == truth.shape and alpha.dtype == np.float32
    np.testing.assert_allclose(alpha[left], truth[left], atol=0.02)
    assert not alpha[right][:, 24:].any()
    # And what only the closer look misses stays, but for its own rim.
    alpha = CloserEngine(Seer(NEAR, blind=0.5), Seer(WHOLE)).step(picture).alpha
    np.testing.assert_allclose(alpha[left], truth[left], atol=0.02)
    core = cv2.erode(truth, np.ones((17, 17), np.uint8))[right] > 0.99
    assert core.sum() > 10000 and alpha[right][core].min() > 0.99


def test_both_looks_are_forgotten_and_closed_together():
    near, whole = Seer(NEAR), Seer(WHOLE)
    engine = CloserEngine(near, whole)
    assert engine.info.size == NEAR and "closer look than the one at 320x256" in str(engine.info)
    engine.step(two_discs())
    assert (near.steps, whole.steps) == (1, 1)
    engine.reset()
    assert (near.steps, whole.steps) == (0, 0)
    with pytest.raises(ValueError, match="expected"):
        engine.step(np.zeros((WHOLE[1], WHOLE[0], 3), np.uint8))
    engine.close()
    assert near.released and whole.released
    with pytest.raises(RuntimeError, match="closed"):
        engine.step(two_discs())


def test_no_network_stays_open_where_the_closer_look_cannot_be_had():
    opened = []

    def load(size):
        if opened:
            raise EngineError("out of memory")
        opened.append(Seer(size))
        return opened[0]

    with pytest.raises(EngineError, match="memory"):
        looks(load, find("default"), 480, 320)
    assert opened[0].released


@pytest.mark.parametrize(
    ("shown", "seen"),
    [
        ((480, 320), (640, 416)),
        ((360, 288), (640, 512)),
        ((288, 360), (512, 640)),
        ((854, 480), (640, 352)),
        ((480, 908), (352, 640)),
        ((160, 96), (320, 192)),
        ((960, 540), None),
        ((1920, 1080), None),
        ((40, 40), (64, 64)),
    ],
)
def test_small_pictures_are_looked_at_closer(shown, seen):
    assert closer_size(find("default"), *shown) == seen
    assert closer_size(replace(find("default"), closer_side=None), *shown) is None


def test_a_run_looks_closer_unless_it_is_to_be_fast_or_told_a_size(tmp_path):
    clip = make(tmp_path / "a.mp4", Recipe(size=(160, 96), pts=(0, 1, 2)))
    engines_used = {}
    for name, settings in {
        "usual": Settings(),
        "fast": Settings(detail="fast"),
        "told": Settings(network_size=96),
    }.items():
        summary = matte(clip, tmp_path / f"{name}.mov", settings)
        assert summary.frames == 3
        engines_used[name] = summary.engine
    assert "at 320x192" in engines_used["usual"] and "at 160x96" in engines_used["usual"]
    assert "closer" not in engines_used["fast"] + engines_used["told"]
