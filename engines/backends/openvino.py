"""OpenVINO: the default engine, on any x86-64 or arm64 CPU, and on Intel's GPUs and NPUs."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.engine import CheckedEngine, EngineInfo
from mattecast.engines.errors import EngineError
from mattecast.engines.openvino_core import core_of_process, last_line, openvino_package
from mattecast.engines.openvino_graph import fixed_size_graph, openvino_errors
from mattecast.engines.spec import ModelSpec, matte_of, plate_for
from mattecast.engines.store import Key, Store

PRECISIONS = ("f32", "bf16", "f16", "int8")


class OpenVinoEngine(CheckedEngine):
    """One network compiled for one picture size; its recurrent states stay inside OpenVINO.

    device: 'cpu', or OpenVINO's 'GPU', 'GPU.1', 'NPU'. precision: 'auto' is f32, which meets the
    tests' parity bounds on every CPU, but int8 on a CPU for a network that has a quantised file
    (see ModelSpec.quantised). threads: None uses all cores. plate: (h, w, 3) uint8 RGB picture of
    the empty scene, for networks that take one. Raises EngineError for a device that is not here,
    a precision that the device does not compute in, and a network that OpenVINO cannot run.
    """

    def __init__(
        self,
        spec: ModelSpec,
        size: tuple[int, int],
        *,
        device: str = "cpu",
        precision: str = "auto",
        threads: int | None = None,
        why: str = "",
        plate: NDArray[np.uint8] | None = None,
    ) -> None:
        if precision not in ("auto", *PRECISIONS):
            raise EngineError(f"precision '{precision}': OpenVINO runs {', '.join(PRECISIONS)}")
        self._spec = spec
        self._inputs = {spec.plate: plate_for(spec, size, plate)[None]} if spec.plate else {}
        core = core_of_process()
        device = _device_name(core, device)
        requested = _requested_precision(spec, precision, device)
        if requested == "int8":
            spec = replace(spec, path=_quantised_file(spec))
        with openvino_errors(spec.path):
            compiled = _compiled(core, spec, size, device, requested, threads)
            self._request = compiled.create_infer_request()
        actual = requested if requested == "int8" else _compiled_precision(compiled)
        if precision not in ("auto", actual):  # OpenVINO replaces a precision without a message
            raise EngineError(
                f"precision '{precision}': OpenVINO runs {actual} instead on this {device}; "
                f"choose {actual} or auto"
            )
        super().__init__(
            EngineInfo(
                model=spec.name,
                backend="openvino",
                version=_version(),
                precision=actual,
                device=",".join(_execution_devices(compiled)),
                size=size,
                why=why,
            )
        )

    def _infer(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        spec = self._spec
        try:
            outputs = self._request.infer(
                {spec.picture: picture[None], **self._inputs},
                share_inputs=True,
                share_outputs=False,
            )
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on a picture ({last_line(error)})") from error
        return matte_of(spec, outputs[spec.alpha], self.info.size)

    def _zero_states(self) -> None:
        self._request.reset_state()

    def _release(self) -> None:
        self._request = None


def inference_options(device: str, precision: str, threads: int | None) -> dict[str, object]:
    """OpenVINO's properties for one picture at a time with the least delay.

    The precision hint is explicit: by itself OpenVINO takes bf16 where the CPU has it, and the
    parity bounds would hold on some machines only.
    """
    openvino = openvino_package()
    # A quantised file states itself which operations are int8; the others run in f32.
    floats = "f32" if precision == "int8" else precision
    options: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": getattr(openvino.Type, floats),
    }
    if device == "CPU":
        options |= {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads or os.cpu_count() or 1}
    return options


def _requested_precision(spec: ModelSpec, precision: str, device: str) -> str:
    """The precision asked for, or the one that 'auto' stands for."""
    if precision != "auto":
        return precision
    return "int8" if device == "CPU" and spec.quantised.is_file() else "f32"


def _quantised_file(spec: ModelSpec) -> Path:
    """The int8 file of a network; raises EngineError when there is none."""
    if not spec.quantised.is_file():
        raise EngineError(
            f"precision 'int8': {spec.name} has no {spec.quantised}; "
            "scripts/data/quantise.py makes one"
        )
    return spec.quantised


def _compiled(
    core: Any,
    spec: ModelSpec,
    size: tuple[int, int],
    device: str,
    precision: str,
    threads: int | None,
) -> Any:
    """The compiled network; it is read from the store where it was built before."""
    options = inference_options(device, precision, threads)
    if "EXPORT_IMPORT" not in core.get_property(device, "OPTIMIZATION_CAPABILITIES"):
        return core.compile_model(_graph(spec, size), device, options)
    key = Key(
        model=spec.sha256,
        backend="openvino",
        version=_version(),
        size=size,
        precision=precision,
        flags=spec.flags(size),
        device=_device_description(core, device),
    )

    def build() -> bytes:
        compiled = core.compile_model(_graph(spec, size), device, options)
        return bytes(compiled.export_model().getbuffer())

    def load(blob: bytes) -> Any:
        with openvino_errors(spec.path):
            return core.import_model(io.BytesIO(blob), device, options)

    return Store().fetch(key, spec.name, build, load)


def _graph(spec: ModelSpec, size: tuple[int, int]) -> Any:
    """The network with uint8 pictures of one fixed size in, alpha out, and its states inside.

    With static shapes OpenVINO plans its memory once. States inside cost nothing on a CPU (1.00 of
    the time with states as inputs and outputs, f32 and bf16) and stay on the device on a GPU.
    """
    model = fixed_size_graph(spec, size)
    _remove_unused_outputs(model, spec)
    _make_stateful(model, spec)
    return model


def _remove_unused_outputs(model: Any, spec: ModelSpec) -> None:
    """Remove the outputs that the spec does not name, so that OpenVINO does not compute them."""
    for result in model.get_results():
        if not spec.outputs & result.input_value(0).get_names():
            model.remove_result(result)


def _make_stateful(model: Any, spec: ModelSpec) -> None:
    """Join each state's output to its input, so that OpenVINO keeps the state between pictures."""
    if not spec.states:
        return
    from openvino.passes import MakeStateful, Manager

    inputs = {one.output(0).any_name: one for one in model.get_parameters()}
    outputs = {one.input_value(0).any_name: one for one in model.get_results()}
    manager = Manager()
    manager.register_pass(MakeStateful([(inputs[s], outputs[t]) for s, t, _ in spec.states]))
    manager.run_passes(model)


