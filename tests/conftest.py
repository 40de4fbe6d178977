"""Lets the tests import tests/clips.py, which makes their media."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
