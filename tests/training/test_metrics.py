"""The metrics agree with published definitions to the last digit that matters."""

import math
import time

import numpy as np
import numpy.typing as npt
import pytest

from mattecast.engines.training import metrics

Alpha = npt.NDArray[np.float32]


def ball(x: float, y: float, radius: float, soft: float = 6.0) -> Alpha:
    """A soft-edged disc on 64x48, rounded to 8 bits as every scored matte is."""
    rows, columns = np.indices((48, 64), dtype=np.float32)
    distance = np.hypot(columns - x, rows - y)
    alpha = np.clip((radius - distance) / soft + 0.5, 0, 1)
    return np.round(alpha * 255).astype(np.uint8).astype(np.float32) / 255


TRUE = ball(30, 24, 14), ball(32, 24, 14)
SHIFT = ball(30.5, 23.5, 13, 8), ball(31.5, 24.5, 14, 8)


def with_island(alpha: Alpha) -> Alpha:
    alpha = alpha.copy()
    alpha[2:6, 2:6] = 0.6
    return alpha


# Computed once by the reference implementation of each metric: mad, mse, grad, conn, dtssd.
GOLDEN = {
    "shift": (*SHIFT, (18.00832, 2.1001787, 0.0615864992, 0.0399627462, 8.9437561)),
    "island": (
        SHIFT[0],
        with_island(SHIFT[1]),
        (21.1333237, 3.97517896, 0.1234804839, 0.0495627448, 9.93683815),
    ),
    "exact": (*TRUE, (0.0, 0.0, 0.0, 0.0, 0.0)),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden_values(case: str) -> None:
    before, now, expected = GOLDEN[case]
    scores = metrics.score(now, TRUE[1], before=(before, TRUE[0]))
    got = scores.mad, scores.mse, scores.grad, scores.conn, scores.dtssd
    assert got == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_bytes_score_as_fractions() -> None:
    eight_bit = [np.round(alpha * 255).astype(np.uint8) for alpha in (SHIFT[1], TRUE[1])]
    assert metrics.score(*eight_bit) == metrics.score(SHIFT[1], TRUE[1])


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match=r"got \(4, 4\), expected \(4, 5\)"):
        metrics.mad(np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8))


def test_first_frame_counts_as_steady() -> None:
    clip = metrics.score_clip([(SHIFT[0], TRUE[0]), (SHIFT[1], TRUE[1])])
    assert clip.dtssd == pytest.approx(8.9437561 / 2, rel=1e-5)
    with pytest.raises(ValueError, match="no scores"):
        metrics.score_clip([])


def test_overlap_of_masks() -> None:
    left, wide = np.zeros((2, 8, 8), np.float32)
    left[:, :2], wide[:, :4] = 1, 1
    assert metrics.iou(left, wide) == 0.5
    assert metrics.iou(left * 0, wide * 0) == 1.0


def test_flat_alphas_are_not_undefined() -> None:
    empty, full = np.zeros((32, 32), np.float32), np.ones((32, 32), np.float32)
    assert metrics.grad(full, empty) == 0
    assert metrics.conn(empty, empty) == 0
    assert metrics.conn(full, empty) == pytest.approx(32 * 32 / 1e3)


def test_foreground_counts_only_inside() -> None:
    alpha = np.zeros((4, 4), np.uint8)
    alpha[0] = 9
    picture = np.zeros((4, 4, 3), np.float32)
    assert metrics.foreground_mse(picture + 0.5, picture, alpha) == pytest.approx(250)
    assert math.isnan(metrics.foreground_mse(picture, picture, alpha * 0))


def test_flicker_ignores_what_moves() -> None:
    rng = np.random.default_rng(0)
    picture = np.full((48, 64, 3), 90, np.uint8)
    alphas = [np.full((48, 64), 0.5 + 0.1 * (-1) ** index, np.float32) for index in range(16)]
    still = [(picture, alpha) for alpha in alphas]
    moving = [(rng.integers(0, 256, picture.shape, np.uint8), alpha) for alpha in alphas]
    assert metrics.flicker(still) == pytest.approx(100, rel=1e-4)
    assert metrics.flicker([(picture, alphas[0])] * 16) == pytest.approx(0, abs=1e-4)
    assert math.isnan(metrics.flicker(moving, window=16))


def test_a_large_picture_is_quick() -> None:
    rng = np.random.default_rng(0)
    alpha, truth = rng.random((2, 960, 1280), np.float32)
    started = time.process_time()
    metrics.score(alpha, truth, before=(alpha, truth))
    # 0.4 s of processor time on a shared core; noise is the worst case for connected parts.
    assert time.process_time() - started < 4
