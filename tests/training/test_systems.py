"""The papers' networks: shapes, sizes, learning by heart, and their files in every engine."""

from __future__ import annotations

import dataclasses
import functools

import av
import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from commands import call  # noqa: E402
from waiting import until  # noqa: E402

from mattecast import Settings, engines  # noqa: E402
from mattecast.engines.papers import ssrn  # noqa: E402
from mattecast.engines.papers.deeplab import DeepLab, DeepLabWidths, MobileNetV2  # noqa: E402
from mattecast.engines.papers.dlmn import CAUSAL, CENTRED, Dlmn, DlmnWidths, neighbours  # noqa: E402
from mattecast.engines.papers.losses import Adversarial, adversarial_loss  # noqa: E402
from mattecast.engines.papers.ssrn import Generator, Ssrn, SsrnWidths  # noqa: E402
from mattecast.engines.papers.unet import (  # noqa: E402
    SimpleUNet,
    SimpleWidths,
    UNet,
    UNetWidths,
)
from mattecast.engines.training import criteria, fit, scenes, systems  # noqa: E402
from mattecast.engines.training.release import release  # noqa: E402
from mattecast.live.capture import parse  # noqa: E402
from mattecast.live.outputs.outlet import Outlet  # noqa: E402
from mattecast.live.pipeline import Controls  # noqa: E402
from mattecast.live.session import Session  # noqa: E402

DEEPLAB = DeepLabWidths(share=0.25, aspp=16, low=8)
DLMN = DlmnWidths(width=16, shared=8, blocks=(1, 1), segmentation=DEEPLAB)
TINY = {
    "unet-simple": SimpleWidths(width=8),
    "unet": UNetWidths(width=8, levels=2),
    "deeplab": DEEPLAB,
    "dlmn": DLMN,
    "ssrn": SsrnWidths(width=8, blocks=(1, 1, 2, 1), judge=8, base=DLMN),
}


