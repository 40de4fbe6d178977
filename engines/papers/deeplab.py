"""DeepLabV3+ on MobileNetV2: a network of the portrait study, and DLMN-G's soft segmentation.

DeepLabV3+: Chen et al. 2018, arXiv 1802.02611. MobileNetV2: Sandler et al. 2018, arXiv 1801.04381.
MobileNetV2's last stages are dilated instead of halving the size once more, so that features are at
1/16 of the picture (output stride 16). There atrous spatial pyramid pooling works at rates 6, 12
and 18 and over the whole picture; the decoder joins its result with features of the second stage at
1/4.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mattecast.engines.networks.layers import ConvNorm, Inverted
from mattecast.engines.papers.still import StillNetwork, he_normal

# MobileNetV2's table 2: expansion, channels, blocks, stride, and here dilation.
STAGES = (
    (1, 16, 1, 1, 1),
    (6, 24, 2, 2, 1),
    (6, 32, 3, 2, 1),
    (6, 64, 4, 2, 1),
    (6, 96, 3, 1, 1),
    (6, 160, 3, 1, 2),
    (6, 320, 1, 1, 2),
)
LOW = 2  # the stage whose output is the decoder's low-level features
RATES = (6, 12, 18)


@dataclass(frozen=True)
class DeepLabWidths:
    """share: MobileNetV2's width multiplier. aspp, low: channels, 256 and 48 in the paper."""

    share: float = 1.0
    aspp: int = 256
    low: int = 48


class MobileNetV2(nn.Module):
    """MobileNetV2 without its last convolution and classifier, at output stride 16."""

    def __init__(self, share: float = 1.0) -> None:
        super().__init__()
        width = eighths(32 * share)
        self.stem = ConvNorm(3, width, stride=2, activation=nn.ReLU6)
        stages: list[nn.Module] = []
        for grow, channels, blocks, stride, dilation in STAGES:
            outputs, parts = eighths(channels * share), []
            for block in range(blocks):
                step = 1 if block else stride
                parts.append(Inverted(width, outputs, grow, step, dilation=dilation))
                width = outputs
            stages.append(nn.Sequential(*parts))
        self.stages = nn.ModuleList(stages)
        self.low_channels, self.channels = eighths(STAGES[LOW - 1][1] * share), width

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) to features at 1/4 and at 1/16."""
        x = self.stem(x)
        for index, stage in enumerate(self.stages, 1):
            x = stage(x)
            if index == LOW:
                low = x
        return low, x


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling, with the mean over the whole picture as one more scale."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            [ConvNorm(inputs, width, 1), *(ConvNorm(inputs, width, dilation=r) for r in RATES)]
        )
        # Without a norm, which would have only one value of each picture for its statistics.
        self.whole = nn.Conv2d(inputs, width, 1)
        self.project = ConvNorm((len(RATES) + 2) * width, width, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        mean = functional.relu(self.whole(x.mean((2, 3), keepdim=True)))
        parts = [*(scale(x) for scale in self.scales), mean.expand(-1, -1, *x.shape[2:])]
        y: Tensor = self.dropout(self.project(torch.cat(parts, 1)))
        return y


class DeepLab(StillNetwork):
    """DeepLabV3+ for one class, the person."""

    def __init__(self, widths: DeepLabWidths | None = None) -> None:
        super().__init__()
        self.widths = w = widths or DeepLabWidths()
        self.encoder = MobileNetV2(w.share)
        self.pyramid = Pyramid(self.encoder.channels, w.aspp)
        self.low = ConvNorm(self.encoder.low_channels, w.low, 1)
        self.decoder = nn.Sequential(ConvNorm(w.aspp + w.low, w.aspp), ConvNorm(w.aspp, w.aspp))
        self.head = nn.Conv2d(w.aspp, 1, 1)
        he_normal(self)

    def logits(self, x: Tensor) -> Tensor:
        low, high = self.encoder(x)
        large = enlarged(self.pyramid(high), 4)
        return enlarged(self.head(self.decoder(torch.cat([large, self.low(low)], 1))), 4)


def enlarged(x: Tensor, factor: int) -> Tensor:
    """Bilinear up-sampling by a whole factor."""
    return functional.interpolate(
        x, scale_factor=float(factor), mode="bilinear", align_corners=False
    )


def eighths(width: float) -> int:
    """The multiple of 8 nearest to a width, at least 8, as MobileNetV2 rounds."""
    return max(8, int(width + 4) // 8 * 8)
