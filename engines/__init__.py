"""Picture in, matte out: networks and the programs that run them. Knows nothing of video."""

from mattecast.engines.engine import Engine, EngineInfo, Estimate
from mattecast.engines.errors import EngineError
from mattecast.engines.models import ModelSpec, find, network_size
from mattecast.engines.selection import BACKENDS, load

__all__ = ["BACKENDS", "Engine", "EngineError", "EngineInfo", "Estimate", "ModelSpec", "find",
           "load", "network_size"]  # fmt: skip
