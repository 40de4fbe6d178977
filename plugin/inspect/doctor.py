"""Is everything here that a run needs? Each line says what was found, or how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from mattecast import engines
from mattecast.errors import MattecastError
from mattecast.media.formats import FORMATS
from mattecast.version import __version__

# Ten minutes of 1080p ProRes 4444 with alpha take about this much.
_ROOM = 10e9


class _Found(NamedTuple):
    level: str  # 'ok', 'note' or 'missing'
    text: str


def examine() -> tuple[bool, list[str]]:
    """(whether files can be matted, one line a finding)."""
    found = [*_system(), *_codecs(), *_engines(), *_extras(), *_disk()]
    healthy = all(one.level != "missing" for one in found)
    return healthy, [f"{one.level:8}{one.text}" for one in found]


def _system() -> Iterator[_Found]:
    python = ".".join(str(part) for part in sys.version_info[:3])
    yield _Found("ok", f"mattecast {__version__}, Python {python}, {platform.platform()}")
    yield _Found("ok", f"{os.cpu_count()} processors, {platform.machine()}")


def _codecs() -> Iterator[_Found]:
    import av

    ffmpeg = ".".join(str(part) for part in av.library_versions["libavcodec"])
    yield _Found("ok", f"PyAV {av.__version__} (libavcodec {ffmpeg})")
    wanted = {row.codec for row in FORMATS.values()} | {"pcm_s24le", "alac", "libopus"}
    missing = [codec for codec in sorted(wanted) if not _encodes(codec)]
    if missing:
        yield _Found(
            "missing",
            f"encoders {', '.join(missing)}: pip install --force-reinstall "
            "--only-binary av 'av>=18,<19'",
        )
    else:
        yield _Found("ok", f"encoders: {', '.join(sorted(wanted))}")


def _encodes(codec: str) -> bool:
    import av
    import av.codec.codec

    try:
        av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _engines() -> Iterator[_Found]:
    import numpy as np

    try:
        engine = engines.load("default", (64, 64))
        engine.step(np.zeros((64, 64, 3), np.uint8))
        yield _Found("ok", f"engine: {engine.info}")
        engine.close()
    except (MattecastError, ImportError) as error:
        yield _Found("missing", f"engine: {error}; pip install --force-reinstall openvino")


def _extras() -> Iterator[_Found]:
    try:
        yield _Found("ok", f"torch {metadata.version('torch')} (reference back-end, training)")
    except metadata.PackageNotFoundError:
        yield _Found(
            "note",
            "torch is not installed; only training and --backend torch need it: "
            "pip install 'mattecast[train]'",
        )
    yield from _nvidia()
    for program, use in (("ffprobe", "only tests use it"), ("obs", "only live use needs it")):
        if not shutil.which(program):
            yield _Found("note", f"{program} is not installed; {use}")


def _nvidia() -> Iterator[_Found]:
    from mattecast.engines import cuda
    from mattecast.engines.backends import tensorrt_plan

    if absent := cuda.no_driver():
        yield _Found("note", f"{absent}; the CPU runs everything")
        return
    try:
        gpu = cuda.gpu("cuda")
        major, minor = gpu.capability
        text = f"GPU: {gpu.name}, compute capability {major}.{minor}, CUDA {gpu.driver}"
        yield _Found("ok", text)
        library = tensorrt_plan.library(gpu.capability)
        yield _Found("ok", f"{library.__name__} {library.__version__}")
    except MattecastError as error:
        yield _Found("note", str(error))


def _disk() -> Iterator[_Found]:
    for name, folder in (("here", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        level = "ok" if free > _ROOM else "note"
        yield _Found(
            level,
            f"disk, {name}: {free / 1e9:.0f} GB free; ten minutes of 1080p "
            f"ProRes 4444 take about {_ROOM / 1e9:.0f} GB",
        )
