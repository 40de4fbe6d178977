"""The losses of the papers' networks.

Tensors are those of mattecast.engines.training.losses: (batch * frames, C, H, W) float32. Pixels
whose `valid` is 0 do not count.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mattecast.engines.papers.dlmn import Matte
from mattecast.engines.papers.ssrn import Refined, reverse_gradient
from mattecast.engines.papers.still import Mask
from mattecast.engines.training import losses
from mattecast.engines.training.losses import Target, Weights


@dataclass(frozen=True)
class Adversarial(Weights):
    """The weights of SSRN's loss.

    predicted, composed: of the two terms of equation (2). gan: of equation (3). outside: of alpha
    where even the coarse matte, grown, has none.
    """

    predicted: float = 1.0
    composed: float = 1.0
    gan: float = 0.02
    outside: float = 1.0


def portrait_loss(out: Mask, target: Target) -> Tensor:
    """Binary cross-entropy, the loss of the portrait study."""
    return cross_entropy(out.logits, target)


def dlmn_loss(out: Matte, target: Target) -> Tensor:
    """DLMN-G's loss, as Background Matting trains its generator.

    It is equation 1 of Sengupta et al. 2020 (arXiv 2004.00626): L1 of alpha and of its gradients,
    of the foreground where it is known, and of the picture composed again. Cross-entropy is added,
    because L1 hardly moves a matte that is wrong and sure.
    """
    difference = (out.alpha - target.alpha) * target.valid
    across = (difference[..., 1:] - difference[..., :-1]).abs().mean()
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
    total = difference.abs().mean() + across + down + 0.5 * cross_entropy(out.logits, target)
    colours = losses.foreground(out.foreground, target)
    return total + 0.5 * colours + 0.5 * recomposition_loss(out.alpha, target)


def ssrn_loss(out: Refined, target: Target, weights: Weights) -> Tensor:
    """SSRN's loss.

    Where the truth is known, alpha is compared with it; on photographs it is compared with DLMN-G's
    own matte, which is the self-supervision. The composite is compared as well, and judged by the
    discriminator.
    """
    chosen = weights if isinstance(weights, Adversarial) else Adversarial()
    goal = target.known * target.alpha + (1 - target.known) * out.before
    total = chosen.predicted * ((out.alpha - goal).abs() * target.valid).mean()
    total = total + chosen.composed * composite_loss(out, goal, target)
    total = total + chosen.outside * outside_loss(out)
    return total + adversarial_loss(out, target, chosen.gan)


def cross_entropy(logits: Tensor, target: Target) -> Tensor:
    """Binary cross-entropy between alpha's logits and the true alpha."""
    return functional.binary_cross_entropy_with_logits(logits, target.alpha, target.valid)


def recomposition_loss(alpha: Tensor, target: Target) -> Tensor:
    """L1 between the picture and the true foreground over the true background, mixed by `alpha`.

    It counts where the foreground is known. Only where alpha is soft does it add to the L1 of
    alpha.
    """
    difference = (alpha - target.alpha) * (target.foreground - background_of(target))
    return (difference.abs().mean(1, keepdim=True) * target.valid * target.known).mean()


def background_of(target: Target) -> Tensor:
    """The background that the matting equation gives, (N, 3, H, W) in [0, 1].

    Where alpha is nearly 1 the background is hidden, and the picture itself is returned.
    """
    alpha = target.alpha
    visible = (target.picture - alpha * target.foreground) / (1 - alpha).clamp(min=0.05)
    return torch.where(alpha < 0.95, visible, target.picture).clamp(0, 1)


def composite_loss(out: Refined, goal: Tensor, target: Target) -> Tensor:
    """L1 between the composites of both alphas over another background.

    goal: (N, 1, H, W), the alpha to compare with. The other background is another picture of the
    batch.
    """
    front, back = (target.picture + out.foreground).clamp(0, 1), other_backgrounds(target)
    difference = ((out.alpha - goal) * (front - back)).abs().mean(1, keepdim=True)
    return (difference * target.valid).mean()


def other_backgrounds(target: Target) -> Tensor:
    """For each picture another one of the batch, mirrored."""
    return target.picture.roll(1, 0).flip(-1)


def outside_loss(out: Refined) -> Tensor:
    """Mean alpha far outside the coarse matte.

    With alpha 1 everywhere the composite is the photograph itself, which no discriminator can tell
    from a photograph: the collapse that the paper warns of. This term is the price of alpha where
    even the coarse matte, grown by a sixteenth of the height, shows nobody.
    """
    radius = max(1, out.before.shape[2] // 16)
    grown = functional.max_pool2d(out.before, 2 * radius + 1, 1, radius)
    empty = (grown < 0.05).float()
    return (out.alpha * empty).sum() / (empty.sum() + 1.0)


def adversarial_loss(out: Refined, target: Target, share: float) -> Tensor:
    """Equation (3): the discriminator's cross-entropy on photographs and composites.

    The discriminator learns from it in full; the refinement learns the opposite, `share` times.
    """
    front, back = (target.picture + out.foreground).clamp(0, 1), other_backgrounds(target)
    composite = out.alpha * front + (1 - out.alpha) * back
    real = out.judge(target.picture).float()
    made = out.judge(reverse_gradient(composite, share)).float()
    return functional.softplus(-real).mean() + functional.softplus(made).mean()
