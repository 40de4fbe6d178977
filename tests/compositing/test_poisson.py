"""Gradient-domain blending: the equation itself, its tint, its steadiness, and the command."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from clips import Recipe, make
from commands import call, entries, photograph

from mattecast import Settings
from mattecast.errors import UsageError
from mattecast.filters.pictures import poisson

HEIGHT, WIDTH = 54, 96


def figure(height=HEIGHT, width=WIDTH):
    """The soft matte of a figure cut by the lower edge, (h, w) float32."""
    scale = height / HEIGHT
    alpha = np.zeros((height, width), np.float32)
    cv2.circle(alpha, (round(45 * scale), round(22 * scale)), round(9 * scale), 1.0, -1)
    axes = (round(20 * scale), round(22 * scale))
    cv2.ellipse(alpha, (round(45 * scale), height), axes, 0, 0, 360, 1.0, -1)
    return cv2.GaussianBlur(alpha, (0, 0), scale)


def scene(height=HEIGHT, width=WIDTH):
    """A picture and another background, (h, w, 3) float32, smooth and quite different."""
    y, x = np.mgrid[:height, :width] * 1.1 / height
    picture = np.dstack([100 + 40 * np.sin(3 * x), 80 + 30 * y, 60 + 20 * x * y])
    background = np.dstack([180 - 30 * x, 120 + 20 * np.cos(4 * y), 90 + 50 * y])
    return picture.astype(np.float32), background.astype(np.float32)


def directly(values, rim):
    """The membrane by elimination over every pixel."""
    height, width = rim.shape
    place = np.arange(rim.size).reshape(rim.shape)
    matrix, right = np.zeros((rim.size, rim.size)), np.zeros((rim.size, values.shape[2]))
    for (i, j), k in np.ndenumerate(place):
        if rim[i, j]:
            matrix[k, k], right[k] = 1, values[i, j]
            continue
        for a, b in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
            if 0 <= a < height and 0 <= b < width:
                matrix[k, k] += 1
                matrix[k, place[a, b]] -= 1
    return np.linalg.solve(matrix, right).reshape(values.shape)


def test_the_membrane_solves_its_equation():
    alpha = cv2.resize(figure(), (48, 27), interpolation=cv2.INTER_AREA)
    picture, background = scene(27, 48)
    rim = poisson.outline(alpha)
    found, truth = (
        poisson.solve(background - picture, rim),
        directly(background - picture, rim),
    )
    inside = alpha >= poisson.EMPTY
    assert np.abs(truth[inside]).max() > 30
    assert np.abs(found - truth)[inside].max() < 1.0  # of 255


def blended(picture, background, alpha, tint):
    """A frame's person as clips are blended, (h, w, 3) float32."""
    planes = [np.round(plane) for plane in np.moveaxis(picture, 2, 0)]
    membrane = poisson.Membrane().step(picture, background, alpha)
    for plane, change in zip(planes, np.moveaxis(membrane, 2, 0), strict=True):
        poisson.apply_membrane(plane, np.ascontiguousarray(change), 255, tint)
    return np.dstack(planes)


def cloned(picture, background, alpha, tint):
    """The same as stills are."""
    front, back = (each.astype(np.uint8) for each in (picture, background))
    return poisson.clone(front, back, alpha, tint).astype(np.float32)


@pytest.mark.parametrize("tint", [0.25, 0.6, 1.0])
@pytest.mark.parametrize("dark", [False, True])
def test_clips_are_blended_as_opencv_clones(tint, dark):
    alpha, (picture, background) = figure(), scene()
    if dark:  # much is black by Perez's own solution
        background = background * 0.1
    solid = alpha > 0.9
    ours, theirs = (make(picture, background, alpha, tint)[solid] for make in (blended, cloned))
    difference = np.abs(ours - theirs)
    assert np.abs(theirs - picture[solid]).mean() > 15 * tint
    assert difference.mean() < 3 * tint + 1 and difference.max() < 12 * tint + 1


@pytest.mark.parametrize("make", [blended, cloned])
def test_tint_is_how_much_of_the_background_reaches_the_person(make):
    alpha, (picture, background) = figure(), scene()
    solid = alpha > 0.9
    reached = [
        np.abs(make(picture, background, alpha, tint) - np.round(picture))[solid].mean()
        for tint in (0.0, 0.25, 0.5, 1.0)
    ]
    assert reached[0] < 1 and reached[3] > 15
    for share, part in ((0.25, reached[1]), (0.5, reached[2])):
        assert part == pytest.approx(share * reached[3], abs=1)


@pytest.mark.parametrize("make", [blended, cloned])
def test_who_stood_before_a_wall_keeps_his_face_before_a_night(make):
    """All of its light blackens him; of a quarter he keeps three quarters of his own at least."""
    alpha, dark = figure(), np.full((HEIGHT, WIDTH, 3), 130, np.float32)
    picture = dark * alpha[..., None] + 230 * (1 - alpha[..., None])
    black, kept = (make(picture, dark * 0 + 30, alpha, tint)[alpha > 0.99] for tint in (1.0, 0.25))
    assert black.max() < 5 and kept.min() > 0.75 * 130 - 1


def test_the_same_background_changes_nothing():
    alpha, (picture, _) = figure(), scene()
    assert np.abs(poisson.Membrane().step(picture, picture, alpha)).max() < 1e-3
    same = picture.astype(np.uint8)
    assert np.abs(poisson.clone(same, same, alpha).astype(int) - same)[alpha > 0.9].max() <= 2


