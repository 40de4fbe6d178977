"""The errors of mattecast.engines: the root of the tree drawn in mattecast.errors."""


class MattecastError(Exception):
    """Something a person can act on: one line with what happened, where, and what to do."""


class EngineError(MattecastError):
    """A network or the back-end that runs it cannot be loaded or failed while running."""