@pytest.fixture(autouse=True)
def one_thread():
    """Pictures this small are quicker on one: threads would mostly wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny(name):
    """A small network of a system, whose norms have seen something and whose output is no rest."""
    torch.manual_seed(1)
    network = systems.build(TINY[name]).train()
    for part in network.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.train().momentum = None  # a plain mean over what it sees
    with torch.no_grad():
        for _ in range(3):
            network(torch.randint(0, 256, (2, 3, 64, 64, 3), dtype=torch.uint8))
        if name == "ssrn":
            network.generator.head.weight.normal_(0, 0.3)
    return network.eval()


def clip(frames, height, width, seed=3):
    """`frames` pictures (H, W, 3) uint8 that change a little from one to the next."""
    rng = np.random.default_rng(seed)
    base = cv2.resize(rng.integers(0, 200, (6, 6, 3)).astype(np.uint8), (width, height))
    return [np.uint8(base + rng.integers(0, 40, base.shape)) for _ in range(frames)]


def parameters(network):
    return sum(value.numel() for value in network.parameters())


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_shapes_at_two_sizes(name, size):
    network = tiny(name)
    with torch.no_grad():
        out = network(torch.from_numpy(np.stack(clip(2, *size)))[None])
    assert out.alpha.shape == out.logits.shape == (2, 1, *size)
    assert out.alpha.min() >= 0 and out.alpha.max() <= 1
    assert out.alpha.std() > 1e-3


@pytest.mark.parametrize("name", ["unet", "deeplab", "dlmn", "ssrn"])
def test_sizes_that_are_no_multiple_are_refused(name):
    with pytest.raises(ValueError, match="multiples of 32, got 40x64"):
        tiny(name)(torch.zeros(1, 1, 40, 64, 3, dtype=torch.uint8))


def convolution(inputs, outputs, side=3):
    return inputs * outputs * side * side + outputs


def test_parameters_are_those_of_the_descriptions():
    simple = [(3, 64), (64, 64), (128, 64), (64, 64)]
    assert parameters(SimpleUNet()) == sum(convolution(*c) for c in simple) + 65
    down = [(3, 64), (64, 128), (128, 256), (256, 512)]
    count = sum(convolution(a, b) + 2 * convolution(b, b) for a, b in down)
    count += convolution(512, 1024) + convolution(1024, 1024)
    count += sum(convolution(3 * w, w) + convolution(w, w) for w in (512, 256, 128, 64)) + 65
    assert parameters(UNet()) == count
    # torchvision's mobilenet_v2 has 3,504,872: less the classifier and the last convolution.
    assert parameters(MobileNetV2()) == 3_504_872 - 1_281_000 - (320 * 1280 + 2 * 1280)
    # torchvision's resnet101 has 44,549,160: less the classifier, plus a fourth input channel.
    encoder = Generator(64, (3, 4, 23, 3)).encoder
    assert parameters(encoder) == 44_549_160 - 2_049_000 + 64 * 7 * 7


def normed(inputs, outputs, side=3):
    """A convolution without bias, and its norm."""
    return inputs * outputs * side * side + 2 * outputs


def test_parameters_of_whole_systems():
    pyramid = normed(320, 256, 1) + 3 * normed(320, 256) + convolution(320, 256, 1)
    decoder = normed(24, 48, 1) + normed(256 + 48, 256) + normed(256, 256) + 257
    deeplab = parameters(MobileNetV2()) + pyramid + normed(5 * 256, 256, 1) + decoder
    assert parameters(DeepLab()) == deeplab == 5_810_657
    encoders = sum(normed(n, 64) + normed(64, 128) + normed(128, 256) for n in (3, 1, 4))
    joined = 2 * normed(512, 64, 1) + normed(256 + 2 * 64, 256, 1)
    residuals = 2 * normed(256, 256) * (7 + 2 * 3)
    ends = sum(normed(256, 128) + normed(128, 64) + convolution(64, n) for n in (1, 3))
    assert parameters(Dlmn()) == deeplab + encoders + joined + residuals + ends == 23_177_573
    generator = Generator(64, (3, 4, 23, 3))
    decoder = normed(2048, 256, 1) + normed(512, 128) + normed(192, 64) + normed(68, 32)
    assert parameters(generator) == parameters(generator.encoder) + decoder + convolution(32, 1)


def test_encoders_of_dlmn_give_256_maps_and_combinators_64():
    network = Dlmn()
    for part, inputs in ((network.picture, 3), (network.soft, 1), (network.motion, 4)):
        assert part(torch.zeros(1, inputs, 32, 32)).shape == (1, 256, 8, 8)
    assert [c.conv.out_channels for c in (network.with_soft, network.with_motion)] == [64, 64]


@pytest.mark.parametrize("build", [SimpleUNet, UNet, DeepLab, Dlmn, Ssrn])
def test_the_full_size_runs(build):
    with torch.no_grad():
        out = build().eval()(torch.zeros(1, 1, 64, 64, 3, dtype=torch.uint8))
    assert out.alpha.shape == (1, 1, 64, 64)


def test_features_come_at_a_sixteenth_and_an_eighth():
    x = torch.zeros(1, 3, 64, 96)
    low, high = MobileNetV2(0.25).eval()(x)
    assert low.shape[2:] == (16, 24) and high.shape[2:] == (4, 6)
    assert ssrn.Encoder(8, (1, 1, 1, 1)).eval()(torch.zeros(1, 4, 64, 96))[2].shape[2:] == (8, 12)


@pytest.mark.parametrize("name", ["dlmn", "ssrn"])
def test_a_clip_equals_its_frames_one_by_one(name):
    network, pictures = tiny(name), clip(7, 64, 64)
    # A batch is summed in another order than one picture, and weights drawn at random make much of
    # the last digits: on some processors 6e-5. A matte of another frame is 0.2 off.
    near = {"atol": 3e-4, "rtol": 0.0}
    with torch.no_grad():
        whole = network(torch.from_numpy(np.stack(pictures))[None])
        state = network.start(64, 64)
        for index, picture in enumerate(pictures):
            alpha, foreground, state = network.step(torch.from_numpy(picture)[None], state)
            torch.testing.assert_close(alpha[0].permute(2, 0, 1), whole.alpha[index], **near)
            torch.testing.assert_close(
                foreground[0].permute(2, 0, 1), whole.foreground[index], **near
            )


@pytest.mark.parametrize(
    ("offsets", "frames", "expected"),
    [
        (CENTRED, 1, [[0, 0, 0, 0]]),
        (CAUSAL, 2, [[0, 0, 0, 0], [0, 0, 0, 0]]),
        (CENTRED, 4, [[0, 0, 1, 2], [0, 0, 2, 3], [0, 1, 3, 3], [1, 2, 3, 3]]),
        (CAUSAL, 6, [*[[0] * 4] * 2, [0, 0, 0, 1], [0, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4]]),
    ],
)
def test_motion_cues_are_the_frames_around_and_repeat_the_ends(offsets, frames, expected):
    gray = torch.arange(frames).reshape(1, frames, 1, 1).expand(1, frames, 32, 32)
    cues = neighbours(gray, offsets)
    assert cues.shape == (1, frames, 4, 32, 32)
    assert cues[0, :, :, 0, 0].tolist() == expected


def test_motion_matters_to_dlmn():
    network, (first, other) = tiny("dlmn"), clip(2, 64, 64)
    with torch.no_grad():
        pair = network(torch.from_numpy(np.stack([255 - first, other]))[None]).alpha[1]
        alone = network(torch.from_numpy(other)[None, None]).alpha[0]
    assert (pair - alone).abs().max() > 1e-5


def figures():
    """Eight pictures of figures with their mattes, as a batch of training."""
    rng, pictures, alphas = np.random.default_rng(0), [], []
    for _ in range(8):
        alpha = np.zeros((32, 32), np.uint8)
        x = int(rng.integers(10, 22))
        cv2.circle(alpha, (x, 12), 5, 255, -1)
        cv2.ellipse(alpha, (x, 32), (9, 15), 0, 0, 360, 255, -1)
        share = alpha[..., None] / 255
        # Red before blue: the simplified U-Net sees too little around a place to know more.
        front = rng.integers(0, 40, (32, 32, 3)) + np.array([200, 60, 40])
        back = rng.integers(0, 40, (32, 32, 3)) + np.array([30, 60, 190])
        pictures.append(np.uint8(front * share + back * (1 - share)))
        alphas.append(alpha)
    picture, alpha = (torch.from_numpy(np.stack(each))[:, None] for each in (pictures, alphas))
    known = torch.ones(8, dtype=torch.uint8)
    return {
        "picture": picture,
        "foreground": picture,
        "alpha": alpha,
        "valid": torch.ones_like(alpha),
        "known": known,
    }


# Steps and rate.
LEARNING = {
    "unet-simple": (60, 1e-2),
    "unet": (60, 3e-3),
    "deeplab": (60, 1e-2),
    "dlmn": (90, 5e-3),
    "ssrn": (90, 5e-3),
}


def learn(network, tensors, steps, rate, weights=None):
    stage = fit.Stage("tiny", steps, 8, 1, ())
    chosen = fit.Settings(
        data=None,
        out=None,
        stages=(stage,),
        rate=rate,
        constant=True,
        average=0.0,
        weights=weights or fit.Weights(),
    )
    run = fit.Run(network, systems.adam(network, rate, 0.0), dict(network.state_dict()))
    run.average = {name: value.clone() for name, value in run.average.items()}
    return [fit.train_step(run, chosen, tensors) for _ in range(steps)]


@pytest.fixture(scope="module")
def learned():
    """A small network of a system that was shown eight pictures again and again, and its losses;
    each is trained once."""

    @functools.cache
    def trained(name):
        torch.manual_seed(0)
        network, (steps, rate) = systems.build(TINY[name]), LEARNING[name]
        return network, learn(network, figures(), steps, rate)

    return trained


@pytest.mark.parametrize("name", [name for name in LEARNING if name != "ssrn"])
def test_eight_pictures_are_learned_by_heart(name, learned):
    _, history = learned(name)
    assert history[-1] < history[0] / 10, (history[0], history[-1])


def test_the_refinement_mends_what_dlmn_left(learned):
    """Its loss holds the judge's, which has no need to fall: what counts is the matte."""
    network, history = learned("ssrn")
    goal, out = fit.target(figures()), fit.predict(network.eval(), figures())
    before, after = ((a - goal.alpha).abs().mean() for a in (out.before, out.alpha))
    assert after < before / 10 and history[-1] < history[0]


