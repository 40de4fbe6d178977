"""A source type of OBS's own kind, fed from shared memory: the script's fast path on Linux.

libobs is asked through ctypes to register it, so this holds for the binary interface it was tried
with (libobs 29); everything that could differ lies in the two structures below. The memory is a
file that mattecast writes (see live.outputs.shared_memory): a header, then slots of BGRA pictures.
"""

from __future__ import annotations

import ctypes as c
import mmap
import os
import struct
import sys
import threading
import time
import types
from typing import Any

KIND = "mattecast_source"
# Magic, width, height, bytes a row, slots, pictures written so far: live.outputs.shared_memory's.
HEADER = struct.Struct("<8sIIIIQ")
MAGIC, FIRST_SLOT = b"MCASTSHM", 4096
# From obs-source.h and video-io.h.
_VIDEO, _ASYNC, _NOT_TWICE = 1 << 0, 1 << 2, 1 << 7
_BGRA, _FULL_RANGE, _LINEAR_ALPHA = 7, 2, 1
# How often the memory is looked at, and its file (seconds).
_GLANCE, _CHECK = 0.001, 0.5


class _Frame(c.Structure):
    """struct obs_source_frame2."""

    _fields_ = (
        ("data", c.c_void_p * 8),
        ("linesize", c.c_uint32 * 8),
        ("width", c.c_uint32),
        ("height", c.c_uint32),
        ("timestamp", c.c_uint64),
        ("format", c.c_int),
        ("range", c.c_int),
        ("color_matrix", c.c_float * 16),
        ("color_range_min", c.c_float * 3),
        ("color_range_max", c.c_float * 3),
        ("flip", c.c_bool),
        ("flags", c.c_uint8),
        ("trc", c.c_uint8),
    )


_NAME = c.CFUNCTYPE(c.c_char_p, c.c_void_p)
_CREATE = c.CFUNCTYPE(c.c_void_p, c.c_void_p, c.c_void_p)


class _Info(c.Structure):
    """struct obs_source_info, up to the last member we fill."""

    _fields_ = (
        ("id", c.c_char_p),
        ("type", c.c_int),
        ("output_flags", c.c_uint32),
        ("get_name", _NAME),
        ("create", _CREATE),
        ("destroy", c.c_void_p),
    )


# OBS keeps pointers into this for as long as it runs, while scripts are loaded anew.
_KEPT: Any = sys.modules.setdefault("_mattecast_kept", types.ModuleType("_mattecast_kept"))
_STOP = threading.Event()
# By the address of what they hold of their source: its weak reference.
_READERS: dict[int, threading.Thread] = {}
_PATH = {"memory": "", "linear": True}


