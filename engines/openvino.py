"""OpenVINO: the default engine, on any x86-64 or arm64 CPU."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.engine import EngineInfo, Estimate, check_picture
from mattecast.engines.errors import EngineError
from mattecast.engines.models import ModelSpec

_PRECISIONS = {"f32": "f32", "bf16": "bf16", "f16": "f16"}


class OpenVinoEngine:
    """One compiled network of one size; its recurrent state stays inside OpenVINO.

    precision 'auto' is f32: the parity gates are met on every CPU. threads None uses all cores.
    """

    def __init__(self, spec: ModelSpec, size: tuple[int, int], *, precision: str = "auto",
                 threads: int | None = None, why: str = "") -> None:  # fmt: skip
        import openvino

        self._size = size
        self._spec = spec
        wanted = "f32" if precision == "auto" else precision
        if wanted not in _PRECISIONS:
            raise EngineError(f"precision '{precision}': OpenVINO runs {', '.join(_PRECISIONS)}")
        try:
            compiled = _compile(spec, size, wanted, threads)
        except RuntimeError as error:
            first_line = str(error).strip().splitlines()[-1]
            raise EngineError(f"{spec.path}: OpenVINO cannot run it ({first_line})") from error
        self._request = compiled.create_infer_request()
        self.info = EngineInfo(
            model=spec.name, backend="openvino", version=openvino.__version__.split("-")[0],
            precision=str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string()),
            device=str(compiled.get_property("EXECUTION_DEVICES")[0]), size=size, why=why,
        )  # fmt: skip
        self._zeros = {
            source: np.zeros(tuple(compiled.input(source).shape), np.float32)
            for source, _, _ in spec.states
        }
        self._state: dict[str, NDArray[np.float32]] = dict(self._zeros)

    def step(self, picture: NDArray[np.uint8]) -> Estimate:
        """See Engine.step."""
        check_picture(picture, self._size)
        inputs = {self._spec.picture: np.ascontiguousarray(picture)[None], **self._state}
        try:
            outputs = self._request.infer(inputs, share_inputs=True, share_outputs=False)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed on a picture: {error}") from error
        self._state = {source: outputs[target] for source, target, _ in self._spec.states}
        width, height = self._size
        alpha = outputs[self._spec.alpha].reshape(height, width)
        return Estimate(alpha, outputs[self._spec.foreground].reshape(height, width, 3))

    def reset(self) -> None:
        """See Engine.reset."""
        self._state = dict(self._zeros)

    def close(self) -> None:
        """See Engine.close."""
        self._state = {}


def _compile(spec: ModelSpec, size: tuple[int, int], precision: str, threads: int | None) -> Any:
    """Compile for one fixed size: static shapes let OpenVINO plan its memory once."""
    import openvino
    from openvino import properties

    core = openvino.Core()
    model = core.read_model(spec.path)
    width, height = size
    shapes: dict[str, list[int]] = {spec.picture: [1, height, width, 3]}
    for source, _, stride in spec.states:
        channels = model.input(source).partial_shape[1].get_length()
        shapes[source] = [1, channels, height // stride, width // stride]
    model.reshape(shapes)
    return core.compile_model(model, "CPU", {
        properties.hint.performance_mode(): properties.hint.PerformanceMode.LATENCY,
        properties.hint.inference_precision(): getattr(openvino.Type, precision),
        properties.num_streams(): 1,
        properties.inference_num_threads(): threads or os.cpu_count() or 1,
    })  # fmt: skip