def test_refinement_starts_with_the_matte_it_was_given():
    network = Ssrn(TINY["ssrn"]).eval()
    out = network(torch.from_numpy(np.stack(clip(1, 64, 64)))[None])
    clamped = out.before.clamp(ssrn.EDGE, 1 - ssrn.EDGE)
    torch.testing.assert_close(out.alpha, clamped, atol=1e-5, rtol=0)


def test_degraded_mattes_stay_mattes_and_differ():
    torch.manual_seed(0)
    alpha = torch.zeros(12, 1, 64, 64)
    alpha[..., 16:48, 16:48] = 1
    worse = ssrn.degraded(alpha)
    assert worse.shape == alpha.shape and worse.min() >= 0 and worse.max() <= 1
    assert len({one.numpy().tobytes() for one in worse}) > 6


def refined(alpha, before, judge=None):
    """A Refined of constant mattes over 32 x 32 pictures."""
    planes = {"alpha": alpha, "before": before}
    alpha, before = (torch.as_tensor(value).expand(2, 1, 32, 32) for value in planes.values())
    judge = judge or ssrn.Discriminator(4)
    return ssrn.Refined(torch.logit(alpha, 1e-3), alpha, before, torch.zeros(2, 3, 32, 32), judge)


def photographs():
    torch.manual_seed(0)
    nothing, one = torch.zeros(2, 1, 32, 32), torch.ones(2, 1, 32, 32)
    picture = torch.rand(2, 3, 32, 32)
    return fit.Target(nothing, picture, picture, one, torch.zeros(2, 1, 1, 1))


