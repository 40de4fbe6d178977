"""The part of CUDA that running a TensorRT plan needs: a device, a stream, buffers, a graph.

It uses cuda-bindings, NVIDIA's wrapper of the runtime (8 MB). torch or CuPy would bring hundreds of
megabytes and their own rules for streams and memory; a wrapper of our own over ctypes would have to
follow every version of CUDA.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from mattecast.engines.errors import EngineError, refuse

_MISSING = "cuda-bindings is not installed: pip install 'mattecast[tensorrt-rtx]'"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU. capability: (major, minor). driver: the CUDA version that it supports."""

    index: int
    name: str
    capability: tuple[int, int]
    driver: str


def no_driver() -> str | None:
    """Why no NVIDIA GPU can be used, or None. It only looks for the driver's library."""
    library = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    if sys.platform == "darwin":
        return "no NVIDIA GPU"
    try:
        ctypes.CDLL(library)
    except OSError:
        return "no NVIDIA driver"
    return None


def runtime() -> Any:
    """Import cuda-bindings' runtime; raises EngineError with the line that installs it."""
    try:
        from cuda.bindings import runtime as module
    except ImportError as error:
        refuse(error, _MISSING)
    return module


def gpu(device: str) -> Gpu:
    """The GPU named 'cuda' or 'cuda:N'; raises EngineError when there is no such GPU."""
    cuda = runtime()
    index = int(device.partition(":")[2] or 0)
    (count,) = _call(cuda, cuda.cudaGetDeviceCount)
    if index >= count:
        raise EngineError(f"device '{device}': there are {count} NVIDIA GPUs, counted from 0")
    (properties,) = _call(cuda, cuda.cudaGetDeviceProperties, index)
    (driver,) = _call(cuda, cuda.cudaDriverGetVersion)
    name = properties.name.split(b"\0")[0].decode()
    version = f"{driver // 1000}.{driver % 1000 // 10}"
    return Gpu(index, name, (properties.major, properties.minor), version)


class Stream:
    """A stream on one GPU, and the buffers that it uses; close() frees all of them.

    index: of the GPU. Addresses are integers. Work is queued in order; wait() returns when the
    queue is empty.
    """

    def __init__(self, index: int) -> None:
        self._cuda = runtime()
        self._device: list[int] = []
        self._pinned: list[int] = []
        self._graphs: list[Any] = []
        self._index = index
        self.enter()
        (self.handle,) = self._do("cudaStreamCreateWithFlags", self._cuda.cudaStreamNonBlocking)

    def enter(self) -> None:
        """Select this stream's GPU for the calling thread, as CUDA requires of each thread."""
        self._do("cudaSetDevice", self._index)

    def allocate(self, size: int) -> int:
        """Allocate `size` bytes of GPU memory, set to zero, and return their address."""
        (address,) = self._do("cudaMalloc", max(1, size))
        self._device.append(int(address))
        self.zero(int(address), size)
        return int(address)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in page-locked memory, which the GPU copies without the CPU's help."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        (address,) = self._do("cudaHostAlloc", max(1, size), 0)
        self._pinned.append(int(address))
        memory = (ctypes.c_ubyte * size).from_address(int(address))
        array: NDArray[Any] = np.frombuffer(memoryview(memory).cast("B"), dtype).reshape(shape)
        return array

    def zero(self, address: int, size: int) -> None:
        """Queue work that sets GPU memory to zero."""
        self._do("cudaMemsetAsync", address, 0, size, self.handle)

    def copy(self, target: int, source: int, size: int) -> None:
        """Queue a copy between two addresses, in pinned or in GPU memory."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDefault
        self._do("cudaMemcpyAsync", target, source, size, kind, self.handle)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what `work` queues as a CUDA graph; the result queues all of it by one launch."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._do("cudaStreamBeginCapture", self.handle, mode)
        try:
            work()
        finally:
            (graph,) = self._do("cudaStreamEndCapture", self.handle)
        (launchable,) = self._do("cudaGraphInstantiate", graph, 0)
        self._do("cudaGraphDestroy", graph)
        self._graphs.append(launchable)
        return lambda: self._launch(launchable)

    def _launch(self, graph: Any) -> None:
        self._do("cudaGraphLaunch", graph, self.handle)

    def wait(self) -> None:
        """Return when all queued work is done."""
        self._do("cudaStreamSynchronize", self.handle)

    def close(self) -> None:
        """Free everything; errors are ignored, because a failed GPU cannot free anything."""
        cuda = self._cuda
        for graph in self._graphs:
            cuda.cudaGraphExecDestroy(graph)
        for address in self._device:
            cuda.cudaFree(address)
        for address in self._pinned:
            cuda.cudaFreeHost(address)
        cuda.cudaStreamDestroy(self.handle)

    def _do(self, name: str, *arguments: Any) -> tuple[Any, ...]:
        return _call(self._cuda, getattr(self._cuda, name), *arguments)


def _call(cuda: Any, function: Callable[..., tuple[Any, ...]], *arguments: Any) -> tuple[Any, ...]:
    """Call a function of the runtime; raises EngineError with a hint where it fails."""
    error, *results = function(*arguments)
    if error == cuda.cudaError_t.cudaSuccess:
        return tuple(results)
    text = cuda.cudaGetErrorString(error)[1].decode()
    name = str(getattr(error, "name", error))
    raise EngineError(f"CUDA: {text}{_hint(name)}")


def _hint(error: str) -> str:
    hints = {
        "cudaErrorMemoryAllocation": "; choose a smaller --network-size, or free GPU memory",
        "cudaErrorInsufficientDriver": "; install or update the NVIDIA driver",
        "cudaErrorNoDevice": "; no NVIDIA GPU is visible (CUDA_VISIBLE_DEVICES may hide it)",
    }
    return hints.get(error, "")
