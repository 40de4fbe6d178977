"""The embedded network: shapes, memory, and the exported file against the module."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mattecast.engines.networks.heron import Heron  # noqa: E402


@pytest.fixture(scope="module")
def network():
    """A network whose norms have seen something, so that none of them is an identity."""
    torch.manual_seed(0)
    network = Heron().train()
    with torch.no_grad():
        for _ in range(3):
            network(torch.randint(0, 256, (2, 2, 64, 64, 3), dtype=torch.uint8))
        network.head.bias[4:].normal_(0, 0.1)
    return network.eval()


def pictures(count, height, width):
    """`count` pictures (1, H, W, 3) uint8 that change a little from one to the next."""
    rng = np.random.default_rng(3)
    base = rng.integers(0, 200, (1, height, width, 3))
    return [np.uint8(base + rng.integers(0, 56, base.shape)) for _ in range(count)]


@pytest.mark.parametrize("size", [(64, 64), (96, 160), (288, 32)])
def test_shapes_at_several_sizes(network, size):
    height, width = size
    shapes = network.state_shapes(height, width)
    with torch.no_grad():
        picture = torch.from_numpy(pictures(1, height, width)[0])
        alpha, foreground, *states = network.step(picture, *network.start(height, width))
    assert alpha.shape == (1, height, width, 1)
    assert foreground.shape == (1, height, width, 3)
    assert [tuple(state.shape) for state in states] == list(shapes)
    assert [(s[2] * k, s[3] * k) for s, k in zip(shapes, (16, 8, 4), strict=True)] == [size] * 3
    assert alpha.min() >= 0 and alpha.max() <= 1


def test_sizes_that_are_no_multiple_are_refused(network):
    with pytest.raises(ValueError, match="multiples of 32, got 100x64"):
        network.state_shapes(100, 64)


def test_a_clip_equals_its_frames_one_by_one(network):
    clip = pictures(4, 64, 96)
    with torch.no_grad():
        whole = network(torch.from_numpy(np.stack(clip, 1)))
        states = network.start(64, 96)
        for index, picture in enumerate(clip):
            alpha, foreground, *states = network.step(torch.from_numpy(picture), *states)
            torch.testing.assert_close(whole.alpha[index], alpha[0].permute(2, 0, 1))
            torch.testing.assert_close(whole.foreground[index], foreground[0].permute(2, 0, 1))
    for one, other in zip(whole.state, states, strict=True):
        torch.testing.assert_close(one, other)


def test_clips_of_a_batch_do_not_see_each_other(network):
    first, second = (torch.from_numpy(np.stack(pictures(2, 64, 64), 1)) for _ in range(2))
    second = 255 - second
    with torch.no_grad():
        both = network(torch.cat([first, second])).alpha
        torch.testing.assert_close(both[:2], network(first).alpha)
        torch.testing.assert_close(both[2:], network(second).alpha)


def test_memory_matters(network):
    one, other = (torch.from_numpy(p) for p in pictures(2, 64, 64))
    with torch.no_grad():
        _, _, *states = network.step(one, *network.start(64, 64))
        fresh = network.step(other, *network.start(64, 64))[0]
        remembered = network.step(other, *states)[0]
    assert (fresh - remembered).abs().max() > 1e-5


def test_the_size_stays_small():
    assert sum(p.numel() for p in Heron().parameters()) < 3e6


@pytest.fixture(scope="module")
def exported(network, tmp_path_factory):
    pytest.importorskip("onnx")
    from mattecast.engines.training.export import export

    path = tmp_path_factory.mktemp("export") / "network.onnx"
    export(network, path)
    return path


def test_an_exported_file_gives_its_weights_back(network, exported: Path):
    from mattecast.engines.training.export import read_weights

    weights = read_weights(exported)
    for name, value in network.state_dict().items():
        if name.startswith("coarse.") or name.endswith("num_batches_tracked"):
            assert name not in weights  # training only
        else:
            # Half precision keeps 11 bits; far below one it is absolute.
            torch.testing.assert_close(weights[name], value, rtol=2**-11, atol=1e-7)


@pytest.mark.parametrize("size", [(64, 96), (160, 64)])
def test_openvino_follows_torch_over_frames(exported: Path, size):
    from mattecast.engines.openvino_core import core_of_process
    from mattecast.engines.training.export import read_weights

    height, width = size
    network = Heron().eval()
    network.load_state_dict(read_weights(exported), strict=False)
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core_of_process().compile_model(str(exported), "CPU", options)
    states = list(network.start(height, width))
    carried = {f"r{i}": state.numpy() for i, state in enumerate(states, 1)}
    for picture in pictures(12, height, width):
        with torch.no_grad():
            alpha, foreground, *states = network.step(torch.from_numpy(picture), *states)
        out = compiled({"picture": picture, **carried})
        carried = {name: out[f"{name}o"].copy() for name in carried}
        np.testing.assert_allclose(out["alpha"], alpha, atol=1e-4)
        np.testing.assert_allclose(out["foreground"], foreground, atol=1e-4)
