"""One network out of several runs."""

from pathlib import Path

import torch
from torch import nn

from mattecast.engines.training import systems


@torch.no_grad()
def mean(checkpoints: list[Path]) -> nn.Module:
    """The network whose weights are the mean of those of several runs, in eval mode.

    The runs must have begun from one another, or from the same weights: then the mean errs less
    than each of them, at no cost (model soups, Wortsman et al. 2022, arXiv 2203.05482). Raises
    ValueError for files that are no checkpoints, or of networks that differ.
    """
    first, *others = [systems.restore(path) for path in checkpoints]
    for path, other in zip(checkpoints[1:], others, strict=True):
        if other.widths != first.widths:
            raise ValueError(
                f"{path}: holds a {systems.name_of(other)} of {other.widths}, and {checkpoints[0]} "
                f"a {systems.name_of(first)} of {first.widths}"
            )
    states = [network.state_dict() for network in (first, *others)]
    for name, value in states[0].items():
        if value.is_floating_point():
            value.copy_(torch.stack([state[name].double() for state in states]).mean(0))
    return first
