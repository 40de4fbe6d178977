"""One network out of several runs."""

from pathlib import Path

import torch
from torch import nn

from mattecast.engines.training import systems


@torch.no_grad()
def mean(
    checkpoints: list[Path], shares: list[float] | None = None, parts: tuple[str, ...] = ("",)
) -> nn.Module:
    """The network whose weights are the mean of those of several runs, in eval mode.

    The runs must have begun from one another, or from the same weights: then the mean errs less
    than each of them, at no cost (model soups, Wortsman et al. 2022, arXiv 2203.05482). shares:
    how much each counts, all alike by default. parts: beginnings of the names of the weights that
    are averaged, all by default; the others are the first run's: what a run makes of a network's
    edges may be worth having where what it makes of its idea of people is not. A file of the
    embedded kind (.onnx) counts as a run. Raises ValueError for files that are neither, of networks
    that differ, for shares that are not one a file or do not add up to more than 0, and for parts
    that the network does not have.
    """
    shares = shares or [1.0] * len(checkpoints)
    if len(shares) != len(checkpoints) or min(shares) < 0 or not sum(shares):
        raise ValueError(f"shares {shares}: expected one from 0 up for each of the networks")
    first, *others = [systems.restore(path) for path in checkpoints]
    for path, other in zip(checkpoints[1:], others, strict=True):
        if other.widths != first.widths:
            raise ValueError(
                f"{path}: holds a {systems.name_of(other)} of {other.widths}, and {checkpoints[0]} "
                f"a {systems.name_of(first)} of {first.widths}"
            )
    states = [network.state_dict() for network in (first, *others)]
    for part in parts:
        if not any(name.startswith(part) for name in states[0]):
            there = ", ".join(dict(first.named_children()))
            raise ValueError(f"part '{part}': {checkpoints[0]} has {there}")
    for name, value in states[0].items():
        if value.is_floating_point() and name.startswith(parts):
            pairs = zip(shares, states, strict=True)
            value.copy_(sum(share * state[name].double() for share, state in pairs) / sum(shares))
    return first
