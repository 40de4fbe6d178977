"""TensorRT: real builds without a GPU, the run-time half through fakes, all of it on a GPU."""

from __future__ import annotations

import time

import numpy as np
import pytest

from mattecast import Settings, engines, matte
from mattecast.engines import EngineError, cuda, find, selection
from mattecast.engines.backends import tensorrt, tensorrt_plan
from mattecast.engines.backends.tensorrt_plan import SizeRange, build_plan, capabilities
from mattecast.engines.store import Store

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")

import fake_tensorrt  # noqa: E402
import foreign  # noqa: E402
from clips import Recipe, make  # noqa: E402
from fake_cuda import FakeCuda  # noqa: E402
from mattes import gate, pictures, run  # noqa: E402

SIZE = (96, 64)


@pytest.fixture(scope="module")
def trt():
    return pytest.importorskip("tensorrt_rtx", exc_type=ImportError)


class TestBuilding:
    """The compiler itself, as it will run on a user's machine."""

    @pytest.mark.parametrize("precision", ["f16", "f32"])
    @pytest.mark.parametrize("capability", [None, (7, 5), (8, 9), (12, 0)])
    def test_the_default_network_builds(self, trt, precision, capability):
        plan = build_plan(trt, find("default"), SizeRange.only(SIZE), precision, capability)
        assert len(plan) > 1_000_000

    def test_half_is_half(self, trt):
        """A strongly typed build keeps the file's types: the weights weigh half."""
        half, whole = (
            len(build_plan(trt, find("default"), SizeRange.only(SIZE), precision))
            for precision in ("f16", "f32")
        )
        assert half < 0.7 * whole

    @pytest.mark.parametrize("precision", ["f16", "f32"])
    @pytest.mark.parametrize("capability", [None, (8, 9)])
    def test_one_plan_for_many_sizes(self, trt, precision, capability):
        sizes = SizeRange((64, 64), (96, 64), (128, 128))
        assert len(build_plan(trt, find("default"), sizes, precision, capability)) > 1_000_000

    def test_sizes_one_plan_cannot_serve(self, trt, tmp_path):
        """RVM's ratio is part of the plan: the large size would be shrunk too little."""
        rvm = find(str(foreign.rvm(tmp_path / "rvm.onnx")))
        assert build_plan(trt, rvm, SizeRange((64, 32), (64, 32), (512, 288)), "f16")
        with pytest.raises(ValueError, match=r"\(1024, 576\): downsample_ratio is a constant"):
            build_plan(trt, rvm, SizeRange((64, 32), (64, 32), (1024, 576)), "f16")
        with pytest.raises(ValueError, match="multiples of 32"):
            build_plan(trt, find("default"), SizeRange((60, 64), (96, 64), (128, 128)), "f16")

    def test_an_unserved_card_is_refused_by_name(self, trt):
        with pytest.raises(EngineError, match=r"compute capability 9\.0: it builds for 7\.5, 8\.0"):
            build_plan(trt, find("default"), SizeRange.only(SIZE), "f16", (9, 0))

    @pytest.mark.parametrize("precision", ["f16", "f32"])
    def test_networks_of_other_projects_build(self, trt, precision, tmp_path):
        for kind in (foreign.rvm, foreign.modnet, foreign.background_matting, foreign.depthwise):
            spec = find(str(kind(tmp_path / f"{kind.__name__}.onnx")))
            assert build_plan(trt, spec, SizeRange.only((64, 32)), precision)

    def test_a_node_that_cannot_be_read_is_named(self, trt, tmp_path):
        model = onnx.load(foreign.modnet(tmp_path / "odd.onnx"))
        model.graph.node[0].op_type = "Det"
        model.graph.node[0].name = "the_odd_one"
        del model.graph.node[0].attribute[:], model.graph.node[0].input[1:]
        spec = find(str(tmp_path / "odd.onnx"))
        onnx.save(model, tmp_path / "odd.onnx")
        with pytest.raises(EngineError, match=r"cannot read node 'the_odd_one'.*use openvino"):
            build_plan(trt, spec, SizeRange.only((64, 32)), "f32")

    def test_what_it_serves(self, trt):
        assert (8, 9) in capabilities(trt) and (9, 0) not in capabilities(trt)


