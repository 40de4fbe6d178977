"""The half-precision file that engines build from, against the module it was exported from."""

from __future__ import annotations

import numpy as np
import pytest
from mattes import gate, pictures, run

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from mattecast import engines  # noqa: E402
from mattecast.engines import find  # noqa: E402
from mattecast.engines.backends.torch_graph import Graph  # noqa: E402
from mattecast.engines.onnx_prepare import prepared  # noqa: E402
from mattecast.engines.openvino_graph import state_shapes  # noqa: E402
from mattecast.engines.training.export import export, load_network  # noqa: E402

SIZE = (64, 32)  # width, height
FRAMES = 100


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On pictures this small several threads mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clip():
    return list(pictures(FRAMES, size=SIZE))


@pytest.fixture(scope="module")
def network():
    """The embedded network, made to doubt: its mattes of pictures without people are flat, and near
    a half alpha shows any error of its logit best."""
    network = load_network(find("default").path)
    with torch.no_grad():
        network.head.bias[:4] += 4
    return network


@pytest.fixture(scope="module")
def spec(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "network.onnx"
    export(network, path)
    return find(str(path))


@pytest.fixture(scope="module")
def half(spec):
    model = prepared(spec, SIZE, "f16")
    onnx.checker.check_model(model)
    return model


@pytest.fixture(scope="module")
def reference(network, clip):
    """The module's mattes, in float32, each frame with the states of the one before."""
    mattes = []
    with torch.inference_mode():
        states = network.start(SIZE[1], SIZE[0])
        for picture in clip:
            alpha, _, *states = network.step(torch.from_numpy(picture)[None], *states)
            mattes.append(alpha[0, :, :, 0].numpy().copy())
    assert np.std(mattes) > 0.05  # else any network would do
    return mattes


def test_what_is_half_is_half(half):
    """All weights and states; pictures stay bytes, and mattes come out in float32."""
    types = {port.name: port.type.tensor_type.elem_type for port in half.graph.input}
    assert types.pop("picture") == onnx.TensorProto.UINT8
    assert set(types.values()) == {onnx.TensorProto.FLOAT16}
    weights = [one.data_type for one in half.graph.initializer if len(one.dims) == 4]
    assert len(weights) > 20 and set(weights) == {onnx.TensorProto.FLOAT16}


def test_half_arithmetic_follows_the_module(spec, half, clip, reference):
    """As TensorRT runs it: every sum in half, the states too."""
    graph, mattes = Graph(half, torch.device("cpu")), []
    shapes = state_shapes(spec, SIZE)
    states = {name: torch.zeros(shape, dtype=torch.float16) for name, shape in shapes.items()}
    with torch.inference_mode():
        for picture in clip:
            out = graph.run({"picture": torch.from_numpy(picture)[None], **states})
            states = {source: out[target] for source, target, _ in spec.states}
            mattes.append(out["alpha"].reshape(SIZE[::-1]).numpy().copy())
    _holds(mattes, reference)


def test_another_runtime_reads_the_file_alike(half, clip, reference, tmp_path):
    """OpenVINO knows nothing of our own reading of ONNX; on a CPU it computes in float32."""
    onnx.save(half, tmp_path / "half.onnx")
    engine = engines.load(str(tmp_path / "half.onnx"), SIZE, backend="openvino", precision="f32")
    _holds(run(engine, clip), reference)
    engine.close()


def _holds(mattes, reference):
    worst, mean = gate(mattes, reference)
    assert mean <= 0.2 and worst <= 2, f"mean {mean:.3f}/255, worst {worst:.2f}/255"
