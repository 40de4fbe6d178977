"""Training: the data folder, augmentation, the losses, learning at all, and resuming exactly."""

import dataclasses
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from commands import call, entries, start

torch = pytest.importorskip("torch")

from mattecast import engines  # noqa: E402
from mattecast.commands import train  # noqa: E402
from mattecast.engines.library import embedded  # noqa: E402
from mattecast.engines.networks.heron import Heron, Widths  # noqa: E402
from mattecast.engines.training import (  # noqa: E402
    augment,
    average,
    datasets,
    fit,
    losses,
    scenes,
    systems,
)
from mattecast.engines.training.optimiser import optimisers, orthogonal  # noqa: E402

USUAL = scenes.Recipe(headless=0.0)
SMALL = Widths(lowest=16, scales=(16, 16, 16, 8), memory=(8, 8, 4))


@pytest.fixture(autouse=True)
def one_thread():
    """Pictures this small are quicker on one: threads would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def figure(seed, height=96, width=80):
    """A picture (H, W, 3) with a red figure before blue, cut by the lower edge, and its alpha."""
    rng = np.random.default_rng(seed)
    alpha = np.zeros((height, width), np.uint8)
    x = int(rng.integers(30, width - 30))
    cv2.circle(alpha, (x, 36), 14, 255, -1)
    cv2.ellipse(alpha, (x, height), (24, 44), 0, 0, 360, 255, -1)
    alpha = cv2.GaussianBlur(alpha, (0, 0), 1)
    front = rng.integers(0, 40, (height, width, 3)) + np.array([200, 60, 40])
    back = rng.integers(0, 40, (height, width, 3)) + np.array([30, 60, 190])
    share = alpha[..., None] / 255
    return np.uint8(front * share + back * (1 - share)), alpha


@pytest.fixture
def folder(tmp_path):
    """A data folder with pairs, a cut-out and backgrounds."""
    data = tmp_path / "data"
    data.mkdir()
    for seed in range(6):
        picture, alpha = figure(seed)
        cv2.imwrite(str(data / f"pair{seed}.jpg"), picture[..., ::-1])
        cv2.imwrite(str(data / f"pair{seed}.png"), alpha)
    picture, alpha = figure(7)
    cv2.imwrite(str(data / "cutout.png"), np.dstack([picture[..., ::-1], alpha]))
    (data / "things").mkdir()
    thing = np.zeros((40, 20, 4), np.uint8)
    thing[4:, 2:18] = 230, 30, 230, 255
    cv2.imwrite(str(data / "things" / "lamp.png"), thing)
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(60, 120, (90, 120, 3))
        cv2.imwrite(str(data / f"room{seed}.jpg"), np.uint8(noise))
    return data


@pytest.fixture
def library(folder):
    return datasets.load(folder, partial=("pair5",))


def test_a_folder_is_taken_by_what_it_holds(library):
    names = {subject.name: subject for subject in library.stills}
    assert sorted(names) == ["cutout", *(f"pair{i}" for i in range(6))]
    assert len(library.backgrounds) == 3
    assert [thing.shape for thing in library.things] == [(40, 20, 4)]
    assert names["cutout"].pictures is None
    assert not names["pair5"].complete and names["pair4"].complete
    assert names["pair0"].touches[3] and not names["pair0"].touches[1]
    red = names["pair0"].cutouts[0][names["pair0"].cutouts[0][..., 3] > 250]
    assert red[:, 0].mean() > red[:, 2].mean() + 100  # RGB, not BGR


def test_a_folder_without_people_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no people below"):
        datasets.load(tmp_path)


def test_held_out_subjects_are_not_trained_on(library):
    kept, held = library.split(3)
    assert {s.name for s in kept.stills} & {s.name for s in held.stills} == set()
    assert len(kept.stills) + len(held.stills) == len(library.stills)
    again = library.split(3)[1]
    assert [s.name for s in again.stills] == [s.name for s in held.stills]


def test_foreground_colours_lose_the_old_background():
    picture, alpha = figure(1)
    colours = datasets.cut(picture, alpha)[..., :3]
    soft = (alpha > 40) & (alpha < 215)
    truth = np.array([220, 80, 60])
    assert np.abs(colours[soft] - truth).mean() < 0.6 * np.abs(picture[soft] - truth).mean()


def test_cut_outs_that_are_black_around_get_no_dark_line(tmp_path):
    """However it is made smaller, a red disc stays as red at its edge as in its middle."""
    alpha = np.zeros((400, 400), np.uint8)
    cv2.circle(alpha, (200, 200), 150, 255, -1, cv2.LINE_AA)
    colours = np.where(alpha[..., None], (200, 40, 40), 0)
    path = tmp_path / "disc.png"
    cv2.imwrite(str(path), np.dstack([colours[..., ::-1], alpha]).astype(np.uint8))
    disc = datasets.read(path)
    np.testing.assert_array_equal(disc[alpha > 128][:, :3], colours[alpha > 128])
    small = cv2.resize(disc, (90, 90), interpolation=cv2.INTER_AREA)
    edge = (small[..., 3] > 0) & (small[..., 3] < 255)
    assert edge.sum() > 100
    assert np.abs(small[edge][:, :3].astype(int) - (200, 40, 40)).max() <= 4


def test_a_file_as_mattecast_writes_it_is_a_moving_cut_out(tmp_path):
    frames, colour = 6, np.array([60, 90, 200])
    for name, form in (("walks", "yuva444p10le"), ("opaque", "yuv422p10le")):
        with av.open(str(tmp_path / f"{name}.mov"), "w") as container:
            stream = container.add_stream("prores_ks", 25)
            stream.width, stream.height, stream.pix_fmt = 128, 96, form
            for index in range(frames):
                picture = np.zeros((96, 128, 4), np.uint8)
                left = 40 + 12 * index  # the last is cut by the right side
                picture[20:80, left : left + 30] = *colour, 255
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgba")))
            container.mux(stream.encode())
    (walks,) = datasets.load(tmp_path).clips
    assert walks.name == "walks" and walks.pictures is None
    assert walks.cutouts.shape == (frames, 96, 128, 4)
    assert walks.box == (40, 20, 70, 80) and walks.touches == (False, False, True, False)
    inside = walks.cutouts[0, 24:76, 44:66]
    assert inside[..., 3].min() > 250
    assert np.abs(inside[..., :3].astype(int) - colour).mean() < 12
    assert walks.cutouts[0, :10, :20, 3].max() == 0
    library = datasets.Library([], [walks])
    moved = scenes.layer(
        np.random.default_rng(1), scenes.Recipe(), walks, (64, 96), [np.eye(3)] * 3
    )
    assert moved.alpha.max() > 250 and str(library).startswith("0 stills, 1 clips")


@pytest.mark.parametrize("frames", [1, 3])
def test_samples_are_whole_and_depend_on_the_seed_alone(library, frames):
    for seed in range(25):
        one, two = (
            scenes.draw(
                np.random.default_rng(seed), scenes.Recipe(), library, size=(64, 96), frames=frames
            )
            for _ in range(2)
        )
        assert one.picture.shape == one.foreground.shape == (frames, 64, 96, 3)
        assert one.alpha.shape == one.valid.shape == (frames, 64, 96)
        for name in ("picture", "alpha", "foreground", "valid"):
            assert getattr(one, name).dtype == np.uint8
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_a_person_cut_below_stays_on_the_lower_edge(library):
    subject = next(s for s in library.stills if s.name == "pair0")
    height = subject.cutouts.shape[1]
    for seed in range(40):
        matrix = scenes.place(np.random.default_rng(seed), USUAL, subject, (128, 160), 1.25)
        middle = (subject.box[0] + subject.box[2]) / 2
        assert (matrix @ [middle, height, 1])[1] > 128 - 12  # a little turn is allowed


@pytest.mark.parametrize("sides", ["left", "right", "top", "left right", "top bottom"])
def test_where_a_picture_cut_a_person_no_cut_shows_in_the_frame(sides):
    cutout = np.full((60, 50, 4), 255, np.uint8)
    touches = tuple(side in sides for side in ("left", "top", "right", "bottom"))
    subject = datasets.Subject("cut", None, cutout[None], (0, 0, 50, 60), touches)
    left, top, right, bottom = touches
    for seed in range(40):
        matrix = scenes.place(np.random.default_rng(seed), USUAL, subject, (90, 160), 1.25)
        corners = np.array([[0, 0, 1], [50, 0, 1], [0, 60, 1], [50, 60, 1]]) @ matrix.T
        x, y = corners[:, 0], corners[:, 1]
        if matrix[0, 0] < 0:  # mirrored
            x = 159 - x
        assert not left or x.min() <= -2
        assert not right or x.max() >= 162
        assert not top or y.min() <= -2
        assert not bottom or y.max() >= 92


def test_people_and_photographs_are_rarely_enlarged_beyond_what_stays_sharp(library):
    recipe = scenes.Recipe(enlarged=0.0)
    assert scenes.limit(np.random.default_rng(0), recipe) == scenes.SHARPEST
    for subject in library.stills:
        if any(subject.touches[::2]) or subject.touches[1]:
            continue  # sides that are cut have to reach the frame's
        for seed in range(20):
            matrix = scenes.place(np.random.default_rng(seed), USUAL, subject, (400, 700), 1.25)
            assert abs(np.linalg.det(matrix[:2, :2])) ** 0.5 < 1.25 * 1.15  # and a little stretch
    shape = (300, 400, 3)
    for seed in range(20):
        matrix = scenes.cover(np.random.default_rng(seed), shape, (240, 400), 0.5, 1.25)
        assert abs(np.linalg.det(matrix[:2, :2])) ** 0.5 < 1.25 * 1.2


@pytest.mark.parametrize("kind", ["photograph", "composite", "empty"])
def test_things_stand_behind_people(library, kind):
    """Here all of them are magenta, which nobody else is."""
    places, recipe = (library, (64, 96), 2), scenes.Recipe(furnished=1.0, second=0.0)
    seen = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        if kind == "photograph":
            one = next(s for s in library.stills if s.pictures is not None)
            sample = scenes.photograph(rng, recipe, library, one, *places[1:], 2.5)
        else:
            sample = getattr(scenes, kind)(rng, recipe, *places)
        red, green, blue = np.moveaxis(sample.picture.astype(int), -1, 0)
        magenta = np.minimum(red, blue) > green + 60
        assert not (magenta & (sample.alpha > 250)).any()
        seen += (magenta & (sample.alpha == 0)).any()
    assert seen > 6


def test_some_things_are_cut_by_a_side_of_the_frame(monkeypatch):
    box, still = np.full((40, 30, 4), 255, np.uint8), [np.eye(3)]

    def cut(seed):
        """How much of the sides' columns the thing covers, and of the frame."""
        alpha = scenes.thing(np.random.default_rng(seed), box, (90, 160), still).alpha[0]
        return (alpha[:, [0, -1]] > 127).mean(), (alpha > 127).mean()

    monkeypatch.setattr(scenes, "CORNERED", 1.0)
    shares = [cut(seed) for seed in range(30)]
    assert all(side > 0 for side, _ in shares) and all(seen < 0.5 for _, seen in shares)
    monkeypatch.setattr(scenes, "CORNERED", 0.0)
    assert sum(cut(seed)[0] > 0 for seed in range(30)) < 20


