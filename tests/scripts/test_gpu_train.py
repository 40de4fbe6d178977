"""scripts/data/gpu_train.sh, with a CPU in the GPU's place."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

SCRIPT = Path(__file__).parents[2] / "scripts/data/gpu_train.sh"
SMALL = {
    "BATCH": "1",
    "FRAMES": "2",
    "SIZES": "32x64",
    "STEPS": "2",
    "WORKERS": "0",
    "DEVICE": "cpu",
    "MATTECAST": f"{sys.executable} -m mattecast",
}


def call(*words, **rest):
    return subprocess.run(
        [str(word) for word in (SCRIPT, *words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **rest},
    )


@pytest.mark.skipif(sys.platform != "linux", reason="GNU find and tar")
def test_data_travels_in_parts_and_weights_come_back(tmp_path):
    data = tmp_path / "data"
    (data / "stills").mkdir(parents=True)
    alpha = np.zeros((64, 64), np.uint8)
    alpha[16:, 20:44] = 255
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name in ("chi_1", "other_1", "other_2"):
        cv2.imwrite(str(data / "stills" / f"{name}.jpg"), noise)
        cv2.imwrite(str(data / "stills" / f"{name}.png"), alpha)
    cv2.imwrite(str(tmp_path / "elsewhere.jpg"), noise)
    (data / "room_1.jpg").symlink_to(tmp_path / "elsewhere.jpg")

    packed = call("pack", data, tmp_path / "parts")
    assert packed.returncode == 0, packed.stderr
    parts = sorted((tmp_path / "parts").iterdir())
    assert [part.name for part in parts] == ["part_00.tar"]
    work, out = tmp_path / "work", tmp_path / "out"
    for part in parts:
        taken = call("take", part, work)
        assert taken.returncode == 0, taken.stderr
    assert (work / "data" / "room_1.jpg").read_bytes() == (tmp_path / "elsewhere.jpg").read_bytes()

    trained = call("train", work, "default", out, "120", VALIDATE="chi_", **SMALL)
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert 1_000_000 < (out / "network.onnx").stat().st_size < 16_000_000
    assert "training on 2 stills" in (out / "train.log").read_text()


def test_parts_stay_below_their_limit(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for index in range(9):
        (data / f"file_{index}.jpg").write_bytes(bytes(10_000))
    script = tmp_path / "small.sh"
    script.write_text(SCRIPT.read_text().replace("LIMIT=58000000", "LIMIT=40000"))
    done = subprocess.run(["sh", script, "pack", data, tmp_path / "parts"], check=False)
    parts = sorted((tmp_path / "parts").iterdir())
    assert done.returncode == 0 and len(parts) == 3
    assert all(part.stat().st_size <= 50_000 for part in parts)


def test_it_says_how_it_is_called(tmp_path):
    done = call("train")
    assert done.returncode == 2 and "gpu_train.sh pack DATA OUT" in done.stderr
