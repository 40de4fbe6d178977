"""Foreground colours on composites whose foreground is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mattecast.filters.pictures.foreground import local_colours, recover_colours
from mattecast.media.colour import Colour


def _scene(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """(foreground, background, alpha) of (216, 384): soft hair-like edges, smooth colours."""
    random = np.random.default_rng(seed)

    def colours() -> NDArray[np.float32]:
        field = random.uniform(0.1, 0.9, (4, 6, 3)).astype(np.float32)
        return np.clip(cv2.resize(field, (384, 216), interpolation=cv2.INTER_CUBIC), 0, 1)

    y, x = np.mgrid[0:216, 0:384]
    ripple = 4 * np.sin(np.arctan2(y - 108, x - 192) * 40)
    alpha = np.clip((70 - np.hypot(y - 108, x - 192) + ripple) / 12 + 0.5, 0, 1)
    return colours(), colours(), alpha.astype(np.float32)


def _recovered(picture: NDArray[np.float32], alpha: NDArray[np.float32], bits: int):  # type: ignore[no-untyped-def]
    top = (1 << bits) - 1
    kind = np.uint8 if bits == 8 else np.uint16
    planes = [np.ascontiguousarray(np.round(picture[..., n] * top).astype(kind)) for n in range(3)]
    area = cv2.INTER_AREA
    small, few = (cv2.resize(each, (192, 108), interpolation=area) for each in (picture, alpha))
    alpha16 = np.round(alpha * 65535).astype(np.uint16)
    recover_colours(planes, alpha16, local_colours(small * top, few), top)
    return np.stack(planes, 2) / top


@pytest.mark.parametrize("bits", [8, 10, 16])
def test_error_under_soft_alpha_falls_to_a_sixth(bits: int) -> None:
    before = after = 0.0
    for seed in range(6):
        foreground, background, alpha = _scene(seed)
        picture = background + alpha[..., None] * (foreground - background)
        out, seen = _recovered(picture, alpha, bits), alpha > 0
        before += float(np.mean((picture - foreground)[seen] ** 2))
        after += float(np.mean((out - foreground)[seen] ** 2))
    assert after < before / 6


def test_only_soft_pixels_change_and_a_grey_picture_stays() -> None:
    foreground, background, alpha = _scene(1)
    picture = background + alpha[..., None] * (foreground - background)
    changed = np.abs(_recovered(picture, alpha, 16) - picture).max(axis=2) > 1e-4
    soft = (alpha > 0) & (alpha < 1)
    assert changed.any() and not (changed & ~soft).any()
    flat = np.full_like(picture, 0.5)
    assert np.abs(_recovered(flat, alpha, 16) - flat).max() < 1e-3


def test_planes_are_worked_on_alike_together_and_alone() -> None:
    foreground, background, alpha = _scene(2)
    picture = background + alpha[..., None] * (foreground - background)
    small, few = (
        cv2.resize(each, (192, 108), interpolation=cv2.INTER_AREA)
        for each in (picture * 255, alpha)
    )
    colours = local_colours(small, few)
    planes = [np.round(picture[..., n] * 255).astype(np.uint8) for n in range(3)]
    alone = [plane.copy() for plane in planes]
    alpha16 = np.round(alpha * 65535).astype(np.uint16)
    recover_colours(planes, alpha16, colours, 255)
    for n, plane in enumerate(alone):
        recover_colours([plane], alpha16, colours.of_planes(slice(n, n + 1)), 255)
    np.testing.assert_array_equal(planes, alone)


def test_an_empty_matte_is_left_alone() -> None:
    foreground, _, alpha = _scene(2)
    assert np.allclose(_recovered(foreground, 0 * alpha, 8), foreground, atol=1 / 255)


@pytest.mark.parametrize(("matrix", "range_"), [(1, 1), (6, 1), (9, 1), (1, 2), (0, 2)])
def test_codes_of_rgb(matrix: int, range_: int) -> None:
    colour = Colour(range=range_, matrix=matrix, primaries=1, transfer=1)
    table = colour.from_rgb(10)
    black, white = (table @ np.array([v, v, v, 1], np.float32) for v in (0, 255))
    assert np.allclose(black, colour.black(10), atol=0.01)
    scale, offset = colour.luma_units(10)
    assert np.isclose(white[0], scale + offset, atol=0.01)
