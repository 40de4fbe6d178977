"""Standard input and output as places for pictures: what is refused before a run begins."""

from __future__ import annotations

import sys

from mattecast.errors import UsageError


def check_stdin() -> None:
    """Raise UsageError where nothing can come through standard input."""
    if sys.stdin is None:
        raise UsageError("-: standard input is closed; pipe a video stream into it")
    if sys.stdin.isatty():
        raise UsageError("-: standard input is a terminal; pipe a video stream into it")


def check_stdout(*, alone: bool) -> None:
    """Raise UsageError where standard output cannot take pictures. alone: whether nothing else is
    asked to go there."""
    if not alone:
        raise UsageError("-o -: standard output brings one thing only")
    if sys.stdout is None:
        raise UsageError("-o -: standard output is closed; pipe it into another program")
    if sys.stdout.isatty():
        raise UsageError("-o -: standard output is a terminal; pipe it into another program")
