"""An ONNX network as torch and TensorRT want it: constants fixed, norms folded, in one float type.

TensorRT builds exactly what the file states, types included. So the file must convert its uint8
picture first, use one float type throughout, and have no input that decides a shape. This module
needs the `onnx` package, which the torch and TensorRT extras install.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.errors import EngineError, refuse
from mattecast.engines.spec import ModelSpec

if TYPE_CHECKING:
    import onnx

Array = NDArray[Any]
# Inputs that stay float32 in half precision, by the operation: scale factors, not features.
_FACTORS = {"Resize": (1, 2), "Upsample": (1,)}


def prepared(spec: ModelSpec, size: tuple[int, int], precision: str) -> onnx.ModelProto:
    """The network with uint8 (1, h, w, 3) pictures in, and all floats 'f32' or 'f16'.

    size: (width, height). alpha comes out as float32 in both cases; states have the network's type.
    Raises EngineError when the file cannot be read or the onnx package is missing.
    """
    model = _read(spec)
    graph = model.graph
    _remove_outputs(graph, spec.outputs)
    _fix_inputs(graph, spec.constants(size))
    _to_float32(graph)
    _restore_weights(graph)
    _fold_norms(graph)
    for name in filter(None, (spec.picture, spec.plate)):
        _take_uint8(graph, name, spec)
    if precision == "f16":
        _to_float16(graph)
    _give_float32(graph, spec.alpha)
    del graph.value_info[:]
    return model


def _read(spec: ModelSpec) -> onnx.ModelProto:
    try:
        import onnx
    except ImportError as error:
        refuse(error, "the onnx package is missing: pip install onnx")
    try:
        return onnx.load(spec.path)
    except Exception as error:  # protobuf's errors share no public base
        raise EngineError(f"{spec.path}: not an ONNX file ({error})") from error


def _remove_outputs(graph: onnx.GraphProto, kept: frozenset[str]) -> None:
    """Remove the outputs that are not kept, and all nodes that only they need."""
    wanted = set(kept)
    nodes = []
    for node in reversed(graph.node):  # ONNX orders nodes by their dependencies
        if wanted.intersection(node.output):
            wanted.update(node.input)
            nodes.append(node)
    for port in [one for one in graph.output if one.name not in kept]:
        graph.output.remove(port)
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    _remove_unused_constants(graph)


def _fix_inputs(graph: onnx.GraphProto, constants: dict[str, float]) -> None:
    """Replace inputs that hold one number by constants."""
    for name, value in constants.items():
        port = next(one for one in graph.input if one.name == name)
        graph.input.remove(port)
        _add_constant(graph, name, np.full((1,), value, np.float32))


def _restore_weights(graph: onnx.GraphProto) -> None:
    """Replace casts and further names of weights by plain constants."""
    constants = _constants(graph)
    for node in list(graph.node):
        if node.op_type not in ("Cast", "Identity") or node.input[0] not in constants:
            continue
        value = constants[node.input[0]]
        if not np.issubdtype(value.dtype, np.floating):
            continue
        constants[node.output[0]] = value
        graph.node.remove(node)
        _add_constant(graph, node.output[0], value)
    _remove_unused_constants(graph)


def _fold_norms(graph: onnx.GraphProto) -> None:
    """Fold each batch norm behind a convolution into the convolution's weights, in float32."""
    constants = _constants(graph)
    makers = {node.output[0]: node for node in graph.node}
    uses = Counter(name for node in graph.node for name in node.input)
    for norm in [node for node in graph.node if node.op_type == "BatchNormalization"]:
        conv = makers.get(norm.input[0])
        if conv is None or conv.op_type != "Conv" or uses[norm.input[0]] != 1:
            continue
        scale, shift, mean, variance = (constants[name] for name in norm.input[1:])
        epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + epsilon)
        weight = constants[conv.input[1]] * factor[:, None, None, None]
        bias = constants[conv.input[2]] if len(conv.input) > 2 else 0.0
        names = [f"{norm.output[0]}.weight", f"{norm.output[0]}.bias"]
        _add_constant(graph, names[0], weight.astype(np.float32))
        _add_constant(graph, names[1], (shift + (bias - mean) * factor).astype(np.float32))
        del conv.input[1:]
        conv.input.extend(names)
        conv.output[0] = norm.output[0]
        graph.node.remove(norm)
    _remove_unused_constants(graph)


