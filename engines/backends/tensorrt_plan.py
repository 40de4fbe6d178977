"""Compiling a network into a TensorRT plan, with `tensorrt_rtx` or `tensorrt`.

Networks are strongly typed: the ONNX file states the float type of each operation, and
mattecast.engines.onnx_prepare writes the file in half precision. Only functions that TensorRT 10,
11 and RTX share are used. Flags are shifted by their own values, which differ between 10 and 11.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mattecast.engines.errors import EngineError, raise_interrupt
from mattecast.engines.onnx_prepare import prepared
from mattecast.engines.openvino_graph import state_shapes
from mattecast.engines.spec import ModelSpec, check_size

_LOG = logging.getLogger("mattecast.engines")
# The wheels, in the order they are tried, and the extra that installs each.
PACKAGES = {"tensorrt_rtx": "tensorrt-rtx", "tensorrt": "tensorrt"}

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SizeRange:
    """The picture sizes (width, height) that one plan serves; it is quickest at `usual`."""

    smallest: Size
    usual: Size
    largest: Size

    @classmethod
    def only(cls, size: Size) -> SizeRange:
        """The range of one size, whose plan is the fastest."""
        return cls(size, size, size)

    def __contains__(self, size: Size) -> bool:
        sides = zip(self.smallest, size, self.largest, strict=True)
        return all(low <= side <= high for low, side, high in sides)


def package_for(capability: tuple[int, int]) -> Any:
    """Import the TensorRT package that serves a GPU of this compute capability.

    Raises EngineError with the reason for each package where none does.
    """
    reasons = []
    for name, extra in PACKAGES.items():
        try:
            trt = importlib.import_module(name)
        except Exception as error:  # a stub of the full wheel raises errors of its own
            raise_interrupt(error)
            first = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
            reasons.append(f"{name}: not installed, pip install 'mattecast[{extra}]' ({first})")
            continue
        served = capabilities(trt)
        if served is None or capability in served:
            return trt
        supported = ", ".join(f"{major}.{minor}" for major, minor in served)
        reasons.append(
            f"{name}: serves compute capability {supported}, not {capability[0]}.{capability[1]}"
        )
    raise EngineError(f"no TensorRT for this GPU: {'; '.join(reasons)}")


def is_rtx(trt: Any) -> bool:
    """Whether this is TensorRT for RTX."""
    return hasattr(trt, "ComputeCapability")


def capabilities(trt: Any) -> list[tuple[int, int]] | None:
    """The compute capabilities that TensorRT for RTX serves; None for full TensorRT."""
    if not is_rtx(trt):
        return None
    numbers = [name[2:] for name in trt.ComputeCapability.__members__ if name.startswith("SM")]
    return sorted((int(number[:-1]), int(number[-1])) for number in numbers)


def build_plan(
    trt: Any,
    spec: ModelSpec,
    sizes: SizeRange,
    precision: str,
    capability: tuple[int, int] | None = None,
) -> bytes:
    """Compile a network into a plan; TensorRT for RTX needs no GPU for that.

    capability: the compute capability to build for (RTX only); None builds for the present GPU.
    Raises EngineError with the node that cannot be parsed or the builder's last error, and
    ValueError for sizes that the network does not take.
    """
    for size in (sizes.smallest, sizes.usual, sizes.largest):
        check_size(spec, size)
        if spec.constants(size) != spec.constants(sizes.usual):
            raise ValueError(
                f"size {size}: {spec.ratio} is a constant of a plan and differs from that at "
                f"{sizes.usual}; build a plan for each size"
            )
    with _driver_needed():
        builder = trt.Builder(logger(trt))
    flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flag)
    parser = trt.OnnxParser(network, logger(trt))
    if not parser.parse(prepared(spec, sizes.usual, precision).SerializeToString()):
        raise EngineError(_parse_error(parser, spec))
    config = builder.create_builder_config()
    config.progress_monitor = _progress(trt, spec.name)
    config.add_optimization_profile(_profile(builder, spec, sizes))
    if is_rtx(trt):
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # for a CUDA graph of our own
    if capability is not None:
        _target(trt, config, capability)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        reason = f"{last_error(trt)}){memory_hint(trt)}"
        raise EngineError(f"{spec.path}: TensorRT could not build it ({reason}")
    return bytes(plan)


def input_shapes(spec: ModelSpec, size: Size) -> dict[str, tuple[int, ...]]:
    """Every input's shape for pictures of one size."""
    width, height = size
    pictures = {name: (1, height, width, 3) for name in (spec.picture, spec.plate) if name}
    return {**pictures, **state_shapes(spec, size)}


def _profile(builder: Any, spec: ModelSpec, sizes: SizeRange) -> Any:
    each = [input_shapes(spec, size) for size in (sizes.smallest, sizes.usual, sizes.largest)]
    profile = builder.create_optimization_profile()
    for name in each[0]:
        profile.set_shape(name, *(shapes[name] for shapes in each))
    return profile


def _target(trt: Any, config: Any, capability: tuple[int, int]) -> None:
    served = capabilities(trt)
    if served is None or capability not in served:
        supported = (
            "the present GPU only"
            if served is None
            else ", ".join(f"{major}.{minor}" for major, minor in served)
        )
        raise EngineError(
            f"{trt.__name__} cannot build for compute capability "
            f"{capability[0]}.{capability[1]}: it builds for {supported}"
        )
    config.num_compute_capabilities = 1
    kind = getattr(trt.ComputeCapability, f"SM{capability[0]}{capability[1]}")
    config.set_compute_capability(kind, 0)


def _parse_error(parser: Any, spec: ModelSpec) -> str:
    error = parser.get_error(0)
    reason = error.desc().strip().splitlines()[-1]
    return f"{spec.path}: TensorRT cannot read node '{error.node_name()}' ({reason}); use openvino"


@contextmanager
def _driver_needed() -> Iterator[None]:
    """Turn the TypeError that full TensorRT raises without a driver into an EngineError."""
    try:
        yield
    except TypeError as error:
        raise EngineError("TensorRT found no NVIDIA driver: install it, or use openvino") from error


@functools.cache
def logger(trt: Any) -> Any:
    """The only logger of this process (TensorRT keeps the first); it holds the last errors."""

    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors = [*self.errors[-9:], message]
            _LOG.debug("TensorRT: %s", message)

    return Log()


def last_error(trt: Any) -> str:
    """TensorRT's last error, in one line."""
    errors = logger(trt).errors
    return errors[-1].strip().splitlines()[0] if errors else "it gave no reason"


def memory_hint(trt: Any) -> str:
    """Advice to append to an error message, where one of the last errors is about memory."""
    text = " ".join(logger(trt).errors).lower()
    return "; choose a smaller --network-size" if "memory" in text else ""


def _progress(trt: Any, name: str) -> Any:
    """A monitor that logs the progress of a build in tenths of its outermost phase."""

    class Progress(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.phases: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            if parent is None:
                self.phases[phase] = steps

        def step_complete(self, phase: str, step: int) -> bool:
            steps = self.phases.get(phase, 0)
            if steps >= 10 and step % (steps // 10) == 0:
                _LOG.info("building %s: %d %%", name, round(100 * step / steps))
            return True

        def phase_finish(self, phase: str) -> None:
            self.phases.pop(phase, None)

    return Progress()
