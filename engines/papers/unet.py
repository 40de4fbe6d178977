"""The two U-Nets of the portrait study: a simplified one with a single level, and U-Net.

U-Net: Ronneberger et al. 2015, arXiv 1505.04597. In the study both take 256 x 256 x 3; they take
all sides that are multiples of MULTIPLE.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mattecast.engines.papers.still import StillNetwork, he_normal


@dataclass(frozen=True)
class SimpleWidths:
    """Channels of the simplified U-Net."""

    width: int = 64
    dropout: tuple[float, float] = (0.1, 0.2)


@dataclass(frozen=True)
class UNetWidths:
    """width: channels of the first level, which each level below doubles."""

    width: int = 64
    levels: int = 4


def conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A padded 3x3 convolution."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class Pair(nn.Module):
    """Convolution, ReLU, dropout, convolution, ReLU."""

    def __init__(self, inputs: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.first, self.second = conv(inputs, outputs), conv(outputs, outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.dropout(functional.relu(self.first(x)))
        return functional.relu(self.second(x))


class SimpleUNet(StillNetwork):
    """The study's simplified U-Net: down once and up once.

    The study describes it briefly, and the description is read as follows. "Two 3x3 convolutions of
    64, ReLU, He-normal, dropout 0.1": the dropout is between the two convolutions, as in the Keras
    code that such studies begin from. Between pooling and up-sampling there is nothing, because
    nothing is named; the pooled path adds reach. Up-sampling repeats pixels. The concatenation has
    128 channels; "two 3x3 convolutions of 64, dropout 0.2" are read as above. A 1x1 convolution and
    a sigmoid come last.
    """

    MULTIPLE = 2

    def __init__(self, widths: SimpleWidths | None = None) -> None:
        super().__init__()
        self.widths = w = widths or SimpleWidths()
        self.down = Pair(3, w.width, w.dropout[0])
        self.up = Pair(2 * w.width, w.width, w.dropout[1])
        self.head = nn.Conv2d(w.width, 1, 1)
        he_normal(self)

    def logits(self, x: Tensor) -> Tensor:
        near = self.down(x)
        far = functional.interpolate(functional.max_pool2d(near, 2), scale_factor=2.0)
        logits: Tensor = self.head(self.up(torch.cat([near, far], 1)))
        return logits


class UNet(StillNetwork):
    """The study's standard U-Net, with three convolutions a level on the way down.

    Encoder: `levels` times three padded 3x3 convolutions with ReLU and 2x2 max pooling, channels
    64, 128, 256, 512; two convolutions of 1024 at the bottom. Decoder: 2x2 un-pooling, which is
    read as repeating each pixel (un-pooling by the pooling's indices needs equal channels on both
    sides, but 1024 meet 512), concatenation, and two convolutions that halve the channels. A 1x1
    convolution makes one channel of 64.
    """

    def __init__(self, widths: UNetWidths | None = None) -> None:
        super().__init__()
        self.widths = w = widths or UNetWidths()
        sides = [w.width << level for level in range(w.levels + 1)]
        self.down = nn.ModuleList(
            nn.Sequential(conv(a, b), nn.ReLU(), conv(b, b), nn.ReLU(), conv(b, b), nn.ReLU())
            for a, b in zip([3, *sides], sides[:-1], strict=False)
        )
        self.bottom = Pair(sides[-2], sides[-1])
        self.up = nn.ModuleList(Pair(3 * width, width) for width in reversed(sides[:-1]))
        self.head = nn.Conv2d(w.width, 1, 1)
        he_normal(self)

    def logits(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level in self.down:
            skips.append(level(x))
            x = functional.max_pool2d(skips[-1], 2)
        x = self.bottom(x)
        for level in self.up:
            x = level(torch.cat([functional.interpolate(x, scale_factor=2.0), skips.pop()], 1))
        logits: Tensor = self.head(x)
        return logits