def _take_uint8(graph: onnx.GraphProto, name: str, spec: ModelSpec) -> None:
    """Make an input uint8, and convert and normalise it first."""
    from onnx import TensorProto, helper

    port = next(one for one in graph.input if one.name == name)
    inner = f"{name}.float"
    for node in graph.node:
        node.input[:] = [inner if one == name else one for one in node.input]
    nodes = [helper.make_node("Cast", [name], [inner], to=TensorProto.FLOAT)]
    if not spec.raw:
        nodes = _normalising(graph, name, inner, spec)
    port.CopyFrom(helper.make_tensor_value_info(name, TensorProto.UINT8, [1, None, None, 3]))
    later = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *later])


def _normalising(graph: onnx.GraphProto, name: str, inner: str, spec: ModelSpec) -> list[Any]:
    from onnx import TensorProto, helper

    _add_constant(graph, f"{name}.mean", np.array(spec.mean, np.float32))
    _add_constant(graph, f"{name}.deviation", np.array(spec.deviation, np.float32))
    last = inner if spec.channels_last else f"{name}.normal"
    nodes = [
        helper.make_node("Cast", [name], [f"{name}.cast"], to=TensorProto.FLOAT),
        helper.make_node("Sub", [f"{name}.cast", f"{name}.mean"], [f"{name}.centred"]),
        helper.make_node("Div", [f"{name}.centred", f"{name}.deviation"], [last]),
    ]
    if not spec.channels_last:
        nodes.append(helper.make_node("Transpose", [last], [inner], perm=[0, 3, 1, 2]))
    return nodes


def _to_float16(graph: onnx.GraphProto) -> None:
    """Make every float32 a float16, except scale factors."""
    from onnx import TensorProto

    _retype(graph, TensorProto.FLOAT, TensorProto.FLOAT16, scale_factors(graph))


def _to_float32(graph: onnx.GraphProto) -> None:
    """Make every float16 a float32, so that the next steps treat all files alike."""
    from onnx import TensorProto

    _retype(graph, TensorProto.FLOAT16, TensorProto.FLOAT, set())


def _retype(graph: onnx.GraphProto, before: int, after: int, kept: set[str]) -> None:
    from onnx import helper, numpy_helper

    dtype = helper.tensor_dtype_to_np_dtype(after)
    tensors = [one for one in graph.initializer if one.name not in kept]
    for node in graph.node:
        if kept.intersection(node.output):
            continue
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == before:
                attribute.i = after
            if attribute.HasField("t"):
                tensors.append(attribute.t)
    for tensor in tensors:
        if tensor.data_type == before:
            value = numpy_helper.to_array(tensor).astype(dtype)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    for port in (*graph.input, *graph.output):
        if port.name not in kept and port.type.tensor_type.elem_type == before:
            port.type.tensor_type.elem_type = after


def scale_factors(graph: onnx.GraphProto) -> set[str]:
    """The names of all scale factors of enlargements, and of all values they are computed from."""
    makers = {name: node for node in graph.node for name in node.output}
    names = [
        node.input[index]
        for node in graph.node
        for index in _FACTORS.get(node.op_type, ())
        if index < len(node.input) and node.input[index]
    ]
    kept: set[str] = set()
    while names:
        name = names.pop()
        kept.add(name)
        maker = makers.get(name)
        if maker is not None and maker.op_type != "Shape":
            names.extend(one for one in maker.input if one and one not in kept)
    return kept


def _give_float32(graph: onnx.GraphProto, name: str) -> None:
    """Convert one output to float32, where it is another type."""
    from onnx import TensorProto, helper

    for port in graph.output:
        if port.name != name or port.type.tensor_type.elem_type == TensorProto.FLOAT:
            continue
        inner = f"{port.name}.half"
        for node in graph.node:
            node.input[:] = [inner if one == port.name else one for one in node.input]
            node.output[:] = [inner if one == port.name else one for one in node.output]
        graph.node.append(helper.make_node("Cast", [inner], [port.name], to=TensorProto.FLOAT))
        port.type.tensor_type.elem_type = TensorProto.FLOAT


def _constants(graph: onnx.GraphProto) -> dict[str, Array]:
    from onnx import numpy_helper

    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def _add_constant(graph: onnx.GraphProto, name: str, value: Array) -> None:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))


def _remove_unused_constants(graph: onnx.GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    used.update(port.name for port in graph.output)
    for tensor in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(tensor)
