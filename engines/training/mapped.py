"""Decoded training data as files that processes map into memory and share.

A few thousand pictures with their estimated colours are 8 GB, which every run on a machine would
hold for itself. Written once, mapped read-only, they are held by the operating system for all runs
alike, and only as far as there is room.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


class Store:
    """A folder of arrays, each made once from the file that it stands for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def array(self, source: Path, kind: str, make: Callable[[], Bytes]) -> Bytes:
        """The uint8 array that `make` makes of `source`, mapped; kind: what tells it from other
        arrays of the same file."""
        path = self._path(source, kind, ".npy")
        if not path.exists():
            part = path.with_name(f"{path.name}.{os.getpid()}.part")
            with part.open("wb") as file:
                np.save(file, make())
            os.replace(part, path)
        return np.asarray(np.load(path, mmap_mode="r"))

    def facts(self, source: Path, kind: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `make` says of `source`, as JSON keeps it (tuples become lists)."""
        path = self._path(source, kind, ".json")
        if not path.exists():
            part = path.with_name(f"{path.name}.{os.getpid()}.part")
            part.write_text(json.dumps(make()))
            os.replace(part, path)
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def _path(self, source: Path, kind: str, suffix: str) -> Path:
        """One name for one state of the file and of its matte: what was changed is read anew."""
        beside = (source, source.with_suffix(".png"), source.with_suffix(".alpha.mp4"))
        states = [each.stat() for each in beside if each.exists()]
        words = f"{source.resolve()} {[(s.st_size, s.st_mtime_ns) for s in states]} {kind}"
        return self.folder / (hashlib.sha1(words.encode()).hexdigest() + suffix)
