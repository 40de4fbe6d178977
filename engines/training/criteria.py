"""The loss of each kind of network, chosen by the type of what the network returns.

Tensors are those of mattecast.engines.training.losses: (batch * frames, C, H, W) float32.
"""

from functools import singledispatch
from typing import Any

from torch import Tensor

from mattecast.engines.networks.heron import Prediction
from mattecast.engines.papers import losses as papers
from mattecast.engines.papers.dlmn import Matte
from mattecast.engines.papers.ssrn import Refined
from mattecast.engines.papers.still import Mask
from mattecast.engines.training import losses
from mattecast.engines.training.losses import Target, Weights


@singledispatch
def loss(out: object, target: Target, frames: int, weights: Weights) -> Tensor:
    """What training minimises; pixels that are not valid do not count. frames: of each clip."""
    raise TypeError(f"no loss is known for {type(out).__name__}")


@loss.register
def _(out: Prediction, target: Target, frames: int, weights: Weights) -> Tensor:
    return losses.loss(out, target, frames, weights)


@loss.register
def _(out: Mask, target: Target, frames: int, weights: Weights) -> Tensor:
    return papers.portrait_loss(out, target)


@loss.register
def _(out: Matte, target: Target, frames: int, weights: Weights) -> Tensor:
    return papers.dlmn_loss(out, target)


@loss.register
def _(out: Refined, target: Target, frames: int, weights: Weights) -> Tensor:
    return papers.ssrn_loss(out, target, weights)


def score(out: Any, target: Target, measure: str) -> float:
    """The error on held-out pictures, times 1000: MAD, or BCE for the portrait networks."""
    if measure == "BCE":
        return 1e3 * float(papers.cross_entropy(out.logits.detach(), target))
    return losses.mad(out.alpha, target.alpha, target.valid)