def test_alpha_moves_with_its_picture():
    both = np.dstack([figure(2)[1]] * 4)
    matrix = augment.about(40, 48, augment.turning(9) @ augment.scaling(0.4, 0.4))
    small, base = augment.shrunk(both, matrix)
    bend = augment.wobble(np.random.default_rng(0), 1, (96, 80))[0]
    for field in (None, bend):
        moved = augment.warp(small, base, (96, 80), border=cv2.BORDER_CONSTANT, field=field)
        np.testing.assert_array_equal(moved[..., 0], moved[..., 3])
    whole = augment.warp(both, matrix, (96, 80), border=cv2.BORDER_CONSTANT)
    shrunk = augment.warp(small, base, (96, 80), border=cv2.BORDER_CONSTANT)
    assert np.abs(whole.astype(int) - shrunk).mean() < 1.5  # reducing first moves nothing


def test_blending_is_exact_at_the_ends():
    rng = np.random.default_rng(0)
    over, under = (rng.integers(0, 256, (1, 8, 8, 3), dtype=np.uint8) for _ in range(2))
    alpha = np.zeros((1, 8, 8), np.uint8)
    np.testing.assert_array_equal(scenes.blend(over, alpha, under), under)
    np.testing.assert_array_equal(scenes.blend(over, alpha + 255, under), over)


