"""DLMN-G: alpha and foreground from a picture, its soft segmentation and four gray neighbours.

"Deep Residual Network for High-Resolution Background Matting" (El Abdellaoui and Kachbal, Studies
in Informatics and Control 30(3), 2021), whose generator follows Background Matting (Sengupta et
al., CVPR 2020, arXiv 2004.00626), with motion instead of a picture of the empty scene.

Three encoders (3x3 convolutions, norm, ReLU, to 256 feature maps at a quarter of the size) take the
picture, the soft segmentation and the motion cues. A combinator makes 64 features of the picture's
and one other's; a 1x1 convolution brings the picture's own 256 and both combinators' features back
to 256. Residual blocks follow, then two branches of residual blocks and up-sampling: one gives
alpha, the other the foreground, here as what must be added to the picture. The papers leave the
number of blocks open; Background Matting's code has seven before the branches and three in each.

Motion cues are four gray frames. The paper takes t-2 to t+2, which is read as t-2, t-1, t+1 and
t+2, since the present frame goes in by itself, in colour. Live, nothing is known of the future, and
the four frames before serve, t-4 to t-1.

The soft segmentation comes from a DeepLabV3+ inside, which is trained before and then frozen. So
the network takes nothing but pictures, and its recurrent state is the gray frames it needs.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from mattecast.engines.networks.layers import ConvNorm
from mattecast.engines.papers.deeplab import DeepLab, DeepLabWidths, enlarged
from mattecast.engines.papers.still import planes

MULTIPLE = 32
# The four gray frames, as offsets in time: the paper's, and those for live use.
CENTRED, CAUSAL = (-2, -1, 1, 2), (-4, -3, -2, -1)
# Brightness as the eye weighs it, BT.601, as OpenCV's gray.
GRAY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class DlmnWidths:
    """The sizes of the network.

    width: feature maps of the encoders. shared: of each combinator. blocks: residual blocks before
    the branches, and in each branch. centred: motion cues from both sides in time, which cannot run
    live.
    """

    width: int = 256
    shared: int = 64
    blocks: tuple[int, int] = (7, 3)
    centred: bool = False
    segmentation: DeepLabWidths = field(default_factory=DeepLabWidths)


@dataclass(frozen=True)
class Matte:
    """What one call returns, (N, C, H, W) float32.

    logits: of alpha. foreground: residual RGB to be added to picture / 255.
    """

    logits: Tensor
    alpha: Tensor
    foreground: Tensor


class Residual(nn.Module):
    """Two convolutions and an identity shortcut (He et al. 2016, arXiv 1512.03385)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNorm(width, width), ConvNorm(width, width, activation=nn.Identity)
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.body(x))


