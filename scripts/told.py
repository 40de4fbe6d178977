"""What the studies say of a request that cannot be met: one line and a non-zero exit code."""

import sys
from collections.abc import Callable
from pathlib import Path

from mattecast.errors import MattecastError


def told(main: Callable[[], int]) -> int:
    """The exit code of `main`. Wrong paths, sets that are not whole, names that are not known and
    packages that are missing end in SystemExit with their message."""
    try:
        return main()
    except (MattecastError, ValueError, ImportError, OSError) as error:
        raise SystemExit(f"{Path(sys.argv[0]).name}: {error}") from error