def test_a_noisy_outline_flickers_less_than_frame_by_frame():
    """The seam of every frame differs; the person must not."""
    rng, base, (picture, background) = np.random.default_rng(0), figure(), scene()
    steady, single = poisson.Membrane(), []
    smoothed = []
    for _ in range(24):
        noise = cv2.GaussianBlur(rng.normal(0, 3, base.shape).astype(np.float32), (0, 0), 2)
        alpha = np.clip(base + noise * (base > 0.02) * (base < 0.98), 0, 1).astype(np.float32)
        grain = picture + rng.normal(0, 8, picture.shape).astype(np.float32)
        smoothed.append(steady.step(grain, background, alpha))
        cloned = poisson.clone(
            np.clip(grain, 0, 255).astype(np.uint8), background.astype(np.uint8), base
        )
        single.append(cloned.astype(np.float32) - np.clip(grain, 0, 255))
    solid = base > 0.95
    ours, theirs = (np.stack(each)[8:, solid].std(axis=0).mean() for each in (smoothed, single))
    assert ours < 0.5 * theirs


def test_a_cut_is_not_smoothed_over():
    alpha, (picture, background) = figure(), scene()
    membrane = poisson.Membrane()
    for _ in range(5):
        membrane.step(picture, background, alpha)
    after = membrane.step(picture, 255 - background, alpha)
    fresh = poisson.Membrane().step(picture, 255 - background, alpha)
    np.testing.assert_allclose(after, fresh, atol=0.5)


def test_nobody_and_nothing_but_a_person():
    picture, background = scene()
    for alpha in (np.zeros((HEIGHT, WIDTH), np.float32), np.ones((HEIGHT, WIDTH), np.float32)):
        assert not poisson.Membrane().step(picture, background, alpha)[alpha > 0.5].any()
        same = poisson.clone(picture.astype(np.uint8), background.astype(np.uint8), alpha)
        np.testing.assert_array_equal(same, picture.astype(np.uint8))


def test_a_person_from_top_to_bottom_is_cloned():
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    alpha[:, 30:60] = 1
    picture, background = (each.astype(np.uint8) for each in scene())
    cloned = poisson.clone(picture, background, alpha)
    change = cloned[:, 30:60].astype(float) - picture[:, 30:60]
    assert 10 < np.abs(change).mean() < 120


@pytest.mark.parametrize(("kind", "top"), [(np.uint8, 255), (np.uint16, 1023), (">u2", 65535)])
def test_planes_of_any_depth_take_it_and_stay_in_range(kind, top):
    plane = np.full((64, 80), top * 0.9, dtype=kind)
    poisson.apply_membrane(plane, np.full((8, 10), top * 0.05, np.float32), top)
    assert (plane == round(int(top * 0.9) + top * 0.05)).all()
    poisson.apply_membrane(plane, np.full((8, 10), top, np.float32), top)
    assert (plane == top).all()
    assert (poisson.reduce_plane(plane, (10, 8)) == top).all()
    poisson.apply_membrane(plane, np.full((8, 10), -2.0 * top, np.float32), top, 0.25)
    assert (plane == round(0.75 * top)).all()


@pytest.mark.parametrize(
    ("wish", "words"),
    [("poisson:2", "out of range"), ("glue", "not known"), ("over:1", "takes no amount")],
)
def test_blends_that_make_no_sense_are_refused(wish, words):
    with pytest.raises(UsageError, match=words):
        Settings(blend=wish)


def test_a_blend_needs_a_background(tmp_path):
    source = make(tmp_path / "clip.mp4", Recipe(pts=range(2)))
    result = call("matte", source, "-o", tmp_path / "out.mov", "--blend", "poisson")
    result.refuses(2, "blend poisson: needs a background")
    assert entries(tmp_path) == ["clip.mp4"]


def mean_luma(path):
    with av.open(str(path)) as clip:
        frames = [frame.to_ndarray(format="gray") for frame in clip.decode(video=0)]
    return np.stack(frames)[:, 8:-8, 8 : frames[0].shape[1] // 2 - 16].mean()


def test_a_clip_takes_the_light_it_is_asked_to(tmp_path, left_half):
    source = make(tmp_path / "clip.mp4", Recipe(pts=range(4), size=(160, 96)))
    lumas = []
    for wish in ("over", "poisson:0", "poisson:0.3", "poisson:1"):
        out = tmp_path / f"{len(lumas)}.mov"
        result = call(
            "matte",
            source,
            "-o",
            out,
            "--background",
            "white",
            "--blend",
            wish,
            "--foreground",
            "source",
            "--quiet",
        )
        assert result.code == 0, result.err
        lumas.append(mean_luma(out))
    assert lumas[0] == pytest.approx(lumas[1], abs=0.2)
    assert lumas[1] + 5 < lumas[2] < lumas[3] - 5


def test_a_picture_is_blended_by_cloning(tmp_path, left_half):
    photograph(tmp_path / "photo.png")
    means = []
    for wish in ("over", "poisson:1"):
        out = tmp_path / f"out{len(means)}.png"
        result = call(
            "matte",
            tmp_path / "photo.png",
            "-o",
            out,
            "--background",
            "white",
            "--blend",
            wish,
            "--quiet",
        )
        assert result.code == 0, result.err
        picture = cv2.imread(str(out), cv2.IMREAD_UNCHANGED)
        assert picture.shape == (96, 160, 3) and (picture[:, 110:] == 255).all()
        means.append(picture[8:-8, 8:60].mean())
    assert means[1] > means[0] + 40
