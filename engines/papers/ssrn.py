"""SSRN: a self-supervised refinement of DLMN-G's matte, trained against a discriminator.

"Deep Residual Network for High-Resolution Background Matting" (El Abdellaoui and Kachbal, Studies
in Informatics and Control 30(3), 2021), after AlphaGAN (Lutz et al., BMVC 2018, arXiv 1807.10088).

Generator: an encoder like ResNet-101 (He et al. 2016, arXiv 1512.03385), whose third and fourth
stages are dilated by 2 and 4 instead of halving the size, so that its features are at 1/8; and a
decoder with skip connections from the encoder's larger scales. It takes the picture and a matte
that may be wrong, and gives a correction of that matte's logit. The correction starts at zero (the
papers start anew), so training leaves DLMN-G's matte only for a gain.

Discriminator (`judge` in checkpoints): a patch discriminator (Isola et al. 2017, arXiv 1611.07004)
that distinguishes photographs from composites over other backgrounds. It learns in the same
backward pass as the generator: a layer that reverses gradients (Ganin and Lempitsky 2015, arXiv
1409.7495) turns the minimax game of the paper's GAN term into one minimum, so the common training
loop serves.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mattecast.engines.networks.layers import ConvNorm
from mattecast.engines.papers.dlmn import Dlmn, DlmnWidths, cues_and_state
from mattecast.engines.papers.still import planes

# Blocks, stride and dilation of ResNet-101's four stages.
STAGES = ((3, 1, 1), (4, 2, 1), (23, 1, 2), (3, 1, 4))
EXPANSION = 4
# Alpha is kept this far from 0 and 1 before its logit is taken.
EDGE = 1e-3


@dataclass(frozen=True)
class SsrnWidths:
    """The sizes of the network.

    width: channels after the first convolution (64 in ResNet-101). blocks: of each stage. judge:
    channels after the discriminator's first convolution. base: DLMN-G's sizes.
    """

    width: int = 64
    blocks: tuple[int, int, int, int] = (3, 4, 23, 3)
    judge: int = 64
    base: DlmnWidths = field(default_factory=DlmnWidths)


@dataclass(frozen=True)
class Refined:
    """What one call returns, (N, C, H, W) float32.

    logits, alpha: refined. before: DLMN-G's alpha. foreground: DLMN-G's residual RGB. judge: the
    discriminator.
    """

    logits: Tensor
    alpha: Tensor
    before: Tensor
    foreground: Tensor
    judge: nn.Module


class Bottleneck(nn.Module):
    """ResNet's bottleneck: 1x1, 3x3 and 1x1 convolutions, and a shortcut (`beside`)."""

    def __init__(self, inputs: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = EXPANSION * width
        self.body = nn.Sequential(
            ConvNorm(inputs, width, 1),
            ConvNorm(width, width, stride=stride, dilation=dilation),
            ConvNorm(width, outputs, 1, activation=nn.Identity),
        )
        same = stride == 1 and inputs == outputs
        self.beside: nn.Module = (
            nn.Identity()
            if same
            else ConvNorm(inputs, outputs, 1, stride=stride, activation=nn.Identity)
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.beside(x) + self.body(x))


class Encoder(nn.Module):
    """(N, 4, H, W) to features at 1/2, 1/4 and 1/8 of the size."""

    def __init__(self, width: int, blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.stem = ConvNorm(4, width, 7, stride=2)
        inputs, stages = width, []
        for index, ((_, stride, dilation), count) in enumerate(zip(STAGES, blocks, strict=True)):
            inner, parts = width << index, []
            for block in range(count):
                parts.append(Bottleneck(inputs, inner, 1 if block else stride, dilation))
                inputs = EXPANSION * inner
            stages.append(nn.Sequential(*parts))
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        half = self.stem(x)
        x = quarter = self.stages[0](functional.max_pool2d(half, 3, 2, 1))
        for stage in self.stages[1:]:
            x = stage(x)
        return half, quarter, x


class Generator(nn.Module):
    """Picture and matte in; out come the logits to add to the matte's."""

    def __init__(self, width: int, blocks: tuple[int, int, int, int]) -> None:
        super().__init__()
        self.encoder = Encoder(width, blocks)
        self.lowest = ConvNorm(EXPANSION * 8 * width, 4 * width, 1)
        self.at_quarter = ConvNorm(4 * width + EXPANSION * width, 2 * width)
        self.at_half = ConvNorm(2 * width + width, width)
        self.at_whole = ConvNorm(width + 4, max(8, width // 2))
        self.head = nn.Conv2d(max(8, width // 2), 1, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(N, 4, H, W) RGB and alpha in [0, 1] to (N, 1, H, W) logits."""
        half, quarter, low = self.encoder(x)
        y = self.at_quarter(torch.cat([resized_like(self.lowest(low), quarter), quarter], 1))
        y = self.at_half(torch.cat([resized_like(y, half), half], 1))
        logits: Tensor = self.head(self.at_whole(torch.cat([resized_like(y, x), x], 1)))
        return logits


class Discriminator(nn.Sequential):
    """(N, 3, H, W) in [0, 1] to logits (N, 1, h, w), above 0 where a patch looks photographed."""

    def __init__(self, width: int) -> None:
        super().__init__(
            nn.Conv2d(3, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.InstanceNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 4 * width, 4, 2, 1),
            nn.InstanceNorm2d(4 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 3, 1, 1),
        )


class Ssrn(nn.Module):
    """DLMN-G, which is frozen, and the refinement of its matte."""

    def __init__(self, widths: SsrnWidths | None = None) -> None:
        super().__init__()
        self.widths = w = widths or SsrnWidths()
        self.base = Dlmn(w.base).requires_grad_(False)
        self.generator = Generator(w.width, w.blocks)
        self.judge = Discriminator(w.judge)

    def refine(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Refined logits (N, 1, H, W) of pictures (N, 3, H, W) and mattes (N, 1, H, W)."""
        correction: Tensor = self.generator(torch.cat([x, alpha], 1)).float()
        return torch.logit(alpha.float().clamp(EDGE, 1 - EDGE)) + correction

    def forward(self, pictures: Tensor) -> Refined:
        """Matte clips of (batch, frames, H, W, 3) uint8 RGB pictures.

        In training mode the generator sees degraded mattes, so that it learns to correct them and
        not to copy them.
        """
        with torch.no_grad():
            base = self.base(pictures)
        x = planes(pictures)
        coarse = degraded(base.alpha) if self.training else base.alpha
        logits = self.refine(x, coarse)
        return Refined(logits, torch.sigmoid(logits), base.alpha, base.foreground, self.judge)

    def train(self, mode: bool = True) -> "Ssrn":
        super().train(mode)
        self.base.eval()
        return self

    def start(self, height: int, width: int) -> Tensor:
        """See Dlmn.start."""
        return self.base.start(height, width)

    def step(self, picture: Tensor, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame as exported; see Dlmn.step."""
        x = picture.permute(0, 3, 1, 2).float() / 255.0
        cues, motion = cues_and_state(x, motion)
        base = self.base.predict(x, self.base.segment(x), cues)
        alpha = torch.sigmoid(self.refine(x, base.alpha))
        return (alpha.permute(0, 2, 3, 1), base.foreground.permute(0, 2, 3, 1), motion)


def resized_like(low: Tensor, like: Tensor) -> Tensor:
    """Features (N, C, h, w) up-sampled bilinearly to the size of other features."""
    return functional.interpolate(low, like.shape[2:], mode="bilinear", align_corners=False)


def degraded(alpha: Tensor) -> Tensor:
    """Mattes (N, 1, H, W) in [0, 1], each made worse at random by torch's global generator.

    A matte may be thresholded, eroded or dilated by up to 1/32 of the height, and blurred.
    """
    return torch.cat([_degraded_one(one[None]) for one in alpha])


def _degraded_one(alpha: Tensor) -> Tensor:
    hard, shape, soft, reach, level = torch.rand(5).tolist()
    radius = 1 + int(reach * alpha.shape[2] / 32)
    side, pad = 2 * radius + 1, radius
    if hard < 0.5:
        alpha = (alpha > 0.2 + 0.6 * level).to(alpha.dtype)
    if shape < 0.35:
        alpha = -functional.max_pool2d(-alpha, side, 1, pad)
    elif shape < 0.7:
        alpha = functional.max_pool2d(alpha, side, 1, pad)
    if soft < 0.6:
        alpha = functional.avg_pool2d(alpha, side, 1, pad, count_include_pad=False)
    return alpha


class ReversedGradient(torch.autograd.Function):
    """The identity, whose gradient is multiplied by -share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        ctx.share = share
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.share * gradient, None


def reverse_gradient(x: Tensor, share: float) -> Tensor:
    """x unchanged; whatever computed x gets -share times the gradient that arrives here."""
    y: Tensor = ReversedGradient.apply(x, share)  # type: ignore[no-untyped-call]
    return y
