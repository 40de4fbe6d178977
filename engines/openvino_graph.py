"""An ONNX network as an OpenVINO graph for uint8 pictures of one fixed size.

The OpenVINO back-end compiles this graph. The torch and TensorRT back-ends take the shapes of the
recurrent states from it: only shape inference over the whole graph finds the shapes of networks
whose files leave them open.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mattecast.engines.errors import EngineError
from mattecast.engines.openvino_core import last_line, read_network
from mattecast.engines.spec import ModelSpec


def state_shapes(spec: ModelSpec, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """The shape of every recurrent state, by the name of its input.

    size: (width, height) of the pictures. Raises EngineError where the network cannot take it.
    """
    if not spec.states:
        return {}
    with openvino_errors(spec.path):
        model = fixed_size_graph(spec, size)
    return {source: tuple(model.input(source).shape) for source, _, _ in spec.states}


def fixed_size_graph(spec: ModelSpec, size: tuple[int, int]) -> Any:
    """The openvino.Model with (1, h, w, 3) uint8 RGB pictures in; states are inputs and outputs.

    size: (width, height) of the pictures.
    """
    model = read_network(spec.path)
    _fix_constants(model, spec.constants(size))
    if not spec.raw:
        model = _with_uint8_pictures(model, spec)
    width, height = size
    pictures = {name: [1, height, width, 3] for name in (spec.picture, spec.plate) if name}
    model.reshape({**pictures, **_first_state_shapes(model, spec, size)})
    if any(stride is None for _, _, stride in spec.states):
        # The state outputs have their final shapes once the inputs have theirs.
        inferred = {s: list(model.output(t).shape) for s, t, _ in spec.states}
        model.reshape({**pictures, **inferred})
    return model


@contextmanager
def openvino_errors(path: Path) -> Iterator[None]:
    """Turn OpenVINO's many-line errors about a network into one-line EngineErrors."""
    try:
        yield
    except RuntimeError as error:
        raise EngineError(f"{path}: OpenVINO cannot run it ({last_line(error)})") from error


def _fix_constants(model: Any, constants: dict[str, float]) -> None:
    """Replace inputs that hold one number by that number."""
    for name, value in constants.items():
        from openvino import opset13

        parameter = model.input(name).get_node()
        shape = [side.get_length() if side.is_static else 1 for side in parameter.partial_shape]
        constant = opset13.constant(np.full(shape, value), parameter.get_element_type())
        for target in parameter.output(0).get_target_inputs():
            target.replace_source_output(constant.output(0))
        model.remove_parameter(parameter)


def _with_uint8_pictures(model: Any, spec: ModelSpec) -> Any:
    """Make conversion, normalisation and layout of the pictures part of the graph."""
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    for name in filter(None, (spec.picture, spec.plate)):
        picture = steps.input(name)
        picture.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
        picture.model().set_layout(Layout("NHWC" if spec.channels_last else "NCHW"))
        convert = picture.preprocess().convert_element_type(Type.f32)
        convert.mean(list(spec.mean)).scale(list(spec.deviation))
    steps.output(spec.alpha).tensor().set_element_type(Type.f32)
    return steps.build()


def _first_state_shapes(model: Any, spec: ModelSpec, size: tuple[int, int]) -> dict[str, list[int]]:
    """The shape of each state; (1, 1, 1, 1), which the network broadcasts, where stride is None."""
    width, height = size
    shapes: dict[str, list[int]] = {}
    for source, _, stride in spec.states:
        if stride is None:
            shapes[source] = [1, 1, 1, 1]
        else:
            channels = model.input(source).partial_shape[1].get_length()
            shapes[source] = [1, channels, height // stride, width // stride]
    return shapes
