"""The errors of mattecast.engines: the root of the tree drawn in mattecast.errors."""

from typing import NoReturn


class MattecastError(Exception):
    """An error that a user can act on: one line with what happened, where, and what to do."""


class EngineError(MattecastError):
    """A network or its back-end cannot be loaded, or fails while it runs."""


def refuse(error: ImportError, text: str) -> NoReturn:
    """Raise EngineError(text) for a package that cannot be imported."""
    raise_interrupt(error)
    raise EngineError(f"{text} ({error})") from error


def raise_interrupt(error: Exception) -> None:
    """Raise the KeyboardInterrupt among the causes of an import's error, if there is one.

    When Ctrl-C arrives while a C module is imported, that module raises an ImportError of its own
    from the KeyboardInterrupt. Without this function it would look like a missing package.
    """
    cause: BaseException | None = error
    while cause is not None:
        if not isinstance(cause, Exception):
            raise cause from None
        cause = cause.__cause__ or cause.__context__
