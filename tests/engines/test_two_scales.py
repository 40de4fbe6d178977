"""The fine scale for small pictures: edges from the fine matte, the person from the coarse one."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from clips import Recipe, make

from mattecast import Settings, matte
from mattecast.engines import EngineError, EngineInfo, find, fine_size, two_scale_engine
from mattecast.engines.engine import CheckedEngine
from mattecast.engines.two_scales import TwoScaleEngine

FINE, COARSE = (640, 512), (320, 256)


class RedEngine(CheckedEngine):
    """Its alpha is the picture's red, blurred by `blur` pixels; 0 from column share `blind` on."""

    def __init__(self, size, blind=1.0, blur=1):
        super().__init__(EngineInfo("red", "test", "1", "f32", "CPU", size, "made up"))
        self.blind, self.blur, self.steps, self.released = blind, blur, 0, False

    def _infer(self, picture):
        self.steps += 1
        alpha = picture[..., 0].astype(np.float32) / 255
        alpha = cv2.blur(alpha, (self.blur, self.blur))
        alpha[:, round(self.blind * alpha.shape[1]) :] = 0
        return alpha

    def _zero_states(self):
        self.steps = 0

    def _release(self):
        self.released = True


def two_discs() -> np.ndarray:
    picture = np.zeros((FINE[1], FINE[0], 3), np.uint8)
    for x in (160, 480):
        cv2.circle(picture, (x, 256), 80, (255, 0, 0), -1, cv2.LINE_AA)
    return picture


def test_the_coarse_scale_finds_the_person_and_the_fine_scale_the_edge():
    picture = two_discs()
    truth = picture[..., 0].astype(np.float32) / 255
    left, right = np.s_[:, : FINE[0] // 2], np.s_[:, FINE[0] // 2 :]
    # The coarse scale blurs edges and misses the right disc; the fine scale sees it.
    alpha = TwoScaleEngine(RedEngine(FINE), RedEngine(COARSE, blind=0.5, blur=3)).step(picture)
    assert alpha.shape == truth.shape and alpha.dtype == np.float32
    np.testing.assert_allclose(alpha[left], truth[left], atol=0.02)
    assert not alpha[right][:, 24:].any()
    # What only the fine scale misses stays, but for its rim.
    alpha = TwoScaleEngine(RedEngine(FINE, blind=0.5), RedEngine(COARSE)).step(picture)
    np.testing.assert_allclose(alpha[left], truth[left], atol=0.02)
    core = cv2.erode(truth, np.ones((17, 17), np.uint8))[right] > 0.99
    assert core.sum() > 10000 and alpha[right][core].min() > 0.99


def test_both_scales_are_reset_and_closed_together():
    fine, coarse = RedEngine(FINE), RedEngine(COARSE)
    engine = TwoScaleEngine(fine, coarse)
    assert engine.info.size == FINE and "with a coarse one at 320x256" in str(engine.info)
    engine.step(two_discs())
    assert (fine.steps, coarse.steps) == (1, 1)
    engine.reset()
    assert (fine.steps, coarse.steps) == (0, 0)
    with pytest.raises(ValueError, match="expected"):
        engine.step(np.zeros((COARSE[1], COARSE[0], 3), np.uint8))
    engine.close()
    assert fine.released and coarse.released
    with pytest.raises(RuntimeError, match="closed"):
        engine.step(two_discs())


def test_no_engine_stays_open_when_the_fine_scale_does_not_load():
    opened = []

    def load(size):
        if opened:
            raise EngineError("out of memory")
        opened.append(RedEngine(size))
        return opened[0]

    with pytest.raises(EngineError, match="memory"):
        two_scale_engine(load, find("default"), 480, 320)
    assert opened[0].released


@pytest.mark.parametrize(
    ("displayed", "size"),
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
def test_small_pictures_have_a_fine_scale(displayed, size):
    assert fine_size(find("default"), *displayed) == size
    assert fine_size(replace(find("default"), fine_side=None), *displayed) is None


def test_a_run_has_a_fine_scale_unless_it_is_to_be_fast_or_a_size_is_asked_for(tmp_path):
    clip = make(tmp_path / "a.mp4", Recipe(size=(160, 96), pts=(0, 1, 2)))
    engines_used = {}
    for name, settings in {
        "usual": Settings(),
        "fast": Settings(detail="fast"),
        "asked": Settings(network_size=96),
    }.items():
        summary = matte(clip, tmp_path / f"{name}.mov", settings)
        assert summary.frames == 3
        engines_used[name] = summary.engine
    assert "at 320x192" in engines_used["usual"] and "at 160x96" in engines_used["usual"]
    assert "scale" not in engines_used["fast"] + engines_used["asked"]
