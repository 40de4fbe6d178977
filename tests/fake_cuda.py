"""cuda-bindings' runtime on host memory.

Addresses are real, a stream runs what it is given at once, and a recorded graph runs when launched.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from types import SimpleNamespace


class Code(IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2


class FakeCuda:
    """Counts what is alive, so that a test can see what close() leaves."""

    cudaError_t = Code
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyDefault=4)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)
    cudaStreamNonBlocking = 1

    def __init__(self, *, room=1 << 30, capability=(8, 9)):
        self.memory, self.room, self.capability = {}, room, capability
        self.recording, self.launches = None, 0

    def queue(self, work):
        """What a stream does with work: run it, or remember it while recording."""
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def cudaGetDeviceCount(self):
        return Code.cudaSuccess, 1

    def cudaGetDeviceProperties(self, index):
        major, minor = self.capability
        return Code.cudaSuccess, SimpleNamespace(name=b"Fake GPU\0\0", major=major, minor=minor)

    def cudaDriverGetVersion(self):
        return Code.cudaSuccess, 13020

    def cudaGetErrorString(self, code):
        return Code.cudaSuccess, b"out of memory"

    def cudaSetDevice(self, index):
        return (Code.cudaSuccess,)

    def cudaStreamCreateWithFlags(self, flags):
        return Code.cudaSuccess, 7

    def cudaMalloc(self, size):
        if size > self.room:
            return Code.cudaErrorMemoryAllocation, None
        buffer = ctypes.create_string_buffer(size)
        address = ctypes.addressof(buffer)
        self.memory[address] = buffer
        return Code.cudaSuccess, address

    def cudaHostAlloc(self, size, flags):
        return self.cudaMalloc(size)

    def cudaMemsetAsync(self, address, value, size, stream):
        self.queue(lambda: ctypes.memset(address, value, size))
        return (Code.cudaSuccess,)

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        self.queue(lambda: ctypes.memmove(target, source, size))
        return (Code.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream, mode):
        self.recording = []
        return (Code.cudaSuccess,)

    def cudaStreamEndCapture(self, stream):
        graph, self.recording = self.recording, None
        return Code.cudaSuccess, graph

    def cudaGraphInstantiate(self, graph, flags):
        return Code.cudaSuccess, graph

    def cudaGraphLaunch(self, graph, stream):
        self.launches += 1
        for work in graph:
            work()
        return (Code.cudaSuccess,)

    def cudaStreamSynchronize(self, stream):
        return (Code.cudaSuccess,)

    def cudaFree(self, address):
        del self.memory[address]
        return (Code.cudaSuccess,)

    cudaFreeHost = cudaFree

    def cudaGraphDestroy(self, graph):
        return (Code.cudaSuccess,)

    cudaGraphExecDestroy = cudaStreamDestroy = cudaGraphDestroy
