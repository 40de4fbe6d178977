"""torch: the reference back-end, slower on a CPU than OpenVINO; needs the `torch` extra."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.engine import EngineInfo, Estimate, check_picture
from mattecast.engines.errors import EngineError
from mattecast.engines.models import ModelSpec

_MISSING = "the torch back-end is not installed: pip install 'mattecast[train]'"


class TorchEngine:
    """The network as the module it was trained as, its weights read back from the ONNX file."""

    def __init__(self, spec: ModelSpec, size: tuple[int, int], *, precision: str = "auto",
                 threads: int | None = None, why: str = "") -> None:  # fmt: skip
        try:
            import torch

            from mattecast.engines.training.export import load_network
        except ImportError as error:
            raise EngineError(f"{_MISSING} ({error})") from error
        if precision not in ("auto", "f32"):
            raise EngineError(f"precision '{precision}': the torch reference runs f32")
        if threads:
            torch.set_num_threads(threads)
        self._torch = torch
        self._size = size
        self._network = load_network(spec.path).eval()
        self.info = EngineInfo(
            model=spec.name, backend="torch", version=torch.__version__, precision="f32",
            device="CPU", size=size, why=why,
        )  # fmt: skip
        self._state = self._network.start(size[1], size[0])

    def step(self, picture: NDArray[np.uint8]) -> Estimate:
        """See Engine.step."""
        check_picture(picture, self._size)
        with self._torch.inference_mode():
            batch = self._torch.from_numpy(np.ascontiguousarray(picture))[None]
            alpha, foreground, *state = self._network.step(batch, *self._state)
        self._state = (state[0], state[1], state[2])
        return Estimate(alpha[0, :, :, 0].numpy(), foreground[0].numpy())

    def reset(self) -> None:
        """See Engine.reset."""
        width, height = self._size
        self._state = self._network.start(height, width)

    def close(self) -> None:
        """See Engine.close."""
        self.reset()