def test_the_temporal_loss_forgives_a_steady_error_only():
    steady = torch.full((4, 1, 8, 8), 0.3)
    flicker = steady * torch.tensor([1.0, 0, 1, 0])[:, None, None, None]
    assert losses.temporal(steady, 4) == 0
    assert losses.temporal(flicker, 4) > 0.05
    assert losses.temporal(torch.cat([steady, steady * 0]), 4) == 0  # two clips are no cut


def settings(folder, out, steps=4):
    stage = fit.Stage("tiny", steps, 4, 2, ((32, 64), (64, 64)))
    return fit.Settings(
        data=folder,
        out=out,
        stages=(stage,),
        widths=SMALL,
        workers=0,
        warmup=2,
        held_out=50,
        device="cpu",
    )


def trained(chosen):
    """The checkpoint a run leaves."""
    return torch.load(fit.fit(chosen).checkpoint, weights_only=True)


def test_a_stopped_run_ends_where_an_unbroken_one_does(folder, tmp_path, monkeypatch):
    whole = trained(settings(folder, tmp_path / "whole"))
    original = fit.train_step

    def interrupted(run, *rest):
        value = original(run, *rest)
        if run.step == 2:
            fit.signal.raise_signal(fit.signal.SIGTERM)
        return value

    monkeypatch.setattr(fit, "train_step", interrupted)
    broken = settings(folder, tmp_path / "broken")
    assert trained(broken)["step"] == 2
    monkeypatch.setattr(fit, "train_step", original)
    resumed = trained(broken)
    assert resumed["step"] == whole["step"] == 4
    for name, value in whole["average"].items():
        torch.testing.assert_close(resumed["average"][name], value)


