"""SSRN: a self-supervised refinement of DLMN-G's matte, trained against a judge of composites.

"Deep Residual Network for High-Resolution Background Matting" (El Abdellaoui and Kachbal, Studies
in Informatics and Control 30(3), 2021), after AlphaGAN (Lutz et al., BMVC 2018, arXiv 1807.10088).

Generator: an encoder like ResNet-101 (He et al. 2016, arXiv 1512.03385) whose third and fourth
block are dilated by 2 and 4 instead of halved, so that features come at 1/8; a decoder with skip
connections from the encoder's larger scales. It sees the picture and a matte that may be wrong, and
gives what must be added to that matte's logit. Starting from 'nothing to add' (the papers start
anew) means that training can only move away from DLMN-G for a gain.

Judge: a patch discriminator (Isola et al. 2017, arXiv 1611.07004) that tells photographs from
composites over other backgrounds. It learns in the same backward pass as the generator: a layer
that turns gradients around (Ganin and Lempitsky 2015, arXiv 1409.7495) makes one minimum of the
minimax game of the paper's GAN term, so that the one training loop serves here too.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mattecast.engines.networks.layers import ConvNorm
from mattecast.engines.papers.dlmn import Dlmn, DlmnWidths, remembered
from mattecast.engines.papers.still import planes

# Blocks, stride and dilation of ResNet-101's four stages.
STAGES = ((3, 1, 1), (4, 2, 1), (23, 1, 2), (3, 1, 4))
EXPANSION = 4
# Alpha is kept this far from 0 and 1 before its logit is taken.
EDGE = 1e-3


@dataclass(frozen=True)
class SsrnWidths:
    """width: channels after the first convolution (64 in ResNet-101); blocks: of each stage;
    judge: channels after the judge's first convolution."""

    width: int = 64
    blocks: tuple[int, int, int, int] = (3, 4, 23, 3)
    judge: int = 64
    base: DlmnWidths = field(default_factory=DlmnWidths)


@dataclass(frozen=True)
class Refined:
    """What one call returns, (N, C, H, W) float32. alpha, logits: refined; before: DLMN-G's alpha;
    given: what the generator was shown in its place; foreground: DLMN-G's residual RGB; judge: the
    network that tells photographs from composites."""

    logits: Tensor
    alpha: Tensor
    before: Tensor
    given: Tensor
    foreground: Tensor
    judge: nn.Module


class Bottleneck(nn.Module):
    """ResNet's 1x1, 3x3, 1x1 beside an identity."""

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
    """Picture and matte in, the logits to add to the matte out."""

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
        """(N, 4, H, W) in [0, 1] to (N, 1, H, W)."""
        half, quarter, low = self.encoder(x)
        y = self.at_quarter(torch.cat([beside(self.lowest(low), quarter), quarter], 1))
        y = self.at_half(torch.cat([beside(y, half), half], 1))
        logits: Tensor = self.head(self.at_whole(torch.cat([beside(y, x), x], 1)))
        return logits


class Judge(nn.Sequential):
    """(N, 3, H, W) in [0, 1] to logits (N, 1, h, w): above 0 where a patch looks photographed."""

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
    """DLMN-G, which stays as it is, and the refinement behind it."""

    def __init__(self, widths: SsrnWidths | None = None) -> None:
        super().__init__()
        self.widths = w = widths or SsrnWidths()
        self.base = Dlmn(w.base).requires_grad_(False)
        self.generator = Generator(w.width, w.blocks)
        self.judge = Judge(w.judge)

    def refine(self, x: Tensor, given: Tensor) -> Tensor:
        """Refined logits (N, 1, H, W) of pictures (N, 3, H, W) and mattes (N, 1, H, W)."""
        correction: Tensor = self.generator(torch.cat([x, given], 1)).float()
        return torch.logit(given.float().clamp(EDGE, 1 - EDGE)) + correction

    def forward(self, pictures: Tensor) -> Refined:
        """pictures: (batch, frames, H, W, 3) uint8 RGB. While training, the generator is shown
        mattes made worse, so that it learns to mend and not to copy."""
        with torch.no_grad():
            base = self.base(pictures)
        x = planes(pictures)
        given = imperfect(base.alpha) if self.training else base.alpha
        logits = self.refine(x, given)
        return Refined(
            logits, torch.sigmoid(logits), base.alpha, given, base.foreground, self.judge
        )

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
        cues, motion = remembered(x, motion)
        base = self.base.predict(x, self.base.segment(x), cues)
        alpha = torch.sigmoid(self.refine(x, base.alpha))
        return (alpha.permute(0, 2, 3, 1), base.foreground.permute(0, 2, 3, 1), motion)


def beside(low: Tensor, like: Tensor) -> Tensor:
    """Bilinear up-sampling to the size of another."""
    return functional.interpolate(low, like.shape[2:], mode="bilinear", align_corners=False)


def imperfect(alpha: Tensor) -> Tensor:
    """Mattes (N, 1, H, W) made worse at random, each in its own way: thresholded, eroded or
    dilated by up to 1/32 of the height, blurred; torch's own generator decides."""
    return torch.cat([_worse(one[None]) for one in alpha])


def _worse(alpha: Tensor) -> Tensor:
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


class Turned(torch.autograd.Function):
    """The identity, whose gradient comes back turned around and scaled."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: float) -> Tensor:
        ctx.share = share
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.share * gradient, None


def turned(x: Tensor, share: float) -> Tensor:
    """x, for a judge to learn from while whoever made x learns the opposite, `share` times."""
    y: Tensor = Turned.apply(x, share)  # type: ignore[no-untyped-call]
    return y
