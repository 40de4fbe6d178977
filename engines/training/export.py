"""From a checkpoint to the ONNX file that engines run, and back again.

The file keeps the names of the module's parameters and its unfolded norms (engines fold them when
they compile), so the same file is also where fine-tuning starts. Convolution weights are stored in
half precision with a cast behind them: half the size, and they run in float32.
"""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mattecast.engines.networks.heron import Heron

INPUTS = ("picture", "r1", "r2", "r3")
OUTPUTS = ("alpha", "foreground", "r1o", "r2o", "r3o")
OPSET = 17
STORED = ".half"  # suffix of the stored half-precision weights


class Stepper(Heron):
    """Heron with one frame and its states as the call, for tracing."""

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        return self.step(*inputs)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in an exported file, by the module's names.

    What only training uses (the coarse outline) is not there: load with strict=False. Raises
    ValueError for another network's file.
    """
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        graph = onnx.load(path).graph
    except DecodeError as error:
        raise ValueError(f"{path}: not an ONNX file ({error})") from error
    stored = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    for node in graph.node:  # parameters of equal value are stored once
        if node.op_type == "Identity" and node.input[0] in stored:
            stored[node.output[0]] = stored[node.input[0]]
    shapes = {name: value.shape for name, value in Heron().state_dict().items()}
    weights = {
        name.removesuffix(STORED): torch.from_numpy(np.array(value, np.float32))
        for name, value in stored.items()
        if name.removesuffix(STORED) in shapes
    }
    if not weights or any(value.shape != shapes[name] for name, value in weights.items()):
        raise ValueError(f"{path}: holds no weights of the embedded network, nor of a tuned one")
    return weights


def load_network(path: Path) -> Heron:
    """The network of an exported file, in eval mode."""
    network = Heron()
    network.load_state_dict(read_weights(path), strict=False)
    return network.eval()


def halve(model: Any) -> None:
    """Stores the convolution weights of an ONNX model in half precision, each with a cast."""
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for initializer in model.graph.initializer:
        if len(initializer.dims) != 4:
            continue
        name = initializer.name
        value = numpy_helper.to_array(initializer).astype(np.float16)
        initializer.CopyFrom(numpy_helper.from_array(value, name + STORED))
        casts.append(helper.make_node("Cast", [name + STORED], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def trace(network: Heron, path: Path) -> None:
    """Writes the network as ONNX, any multiple of 32 as size, norms and names as in the module."""
    stepper = Stepper(network.widths)
    stepper.load_state_dict(network.state_dict())
    stepper.eval()
    picture = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    dynamic: dict[str, dict[int, str]] = {
        name: {1: "height", 2: "width"} for name in ("picture", "alpha", "foreground")
    }
    for index, scale in enumerate((16, 8, 4), 1):
        for name in (f"r{index}", f"r{index}o"):
            dynamic[name] = {2: f"height/{scale}", 3: f"width/{scale}"}
    with warnings.catch_warnings():  # the tracing exporter keeps names and norms; it is deprecated
        warnings.simplefilter("ignore")
        torch.onnx.export(
            stepper,
            (picture, *stepper.start(64, 96)),
            str(path),
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_axes=dynamic,
            opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            dynamo=False,
        )


def export(network: Heron, path: Path, *, half: bool = True) -> None:
    """Writes `path` whole or not at all; half: store convolution weights in 16 bits."""
    import onnx

    part = path.with_suffix(".part")
    trace(network, part)
    model = onnx.load(part)
    if half:
        halve(model)
    onnx.checker.check_model(model)
    onnx.save(model, part)
    os.replace(part, path)