def _library() -> Any:
    """libobs, which this process has loaded already."""
    library = c.CDLL(None)
    for name, result, arguments in (
        ("obs_register_source_s", None, (c.c_void_p, c.c_size_t)),
        ("obs_source_output_video2", None, (c.c_void_p, c.c_void_p)),
        ("obs_source_set_async_unbuffered", None, (c.c_void_p, c.c_bool)),
        ("obs_source_get_weak_source", c.c_void_p, (c.c_void_p,)),
        ("obs_weak_source_get_source", c.c_void_p, (c.c_void_p,)),
        ("obs_weak_source_release", None, (c.c_void_p,)),
        ("obs_source_release", None, (c.c_void_p,)),
        ("obs_get_source_by_name", c.c_void_p, (c.c_char_p,)),
        ("bmalloc", c.c_void_p, (c.c_size_t,)),
        ("os_gettime_ns", c.c_uint64, ()),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def register(memory: str, linear: bool) -> None:
    """Make the source type known, once a run of OBS; all its sources show the memory named.

    Raises OSError or AttributeError where this OBS cannot be reached so.
    """
    _PATH.update(memory=memory, linear=linear)
    if not sys.platform.startswith("linux"):
        raise OSError("shared memory is for Linux")
    library = _library()
    _STOP.clear()
    _KEPT.create = lambda source: _begin(library, source)
    if hasattr(_KEPT, "info"):
        return
    info = _Info()
    info.id, info.type, info.output_flags = KIND.encode(), 0, _VIDEO | _ASYNC | _NOT_TWICE
    info.get_name = _NAME(lambda unused: b"mattecast")
    info.create = _CREATE(lambda settings, source: _KEPT.create(source))
    # Called after Python has ended: a function of libobs itself, which frees what create gave.
    info.destroy = c.cast(library.bfree, c.c_void_p).value
    _KEPT.info = info
    library.obs_register_source_s(c.byref(info), c.sizeof(_Info))


def unload() -> None:
    """End the readers."""
    _STOP.set()
    for reader in list(_READERS.values()):
        reader.join(2)
    _READERS.clear()


def resume(name: str) -> None:
    """Feed a source that was there before: `unload` ended its reader."""
    library = _library()
    source = library.obs_get_source_by_name(name.encode())
    if source:
        _feed(library, source)
        library.obs_source_release(source)


def _begin(library: Any, source: int) -> int:
    """A source was made: feed it; gives what OBS takes for its data."""
    library.obs_source_set_async_unbuffered(source, True)
    _feed(library, source)
    return int(library.bmalloc(16))


def _feed(library: Any, source: int) -> None:
    """Feed a source from a thread of its own, unless one does already."""
    weak = library.obs_source_get_weak_source(source)
    if weak in _READERS:
        library.obs_weak_source_release(weak)
        return
    _READERS[weak] = threading.Thread(target=_read, args=(library, weak), daemon=True)
    _READERS[weak].start()


def _read(library: Any, weak: int) -> None:
    """Hand every new picture to OBS, until the source or the script goes."""
    try:
        while not _STOP.is_set():
            if not _attached(library, weak):
                library.obs_source_release(_see(library, weak))
                time.sleep(0.1)
    except StopIteration:
        pass  # the source has gone
    finally:
        _READERS.pop(weak, None)
        library.obs_weak_source_release(weak)


def _attached(library: Any, weak: int) -> bool:
    """Show what one writer writes, until it goes; gives whether there was one."""
    path = str(_PATH["memory"])
    try:
        with open(path, "r+b") as file:
            number = os.fstat(file.fileno()).st_ino
            memory = mmap.mmap(file.fileno(), 0)
    except (OSError, ValueError):
        return False
    base = c.addressof(c.c_char.from_buffer(memory))
    shown, checked = 0, time.monotonic()
    while not _STOP.is_set():
        magic, width, height, row, slots, written = HEADER.unpack_from(memory, 0)
        if magic == MAGIC and written != shown:
            shown = written
            _show(
                library,
                weak,
                base + FIRST_SLOT + (written - 1) % slots * row * height,
                (width, height, row),
            )
            continue
        time.sleep(_GLANCE)
        if time.monotonic() - checked > _CHECK:
            checked = time.monotonic()
            if not _same(path, number):
                break
    # Nobody, rather than a frozen somebody.
    _show(library, weak, None, (0, 0, 0))
    return True


def _same(path: Any, number: int) -> bool:
    try:
        return os.stat(path).st_ino == number
    except OSError:
        return False


def _see(library: Any, weak: int) -> int:
    """The source, to be released; raises StopIteration when it has gone."""
    source = library.obs_weak_source_get_source(weak)
    if not source:
        raise StopIteration
    return int(source)


def _show(library: Any, weak: int, data: int | None, shape: tuple[int, int, int]) -> None:
    source = _see(library, weak)
    if data is None:
        library.obs_source_output_video2(source, None)
    else:
        frame = _Frame()
        frame.data[0], (frame.width, frame.height, frame.linesize[0]) = data, shape
        frame.timestamp, frame.format = library.os_gettime_ns(), _BGRA
        frame.range, frame.flags = _FULL_RANGE, _LINEAR_ALPHA if _PATH["linear"] else 0
        library.obs_source_output_video2(source, c.byref(frame))
    library.obs_source_release(source)