def no_memory(*rest):
    return (FakeCuda.cudaError_t.cudaErrorMemoryAllocation,)


def load(**more):
    return engines.load("default", SIZE, backend="tensorrt", **more)


class TestRunning:
    """Binding, queueing, recording and failing, with torch doing the sums."""

    def test_the_graph_does_what_the_steps_do(self, fake_gpu):
        clip, size = list(pictures(3, size=(64, 32))), (64, 32)
        spec = find("default")
        graph, steps = (tensorrt.TensorRtEngine(spec, size, recorded=how) for how in (True, False))
        for one, other in zip(run(graph, clip), run(steps, clip), strict=True):
            np.testing.assert_array_equal(one, other)
        assert fake_gpu.launches == len(clip)

    @pytest.mark.parametrize("kind", ["rvm", "modnet", "segmentation", "background_matting"])
    def test_networks_of_other_projects_run(self, fake_gpu, kind, tmp_path):
        path = getattr(foreign, kind)(tmp_path / f"{kind}.onnx")
        clip = list(pictures(3, size=(64, 32)))
        plate = clip[0] if kind == "background_matting" else None
        ours, theirs = (
            run(engines.load(str(path), (64, 32), backend=one, precision="f32", plate=plate), clip)
            for one in ("tensorrt", "openvino")
        )
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)

    def test_one_plan_serves_many_sizes(self, fake_gpu, monkeypatch, tmp_path):
        monkeypatch.setenv("MATTECAST_CACHE", str(tmp_path))
        spec, sizes = find("default"), SizeRange((64, 32), (64, 32), (96, 64))
        for size in ((64, 32), (96, 64)):
            engine = tensorrt.TensorRtEngine(spec, size, sizes=sizes, precision="f32")
            (alpha,) = run(engine, pictures(1, size=size))
            assert alpha.shape == size[::-1]
        assert len(Store().entries()) == 1
        with pytest.raises(ValueError, match="outside"):
            tensorrt.TensorRtEngine(spec, (128, 64), sizes=sizes)

    def test_results_live_until_the_next_step(self, fake_gpu):
        engine = load(precision="f32")
        first, second = pictures(2)
        alpha = engine.step(first)
        kept = alpha.copy()
        engine.step(second)
        np.testing.assert_array_equal(alpha, kept)

    def test_kernels_are_kept_beside_the_plan(self, fake_gpu, monkeypatch, tmp_path):
        monkeypatch.setenv("MATTECAST_CACHE", str(tmp_path))
        monkeypatch.setattr(fake_tensorrt.Kernels, "read", None)
        load().close()
        assert fake_tensorrt.Kernels.read is None
        load().close()
        assert fake_tensorrt.Kernels.read == b"kernels"
        Store().prune(0)
        assert {path.suffix for path in Store().folder.iterdir()} == {".lock"}

    def test_closing_frees_everything(self, fake_gpu):
        engine = load()
        assert fake_gpu.memory
        engine.close()
        assert not fake_gpu.memory

    def test_a_gpu_without_room(self, fake_gpu):
        fake_gpu.room = 1000
        with pytest.raises(EngineError, match=r"out of memory; choose a smaller --network-size"):
            load()
        assert not fake_gpu.memory

    def test_a_plan_that_does_not_load(self, fake_gpu, monkeypatch, tmp_path):
        monkeypatch.setattr(tensorrt, "build_plan", lambda *rest: b"no plan")
        monkeypatch.setattr(tensorrt, "Store", lambda: Store(tmp_path))
        with pytest.raises(EngineError, match=r"for another GPU \(Error Code 6"):
            load(precision="f32")

    def test_a_gpu_that_dies(self, fake_gpu, monkeypatch):
        engine = load()
        monkeypatch.setattr(fake_gpu, "cudaGraphLaunch", no_memory)
        with pytest.raises(EngineError, match="CUDA: out of memory"):
            engine.step(next(pictures(1)))

    def test_a_run_that_is_refused(self, fake_gpu, monkeypatch):
        engine = tensorrt.TensorRtEngine(find("default"), SIZE, recorded=False)
        monkeypatch.setattr(fake_tensorrt.Context, "fails", True)
        with pytest.raises(EngineError, match="could not run the network"):
            engine.step(next(pictures(1)))

    def test_fallback_goes_on_with_the_cpu(self, fake_gpu, monkeypatch, caplog):
        clip = list(pictures(3))
        engine = load(fallback=True)
        engine.step(clip[0])
        monkeypatch.setattr(fake_gpu, "cudaGraphLaunch", no_memory)
        alpha = engine.step(clip[1])
        assert engine.info.backend == "openvino" and "failed in mid-clip" in engine.info.why
        assert "going on with the CPU" in caplog.text and not fake_gpu.memory
        fresh = engines.load("default", SIZE, device="cpu")
        np.testing.assert_array_equal(alpha, fresh.step(clip[1]))

    def test_fallback_when_a_cut_finds_the_gpu_dead(self, fake_gpu, monkeypatch):
        """reset() too; and the precision asked for was the GPU's."""
        clip = list(pictures(2))
        engine = load(fallback=True, precision="f16")
        engine.step(clip[0])
        monkeypatch.setattr(fake_gpu, "cudaMemsetAsync", no_memory)
        engine.reset()
        assert engine.info.backend == "openvino" and engine.info.precision == "f32"
        fresh = engines.load("default", SIZE, device="cpu")
        np.testing.assert_array_equal(engine.step(clip[1]), fresh.step(clip[1]))

    def test_it_falls_once_only(self, fake_gpu, monkeypatch):
        engine = load(fallback=True)
        monkeypatch.setattr(fake_gpu, "cudaMemsetAsync", no_memory)
        engine.reset()

        def dead(picture):
            raise EngineError("the CPU failed too")

        monkeypatch.setattr(engine._engine, "step", dead)
        with pytest.raises(EngineError, match="the CPU failed too"):
            engine.step(next(pictures(1)))


