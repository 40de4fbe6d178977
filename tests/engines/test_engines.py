"""The contract of mattecast.engines.engine, over every back-end that imports."""

from __future__ import annotations

import importlib.util
import shutil
import threading

import numpy as np
import pytest
from mattes import gate, pictures, run

from mattecast import engines
from mattecast.engines import EngineError, find

SIZE = (96, 64)  # width, height
HAVE_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "onnx"))
needs_torch = pytest.mark.skipif(not HAVE_TORCH, reason="needs torch and onnx")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On pictures this small torch's threads mostly wait for each other."""
    if not HAVE_TORCH:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _has_bf16():
    from mattecast.engines.openvino_core import core_of_process

    return "BF16" in core_of_process().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


needs_bf16 = pytest.mark.skipif(not _has_bf16(), reason="this CPU does not compute in bf16")
CASES = [
    pytest.param(("openvino", "cpu", "f32"), id="openvino-f32"),
    pytest.param(("openvino", "cpu", "bf16"), id="openvino-bf16", marks=needs_bf16),
    pytest.param(("torch", "cpu", "f32"), id="torch-f32", marks=needs_torch),
    pytest.param(("tensorrt", "cuda", "f32"), id="tensorrt-f32", marks=needs_torch),
    pytest.param(("tensorrt", "cuda", "f16"), id="tensorrt-f16", marks=needs_torch),
]


@pytest.fixture(params=CASES)
def case(request):
    if request.param[0] == "tensorrt":
        request.getfixturevalue("fake_gpu")
    return request.param


@pytest.fixture
def load(case):
    """load() with the case's back-end; all that it loads is closed at the end."""
    backend, device, precision = case
    loaded = []

    def one(size=SIZE, **more):
        engine = engines.load(
            "default", size, backend=backend, device=device, precision=precision, **more
        )
        loaded.append(engine)
        return engine

    yield one
    for engine in loaded:
        engine.close()


def test_a_matte_is_a_matte(load):
    picture = next(pictures(1))
    alpha = load().step(picture)
    assert alpha.shape == picture.shape[:2] and alpha.dtype == np.float32
    assert alpha.min() >= 0 and alpha.max() <= 1


def test_the_reference_is_followed(load, case):
    """Every back-end against OpenVINO in f32, from the first picture on."""
    reference = engines.load("default", SIZE, backend="openvino", precision="f32")
    bound = 1e-4 if case[2] == "f32" else 0.05
    engine = load()
    for picture in pictures(4):
        ours, theirs = engine.step(picture), reference.step(picture)
        assert np.abs(ours - theirs).max() < bound
    reference.close()


def test_reset_is_a_fresh_start_and_state_matters(load):
    engine, clip = load(), list(pictures(3))
    first = run(engine, clip)
    engine.reset()
    again = run(engine, clip)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    engine.reset()
    assert np.abs(engine.step(clip[2]) - first[2]).max() > 1e-6


def test_two_engines_do_not_share_state(load):
    one, other = load(), load()
    clip = list(pictures(2))
    run(one, clip[:1])
    np.testing.assert_array_equal(run(other, clip)[1], run(one, clip[1:])[0])


def test_the_door(load):
    engine = load()
    width, height = SIZE
    with pytest.raises(ValueError, match=r"\(64, 64, 3\) uint8: expected \(64, 96, 3\)"):
        engine.step(np.zeros((64, 64, 3), np.uint8))
    with pytest.raises(ValueError, match="float32: expected"):
        engine.step(np.zeros((height, width, 3), np.float32))
    with pytest.raises(ValueError, match="multiples of 32"):
        load((100, 64))


def test_pictures_need_not_be_contiguous(load):
    engine, picture = load(), next(pictures(1))
    whole = engine.step(picture).copy()
    engine.reset()
    np.testing.assert_array_equal(engine.step(np.asfortranarray(picture)), whole)


def test_one_thread_owns_an_engine(load):
    engine, picture = load(), next(pictures(1))
    seen = []

    def elsewhere():
        try:
            engine.step(picture)
        except RuntimeError as error:
            seen.append(str(error))

    engine.step(picture)
    other = threading.Thread(target=elsewhere, name="elsewhere")
    other.start()
    other.join()
    assert len(seen) == 1 and "'elsewhere'" in seen[0] and "each thread" in seen[0]


def test_loading_on_one_thread_and_stepping_on_another_is_the_normal_case(load):
    engine, seen = load(), []
    worker = threading.Thread(target=lambda: seen.extend(run(engine, pictures(1))))
    worker.start()
    worker.join()
    assert len(seen) == 1
    run(engine, pictures(1))  # that thread has ended: another may go on


def test_closing_twice_and_using_it_afterwards(load):
    engine = load()
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.step(next(pictures(1)))


def test_info_tells_the_truth(load, case):
    info = load().info
    backend, device, precision = case
    assert info.backend.startswith(backend) and info.precision == precision
    assert info.size == SIZE and info.model == "default" and info.why == "asked for"
    assert info.device == ("CPU" if device == "cpu" else "Fake GPU")
    assert f"96x64 on {info.backend}" in str(info)


