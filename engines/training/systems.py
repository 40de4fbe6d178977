"""The networks that the one training loop trains, by name: built, started, frozen, optimised.

A checkpoint names its network by the type of its widths, which are all that rebuilds it.
"""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mattecast.engines.networks.efficientnet import pretrained
from mattecast.engines.networks.heron import Heron, Widths
from mattecast.engines.papers.deeplab import DeepLab, DeepLabWidths
from mattecast.engines.papers.dlmn import Dlmn, DlmnWidths
from mattecast.engines.papers.ssrn import Ssrn, SsrnWidths
from mattecast.engines.papers.unet import SimpleUNet, SimpleWidths, UNet, UNetWidths
from mattecast.engines.training.export import read_weights
from mattecast.engines.training.stages import CLIPS, PICTURES, STAGES, Stage


def _deeplab(share: float) -> DeepLabWidths:
    aspp = max(8, round(256 * share) // 8 * 8)
    return DeepLabWidths(share=share, aspp=aspp, low=max(8, round(48 * share)))


def _dlmn(share: float) -> DlmnWidths:
    whole = share >= 1  # narrower ones are for less time, and get fewer blocks as well
    return DlmnWidths(
        width=_part(256, share),
        shared=_part(64, share),
        blocks=(7, 3) if whole else (3, 1),
        segmentation=_deeplab(share),
    )


def _ssrn(share: float) -> SsrnWidths:
    blocks = (3, 4, 23, 3) if share >= 1 else (2, 2, 4, 2)
    width = _part(64, share)
    return SsrnWidths(width=width, blocks=blocks, judge=width, base=_dlmn(share))


def _part(channels: int, share: float) -> int:
    return max(4, round(channels * share))


@dataclass(frozen=True)
class System:
    """A network, the type of its widths, and how it is trained.

    at: its widths at a share of the full size's channels. inside: the system that has to be trained
    before and becomes a part of it, and the name of that part's widths among its own. stages, rate:
    what it is trained by where nothing else is asked for. frozen: what stays as it is where
    training begins from given weights, see hold.
    """

    name: str
    network: type[nn.Module]
    widths: type[Any]
    at: Callable[[float], Any]
    inside: tuple[str, str] | None = None
    stages: tuple[Stage, ...] = PICTURES
    rate: float = 1e-3  # the papers' Adam
    frozen: tuple[str, ...] = ()


# Of an encoder that knows ImageNet: edges and textures, which people have in common with all else,
# and the filters and statistics of the rest. What is left to learn is how channels are combined,
# which is nearly all of the weights; a step takes less than half the time.
KNOWN = (
    "encoder.stem",
    "encoder.stages.[01]",
    "encoder.*.filter",
    "encoder.*.norm.running",
)

SYSTEMS = {
    row.name: row
    for row in (
        System(
            "heron", Heron, Widths, lambda share: Widths(), stages=STAGES, rate=1.5e-3, frozen=KNOWN
        ),
        System(
            "unet-simple",
            SimpleUNet,
            SimpleWidths,
            lambda share: SimpleWidths(width=_part(64, share)),
        ),
        System("unet", UNet, UNetWidths, lambda share: UNetWidths(width=_part(64, share))),
        System("deeplab", DeepLab, DeepLabWidths, _deeplab),
        System("dlmn", Dlmn, DlmnWidths, _dlmn, ("deeplab", "segmentation"), CLIPS),
        System("ssrn", Ssrn, SsrnWidths, _ssrn, ("dlmn", "base"), CLIPS),
    )
}


def widths(name: str, share: float = 1.0, start: Path | None = None) -> Any:
    """The widths of a system at `share` of its channels.

    start: a checkpoint to begin from. One of the same system decides all widths, one of the part
    inside it decides that part's. Raises ValueError where it is of neither, or where a system
    cannot begin without its part.
    """
    system = SYSTEMS[name]
    chosen = system.at(share)
    if start is None:
        if system.inside:
            raise ValueError(
                f"{name} is trained on a {system.inside[0]}, which has to be trained before: give "
                "its checkpoint (RUN/last.pt) to begin from"
            )
        return chosen
    if system.network is Heron and start.suffix in (".onnx", ".pth"):
        return chosen  # exported files and the encoder's are of the full size
    found = described(_loaded(start), start)
    if type(found) is system.widths:
        return found
    if system.inside and type(found) is SYSTEMS[system.inside[0]].widths:
        return replace(chosen, **{system.inside[1]: found})
    raise ValueError(
        f"{start}: holds a {_named(found)}, from which no {name} can begin"
        + (f": a {system.inside[0]} or a {name} is needed" if system.inside else "")
    )


def build(widths: Any) -> nn.Module:
    """A fresh network of these widths."""
    for system in SYSTEMS.values():
        if type(widths) is system.widths:
            return system.network(widths)
    raise TypeError(f"no network has widths of type {type(widths).__name__}")


def name_of(network: nn.Module) -> str:
    """The system a network belongs to."""
    return _named(network.widths)


def _named(widths: Any) -> str:
    return next(s.name for s in SYSTEMS.values() if type(widths) is s.widths)


def restore(path: Path) -> nn.Module:
    """The network of a checkpoint, with its averaged weights, or of an exported file of the
    embedded kind (.onnx), in eval mode. Raises ValueError for a file that is neither."""
    if path.suffix == ".onnx":
        embedded = Heron()
        start(embedded, path)
        return embedded.eval()
    state = _loaded(path)
    network = build(described(state, path))
    network.load_state_dict(state["average"])
    return network.eval()


def _loaded(path: Path) -> Mapping[str, Any]:
    try:
        state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{path}: not a checkpoint of a training run, as its last.pt is"
        ) from error
    return state


def described(state: Mapping[str, Any], path: Path) -> Any:
    """The widths of a checkpoint's network; raises ValueError for what is no checkpoint of ours."""
    try:
        return _widths(SYSTEMS[state.get("system", "heron")].widths, state["widths"])
    except (KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{path}: not a checkpoint of mattecast's training") from error


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
    checkpoint is of, as a deeplab inside a dlmn; the embedded network also those of its exported
    file (.onnx), and its encoder the published ones of ImageNet (.pth). Raises ValueError when
    none fits."""
    if isinstance(network, Heron) and path.suffix == ".onnx":
        try:
            network.load_state_dict(read_weights(path), strict=False)
        except RuntimeError as error:
            raise ValueError(f"{path}: its weights are of other widths") from error
        return
    if isinstance(network, Heron) and path.suffix == ".pth":
        stored = _loaded(path)
        try:
            network.encoder.load_state_dict(pretrained(stored))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        return
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
    """Freeze every parameter whose name begins with one of these, shell patterns among them;
    statistics of norms so named are the training loop's to keep. Raises ValueError for one that
    freezes nothing."""
    for pattern in frozen:
        names = [name for name in network.state_dict() if held(name, (pattern,))]
        if not names:
            raise ValueError(f"nothing in a {name_of(network)} is called {pattern}...")
        for name, value in network.named_parameters():
            if name in names:
                value.requires_grad_(False)


def held(name: str, frozen: tuple[str, ...]) -> bool:
    """Whether a name begins as one of these patterns says."""
    return any(fnmatchcase(name, pattern + "*") for pattern in frozen)


def adam(network: nn.Module, rate: float, decay: float) -> list[torch.optim.Optimizer]:
    """Adam, as the papers train, over what is not frozen; decoupled decay where that is asked."""
    free = [value for value in network.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(free, rate, weight_decay=decay)
    for group in optimiser.param_groups:
        group["peak"] = rate
    return [optimiser]
