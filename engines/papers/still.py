"""What the papers' networks of single pictures share: pictures in, one plane of alpha out."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# The papers scale pictures to 0..1.
LEVELS = 255.0


@dataclass(frozen=True)
class Mask:
    """What one call returns. logits: (N, 1, H, W) float32 before the sigmoid; alpha: after it."""

    logits: Tensor
    alpha: Tensor


def planes(pictures: Tensor) -> Tensor:
    """(batch, frames, H, W, 3) uint8 RGB to (batch * frames, 3, H, W) float32 in [0, 1]."""
    x = pictures.flatten(0, 1).permute(0, 3, 1, 2).float() / LEVELS
    return x.contiguous(memory_format=torch.channels_last)


def mask(logits: Tensor) -> Mask:
    """The Mask of logits of any float type."""
    exact = logits.float()
    return Mask(exact, torch.sigmoid(exact))


class StillNetwork(nn.Module):
    """A network of single pictures. Subclasses give `logits`; sides are multiples of MULTIPLE."""

    MULTIPLE = 32

    def logits(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) float32 in [0, 1] to (N, 1, H, W)."""
        raise NotImplementedError

    def forward(self, pictures: Tensor) -> Mask:
        """pictures: (batch, frames, H, W, 3) uint8 RGB; each frame is matted by itself."""
        height, width = pictures.shape[2:4]
        if height % self.MULTIPLE or width % self.MULTIPLE:
            raise ValueError(f"size must be multiples of {self.MULTIPLE}, got {height}x{width}")
        return mask(self.logits(planes(pictures)))

    def matte(self, picture: Tensor) -> Tensor:
        """What is exported: (1, H, W, 3) float32 RGB in [0, 1] to alpha (1, H, W, 1) in [0, 1]."""
        alpha = torch.sigmoid(self.logits(picture.permute(0, 3, 1, 2)))
        return alpha.permute(0, 2, 3, 1)


def he_normal(module: nn.Module) -> None:
    """Initialise all convolutions: weights as in He et al. 2015 (arXiv 1502.01852), biases zero."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