def test_a_run_ends_when_its_time_is_spent(folder, tmp_path):
    chosen = settings(folder, tmp_path / "run", steps=100_000)
    assert chosen.slope_at(10, 0.9) < 0.1 < chosen.slope_at(10, 0.1)
    assert trained(dataclasses.replace(chosen, seconds=0.5))["step"] < 1000


def test_the_mean_of_runs_has_the_mean_of_their_weights(folder, tmp_path):
    one = fit.fit(settings(folder, tmp_path / "one")).checkpoint
    more = dataclasses.replace(settings(folder, tmp_path / "two"), start=one, seed=2)
    two = fit.fit(more).checkpoint
    states = [systems.restore(path).state_dict() for path in (one, two)]
    network = average.mean([one, two])
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (states[0][name] + states[1][name]) / 2)
    assert not torch.equal(states[0]["head.weight"], states[1]["head.weight"])
    more = average.mean([one, two], [1, 3]).state_dict()["head.weight"]
    torch.testing.assert_close(more, (states[0]["head.weight"] + 3 * states[1]["head.weight"]) / 4)
    mixed = average.mean([one, two], [0, 1], ("head", "merge4")).state_dict()
    for name, value in mixed.items():
        torch.testing.assert_close(value, states[name.startswith(("head", "merge4"))][name])
    with pytest.raises(ValueError, match=r"part 'tail': .* has encoder, .*head"):
        average.mean([one, two], parts=("tail",))
    for wrong in ([1.0], [0.0, 0.0], [2.0, -1.0]):
        with pytest.raises(ValueError, match="expected one from 0 up"):
            average.mean([one, two], wrong)


