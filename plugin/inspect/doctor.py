"""Is everything here that a run needs? Each finding says what is here, or how to get it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from mattecast import engines
from mattecast.errors import MattecastError
from mattecast.inspect.finding import Finding, Report, error, note, ok
from mattecast.media.formats import FORMATS
from mattecast.version import __version__

# Ten minutes of 1080p ProRes 4444 with alpha take about this much.
_ROOM = 10e9


def examine() -> Report:
    """Everything a run on files needs; an error is what no run can do without."""
    return Report.of([*_system(), *_codecs(), *_engines(), *_extras(), *_disk()])


def _system() -> Iterator[Finding]:
    python = ".".join(str(part) for part in sys.version_info[:3])
    yield ok("", f"mattecast {__version__}, Python {python}, {platform.platform()}")
    yield ok("", f"{os.cpu_count()} processors, {platform.machine()}")


def _codecs() -> Iterator[Finding]:
    import av

    ffmpeg = ".".join(str(part) for part in av.library_versions["libavcodec"])
    yield ok("", f"PyAV {av.__version__} (libavcodec {ffmpeg})")
    wanted = {row.codec for row in FORMATS.values()} | {
        "pcm_s24le",
        "aac",
        "flac",
        "libopus",
    }
    missing = [codec for codec in sorted(wanted) if not _encodes(codec)]
    if missing:
        remedy = "pip install --force-reinstall --only-binary av 'av>=18,<19'"
        yield error(f"encoders {', '.join(missing)}", remedy)
    else:
        yield ok("encoders", ", ".join(sorted(wanted)))


def _encodes(codec: str) -> bool:
    import av
    import av.codec.codec

    try:
        av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _engines() -> Iterator[Finding]:
    import numpy as np

    try:
        engine = engines.load("default", (64, 64))
        engine.step(np.zeros((64, 64, 3), np.uint8))
        yield ok("engine", str(engine.info))
        engine.close()
    except (MattecastError, ImportError) as failure:
        yield error("engine", f"{failure}; pip install --force-reinstall openvino")


def _extras() -> Iterator[Finding]:
    try:
        yield ok("", f"torch {metadata.version('torch')} (reference back-end, training)")
    except metadata.PackageNotFoundError:
        yield note(
            "",
            "torch is not installed; only training and --backend torch need it: "
            "pip install 'mattecast[train]'",
        )
    yield from _nvidia()
    for program, use in (("ffprobe", "only tests use it"), ("obs", "only live use needs it")):
        if not shutil.which(program):
            yield note("", f"{program} is not installed; {use}")


def _nvidia() -> Iterator[Finding]:
    from mattecast.engines import cuda
    from mattecast.engines.backends import tensorrt_plan

    if absent := cuda.no_driver():
        yield note("", f"{absent}; the CPU runs everything")
        return
    try:
        gpu = cuda.gpu("cuda")
        major, minor = gpu.capability
        capability = f"compute capability {major}.{minor}"
        yield ok("GPU", f"{gpu.name}, {capability}, CUDA {gpu.driver}")
        library = tensorrt_plan.package_for(gpu.capability)
        yield ok("", f"{library.__name__} {library.__version__}")
    except MattecastError as failure:
        yield note("", str(failure))


def _disk() -> Iterator[Finding]:
    for name, folder in (("here", Path.cwd()), ("temporary files", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        need = f"ten minutes of 1080p ProRes 4444 take about {_ROOM / 1e9:.0f} GB"
        level = ok if free > _ROOM else note
        yield level(f"disk, {name}", f"{free / 1e9:.0f} GB free; {need}")
