"""The errors a caller may meet, all of them.

    MattecastError            what happened, where, what to do: one line, shown as it is
    |- UsageError             the request itself cannot be met (exit 2)
    |- MediaError             a source cannot be read, or a picture in it makes no sense (exit 1)
    |- OutputError            an output cannot be written (exit 1)
    `- EngineError            a network or the program that runs it failed (exit 1)

EngineError lives in mattecast.engines, which knows nothing of video; it is re-exported here.
"""

from mattecast.engines.errors import EngineError, MattecastError


class UsageError(MattecastError):
    """The settings contradict each other or the files named."""


class MediaError(MattecastError):
    """A source is missing, unreadable, damaged beyond use, or holds no picture."""


class OutputError(MattecastError):
    """An output exists already, cannot be created, or could not be finished."""


__all__ = ["EngineError", "MattecastError", "MediaError", "OutputError", "UsageError"]
