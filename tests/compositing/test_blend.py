"""Options of a composite: nothing when off, bounded when on, right in linear light."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import Recipe, make, planes

from mattecast import Settings, matte
from mattecast.compositing.blend import _tables
from mattecast.filters.pictures.light import (
    ColourMatch,
    bokeh_background,
    gaussian_background,
    light_wrap,
    shadow,
)

KINDS = [np.uint8, np.uint16]


def _alpha() -> np.ndarray:
    y, x = np.mgrid[0:108, 0:192]
    return np.round(np.clip(40.5 - np.hypot(y - 54, x - 96), 0, 1) * 65535).astype(np.uint16)


@pytest.mark.parametrize("kind", KINDS)
def test_light_wraps_the_edge_only(kind: type) -> None:
    front, back = np.full((108, 192), 40, kind), np.full((108, 192), 240, kind)
    out = light_wrap(front, back, _alpha(), 0.5)
    assert out.dtype == kind and out[54, 96] == 40 and out[54, 96 - 39] > 60 and out.max() <= 240
    assert np.array_equal(light_wrap(front, 240, _alpha(), 0.5), out)
    assert np.array_equal(light_wrap(front, back, _alpha(), 0.0), front)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shadow_darkens_below_and_never_brightens(kind: type) -> None:
    back = np.full((108, 192), 200, kind)
    out = shadow(back, 16, _alpha(), 0.5, back)
    assert out.max() <= 200 and out[54, 100] < 120 and out[5, 5] == 200
    assert np.array_equal(shadow(back, 16, _alpha(), 0.0, back), back)


def test_colours_meet_the_background() -> None:
    random = np.random.default_rng(1)
    front = np.clip(random.normal(150, 20, (108, 192)), 0, 255).astype(np.uint8)
    back = np.clip(random.normal(90, 24, (108, 192)), 0, 255).astype(np.uint8)
    out = ColourMatch(1.0).apply(0, front, back, np.full((108, 192), 65535, np.uint16), 255)
    assert abs(out.mean() - 90) < 2 and abs(out.std() - 24) < 3
    half = ColourMatch(0.5).apply(0, front, back, np.full((108, 192), 65535, np.uint16), 255)
    assert abs(half.mean() - 120) < 2


def test_bokeh_draws_discs_without_the_person() -> None:
    plane, alpha = np.full((216, 384), 50, np.uint8), np.zeros((216, 384), np.uint16)
    plane[50, 50] = 250
    plane[80:200, 150:250] = 255
    alpha[76:204, 146:254] = 65535
    out = bokeh_background(plane, alpha, 6.0)
    ring = [int(out[50, 50 + x]) for x in (0, 4, 9)]
    assert ring[0] > 50 and abs(ring[0] - ring[1]) <= 1 and ring[2] == 50
    assert np.abs(out[alpha == 0].astype(int) - 50).max() < 8


def test_a_blur_is_of_the_background_alone() -> None:
    plane, alpha = np.full((216, 384), 50, np.uint8), np.zeros((216, 384), np.uint16)
    plane[80:200, 150:250] = 255
    alpha[80:200, 150:250] = 65535
    assert np.abs(gaussian_background(plane, alpha, 6.0)[alpha == 0].astype(int) - 50).max() < 8
    empty = np.zeros_like(alpha)
    assert gaussian_background(plane, empty, 6.0)[140, 145] > 60


def test_light_tables_undo_each_other() -> None:
    to_light, to_code = _tables(1)
    codes = np.arange(512, 65536, 257)
    back = to_code[np.round(to_light[codes] * 65535).astype(int)].astype(int)
    assert np.abs(back - codes).max() < 32


@pytest.mark.parametrize(
    "wish", [{}, {"linear_light": True}, {"light_wrap": 0.5, "shadow": 0.5, "colour_match": 0.5}]
)
@pytest.mark.parametrize("background", ["blur", "bokeh:3", "#00b140"])
def test_a_solid_matte_shows_the_person(wish: dict, background: str, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "all.png"), np.full((4, 4), 255, np.uint8))
    source = make(tmp_path / "in.mp4", Recipe(pts=(0, 1), size=(96, 64)))
    wish = {**wish, "colour_match": 0.0}
    settings = Settings(keep=str(tmp_path / "all.png"), background=background, **wish)
    matte(source, tmp_path / "out.mp4", settings)
    for before, after in zip(planes(source), planes(tmp_path / "out.mp4"), strict=True):
        assert np.abs(before.astype(int) - after).mean() < 4
