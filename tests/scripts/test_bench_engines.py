"""What scripts/bench/bench_engines.py takes for a network's arithmetic, counted in another way."""

from __future__ import annotations

import argparse
import importlib.util
import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import foreign  # noqa: E402
from openvino import Model, opset13  # noqa: E402

from mattecast.engines import find  # noqa: E402
from mattecast.engines.backends import torch_graph  # noqa: E402
from mattecast.engines.onnx_prepare import prepared  # noqa: E402
from mattecast.engines.openvino_core import core_of_process  # noqa: E402
from mattecast.engines.openvino_graph import fixed_size_graph, state_shapes  # noqa: E402

SCRIPT = Path(__file__).parents[2] / "scripts/bench/bench_engines.py"


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_engines", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def counted(bench, spec, size):
    kinds = bench._convolutions(fixed_size_graph(spec, size))
    return sum(bench._gflop(node) for kind in kinds for node in kind)


def test_the_embedded_network(bench, monkeypatch):
    """Against the shapes that torch passes, on its device without values, when it runs the file."""
    work, real, meta = [], torch_graph.OPERATIONS["Conv"], torch.device("meta")

    def conv(inputs, attributes):
        result = real(inputs, attributes)
        work.append(2 * result.numel() * math.prod(inputs[1].shape[1:]))
        return result

    monkeypatch.setitem(torch_graph.OPERATIONS, "Conv", conv)
    spec, size = find("default"), (512, 288)
    inputs = {
        name: torch.zeros(shape, device=meta) for name, shape in state_shapes(spec, size).items()
    }
    inputs[spec.picture] = torch.zeros((1, 288, 512, 3), dtype=torch.uint8, device=meta)
    torch_graph.Graph(prepared(spec, size, "f32"), meta).run(inputs)
    assert len(work) > 20
    assert counted(bench, spec, size) == pytest.approx(sum(work) / 1e9)


def test_depthwise_convolutions(bench, tmp_path):
    """Each channel meets its own nine weights only; and both kinds can be timed by themselves."""
    spec = find(str(foreign.depthwise(tmp_path / "mobile.onnx")))
    dense, grouped = bench._convolutions(fixed_size_graph(spec, (64, 32)))
    whole, half = 64 * 32, 32 * 16
    assert sum(map(bench._gflop, grouped)) == pytest.approx(2 * 9 * 6 * half / 1e9)
    assert sum(map(bench._gflop, dense)) == pytest.approx(2 * (3 * 6 * whole + 9 * 6 * half) / 1e9)
    options = argparse.Namespace(frames=1, threads=1)
    for nodes in (dense, grouped):
        model = bench._beside(nodes[0], 2)
        assert len(model.outputs) == 2
        assert bench._best(core_of_process(), model, options) > 0


@pytest.mark.parametrize("groups", [None, 2])
def test_transposed_convolutions(bench, groups):
    """8 planes of 4x4 to 3 planes (3 of each group), twice as large by 2x2 weights."""
    data = opset13.parameter([1, 8, 4, 4])
    if groups:
        make, shape = opset13.group_convolution_backprop_data, [groups, 8 // groups, 3, 2, 2]
    else:
        make, shape = opset13.convolution_backprop_data, [8, 3, 2, 2]
    weights = opset13.parameter(shape)
    node = make(data, weights, [2, 2])
    assert list(node.output(0).get_shape()) == [1, 3 * (groups or 1), 8, 8]
    ((only,),) = bench._convolutions(Model([node], [data, weights]))
    assert bench._gflop(only) == pytest.approx(2 * 8 * 16 * 3 * 4 / 1e9)
