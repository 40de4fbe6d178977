"""TensorRT: one engine over `tensorrt_rtx` (RTX cards) and `tensorrt` (data-centre cards).

A plan (see backends.tensorrt_plan) is built once for a GPU, kept in the store, and run as one CUDA
graph a step: uint8 pictures go up through pinned memory, states stay on the GPU.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mattecast.engines import cuda
from mattecast.engines.backends.tensorrt_plan import (
    Size,
    SizeRange,
    build_plan,
    input_shapes,
    is_rtx,
    last_error,
    logger,
    memory_hint,
    package_for,
)
from mattecast.engines.engine import CheckedEngine, EngineInfo
from mattecast.engines.errors import EngineError
from mattecast.engines.spec import ModelSpec, matte_of, plate_for
from mattecast.engines.store import Key, Store

_LOG = logging.getLogger("mattecast.engines")
PRECISIONS = ("f16", "f32")
# Pinned buffers for results: the result of one step stays intact while the next step runs.
_RING = 2


class TensorRtEngine(CheckedEngine):
    """A plan on one NVIDIA GPU; a step is one CUDA graph, states included, on a stream of its own.

    precision: 'f16' (also for 'auto') or 'f32'. sizes: the picture sizes that the plan serves,
    instead of `size` alone. recorded=False queues a step operation by operation instead of as a
    graph. Raises EngineError for a missing package or GPU, and where the plan cannot be built.
    """

    def __init__(
        self,
        spec: ModelSpec,
        size: Size,
        *,
        device: str = "cuda",
        precision: str = "auto",
        why: str = "",
        plate: NDArray[np.uint8] | None = None,
        sizes: SizeRange | None = None,
        recorded: bool = True,
    ) -> None:
        precision = "f16" if precision == "auto" else precision
        if precision not in PRECISIONS:
            raise EngineError(f"precision '{precision}': TensorRT runs {', '.join(PRECISIONS)}")
        gpu = cuda.gpu(device)
        trt = package_for(gpu.capability)
        sizes = sizes or SizeRange.only(size)
        if size not in sizes:
            raise ValueError(f"size {size} is outside {sizes.smallest} to {sizes.largest}")
        super().__init__(
            EngineInfo(
                model=spec.name,
                backend=trt.__name__.replace("_bindings", ""),
                version=trt.__version__,
                precision=precision,
                device=gpu.name,
                size=size,
                why=why,
            )
        )
        self._spec, self._trt = spec, trt
        self._stream = cuda.Stream(gpu.index)
        try:
            key = _key(trt, spec, sizes, precision, gpu)
            self._plan = _stored_plan(trt, spec, sizes, key)
            self._prepare(size, plate, key)
            self._launch = self._record() if recorded else self._enqueue
            self._kernels.save()
        except BaseException:
            self._stream.close()
            raise

    def _prepare(self, size: Size, plate: NDArray[np.uint8] | None, key: Key) -> None:
        """Create a context for one size, and give each input and output its memory."""
        trt, spec, stream = self._trt, self._spec, self._stream
        self._kernels = _Kernels(key)
        self._context = _context(trt, self._plan, stream, self._kernels)
        for name, shape in input_shapes(spec, size).items():
            self._context.set_input_shape(name, shape)
        self._tensors = {name: self._tensor(name) for name in _tensor_names(self._plan)}
        for name, tensor in self._tensors.items():
            self._context.set_tensor_address(name, tensor.address)
        self._picture = stream.pinned(self._tensors[spec.picture].shape, np.uint8)
        alpha = self._tensors[spec.alpha]
        self._results = [stream.pinned(alpha.shape, alpha.dtype) for _ in range(_RING)]
        self._turn = 0
        if spec.plate:
            self._picture[0] = plate_for(spec, size, plate)
            self._upload(spec.plate)
            stream.wait()

    def _tensor(self, name: str) -> Tensor:
        shape = tuple(self._context.get_tensor_shape(name))
        dtype = np.dtype(self._trt.nptype(self._plan.get_tensor_dtype(name)))
        size = int(np.prod(shape)) * dtype.itemsize
        return Tensor(shape, dtype, size, self._stream.allocate(size))

    def _infer(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        spec = self._spec
        self._stream.enter()
        self._picture[0] = picture
        self._upload(spec.picture)
        self._launch()
        result = self._results[self._turn]
        self._turn = (self._turn + 1) % _RING
        self._stream.copy(result.ctypes.data, self._tensors[spec.alpha].address, result.nbytes)
        self._stream.wait()
        return matte_of(spec, result, self.info.size)

    def _upload(self, name: str) -> None:
        self._stream.copy(
            self._tensors[name].address, self._picture.ctypes.data, self._picture.nbytes
        )

    def _enqueue(self) -> None:
        """Queue one step, and copy the new states to where the next step reads them."""
        if not self._context.execute_async_v3(int(self._stream.handle)):
            raise EngineError(f"TensorRT could not run the network ({last_error(self._trt)})")
        for source, target, _ in self._spec.states:
            state = self._tensors[source]
            self._stream.copy(state.address, self._tensors[target].address, state.size)

    def _record(self) -> Callable[[], None]:
        """Record the step as a CUDA graph, or return it as it is where the plan forbids that."""
        self._enqueue()  # the first run compiles kernels and allocates buffers
        self._stream.wait()
        self._zero_states()
        capturable = getattr(self._context, "is_stream_capturable", lambda stream: True)
        if not capturable(int(self._stream.handle)):
            _LOG.info("this plan cannot be recorded; its operations are queued one by one")
            return self._enqueue
        return self._stream.record(self._enqueue)

    def _zero_states(self) -> None:
        self._stream.enter()
        for source, _, _ in self._spec.states:
            self._stream.zero(self._tensors[source].address, self._tensors[source].size)

    def _release(self) -> None:
        self._context = self._plan = None
        self._stream.close()


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output on the GPU. size: bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    size: int
    address: int


def _key(trt: Any, spec: ModelSpec, sizes: SizeRange, precision: str, gpu: cuda.Gpu) -> Key:
    return Key(
        model=spec.sha256,
        backend=trt.__name__,
        version=trt.__version__,
        size=sizes.usual,
        precision=precision,
        flags=(*spec.flags(sizes.usual), f"from {sizes.smallest}", f"to {sizes.largest}"),
        device=f"{gpu.name}, {gpu.capability[0]}.{gpu.capability[1]}, driver {gpu.driver}",
    )


def _stored_plan(trt: Any, spec: ModelSpec, sizes: SizeRange, key: Key) -> Any:
    runtime = trt.Runtime(logger(trt))

    def load(data: bytes) -> Any:
        plan = runtime.deserialize_cuda_engine(data)
        if plan is None:
            raise EngineError(
                "the plan does not load: it was built by another version or for another GPU "
                f"({last_error(trt)})"
            )
        return plan

    return Store().fetch(key, spec.name, lambda: build_plan(trt, spec, sizes, key.precision), load)


class _Kernels:
    """The kernels that TensorRT for RTX compiles when a plan first runs, stored beside the plan."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._cache: Any = None

    def attach(self, config: Any) -> None:
        """Give a runtime configuration the stored kernels; it refuses those that do not fit."""
        self._cache = config.create_runtime_cache()
        if data := Store().read_companion(self._key, ".kernels"):
            self._cache.deserialize(data)
        config.set_runtime_cache(self._cache)

    def save(self) -> None:
        """Store the kernels compiled so far, where this TensorRT compiles any."""
        if self._cache is not None:
            Store().write_companion(self._key, ".kernels", bytes(self._cache.serialize()))


def _context(trt: Any, plan: Any, stream: cuda.Stream, kernels: _Kernels) -> Any:
    """An execution context; TensorRT for RTX needs memory of ours so that it can be recorded."""
    if not is_rtx(trt):
        context = plan.create_execution_context()
    else:
        config = plan.create_runtime_config()
        strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        config.set_execution_context_allocation_strategy(strategy)
        kernels.attach(config)
        context = plan.create_execution_context(config)
    if context is None:
        reason = f"{last_error(trt)}){memory_hint(trt)}"
        raise EngineError(f"TensorRT could not prepare the network ({reason}")
    if is_rtx(trt):
        size = plan.device_memory_size_v2
        context.set_device_memory(stream.allocate(size), size)
    return context


def _tensor_names(plan: Any) -> Iterator[str]:
    return (plan.get_tensor_name(index) for index in range(plan.num_io_tensors))
