"""An ONNX graph that torch runs operation by operation: the reference, and the one for CUDA.

The operations are those that the families of mattecast.engines.onnx_ports use, as ONNX defines them
(opset 11 to 20). Numbers that describe shapes stay on the CPU, so that nothing waits for the GPU
and a CUDA graph can record a run. An unknown operation is refused by name when the graph is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from mattecast.engines.errors import EngineError
from mattecast.engines.onnx_prepare import scale_factors

if TYPE_CHECKING:
    import onnx

# An operation maps its inputs (None where one is left out) and attributes to its outputs.
Inputs = list[Any]
Attributes = dict[str, Any]
Operation = Callable[[Inputs, Attributes], Any]


class Graph:
    """A network as a list of operations; `run` maps named inputs to named outputs.

    Raises EngineError for operations that are not in OPERATIONS.
    """

    def __init__(self, model: onnx.ModelProto, device: torch.device) -> None:
        from onnx import helper, numpy_helper

        graph = model.graph
        missing = sorted({node.op_type for node in graph.node} - OPERATIONS.keys())
        if missing:
            raise EngineError(f"the torch back-end has no {', '.join(missing)}: use openvino")
        self.outputs = [port.name for port in graph.output]
        on_cpu, cpu = scale_factors(graph), torch.device("cpu")
        self._constants = {
            one.name: _placed(
                torch.from_numpy(numpy_helper.to_array(one).copy()),
                cpu if one.name in on_cpu else device,
            )
            for one in graph.initializer
        }
        self._nodes = []
        for node in graph.node:
            place = cpu if on_cpu.intersection(node.output) else device
            values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
            attributes = {name: _plain(value, place) for name, value in values.items()}
            self._nodes.append(
                (OPERATIONS[node.op_type], list(node.input), list(node.output), attributes)
            )

    def run(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """All outputs for these inputs."""
        values: dict[str, Any] = {"": None, **self._constants, **inputs}
        for operation, sources, targets, attributes in self._nodes:
            results = operation([values[name] for name in sources], attributes)
            if len(targets) == 1 and isinstance(results, Tensor):
                values[targets[0]] = results
            else:
                values.update(zip(targets, results, strict=False))
        return {name: values[name] for name in self.outputs}


def _plain(value: Any, device: torch.device) -> Any:
    """An attribute of a node as a Python value or a tensor."""
    if isinstance(value, bytes):
        return value.decode()
    if hasattr(value, "data_type"):
        from onnx import numpy_helper

        return _placed(torch.from_numpy(numpy_helper.to_array(value).copy()), device)
    return list(value) if isinstance(value, (list, tuple)) else value


def _placed(tensor: Tensor, device: torch.device) -> Tensor:
    """A weight on the device, channels last where 4-D; integers, which are shapes, stay put."""
    if not tensor.is_floating_point():
        return tensor
    if tensor.ndim == 4:
        return tensor.to(device, memory_format=torch.channels_last)
    return tensor.to(device)


def _ints(value: Any) -> list[int]:
    return [int(one) for one in (value.tolist() if isinstance(value, Tensor) else value)]


def _axes(x: Inputs, a: Attributes) -> list[int]:
    """The axes: an attribute before opset 13 or 18, an input since."""
    given = x[1] if len(x) > 1 and x[1] is not None else a.get("axes", [])
    return _ints(given)


def _pads(a: Attributes, x: Tensor, kernel: list[int]) -> tuple[Tensor, list[int]]:
    """The picture, padded where the two sides' pads differ, and the pads left for the operation."""
    if a.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise EngineError(f"the torch back-end has no auto_pad {a['auto_pad']}: use openvino")
    dims = len(kernel)
    pads = a.get("pads", [0] * 2 * dims)
    first, last = pads[:dims], pads[dims:]
    if first == last:
        return x, first
    both = [side for pair in zip(reversed(first), reversed(last), strict=True) for side in pair]
    return functional.pad(x, both), [0] * dims


def _conv(x: Inputs, a: Attributes) -> Tensor:
    weight = x[1]
    picture, pads = _pads(a, x[0], list(weight.shape[2:]))
    bias = x[2] if len(x) > 2 else None
    return functional.conv2d(
        picture, weight, bias, a.get("strides", 1), pads, a.get("dilations", 1), a.get("group", 1)
    )


def _norm(x: Inputs, a: Attributes) -> Tensor:
    return functional.batch_norm(x[0], x[3], x[4], x[1], x[2], eps=a.get("epsilon", 1e-5))