def test_the_embedded_file_counts_as_a_run():
    from mattecast.engines.training.export import read_weights

    network = average.mean([embedded(), embedded()], [0.3, 0.7])
    for name, value in read_weights(embedded()).items():
        torch.testing.assert_close(network.state_dict()[name], value)


def test_an_exported_file_of_other_widths_is_refused():
    with pytest.raises(ValueError, match=r"default\.onnx: its weights are of other widths"):
        systems.start(Heron(SMALL), embedded())


def test_runs_of_networks_that_differ_have_no_mean(folder, tmp_path):
    one = fit.fit(settings(folder, tmp_path / "one", steps=1)).checkpoint
    other = dataclasses.replace(SMALL, lowest=32)
    two = dataclasses.replace(settings(folder, tmp_path / "two", steps=1), widths=other)
    with pytest.raises(ValueError, match=r"last\.pt: holds a heron of"):
        average.mean([one, fit.fit(two).checkpoint])


def test_it_learns_a_few_pictures_by_heart(library):
    torch.manual_seed(0)
    chosen = fit.Settings(data=None, out=None, rate=3e-3, warmup=5)
    stage = fit.Stage("tiny", 150, 4, 1, ())
    chosen = dataclasses.replace(chosen, stages=(stage,), frozen=systems.SYSTEMS["heron"].frozen)
    network = Heron(SMALL)
    systems.start(network, train.imagenet())
    systems.hold(network, chosen.frozen)
    moved = optimisers(
        network, outer=("head",), known=("encoder",), rate=3e-3, decay=0.0, muon=0.03
    )
    average = {n: v.clone() for n, v in network.state_dict().items()}
    run = fit.Run(network, moved, average)
    tensors = fit.batch(library, chosen.recipe, seed=[3], stage=stage, size=(64, 64))
    history = [fit.train_step(run, chosen, tensors) for _ in range(150)]
    assert history[-1] < 0.4 * history[0]
    network.train()
    goal = fit.target(tensors)
    error = losses.mad(fit.predict(network, tensors).alpha, goal.alpha, goal.valid)
    assert error < 100, error


@pytest.mark.parametrize("shape", [(16, 144), (144, 16), (32, 32)])
def test_muon_moves_every_direction_alike(shape):
    steep = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    steep *= torch.logspace(0, -1, shape[1])
    values = torch.linalg.svdvals(orthogonal(steep))
    assert values.max() < 1.3 and values.median() > 0.6


COMMAND = (
    "train",
    "--stage",
    "tiny:3:2:2:32x64",
    "--workers",
    "0",
    "--threads",
    "1",
    "--device",
    "cpu",
)


def test_the_command_fine_tunes_the_embedded_network(folder, tmp_path):
    out = tmp_path / "run"
    result = call(*COMMAND, "--data", folder, "--out", out, "--from", "default")
    assert result.code == 0, result.err
    assert result.out.strip() == str(out / "network.onnx")
    from mattecast.engines.training.export import read_weights

    start = read_weights(embedded())
    tuned = read_weights(out / "network.onnx")
    moved = (tuned["lowest.0.conv.weight"] - start["lowest.0.conv.weight"]).abs().max()
    assert 0 < moved < 0.2