class TestAClip:
    """What is left of a clip when its GPU dies."""

    @pytest.fixture
    def dying(self, fake_gpu, monkeypatch):
        """A GPU that does two frames and no more."""
        alive = fake_gpu.cudaGraphLaunch

        def launch(graph, stream):
            return alive(graph, stream) if fake_gpu.launches < 2 else no_memory()

        monkeypatch.setattr(fake_gpu, "cudaGraphLaunch", launch)

    def test_nothing_half_is_left(self, dying, tmp_path):
        source = make(tmp_path / "source.mp4", Recipe(pts=tuple(range(6))))
        with pytest.raises(EngineError, match="CUDA: out of memory"):
            matte(source, tmp_path / "out.mov", Settings(backend="tensorrt", precision="f32"))
        assert [path.name for path in tmp_path.iterdir()] == ["source.mp4"]

    def test_or_all_of_it_where_that_was_allowed(self, dying, tmp_path):
        source = make(tmp_path / "source.mp4", Recipe(pts=tuple(range(6))))
        settings = Settings(backend="tensorrt", precision="f32", fallback=True)
        summary = matte(source, tmp_path / "out.mov", settings)
        assert summary.frames == 6 and "failed in mid-clip" in summary.engine


class TestChoosing:
    """The order of 'auto', and what is said about it."""

    def test_auto_takes_tensorrt_where_it_loads(self, fake_gpu):
        info = engines.load("default", SIZE).info
        assert info.backend == "tensorrt_rtx" and info.why == "first choice"

    def test_auto_says_what_was_passed_over(self, fake_gpu, monkeypatch):
        def none(capability):
            raise EngineError("no TensorRT for this GPU: tensorrt_rtx: serves 7.5, not 9.0")

        monkeypatch.setattr(tensorrt, "package_for", none)
        why = engines.load("default", SIZE).info.why
        assert "passed over tensorrt on cuda: no TensorRT for this GPU" in why
        assert "torch on cuda: device 'cuda': torch sees no NVIDIA GPU" in why

    def test_a_named_back_end_never_falls_back(self, monkeypatch):
        monkeypatch.setattr(selection, "no_driver", lambda: "no NVIDIA driver")
        with pytest.raises(EngineError, match="tensorrt on cuda: no NVIDIA driver"):
            load()
        with pytest.raises(EngineError, match=r"tensorrt on cuda: .*; torch on cuda: "):
            engines.load("default", SIZE, device="cuda")

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"backend": "onnx"}, "choose auto"),
            ({"device": "GPU.7", "backend": "torch"}, "cpu or"),
            ({"device": "NPU"}, "OpenVINO sees CPU"),
            ({"precision": "f8"}, "OpenVINO runs f32"),
            ({"backend": "openvino", "device": "cuda"}, "does not run on device 'cuda'"),
            ({"device": "cuda:x"}, "'cuda:x': expected auto, cpu, cuda, cuda:1"),
            ({"device": "cpu:1"}, "'cpu:1': expected auto"),
            ({"device": ""}, "'': expected auto"),
        ],
    )
    def test_wrong_requests(self, wrong, words):
        with pytest.raises(EngineError, match=words):
            engines.load("default", SIZE, **wrong)

    def test_a_card_that_no_package_serves(self, monkeypatch, trt):
        packages = {"tensorrt_rtx": "tensorrt-rtx", "no_such": "x"}
        monkeypatch.setattr(tensorrt_plan, "PACKAGES", packages)
        with pytest.raises(EngineError) as caught:
            tensorrt_plan.package_for((9, 0))
        assert "serves compute capability 7.5" in str(caught.value)
        assert "pip install 'mattecast[x]'" in str(caught.value)

    def test_no_driver_is_one_sentence(self, monkeypatch):
        fake = FakeCuda()
        fake.cudaGetDeviceCount = lambda: (fake.cudaError_t.cudaErrorMemoryAllocation, None)
        monkeypatch.setattr(cuda, "runtime", lambda: fake)
        with pytest.raises(EngineError, match=r"^CUDA: out of memory"):
            cuda.gpu("cuda")

    def test_a_second_gpu_that_is_not_there(self, fake_gpu):
        with pytest.raises(EngineError, match="'cuda:3': there are 1 NVIDIA GPUs"):
            load(device="cuda:3")