def test_a_matte_of_all_ones_does_not_pay():
    before = torch.zeros(1, 1, 32, 32)
    before[..., 12:, 10:22] = 1.0
    weights = Adversarial(gan=1.0)  # the discriminator counts as much as it can
    kept, collapsed = (
        criteria.loss(refined(alpha, before), photographs(), 1, weights).detach()
        for alpha in (before, torch.tensor(1.0))
    )
    assert kept + 0.5 < collapsed


def test_judge_and_refinement_pull_against_each_other():
    alpha = torch.full((2, 1, 32, 32), 0.5, requires_grad=True)
    out = dataclasses.replace(refined(0.5, 0.5), alpha=alpha)
    target = photographs()
    direct = adversarial_loss(out, target, 1.0)
    direct.backward()
    step = alpha.detach() + 5.0 * alpha.grad  # against its own gradient: uphill for the judge
    moved = dataclasses.replace(out, alpha=(alpha.detach() - 5.0 * alpha.grad).clamp(0, 1))
    assert adversarial_loss(moved, target, 1.0) > direct
    back = dataclasses.replace(out, alpha=step.clamp(0, 1))
    assert adversarial_loss(back, target, 1.0) < direct
    judge = out.judge[0].weight
    with torch.no_grad():
        judge -= 1e-2 * judge.grad
    assert adversarial_loss(out, target, 1.0) < direct


