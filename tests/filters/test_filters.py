"""Filters: bounds that hold for any picture, and identities where nothing should change."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mattecast.filters.pictures import upsampling
from mattecast.filters.pictures.composite import (
    at_chroma_size,
    fill_empty_blocks,
    over,
    to_bits,
    to_luma,
)
from mattecast.filters.pictures.upsampling import guided_upsample, plain_resize

ALPHA = st.integers(0, 2**31).map(lambda seed: np.random.default_rng(seed))


def _disc(height: int, width: int, radius: float) -> NDArray[np.float32]:
    y, x = np.mgrid[0:height, 0:width]
    distance = np.hypot((y + 0.5) / height - 0.5, (x + 0.5) / width - 0.5)
    return np.clip((radius - distance) * 40 + 0.5, 0, 1).astype(np.float32)


def test_a_sharp_edge_of_the_picture_sharpens_the_matte() -> None:
    """A blurred small matte of a crisp disc comes back crisp where the picture shows the edge."""
    truth = (_disc(480, 640, 0.3) > 0.5).astype(np.float32)
    guide = (300 + 400 * truth).astype(np.uint16)
    small = truth.reshape(60, 8, 80, 8).mean((1, 3)).astype(np.float32)
    alpha = guided_upsample(small, 300 + 400 * small, guide, guide_max=1023.0) / 65535
    plain = plain_resize(small, (640, 480)) / 65535
    assert np.abs(alpha - truth).mean() < 0.25 * np.abs(plain - truth).mean()


@given(
    ALPHA,
    st.sampled_from(
        [
            ((40, 56), (135, 240)),
            ((40, 56), (160, 216)),
            ((40, 56), (101, 83)),
            ((200, 64), (800, 270)),
            ((160, 224), (608, 896)),
        ]
    ),
)
@settings(max_examples=25, deadline=None)
def test_working_only_where_alpha_is_soft_changes_nothing(
    random: np.random.Generator, sizes: tuple[tuple[int, int], tuple[int, int]]
) -> None:
    """Pixels of both sizes begin together often or seldom, down, across or both; several strips."""
    (height, width), size = sizes
    disc = _disc(height, width, random.uniform(0.05, 0.6))
    small = np.roll(disc, random.integers(-20, 20, 2), (0, 1))
    scene = cv2.resize(random.uniform(64, 940, (10, 14)), size[::-1], interpolation=cv2.INTER_CUBIC)
    guide = np.clip(scene + random.normal(0, 20, size), 64, 940).astype(np.uint16)
    step = cv2.resize(guide, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    part = guided_upsample(small, step, guide, guide_max=1023.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upsampling, "_near_soft", lambda alpha: np.full(alpha.shape, 255, np.uint8))
        whole = guided_upsample(small, step, guide, guide_max=1023.0)
    assert np.abs(part.astype(int) - whole).max() <= 8


@given(ALPHA)
@settings(max_examples=20, deadline=None)
def test_what_reducing_softened_is_put_back(random: np.random.Generator) -> None:
    """An edge that the picture does not show comes back nearer to itself than by enlarging alone;
    what was flat stays so."""
    large = _disc(480, 640, random.uniform(0.15, 0.4))
    for factor in (2, 4, 8):
        height, width = 480 // factor, 640 // factor
        small = large.reshape(height, factor, width, factor).mean((1, 3)).astype(np.float32)
        flat = np.full((480, 640), 500, np.uint16)
        step = np.full((height, width), 500, np.float32)
        alpha = guided_upsample(small, step, flat, guide_max=1023.0) / 65535
        plain = plain_resize(small, (640, 480)) / 65535
        goal = plain_resize(large, (640, 480)) / 65535
        assert np.abs(alpha - goal).mean() < np.abs(plain - goal).mean()
        assert not alpha[plain == 0].any() and (alpha[plain == 1] == 1).all()


def test_without_edges_in_the_picture_the_matte_is_only_enlarged() -> None:
    small = _disc(60, 80, 0.3)
    flat = np.full((480, 640), 500, np.uint16)
    alpha = guided_upsample(small, np.full((60, 80), 500, np.float32), flat, guide_max=1023.0)
    assert np.abs(alpha / 65535 - _disc(480, 640, 0.3)).mean() < 0.02


@given(ALPHA)
@settings(max_examples=20, deadline=None)
def test_empty_and_full_mattes_stay_so(random: np.random.Generator) -> None:
    guide = random.integers(0, 1024, (96, 128)).astype(np.uint16)
    small_guide = guide[::4, ::4].astype(np.float32)
    for value, expected in ((0.0, 0), (0.015, 0), (1.0, 65535), (0.985, 65535)):
        small = np.full((24, 32), value, np.float32)
        alpha = guided_upsample(small, small_guide, guide, guide_max=1023.0)
        assert alpha.dtype == np.uint16 and (alpha == expected).all()


@given(ALPHA, st.sampled_from(["u1", "u2"]))
@settings(max_examples=30, deadline=None)
def test_over_is_the_matting_equation(random: np.random.Generator, kind: str) -> None:
    top = np.iinfo(kind).max
    front, back = (random.integers(0, top + 1, (9, 13)).astype(kind) for _ in range(2))
    alpha = random.integers(0, 65536, (9, 13)).astype(np.uint16)
    weight = alpha.astype(float) / 65535
    exact = front * weight + back * (1 - weight)
    assert np.abs(over(front, back, alpha).astype(float) - exact).max() <= 0.51
    assert np.array_equal(over(front, back, np.full_like(alpha, 65535)), front)
    assert np.array_equal(over(front, back, np.zeros_like(alpha)), back)
    assert np.array_equal(over(front, 16, np.zeros_like(alpha)), np.full_like(front, 16))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_alpha_keeps_its_ends_and_its_order_at_every_depth(bits: int) -> None:
    alpha = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    codes = to_bits(alpha, bits).astype(int).ravel()
    assert codes[0] == 0 and codes[-1] == (1 << bits) - 1 and (np.diff(codes) >= 0).all()
    assert np.abs(codes / ((1 << bits) - 1) - np.arange(65536) / 65535).max() <= 1 / (1 << bits)


def test_luma_of_a_matte() -> None:
    alpha = np.array([[0, 32768, 65535]], np.uint16)
    assert to_luma(alpha, 876, 64).tolist() == [[64, 502, 940]]


def test_chroma_alpha_is_the_mean_of_its_pixels() -> None:
    alpha = np.array([[0, 65535, 100, 100], [0, 65535, 100, 100]], np.uint16)
    assert at_chroma_size(alpha, (1, 2)).tolist() == [[32768, 100]]


@given(ALPHA, st.integers(0, 40))
@settings(max_examples=25, deadline=None)
def test_no_visible_colour_is_ever_flattened(random: np.random.Generator, margin: int) -> None:
    """Whatever the refined matte shows, however faintly, keeps its colours."""
    small = _disc(40, 56, random.uniform(0.02, 0.4))
    small = np.roll(small, random.integers(-20, 20, 2), (0, 1))
    guide = random.integers(64, 940, (150, 211)).astype(np.uint16)
    step = guide[:: 150 // 40, :: 211 // 56][:40, :56].astype(np.float32)
    alpha = guided_upsample(small, step, guide, guide_max=1023.0)
    plane = np.full((150, 211), 700, np.uint16)
    fill_empty_blocks([plane], (64,), small, margin)
    assert (plane[alpha > 0] == 700).all()


def test_colours_far_from_the_person_are_flat() -> None:
    alpha = np.zeros((40, 64), np.float32)
    alpha[15:25, 30:40] = 1
    plane = np.full((160, 256), 700, np.uint16)
    fill_empty_blocks([plane], (64,), alpha, 8)
    assert (plane[60:100, 120:160] == 700).all()
    assert (plane[:, :48] == 64).all() and (plane[:, 240:] == 64).all()
