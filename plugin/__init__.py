"""mattecast: people cut out of video, without a green screen.

import mattecast
mattecast.matte("talk.mp4", "talk.mov")
for matted in mattecast.mattes("talk.mp4"):
    matted.alpha, matted.foreground, matted.pts
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from mattecast.version import __version__

if TYPE_CHECKING:
    from mattecast.errors import EngineError, MattecastError, MediaError, OutputError, UsageError
    from mattecast.files import Progress, Summary, matte, mattes
    from mattecast.frame import Frame, Matted
    from mattecast.settings import Settings

__all__ = [
    "EngineError",
    "Frame",
    "MattecastError",
    "Matted",
    "MediaError",
    "OutputError",
    "Progress",
    "Settings",
    "Summary",
    "UsageError",
    "__version__",
    "matte",
    "mattes",
]

_HOMES = {
    "errors": ("EngineError", "MattecastError", "MediaError", "OutputError", "UsageError"),
    "files": ("Progress", "Summary", "matte", "mattes"),
    "frame": ("Frame", "Matted"),
    "settings": ("Settings",),
}


def __getattr__(name: str) -> object:
    """Load what a name stands for when it is first used (PEP 562).

    The video and array libraries behind them take a third of a second, which `mattecast --help`
    and a Ctrl-C in that time should not wait for.
    """
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"mattecast.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'mattecast' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
