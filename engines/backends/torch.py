"""torch: the reference on a CPU, and CUDA where there is no TensorRT; needs the `torch` extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.engine import CheckedEngine, EngineInfo
from mattecast.engines.errors import EngineError, refuse
from mattecast.engines.onnx_prepare import prepared
from mattecast.engines.openvino_graph import state_shapes
from mattecast.engines.spec import ModelSpec, matte_of, plate_for

if TYPE_CHECKING:
    import torch

_MISSING = "the torch back-end is not installed: pip install 'mattecast[torch]'"
# Runs before a CUDA graph is recorded, in which libraries choose kernels and allocate buffers.
_WARM_UP = 3


class TorchEngine(CheckedEngine):
    """An ONNX network run by torch.

    precision: 'auto' is f32 on a CPU and f16 on CUDA. On CUDA the whole step, states included, is
    one recorded CUDA graph on a stream of its own; recorded=False runs the step operation by
    operation. Raises EngineError for a missing package, device or operation.
    """

    def __init__(
        self,
        spec: ModelSpec,
        size: tuple[int, int],
        *,
        device: str = "cpu",
        precision: str = "auto",
        why: str = "",
        plate: NDArray[np.uint8] | None = None,
        threads: int | None = None,
        recorded: bool = True,
    ) -> None:
        torch = torch_package()
        self._torch, self._spec = torch, spec
        self._device = _device(torch, device)
        cuda = self._device.type == "cuda"
        allowed = ("f32", "f16") if cuda else ("f32",)
        precision = allowed[-1] if precision == "auto" else precision
        if precision not in allowed:
            raise EngineError(f"precision '{precision}': torch runs {', '.join(allowed)} here")
        if threads and not cuda:
            torch.set_num_threads(threads)
        from mattecast.engines.backends.torch_graph import Graph

        super().__init__(
            EngineInfo(
                model=spec.name,
                backend="torch",
                version=torch.__version__,
                precision=precision,
                device=torch.cuda.get_device_name(self._device) if cuda else "CPU",
                size=size,
                why=why,
            )
        )
        with _torch_errors("load the network"), torch.inference_mode():
            self._graph = Graph(prepared(spec, size, precision), self._device)
            self._inputs = self._buffers(size, plate)
            self._replay = self._record() if cuda and recorded else None

    def _infer(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        spec, torch = self._spec, self._torch
        with _torch_errors("run on a picture"), torch.inference_mode():
            self._inputs[spec.picture].copy_(torch.from_numpy(picture)[None])
            outputs = self._replay() if self._replay else self._step()
            alpha = outputs[spec.alpha].cpu().numpy()
        return matte_of(spec, alpha, self.info.size)

    def _step(self) -> dict[str, torch.Tensor]:
        """Run once, and copy the new states to where the next run reads them."""
        outputs = self._graph.run(self._inputs)
        for source, target, _ in self._spec.states:
            self._inputs[source].copy_(outputs[target])
        return outputs

    def _record(self) -> Any:
        """Record the step as a CUDA graph, which one launch replays on the same buffers."""
        torch = self._torch
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._step()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device), torch.cuda.graph(graph):
            outputs = self._step()
        self._zero_states()

        def replay() -> Any:
            graph.replay()
            return outputs

        return replay

    def _buffers(
        self, size: tuple[int, int], plate: NDArray[np.uint8] | None
    ) -> dict[str, torch.Tensor]:
        torch, spec = self._torch, self._spec
        width, height = size
        shape = (1, height, width, 3)
        buffers = {spec.picture: torch.zeros(shape, dtype=torch.uint8, device=self._device)}
        if spec.plate:
            checked = torch.from_numpy(plate_for(spec, size, plate))[None]
            buffers[spec.plate] = checked.to(self._device)
        half = torch.float16 if self.info.precision == "f16" else torch.float32
        for name, sides in state_shapes(spec, size).items():
            buffers[name] = torch.zeros(sides, dtype=half, device=self._device)
        return buffers

    def _zero_states(self) -> None:
        with _torch_errors("reset the states"), self._torch.inference_mode():
            for source, _, _ in self._spec.states:
                self._inputs[source].zero_()

    def _release(self) -> None:
        self._inputs, self._replay = {}, None
        del self._graph


@contextmanager
def _torch_errors(attempt: str) -> Iterator[None]:
    """Turn torch's errors (also of a full or a dead GPU) into one-line EngineErrors."""
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineError(f"torch could not {attempt} ({reason})") from error


def torch_package() -> Any:
    """Import torch; raises EngineError with the line that installs it."""
    try:
        import torch
    except ImportError as error:
        refuse(error, _MISSING)
    return torch


def _device(torch: Any, name: str) -> Any:
    """torch's device of a name such as 'cpu', 'cuda' or 'cuda:1'.

    Raises EngineError for a device that torch does not see.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        built = "" if torch.version.cuda else ": this torch was built without CUDA"
        raise EngineError(f"device '{name}': torch sees no NVIDIA GPU{built}")
    if name != "cpu" and not name.startswith("cuda"):
        raise EngineError(f"device '{name}': the torch back-end runs on cpu and cuda")
    return torch.device(name)
