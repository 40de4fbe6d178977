"""Smoothing over time: what it must never do, and that flicker goes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mattecast.filters.time.islands import IslandFilter
from mattecast.filters.time.smoothing import SMOOTHERS, Causal, Delayed, Smoother, TwoWay

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


def test_an_edge_moves_with_the_person_not_with_the_wall() -> None:
    """Flicker at the edge of a person who walks one way while the wall moves the other way."""
    random = np.random.default_rng(6)
    wall, coat = (
        cv2.GaussianBlur(random.normal(middle, 400, (216, 420, 3)), (0, 0), 5)
        for middle in (80, 170)
    )
    y, x = np.mgrid[0:216, 0:288]
    true, noisy, pictures = [], [], []
    for frame in range(12):
        inside = 60 - np.hypot(y - 108, x - 100 - 4 * frame)
        alpha = np.clip(inside / 3 + 0.5, 0, 1).astype(np.float32)
        front, back = coat[:, 100 - 4 * frame :][:, :288], wall[:, 4 * frame :][:, :288]
        seen = back + alpha[..., None] * (front - back)
        pictures.append(np.clip(seen, 0, 255).astype(np.uint8))
        flicker = random.normal(0, 0.3) * (np.abs(inside) < 4)
        true.append(alpha)
        noisy.append(np.clip(alpha + flicker, 0, 1).astype(np.float32))
    out = _run(TwoWay(), noisy, pictures)
    before, after = (
        np.diff(np.stack(each) - np.stack(true), axis=0)[2:-2].std() for each in (noisy, out)
    )
    assert after < 0.6 * before


def test_a_change_that_the_picture_does_not_show_is_followed() -> None:
    """Before a flat wall of the coat's colour only the matte tells that somebody has moved."""
    before, after = (np.zeros((64, 96), np.float32) for _ in range(2))
    before[20:40, 20:40] = after[20:40, 50:70] = 1
    mattes = [before] * 30 + [after] * 6
    out = _run(TwoWay(), mattes, [np.full((64, 96, 3), 90, np.uint8)] * 36)
    worst = [np.abs(made - matte).max() for made, matte in zip(out, mattes, strict=True)]
    assert max(worst[:28]) < 0.02 and max(worst[32:]) < 0.2


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
    assert out[2][32, 24] > 0.7 and np.abs(out[1] - alphas[1]).max() < 0.5


def _filtered(
    island_filter: IslandFilter, mattes: list[NDArray[np.float32]]
) -> list[NDArray[np.float32]]:
    return _run(island_filter, mattes, [np.zeros((*mattes[0].shape, 3), np.uint8)] * len(mattes))


def _person() -> NDArray[np.float32]:
    """A large piece with a round gap in it, as between arm and body; (100, 160)."""
    alpha = np.zeros((100, 160), np.float32)
    alpha[30:90, 30:70] = 1
    alpha[55:60, 45:50] = 0
    return alpha


@pytest.mark.parametrize(
    ("place", "strength", "goes"),
    [
        (np.s_[60:64, 73:77], 1.0, False),  # a hand beside the person
        (np.s_[60:64, 73:77], 0.15, True),  # the same, but nothing is sure of it
        (np.s_[60:64, 110:114], 1.0, True),  # a lamp far from the person
        (np.s_[40:80, 110:140], 1.0, False),  # another person
    ],
)
def test_islands_go_by_place_and_strength(
    place: tuple[slice, slice], strength: float, goes: bool
) -> None:
    alpha = _person()
    alpha[place] = strength
    for swept in _filtered(IslandFilter(island=0.005), [alpha] * 3):
        assert np.array_equal(swept, _person() if goes else alpha)


def test_a_faint_rim_goes_with_its_island() -> None:
    alpha = _person()
    alpha[58:66, 108:116] = 0.08
    alpha[60:64, 110:114] = 1
    assert np.array_equal(_filtered(IslandFilter(island=0.005), [alpha] * 2)[0], _person())


