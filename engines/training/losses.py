"""What training minimises, over alpha, its change in time, the foreground and a coarse outline.

Predictions and targets are (batch * frames, C, H, W) float32, frames innermost, values in [0, 1].
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mattecast.engines.networks.heron import Prediction


@dataclass(frozen=True)
class Weights:
    """How much each term counts."""

    pyramid: float = 0.4
    edges: float = 1.0
    certain: float = 0.15  # cross-entropy of alpha: L1 hardly moves what is surely wrong
    temporal: float = 5.0
    foreground: float = 0.5
    coarse: float = 0.15


@dataclass(frozen=True)
class Target:
    """alpha, valid: (N, 1, H, W); foreground, picture: (N, 3, H, W); known: (N, 1, 1, 1)."""

    alpha: Tensor
    foreground: Tensor
    picture: Tensor
    valid: Tensor
    known: Tensor


def pyramid(difference: Tensor, levels: int = 4) -> Tensor:
    """L1 over a Laplacian pyramid of the difference (Hou and Liu 2019, arXiv 1909.09725); coarser
    levels count double each, as their values are fewer and smaller. Box filters: cheap, and linear,
    so the pyramid of the difference is the difference of the pyramids."""
    total = difference.new_zeros(())
    for level in range(levels):
        small = functional.avg_pool2d(difference, 2)
        large = functional.interpolate(small, scale_factor=2.0, mode="bilinear")
        total = total + 2.0**level * (difference - large).abs().mean()
        difference = small
    return total + 2.0**levels * difference.abs().mean() / 4


def edges(difference: Tensor) -> Tensor:
    """L1 of how the error changes from pixel to pixel: what makes outlines sharp, since one that is
    too soft costs the other terms little."""
    across = difference[..., :, 1:] - difference[..., :, :-1]
    down = difference[..., 1:, :] - difference[..., :-1, :]
    return across.abs().mean() + down.abs().mean()


def temporal(difference: Tensor, frames: int) -> Tensor:
    """Mean square of how the error changes between neighbouring frames: zero for a matte that is
    right or steadily wrong, large for one that flickers."""
    error = difference.reshape(-1, frames, *difference.shape[1:])
    change: Tensor = error[:, 1:] - error[:, :-1]
    return change.square().mean()


def coarse(logits: Tensor, target: Target) -> Tensor:
    """Cross-entropy of the low-resolution outline, where all of a cell is labelled."""
    factor = target.alpha.shape[-1] // logits.shape[-1]
    cells = functional.avg_pool2d(target.alpha, factor)
    sure = (functional.avg_pool2d(target.valid, factor) > 0.99).float()
    return functional.binary_cross_entropy_with_logits(logits, cells, sure)


def foreground(residual: Tensor, target: Target) -> Tensor:
    """L1 of the foreground where a person is, mostly at the soft edge: inside it is the picture."""
    soft = (target.alpha < 0.98).float()
    weight = (target.alpha > 0.02).float() * (0.2 + 0.8 * soft) * target.known
    error = (target.picture + residual - target.foreground).abs().mean(1, keepdim=True)
    return (error * weight).sum() / (weight.sum() + 1.0)


def loss(out: Prediction, target: Target, frames: int, weights: Weights) -> Tensor:
    """The weighted sum; pixels that are not valid do not count anywhere."""
    difference = (out.alpha - target.alpha) * target.valid
    entropy = functional.binary_cross_entropy_with_logits(out.logits, target.alpha, target.valid)
    total = difference.abs().mean() + weights.pyramid * pyramid(difference)
    total = total + weights.edges * edges(difference)
    total = total + weights.certain * entropy + weights.coarse * coarse(out.coarse, target)
    total = total + weights.foreground * foreground(out.foreground, target)
    if frames > 1:
        total = total + weights.temporal * temporal(difference, frames)
    return total


def mad(alpha: Tensor, target: Tensor, valid: Tensor) -> float:
    """Mean absolute difference over the valid pixels, times 1000."""
    error = (alpha.detach() - target).abs() * valid
    return float(error.sum() / valid.sum().clamp(min=1) * 1e3)


def scaled(pixels: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]."""
    return pixels.to(torch.float32) / 255.0
