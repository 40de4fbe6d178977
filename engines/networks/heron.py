"""Heron, the embedded default: a small recurrent matting network on an ImageNet encoder.

Shape of the network, with the reason for each part:

- The encoder is EfficientNet-Lite0 without its classifier (see efficientnet.py). A few thousand
  pictures of people teach what a person is much better to features that know a million pictures.
- One pooled term at 1/32 tells every place what the whole picture is (ParseNet, Liu et al. 2015,
  arXiv 1506.04579).
- The decoder adds the projected skip to the enlarged features instead of concatenating them (as in
  feature pyramids, Lin et al. 2017, arXiv 1612.03144): half the work for about the same matte. Its
  dense 3x3 convolutions run close to the peak of CPUs (oneDNN) and of TensorRT.
- A convolutional GRU (Ballas et al. 2016, arXiv 1511.06432) runs on a part of the channels at 1/16,
  1/8 and 1/4 (memory on a part only: Lin et al. 2021, arXiv 2108.11515), the fewer the larger the
  scale: what has to be remembered is mostly where the person is, not each edge.
- The last skip is the picture itself, by a convolution of its 2x2 pixels, beside the encoder's
  features at 1/2; four alpha logits and twelve foreground values per half-size place unfold to full
  size (sub-pixel convolution, Shi et al. 2016, arXiv 1609.05158).

Only Conv, Relu, Clip, Sigmoid, Tanh, Resize with a fixed factor, Concat, Split, ReduceMean,
DepthToSpace and Transpose appear, which OpenVINO and TensorRT both like.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from mattecast.engines.networks.efficientnet import CHANNELS, EfficientNet
from mattecast.engines.networks.layers import ConvNorm

MULTIPLE = 32  # height and width must be multiples of this
State = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Widths:
    """Channels of the decoder; multiples of 16 fill the registers of CPU convolutions."""

    lowest: int = 160  # at 1/32
    scales: tuple[int, int, int, int] = (96, 64, 32, 16)  # at 1/16, 1/8, 1/4, 1/2
    memory: tuple[int, int, int] = (48, 16, 8)  # recurrent channels at 1/16, 1/8, 1/4


@dataclass(frozen=True)
class Prediction:
    """What one call returns; N is batch or batch times frames, values float32.

    logits: (N, 1, H, W) before the sigmoid. alpha: (N, 1, H, W) in [0, 1]. foreground: (N, 3, H, W)
    residual RGB, to be added to picture / 255. coarse: (N, 1, H/16, W/16) segmentation logits, for
    training only.
    """

    logits: Tensor
    alpha: Tensor
    foreground: Tensor
    coarse: Tensor
    state: State


class Context(nn.Module):
    """Adds a projection of the mean over the whole picture to every place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(width, width // 2, 1)
        self.spread = nn.Conv2d(width // 2, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = functional.relu(self.squeeze(x.mean((2, 3), keepdim=True)))
        return functional.relu(x + self.spread(pooled))


class Memory(nn.Module):
    """A convolutional GRU over the last `moving` channels; the others pass through."""

    def __init__(self, width: int, moving: int) -> None:
        super().__init__()
        self.sizes = [width - moving, moving]
        self.gates = nn.Conv2d(2 * moving, 2 * moving, 3, padding=1)
        self.candidate = nn.Conv2d(2 * moving, moving, 3, padding=1)

    def step(self, x: Tensor, state: Tensor) -> Tensor:
        """(N, moving, h, w) input and state to the new state, which is also the output."""
        update, reset = torch.sigmoid(self.gates(torch.cat([x, state], 1))).chunk(2, 1)
        fresh = torch.tanh(self.candidate(torch.cat([x, reset * state], 1)))
        return state + update * (fresh - state)

    def forward(self, x: Tensor, state: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """x: (batch * frames, width, h, w), frames innermost; state: (batch, moving, h, w)."""
        passed, moving = torch.split(x, self.sizes, 1)
        if frames == 1:
            state = self.step(moving, state)
            return torch.cat([passed, state], 1), state
        outputs = []
        for frame in moving.reshape(-1, frames, *moving.shape[1:]).unbind(1):
            state = self.step(frame, state)
            outputs.append(state)
        return torch.cat([passed, torch.stack(outputs, 1).flatten(0, 1)], 1), state


class Merge(nn.Module):
    """Enlarges the lower scale, adds the skip (both projected to one width) and convolves."""

    def __init__(self, low: int, skip: int, width: int) -> None:
        super().__init__()
        self.low = nn.Conv2d(low, width, 1)  # before the enlargement: a quarter of the work
        self.skip = nn.Conv2d(skip, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.layer = ConvNorm(width, width)

    def forward(self, low: Tensor, skip: Tensor, beside: Tensor | None = None) -> Tensor:
        """beside: what else there is at the skip's scale, of the same width as its projection."""
        large = functional.interpolate(
            self.low(low), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        projected = self.skip(skip) if beside is None else self.skip(skip) + beside
        merged: Tensor = self.layer(functional.relu(large + self.norm(projected)))
        return merged


class Heron(nn.Module):
    """The network: `forward` for training on clips, `step` for one frame as exported."""

    def __init__(self, widths: Widths | None = None) -> None:
        super().__init__()
        self.widths = w = widths or Widths()
        half, quarter, eighth, sixteenth, lowest = CHANNELS
        self.encoder = EfficientNet()
        self.lowest = nn.Sequential(ConvNorm(lowest, w.lowest, 1), Context(w.lowest))
        self.merge1 = Merge(w.lowest, sixteenth, w.scales[0])
        self.memory1 = Memory(w.scales[0], w.memory[0])
        self.merge2 = Merge(w.scales[0], eighth, w.scales[1])
        self.memory2 = Memory(w.scales[1], w.memory[1])
        self.merge3 = Merge(w.scales[1], quarter, w.scales[2])
        self.memory3 = Memory(w.scales[2], w.memory[2])
        self.merge4 = Merge(w.scales[2], half, w.scales[3])
        self.picture = nn.Conv2d(3, w.scales[3], 2, stride=2, bias=False)
        self.head = nn.Conv2d(w.scales[3], 16, 3, padding=1)
        self.coarse = nn.Conv2d(w.scales[0], 1, 1)
        # An empty picture is the likeliest: start the mattes near 0.3 and the residual at zero.
        nn.init.constant_(self.head.bias[:4], -0.8)  # type: ignore[index]
        nn.init.zeros_(self.head.bias[4:])  # type: ignore[index]

    def state_shapes(self, height: int, width: int, batch: int = 1) -> tuple[tuple[int, ...], ...]:
        """(batch, channels, h, w) of the three states for a picture size; raises ValueError."""
        if height % MULTIPLE or width % MULTIPLE:
            raise ValueError(f"size must be multiples of {MULTIPLE}, got {height}x{width}")
        scales = zip(self.widths.memory, (16, 8, 4), strict=True)
        return tuple((batch, channels, height // s, width // s) for channels, s in scales)

    def start(self, height: int, width: int, batch: int = 1) -> State:
        """The states before the first frame: zeros on the network's device."""
        like = self.head.weight
        r1, r2, r3 = (like.new_zeros(shape) for shape in self.state_shapes(height, width, batch))
        return r1, r2, r3

    def predict(self, pictures: Tensor, state: State, frames: int) -> Prediction:
        """pictures: (batch * frames, 3, H, W) uint8 RGB, frames innermost."""
        # The encoder's weights were trained at this scale.
        x = pictures.contiguous(memory_format=torch.channels_last).float() * (1 / 128) - 127 / 128
        half, quarter, eighth, sixteenth, lowest = self.encoder(x)
        y, r1 = self.memory1(self.merge1(self.lowest(lowest), sixteenth), state[0], frames)
        coarse = self.coarse(y)
        y, r2 = self.memory2(self.merge2(y, eighth), state[1], frames)
        y, r3 = self.memory3(self.merge3(y, quarter), state[2], frames)
        folded = self.head(self.merge4(y, half, self.picture(x))).float()
        folded, foreground = torch.split(folded, [4, 12], 1)
        # The sigmoid before unfolding, while there are channels to compute on at once.
        logits, alpha, foreground = (
            functional.pixel_shuffle(each, 2)
            for each in (folded, torch.sigmoid(folded), foreground)
        )
        return Prediction(logits, alpha, foreground, coarse.float(), (r1, r2, r3))

    def forward(self, pictures: Tensor, state: State | None = None) -> Prediction:
        """pictures: (batch, frames, H, W, 3) uint8 RGB; results are (batch * frames, C, H, W)."""
        batch, frames, height, width, _ = pictures.shape
        x = pictures.flatten(0, 1).permute(0, 3, 1, 2)
        return self.predict(x, state or self.start(height, width, batch), frames)

    def step(
        self, picture: Tensor, r1: Tensor, r2: Tensor, r3: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """One frame as exported.

        picture: (1, H, W, 3) uint8 RGB. Returns alpha (1, H, W, 1) float32 in [0, 1], foreground
        (1, H, W, 3) float32 residual RGB to add to picture / 255, and the three new states.
        """
        out = self.predict(picture.permute(0, 3, 1, 2), (r1, r2, r3), 1)
        return (out.alpha.permute(0, 2, 3, 1), out.foreground.permute(0, 2, 3, 1), *out.state)
