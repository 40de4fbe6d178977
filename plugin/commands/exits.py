"""How a script ends where its request cannot be met: one line and a non-zero exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from mattecast.errors import MattecastError


def exit_code(main: Callable[[], int]) -> int:
    """The exit code of `main`.

    Raises SystemExit with one line for wrong paths, incomplete data sets, unknown names and missing
    packages.
    """
    try:
        return main()
    except (MattecastError, ValueError, ImportError, OSError) as error:
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from error