def checkpoint(network, path):
    average = {name: value.clone() for name, value in network.state_dict().items()}
    run = fit.Run(network, systems.adam(network, 1e-3, 0.0), average)
    run.save(path, fit.Settings(data=None, out=None))
    return path


@pytest.mark.parametrize("name", TINY)
def test_a_checkpoint_gives_its_network_back(name, tmp_path):
    network = tiny(name)
    again = systems.restore(checkpoint(network, tmp_path / "last.pt"))
    assert type(again) is type(network) and again.widths == network.widths
    for key, value in network.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value)


def test_a_network_starts_from_the_part_it_holds(tmp_path):
    part = tiny("deeplab")
    path = checkpoint(part, tmp_path / "deeplab.pt")
    whole = Dlmn(DLMN)
    systems.start(whole, path)
    for key, value in part.state_dict().items():
        torch.testing.assert_close(whole.segmentation.state_dict()[key], value)
    with pytest.raises(ValueError, match=r"holds a deeplab of .* no part of a unet"):
        systems.start(UNet(TINY["unet"]), path)


def test_frozen_parts_stay_and_norms_with_them():
    torch.manual_seed(0)
    network = DeepLab(DEEPLAB)
    systems.hold(network, ("encoder.",))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    learn(network, figures(), 2, 1e-2)
    for name, value in network.state_dict().items():
        moved = not torch.equal(before[name], value)
        assert moved != name.startswith("encoder."), name
    pattern = "encoder.stages.[01].*.norm.running"
    assert systems.held("encoder.stages.1.0.widen.norm.running_mean", (pattern,))
    assert not systems.held("encoder.stages.2.0.widen.norm.running_mean", (pattern,))
    with pytest.raises(ValueError, match="nothing in a deeplab is called nose"):
        systems.hold(network, ("nose",))


@pytest.mark.parametrize("name", TINY)
def test_the_file_runs_as_the_network_does(name, tmp_path):
    network = tiny(name)
    path = release(network, tmp_path / f"{name}.onnx")
    spec = engines.find(str(path))
    assert spec.family == ("segmentation" if name in ("unet-simple", "unet", "deeplab") else "dlmn")
    assert spec.long_side == (256 if spec.family == "segmentation" else 512)
    for size in ((64, 64), (96, 32)):
        pictures = clip(6, size[1], size[0])
        with torch.no_grad():
            truth = network(torch.from_numpy(np.stack(pictures))[None]).alpha[:, 0].numpy()
        for backend in ("openvino", "torch"):
            engine = engines.load(spec, size, backend=backend, device="cpu", precision="f32")
            for picture, alpha in zip(pictures, truth, strict=True):
                np.testing.assert_allclose(engine.step(picture), alpha, atol=2e-4)
            engine.reset()
            np.testing.assert_allclose(engine.step(pictures[0]), truth[0], atol=2e-4)
            engine.close()


@pytest.fixture
def named(learned, tmp_path):
    """The name of a model among the user's own, which is what a system learned."""

    def added(name):
        release(learned(name)[0], tmp_path / "net.onnx", long_side=32)
        result = call("models", "add", tmp_path / "net.onnx", "--name", f"my-{name}")
        assert result.code == 0, result.err
        made.append(f"my-{name}")
        return made[-1]

    made = []
    yield added
    for model in made:
        call("models", "remove", model)


