"""Guidance: masks are exact, a plate helps, the person pointed at stays, nonsense is refused."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import Recipe, make

import mattecast
from mattecast import Settings, UsageError
from mattecast.filters.correction import Correction
from mattecast.filters.masks import Key, held, mask_at, without
from mattecast.filters.person import Follower
from mattecast.filters.plate import with_plate
from mattecast.guidance import find, read

SQUARE = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])


def _noise(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, shape).astype(np.uint16)


def test_a_mask_is_exact() -> None:
    alpha = _noise((80, 120))
    mask = mask_at([Key(Fraction(0), SQUARE)], Fraction(3), (120, 80))
    assert (mask[22:58, 32:88] == 255).all() and not mask[:18].any() and not mask[:, 92:].any()
    gone, solid = without(alpha, mask), held(alpha, mask)
    assert not gone[mask == 255].any() and (solid[mask == 255] == 65535).all()
    assert np.array_equal(gone[mask == 0], alpha[mask == 0])
    assert np.array_equal(solid[mask == 0], alpha[mask == 0])


def test_a_polygon_moves_between_its_keys() -> None:
    keys = [Key(Fraction(1), SQUARE), Key(Fraction(3), SQUARE + np.array([0.25, 0]))]
    masks = [mask_at(keys, Fraction(time), (160, 80)) for time in (0, 1, 2, 3, 9)]
    columns = [np.flatnonzero(mask[40]).mean() for mask in masks]
    assert np.allclose(np.diff(columns), [0, 20, 20, 0], atol=1.1)


def test_a_plate_brings_a_matte_nearer_to_the_truth() -> None:
    random = np.random.default_rng(4)
    y, x = np.mgrid[0:120, 0:160]
    true = np.clip(40 - np.hypot(y - 60, x - 80), 0, 1).astype(np.float32)
    plate = cv2.resize(random.integers(0, 256, (8, 10, 3)).astype(np.uint8), (160, 120))
    front = np.array([200, 120, 90], np.float32)
    seen = plate + true[..., None] * (front - plate) + random.normal(0, 2, plate.shape)
    picture = np.clip(seen, 0, 255).astype(np.uint8)
    for poor in (cv2.GaussianBlur(true, (0, 0), 5), np.maximum(true, 0.4 * np.roll(true, 60, 1))):
        better = with_plate(poor, picture, plate)
        assert np.abs(better - true).mean() < 0.75 * np.abs(poor - true).mean()
        assert better.min() >= 0 and better.max() <= 1
    assert np.abs(with_plate(true, picture, plate) - true).mean() < 0.004


def test_the_person_pointed_at_is_followed() -> None:
    follower = Follower()
    for frame in range(8):
        alpha = np.zeros((60, 100), np.float32)
        alpha[20:50, 10 + 2 * frame : 25 + 2 * frame] = 1
        alpha[20:50, 70 - frame : 85 - frame] = 1
        if frame == 0:
            assert np.array_equal(follower.step(alpha), alpha)
            follower.choose((0.18, 0.6, 0.18, 0.6), alpha.shape)
        kept = follower.step(alpha)
        assert kept[30, 15 + 2 * frame] == 1 and not kept[:, 60:].any()


def test_a_correction_travels_with_what_it_was_drawn_on() -> None:
    random = np.random.default_rng(3)
    scene = cv2.GaussianBlur(random.integers(0, 256, (96, 200, 3)).astype(np.uint8), (0, 0), 2)
    correction = Correction()
    for frame in range(6):
        picture = np.ascontiguousarray(scene[:, 3 * frame : 3 * frame + 128])
        wrong = np.zeros((96, 128), np.float32)
        true = wrong.copy()
        true[30:70, 60 - 3 * frame : 100 - 3 * frame] = 1
        fixed = correction.step(wrong, picture, true if frame == 0 else None)
        assert np.abs(fixed - true).mean() < 0.35 * np.abs(wrong - true).mean()


def test_a_trimap_says_only_what_is_sure(tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", Recipe(pts=(0, 1, 2)))
    plain = next(mattecast.mattes(clip, Settings(smooth="off"))).alpha
    height, width = plain.shape
    drawn = np.full((height, width), 128, np.uint8)
    drawn[:, : width // 3], drawn[:, -(width // 3) :] = 255, 0
    cv2.imwrite(str(tmp_path / "trimap.png"), drawn)
    told = next(mattecast.mattes(clip, Settings(trimap=str(tmp_path / "trimap.png"),
                                                smooth="off"))).alpha  # fmt: skip
    margin = width // 8  # the guided filter's reach
    assert (told[:, : width // 3 - margin] == 1).all()
    assert not told[:, -(width // 3) + margin :].any()
    middle = np.s_[:, width // 3 + margin : -(width // 3) - margin]
    assert np.abs(told[middle] - plain[middle]).max() < 0.02


def _sidecar(folder: Path, **content: object) -> Path:
    path = folder / "clip.mattecast.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"garbag": []}, "garbag"),
        ({"garbage": [{"keys": []}]}, "no keys"),
        ({"garbage": [{"keys": [{"polygon": [[0, 0], [1, 1]]}]}]}, "three or more"),
        ({"garbage": [{}]}, "lacks 'keys'"),
        ({"plate": "missing.png"}, "no such file"),
        ({"person": [{"point": [2, 0]}]}, "from 0 to 1"),
        ({"person": [{"point": [0.2, 0.2], "time": "soon"}]}, "soon"),
    ],
)
def test_nonsense_is_refused(content: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read(_sidecar(tmp_path, **content))


def test_the_file_beside_a_clip_is_used(tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", Recipe(pts=(0, 1, 2)))
    corner = [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]
    _sidecar(tmp_path, keep=[{"keys": [{"polygon": corner}]}])
    first = next(mattecast.mattes(clip))
    assert (first.alpha16[:30, :46] == 65535).all()
    assert not find(clip, Settings(guidance="off")).keep
    cv2.imwrite(str(tmp_path / "all.png"), np.full((4, 4), 255, np.uint8))
    gone = next(mattecast.mattes(clip, Settings(garbage=str(tmp_path / "all.png"))))
    assert not gone.alpha16.any()
