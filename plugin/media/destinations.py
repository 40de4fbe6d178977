"""Where an output may go, and the errors of an output that cannot be written there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av.error

from mattecast.errors import MattecastError, OutputError
from mattecast.media.pictures import matches
from mattecast.media.source import Description


def refuse_losing(output: Path, source: Description, *, overwrite: bool) -> None:
    """Raise OutputError where a file would replace something that is still wanted."""
    if output.exists():
        if any(output.samefile(file) for file in source.files):
            raise OutputError(f"{output}: is the input itself; name another output")
        if not output.is_file():
            raise OutputError(f"{output}: is a folder or a device; name a file")
        if not overwrite:
            raise OutputError(f"{output}: exists already; --overwrite replaces it")
    _check_folder(output.parent)


def refuse_mixing(folder: Path, pattern: str, source: Description, *, overwrite: bool) -> None:
    """Raise OutputError where pictures would replace anything but pictures of the same name.

    The folder is replaced as a whole, so nothing else may be in it.
    """
    if folder.exists():
        if not folder.is_dir():
            raise OutputError(f"{folder}: is a file; name a folder for the pictures")
        if source.files and folder.samefile(source.files[0].parent):
            raise OutputError(f"{folder}: holds the input itself; name another folder")
        names = os.listdir(folder)
        if folder.samefile(os.curdir) or not all(matches(pattern, name) for name in names):
            raise OutputError(
                f"{folder}: pictures need a folder of their own, such as "
                f"{folder / 'pictures' / pattern}"
            )
        if names and not overwrite:
            raise OutputError(f"{folder}: exists already; --overwrite replaces it")
    _check_folder(folder.parent)


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise OutputError(f"{folder}: no such folder; make it first")
    if not os.access(folder, os.W_OK):
        raise OutputError(f"{folder}: no permission to write there")


def hidden_path(output: Path, ending: str = "part") -> Path:
    """A hidden name in the output's folder: the final rename stays on one file system."""
    # Absolute, because libav takes what stands before a colon in a plain name for a protocol.
    absolute = Path(os.path.abspath(output))
    return absolute.with_name(f".{absolute.name}.{os.getpid()}.{ending}")


@contextmanager
def output_errors(output: Path) -> Iterator[None]:
    """Raise what goes wrong while writing as an OutputError: one line, with what to do.

    BrokenPipeError is left: the reader of a pipe has seen enough.
    """
    try:
        yield
    except (MattecastError, BrokenPipeError):
        raise
    except (OSError, ValueError, av.error.FFmpegError) as error:
        number = getattr(error, "errno", None)
        if number in (errno.ENOSPC, errno.EDQUOT):
            raise OutputError(f"{output}: the disk is full; free some space") from error
        if number == errno.EFBIG:
            raise OutputError(f"{output}: too large for this file system or its limits") from error
        reason = getattr(error, "strerror", None) or str(error)
        is_bad_data = isinstance(error, (av.error.ArgumentError, av.error.InvalidDataError))
        advice = "; where damaged sound is the cause, --no-audio helps" if is_bad_data else ""
        raise OutputError(f"{output}: could not be written ({reason.lower()}){advice}") from error
