"""FallbackEngine: goes on with the CPU when a GPU fails in mid-clip, where the user allowed it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.engine import Engine, EngineInfo
from mattecast.engines.errors import EngineError

_LOG = logging.getLogger("mattecast.engines")


class FallbackEngine:
    """An engine on a GPU that is replaced by one on the CPU when it fails.

    load_on_cpu: loads the replacement; its argument is the reason that EngineInfo.why gives. The
    recurrent states are lost with the GPU: the CPU starts as it does after a cut. A failure of the
    replacement is raised.
    """

    def __init__(self, engine: Engine, load_on_cpu: Callable[[str], Engine]) -> None:
        self._engine, self._load_on_cpu = engine, load_on_cpu
        self._on_cpu = False

    @property
    def info(self) -> EngineInfo:
        """See Engine.info; after a failure, the info of the engine on the CPU."""
        return self._engine.info

    def step(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See Engine.step."""
        try:
            return self._engine.step(picture)
        except EngineError as error:
            self._switch_to_cpu(error)
        return self._engine.step(picture)

    def _switch_to_cpu(self, error: EngineError) -> None:
        """Replace the failed engine; raise the error again where that has been done before."""
        if self._on_cpu:
            raise error
        failed = self._engine
        self._on_cpu = True
        _LOG.warning("%s failed (%s); going on with the CPU", failed.info.backend, error)
        self._engine = self._load_on_cpu(f"{failed.info.backend} failed in mid-clip: {error}")
        failed.close()

    def reset(self) -> None:
        """See Engine.reset."""
        try:
            self._engine.reset()
        except EngineError as error:
            self._switch_to_cpu(error)  # the replacement has no states to forget yet

    def close(self) -> None:
        """See Engine.close."""
        self._engine.close()