def _max_pool(x: Inputs, a: Attributes) -> Tensor:
    kernel = a["kernel_shape"]
    first, last = a.get("pads", [0] * 4)[:2], a.get("pads", [0] * 4)[2:]
    sides = [last[1], first[1], last[0], first[0]] if first != last else None
    picture = (
        functional.pad(x[0], [first[1], last[1], first[0], last[0]], value=-torch.inf)
        if (sides)
        else x[0]
    )
    return functional.max_pool2d(
        picture,
        kernel,
        a.get("strides", 1),
        0 if sides else first,
        a.get("dilations", 1),
        bool(a.get("ceil_mode", 0)),
    )


def _average_pool(x: Inputs, a: Attributes) -> Tensor:
    picture, pads = _pads(a, x[0], a["kernel_shape"])
    return functional.avg_pool2d(
        picture,
        a["kernel_shape"],
        a.get("strides", 1),
        pads,
        bool(a.get("ceil_mode", 0)),
        bool(a.get("count_include_pad", 0)),
    )


def _resize(x: Inputs, a: Attributes) -> Tensor:
    """Nearest and bilinear interpolation, by the coordinate rules that torch has."""
    mode, rule = a.get("mode", "nearest"), a.get("coordinate_transformation_mode", "half_pixel")
    sizes = x[3] if len(x) > 3 else None
    scales = x[2] if len(x) > 2 and x[2] is not None and x[2].numel() else None
    if sizes is not None:
        target = _ints(sizes)[2:]
    else:
        factors = scales.tolist()[2:]  # type: ignore[union-attr]
        target = [
            int(side * factor + 1e-4) for side, factor in zip(x[0].shape[2:], factors, strict=True)
        ]
    if mode == "linear" and rule in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        return functional.interpolate(
            x[0], target, mode="bilinear", align_corners=rule == "align_corners"
        )
    if mode == "nearest" and rule == "asymmetric":
        return functional.interpolate(x[0], target, mode="nearest")
    raise EngineError(f"the torch back-end has no {mode} Resize by {rule}: use openvino")


def _slice(x: Inputs, a: Attributes) -> Tensor:
    starts = _ints(x[1] if len(x) > 1 else a["starts"])
    ends = _ints(x[2] if len(x) > 2 else a["ends"])
    axes = _ints(x[3]) if len(x) > 3 and x[3] is not None else a.get("axes", range(len(starts)))
    steps = _ints(x[4]) if len(x) > 4 and x[4] is not None else [1] * len(starts)
    result: Tensor = x[0]
    for start, end, axis, step in zip(starts, ends, _ints(axes), steps, strict=True):
        if step < 0:
            raise EngineError("the torch back-end has no backward Slice: use openvino")
        parts = [slice(None)] * (axis % result.ndim) + [slice(start, end, step)]
        result = result[tuple(parts)]
    return result


def _split(x: Inputs, a: Attributes) -> Iterable[Tensor]:
    axis = a.get("axis", 0)
    sizes = _ints(x[1]) if len(x) > 1 and x[1] is not None else a.get("split")
    if sizes is None:
        return x[0].chunk(a.get("num_outputs", 2), axis)  # type: ignore[no-any-return]
    return x[0].split(sizes, axis)  # type: ignore[no-any-return]


def _reshape(x: Inputs, a: Attributes) -> Tensor:
    shape = _ints(x[1])
    if not a.get("allowzero", 0):
        shape = [x[0].shape[i] if side == 0 else side for i, side in enumerate(shape)]
    return x[0].reshape(shape)  # type: ignore[no-any-return]


def _unsqueeze(x: Inputs, a: Attributes) -> Tensor:
    result: Tensor = x[0]
    axes = _axes(x, a)
    for axis in sorted(one % (result.ndim + len(axes)) for one in axes):
        result = result.unsqueeze(axis)
    return result


def _reduce(function: Callable[..., Tensor]) -> Operation:
    def reduce(x: Inputs, a: Attributes) -> Tensor:
        axes = _axes(x, a) or list(range(x[0].ndim))
        return function(x[0], axes, keepdim=bool(a.get("keepdims", 1)))

    return reduce


def _cast(x: Inputs, a: Attributes) -> Tensor:
    # By the numbers of ONNX's TensorProto.DataType.
    types = {
        1: torch.float32,
        2: torch.uint8,
        3: torch.int8,
        6: torch.int32,
        7: torch.int64,
        9: torch.bool,
        10: torch.float16,
        11: torch.float64,
        16: torch.bfloat16,
    }
    return x[0].to(types[a["to"]])  # type: ignore[no-any-return]