@pytest.mark.parametrize("precision", ["f32", "bf16", "f16"])
def test_a_precision_asked_for_is_had_or_refused(precision):
    """OpenVINO by itself takes bf16 for f16, and f32 for both, without a word."""
    try:
        engine = engines.load("default", SIZE, backend="openvino", precision=precision)
    except EngineError as error:
        assert precision != "f32" and f"'{precision}': OpenVINO runs " in str(error)
    else:
        compiled = engine._request.get_compiled_model()
        layers = [node.get_rt_info() for node in compiled.get_runtime_model().get_ops()]
        run_in = {
            one["runtimePrecision"].astype(str)
            for one in layers
            if one["layerType"].astype(str) == "Convolution"
        }
        assert run_in == {precision} == {engine.info.precision}


@pytest.mark.parametrize("backend", ["openvino", pytest.param("torch", marks=needs_torch)])
def test_threads_are_kept_to(backend):
    """By an engine from the store too, which may have been built for another number."""
    for threads in (2, 1):
        engine = engines.load("default", SIZE, backend=backend, device="CPU", threads=threads)
        if backend == "openvino":
            compiled = engine._request.get_compiled_model()
            assert compiled.get_property("INFERENCE_NUM_THREADS") == threads
        else:
            import torch

            assert torch.get_num_threads() == threads
    with pytest.raises(ValueError, match="threads 0: expected 1 or more"):
        engines.load("default", SIZE, backend=backend, device="cpu", threads=0)


@pytest.fixture
def with_int8(tmp_path):
    """A network with another one in the place of its int8 file, so that a mix-up would show."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(find("default").path)
    onnx.save(model, tmp_path / "net.onnx")
    (bias,) = (one for one in model.graph.initializer if one.name == "head.bias")
    shifted = onnx.numpy_helper.to_array(bias) + np.float32(2)
    bias.CopyFrom(onnx.numpy_helper.from_array(shifted, bias.name))
    onnx.save(model, tmp_path / "net.int8.onnx")
    return tmp_path / "net.onnx"


@pytest.mark.parametrize(("asked", "runs"), [("auto", "int8"), ("int8", "int8"), ("f32", "f32")])
def test_an_int8_file_beside_a_network_is_what_auto_runs(with_int8, asked, runs):
    picture = next(pictures(1))
    file = {"int8": with_int8.with_suffix(".int8.onnx"), "f32": with_int8}[runs]
    direct = engines.load(str(file), SIZE, backend="openvino", precision="f32")
    engine = engines.load(str(with_int8), SIZE, backend="openvino", precision=asked)
    assert engine.info.precision == runs and engine.info.model == "net.onnx"
    np.testing.assert_array_equal(engine.step(picture), direct.step(picture))


def test_a_network_without_an_int8_file_says_so(tmp_path):
    shutil.copyfile(find("default").path, tmp_path / "net.onnx")
    path = str(tmp_path / "net.onnx")
    assert engines.load(path, SIZE, backend="openvino").info.precision == "f32"
    with pytest.raises(
        EngineError, match=r"no .*net\.int8\.onnx; scripts/data/quantise\.py makes one"
    ):
        engines.load(path, SIZE, backend="openvino", precision="int8")


@needs_torch
def test_torch_without_room_is_one_sentence():
    """So that `auto` goes on to the next where a GPU is full."""
    with pytest.raises(EngineError, match=r"torch could not load .*allocate") as caught:
        engines.load("default", (3_200_000, 3_200_000), backend="torch", device="cpu")
    assert "\n" not in str(caught.value)


@needs_torch
def test_a_hundred_frames_of_openvino_follow_torch():
    """Recurrent states carry every error on: after 100 frames it is still rounding."""
    one = engines.load("default", SIZE, backend="openvino", precision="f32")
    other = engines.load("default", SIZE, backend="torch", device="cpu")
    for ours, theirs in zip(run(one, pictures(100)), run(other, pictures(100)), strict=True):
        assert np.abs(ours - theirs).max() < 1e-4


@needs_bf16
def test_bf16_stays_near():
    """It never is chosen on its own: eight bits of mantissa show where the network is unsure."""
    clip = list(pictures(100))
    mattes = [
        run(engines.load("default", SIZE, backend="openvino", precision=precision), clip)
        for precision in ("bf16", "f32")
    ]
    worst, mean = gate(*mattes)
    assert mean <= 0.5, f"mean {mean:.3f}/255, worst {worst:.2f}/255"
    assert worst <= 25, f"mean {mean:.3f}/255, worst {worst:.2f}/255"


@needs_torch
def test_half_meets_the_parity_gate(fake_gpu):
    """The halved file, in true half arithmetic, against the same file in float.

    The states have settled after some twenty frames; test_tensorrt.py's GPU tests run a hundred.
    """
    clip = list(pictures(40, size=(64, 32)))
    mattes = [
        run(engines.load("default", (64, 32), backend="tensorrt", precision=precision), clip)
        for precision in ("f16", "f32")
    ]
    worst, mean = gate(*mattes)
    assert mean <= 0.2 and worst <= 2, f"mean {mean:.3f}/255, worst {worst:.2f}/255"
