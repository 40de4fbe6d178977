"""Networks of the shapes that other projects export: tiny, with random weights."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT
STATES = (4, 5, 6, 7)  # channels of the four states of rvm()


class Maker:
    """Collects nodes and weights, then writes a file."""

    def __init__(self):
        self.nodes, self.weights, self.rng = [], [], np.random.default_rng(1)

    def add(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def constant(self, name, values, dtype=np.float32):
        self.weights.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    def conv(self, x, name, channels_in, channels_out, stride=1):
        shape = (channels_out, channels_in, 3, 3)
        self.constant(f"{name}.w", self.rng.normal(0, 0.5 / channels_in**0.5, shape))
        return self.add("Conv", [x, f"{name}.w"], name, pads=[1, 1, 1, 1], strides=[stride] * 2)

    def write(self, path, inputs, outputs):
        given, results = (
            [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in each]
            for each in (inputs, outputs)
        )
        graph = helper.make_graph(self.nodes, "foreign", given, results, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
        model.ir_version = 8
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


def rvm(path):
    """src, r1i..r4i, downsample_ratio -> fgr, pha, r1o..r4o: names, meaning and free sizes."""
    make = Maker()
    make.constant("ones", [1, 1])
    make.add("Concat", ["ones", "downsample_ratio", "downsample_ratio"], "scales", axis=0)
    x = make.add("Resize", ["src", "", "scales"], "small", mode="linear")
    before = 3
    for index, channels in enumerate(STATES, 1):
        x = make.conv(x, f"down{index}", before, channels, 2)
        make.add("Shape", [x], f"shape{index}")
        make.add("Expand", [f"r{index}i", f"shape{index}"], f"wide{index}")
        make.add("Add", [x, f"wide{index}"], f"sum{index}")
        x = make.add("Tanh", [f"sum{index}"], f"r{index}o")
        before = channels
    mean = make.add("ReduceMean", [make.conv(x, "last", before, 1)], "mean", axes=[2, 3])
    mask = make.add("Add", [make.conv("r1o", "mask", STATES[0], 1), mean], "both")
    make.add("Shape", ["src"], "size")
    make.add("Shape", [mask], "mask_size")
    for name, start, end in (("two", 2, 4), ("none", 0, 2)):
        make.constant(f"{name}.start", [start], np.int64)
        make.constant(f"{name}.end", [end], np.int64)
    make.add("Slice", ["size", "two.start", "two.end"], "sides")
    make.add("Slice", ["mask_size", "none.start", "none.end"], "front")
    make.add("Concat", ["front", "sides"], "target", axis=0)
    make.add("Resize", [mask, "", "", "target"], "large", mode="linear")
    make.add("Sigmoid", ["large"], "pha")
    make.conv("src", "fgr", 3, 3)
    free = [None, None, None, None]
    states = [(f"r{n}i", [None, c, None, None]) for n, c in enumerate(STATES, 1)]
    return make.write(
        path,
        [("src", [None, 3, None, None]), *states, ("downsample_ratio", [1])],
        [("fgr", free), ("pha", [None, 1, None, None]), *((f"r{n}o", free) for n in range(1, 5))],
    )


def modnet(path):
    """input -> output through a sigmoid, any size."""
    make = Maker()
    make.add("Sigmoid", [make.conv("input", "mask", 3, 1)], "output")
    return make.write(path, [("input", [None, 3, None, None])], [("output", [None, 1, None, None])])


def depthwise(path, channels=6):
    """A mobile network's block: pointwise, depthwise with half the size, pointwise; ReLU6."""
    make = Maker()
    make.constant("zero", 0), make.constant("six", 6)

    def layer(x, name, shape, **attributes):
        outputs = shape[0]
        make.constant(f"{name}.w", make.rng.normal(0, 2, shape))
        for part, low in (("scale", 0.5), ("shift", 0), ("mean", -0.5), ("variance", 0.5)):
            make.constant(f"{name}.{part}", make.rng.uniform(low, low + 1, outputs))
        make.add("Conv", [x, f"{name}.w"], f"{name}.conv", **attributes)
        parts = [f"{name}.{part}" for part in ("scale", "shift", "mean", "variance")]
        make.add("BatchNormalization", [f"{name}.conv", *parts], f"{name}.norm")
        return make.add("Clip", [f"{name}.norm", "zero", "six"], f"{name}.clip")

    x = layer("input", "widen", (channels, 3, 1, 1))
    x = layer(x, "depth", (channels, 1, 3, 3), group=channels, strides=[2, 2], pads=[1, 1, 1, 1])
    make.constant("twice", [1, 1, 2, 2])
    x = make.add("Resize", [make.conv(x, "last", channels, 1), "", "twice"], "large", mode="linear")
    make.add("Sigmoid", [x], "output")
    return make.write(path, [("input", [None, 3, None, None])], [("output", [None, 1, None, None])])


def segmentation(path, *, channels_last=False, planes=1, bounded=True, size=(32, 64)):
    """One picture of a fixed (height, width) in, one mask out."""
    make, (height, width) = Maker(), size
    x = "picture_in"
    if channels_last:
        x = make.add("Transpose", [x], "first", perm=[0, 3, 1, 2])
    x = make.conv(x, "mask", 3, planes)
    if bounded:
        x = (
            make.add("Sigmoid", [x], "sigmoid")
            if planes == 1
            else make.add("Softmax", [x], "softmax", axis=1)
        )
    if channels_last:
        make.add("Transpose", [x], "mask_out", perm=[0, 2, 3, 1])
        shapes = [1, height, width, 3], [1, height, width, planes]
    else:
        make.add("Identity", [x], "mask_out")
        shapes = [1, 3, height, width], [1, planes, height, width]
    return make.write(path, [("picture_in", shapes[0])], [("mask_out", shapes[1])])


def background_matting(path):
    """src, bgr -> pha, fgr."""
    make = Maker()
    make.add("Sub", ["src", "bgr"], "difference")
    make.add("Abs", ["difference"], "distance")
    make.add("ReduceMean", ["distance"], "pha", axes=[1])
    make.add("Identity", ["src"], "fgr")
    picture = [1, 3, None, None]
    return make.write(
        path, [("src", picture), ("bgr", picture)], [("pha", [1, 1, None, None]), ("fgr", picture)]
    )


def classifier(path):
    """No mask at all."""
    make = Maker()
    make.add("ReduceMean", [make.conv("data", "c", 3, 10)], "scores", axes=[2, 3], keepdims=0)
    return make.write(path, [("data", [1, 3, 32, 32])], [("scores", [1, 10])])