@pytest.mark.gpu
@pytest.mark.parametrize("backend", ["tensorrt", "torch"])
class TestOnAGpu:
    """Needs an NVIDIA card."""

    def engine(self, backend, precision="f16", size=(512, 288), recorded=True):
        from mattecast.engines.backends.torch import TorchEngine

        kind = {"tensorrt": tensorrt.TensorRtEngine, "torch": TorchEngine}[backend]
        return kind(find("default"), size, device="cuda", precision=precision, recorded=recorded)

    def test_half_meets_the_parity_gate(self, backend):
        clip = list(pictures(100, size=(512, 288)))
        worst, mean = gate(run(self.engine(backend), clip), run(self.engine(backend, "f32"), clip))
        assert mean <= 0.2 and worst <= 2, f"mean {mean:.3f}/255, worst {worst:.2f}/255"

    def test_the_cpu_is_followed(self, backend):
        clip = list(pictures(100, size=(512, 288)))
        reference = engines.load("default", (512, 288), backend="openvino", device="cpu")
        worst, mean = gate(run(self.engine(backend, "f32"), clip), run(reference, clip))
        assert mean <= 0.2 and worst <= 2, f"mean {mean:.3f}/255, worst {worst:.2f}/255"

    def test_the_graph_does_what_the_steps_do(self, backend):
        clip = list(pictures(20, size=(512, 288)))
        graph = run(self.engine(backend), clip)
        steps = run(self.engine(backend, recorded=False), clip)
        for one, other in zip(graph, steps, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)

    def test_five_hundred_steps_take_no_more_memory(self, backend, record_property):
        engine, picture = self.engine(backend), next(pictures(1, size=(512, 288)))
        library = cuda.runtime()
        for _ in range(20):
            engine.step(picture)
        before, start = library.cudaMemGetInfo()[1], time.perf_counter()
        for _ in range(500):
            engine.step(picture)
        record_property("ms_a_step", (time.perf_counter() - start) * 2)
        assert library.cudaMemGetInfo()[1] >= before
