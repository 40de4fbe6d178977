"""What the names of outputs say: that a file is an output, and of which source."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mattecast.media.pictures import is_pattern, text_before_number

_OUTPUT = re.compile(
    r"(?P<stem>.*?)(\.[0-9a-f]{10})?\.matte(\.fill|\.key)?(\.[a-z0-9]+)?", re.IGNORECASE
)


def is_output(path: Path) -> bool:
    """Whether a file, or the folder of numbered pictures, is named as outputs are."""
    return _match(path) is not None


def source_stem(output: Path) -> str:
    """What an output is named after: 'talk' of 'talk.3f9a2c1b07.matte.mov'."""
    match = _match(output)
    return match["stem"] if match else output.stem


def stem_of(source: Path) -> str:
    """What the outputs of a source are named after: 'talk' for talk.mp4."""
    if is_pattern(source):
        return text_before_number(source.name).rstrip("_.- ") or "pictures"
    return source.resolve().name if os.path.isdir(source) else source.stem


def _match(path: Path) -> re.Match[str] | None:
    return _OUTPUT.fullmatch(path.parent.name if is_pattern(path) else path.name)
