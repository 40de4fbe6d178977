"""OpenVINO: the default engine, on any x86-64 or arm64 CPU; Intel GPUs and NPUs by device name."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.engine import CheckedEngine, EngineInfo, Estimate
from mattecast.engines.errors import EngineError, refuse
from mattecast.engines.onnx_ports import Port, Ports
from mattecast.engines.spec import ModelSpec, matte_of, plate_for
from mattecast.engines.store import Key, Store

PRECISIONS = ("f32", "bf16", "f16", "int8")
# Operations a mask passes through unchanged on its way out, and those that bound it to 0..1.
_PASSING = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Convert", "Interpolate", "Identity"}
_BOUNDING = {"Sigmoid", "Softmax", "Clamp", "HardSigmoid"}
_CONVERTER = "openvino.tools.ovc"


class OpenVinoEngine(CheckedEngine):
    """One compiled network of one size; its recurrent state stays inside OpenVINO.

    precision 'auto' is f32, for which the parity gates are met on every CPU, but int8 on a CPU for
    a network that has a quantised file beside it (see ModelSpec.quantised); one that the device
    does not compute in is refused. threads None uses all cores. plate: (h, w, 3) uint8 picture of
    the empty scene, for networks that take one.
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
        device = _device(core, device)
        wanted = _wanted(spec, precision, device)
        if wanted == "int8":
            spec = replace(spec, path=_quantised(spec))
        with _translated(spec.path):
            compiled = _compiled(core, spec, size, device, wanted, threads)
            self._request = compiled.create_infer_request()
        runs = wanted if wanted == "int8" else _precision(compiled)
        if precision not in ("auto", runs):  # OpenVINO takes another one without a word
            raise EngineError(
                f"precision '{precision}': OpenVINO runs {runs} in its place on this "
                f"{device}; choose that, or auto"
            )
        super().__init__(
            EngineInfo(
                model=spec.name,
                backend="openvino",
                version=_version(),
                precision=runs,
                device=",".join(_devices(compiled)),
                size=size,
                why=why,
            )
        )

    def _estimate(self, picture: NDArray[np.uint8]) -> Estimate:
        spec, (width, height) = self._spec, self.info.size
        try:
            outputs = self._request.infer(
                {spec.picture: picture[None], **self._inputs},
                share_inputs=True,
                share_outputs=False,
            )
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on a picture ({_last_line(error)})") from error
        alpha = matte_of(spec, outputs[spec.alpha], self.info.size)
        if spec.foreground is None:
            return Estimate(alpha, None)
        return Estimate(alpha, outputs[spec.foreground].reshape(height, width, 3))

    def _forget(self) -> None:
        self._request.reset_state()

    def _release(self) -> None:
        self._request = None


@cache
def core_of_process() -> Any:
    """OpenVINO's Core, the only one of this process, kept to its end.

    Its CPU plug-in gives the calling thread an alternate signal stack and takes it away again when
    its Core goes. Two Cores that overlap and go in the order they came leave the thread with the
    first one's freed stack, and the next signal, a Ctrl-C, ends in a segmentation fault.
    """
    return _openvino().Core()


def _wanted(spec: ModelSpec, precision: str, device: str) -> str:
    """The precision that 'auto' stands for, or the one asked for."""
    if precision != "auto":
        return precision
    return "int8" if device == "CPU" and spec.quantised.is_file() else "f32"


def _quantised(spec: ModelSpec) -> Path:
    """The int8 file of a network; raises EngineError when there is none."""
    if not spec.quantised.is_file():
        raise EngineError(
            f"precision 'int8': {spec.name} has no {spec.quantised}; "
            "scripts/data/quantise.py makes one"
        )
    return spec.quantised


def read_ports(path: Path) -> Ports:
    """What goes into and comes out of an ONNX file; raises EngineError when it is not one."""
    model = _read(path)
    return Ports(
        tuple(_port(one, bounded=False) for one in model.inputs),
        tuple(_port(one, bounded=_bounded(one.get_node())) for one in model.outputs),
    )


