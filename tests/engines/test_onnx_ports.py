"""Networks of other projects by path: recognised, run, or refused with what was expected."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")

import av
import foreign
from clips import Recipe, make

from mattecast import Settings, engines, matte, mattes
from mattecast.engines import EngineError, find, network_size

BACKENDS = ("openvino", "torch")


def pictures(count, size):
    rng = np.random.default_rng(2)
    return [rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8) for _ in range(count)]


def step(path, picture, backend="openvino", **more):
    height, width, _ = picture.shape
    engine = engines.load(
        str(path), (width, height), backend=backend, device="cpu", precision="f32", **more
    )
    alpha = engine.step(picture)
    engine.close()
    return alpha


def test_rvm_is_recognised(tmp_path):
    spec = find(str(foreign.rvm(tmp_path / "rvm.onnx")))
    assert spec.family == "rvm" and [target for _, target, _ in spec.states][-1] == "r4o"
    assert spec.constants((512, 288)) == {"downsample_ratio": 1.0}
    assert spec.constants((2048, 1152)) == {"downsample_ratio": 0.25}


@pytest.mark.parametrize("size", [(64, 48), (1024, 64)], ids=["whole", "shrunk inside"])
def test_rvm_on_both_back_ends_over_frames(tmp_path, size):
    pytest.importorskip("torch")
    path = str(foreign.rvm(tmp_path / "rvm.onnx"))
    loaded = [engines.load(path, size, backend=one, device="cpu") for one in BACKENDS]
    first = None
    for picture in pictures(3, size):
        ours, theirs = (engine.step(picture) for engine in loaded)
        assert ours.shape == size[::-1] and np.abs(ours - theirs).max() < 1e-4
        first = ours if first is None else first
    for engine in loaded:
        engine.reset()
        np.testing.assert_allclose(engine.step(pictures(1, size)[0]), first, atol=1e-4)
        assert np.abs(engine.step(pictures(1, size)[0]) - first).max() > 1e-5
        engine.close()


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_torch_never_waits_for_the_gpu(tmp_path, precision):
    """On torch's device without values, any look at one fails: a CUDA graph can record the run."""
    torch = pytest.importorskip("torch")
    from mattecast.engines.backends.torch_graph import Graph
    from mattecast.engines.onnx_prepare import prepared
    from mattecast.engines.openvino_graph import state_shapes

    meta, half = torch.device("meta"), {"f32": torch.float32, "f16": torch.float16}[precision]
    for name in ("default", str(foreign.rvm(tmp_path / "rvm.onnx"))):
        spec = find(name)
        inputs = {
            key: torch.zeros(shape, dtype=half, device=meta)
            for key, shape in state_shapes(spec, (96, 64)).items()
        }
        inputs[spec.picture] = torch.zeros((1, 64, 96, 3), dtype=torch.uint8, device=meta)
        outputs = Graph(prepared(spec, (96, 64), precision), meta).run(inputs)
        assert outputs[spec.alpha].dtype == torch.float32
        for source, target, _ in spec.states:
            assert outputs[target].shape == inputs[source].shape and outputs[target].dtype == half


def test_a_network_stored_in_half(tmp_path):
    """As RVM's own fp16 file: half in, half states, half out."""
    pytest.importorskip("torch")
    import onnx

    from mattecast.engines.onnx_prepare import _to_float16

    whole = foreign.rvm(tmp_path / "whole.onnx")
    model = onnx.load(whole)
    _to_float16(model.graph)
    onnx.save(model, tmp_path / "half.onnx")
    spec = find(str(tmp_path / "half.onnx"))
    picture = pictures(1, (64, 48))[0]
    reference = step(whole, picture)
    assert spec.family == "rvm"
    for backend in BACKENDS:
        assert np.abs(step(spec.path, picture, backend) - reference).max() < 0.01