def test_traces_around_an_island_go_with_it_but_not_those_of_a_person() -> None:
    alpha = _person()
    alpha[30:90, 66:80] = np.maximum(alpha[30:90, 66:80], 0.05)
    kept = alpha.copy()
    alpha[40:80, 100:130] = 0.05
    alpha[60:64, 110:114] = 1
    assert np.array_equal(_filtered(IslandFilter(island=0.005), [alpha] * 2)[0], kept)


def _beside(height: int, strength: float = 1.0) -> NDArray[np.float32]:
    """The person, and far away a piece 10 pixels wide."""
    alpha = _person()
    alpha[90 - height : 90, 120:130] = strength
    return alpha


def test_a_chair_that_was_there_first_stays_away_until_it_is_twice_too_large() -> None:
    heights = [12, 12, 24, 24, 40, 40, 24, 24, 12]  # 0.75 % of the picture, 1.5, 2.5
    island_filter = IslandFilter(island=0.01)
    shot = [_beside(height) for height in heights]
    shown = [bool((each - _person()).any()) for each in _filtered(island_filter, shot)]
    assert shown == [False] * 4 + [True] * 5
    # In another shot nothing is known of it.
    assert all((each - _person()).any() for each in _filtered(island_filter, [_beside(24)] * 3))


def test_a_chair_that_grows_stronger_stays_away_even_from_an_empty_room() -> None:
    growing = [_person(), *(_beside(12, strength) for strength in (0.12, 0.16, 0.4, 0.9, 1))]
    assert all(
        np.array_equal(each, _person()) for each in _filtered(IslandFilter(island=0.01), growing)
    )
    left = _beside(12)
    left[:, :80] = 0
    out = _filtered(IslandFilter(island=0.01), [*[_beside(12)] * 3, *[left] * 4])
    assert all(np.array_equal(each, _person()) for each in out[:3])
    assert not np.any(out[3:])


def test_a_chair_that_people_walk_past_goes_again() -> None:
    passed = _beside(12)
    passed[30:90, 70:140] = 1
    out = _filtered(
        IslandFilter(island=0.01), [*[_beside(12)] * 3, *[passed] * 3, *[_beside(12)] * 3]
    )
    for each in (*out[:3], *out[6:]):
        assert np.array_equal(each, _person())
    assert np.array_equal(out[4], passed)


def test_a_hand_that_comes_in_far_away_stays() -> None:
    shot = [_person()] * 2 + [_beside(height) for height in (6, 10, 12, 12, 8)]
    out = _filtered(IslandFilter(island=0.01), shot)
    # In its first frame the one before does not show it yet.
    assert [bool((each - _person()).any()) for each in out] == [False] * 3 + [True] * 4


def test_nobody_and_single_pictures() -> None:
    assert not np.any(_filtered(IslandFilter(island=0.01), [np.zeros_like(_person())] * 3))
    assert np.array_equal(_filtered(IslandFilter(island=0.01), [_beside(12)])[0], _person())


def test_what_is_seen_briefly_goes() -> None:
    """A hand that only one frame shows; in two frames on end a larger piece is no accident."""
    alpha, speck, flash = (_person() for _ in range(3))
    speck[60:64, 73:77] = 1
    flash[10:20, 73:83] = 1
    out = _filtered(IslandFilter(island=0.005), [alpha, speck, alpha, flash, alpha, flash, flash])
    assert [bool((each - _person()).any()) for each in out] == [False] * 5 + [True, True]


def test_all_of_a_wide_shot_stay() -> None:
    alpha = np.zeros((100, 160), np.float32)
    for left in (10, 60, 140):
        alpha[50:60, left : left + 4] = 1
    assert np.array_equal(_filtered(IslandFilter(island=0.005), [alpha] * 3)[1], alpha)


def test_a_gap_seen_for_long_stays_open_and_a_pinhole_is_filled() -> None:
    torn, faint = _person(), _person()
    torn[70:73, 40:43] = 0
    faint[70:73, 40:43] = 0.85
    out = _filtered(IslandFilter(hole=0.005), [_person(), torn, _person(), faint, faint, faint])
    assert all(np.array_equal(each, _person()) for each in out)


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
