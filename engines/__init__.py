"""Picture in, matte out: networks and the programs that run them. Knows nothing of video."""

from __future__ import annotations

from mattecast.engines.engine import Engine, EngineInfo, Estimate
from mattecast.engines.errors import EngineError
from mattecast.engines.models import ModelSpec, find, network_size

BACKENDS = ("openvino", "torch")


def load(
    model: str | ModelSpec,
    size: tuple[int, int],
    *,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
) -> Engine:
    """Load a network for pictures of size = (width, height), multiples of the model's own.

    backend 'auto' is OpenVINO, which every install has; 'torch' is the slower reference. An
    explicit choice never falls back. Raises EngineError when it cannot be loaded.
    """
    spec = find(model) if isinstance(model, str) else model
    if any(side % spec.multiple or side <= 0 for side in size):
        raise ValueError(f"size {size}: both sides must be multiples of {spec.multiple}")
    if backend in ("auto", "openvino"):
        from mattecast.engines.openvino import OpenVinoEngine

        why = "the default on a CPU" if backend == "auto" else "asked for"
        return OpenVinoEngine(spec, size, precision=precision, threads=threads, why=why)
    if backend == "torch":
        from mattecast.engines.torch import TorchEngine

        return TorchEngine(spec, size, precision=precision, threads=threads, why="asked for")
    raise EngineError(f"backend '{backend}' is not known: choose auto, {', '.join(BACKENDS)}")


__all__ = ["Engine", "EngineError", "EngineInfo", "Estimate", "ModelSpec", "find", "load",
           "network_size"]  # fmt: skip