@pytest.mark.parametrize(
    "wish, words",
    [
        (("--data", "nowhere"), ("nowhere", "no people")),
        (("--data", ".", "--from", "lost.onnx"), ("lost.onnx", "no such file")),
        (("--data", ".", "--from", "text.pt"), ("text.pt", "not a checkpoint")),
        (("--data", ".", "--from", "text.onnx"), ("text.onnx", "not an ONNX file")),
        (("--data", ".", "--stage", "a:b"), ("name:steps",)),
        (("--data", ".", "--share", "0.5"), ("--share is for the papers' networks",)),
        (("--data", ".", "--network", "unet", "--share", "0"), ("--share 0", "0.05 to 1")),
        (("--data", ".", "--network", "unet", "--from", "default"), ("no unet can begin from it",)),
        (
            ("--data", ".", "--network", "unet", "--from", "imagenet"),
            ("no unet can begin from it",),
        ),
        (("--data", ".", "--from", "odd.pth"), ("odd.pth", "no weights of EfficientNet-Lite0")),
        (("--data", ".", "--network", "dlmn"), ("trained on a deeplab", "RUN/last.pt")),
        (("--data", ".", "--network", "ssrn"), ("trained on a dlmn",)),
        (("--data", ".", "--device", "cuda:7"), ("cuda:7", "no CUDA GPU")),
    ],
)
def test_the_command_reports_what_is_wrong(wish, words, folder, tmp_path, monkeypatch):
    if "cuda:7" in wish and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    (folder / "text.pt").write_text("no weights")
    (folder / "text.onnx").write_text("no network")
    torch.save({"weight": torch.zeros(1)}, folder / "odd.pth")
    monkeypatch.chdir(folder)
    out = tmp_path / "run"
    call("train", "--out", out, "--workers", "0", *wish).refuses(2, *words)
    assert not out.exists() or entries(out) == []


def test_the_command_knows_every_system():
    assert train.NETWORKS[0] == "default"
    assert ("heron", *train.NETWORKS[1:]) == tuple(systems.SYSTEMS)


PAPERS = (*COMMAND, "--share", "0.05")


@pytest.fixture
def chain(folder, tmp_path):
    """Runs of all of the papers' networks by the command, each on the one it needs."""
    for name, *more in (
        ("unet-simple",),
        ("unet",),
        ("deeplab",),
        ("dlmn", "--from", tmp_path / "deeplab" / "last.pt"),
        ("ssrn", "--from", tmp_path / "dlmn" / "last.pt"),
    ):
        out = tmp_path / name
        result = call(*PAPERS, "--data", folder, "--out", out, "--network", name, *more)
        assert result.code == 0, result.err
        assert result.out.strip() == str(out / "network.onnx")
    return tmp_path


def test_the_command_trains_every_network_of_the_papers(folder, chain, caplog):
    caplog.set_level(logging.INFO, logger="mattecast")  # another test may have run a quiet command
    for name in train.NETWORKS[1:]:
        network = systems.restore(chain / name / "last.pt")
        assert systems.name_of(network) == name
        spec = engines.find(str(chain / name / "network.onnx"))
        assert spec.long_side == 64  # of the last stage
    engine = engines.load(spec, (64, 32), backend="openvino", device="cpu", precision="f32")
    picture = np.uint8(np.random.default_rng(0).integers(0, 256, (32, 64, 3)))
    with torch.no_grad():
        truth = network(torch.from_numpy(picture)[None, None]).alpha[0, 0].numpy()
    np.testing.assert_allclose(engine.step(picture), truth, atol=2e-4)
    engine.close()
    parts = [systems.restore(chain / name / "last.pt") for name in ("deeplab", "dlmn", "ssrn")]
    for part, whole in ((parts[0], parts[1].segmentation), (parts[1], parts[2].base)):
        for name, value in part.state_dict().items():
            assert torch.equal(value, whole.state_dict()[name]), name  # it stays as it is

    # Again with more steps goes on; another network in the same place, or from another, does not.
    longer = [word.replace("tiny:3", "tiny:5") for word in PAPERS]
    out = chain / "unet"
    result = call(*longer, "--data", folder, "--out", out, "--network", "unet")
    assert result.code == 0 and "resumed at step 3" in caplog.text, result.err
    assert torch.load(out / "last.pt", weights_only=True)["step"] == 5
    call(*PAPERS, "--data", folder, "--out", out, "--network", "deeplab").refuses(
        2, str(out / "last.pt"), "another network"
    )
    call(
        *PAPERS,
        "--data",
        folder,
        "--out",
        chain / "new",
        "--network",
        "ssrn",
        "--from",
        chain / "unet" / "last.pt",
    ).refuses(2, "holds a unet", "a dlmn or a ssrn")
    call(
        *COMMAND,
        "--data",
        folder,
        "--out",
        chain / "new",
        "--from",
        chain / "unet" / "network.onnx",
    ).refuses(2, "no weights of the embedded")