def test_rvm_mattes_a_clip_without_torch(tmp_path):
    """The command as users run it, in a process where torch and onnx cannot be imported."""
    model = foreign.rvm(tmp_path / "rvm.onnx")
    source = make(tmp_path / "source.mp4", Recipe(pts=(0, 1, 2)))
    code = (
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n"
        "from mattecast.commands.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "matte",
            str(source),
            "-o",
            str(tmp_path / "out.mov"),
            "--model",
            str(model),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mov").stat().st_size > 0 and "rvm.onnx at" in done.stderr


def test_modnet(tmp_path):
    path = foreign.modnet(tmp_path / "modnet.onnx")
    spec = find(str(path))
    assert spec.family == "modnet" and spec.mean == (127.5,) * 3 and spec.meaning == "alpha"
    alpha = step(path, pictures(1, (64, 32))[0])
    assert alpha.shape == (32, 64) and 0 < alpha.mean() < 1


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_depthwise_convolutions(tmp_path, precision):
    """Groups, batch norms folded into them, and ReLU6, as mobile encoders are made of."""
    torch = pytest.importorskip("torch")
    from mattecast.engines.backends.torch_graph import Graph
    from mattecast.engines.onnx_prepare import prepared

    path = foreign.depthwise(tmp_path / "mobile.onnx")
    picture = pictures(1, (64, 32))[0]
    graph = Graph(prepared(find(str(path)), (64, 32), precision), torch.device("cpu"))
    alpha = graph.run({"input": torch.from_numpy(picture)[None]})["output"][0, 0].numpy()
    bound = {"f32": 1e-5, "f16": 5e-3}[precision]
    assert alpha.std() > 0.05
    np.testing.assert_allclose(alpha, step(path, picture), atol=bound)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("planes", [1, 2])
def test_segmentation_in_every_shape(tmp_path, channels_last, planes):
    """Logits and probabilities of one network are the same matte, on both back-ends."""
    pytest.importorskip("torch")
    picture = pictures(1, (64, 32))[0]
    mattes = []
    for bounded in (False, True):
        path = foreign.segmentation(
            tmp_path / f"{bounded}.onnx",
            channels_last=channels_last,
            planes=planes,
            bounded=bounded,
        )
        spec = find(str(path))
        assert spec.family == "segmentation" and spec.fixed == (64, 32)
        assert spec.channels_last == spec.alpha_last == channels_last
        mattes += [step(path, picture, backend) for backend in BACKENDS]
    for matted in mattes[1:]:
        np.testing.assert_allclose(matted, mattes[0], atol=1e-4)


def test_a_network_of_one_size_gets_it_from_any_clip(tmp_path):
    path = foreign.segmentation(tmp_path / "fixed.onnx")
    spec = find(str(path))
    assert network_size(spec, 1920, 1080) == network_size(spec, 100, 500) == (64, 32)
    with pytest.raises(ValueError, match=r"takes \(64, 32\) only"):
        engines.load(spec, (96, 64))
    summary = matte(
        make(tmp_path / "a.mp4", Recipe(pts=(0, 1))), tmp_path / "a.mov", Settings(model=str(path))
    )
    assert summary.frames == 2 and "fixed.onnx at 64x32" in summary.engine


@pytest.mark.parametrize(
    ("shown", "seen"),
    [
        ((1920, 1080), (480, 256)),
        ((1080, 1920), (256, 480)),
        ((854, 480), (480, 256)),
        ((1280, 854), (512, 352)),
        ((640, 480), (512, 384)),
        ((360, 288), (352, 288)),
    ],
)
def test_wide_pictures_are_seen_smaller(shown: tuple[int, int], seen: tuple[int, int]) -> None:
    assert network_size(find("default"), *shown) == seen
    assert network_size(find("default"), 1920, 1080, 384) == (384, 224)  # what is asked for counts


def test_a_json_file_beside_the_network_says_how_pictures_go_in(tmp_path):
    path = foreign.segmentation(tmp_path / "one.onnx", bounded=False)
    side = path.with_suffix(".json")
    side.write_text('{"mean": [1, 2, 3], "deviation": [4, 5, 6], "meaning": "alpha"}')
    spec = find(str(path))
    assert spec.mean == (1, 2, 3) and spec.deviation == (4, 5, 6) and spec.meaning == "alpha"
    side.write_text('{"means": [1, 2, 3]}')
    with pytest.raises(EngineError, match="'means' is not one of mean"):
        find(str(path))


def test_background_matting_wants_a_plate(tmp_path):
    path = foreign.background_matting(tmp_path / "bgm.onnx")
    picture, plate = pictures(2, (64, 32))
    for backend in ("auto", "openvino"):
        with pytest.raises(EngineError, match=r"^bgm.onnx .* needs a picture of the empty scene"):
            step(path, picture, backend)
    expected = np.abs(picture.astype(float) - plate).mean(2) / 255
    pytest.importorskip("torch")
    for backend in BACKENDS:
        np.testing.assert_allclose(step(path, picture, backend, plate=plate), expected, atol=1e-4)


def test_background_matting_takes_the_plate_of_a_run(tmp_path):
    """The same plate that corrects other networks; here the network itself has used it."""
    path = foreign.background_matting(tmp_path / "bgm.onnx")
    clip = make(tmp_path / "a.mp4", Recipe(pts=(0, 1, 2)))
    with pytest.raises(EngineError, match="name one with --plate"):
        list(mattes(clip, Settings(model=str(path))))
    plate = pictures(1, (96, 64))[0]
    av.VideoFrame.from_ndarray(plate, "rgb24").save(tmp_path / "plate.png")
    settings = Settings(
        model=str(path), plate=str(tmp_path / "plate.png"), smooth="off", detail="fast"
    )
    for matted in mattes(clip, settings):
        expected = np.abs(matted.frame.small.astype(float) - plate).mean(2) / 255
        assert expected.mean() > 0.1
        np.testing.assert_allclose(matted.alpha_small, expected, atol=1e-4)


def test_a_wrong_network_says_what_was_expected_and_found(tmp_path):
    with pytest.raises(EngineError) as caught:
        find(str(foreign.classifier(tmp_path / "c.onnx")))
    text = str(caught.value)
    assert "\n" not in text and "Found data (1x3x32x32 f32) -> scores (1x10 f32)" in text
    assert "rvm: src, r1i..r4i, downsample_ratio -> pha, r1o..r4o" in text


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x08" * 100])
def test_a_file_that_is_no_network(tmp_path, content, capfd):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineError) as caught:
        find(str(path))
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # no library says more than we do


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("[]", "expected {...} with any of mean, deviation"),
        ('{"colour": 1}', "'colour' is not one"),
        ('{"mean": [1, 2]}', r"mean is \[1, 2\], expected three numbers"),
        ('{"mean": "bright"}', "expected three numbers"),
        ("{", "not readable as JSON"),
        ('{"deviation": [1, 0, 1]}', "expected three numbers above 0"),
        ('{"meaning": "mask"}', 'meaning is "mask", expected one of alpha, logit, classes'),
        ('{"long_side": 0}', "long_side is 0, expected a whole number above 0"),
        ('{"multiple": 1.5}', "multiple is 1.5, expected a whole number"),
    ],
)
def test_a_wrong_json_file_beside_a_network(tmp_path, said, words):
    path = foreign.modnet(tmp_path / "x.onnx")
    path.with_suffix(".json").write_text(said)
    with pytest.raises(EngineError, match=rf"x\.json: .*{words}"):
        find(str(path))


def test_no_file(tmp_path):
    with pytest.raises(EngineError, match="no file"):
        find(str(tmp_path / "none.onnx"))
