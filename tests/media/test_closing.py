"""Clips are closed at once after they were opened, as whoever only wants their facts does."""

from __future__ import annotations

import subprocess
import sys

# The decoder's threads log while the clip is closed; a subprocess, since a fault is a standstill.
_OPEN_AND_CLOSE = """
import sys, av.logging
from mattecast.media.clip import Clip
av.logging.set_level(av.logging.DEBUG)
for _ in range(20):
    Clip(sys.argv[1]).close()
"""


def test_threads_that_log_do_not_stop_the_end(talk):
    subprocess.run(
        [sys.executable, "-c", _OPEN_AND_CLOSE, str(talk)],
        check=True,
        timeout=60,
        capture_output=True,
    )