def _read(path: Path) -> Any:
    """The network of an ONNX file; the ONNX reader only, since the others guess, and say so."""
    _openvino()
    from openvino.frontend import FrontEndManager

    try:
        reader = FrontEndManager().load_by_framework("onnx")
        return reader.convert(reader.load(str(path)))
    except Exception as error:  # the readers' errors share no base of their own
        reason = _last_line(error)
        raise EngineError(f"{path}: not an ONNX network OpenVINO can read ({reason})") from error


def _port(output: Any, *, bounded: bool) -> Port:
    shape = tuple(None if side.is_dynamic else side.get_length() for side in output.partial_shape)
    return Port(output.any_name, shape, output.element_type.get_type_name(), bounded)


def _bounded(result: Any) -> bool:
    node = result.input_value(0).get_node()
    while node.get_type_name() in _PASSING:
        node = node.input_value(0).get_node()
    return node.get_type_name() in _BOUNDING


def _compiled(
    core: Any,
    spec: ModelSpec,
    size: tuple[int, int],
    device: str,
    precision: str,
    threads: int | None,
) -> Any:
    """The compiled network, from the store where it was built before."""
    options = _options(device, precision, threads)
    if "EXPORT_IMPORT" not in core.get_property(device, "OPTIMIZATION_CAPABILITIES"):
        return core.compile_model(_model(spec, size), device, options)
    key = Key(
        model=spec.sha256,
        backend="openvino",
        version=_version(),
        size=size,
        precision=precision,
        flags=spec.flags(size),
        device=_described(core, device),
    )

    def build() -> bytes:
        compiled = core.compile_model(_model(spec, size), device, options)
        return bytes(compiled.export_model().getbuffer())

    def load(blob: bytes) -> Any:
        with _translated(spec.path):
            return core.import_model(io.BytesIO(blob), device, options)

    return Store().fetch(key, spec.name, build, load)


def _options(device: str, precision: str, threads: int | None) -> dict[str, object]:
    """One picture at a time, as fast as it goes. The hint is explicit: by itself OpenVINO takes
    bf16 where the CPU has it, and the parity gates would hold on some machines only."""
    openvino = _openvino()
    # A quantised file says itself what is int8; the rest of it runs in f32.
    floats = "f32" if precision == "int8" else precision
    options: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": getattr(openvino.Type, floats),
    }
    if device == "CPU":
        options |= {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads or os.cpu_count() or 1}
    return options