def _device_name(core: Any, name: str) -> str:
    """OpenVINO's name of a device: 'cpu' becomes 'CPU'; 'GPU', 'GPU.1', 'NPU' stay as they are.

    Raises EngineError for a device that OpenVINO does not see.
    """
    name = name.upper()
    available = core.available_devices
    if name.partition(".")[0] not in {one.partition(".")[0] for one in available}:
        raise EngineError(
            f"device '{name}': OpenVINO sees {', '.join(available)} here; Intel GPUs and NPUs need "
            "their compute driver installed"
        )
    return name


def _device_description(core: Any, device: str) -> str:
    """The device's name and capabilities, on which a compiled network depends.

    The name alone is not enough: virtual machines give different CPUs one name.
    """
    capabilities = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    return f"{core.get_property(device, 'FULL_DEVICE_NAME')} ({', '.join(sorted(capabilities))})"


def _compiled_precision(compiled: Any) -> str:
    """The precision that a compiled network computes in, by our names."""
    names = {"float": "f32", "float32": "f32", "bfloat16": "bf16", "float16": "f16"}
    name = str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())
    return names.get(name, name)


def _execution_devices(compiled: Any) -> list[str]:
    devices = compiled.get_property("EXECUTION_DEVICES")
    return [devices] if isinstance(devices, str) else [str(one) for one in devices]


def _version() -> str:
    return str(openvino_package().__version__).split("-")[0]
