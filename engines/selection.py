"""The choice of a back-end: a written order for 'auto', otherwise only what was asked for."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.cuda import no_driver
from mattecast.engines.engine import Engine
from mattecast.engines.errors import EngineError
from mattecast.engines.fallback import FallbackEngine
from mattecast.engines.library import find
from mattecast.engines.spec import ModelSpec, check_size, plate_for

BACKENDS = ("openvino", "tensorrt", "torch")


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, whichever back-end serves it. size: (width, height)."""

    spec: ModelSpec
    size: tuple[int, int]
    precision: str
    threads: int | None
    plate: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a network.

    kind: 'cuda', 'cpu', or one of OpenVINO's device names. why_absent: gives the reason why this
    machine cannot run it, or None.
    """

    backend: str
    kind: str
    why_absent: Callable[[], str | None]

    def __str__(self) -> str:
        return f"{self.backend} on {self.kind}"


def load(
    model: str | ModelSpec,
    size: tuple[int, int],
    *,
    backend: str = "auto",
    precision: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    plate: NDArray[np.uint8] | None = None,
    fallback: bool = False,
) -> Engine:
    """Load a network for pictures of size = (width, height), multiples of the model's own.

    model: a name or path (see mattecast.engines.library.find), or a spec. backend, device: 'auto'
    takes the first of ORDER that loads; a named one is never replaced by another. device: 'cpu',
    'cuda', 'cuda:1', or OpenVINO's 'GPU', 'GPU.1', 'NPU'. plate: (h, w, 3) uint8 RGB of the empty
    scene, for networks that need it. fallback: when a GPU fails in mid-clip, go on with the CPU
    instead of raising. Raises EngineError with every reason when nothing loads, and ValueError for
    an impossible size, plate or number of threads.
    """
    spec = find(model) if isinstance(model, str) else model
    check_size(spec, size)
    if threads is not None and threads < 1:
        raise ValueError(f"threads {threads}: expected 1 or more")
    if spec.plate:
        plate_for(spec, size, plate)
    device = _normalised_device(device)
    request = Request(spec, size, precision, threads, plate)
    engine = _load_first(request, backend, device)
    if fallback and not engine.info.device.startswith("CPU"):
        # The precision that was asked for was meant for the GPU.
        on_cpu = replace(request, precision="auto")
        return FallbackEngine(engine, lambda why: _load_first(on_cpu, "auto", "cpu", why))
    return engine


def _load_first(request: Request, backend: str, device: str, why: str = "") -> Engine:
    """Load the first candidate that can run here; why: the reason to give instead of the usual."""
    if backend not in ("auto", *BACKENDS):
        raise EngineError(f"backend '{backend}' is not known: choose auto, {', '.join(BACKENDS)}")
    chosen = _candidates(backend, device)
    reasons: list[str] = []
    for candidate in chosen:
        place = device if device != "auto" else candidate.kind
        choice = why or _reason_for_choice(reasons, only_one=len(chosen) == 1)
        reason = candidate.why_absent()
        if reason is None:
            try:
                return _open(candidate.backend, request, place, choice)
            except EngineError as error:
                if len(chosen) == 1:
                    raise
                reason = str(error)
        reasons.append(f"{candidate}: {reason}")
    raise EngineError(f"nothing can run {request.spec.name} - {'; '.join(reasons)}")


def _normalised_device(name: str) -> str:
    """A device name: 'auto', 'cpu', 'cuda' and 'cuda:N' in lower case, OpenVINO's names unchanged.

    Raises EngineError for an impossible name.
    """
    if re.fullmatch(r"auto|cpu|cuda(:\d+)?", name.lower()):
        return name.lower()
    if not name or name.lower().startswith(("cpu", "cuda")):
        raise EngineError(
            f"device '{name}': expected auto, cpu, cuda, cuda:1, or OpenVINO's GPU, GPU.1, NPU"
        )
    return name


def _candidates(backend: str, device: str) -> list[Candidate]:
    """The candidates that fit a back-end and a device; raises EngineError when none does."""
    kind = device.partition(":")[0]
    if kind not in ("auto", "cpu", "cuda"):
        # Only OpenVINO has device names like this: Intel's GPUs and NPUs.
        if backend not in ("auto", "openvino"):
            raise EngineError(f"device '{device}': {backend} runs on cpu or cuda")
        return [Candidate("openvino", device, lambda: None)]
    chosen = [
        one for one in ORDER if backend in ("auto", one.backend) and kind in ("auto", one.kind)
    ]
    if not chosen:
        raise EngineError(f"backend '{backend}' does not run on device '{device}'")
    return chosen


def _reason_for_choice(reasons: list[str], *, only_one: bool) -> str:
    if only_one:
        return "asked for"
    return f"chosen automatically; passed over {'; '.join(reasons)}" if reasons else "first choice"


def _open(backend: str, request: Request, device: str, why: str) -> Engine:
    spec, size, precision = request.spec, request.size, request.precision
    if backend == "tensorrt":
        from mattecast.engines.backends.tensorrt import TensorRtEngine

        return TensorRtEngine(
            spec, size, device=device, precision=precision, why=why, plate=request.plate
        )
    if backend == "torch":
        from mattecast.engines.backends.torch import TorchEngine

        return TorchEngine(
            spec,
            size,
            device=device,
            precision=precision,
            why=why,
            threads=request.threads,
            plate=request.plate,
        )
    from mattecast.engines.backends.openvino import OpenVinoEngine

    return OpenVinoEngine(
        spec,
        size,
        device=device,
        precision=precision,
        why=why,
        threads=request.threads,
        plate=request.plate,
    )


def _no_tensorrt() -> str | None:
    return no_driver() or _not_installed("tensorrt_rtx", "tensorrt")


def _no_torch_cuda() -> str | None:
    return no_driver() or _not_installed("torch")


def _not_installed(*packages: str) -> str | None:
    if any(importlib.util.find_spec(package) for package in packages):
        return None
    return f"{' and '.join(packages)} not installed"


ORDER = (
    Candidate("tensorrt", "cuda", _no_tensorrt),
    Candidate("torch", "cuda", _no_torch_cuda),
    Candidate("openvino", "cpu", lambda: _not_installed("openvino")),
    Candidate("torch", "cpu", lambda: _not_installed("torch")),
)
