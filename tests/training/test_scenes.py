"""What training shows: who is where, what nobody is in, and what is left out of the loss."""

import json

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

from mattecast.engines.networks.heron import Widths
from mattecast.engines.training import datasets, fit, scenes, validation
from mattecast.engines.training.mapped import Store

RECIPE = scenes.Recipe()


def standing(height=120, width=40, margin=10):
    """A cut-out (H, W, 4): a red figure with a white head, cut by no side."""
    picture = np.zeros((height + 2 * margin, width + 2 * margin, 4), np.uint8)
    inside = picture[margin:-margin, margin:-margin]
    inside[:] = 200, 30, 30, 255
    inside[: height // 7] = 255, 255, 255, 255
    return datasets.subject("figure", None, [picture])


def rooms(count=4):
    return [np.full((90, 120, 3), 40 * (1 + index), np.uint8) for index in range(count)]


def library(**rest):
    return datasets.Library([standing()], [], rooms(), [], [f"room_{i}" for i in range(4)], **rest)


def test_half_of_the_empty_places_are_those_that_fooled_a_network(monkeypatch):
    shown = []
    monkeypatch.setattr(scenes, "cover", lambda rng, shape, *rest, **more: np.eye(3))
    plain = scenes.follow
    monkeypatch.setattr(
        scenes,
        "follow",
        lambda source, *a, **k: (shown.append(int(source[0, 0, 0, 0])), plain(source, *a, **k))[1],
    )
    recipe = scenes.Recipe(cluttered=0.0, furnished=0.0)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        sample = scenes.empty(rng, recipe, library(claims=[0.0, 0.0, 0.9, 0.0]), (64, 96), 1)
        assert sample.alpha.max() == 0 and sample.valid.min() == 1
    hard = shown.count(120)
    assert 100 < hard < 150  # half of them, and a quarter of the rest
    shown.clear()
    for seed in range(100):  # where nothing is known of mistakes all places are alike
        scenes.empty(np.random.default_rng(seed), recipe, library(), (64, 96), 1)
    assert 12 < shown.count(120) < 38


def test_figures_are_down_to_a_thirtieth_of_the_height():
    heights = []
    for seed in range(400):
        shown = scenes.portion(np.random.default_rng(seed), RECIPE, standing())
        heights.append(shown[1])
    small = [each for each in heights if each < scenes.MIDDLE]
    assert min(heights) < 0.05 and max(heights) > 1
    assert 0.25 < len(small) / len(heights) < 0.45


def test_a_head_stays_in_sight_where_cuts_enlarge_a_person():
    """A subject that both sides cut has to be as wide as the frame, however tall that makes it."""
    cutout = np.full((200, 50, 4), 255, np.uint8)
    subject = datasets.Subject("s", None, cutout[None], (0, 0, 50, 200), (True, False, True, True))
    recipe = scenes.Recipe(headless=0.0, lying=0.0)
    for seed in range(40):
        matrix = scenes.place(np.random.default_rng(seed), recipe, subject, (90, 160), 1.25)
        assert (matrix @ [25, 0, 1])[1] > -0.3 * 90  # its top, of a picture 640 px high by now


def test_some_bodies_are_cut_at_the_neck():
    recipe = scenes.Recipe(headless=1.0, small=0.0)
    subject = standing()
    for seed in range(20):
        matrix = scenes.place(np.random.default_rng(seed), recipe, subject, (90, 160), 2.5)
        assert (matrix @ [30, subject.box[1], 1])[1] < 0


def test_who_lies_is_wider_than_tall():
    lying = scenes.laid(np.random.default_rng(0), standing())
    left, top, right, bottom = lying.box
    assert right - left > 2 * (bottom - top)
    part, shown = scenes.portion(np.random.default_rng(0), scenes.Recipe(small=0.0), lying)
    assert part == 1.0 and shown <= 0.7


def test_a_masked_face_is_another_face_of_the_same_alpha():
    subject = standing()
    noise = np.random.default_rng(0).integers(0, 256, subject.cutouts.shape, np.uint8)
    noise[..., 3] = subject.cutouts[..., 3]
    noisy = datasets.Subject("n", noise[..., :3], noise, subject.box, subject.touches)
    for seed in range(6):
        hidden = scenes.masked(np.random.default_rng(seed), noisy)
        np.testing.assert_array_equal(hidden.cutouts[..., 3], noise[..., 3])
        changed = (hidden.cutouts[0, ..., :3] != noise[0, ..., :3]).any(2)
        assert 40 < changed.sum() < 900
        rows = np.flatnonzero(changed.any(1))
        assert rows[-1] < subject.box[1] + 0.2 * 120  # the head's
        assert hidden.pictures is not None and (hidden.pictures != noisy.pictures).any()


def test_wide_doubt_is_left_out_of_the_loss_and_soft_edges_are_not():
    alpha = np.zeros((1, 200, 280), np.uint8)
    alpha[:, 20:120, 20:120] = 255
    soft = cv2.GaussianBlur(alpha[0], (0, 0), 2)[None]
    assert scenes.certain(soft).min() == 1
    soft[:, 130:190, 150:250] = 128  # a skirt that two networks did not agree about
    kept = scenes.certain(soft)
    assert kept[0, 160, 200] == 0 and kept[0, :125, :130].min() == 1


def test_samples_that_a_body_fills_are_rare():
    filled = np.full((100, 60, 4), 255, np.uint8)
    close = datasets.subject("close", None, [filled])  # cut by all sides: always fills
    assert scenes.body(scenes.Sample(*[np.full((1, 9, 9), 255, np.uint8)] * 4, known=True))
    both = datasets.Library([close, standing()], [], rooms())
    recipe = scenes.Recipe(empty=0.0, second=0.0, composite=1.0)

    def share(kept):
        chosen = scenes.Recipe(**{**vars(recipe), "filled": kept})
        samples = [
            scenes.draw(np.random.default_rng(seed), chosen, both, size=(64, 96), frames=1)
            for seed in range(60)
        ]
        return np.mean([sample.alpha.mean() > 190 for sample in samples])

    assert share(0.1) < 0.4 * share(1.0)


def test_held_out_sources_are_whole():
    stills = [
        datasets.Subject(name, None, np.zeros((1, 4, 4, 4), np.uint8), (0, 0, 4, 4), (False,) * 4)
        for name in ("chi_1", "chi_2", "other_1")
    ]
    everything = datasets.Library(stills, [], rooms(2), rooms(1), ["nyc_1", "room"], [0.5, 0.25])
    kept, held = everything.without(("chi_", "nyc_"))
    assert [s.name for s in kept.stills] == ["other_1"] and [s.name for s in held.stills] == [
        "chi_1",
        "chi_2",
    ]
    assert (kept.places, held.places) == (["room"], ["nyc_1"])
    assert (kept.claims, held.claims) == ([0.25], [0.5])
    assert len(kept.things) == 1 and not held.things
    assert "chi_" in validation.SOURCES


def test_decoded_pictures_are_kept_in_files_and_read_again(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    alpha = np.zeros((40, 60), np.uint8)
    alpha[10:, 20:40] = 255
    cv2.imwrite(str(data / "one.jpg"), np.full((40, 60, 3), 90, np.uint8))
    cv2.imwrite(str(data / "one.png"), alpha)
    cv2.imwrite(str(data / "cut.png"), np.dstack([np.full((40, 60, 3), 90, np.uint8), alpha]))
    cv2.imwrite(str(data / "room_1.jpg"), np.full((40, 60, 3), 70, np.uint8))
    store = Store(tmp_path / "store")
    plain = datasets.load(data, claims={"room_1": 0.4})
    first = datasets.load(data, claims={"room_1": 0.4}, store=store)
    monkeypatch.setattr(datasets, "cut", None)  # nothing is estimated a second time
    again = datasets.load(data, store=store)
    for other in (first, again):
        for one, two in zip(plain.stills, other.stills, strict=True):
            assert (one.name, one.box, one.touches, one.complete) == (
                two.name,
                two.box,
                two.touches,
                two.complete,
            )
            np.testing.assert_array_equal(one.cutouts, two.cutouts)
            assert (one.pictures is None) is (two.pictures is None)
        np.testing.assert_array_equal(plain.backgrounds[0], other.backgrounds[0])
    assert list(first.claims) == [0.4] and list(again.claims) == []
    monkeypatch.undo()
    alpha[:] = 255
    cv2.imwrite(str(data / "one.png"), alpha)  # a changed matte is read anew
    changed = {s.name: s for s in datasets.load(data, store=store).stills}
    assert changed["one"].cutouts[..., 3].min() == 255


def test_breadth_tells_what_is_claimed_from_what_is_lost():
    """A network that takes whatever is bright for people."""
    import torch

    class Bright(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.none = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pictures):
            gray = pictures[0].float().mean(-1)[:, None]
            return fit_like((gray > 150).float())

    class fit_like:
        def __init__(self, alpha):
            self.alpha = alpha

    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:, 32:64] = 255
    cutout = np.dstack([picture, picture[..., 0]])
    person = datasets.Subject("p", picture[None], cutout[None], (32, 0, 64, 64), (False,) * 4)
    lost = datasets.Subject("l", 255 - picture[None], cutout[None], (32, 0, 64, 64), (False,) * 4)
    empties = [np.zeros((64, 96, 3), np.uint8), np.full((64, 96, 3), 255, np.uint8)]
    found = validation.breadth(Bright(), datasets.Library([person, lost], [], empties))
    assert found.claimed == found.fooled == 0.5
    assert found.lost == 0.5 and found.iou == pytest.approx(0.5)
    assert found.mad == pytest.approx(500) and found.worst == pytest.approx(1000)
    assert found.score == pytest.approx(1000)
    assert validation.record(7, found)["step"] == 7


def test_a_run_notes_what_its_held_out_sources_say(tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "HELD_BATCHES", 1)  # a check of drawn samples is not what is tested
    data = tmp_path / "data"
    data.mkdir()
    alpha = np.zeros((64, 64), np.uint8)
    alpha[16:, 20:44] = 255
    for name in ("chi_1", "other_1", "other_2"):
        cv2.imwrite(str(data / f"{name}.jpg"), np.dstack([alpha // 2] * 3))
        cv2.imwrite(str(data / f"{name}.png"), alpha)
    for name in ("nyc_1", "room_1"):
        cv2.imwrite(str(data / f"{name}.jpg"), np.full((64, 64, 3), 90, np.uint8))
    (tmp_path / "claims.json").write_text('{"room_1": 0.5}')
    chosen = fit.Settings(
        data=data,
        out=tmp_path / "run",
        stages=(fit.Stage("tiny", 2, 2, 1, ((64, 64),)),),
        widths=Widths(lowest=16, scales=(16, 16, 16, 8), memory=(8, 8, 4)),
        workers=0,
        threads=1,
        check_every=2,
        device="cpu",
        validation=("chi_", "nyc_"),
        claims=tmp_path / "claims.json",
        store=tmp_path / "store",
    )
    fit.fit(chosen)
    text = (tmp_path / "run/validation.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["step"] for line in lines] == [2]
    assert all(0 <= line["iou"] <= 1 and 0 <= line["claimed"] <= 1 for line in lines)
