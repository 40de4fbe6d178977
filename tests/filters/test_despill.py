"""Despill: a wall's light goes from the person's edge, and the person's own colours stay."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

import mattecast
from mattecast import Settings, UsageError
from mattecast.filters.pictures.despill import WallFinder, despill, spill_weight
from mattecast.media.colour import Colour

SHAPE = (90, 120)
COLOURS = [
    (Colour(range=1, matrix=1, primaries=1, transfer=1), 10, 1),
    (Colour(range=1, matrix=1, primaries=1, transfer=1), 8, 2),
    (Colour(range=2, matrix=5, primaries=1, transfer=1), 8, 1),
    (Colour(range=2, matrix=0, primaries=1, transfer=1), 16, 1),
]


def _matte() -> np.ndarray:
    """A person, (90, 120) float32, with a soft edge."""
    alpha = np.zeros(SHAPE, np.float32)
    alpha[10:, 30:90] = 1
    return cv2.GaussianBlur(alpha, (0, 0), 1.5)


def _planes(rgb: np.ndarray, table: np.ndarray, bits: int, step: int) -> list[np.ndarray]:
    kind = np.uint8 if bits <= 8 else np.uint16
    planes = [np.round(rgb @ row[:3] + row[3]) for row in table]
    planes[1:] = [
        cv2.resize(each, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
        for each in planes[1:]
    ]
    return [np.clip(np.round(each), 0, (1 << bits) - 1).astype(kind) for each in planes]


def _rgb(planes: list[np.ndarray], table: np.ndarray) -> np.ndarray:
    size = planes[0].shape[::-1]
    codes = np.dstack(
        [
            cv2.resize(each.astype(np.float64), size, interpolation=cv2.INTER_NEAREST)
            for each in planes
        ]
    )
    return (codes - table[:, 3]) @ np.linalg.inv(table[:, :3].astype(np.float64)).T


def _despilled(rgb: np.ndarray, wall: str, kind: tuple[Colour, int, int]) -> np.ndarray:
    colour, bits, step = kind
    table = colour.from_rgb(bits)
    planes = _planes(rgb, table, bits, step)
    despill(planes, spill_weight(_matte()), wall, table, (1 << bits) - 1)
    return _rgb(planes, table)


@pytest.mark.parametrize("kind", COLOURS)
@pytest.mark.parametrize(("wall", "channel"), [("green", 1), ("blue", 2)])
def test_a_gray_person_before_a_wall_is_gray_again(
    wall: str, channel: int, kind: tuple[Colour, int, int]
) -> None:
    rgb = np.full((*SHAPE, 3), 120.0)
    rgb[..., channel] += 60 * np.clip(1.2 - cv2.blur(_matte(), (7, 7)), 0, 1)
    rgb[_matte() < 0.01] = np.eye(3)[channel] * 200
    edge = (_matte() > 0.5) & (spill_weight(_matte()) == 1)
    assert edge.sum() > 100 and np.ptp(rgb[edge], axis=1).min() > 20
    gray = _despilled(rgb, wall, kind)[edge]
    assert np.ptp(gray, axis=1).max() < (1.5 if kind[1] > 8 else 4)
    # Half-size chroma tells only the mean of the light that fell on its four pixels.
    assert np.abs(gray - 120).mean() < (1 if kind[2] == 1 else 4)
    assert kind[2] > 1 or np.abs(gray - 120).max() < 2.5


@pytest.mark.parametrize("kind", COLOURS)
def test_a_green_shirt_and_skin_keep_their_colours(kind: tuple[Colour, int, int]) -> None:
    shirt = np.full((*SHAPE, 3), (40.0, 160.0, 60.0))
    inside = spill_weight(_matte()) == 0
    far = inside & (_matte() > 0.99)
    assert far.sum() > 1000
    assert np.abs(_despilled(shirt, "green", kind)[far] - shirt[far]).max() < 2
    skin = np.full((*SHAPE, 3), (210.0, 150.0, 120.0))
    assert np.abs(_despilled(skin, "green", kind) - skin).max() < 2.5


def test_weights_are_of_the_edge() -> None:
    weight = spill_weight(_matte())
    assert weight[50, 30] > 0.85 and weight[50, 60] == 0 and not weight[:, :15].any()
    thin = np.zeros(SHAPE, np.float32)
    thin[:, 60] = 0.7
    assert (spill_weight(thin)[:, 60] > 0.9).all()


def test_the_wall_is_found_by_itself() -> None:
    alpha = _matte()
    random = np.random.default_rng(1)
    room = random.integers(0, 256, (*SHAPE, 3)).astype(np.uint8)
    finder = WallFinder()
    for wall, colour in (("green", (40, 180, 60)), ("blue", (30, 60, 200)), (None, (90, 90, 90))):
        noisy = np.full((*SHAPE, 3), colour) + random.integers(-9, 10, (*SHAPE, 3))
        assert finder.find(noisy.astype(np.uint8), alpha) == wall
    assert finder.find(room, alpha) is None
    green = np.full((*SHAPE, 3), (40, 180, 60), np.uint8)
    assert finder.find(green, alpha) == "green"
    assert finder.find(room, np.ones_like(alpha)) == "green"  # nothing is seen: as before


@pytest.mark.parametrize("wish", ["red", "green:2", "auto:much"])
def test_nonsense_is_refused(wish: str) -> None:
    with pytest.raises(UsageError, match="despill"):
        Settings(despill=wish)


@pytest.mark.parametrize(("wish", "left"), [("auto", 0.1), ("green:0.5", 0.6)])
def test_a_run_takes_the_spill_away(wish: str, left: float, tmp_path: Path) -> None:
    """A gray person with a green rim before a green wall, whose matte is drawn by hand."""
    matte = cv2.resize(_matte(), (240, 180))
    picture = np.full((180, 240, 3), 128.0)
    picture[..., 1] += 50 * (spill_weight(matte) > 0)
    wall = np.array([40.0, 190.0, 50.0])
    seen = matte[..., None] * picture + (1 - matte[..., None]) * wall
    with av.open(str(tmp_path / "clip.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 240, 180, "yuv444p"
        frame = av.VideoFrame.from_ndarray(np.round(seen).astype(np.uint8), format="rgb24")
        out.mux(stream.encode(frame.reformat(format="yuv444p")))
        out.mux(stream.encode(None))
    cv2.imwrite(str(tmp_path / "matte.png"), np.round(matte * 255).astype(np.uint8))
    greens = []
    for despilled in (None, wish):
        settings = Settings(first_mask=str(tmp_path / "matte.png"), despill=despilled)
        (matted,) = mattecast.mattes(tmp_path / "clip.mkv", settings)
        rgb = matted.foreground
        rim = (matted.alpha > 0.5) & (spill_weight(matte) > 0.9)
        greens.append(float((rgb[rim][:, 1].astype(float) - rgb[rim][:, 0]).mean()))
    assert greens[1] < left * greens[0]
