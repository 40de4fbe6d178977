"""Hand adjustments of an edge."""

from __future__ import annotations

import numpy as np
import pytest

from mattecast.filters.pictures.edges import FULL, EdgeAdjustment, adjust, choke


def _disc(radius: float) -> np.ndarray:
    y, x = np.mgrid[0:101, 0:101]
    return np.round(np.clip(radius + 0.5 - np.hypot(y - 50, x - 50), 0, 1) * FULL).astype(np.uint16)


def test_default_settings_change_nothing() -> None:
    alpha = _disc(30)
    assert adjust(alpha, EdgeAdjustment()) is alpha


@pytest.mark.parametrize("pixels", [-6.0, -2.5, -0.4, 0.3, 1.5, 4.0])
def test_choke_moves_the_edge_by_fractions_of_a_pixel(pixels: float) -> None:
    area = choke(_disc(30), pixels).sum() / FULL
    assert abs(np.sqrt(area / np.pi) - (30 - pixels)) < 0.35


def test_feather_keeps_the_area_and_threshold_hardens() -> None:
    soft = adjust(_disc(30), EdgeAdjustment(feather=3))
    assert abs(soft.sum() / _disc(30).sum() - 1) < 0.01
    assert ((soft > 0) & (soft < FULL)).sum() > 2000
    hard = adjust(soft, EdgeAdjustment(threshold=0.5))
    assert set(np.unique(hard)) == {0, FULL}


def test_gamma_keeps_the_ends() -> None:
    ramp = np.arange(FULL + 1, dtype=np.uint16).reshape(256, 256)
    lifted = adjust(ramp, EdgeAdjustment(gamma=2.0)).ravel()
    assert lifted[0] == 0 and lifted[-1] == FULL and (np.diff(lifted.astype(int)) >= 0).all()
    assert abs(int(lifted[FULL // 4]) - FULL // 2) < 100
