"""The run-time half of TensorRT: a plan is the prepared ONNX file, and torch executes it.

Types and values are those of the file, so that half precision here is half precision.
"""

from __future__ import annotations

import ctypes

import numpy as np
import onnx
import torch

from mattecast.engines.backends.torch_graph import Graph
from mattecast.engines.onnx_prepare import prepared

TYPES = {1: np.float32, 2: np.uint8, 10: np.float16}


def module(cuda):
    """A stand-in for the tensorrt_rtx module on a FakeCuda."""

    class ILogger:
        ERROR, INTERNAL_ERROR = 1, 0

    class BuilderFlag:
        REQUIRE_USER_ALLOCATION = 1

    class ExecutionContextAllocationStrategy:
        USER_MANAGED = 2

    class Runtime:
        def __init__(self, logger):
            self.logger = logger

        def deserialize_cuda_engine(self, data):
            try:
                return Plan(onnx.load_from_string(data), cuda)
            except Exception:
                self.logger.log(ILogger.ERROR, "Error Code 6: plan of another version")
                return None

    names = {name: value for name, value in locals().items() if name != "cuda"}
    return type(
        "tensorrt_rtx",
        (),
        {
            **names,
            "__name__": "tensorrt_rtx",
            "__version__": "1.0",
            "nptype": staticmethod(np.dtype),
            "ComputeCapability": type("C", (), {"__members__": ("SM75", "SM89", "SM120")}),
        },
    )


def build_plan(trt, spec, sizes, precision, capability=None):
    """In place of mattecast.engines.backends.tensorrt_plan.build_plan."""
    return prepared(spec, sizes.usual, precision).SerializeToString()


class Plan:
    device_memory_size_v2 = 64

    def __init__(self, model, cuda):
        self.cuda, self.graph = cuda, Graph(model, torch.device("cpu"))
        self.inputs = [port.name for port in model.graph.input]
        ports = [*model.graph.input, *model.graph.output]
        self.types = {port.name: TYPES[port.type.tensor_type.elem_type] for port in ports}
        self.names = [port.name for port in ports]
        self.num_io_tensors = len(ports)

    def get_tensor_name(self, index):
        return self.names[index]

    def get_tensor_dtype(self, name):
        return self.types[name]

    def create_runtime_config(self):
        return Config()

    def create_execution_context(self, config):
        assert config.strategy == 2 and config.cache is not None
        return Context(self)


class Config:
    strategy = cache = None

    def set_execution_context_allocation_strategy(self, strategy):
        self.strategy = strategy

    def create_runtime_cache(self):
        return Kernels()

    def set_runtime_cache(self, cache):
        self.cache = cache


class Kernels:
    read = None  # what the last one was given, for a test

    def deserialize(self, data):
        Kernels.read = data

    def serialize(self):
        return b"kernels"


class Context:
    fails = False  # set by a test: the GPU dies

    def __init__(self, plan):
        self.plan, self.shapes, self.addresses = plan, {}, {}

    def set_device_memory(self, address, size):
        ctypes.memset(address, 0, size)

    def set_input_shape(self, name, shape):
        self.shapes[name] = tuple(shape)

    def get_tensor_shape(self, name):
        if name not in self.shapes:
            self.shapes |= {key: value.shape for key, value in self.run(self.zeros()).items()}
        return self.shapes[name]

    def set_tensor_address(self, name, address):
        self.addresses[name] = address

    def is_stream_capturable(self, stream):
        return True

    def zeros(self):
        return {
            name: np.zeros(self.shapes[name], self.plan.types[name]) for name in self.plan.inputs
        }

    def run(self, inputs):
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(value.copy()) for name, value in inputs.items()}
            outputs = self.plan.graph.run(tensors)
        return {name: value.contiguous().numpy() for name, value in outputs.items()}

    def execute_async_v3(self, stream):
        if Context.fails:
            return False
        self.plan.cuda.queue(self.execute)
        return True

    def execute(self):
        inputs = {}
        for name, like in self.zeros().items():
            ctypes.memmove(like.ctypes.data, self.addresses[name], like.nbytes)
            inputs[name] = like
        for name, value in self.run(inputs).items():
            ctypes.memmove(self.addresses[name], value.ctypes.data, value.nbytes)
