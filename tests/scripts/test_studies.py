"""The studies' scripts at the smallest size that still runs all of them."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts/studies"))

import compose_steps  # noqa: E402
import study  # noqa: E402
import study_matting  # noqa: E402
import study_memory  # noqa: E402
import study_models  # noqa: E402
import study_refinement  # noqa: E402
import study_transfer  # noqa: E402

from mattecast.commands.exits import exit_code  # noqa: E402
from mattecast.engines.networks.heron import Heron, Widths  # noqa: E402
from mattecast.engines.papers.unet import UNetWidths  # noqa: E402
from mattecast.engines.training import metrics  # noqa: E402
from mattecast.filters.matting.bayesian import bayesian_matting  # noqa: E402
from mattecast.filters.matting.global_sampling import global_sampling  # noqa: E402
from mattecast.filters.matting.poisson import poisson_matting  # noqa: E402
from mattecast.filters.matting.trimap import BACKGROUND, PERSON, UNKNOWN  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def figure(seed, size=(48, 40)):
    """A red figure before blue, (h, w, 3) uint8, and its alpha."""
    rng, alpha = np.random.default_rng(seed), np.zeros(size, np.uint8)
    x = int(rng.integers(15, 25))
    cv2.circle(alpha, (x, 16), 8, 255, -1)
    cv2.ellipse(alpha, (x, size[0]), (13, 22), 0, 0, 360, 255, -1)
    share = alpha[..., None] / 255
    front = rng.integers(0, 40, (*size, 3)) + np.array([200, 60, 40])
    back = rng.integers(0, 40, (*size, 3)) + np.array([30, 60, 190])
    return np.uint8(front * share + back * (1 - share)), alpha


@pytest.fixture
def data(tmp_path):
    """Two sets of pairs in one folder: near_* and far_*."""
    folder = tmp_path / "data"
    folder.mkdir()
    for index in range(16):
        picture, alpha = figure(index)
        name = f"{'near' if index % 2 else 'far'}_{index:02d}"
        cv2.imwrite(str(folder / f"{name}.jpg"), picture[..., ::-1])
        cv2.imwrite(str(folder / f"{name}.png"), alpha)
    return folder


def run(script, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, arguments)])
    assert script.main() == 0


def small(data, out, sources):
    named = [word for name in sources for word in ("--source", f"folder:{data}:{name}_*")]
    return (
        *named,
        "--target",
        f"folder:{data}:near_*",
        "--out",
        out,
        "--size",
        32,
        "--steps",
        3,
        "--check-every",
        2,
        "--width",
        4,
        "--batch",
        2,
        "--device",
        "cpu",
    )


def test_transfer_and_models_share_their_runs(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "HELD_OUT", 2)
    run(study_transfer, monkeypatch, *small(data, tmp_path / "runs", ["far"]))
    said = capsys.readouterr().out
    for what in (*study_transfer.FREEZING, "no pre-training"):
        assert what in said
    assert "not at hand" in said  # the paper's own figures are not made up
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/done")}
    assert len(before) == 6
    models = tmp_path / "models"
    run(
        study_models,
        monkeypatch,
        *small(data, tmp_path / "runs", ["far", "near"]),
        "--release",
        models,
    )
    assert len(list(models.glob("*.onnx"))) == len(list(models.glob("*.json"))) == 5
    said = capsys.readouterr().out
    for what in ("simplified U-Net", "pre-trained on far", "pre-trained on near", "DeepLabV3+"):
        assert what in said
    assert (
        before.items()
        <= {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/*/done")}.items()
    )
    frozen = torch.load(tmp_path / "runs/unet-far-to-near-frozen-0/last.pt", weights_only=True)
    start = torch.load(tmp_path / "runs/unet-far/best.pt", weights_only=True)
    for name, value in frozen["network"].items():
        assert torch.equal(value, start["average"][name]) != name.startswith("head"), name


def test_rows_are_ordered_by_their_distance_picture_by_picture():
    better, worse = np.array([0.1, 0.3, 0.2]), np.array([0.2, 0.5, 0.5])
    rows = {
        name: study.Scores(np.stack([-mad, mad, mad], 1), 1.0, 1)
        for name, mad in (("worse", worse), ("better", better))
    }
    error = np.std(worse - better, ddof=1) / np.sqrt(3)  # of 0.1, 0.2 and 0.3
    assert study.order(rows, study.MAD) == f"better; worse (+0.2 ± {error:.2g})"


def test_only_what_is_not_frozen_counts_as_trained():
    source = study.Source.read("folder:here")
    whole, head = (
        study.Plan("name", UNetWidths(width=4), source, frozen=frozen).parameters
        for frozen in ((), study_transfer.FREEZING["all but the last layer"])
    )
    assert head == 4 + 1 < whole


def test_curves_are_read_from_logs_and_drawn(tmp_path):
    (tmp_path / "log.txt").write_text(
        "training on 3 stills\n"
        "step     10 stage study loss 0.5739 rate 1.00e-03 frames/s   7.0 wait 14% eta 1.0 min\n"
        "step     20 held-out MAD 140.07\n"
        "step     10 stage study loss 0.4000 rate 1.00e-03 frames/s   7.0 wait 14% eta 1.0 min\n"
    )
    assert study.curve(tmp_path) == ([(10, 0.4)], [(20, 140.07)])
    pytest.importorskip("matplotlib")
    study.plot({"run": tmp_path}, tmp_path / "curve.png", "title")
    assert (tmp_path / "curve.png").stat().st_size > 5000


@pytest.mark.parametrize("text", ["", "folder", "ppm100:"])
def test_a_source_without_a_path_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected CORPUS:PATH"):
        study.Source.read(text)


def test_a_wrong_request_ends_in_one_line(data, tmp_path, monkeypatch):
    place, out = tmp_path / "elsewhere", tmp_path / "runs"
    wrong = (
        (
            study_transfer,
            ("--source", f"ppm100:{place}", "--target", f"folder:{data}"),
            f"{place}: not PPM-100: image is missing there",
        ),
        (
            study_models,
            ("--source", f"folder:{data}", "--target", f"ppm:{data}"),
            "data set 'ppm' is not known",
        ),
        (
            study_transfer,
            (
                "--source",
                f"folder:{data}",
                "--target",
                f"folder:{data}",
                "--limit",
                1,
                "--held-out",
                99,
            ),
            f"{data}: 1 stills, 0 clips, 0 things, 0 backgrounds, of which none is held out",
        ),
        (study_refinement, ("--data", place, "--clips", place), f"no people below {place}"),
    )
    for script, arguments, words in wrong:
        words_given = (
            *map(str, arguments),
            "--out",
            str(out),
            "--device",
            "cpu",
            "--steps",
            "2",
            "--size",
            "32",
        )
        monkeypatch.setattr(sys, "argv", [script.__name__, *words_given])
        with pytest.raises(SystemExit) as caught:
            exit_code(script.main)
        assert words in str(caught.value) and "\n" not in str(caught.value)
    photo = data / "far_00.jpg"
    for arguments, words in (
        ((place, "--background", photo, "--out", out), "not a picture that can be read"),
        ((photo, "--background", photo, "--out", out, "--model", "nobody"), "nobody"),
        ((photo, "--background", photo, "--out", photo), "exists"),
    ):
        monkeypatch.setattr(sys, "argv", ["compose_steps", *map(str, arguments)])
        with pytest.raises(SystemExit, match=words):
            exit_code(compose_steps.main)


@pytest.mark.parametrize("text", ["100", "0", "large"])
def test_sides_are_multiples_of_32(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a multiple of 32"):
        study.side(text)


def test_a_source_takes_its_pattern_and_limit(data, tmp_path):
    source = study.Source.read(f"folder:{data}:far_*")
    assert source.name == "far"
    names = sorted(path.name for path in source.folder(tmp_path, 3).iterdir())
    assert names == [f"far_{index:02d}.{kind}" for index in (2, 8, 12) for kind in ("jpg", "png")]
    assert study.Source.read("ppm100:/data/PPM-100").name == "ppm100-PPM-100"


def test_the_drawn_figure_has_soft_hair_and_two_backgrounds():
    different, same = study_matting.drawn()
    soft = (different.alpha > 0.05) & (different.alpha < 0.95)
    assert 0.005 < soft.mean() < 0.1
    empty = different.alpha == 0
    gap = [
        np.abs(case.picture[empty].mean(0) - case.picture[case.alpha == 1].mean(0)).max()
        for case in (different, same)
    ]
    assert gap[0] > 60 and gap[1] < 35
    assert different.known[different.alpha > 0.5].min() > BACKGROUND


# What each leaves of the coarse matte's error: before other colours, and before the figure's own.
OURS = {poisson_matting: (0.6, 1.0), bayesian_matting: (0.3, 0.8), global_sampling: (0.3, 0.95)}


@pytest.mark.parametrize("method", OURS)
def test_methods_of_our_own_find_hair(method):
    for case, left in zip(study_matting.drawn(), OURS[method], strict=True):
        found = method(case.picture, case.known)
        assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
        assert (found[case.known == PERSON] == 1).all()
        assert (found[case.known == BACKGROUND] == 0).all()
        assert metrics.mad(found, case.alpha) < left * metrics.mad(case.coarse, case.alpha)


@pytest.mark.parametrize("method", OURS)
def test_trimaps_of_one_side_or_without_a_band(method):
    picture = np.full((8, 8, 3), 90, np.uint8)
    for value, alpha in ((PERSON, 1.0), (BACKGROUND, 0.0)):
        assert (method(picture, np.full((8, 8), value, np.uint8)) == alpha).all()
        half = np.full((8, 8), UNKNOWN, np.uint8)
        half[:, :2] = value
        assert (method(picture, half) == alpha).all()
    whole = np.where(np.arange(64).reshape(8, 8) % 8 < 4, PERSON, BACKGROUND).astype(np.uint8)
    np.testing.assert_array_equal(method(picture, whole), whole == PERSON)


@pytest.mark.parametrize("method", [bayesian_matting, global_sampling])
def test_alpha_of_flat_sides_is_how_much_of_each_is_mixed(method):
    share = np.linspace(0, 1, 32, dtype=np.float32)[None].repeat(24, 0)
    front, back = np.array([200, 60, 40]), np.array([30, 90, 190])
    picture = np.round(share[..., None] * front + (1 - share[..., None]) * back).astype(np.uint8)
    known = np.where(share == 0, BACKGROUND, np.where(share == 1, PERSON, UNKNOWN))
    assert np.abs(method(picture, known.astype(np.uint8)) - share).max() < 0.03


def test_a_panel_and_a_table_of_what_runs_here(tmp_path, monkeypatch, capsys):
    ours = {name: study_matting.METHODS[name] for name in ("segmentation", "ours (--detail fine)")}
    monkeypatch.setattr(study_matting, "METHODS", ours)
    run(study_matting, monkeypatch, "--panels", tmp_path)
    said = capsys.readouterr().out.splitlines()
    lines = [line.split(" | ") for line in said if "colours" in line]
    rough, fine = (float(line[4]) for line in lines if line[0].endswith("different colours"))
    assert fine < rough
    panel = cv2.imread(str(tmp_path / "matting-same.png"))
    assert panel is not None and panel.shape[1] == 2 * 3 * 200


def test_a_method_that_is_not_installed_is_left_out(monkeypatch, capsys):
    def missing(case):
        raise ImportError("pip install 'mattecast[refine]'")

    monkeypatch.setattr(study_matting, "METHODS", {"knn": missing})
    assert dict(study_matting.solved(next(study_matting.drawn()))) == {}
    assert "knn: left out: pip install" in capsys.readouterr().out


def test_five_steps_are_saved(tmp_path, monkeypatch):
    picture, _ = figure(1, (96, 80))
    for name, each in (("photo", picture), ("beach", 255 - picture[:40, :40])):
        cv2.imwrite(str(tmp_path / f"{name}.png"), each[..., ::-1])
    run(
        compose_steps,
        monkeypatch,
        tmp_path / "photo.png",
        "--background",
        tmp_path / "beach.png",
        "--out",
        tmp_path / "steps",
    )
    names = sorted(path.stem for path in (tmp_path / "steps").iterdir())
    assert names == [
        "4-1-segmentation",
        "4-2-trimap",
        "4-3-alpha",
        "4-4-foreground",
        "4-5-composite",
    ]
    steps = {name: cv2.imread(str(tmp_path / "steps" / f"{name}.png"), -1) for name in names}
    assert steps["4-4-foreground"].shape == (96, 80, 4)
    assert set(np.unique(steps["4-2-trimap"])) <= {0, 128, 255}


def test_a_foreground_loses_the_old_background_and_composes_back():
    truth = cv2.GaussianBlur(figure(1)[1], (0, 0), 2).astype(np.float32) / np.float32(255)
    front, back = (
        np.full((48, 40, 3), colour, np.uint8) for colour in ((200, 60, 40), (30, 60, 190))
    )
    picture = compose_steps.composed(front, truth, back)
    found = compose_steps.foreground(picture, truth)
    soft = (truth > 0.2) & (truth < 0.8)
    after, before = (
        np.abs(each[soft].astype(int) - front[soft]).mean() for each in (found, picture)
    )
    assert after < 0.6 * before
    assert (found[truth == 1] == picture[truth == 1]).all()


@pytest.fixture
def clips(tmp_path):
    """A folder with a clip of two frames and its true alpha."""
    import av

    folder = tmp_path / "clips"
    folder.mkdir()
    for ending, form in (("mp4", "rgb24"), ("alpha.mkv", "gray")):
        with av.open(str(folder / f"one_a.{ending}"), "w") as out:
            codec = "ffv1" if form == "gray" else "libx264"
            stream = out.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 40, 48, form
            if form == "rgb24":
                stream.pix_fmt = "yuv420p"
            for index in range(2):
                picture = figure(index)[form == "gray"]
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format=form)))
            out.mux(stream.encode(None))
    return folder


@pytest.mark.parametrize("model", ["default", "truth"])
def test_clips_are_scored_at_their_middle_and_drawn_only_when_asked(
    model, clips, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(
        study_matting, "METHODS", {"segmentation": study_matting.METHODS["segmentation"]}
    )
    case = next(study_matting.clips(argparse.Namespace(clips=clips, most=0, side=0, model=model)))
    first, middle = (np.abs(case.picture.astype(int) - figure(index)[0]).mean() for index in (0, 1))
    assert middle < 20 < first  # its noise did not come through H.264
    np.testing.assert_array_equal(np.round(case.alpha * 255), figure(1)[1])
    if model == "truth":
        assert metrics.mad(case.coarse, case.alpha) < 60
    pages, panels = tmp_path / "pages", tmp_path / "panels"
    run(
        study_matting,
        monkeypatch,
        "--clips",
        clips,
        "--model",
        model,
        "--side",
        24,
        "--write",
        pages,
    )
    assert "| one | segmentation | 1 |" in capsys.readouterr().out
    assert [path.name for path in pages.iterdir()] == [f"matting-{model}.md"]
    run(study_matting, monkeypatch, "--clips", clips, "--model", model, "--panels", panels)
    assert [path.name for path in panels.iterdir()] == ["matting-one_a.png"]


def test_refinement_runs_from_segmentation_to_models(data, clips, tmp_path, monkeypatch, capsys):
    run(
        study_refinement,
        monkeypatch,
        "--data",
        data,
        "--clips",
        clips,
        "--out",
        tmp_path / "runs",
        "--size",
        32,
        "--width",
        16,
        "--steps",
        "3,2,1",
        "--batch",
        2,
        "--device",
        "cpu",
        "--release",
        tmp_path / "models",
    )
    said = capsys.readouterr().out
    assert "DLMN-G + SSRN" in said and "The refinement changes the MAD" in said
    for name, count in (("deeplab", 3), ("dlmn", 2), ("ssrn", 1)):
        assert torch.load(tmp_path / f"runs/{name}/last.pt", weights_only=True)["step"] == count
        assert f"{study_refinement.NAMES[name]} {count} steps in " in said
    assert sorted(path.name for path in (tmp_path / "models").glob("*.onnx")) == [
        "deeplab.onnx",
        "dlmn.onnx",
        "ssrn.onnx",
    ]


@pytest.mark.parametrize("text", ["", "2,1", "1,2,3,4", "2,one,3", "-3"])
def test_steps_are_one_number_or_one_for_each_network(text):
    assert study_refinement.steps("60") == {"deeplab": 60, "dlmn": 60, "ssrn": 60}
    with pytest.raises(argparse.ArgumentTypeError, match="one number or one each for soft segm"):
        study_refinement.steps(text)


def test_memory_is_compared_from_one_checkpoint(data, clips, tmp_path, monkeypatch, capsys):
    torch.manual_seed(0)
    network = Heron(Widths(lowest=16, scales=(16, 16, 16, 8), memory=(8, 8, 4)))
    start = tmp_path / "start.pt"
    torch.save(
        {
            "system": "heron",
            "widths": dataclasses.asdict(network.widths),
            "average": network.state_dict(),
        },
        start,
    )
    run(
        study_memory,
        monkeypatch,
        "--data",
        data,
        "--from",
        start,
        "--clips",
        clips,
        "--out",
        tmp_path / "runs",
        "--size",
        64,
        "--scored",
        64,
        "--steps",
        2,
        "--batch",
        1,
        "--workers",
        0,
        "--device",
        "cpu",
    )
    said = capsys.readouterr().out
    for kind in study_memory.KINDS.values():
        assert f"| one | {kind.title} | " in said
