"""Smoothing over time: what it must never do, and that flicker goes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mattecast.filters.islands import Sweeper, fill_holes, remove_islands
from mattecast.filters.temporal import SMOOTHERS, Causal, Delayed, Smoother, TwoWay

RANDOM = st.integers(0, 2**31).map(np.random.default_rng)
KINDS = sorted(SMOOTHERS)
Clip = tuple[list[NDArray[np.float32]], list[NDArray[np.uint8]]]


def _run(smoother: Smoother, alphas: list, pictures: list) -> list[NDArray[np.float32]]:
    out = []
    for alpha, picture in zip(alphas, pictures, strict=True):
        out += smoother.push(alpha, picture)
    return out + smoother.flush()


def _moving(frames: int, step: float) -> Clip:
    """A disc that moves over a still, textured wall; (64, 96), with its own texture."""
    random = np.random.default_rng(5)
    wall = np.kron(random.integers(40, 120, (16, 24, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    y, x = np.mgrid[0:64, 0:96]
    alphas, pictures = [], []
    for frame in range(frames):
        distance = np.hypot(y - 32, x - 24 - step * frame)
        alpha = np.clip(14 - distance, 0, 1).astype(np.float32)
        front = np.stack([220 + 0 * distance, 180 - distance, 150 + distance], 2)
        pictures.append((wall + alpha[..., None] * (front - wall)).astype(np.uint8))
        alphas.append(alpha)
    return alphas, pictures


def _still(frames: int) -> Clip:
    alphas, pictures = _moving(1, 0)
    return alphas * frames, pictures * frames


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_comes_out_once_and_a_still_picture_is_a_fixed_point(kind: str) -> None:
    for frames in range(1, 6):
        alphas, pictures = _still(frames)
        out = _run(SMOOTHERS[kind](), alphas, pictures)
        assert len(out) == frames
        assert max(np.abs(each - alphas[0]).max() for each in out) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@given(random=RANDOM)
@settings(max_examples=10, deadline=None)
def test_alpha_stays_in_range_and_strength_zero_is_off(
    kind: str, random: np.random.Generator
) -> None:
    alphas = [random.random((32, 48)).astype(np.float32) for _ in range(4)]
    pictures = [random.integers(0, 256, (32, 48, 3)).astype(np.uint8) for _ in range(4)]
    for alpha in _run(SMOOTHERS[kind](), alphas, pictures):
        assert alpha.dtype == np.float32 and alpha.min() >= 0 and alpha.max() <= 1
    off = _run(SMOOTHERS[kind](strength=0.0), alphas, pictures)
    assert max(np.abs(a - b).max() for a, b in zip(off, alphas, strict=True)) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_flush_nothing_is_remembered(kind: str) -> None:
    alphas, pictures = _moving(4, 2)
    smoother = SMOOTHERS[kind]()
    _run(smoother, [1 - each for each in alphas], pictures)
    again = _run(smoother, alphas, pictures)
    fresh = _run(SMOOTHERS[kind](), alphas, pictures)
    assert all(np.array_equal(a, b) for a, b in zip(again, fresh, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [1.0, 4.0, 12.0])
def test_no_ghost_behind_movement(kind: str, step: float) -> None:
    """A true matte of a moving disc is hardly changed, however fast it moves."""
    alphas, pictures = _moving(6, step)
    out = _run(SMOOTHERS[kind](), alphas, pictures)
    worst = max(np.abs(a - b).mean() for a, b in zip(out, alphas, strict=True))
    assert worst < 0.004
    trail = max((a - b).max() for a, b in zip(out, alphas, strict=True))
    assert trail < 0.5 if step <= 1 else trail < 0.35


@pytest.mark.parametrize(
    ("smoother", "left"), [(Causal(), 0.75), (TwoWay(), 0.5), (TwoWay(window=3), 0.45)]
)
def test_noise_over_a_moving_person_falls(smoother: Smoother, left: float) -> None:
    alphas, pictures = _moving(12, 0.0 if isinstance(smoother, Causal) else 1.5)
    random = np.random.default_rng(2)
    noisy = [np.clip(a + random.normal(0, 0.1, a.shape), 0, 1).astype(np.float32) for a in alphas]
    out = _run(smoother, noisy, pictures)
    true = np.stack(alphas)
    before, after = (np.diff(np.stack(each) - true, axis=0).std() for each in (noisy, out))
    assert after < left * before


def test_slow_flicker_falls_to_less_than_half_where_nothing_moves() -> None:
    """A soft patch that comes and goes over a still picture with camera noise, as weak networks
    draw them."""
    alphas, pictures = _still(40)
    random = np.random.default_rng(4)
    level = 0.0
    noisy, seen = [], []
    for alpha, picture in zip(alphas, pictures, strict=True):
        level = 0.6 * level + random.normal(0, 0.1)
        patch = np.clip(0.4 + level, 0, 1) * np.ones((20, 20), np.float32)
        broken = alpha.copy()
        broken[40:60, 60:80] = patch
        noisy.append(broken)
        grainy = picture + random.normal(0, 1.5, picture.shape)
        seen.append(np.clip(grainy, 0, 255).astype(np.uint8))
    out = _run(TwoWay(), noisy, seen)
    before, after = (np.stack(each)[8:, 50, 70].std() for each in (noisy, out))
    assert after < 0.5 * before


def test_a_slow_edge_does_not_trail() -> None:
    """A true matte of a disc that creeps by a fifth of a pixel a frame stays where it is."""
    alphas, pictures = _moving(30, 0.2)
    out = _run(TwoWay(), alphas, pictures)
    assert np.abs(out[-2] - alphas[-2]).mean() < 0.004
    assert np.abs(out[-2].sum() - alphas[-2].sum()) < 0.01 * alphas[-2].sum()


@pytest.mark.parametrize("smoother", [Delayed(strength=1.0), TwoWay()])
def test_one_dropped_frame_is_filled(smoother: Smoother) -> None:
    alphas, pictures = _still(5)
    broken = [*alphas[:2], np.zeros_like(alphas[0]), *alphas[3:]]
    out = _run(smoother, broken, pictures)
    assert out[2][32, 24] > 0.75 and np.abs(out[1] - alphas[1]).max() < 0.5


def test_islands_go_by_size_and_by_time() -> None:
    alpha = np.zeros((50, 80), np.float32)
    alpha[10:40, 10:40] = 1
    speck, flash = alpha.copy(), alpha.copy()
    speck[45:47, 70:72] = 1  # 0.1 % of the picture
    flash[5:15, 60:70] = 1  # 2.5 %
    assert np.array_equal(remove_islands(speck, 0.002), alpha)
    assert np.array_equal(fill_holes(1 - speck, 0.002), 1 - alpha)
    picture = np.zeros((50, 80, 3), np.uint8)
    out = _run(Sweeper(island=0.004), [alpha, flash, alpha, flash, flash], [picture] * 5)
    kept = [bool(each[10, 65]) for each in out]
    assert kept == [False, False, False, True, True]


@pytest.mark.parametrize("shape", [(32, 512), (512, 32), (40, 480), (48, 32)])
def test_long_thin_pictures(shape: tuple[int, int]) -> None:
    """OpenCV's optical flow crashes on the smallest sides; ours must not ask it to."""
    random = np.random.default_rng(3)
    smoother = TwoWay()
    ready = []
    for _ in range(4):
        picture = random.integers(0, 256, (*shape, 3)).astype(np.uint8)
        ready += smoother.push(random.random(shape, np.float32), picture)
    ready += smoother.flush()
    assert [matte.shape for matte in ready] == [shape] * 4
    assert all(matte.min() >= 0 and matte.max() <= 1 for matte in ready)
