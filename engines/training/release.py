"""From a checkpoint of any system to the file that `--model` and `mattecast models add` take.

Networks of single pictures become `picture (1, H, W, 3) float32 in 0..1 -> alpha`, which is the
segmentation family of mattecast.engines.onnx_ports; DLMN-G and SSRN become
`picture uint8, motion -> alpha, foreground, motiono`, the dlmn family, whose state stays in the
engine. The embedded network has its own export, which keeps what fine-tuning needs.
"""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mattecast.engines.networks.heron import Heron
from mattecast.engines.papers.dlmn import Dlmn
from mattecast.engines.papers.ssrn import Ssrn
from mattecast.engines.papers.still import StillNetwork
from mattecast.engines.training import systems
from mattecast.engines.training.export import OPSET, export

# What the networks were made for: pixels on the long side.
LONG_SIDES = {"unet-simple": 256, "unet": 256, "deeplab": 256, "dlmn": 512, "ssrn": 512}


class Call(nn.Module):
    """One method of a network as the call, for tracing."""

    def __init__(self, network: nn.Module, method: str) -> None:
        super().__init__()
        self.network, self.method = network, method

    def forward(self, *inputs: Tensor) -> Any:
        return getattr(self.network, self.method)(*inputs)


def release(network: nn.Module, path: Path, *, long_side: int | None = None) -> Path:
    """Write `path` (.onnx) and a .json with its long side beside it, each whole or not at all.

    long_side: pixels that it was trained at, else what its kind is made for.
    """
    if isinstance(network, Heron):
        export(network, path)
        return path
    part = path.with_suffix(".part")
    trace(network.eval(), part)
    side = long_side or LONG_SIDES[systems.name_of(network)]
    beside = path.with_suffix(".json.part")
    beside.write_text(json.dumps({"long_side": side}))
    os.replace(beside, path.with_suffix(".json"))
    os.replace(part, path)
    return path


def trace(network: nn.Module, path: Path) -> None:
    """Write a network in eval mode as ONNX, any multiples of 32 as sides."""
    if isinstance(network, StillNetwork):
        call, inputs, names = Call(network, "matte"), (torch.rand(1, 64, 96, 3),), ["picture"]
        outputs = ["alpha"]
    else:
        assert isinstance(network, (Dlmn, Ssrn))
        picture = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
        call = Call(network, "step")
        inputs, names = (picture, network.start(64, 96)), ["picture", "motion"]  # type: ignore[assignment]
        outputs = ["alpha", "foreground", "motiono"]
    dynamic = {n: {1: "height", 2: "width"} for n in ("picture", "alpha", "foreground")}
    dynamic |= {n: {2: "height", 3: "width"} for n in ("motion", "motiono")}
    with warnings.catch_warnings():  # the tracing exporter is deprecated, and quiet about sizes
        warnings.simplefilter("ignore")
        torch.onnx.export(
            call.eval(),
            inputs,
            str(path),
            input_names=names,
            output_names=outputs,
            dynamic_axes={n: axes for n, axes in dynamic.items() if n in names + outputs},
            opset_version=OPSET,
            dynamo=False,
        )