def encoder(inputs: int, width: int) -> nn.Sequential:
    """(N, inputs, H, W) to (N, width, H/4, W/4)."""
    return nn.Sequential(
        ConvNorm(inputs, width // 4),
        ConvNorm(width // 4, width // 2, stride=2),
        ConvNorm(width // 2, width, stride=2),
    )


class Branch(nn.Module):
    """Residual blocks, then up-sampling to full size."""

    def __init__(self, width: int, outputs: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Residual(width) for _ in range(blocks)))
        self.middle = ConvNorm(width, width // 2)
        self.last = ConvNorm(width // 2, width // 4)
        self.head = nn.Conv2d(width // 4, outputs, 3, padding=1)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        x = self.middle(enlarged(self.blocks(x), 2))
        y: Tensor = self.head(self.last(enlarged(x, 2)))
        return y


class Dlmn(nn.Module):
    """The network: `forward` on clips, `step` for one frame as exported."""

    def __init__(self, widths: DlmnWidths | None = None) -> None:
        super().__init__()
        self.widths = w = widths or DlmnWidths()
        self.segmentation = DeepLab(w.segmentation).requires_grad_(False)
        self.picture, self.soft, self.motion = (encoder(n, w.width) for n in (3, 1, 4))
        self.with_soft, self.with_motion = (ConvNorm(2 * w.width, w.shared, 1) for _ in range(2))
        self.join = ConvNorm(w.width + 2 * w.shared, w.width, 1)
        common, own = w.blocks
        self.body = nn.Sequential(*(Residual(w.width) for _ in range(common)))
        self.alpha, self.foreground = (Branch(w.width, n, own) for n in (1, 3))

    def predict(self, x: Tensor, soft: Tensor, motion: Tensor) -> Matte:
        """x: (N, 3, H, W), soft: (N, 1, H, W), motion: (N, 4, H, W), float32 in [0, 1]."""
        picture = self.picture(x)
        pairs = ((self.with_soft, self.soft(soft)), (self.with_motion, self.motion(motion)))
        shared = [combinator(torch.cat([picture, other], 1)) for combinator, other in pairs]
        y = self.body(self.join(torch.cat([picture, *shared], 1)))
        logits = self.alpha(y).float()
        return Matte(logits, torch.sigmoid(logits), self.foreground(y).float())

    def segment(self, x: Tensor) -> Tensor:
        """The soft segmentation (N, 1, H, W) in [0, 1]; no gradient passes through it."""
        with torch.no_grad():
            return torch.sigmoid(self.segmentation.logits(x).float())

    def forward(self, pictures: Tensor) -> Matte:
        """pictures: (batch, frames, H, W, 3) uint8 RGB; results are (batch * frames, C, H, W)."""
        height, width = pictures.shape[2:4]
        check_size(height, width)
        x = planes(pictures)
        clip = gray(x).reshape(*pictures.shape[:4])
        motion = neighbours(clip, CENTRED if self.widths.centred else CAUSAL).flatten(0, 1)
        return self.predict(x, self.segment(x), motion)

    def train(self, mode: bool = True) -> "Dlmn":
        super().train(mode)
        self.segmentation.eval()
        return self

    def start(self, height: int, width: int) -> Tensor:
        """The state before the first frame: zeros, which mean that there was no frame yet."""
        check_size(height, width)
        return torch.zeros(1, 4, height, width)

    def step(self, picture: Tensor, motion: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One frame as exported.

        picture: (1, H, W, 3) uint8 RGB. motion: (1, 4, H, W), the last four gray frames plus 1,
        oldest first; 0 where there was none. Returns alpha (1, H, W, 1) in [0, 1], foreground
        (1, H, W, 3) residual RGB, and the next motion.
        """
        x = picture.permute(0, 3, 1, 2).float() / 255.0
        cues, motion = cues_and_state(x, motion)
        out = self.predict(x, self.segment(x), cues)
        return (out.alpha.permute(0, 2, 3, 1), out.foreground.permute(0, 2, 3, 1), motion)


def check_size(height: int, width: int) -> None:
    """Raise ValueError unless both sides are multiples of MULTIPLE."""
    if height % MULTIPLE or width % MULTIPLE:
        raise ValueError(f"size must be multiples of {MULTIPLE}, got {height}x{width}")


def gray(x: Tensor) -> Tensor:
    """Luma (N, 1, H, W) of RGB (N, 3, H, W)."""
    return sum(weight * x[:, i : i + 1] for i, weight in enumerate(GRAY))  # type: ignore[return-value]


def neighbours(clip: Tensor, offsets: tuple[int, ...]) -> Tensor:
    """Motion cues (batch, frames, 4, H, W) of gray clips (batch, frames, H, W).

    offsets: the four frames, relative to each frame. Beyond the ends of a clip its first or last
    frame is repeated.
    """
    frames = clip.shape[1]
    moments = [[min(max(t + o, 0), frames - 1) for o in offsets] for t in range(frames)]
    return torch.stack([clip[:, moment] for moment in moments], 1)


def cues_and_state(x: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
    """The motion cues of a frame, and the next state, from the state; see Dlmn.step."""
    now = gray(x)
    present = motion.clamp(0.0, 1.0)  # 0 or 1, because gray plus 1 is at least 1
    # The first frame is repeated for the frames before it, in later steps too.
    cues = present * (motion - 1.0) + (1.0 - present) * now
    return cues, torch.cat([cues[:, 1:], now], 1) + 1.0
