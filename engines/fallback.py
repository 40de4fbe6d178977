"""Going on with the CPU when a GPU dies in mid-clip, where the user allowed it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.engine import Engine, EngineInfo, Estimate
from mattecast.engines.errors import EngineError

_LOG = logging.getLogger("mattecast.engines")


class FallbackEngine:
    """An engine on a GPU, and how to load one on the CPU should it die: other(why).

    The recurrent state is lost with the GPU: the CPU starts as at a cut. It falls once only.
    """

    def __init__(self, engine: Engine, other: Callable[[str], Engine]) -> None:
        self._engine, self._other = engine, other
        self._fallen = False

    @property
    def info(self) -> EngineInfo:
        """See Engine.info; after a failure, that of the engine on the CPU."""
        return self._engine.info

    def step(self, picture: NDArray[np.uint8]) -> Estimate:
        """See Engine.step."""
        try:
            return self._engine.step(picture)
        except EngineError as error:
            self._fall(error)
        return self._engine.step(picture)

    def _fall(self, error: EngineError) -> None:
        """Go over to the CPU; raises the error again where that has been done before."""
        if self._fallen:
            raise error
        before = self._engine
        self._fallen = True
        _LOG.warning("%s failed (%s); going on with the CPU", before.info.backend, error)
        self._engine = self._other(f"{before.info.backend} failed in mid-clip: {error}")
        before.close()

    def reset(self) -> None:
        """See Engine.reset."""
        try:
            self._engine.reset()
        except EngineError as error:
            self._fall(error)  # and what has just been loaded remembers nothing

    def close(self) -> None:
        """See Engine.close."""
        self._engine.close()
