"""Heron, the embedded default: a small recurrent matting network made of dense 3x3 convolutions.

Shape of the network, with the reason for each part:

- The picture is folded 2x2 into channels first (space-to-depth, Shi et al. 2016, arXiv 1609.05158,
  used backwards), so that full-size detail costs half-size work.
- The encoder is a plain residual network (He et al. 2016, arXiv 1512.03385) of dense 3x3
  convolutions: on a CPU through oneDNN, and in TensorRT, they run several times closer to the peak
  than depthwise ones. Most of the weights sit at 1/16 and 1/32, where they are cheap.
- One pooled term at 1/32 tells every place what the whole picture is (ParseNet, Liu et al. 2015,
  arXiv 1506.04579).
- The decoder adds the projected skip to the enlarged features instead of concatenating them (as in
  feature pyramids, Lin et al. 2017, arXiv 1612.03144): half the work for about the same matte.
- A convolutional GRU (Ballas et al. 2016, arXiv 1511.06432) runs on a part of the channels at 1/16,
  1/8 and 1/4 (memory on a part only: Lin et al. 2021, arXiv 2108.11515), the fewer the larger the
  scale: what has to be remembered is mostly where the person is, not each edge.
- Four alpha logits and twelve foreground values per half-size place unfold to full size.

Only Conv, Relu, Sigmoid, Tanh, Resize with a fixed factor, Concat, Split, ReduceMean, Reshape and
Transpose appear, which OpenVINO and TensorRT both like.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

MULTIPLE = 32  # height and width must be multiples of this
State = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Widths:
    """Channels per scale; multiples of 16 fill the vector registers of the CPU convolutions."""

    half: int = 16
    quarter: int = 32
    eighth: int = 64
    sixteenth: int = 128
    lowest: int = 160
    decoder: int = 96  # at 1/16; the decoder's other scales use the encoder's widths
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


def conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size (or halves it), for a norm to follow."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Layer(nn.Module):
    """Convolution, norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs, stride=stride)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)))


class Block(nn.Module):
    """Two convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Layer(width, width)
        self.conv = conv(width, width)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.norm(self.conv(self.first(x))))


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
        self.skip = conv(skip, width, kernel=1)
        self.norm = nn.BatchNorm2d(width)
        self.layer = Layer(width, width)

    def forward(self, low: Tensor, skip: Tensor) -> Tensor:
        large = functional.interpolate(
            self.low(low), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        merged: Tensor = self.layer(functional.relu(large + self.norm(self.skip(skip))))
        return merged


class Heron(nn.Module):
    """The network: `forward` for training on clips, `step` for one frame as exported."""

    def __init__(self, widths: Widths | None = None) -> None:
        super().__init__()
        self.widths = w = widths or Widths()
        self.stem = Layer(12, w.half)
        self.quarter = nn.Sequential(Layer(w.half, w.quarter, 2), Layer(w.quarter, w.quarter))
        self.eighth = nn.Sequential(Layer(w.quarter, w.eighth, 2), Block(w.eighth))
        self.sixteenth = nn.Sequential(
            Layer(w.eighth, w.sixteenth, 2), Block(w.sixteenth), Block(w.sixteenth)
        )
        self.lowest = nn.Sequential(
            Layer(w.sixteenth, w.lowest, 2), Block(w.lowest), Context(w.lowest), Block(w.lowest)
        )
        self.merge1 = Merge(w.lowest, w.sixteenth, w.decoder)
        self.memory1 = Memory(w.decoder, w.memory[0])
        self.merge2 = Merge(w.decoder, w.eighth, w.eighth)
        self.memory2 = Memory(w.eighth, w.memory[1])
        self.merge3 = Merge(w.eighth, w.quarter, w.quarter)
        self.memory3 = Memory(w.quarter, w.memory[2])
        self.merge4 = Merge(w.quarter, w.half, w.half)
        self.head = nn.Conv2d(w.half, 16, 3, padding=1)
        self.coarse = nn.Conv2d(w.decoder, 1, 1)
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
        r1, r2, r3 = (
            like.new_zeros(shape) for shape in self.state_shapes(height, width, batch)
        )
        return r1, r2, r3

    def predict(self, pictures: Tensor, state: State, frames: int) -> Prediction:
        """pictures: (batch * frames, 3, H, W) uint8 RGB, frames innermost."""
        folded = functional.pixel_unshuffle(pictures, 2)  # while it is small: still uint8
        folded = folded.float().contiguous(memory_format=torch.channels_last)
        half = self.stem(folded * (4.0 / 255.0) - 1.8)
        quarter = self.quarter(half)
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        y, r1 = self.memory1(self.merge1(self.lowest(sixteenth), sixteenth), state[0], frames)
        coarse = self.coarse(y)
        y, r2 = self.memory2(self.merge2(y, eighth), state[1], frames)
        y, r3 = self.memory3(self.merge3(y, quarter), state[2], frames)
        unfolded = functional.pixel_shuffle(self.head(self.merge4(y, half)).float(), 2)
        logits, foreground = torch.split(unfolded, [1, 3], 1)
        return Prediction(logits, torch.sigmoid(logits), foreground, coarse.float(), (r1, r2, r3))

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
