"""torch: the reference on a CPU, and CUDA where TensorRT is not; needs the `torch` extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.backends.openvino import state_shapes
from mattecast.engines.engine import CheckedEngine, EngineInfo, Estimate
from mattecast.engines.errors import EngineError, refuse
from mattecast.engines.onnx_prepare import prepared
from mattecast.engines.spec import ModelSpec, matte_of, plate_for

if TYPE_CHECKING:
    import torch

_MISSING = "the torch back-end is not installed: pip install 'mattecast[torch]'"
# Runs before a CUDA graph is recorded: libraries choose their kernels and make their buffers.
_WARM_UP = 3


class TorchEngine(CheckedEngine):
    """The ONNX file run by torch: f32 on a CPU, f16 on CUDA unless told otherwise.

    On CUDA the whole step, states included, is one recorded CUDA graph on a stream of its own;
    recorded=False runs it operation by operation.
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
        torch = _torch()
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
        with _translated("load the network"), torch.inference_mode():
            self._graph = Graph(prepared(spec, size, precision), self._device)
            self._inputs = self._buffers(size, plate)
            self._replay = self._recorded() if cuda and recorded else None

    def _estimate(self, picture: NDArray[np.uint8]) -> Estimate:
        spec, torch = self._spec, self._torch
        with _translated("run on a picture"), torch.inference_mode():
            self._inputs[spec.picture].copy_(torch.from_numpy(picture)[None])
            outputs = self._replay() if self._replay else self._step()
            alpha = outputs[spec.alpha].cpu().numpy()
            residual = outputs[spec.foreground].cpu().numpy() if spec.foreground else None
        matte, (width, height) = matte_of(spec, alpha, self.info.size), self.info.size
        return Estimate(matte, None if residual is None else residual.reshape(height, width, 3))

    def _step(self) -> dict[str, torch.Tensor]:
        """One run; the new states go where the next run reads them."""
        outputs = self._graph.run(self._inputs)
        for source, target, _ in self._spec.states:
            self._inputs[source].copy_(outputs[target])
        return outputs

    def _recorded(self) -> Any:
        """The step as a CUDA graph: fixed buffers in, fixed buffers out, one launch."""
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
        for source, _, _ in self._spec.states:
            self._inputs[source].zero_()

    def _forget(self) -> None:
        with _translated("forget a clip"), self._torch.inference_mode():
            self._zero_states()

    def _release(self) -> None:
        self._inputs, self._replay = {}, None
        del self._graph


@contextmanager
def _translated(deed: str) -> Iterator[None]:
    """torch's errors, a full or a dead GPU's too, in one line."""
    try:
        yield
    except RuntimeError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EngineError(f"torch could not {deed} ({reason})") from error


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        refuse(error, _MISSING)
    return torch


def _device(torch: Any, name: str) -> Any:
    """torch's device of a name such as 'cpu', 'cuda' or 'cuda:1'; EngineError when not here."""
    if name.startswith("cuda") and not torch.cuda.is_available():
        built = "" if torch.version.cuda else ": this torch was built without CUDA"
        raise EngineError(f"device '{name}': torch sees no NVIDIA GPU{built}")
    if name != "cpu" and not name.startswith("cuda"):
        raise EngineError(f"device '{name}': the torch back-end runs on cpu and cuda")
    return torch.device(name)
