"""Muon for the convolutions, AdamW for the rest.

Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") replaces the
momentum of each weight matrix by the nearest semi-orthogonal matrix, so that every direction of it
moves alike. Here it needs about two thirds of AdamW's steps for the same loss. First and last
layers, norms and biases are no such matrices and keep AdamW.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

# A quintic Newton-Schulz step whose slope at zero is steep: five of them bring singular values
# between about 0.01 and 1 into 0.7 ... 1.2, and being closer to 1 gains nothing (Jordan, as above).
A, B, C = 3.4445, -4.7750, 2.0315
STEPS = 5
KNOWN = 0.2  # of AdamW's rate for weights that know something already


def orthogonal(matrix: Tensor) -> Tensor:
    """The (rows, columns) matrix with its singular values brought near 1."""
    x = matrix / (matrix.norm() + 1e-7)
    wide = x.shape[0] <= x.shape[1]
    x = x if wide else x.T
    for _ in range(STEPS):
        square = x @ x.T
        x = A * x + (B * square + C * square @ square) @ x
    result: Tensor = x if wide else x.T
    return result


class Muon(torch.optim.Optimizer):
    """Muon over 4-D convolution weights, (out, in * height * width) as matrices."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, decay: float = 0.02
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every weight that has a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)

    def _move(self, weight: Tensor, slope: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum = state["momentum"].lerp_(slope, 1 - group["momentum"])
        ahead = slope.lerp(momentum, group["momentum"])  # Nesterov's
        matrix = orthogonal(ahead.flatten(1))
        tall = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
        weight.mul_(1 - group["lr"] * group["decay"])
        weight.add_(matrix.view_as(ahead), alpha=-group["lr"] * tall)


def optimisers(
    network: nn.Module,
    *,
    outer: tuple[str, ...],
    known: tuple[str, ...],
    rate: float,
    decay: float,
    muon: float,
) -> list[torch.optim.Optimizer]:
    """Muon at `muon` for the convolutions, AdamW at `rate` for all else and for the modules whose
    names begin with one of `outer`, and at a part of it for those of `known`: their weights are of
    use as they are, and equal steps in all directions would undo that. Depthwise convolutions are
    no matrices and are AdamW's too. Each group keeps its largest rate as "peak"."""
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    old = [p for name, p in named if name.startswith(known)] if known else []
    apart = {id(p) for p in old}
    inner = [
        p
        for name, p in named
        if p.ndim == 4 and p.shape[1] > 1 and id(p) not in apart and not name.startswith(outer)
    ]
    apart |= {id(p) for p in inner}
    groups = [{"params": [p for _, p in named if id(p) not in apart], "lr": rate}]
    if old:
        groups.append({"params": old, "lr": rate * KNOWN})
    both: list[torch.optim.Optimizer] = [
        Muon(inner, muon, decay=decay),
        torch.optim.AdamW(groups, rate, weight_decay=decay),
    ]
    for optimiser in both:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return both
