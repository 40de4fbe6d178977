"""Breadth: what a network claims where nobody is, and whom it loses."""

import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def scripts(monkeypatch):
    """The folder of scripts, whose modules import one another by name."""
    for folder in ("bench", "data"):
        monkeypatch.syspath_prepend(str(SCRIPTS / folder))
    yield
    for name in ("robust", "evaluate", "hard_negatives", "cut_things", "curves"):
        sys.modules.pop(name, None)


def write_clip(path, frames):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv444p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def folder(tmp_path):
    """Pictures whose left half is or is not a person, for a network that always says it is."""
    for part in ("empty", "people", "clips"):
        (tmp_path / part).mkdir()
    gray = np.full((64, 96, 3), 90, np.uint8)
    left = np.zeros((64, 96), np.uint8)
    left[:, :48] = 255
    for name in ("room_1", "room_2", "plant_1"):
        cv2.imwrite(str(tmp_path / "empty" / f"{name}.jpg"), gray)
    for name, alpha in (("a_1", left), ("b_1", 255 - left)):
        cv2.imwrite(str(tmp_path / "people" / f"{name}.jpg"), gray)
        cv2.imwrite(str(tmp_path / "people" / f"{name}.png"), alpha)
    write_clip(tmp_path / "clips" / "c_1.mp4", [gray] * 3)
    write_clip(tmp_path / "clips" / "c_1.alpha.mp4", [np.dstack([left] * 3)] * 3)
    return tmp_path


def test_each_part_is_measured(scripts, left_half, folder):
    import robust

    found = robust.measure("half", "default", folder)
    assert [one.kind for one in found.empty] == ["plant", "room", "room"]
    assert all(one.share == pytest.approx(0.5, abs=0.05) for one in found.empty)
    good, bad = found.people
    assert good.iou > 0.95 and good.mad < 50 and bad.iou < 0.05 and bad.mad > 950
    assert found.clips[0].iou > 0.9
    text = robust.tables([found])
    assert "| all | half | 3 | 5" in text and "| room | half | 2 |" in text
    assert "| 100.0% | 100.0% | 100.0% |" in text  # over 1, 5 and 25 %
    assert "| 50.0% | 50.0% |" in text  # of the people below .85 and .5
    assert "b_1" in text  # the worst


def test_a_folder_of_something_else_is_refused(scripts, tmp_path):
    import robust

    with pytest.raises(ValueError, match="expected pictures in empty/"):
        robust.measure("x", "default", tmp_path)


def test_the_worst_tenth_is_at_least_one(scripts):
    import robust

    assert robust.worst_tenth([1.0, 5.0, 2.0]) == 5
    assert robust.worst_tenth(range(20)) == 18.5
    assert np.isnan(robust.worst_tenth([]))


def test_the_evaluation_prints_breadth(scripts, left_half, folder, monkeypatch, capsys, tmp_path):
    import evaluate

    words = ["evaluate.py", str(folder), "--robust", "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", words)
    assert evaluate.main() == 0
    assert "| all | default | 3 |" in capsys.readouterr().out
    assert "share" in (tmp_path / "out.json").read_text()
    monkeypatch.setattr(sys, "argv", [*words[:3], "--matte", "stored:rvm"])
    with pytest.raises(SystemExit, match="give --model"):
        evaluate.main()


def test_groups_show_their_worst_clip(scripts):
    import evaluate

    rows = [evaluate.Row("one", f"a_{i}", "4x4", {"mad": mad}) for i, mad in enumerate((1, 2, 99))]
    text = evaluate.table(rows)
    assert "worst MAD" in text and "| a | one | 3 | 34.000 | 99.000 | 99.000 | 4x4 |" in text


def test_claims_are_measured_and_cut_out(scripts, left_half, folder, monkeypatch, tmp_path):
    import json

    import cut_things
    import hard_negatives

    claims, things = tmp_path / "claims.json", tmp_path / "things"
    where = str(folder / "empty")
    monkeypatch.setattr(sys, "argv", ["hard_negatives.py", where, "--out", str(claims)])
    assert hard_negatives.main() == 0
    shares = json.loads(claims.read_text())
    assert sorted(shares) == ["plant_1", "room_1", "room_2"]
    claims.write_text(json.dumps(shares | {"room_1": 0.01}))
    words = ["cut_things.py", where, "--claims", str(claims), "--out", str(things)]
    monkeypatch.setattr(sys, "argv", words)
    assert cut_things.main() == 0
    assert sorted(path.stem for path in things.iterdir()) == ["plant_1", "room_2"]
    cutout = cv2.imread(str(things / "room_2.png"), cv2.IMREAD_UNCHANGED)
    assert cutout.shape[2] == 4 and cutout.shape[1] < 60  # trimmed to the left half


def test_curves_are_drawn_from_a_log_and_a_validation(scripts, monkeypatch, tmp_path):
    import curves

    run = tmp_path / "run"
    run.mkdir()
    lines = ['{"step": 10, "iou": 0.5, "fooled": 0.4}', '{"step": 20, "iou": 0.9, "fooled": 0.1}']
    (run / "validation.jsonl").write_text("\n".join(lines))
    log = tmp_path / "run.log"
    log.write_text(
        "x step     10 stage a loss 0.3000 rate\nx step     20 stage a loss 0.1000 rate\n"
    )
    out = tmp_path / "curves.png"
    monkeypatch.setattr(sys, "argv", ["curves.py", f"one={run}:{log}", "-o", str(out)])
    assert curves.main() == 0
    drawn = cv2.imread(str(out))[..., ::-1]
    assert drawn.shape == (2 * curves.HEIGHT, 2 * curves.WIDTH, 3)
    blue = (np.abs(drawn.astype(int) - curves.COLOURS[0]).sum(2) < 30).any()
    assert blue
    found = curves.curve(f"one={run}:{log}", "loss")
    assert found.steps == [10, 20] and found.values == [0.3, 0.1]
    with pytest.raises(ValueError, match="expected NAME=RUN"):
        curves.curve("one", "loss")


@pytest.mark.parametrize("name", ["hard_negatives", "cut_things"])
def test_the_scripts_start_by_themselves(name):
    command = [sys.executable, str(SCRIPTS / "data" / f"{name}.py"), "--help"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
