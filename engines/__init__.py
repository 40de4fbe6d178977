"""Picture in, matte out: networks and the back-ends that run them. Nothing here knows of video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mattecast.engines.lazy import lazy

if TYPE_CHECKING:
    from mattecast.engines.engine import Engine, EngineInfo
    from mattecast.engines.errors import EngineError
    from mattecast.engines.library import find
    from mattecast.engines.selection import BACKENDS, load
    from mattecast.engines.spec import ModelSpec, fine_size, network_size
    from mattecast.engines.two_scales import two_scale_engine

__all__ = [
    "BACKENDS",
    "Engine",
    "EngineError",
    "EngineInfo",
    "ModelSpec",
    "find",
    "fine_size",
    "load",
    "network_size",
    "two_scale_engine",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "engine": ("Engine", "EngineInfo"),
        "errors": ("EngineError",),
        "library": ("find",),
        "selection": ("BACKENDS", "load"),
        "spec": ("ModelSpec", "fine_size", "network_size"),
        "two_scales": ("two_scale_engine",),
    },
)
