"""The errors of mattecast.engines: the root of the tree drawn in mattecast.errors."""

from typing import NoReturn


class MattecastError(Exception):
    """Something a person can act on: one line with what happened, where, and what to do."""


class EngineError(MattecastError):
    """A network or the back-end that runs it cannot be loaded or failed while running."""


def refuse(error: ImportError, text: str) -> NoReturn:
    """Raise EngineError(text) for a package that does not import."""
    heed(error)
    raise EngineError(f"{text} ({error})") from error


def heed(error: Exception) -> None:
    """Raise the Ctrl-C that an error of an import stands for, if it does.

    When Python is interrupted while a module in C loads, that module raises an ImportError of its
    own from it, which must not be taken for a package that is missing.
    """
    cause: BaseException | None = error
    while cause is not None:
        if not isinstance(cause, Exception):
            raise cause from None
        cause = cause.__cause__ or cause.__context__
