"""The errors of mattecast.engines: the root of the tree drawn in mattecast.errors."""

from typing import NoReturn


class MattecastError(Exception):
    """Something a person can act on: one line with what happened, where, and what to do."""


class EngineError(MattecastError):
    """A network or the back-end that runs it cannot be loaded or failed while running."""


def refuse(error: ImportError, text: str) -> NoReturn:
    """Raise EngineError(text) for a package that does not import."""
    raise_interrupt(error)
    raise EngineError(f"{text} ({error})") from error


def raise_interrupt(error: Exception) -> None:
    """Raise the Ctrl-C that caused an error of an import, if one did.

    A module in C that is interrupted while it loads raises an ImportError of its own. That error
    does not mean that the package is missing.
    """
    cause: BaseException | None = error
    while cause is not None:
        if not isinstance(cause, Exception):
            raise cause from None
        cause = cause.__cause__ or cause.__context__
