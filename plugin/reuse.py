"""Outputs that are made once: their names stand for the source, the settings and the version."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from mattecast.engines import library
from mattecast.matting.guidance import SUFFIX as GUIDANCE
from mattecast.media.pictures import is_pattern
from mattecast.report import Progress, Summary
from mattecast.run import existing, matte, outputs_of
from mattecast.settings import Settings
from mattecast.time_range import plain_range
from mattecast.timelines import sidecars
from mattecast.version import __version__

# Settings that do not change what an output is, only how it is made.
_WITHOUT_EFFECT = frozenset({"overwrite", "threads", "fallback", "gpu_video", "sidecar"})
_DIGITS = 10  # of 16 values: a thousand outputs hold two alike once in two million times


def matte_once(
    source: Path,
    output: Path,
    settings: Settings,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Matte a clip, or describe the output that an earlier run made of it.

    output: as `keyed` names it; one that cannot be read whole is made anew. Raises a MattecastError
    with the one line to show.
    """
    there = any(path.exists() for path in outputs_of(output, settings))
    made = existing(source, output, settings)
    if made is None and there:
        anew = matte(source, output, replace(settings, overwrite=True), progress=progress)
        note = "the output of an earlier run could not be read whole and was made anew"
        return replace(anew, notes=(*anew.notes, note))
    if made is None:
        return matte(source, output, settings, progress=progress)
    sidecars.write(made, settings.sidecars, overwrite=settings.overwrite)
    return made


def keyed(name: str, source: Path, settings: Settings) -> str:
    """The name of an output with its key in it: 'talk.matte.mov', 'talk.3f9a2c1b07.matte.mov'.

    The key differs when the source, a file that the settings name, a setting or mattecast does. An
    output appears whole or not at all, so an output of this name need not be made again.
    """
    stem, dot, rest = name.rpartition(".matte")
    return f"{stem}.{_key(source, settings)}{dot}{rest}"


def _key(source: Path, settings: Settings) -> str:
    chosen = {k: v for k, v in asdict(settings).items() if k not in _WITHOUT_EFFECT}
    named = [Path(value) for value in chosen.values() if isinstance(value, str)]
    if settings.range is not None:
        chosen["range"] = plain_range(settings.range) or settings.range
    beside = source.parent / (source.stem + GUIDANCE)
    model = library.find(settings.model).path
    files = [*_read(source), *(each for path in (beside, model, *named) for each in _file(path))]
    text = repr((__version__, sorted(chosen.items()), files))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def _read(source: Path) -> Iterator[tuple[str, int, int]]:
    """What `_file` says of a source, or of all files in the folder of numbered pictures."""
    folder = source.parent if is_pattern(source) else source
    for path in sorted(folder.iterdir()) if folder.is_dir() else (source,):
        yield from _file(path)


def _file(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change (ns) of a file; nothing where there is no such file."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return  # the text of a setting need not be a name that a file can have
    if stat.S_ISREG(status.st_mode):
        yield os.path.abspath(path), status.st_size, status.st_mtime_ns
