"""mattecast: people cut out of video, without a green screen.

import mattecast
mattecast.matte("talk.mp4", "talk.mov")
for matted in mattecast.mattes("talk.mp4"):
    matted.alpha, matted.foreground, matted.pts
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mattecast.engines.lazy import lazy
from mattecast.version import __version__

if TYPE_CHECKING:
    from mattecast.errors import EngineError, MattecastError, MediaError, OutputError, UsageError
    from mattecast.media.frame import Frame, Matted
    from mattecast.report import Progress, Summary
    from mattecast.run import matte, mattes
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

__getattr__, __dir__ = lazy(
    __name__,
    {
        "errors": ("EngineError", "MattecastError", "MediaError", "OutputError", "UsageError"),
        "report": ("Progress", "Summary"),
        "run": ("matte", "mattes"),
        "media.frame": ("Frame", "Matted"),
        "settings": ("Settings",),
    },
)
