"""The encoder that knows ImageNet, and the ways in which training it is made quick."""

import copy

import pytest

torch = pytest.importorskip("torch")

from mattecast.engines.networks.efficientnet import (  # noqa: E402
    CHANNELS,
    EfficientNet,
    pretrained,
)
from mattecast.engines.networks.heron import Heron  # noqa: E402
from mattecast.engines.networks.layers import ConvNorm  # noqa: E402
from mattecast.engines.training import systems  # noqa: E402
from mattecast.engines.training.fit import freeze  # noqa: E402

# The published file's own names of what it has beside the layers used here.
HEAD = {"_conv_head.weight": (1280, 320, 1, 1), "_fc.weight": (1000, 1280), "_fc.bias": (1000,)}


def published():
    """Weights by the names and shapes of the published file."""
    encoder, stored, number = EfficientNet(), {}, 0
    norms = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    layers = [(encoder.stem, "_conv_stem", "_bn0")]
    for stage in encoder.stages:
        for block in stage:
            if isinstance(block.widen, ConvNorm):
                layers.append(
                    (block.widen, f"_blocks.{number}._expand_conv", f"_blocks.{number}._bn0")
                )
            layers.append(
                (block.filter, f"_blocks.{number}._depthwise_conv", f"_blocks.{number}._bn1")
            )
            layers.append(
                (block.narrow, f"_blocks.{number}._project_conv", f"_blocks.{number}._bn2")
            )
            number += 1
    for layer, conv, norm in layers:
        stored[f"{conv}.weight"] = torch.randn_like(layer.conv.weight)
        for name in norms:
            value = getattr(layer.norm, name)
            stored[f"{norm}.{name}"] = torch.rand_like(value) if value.ndim else value
    return stored | {name: torch.zeros(shape) for name, shape in HEAD.items()}


def test_features_come_at_five_scales():
    features = EfficientNet().eval()(torch.rand(2, 3, 64, 96))
    assert [tuple(f.shape) for f in features] == [
        (2, channels, 64 // scale, 96 // scale)
        for channels, scale in zip(CHANNELS, (2, 4, 8, 16, 32), strict=True)
    ]


def test_published_weights_are_taken_whole(tmp_path):
    stored = published()
    torch.save(stored, tmp_path / "lite0.pth")
    network = Heron()
    systems.start(network, tmp_path / "lite0.pth")
    taken = network.encoder.state_dict()
    assert torch.equal(taken["stem.conv.weight"], stored["_conv_stem.weight"])
    assert torch.equal(
        taken["stages.5.3.narrow.conv.weight"], stored["_blocks.14._project_conv.weight"]
    )
    assert set(pretrained(stored)) == set(taken)


@pytest.mark.parametrize(
    "harm",
    [
        lambda stored: stored.pop("_blocks.3._bn1.running_var"),
        lambda stored: stored.update({"_conv_stem.weight": torch.zeros(40, 3, 3, 3)}),
    ],
)
def test_other_weights_are_refused(harm):
    stored = published()
    harm(stored)
    with pytest.raises(ValueError, match=r"no weights of EfficientNet-Lite0: _(blocks\.3|conv)"):
        pretrained(stored)


def known():
    """An encoder whose norms have seen something, frozen as training on ImageNet's weights is."""
    torch.manual_seed(0)
    network = Heron()
    with torch.no_grad():
        network.encoder.train()(torch.rand(4, 3, 64, 64))
    patterns = systems.SYSTEMS["heron"].frozen
    systems.hold(network, patterns)
    freeze(network, False, patterns)
    return network


def test_norms_folded_into_convolutions_change_no_value():
    network, x = known(), torch.rand(2, 3, 64, 96)
    folded = network.encoder(x)
    for one, other in zip(folded, copy.deepcopy(network).eval().encoder(x), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_only_what_is_not_frozen_learns():
    network = known()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pictures = torch.randint(0, 256, (1, 2, 64, 64, 3), dtype=torch.uint8)
    out = network(pictures)
    (out.logits.sum() + out.coarse.sum()).backward()
    assert network.encoder.stages[2][0].widen.conv.weight.grad is not None
    assert network.encoder.stages[2][1].narrow.norm.bias.grad is not None
    for name, value in network.named_parameters():
        kept = systems.held(name, systems.SYSTEMS["heron"].frozen)
        assert (value.grad is None) == kept, name
    for name, value in network.state_dict().items():
        if name.startswith("encoder.") and "running" in name:
            assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("kernel", [3, 5])
def test_the_gradient_of_a_halving_is_the_true_one(kernel):
    torch.manual_seed(1)
    layer = ConvNorm(8, 8, kernel, stride=2, groups=8).double().requires_grad_(False)
    layer.train().norm.eval()
    x = torch.rand(2, 8, 12, 16, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 8, 6, 8, dtype=torch.float64)
    (quick,) = torch.autograd.grad((layer(x) * weights).sum(), x)
    (plain,) = torch.autograd.grad((layer.eval()(x) * weights).sum(), x)
    torch.testing.assert_close(quick, plain)
