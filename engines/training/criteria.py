"""The loss of each kind of network, chosen by what it returns.

Shapes are those of mattecast.engines.training.losses: (batch * frames, C, H, W) float32.
"""

from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mattecast.engines.networks.heron import Prediction
from mattecast.engines.papers.dlmn import Matte
from mattecast.engines.papers.ssrn import Refined, turned
from mattecast.engines.papers.still import Mask
from mattecast.engines.training import losses
from mattecast.engines.training.losses import Target, Weights


@dataclass(frozen=True)
class Adversarial(Weights):
    """SSRN's weights. predicted, composed: of equations (2); gan: of equation (3); outside: of
    alpha where even the coarse matte, grown, has none."""

    predicted: float = 1.0
    composed: float = 1.0
    gan: float = 0.02
    outside: float = 1.0


@singledispatch
def loss(out: object, target: Target, frames: int, weights: Weights) -> Tensor:
    """What training minimises; pixels that are not valid do not count. frames: of each clip."""
    raise TypeError(f"no loss is known for {type(out).__name__}")


@loss.register
def _(out: Prediction, target: Target, frames: int, weights: Weights) -> Tensor:
    return losses.loss(out, target, frames, weights)


@loss.register
def _(out: Mask, target: Target, frames: int, weights: Weights) -> Tensor:
    """Binary cross-entropy, the portrait study's loss."""
    return entropy(out.logits, target)


@loss.register
def _(out: Matte, target: Target, frames: int, weights: Weights) -> Tensor:
    """DLMN-G, as Background Matting trains its generator (Sengupta et al. 2020, equation 1): L1 of
    alpha and of its gradients, of the foreground where there is any, and of the picture put
    together again. Cross-entropy is added, for L1 hardly moves a matte that is surely wrong."""
    difference = (out.alpha - target.alpha) * target.valid
    across = (difference[..., 1:] - difference[..., :-1]).abs().mean()
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
    total = difference.abs().mean() + across + down + 0.5 * entropy(out.logits, target)
    return total + 0.5 * losses.foreground(out.foreground, target) + 0.5 * again(out.alpha, target)


@loss.register
def _(out: Refined, target: Target, frames: int, weights: Weights) -> Tensor:
    """SSRN. Where the truth is known, alpha is compared with it; on photographs with DLMN-G's own
    matte, which is the self-supervision. Then the composite is compared, and judged."""
    chosen = weights if isinstance(weights, Adversarial) else Adversarial()
    goal = target.known * target.alpha + (1 - target.known) * out.before
    total = chosen.predicted * ((out.alpha - goal).abs() * target.valid).mean()
    total = total + chosen.composed * composed(out, goal, target)
    total = total + chosen.outside * outside(out)
    return total + judged(out, target, chosen.gan)


def entropy(logits: Tensor, target: Target) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, target.alpha, target.valid)


def score(out: Any, target: Target, measure: str) -> float:
    """Error of held-out pictures, times 1000: their MAD, or of a portrait network their BCE."""
    if measure == "BCE":
        return 1e3 * float(entropy(out.logits.detach(), target))
    return losses.mad(out.alpha, target.alpha, target.valid)


def again(alpha: Tensor, target: Target) -> Tensor:
    """L1 between the picture and true foreground over true background at the predicted alpha; only
    where the foreground is known, and only where alpha is soft does this say anything new."""
    difference = (alpha - target.alpha) * (target.foreground - behind(target))
    return (difference.abs().mean(1, keepdim=True) * target.valid * target.known).mean()


def behind(target: Target) -> Tensor:
    """The background that the picture's own equation leaves, (N, 3, H, W); the picture itself
    where alpha is full and nothing can be seen of it."""
    alpha = target.alpha
    seen = (target.picture - alpha * target.foreground) / (1 - alpha).clamp(min=0.05)
    return torch.where(alpha < 0.95, seen, target.picture).clamp(0, 1)


def composed(out: Refined, goal: Tensor, target: Target) -> Tensor:
    """L1 between the composites of both alphas over another background: the next picture's of the
    batch."""
    front, back = (target.picture + out.foreground).clamp(0, 1), elsewhere(target)
    difference = ((out.alpha - goal) * (front - back)).abs().mean(1, keepdim=True)
    return (difference * target.valid).mean()


def elsewhere(target: Target) -> Tensor:
    """For each picture another one of the batch, left and right exchanged."""
    return target.picture.roll(1, 0).flip(-1)


def outside(out: Refined) -> Tensor:
    """Mean alpha well outside the coarse matte.

    With alpha = 1 everywhere the composite is the photograph itself and no judge can object: the
    collapse the paper warns of. Alpha has to be paid for where even the coarse matte, grown by a
    sixteenth of the height, shows nobody.
    """
    radius = max(1, out.before.shape[2] // 16)
    grown = functional.max_pool2d(out.before, 2 * radius + 1, 1, radius)
    empty = (grown < 0.05).float()
    return (out.alpha * empty).sum() / (empty.sum() + 1.0)


def judged(out: Refined, target: Target, share: float) -> Tensor:
    """Equation (3): the judge's cross-entropy on photographs and composites. The judge learns from
    it in full; the refinement learns the opposite, `share` times."""
    front, back = (target.picture + out.foreground).clamp(0, 1), elsewhere(target)
    composite = out.alpha * front + (1 - out.alpha) * back
    real, made = out.judge(target.picture).float(), out.judge(turned(composite, share)).float()
    return functional.softplus(-real).mean() + functional.softplus(made).mean()
