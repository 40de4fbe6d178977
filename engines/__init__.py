"""Picture in, matte out: networks and the programs that run them. Knows nothing of video."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mattecast.engines.engine import Engine, EngineInfo, Estimate
    from mattecast.engines.errors import EngineError
    from mattecast.engines.models import ModelSpec, find, network_size
    from mattecast.engines.selection import BACKENDS, load

__all__ = ["BACKENDS", "Engine", "EngineError", "EngineInfo", "Estimate", "ModelSpec", "find",
           "load", "network_size"]  # fmt: skip

_HOMES = {
    "engine": ("Engine", "EngineInfo", "Estimate"),
    "errors": ("EngineError",),
    "models": ("ModelSpec", "find", "network_size"),
    "selection": ("BACKENDS", "load"),
}


def __getattr__(name: str) -> object:
    """Load what a name stands for when it is first used (PEP 562): arrays are not for `--help`."""
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"mattecast.engines.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'mattecast.engines' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
