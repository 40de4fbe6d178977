"""Picture in, matte out: networks and the programs that run them. Knows nothing of video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mattecast.engines.lazy import lazy

if TYPE_CHECKING:
    from mattecast.engines.engine import Engine, EngineInfo, Estimate
    from mattecast.engines.errors import EngineError
    from mattecast.engines.selection import BACKENDS, load
    from mattecast.engines.spec import ModelSpec, closer_size, find, network_size
    from mattecast.engines.two_scales import looks

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
        "two_scales": ("looks",),
        "engine": ("Engine", "EngineInfo", "Estimate"),
        "errors": ("EngineError",),
        "spec": ("ModelSpec", "closer_size", "find", "network_size"),
        "selection": ("BACKENDS", "load"),
    },
)
