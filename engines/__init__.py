"""Picture in, matte out: networks and the programs that run them. Knows nothing of video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mattecast.engines.lazy import lazy

if TYPE_CHECKING:
    from mattecast.engines.closer import looks
    from mattecast.engines.engine import Engine, EngineInfo, Estimate
    from mattecast.engines.errors import EngineError
    from mattecast.engines.models import ModelSpec, closer_size, find, network_size
    from mattecast.engines.selection import BACKENDS, load

__all__ = [
    "BACKENDS",
    "Engine",
    "EngineError",
    "EngineInfo",
    "Estimate",
    "ModelSpec",
    "closer_size",
    "find",
    "load",
    "looks",
    "network_size",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "closer": ("looks",),
        "engine": ("Engine", "EngineInfo", "Estimate"),
        "errors": ("EngineError",),
        "models": ("ModelSpec", "closer_size", "find", "network_size"),
        "selection": ("BACKENDS", "load"),
    },
)
