"""The networks that the one training loop trains, by name: built, started, frozen, optimised.

A checkpoint names its network by the type of its widths, which are all that rebuilds it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mattecast.engines.networks.deeplab import DeepLab, DeepLabWidths
from mattecast.engines.networks.dlmn import Dlmn, DlmnWidths
from mattecast.engines.networks.heron import Heron, Widths
from mattecast.engines.networks.ssrn import Ssrn, SsrnWidths
from mattecast.engines.networks.unet import SimpleUNet, SimpleWidths, UNet, UNetWidths


@dataclass(frozen=True)
class System:
    """A network, what describes it, and its name for people."""

    name: str
    network: type[nn.Module]
    widths: type[Any]
    about: str


SYSTEMS = {
    row.name: row
    for row in (
        System("heron", Heron, Widths, "the embedded default"),
        System("unet-simple", SimpleUNet, SimpleWidths, "U-Net of one level"),
        System("unet", UNet, UNetWidths, "U-Net of four levels"),
        System("deeplab", DeepLab, DeepLabWidths, "DeepLabV3+ on MobileNetV2"),
        System("dlmn", Dlmn, DlmnWidths, "DLMN-G on a trained deeplab"),
        System("ssrn", Ssrn, SsrnWidths, "refinement of a trained dlmn"),
    )
}


def build(widths: Any) -> nn.Module:
    """A fresh network of these widths."""
    for system in SYSTEMS.values():
        if type(widths) is system.widths:
            return system.network(widths)
    raise TypeError(f"no network has widths of type {type(widths).__name__}")


def name_of(network: nn.Module) -> str:
    """The system a network belongs to."""
    return next(s.name for s in SYSTEMS.values() if type(network) is s.network)


def restore(path: Path) -> nn.Module:
    """The network of a checkpoint, with its averaged weights, in eval mode."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    network = build(_widths(SYSTEMS[state.get("system", "heron")].widths, state["widths"]))
    network.load_state_dict(state["average"])
    return network.eval()


def _widths(kind: type[Any], stored: Mapping[str, Any]) -> Any:
    """Widths from what dataclasses.asdict made of them, nested ones too."""
    values = {}
    for one in fields(kind):
        value = stored[one.name]
        if isinstance(value, Mapping) and is_dataclass(one.type):
            value = _widths(one.type, value)  # type: ignore[arg-type]
        values[one.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def start(network: nn.Module, path: Path) -> None:
    """Give a network the weights of a checkpoint: its own, or those of the part inside it that the
    checkpoint is of, as a deeplab inside a dlmn. Raises ValueError when neither fits."""
    saved = restore(path)
    for part in network.modules():
        if type(part) is type(saved) and part.widths == saved.widths:
            part.load_state_dict(saved.state_dict())
            return
    raise ValueError(
        f"{path}: holds a {name_of(saved)} of {saved.widths}, which is no part of a "
        f"{name_of(network)} of {network.widths}"
    )


def hold(network: nn.Module, frozen: tuple[str, ...]) -> None:
    """Freeze every parameter whose name begins with one of these; raises ValueError for one that
    freezes nothing."""
    for prefix in frozen:
        held = [value for name, value in network.named_parameters() if name.startswith(prefix)]
        if not held:
            raise ValueError(f"nothing in a {name_of(network)} is called {prefix}...")
        for value in held:
            value.requires_grad_(False)


def adam(network: nn.Module, rate: float, decay: float) -> list[torch.optim.Optimizer]:
    """Adam, as the papers train, over what is not frozen; decoupled decay where that is asked."""
    free = [value for value in network.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(free, rate, weight_decay=decay)
    for group in optimiser.param_groups:
        group["peak"] = rate
    return [optimiser]
