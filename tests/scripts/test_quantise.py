"""Making an int8 file: what stays in float, and a real quantisation where NNCF is installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from clips import Recipe, make
from mattes import pictures, run

pytest.importorskip("onnx")

from mattecast import engines
from mattecast.engines import find
from mattecast.engines.onnx_prepare import prepared

SCRIPT = Path(__file__).parents[2] / "scripts/data/quantise.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("quantise", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_stays_in_float(script):
    """The recurrent cells whole, with nothing of encoder and decoder, and what is named."""
    spec = find("default")
    graph = prepared(spec, (64, 64), "f32").graph
    kept = script.floats(graph, spec)
    convolutions = {node.name for node in graph.node if node.op_type == "Conv"}
    gates = {node.name for node in graph.node if node.op_type in ("Sigmoid", "Tanh")}
    assert len(gates) > len(spec.states) and len(gates - kept) == 1  # that of alpha itself
    assert len(spec.states) <= len(kept & convolutions) < len(convolutions) / 2
    first = next(node.name for node in graph.node if node.name in convolutions)
    assert first not in kept and first in script.floats(graph, spec, [first])


@pytest.mark.slow
def test_a_network_is_quantised(tmp_path):
    pytest.importorskip("nncf")
    pytest.importorskip("onnxruntime")
    make(tmp_path / "talk.mp4", Recipe(size=(128, 96), pts=tuple(range(6))))
    make(tmp_path / "talk.alpha.mp4", Recipe(size=(128, 96), pts=tuple(range(6))))
    out = tmp_path / "net.int8.onnx"
    subprocess.run(
        [sys.executable, SCRIPT, "--data", tmp_path, "--out", out, "--frames", "4"], check=True
    )
    assert out.stat().st_size < 0.7 * find("default").path.stat().st_size
    clip = list(pictures(5))
    ours, theirs = (
        run(engines.load(one, (96, 64), backend="openvino", precision="f32"), clip)
        for one in (str(out), "default")
    )
    assert 0 < np.abs(np.array(ours) - theirs).mean() < 0.02
