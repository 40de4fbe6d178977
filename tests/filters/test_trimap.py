"""Trimaps and what is solved inside their unknown band."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mattecast import settings
from mattecast.filters.matting import solvers
from mattecast.filters.matting.closed_form import EVERY_OTHER, LEVIN, SPARSE, Windows, closed_form
from mattecast.filters.matting.solvers import SOLVERS, load_solver, memory_needed, solve
from mattecast.filters.matting.tiles import tiles
from mattecast.filters.matting.trimap import BACKGROUND, PERSON, UNKNOWN, trimap
from mattecast.matting.detail import medium


def _hairy(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(picture (120, 160, 3) uint8, alpha): a disc with fine spikes over a smooth background."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:480, 0:640]
    angle = np.arctan2(y - 240, x - 320)
    edge = 120 + 40 * np.sin(angle * 24) ** 8
    alpha = cv2.resize(
        (np.hypot(y - 240, x - 320) < edge).astype(np.float32),
        (160, 120),
        interpolation=cv2.INTER_AREA,
    )
    front, back = (
        cv2.resize(random.uniform(low, low + 0.4, (3, 4, 3)).astype(np.float32), (160, 120))
        for low in (0.55, 0.05)
    )
    picture = back + alpha[..., None] * (front - back)
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8), alpha


@pytest.mark.parametrize("width", [1.0, 4.0, 15.0])
def test_the_band_is_as_wide_as_asked(width: float) -> None:
    alpha = np.zeros((60, 100), np.float32)
    alpha[:, 50:] = 1
    known = trimap(alpha, width)
    assert abs((known[30] == UNKNOWN).sum() - 2 * width) <= 2
    assert known[30, 0] == BACKGROUND and known[30, -1] == PERSON


@pytest.mark.parametrize("width", [1.0, 5.0, 12.5, 40.0])
def test_it_is_erosion_by_a_disc_exactly(width: float) -> None:
    blob = cv2.GaussianBlur(np.random.default_rng(0).random((160, 200)), (0, 0), 20)
    alpha = (blob > np.median(blob)).astype(np.float32)
    y, x = np.mgrid[-int(width) : int(width) + 1, -int(width) : int(width) + 1]
    disc = (x**2 + y**2 <= width**2).astype(np.uint8)
    known = trimap(alpha, width)
    for side, value in ((alpha, PERSON), (1 - alpha, BACKGROUND)):
        np.testing.assert_array_equal(known == value, cv2.erode(side, disc) == 1)


def test_one_sided_mattes_have_no_band() -> None:
    assert (trimap(np.zeros((20, 30), np.float32), 5) == BACKGROUND).all()
    assert (trimap(np.ones((20, 30), np.float32), 5) == PERSON).all()


def test_tiles_cover_the_band_and_nothing_far() -> None:
    known = np.zeros((300, 700), np.uint8)
    known[40:60, 30:40] = known[250, 600] = UNKNOWN
    seen = np.zeros(known.shape, bool)
    for area in tiles(known, 128, 16):
        seen[area] = True
    assert seen[known == UNKNOWN].all() and not seen[:, 300:450].any()


@pytest.mark.parametrize("seed", [1, 2])
def test_closed_form_finds_the_spikes(seed: int) -> None:
    picture, true = _hairy(seed)
    rough = cv2.GaussianBlur(true, (0, 0), 4)
    known = trimap(rough, 4)
    found = closed_form(picture, known, rough, prior=1e-3, steps=200)
    assert found.min() >= 0 and found.max() <= 1
    assert np.abs(found - true).mean() < 0.6 * np.abs(rough - true).mean()
    assert np.array_equal(found[known == PERSON], np.ones((known == PERSON).sum(), np.float32))


def test_tiles_of_closed_form_agree_with_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, true = _hairy(3)
    rough = cv2.GaussianBlur(true, (0, 0), 2)
    known = trimap(rough, 3)
    whole = closed_form(picture, known, rough)
    monkeypatch.setattr("mattecast.filters.matting.closed_form.TILE", 64)
    assert np.abs(closed_form(picture, known, rough) - whole).max() < 0.05


@pytest.mark.parametrize("windows", [EVERY_OTHER, SPARSE])
def test_fewer_windows_find_nearly_the_same(windows: Windows) -> None:
    picture, true = _hairy(4)
    rough = cv2.GaussianBlur(true, (0, 0), 2)
    known = trimap(rough, 2)
    every, few = (
        np.abs(closed_form(picture, known, rough, windows=each) - true).mean()
        for each in (LEVIN, windows)
    )
    assert few < 1.15 * every and few < 0.8 * np.abs(rough - true).mean()


@pytest.mark.parametrize("windows", [LEVIN, EVERY_OTHER, SPARSE])
@pytest.mark.parametrize("size", [(40, 60), (41, 61), (42, 62), (4, 60), (2, 50)])
def test_every_pixel_lies_in_a_window_up_to_the_rim(
    windows: Windows, size: tuple[int, int]
) -> None:
    """A straight edge between two colours, blurred in the matte alone, is found in every row; in a
    picture smaller than a window the first matte stands."""
    true = np.zeros(size, np.float32)
    true[:, size[1] // 2 :] = 1
    picture = np.repeat((40 + 160 * true)[..., None], 3, axis=2).astype(np.uint8)
    rough = cv2.GaussianBlur(true, (0, 0), 1.5)
    known = np.full(size, UNKNOWN, np.uint8)
    known[:, : size[1] // 4], known[:, -(size[1] // 4) :] = BACKGROUND, PERSON
    found = closed_form(picture, known, rough, prior=1e-3, windows=windows)
    start = np.where(known == UNKNOWN, rough, true)
    if min(size) <= 2 * windows.reach:
        np.testing.assert_array_equal(found, start)
    else:
        worst = np.abs(found - true).max(axis=1)
        assert (worst < 0.5 * np.abs(start - true).max(axis=1)).all()


@pytest.mark.parametrize("level", [0, 7, 200])
def test_closed_form_of_one_colour_is_the_first_matte(level: int) -> None:
    """Colours that tell nothing leave nothing to divide by."""
    alpha = np.tile(np.linspace(0, 1, 80, dtype=np.float32), (40, 1))
    found = closed_form(np.full((40, 80, 3), level, np.uint8), trimap(alpha, 2), alpha)
    assert np.isfinite(found).all() and np.abs(found - alpha).max() < 0.06


@pytest.mark.parametrize("seed", [1, 2])
def test_medium_detail_brings_the_small_matte_nearer(seed: int) -> None:
    picture, true = _hairy(seed)
    rough = 0.02 + 0.96 * cv2.GaussianBlur(true, (0, 0), 1.5)
    found = medium(rough, picture)
    assert found.shape == rough.shape and found.dtype == np.float32
    assert np.abs(found - true).mean() < 0.7 * np.abs(rough - true).mean()
    for flat in (0.0, 1.0):
        alone = np.full(true.shape, flat, np.float32)
        assert np.abs(medium(alone, picture) - alone).max() < 0.021  # what the floor takes


def test_memory_is_bounded_by_the_tile() -> None:
    sizes = (7680, 4320), (3840, 2160)
    large, small = (memory_needed(size, "closed-form") for size in sizes)
    assert large - small < 1.1e9 and memory_needed((320, 200), "knn") < 3e8


def test_the_command_offers_every_solver() -> None:
    assert tuple(SOLVERS) == settings.SOLVERS


def test_tiles_meet_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tiles that disagree as much as they can, the one gives way to the other step by step."""
    answers = iter([0.0, 1.0, 0.0])
    monkeypatch.setattr(solvers, "load_solver", lambda name: lambda picture, known: next(answers))
    known = np.full((40, 3 * solvers.TILE), UNKNOWN, np.uint8)
    known[:4], known[-4:] = PERSON, BACKGROUND
    found = solve(
        np.zeros((*known.shape, 3), np.uint8), known, np.zeros(known.shape, np.float32), "knn"
    )
    assert found[20, 0] == 0 and found[20, solvers.TILE * 3 // 2] == 1
    assert np.abs(np.diff(found[20])).max() < 0.03


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_finds_the_spikes(name: str) -> None:
    try:
        load_solver(name)
    except ImportError as error:
        assert name not in ("bayesian", "global", "poisson")
        assert "pip install 'mattecast[refine]'" in str(error)
        pytest.skip("PyMatting is not installed")
    picture, true = _hairy(1)
    rough = cv2.GaussianBlur(true, (0, 0), 4)
    found = solve(picture, trimap(rough, 4), rough, name)
    assert np.abs(found - true).mean() < 0.6 * np.abs(rough - true).mean()