def state_shapes(spec: ModelSpec, size: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """The shape of every recurrent state for pictures of a size, worked out from the file."""
    if not spec.states:
        return {}
    with _translated(spec.path):
        model = _shaped(spec, size)
    return {source: tuple(model.input(source).shape) for source, _, _ in spec.states}


def _model(spec: ModelSpec, size: tuple[int, int]) -> Any:
    """The network with uint8 pictures of one fixed size in, and its states kept inside.

    Static shapes let OpenVINO plan its memory once. States inside cost nothing on a CPU (1.00 of
    the time with them outside, f32 and bf16) and never cross to the host on a GPU.
    """
    model = _shaped(spec, size)
    _leave_out(model, spec)
    _keep_states(model, spec)
    return model


def _shaped(spec: ModelSpec, size: tuple[int, int]) -> Any:
    """The network with uint8 pictures of one fixed size in, and states to match."""
    model = _read(spec.path)
    _fix_constants(model, spec.constants(size))
    if not spec.raw:
        model = _with_uint8_pictures(model, spec)
    width, height = size
    pictures = {name: [1, height, width, 3] for name in (spec.picture, spec.plate) if name}
    model.reshape({**pictures, **_first_states(model, spec, size)})
    if any(stride is None for _, _, stride in spec.states):
        # The network's own outputs have the shape once its inputs have theirs.
        grown = {s: list(model.output(t).shape) for s, t, _ in spec.states}
        model.reshape({**pictures, **grown})
    return model


def _fix_constants(model: Any, constants: dict[str, float]) -> None:
    for name, value in constants.items():
        from openvino import opset13

        parameter = model.input(name).get_node()
        shape = [side.get_length() if side.is_static else 1 for side in parameter.partial_shape]
        constant = opset13.constant(np.full(shape, value), parameter.get_element_type())
        for target in parameter.output(0).get_target_inputs():
            target.replace_source_output(constant.output(0))
        model.remove_parameter(parameter)


def _with_uint8_pictures(model: Any, spec: ModelSpec) -> Any:
    """Conversion, normalisation and layout become part of the graph."""
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    for name in filter(None, (spec.picture, spec.plate)):
        picture = steps.input(name)
        picture.tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
        picture.model().set_layout(Layout("NHWC" if spec.channels_last else "NCHW"))
        convert = picture.preprocess().convert_element_type(Type.f32)
        convert.mean(list(spec.mean)).scale(list(spec.deviation))
    steps.output(spec.alpha).tensor().set_element_type(Type.f32)
    return steps.build()


def _first_states(model: Any, spec: ModelSpec, size: tuple[int, int]) -> dict[str, list[int]]:
    """Each state's shape; one element, which the network spreads, where only it knows better."""
    width, height = size
    shapes: dict[str, list[int]] = {}
    for source, _, stride in spec.states:
        if stride is None:
            shapes[source] = [1, 1, 1, 1]
        else:
            channels = model.input(source).partial_shape[1].get_length()
            shapes[source] = [1, channels, height // stride, width // stride]
    return shapes


def _leave_out(model: Any, spec: ModelSpec) -> None:
    """Outputs that nobody asked for are not computed."""
    for result in model.get_results():
        if not spec.outputs & result.input_value(0).get_names():
            model.remove_result(result)


def _keep_states(model: Any, spec: ModelSpec) -> None:
    if not spec.states:
        return
    from openvino.passes import MakeStateful, Manager

    inputs = {one.output(0).any_name: one for one in model.get_parameters()}
    outputs = {one.input_value(0).any_name: one for one in model.get_results()}
    manager = Manager()
    manager.register_pass(MakeStateful([(inputs[s], outputs[t]) for s, t, _ in spec.states]))
    manager.run_passes(model)


def _device(core: Any, name: str) -> str:
    """OpenVINO's name of a device that is here: 'cpu' is 'CPU'; 'GPU', 'GPU.1', 'NPU' as they are.

    Raises EngineError for one that is not here.
    """
    name = name.upper()
    available = core.available_devices
    if name.partition(".")[0] not in {one.partition(".")[0] for one in available}:
        raise EngineError(
            f"device '{name}': OpenVINO sees {', '.join(available)} here; Intel GPUs and NPUs need "
            "their compute driver installed"
        )
    return name


def _described(core: Any, device: str) -> str:
    """What a compiled network depends on: virtual machines give all their CPUs one name."""
    able = core.get_property(device, "OPTIMIZATION_CAPABILITIES")
    return f"{core.get_property(device, 'FULL_DEVICE_NAME')} ({', '.join(sorted(able))})"


def _precision(compiled: Any) -> str:
    return str(
        {"float": "f32", "float32": "f32", "bfloat16": "bf16", "float16": "f16"}.get(
            name := compiled.get_property("INFERENCE_PRECISION_HINT").to_string(), name
        )
    )


def _devices(compiled: Any) -> list[str]:
    devices = compiled.get_property("EXECUTION_DEVICES")
    return [devices] if isinstance(devices, str) else [str(one) for one in devices]


def _version() -> str:
    return str(_openvino().__version__).split("-")[0]


def _openvino() -> Any:
    """The package, refused with the line that installs it."""
    try:
        import openvino
    except ImportError as error:
        refuse(error, "OpenVINO is not installed: pip install openvino")
    finally:
        if sys.modules.get(_CONVERTER, "present") is None:
            del sys.modules[_CONVERTER]
    return openvino


def skip_converter() -> None:
    """Let OpenVINO be imported without its model converter, which we never use and which is half
    the cost.

    The converter brings urllib, http and telemetry. For the command only: in a process of our own
    nobody will miss `openvino.convert_model`, which OpenVINO itself treats as optional.
    """
    if "openvino" not in sys.modules:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """OpenVINO's many-line errors about a network as our one line."""
    try:
        yield
    except RuntimeError as error:
        raise EngineError(f"{path}: OpenVINO cannot run it ({_last_line(error)})") from error


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