def _depth_to_space(x: Inputs, a: Attributes) -> Tensor:
    block = a["blocksize"]
    if a.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x[0], block)
    n, c, h, w = x[0].shape
    planes = x[0].reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
    return planes.reshape(n, c // block**2, h * block, w * block)  # type: ignore[no-any-return]


def _space_to_depth(x: Inputs, a: Attributes) -> Tensor:
    block = a["blocksize"]
    n, c, h, w = x[0].shape
    planes = x[0].reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
    return planes.reshape(n, c * block**2, h // block, w // block)  # type: ignore[no-any-return]


def _gather(x: Inputs, a: Attributes) -> Tensor:
    index = x[1].to(x[0].device)
    axis = a.get("axis", 0)
    source: Tensor = x[0]
    taken = source.index_select(axis, index.reshape(-1) % source.shape[axis])
    return taken.reshape([*source.shape[:axis], *index.shape, *source.shape[axis + 1 :]])


def _clip(x: Inputs, a: Attributes) -> Tensor:
    low = x[1] if len(x) > 1 else a.get("min")
    high = x[2] if len(x) > 2 else a.get("max")
    result: Tensor = x[0] if low is None else x[0].clamp(min=low)
    return result if high is None else result.clamp(max=high)


def _expand(x: Inputs, a: Attributes) -> Tensor:
    source: Tensor = x[0]
    shape = _ints(x[1])
    length = max(source.ndim, len(shape))
    pairs = zip(
        [1] * (length - source.ndim) + list(source.shape),
        [1] * (length - len(shape)) + shape,
        strict=True,
    )
    return source.expand([ours if wanted == 1 else wanted for ours, wanted in pairs])


def _constant(x: Inputs, a: Attributes) -> Tensor:
    if "value" in a:
        return a["value"]  # type: ignore[no-any-return]
    return torch.tensor(next(iter(a.values())))


def _gemm(x: Inputs, a: Attributes) -> Tensor:
    left = x[0].T if a.get("transA", 0) else x[0]
    right = x[1].T if a.get("transB", 0) else x[1]
    product: Tensor = a.get("alpha", 1.0) * (left @ right)
    return product + a.get("beta", 1.0) * x[2] if len(x) > 2 else product


def _div(x: Inputs, a: Attributes) -> Tensor:
    whole = not x[0].is_floating_point()
    return torch.div(x[0], x[1], rounding_mode="trunc" if whole else None)


def _one(function: Callable[..., Tensor]) -> Operation:
    return lambda x, a: function(*x)


OPERATIONS: dict[str, Operation] = {
    "Add": _one(torch.add),
    "Sub": _one(torch.sub),
    "Mul": _one(torch.mul),
    "Div": _div,
    "Pow": _one(torch.pow),
    "Sqrt": _one(torch.sqrt),
    "Exp": _one(torch.exp),
    "Neg": _one(torch.neg),
    "Abs": _one(torch.abs),
    "Floor": _one(torch.floor),
    "Ceil": _one(torch.ceil),
    "Log": _one(torch.log),
    "Reciprocal": _one(torch.reciprocal),
    "Min": _one(torch.minimum),
    "Max": _one(torch.maximum),
    "MatMul": _one(torch.matmul),
    "Equal": _one(torch.eq),
    "Where": _one(torch.where),
    "Identity": lambda x, a: x[0],
    "Relu": _one(torch.relu),
    "Sigmoid": _one(torch.sigmoid),
    "Tanh": _one(torch.tanh),
    "HardSwish": _one(functional.hardswish),
    "HardSigmoid": lambda x, a: torch.clamp(a.get("alpha", 0.2) * x[0] + a.get("beta", 0.5), 0, 1),
    "LeakyRelu": lambda x, a: functional.leaky_relu(x[0], a.get("alpha", 0.01)),
    "PRelu": lambda x, a: torch.where(x[0] < 0, x[0] * x[1], x[0]),
    "Softmax": lambda x, a: torch.softmax(x[0], a.get("axis", -1)),
    "Clip": _clip,
    "Conv": _conv,
    "BatchNormalization": _norm,
    "Gemm": _gemm,
    "InstanceNormalization": lambda x, a: functional.instance_norm(
        x[0], None, None, x[1], x[2], eps=a.get("epsilon", 1e-5)
    ),
    "GlobalAveragePool": lambda x, a: x[0].mean((2, 3), keepdim=True),
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "Resize": _resize,
    "ReduceMean": _reduce(torch.mean),
    "ReduceSum": _reduce(torch.sum),
    "Concat": lambda x, a: torch.cat(x, a["axis"]),
    "Slice": _slice,
    "Split": _split,
    "Transpose": lambda x, a: x[0].permute(a["perm"]),
    "Reshape": _reshape,
    "Shape": lambda x, a: torch.tensor(x[0].shape),
    "Gather": _gather,
    "Expand": _expand,
    "Unsqueeze": _unsqueeze,
    "Squeeze": lambda x, a: torch.squeeze(x[0], tuple(_axes(x, a)) or tuple(range(x[0].ndim))),
    "Cast": _cast,
    "Constant": _constant,
    "ConstantOfShape": lambda x, a: torch.full(_ints(x[0]), a["value"].item()),
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "Flatten": lambda x, a: x[0].flatten(a.get("axis", 1)),
    "Dropout": lambda x, a: x[0],
}