@pytest.fixture
def filmed(tmp_path):
    """A clip of three times the first picture."""
    with av.open(str(tmp_path / "clip.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "bgr0"
        for _ in range(3):
            picture = figures()["picture"][0, 0].numpy()
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return tmp_path / "clip.mkv"


def error(alpha):
    """Mean distance of a matte (32, 32) uint8 from that of the first picture, in [0, 1]."""
    return np.abs(alpha - figures()["alpha"][0, 0].numpy().astype(float)).mean() / 255


@pytest.mark.parametrize("name", TINY)
def test_a_clip_is_matted_by_name_with_what_was_learned(name, named, filmed, tmp_path):
    """From training to the alpha plane of a written clip."""
    result = call("matte", filmed, "-o", tmp_path / "out.mov", "--model", named(name), "--quiet")
    assert result.code == 0, result.err
    with av.open(str(tmp_path / "out.mov")) as clip:
        found = [frame.to_ndarray(format="rgba")[..., 3] for frame in clip.decode(video=0)]
    assert len(found) == 3 and max(map(error, found)) < 0.05


@pytest.mark.parametrize("name", ["unet", "ssrn"])
def test_live_runs_it_by_the_same_name(name, named, filmed):
    """One of the single pictures, and one with a memory."""
    shown = []
    controls = Controls(Settings(model=named(name), smooth="off", foreground="source"))
    session = Session(parse(str(filmed), loop=True), controls, 5.0, [Outlet(Kept(shown))])
    session.start()
    try:
        until(lambda: len(shown) > 2, 60, "pictures")
    finally:
        session.close()
    assert error(shown[-1].bgra[..., 3]) < 0.05


class Kept:
    """A target of live that keeps what it gets."""

    name, one_size = "kept", False

    def __init__(self, pictures):
        self.write = pictures.append

    def open(self, picture):
        """Nothing to open."""

    def close(self):
        """Nothing to close."""


def test_whole_pictures_are_drawn_as_they_are():
    from mattecast.engines.training.datasets import Library, cut, subject

    picture, alpha = clip(1, 40, 30)[0], np.zeros((40, 30), np.uint8)
    alpha[10:, 8:20] = 255
    library = Library([subject("one", [picture], [cut(picture, alpha)])])
    recipe = scenes.Recipe(whole=True)
    sample = scenes.draw(np.random.default_rng(0), recipe, library, size=(40, 30), frames=1)
    np.testing.assert_array_equal(sample.picture[0], picture)
    np.testing.assert_array_equal(sample.alpha[0], alpha)


def test_checks_show_every_held_out_picture_once(tmp_path):
    from mattecast.engines.training.datasets import Library, cut, subject

    alpha = np.zeros((32, 32), np.uint8)
    alpha[10:, 8:20] = 255
    shades = [np.full((32, 32, 3), 20 * index, np.uint8) for index in range(10)]
    people = [subject(f"{one[0, 0, 0]}", [one], [cut(one, alpha)]) for one in shades]
    people.append(subject("cut", None, [np.dstack([shades[9], alpha])]))  # gets a background
    stage, recipe = fit.Stage("tiny", 1, 2, 1, ((32, 32),)), scenes.Recipe(whole=True)
    settings = fit.Settings(data=None, out=None, stages=(stage,), recipe=recipe)
    held = fit.held_batches(settings, Library(people, [], [shades[5]]))
    assert [len(each["alpha"]) for each in held] == [8, 3]
    shown = fit.joint(held)
    assert shown["picture"][:10, 0, 0, 0, 0].tolist() == [20 * index for index in range(10)]
    assert (shown["alpha"][:10, 0].numpy() == alpha).all() and shown["alpha"][10].any()
    # The score is the mean over pictures, not over batches of which the last is smaller.
    network = tiny("unet-simple")
    run = fit.Run(network, [], network.state_dict())
    score = fit.check(run, held, "MAD", tmp_path / "montage.png")
    with torch.no_grad():
        found = network(shown["picture"])
    truth = (shown["alpha"] / 255).reshape(found.alpha.shape)
    assert score == pytest.approx(1e3 * float((found.alpha - truth).abs().mean()), rel=0.02)
    likely = torch.where(truth == 1, found.alpha, 1 - found.alpha)  # the drawn alpha is 0 or 1
    score = fit.check(run, held, "BCE", tmp_path / "montage.png")
    assert score == pytest.approx(-1e3 * float(likely.log().mean()), rel=0.02)
    assert cv2.imread(str(tmp_path / "montage.png")).shape == (2 * 3 * 32, 8 * 32, 3)