def test_fine_tuning_takes_the_widths_of_its_checkpoint(tmp_path):
    small = systems.widths("deeplab", 0.125)
    network = systems.build(small)
    run = fit.Run(network, systems.adam(network, 1e-3, 0.0), dict(network.state_dict()))
    run.save(tmp_path / "last.pt", fit.Settings(data=tmp_path, out=tmp_path))
    assert systems.widths("deeplab", 1.0, tmp_path / "last.pt") == small
    inside = systems.widths("dlmn", 0.25, tmp_path / "last.pt")
    assert inside.segmentation == small and inside.width == 64
    with pytest.raises(ValueError, match="holds a deeplab, from which no heron can begin"):
        systems.widths("heron", 1.0, tmp_path / "last.pt")


@pytest.mark.slow
def test_a_signal_to_the_whole_group_saves_and_stops(folder, tmp_path):
    out = tmp_path / "run"
    process = start(
        "train",
        "--stage",
        "long:100000:2:1:32x64",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--data",
        folder,
        "--out",
        out,
        start_new_session=True,
    )
    for line in process.stderr:
        if "step     50" in line:
            break
    os.killpg(process.pid, signal.SIGTERM)
    *_, last = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 128 + signal.SIGTERM, last
    assert "stopped by SIGTERM" in last
    assert torch.load(out / "last.pt", weights_only=True)["step"] >= 50


@pytest.mark.slow
def test_two_processes_train_one_network(folder, tmp_path):
    """torchrun on a CPU: both go through the same steps, one writes."""
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "-m",
        "mattecast",
        *COMMAND,
        "--data",
        str(folder),
        "--out",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] == 3
    assert done.stdout.strip() == str(tmp_path / "run" / "network.onnx")


ENDINGS = """
import signal, sys
from pathlib import Path
from test_training import settings
from dataclasses import replace
from mattecast.engines.training import fit

folder, out, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
chosen = replace(settings(folder, out, steps=50), held_out=2, check_every=1)
if how == "stale":
    chosen = replace(chosen, patience=2)
    scores = iter((5.0, 4.0, 4.5, 4.5))
    fit.check = lambda *rest: next(scores)
whole = fit.train_step

def step(run, *rest):
    if how == "signal" and run.step == 3 and fit.os.environ["RANK"] == "1":
        signal.raise_signal(signal.SIGTERM)
    return whole(run, *rest)

fit.train_step = step
ended = fit.fit(chosen)
print("ended", fit.os.environ["RANK"], ended.signal, flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how, step, said", [("stale", 4, "None"), ("signal", 4, "15")])
def test_processes_end_together(how, step, said, folder, tmp_path):
    """What one of them notices ends all of them at the same step."""
    (tmp_path / "ending.py").write_text(ENDINGS)
    run = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        tmp_path / "ending.py",
        folder,
        tmp_path / "run",
        how,
    ]
    done = subprocess.run(
        [str(word) for word in run],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split("\n"))[1:] == [f"ended {rank} {said}" for rank in "01"]
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] == step


def test_sides_that_cut_a_person_stay_out_of_sight():
    """A crop that a person fills from edge to edge must not end inside the frame."""
    filled = datasets.subject("crop", None, [np.full((40, 60, 4), 255, np.uint8)])
    rest = [np.eye(3)]
    for seed in range(60):
        shown = scenes.layer(np.random.default_rng(seed), USUAL, filled, (96, 64), rest)
        assert shown.alpha.mean() > 0.9 * 255  # a slight turn shows a little at the corners
