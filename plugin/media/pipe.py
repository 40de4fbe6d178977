"""Standard input and standard output as files that PyAV reads and writes, and raw pictures."""

from __future__ import annotations

import os
import select
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

from mattecast.errors import UsageError

# What stands for standard input or standard output where a file's name is expected.
PIPE = "-"
# How often whoever waits for input looks whether it is still wanted (seconds).
_TICK = 0.1
_STDIN, _STDOUT, _STDERR = 0, 1, 2


def is_pipe(path: str | Path | None) -> bool:
    """Whether a name stands for standard input or standard output; ./- is a file."""
    return path is not None and str(path) == PIPE


class StandardInput:
    """Standard input for PyAV. A pipe cannot seek.

    count: bytes read so far. failure: what ended the reading and is no Exception, such as a signal;
    PyAV would swallow it. Any thread may call `stop`, which makes the input end.
    """

    seeks = False

    def __init__(self) -> None:
        self.count = 0
        self.failure: BaseException | None = None
        self._stopped = False

    def stop(self) -> None:
        """End the input, also for a thread that waits for it."""
        self._stopped = True

    def read(self, size: int) -> bytes:
        """What is there, at most `size` bytes; nothing at the end. Raises OSError."""
        try:
            while not self._stopped and not _comes():
                pass
            data = b"" if self._stopped else os.read(_STDIN, size)
        except Exception:
            raise
        except BaseException as error:
            self.failure, self._stopped = error, True
            return b""
        self.count += len(data)
        return data


class _RegularFile(StandardInput):
    """A file that a shell has opened as standard input: unlike a pipe it can seek."""

    seeks = True

    def read(self, size: int) -> bytes:
        """See StandardInput."""
        before, data = self.count, super().read(size)
        self.count = max(before, self.tell())
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; gives where it is. Raises OSError."""
        return os.lseek(_STDIN, offset, whence)

    def tell(self) -> int:
        """Where the file stands."""
        return os.lseek(_STDIN, 0, os.SEEK_CUR)


def standard_input() -> StandardInput:
    """Standard input, be it a pipe or a file."""
    regular = stat.S_ISREG(os.fstat(_STDIN).st_mode)
    return _RegularFile() if regular else StandardInput()


def _comes() -> bool:
    """Whether standard input can be read without waiting; waits a moment for it."""
    if sys.platform == "win32":
        return True  # its select() takes sockets only
    return bool(select.select([_STDIN], [], [], _TICK)[0])


class StandardOutput:
    """Standard output for PyAV. Close it when done.

    Until then all else that prints to standard output prints to standard error, so that nothing
    comes between. count: bytes written so far. is_regular: whether it is a file.
    """

    def __init__(self) -> None:
        if sys.stdout is not None:
            sys.stdout.flush()
        self.count = 0
        self.is_regular = stat.S_ISREG(os.fstat(_STDOUT).st_mode)
        self._failure: BaseException | None = None
        self._number: int | None = os.dup(_STDOUT)
        os.dup2(_STDERR, _STDOUT)

    def write(self, data: bytes) -> int:
        """Write all of the data; nothing any more after a failure. Raises OSError."""
        left = memoryview(data)
        try:
            while left and self._number is not None:
                left = left[os.write(self._number, left) :]
        except BaseException as error:
            # PyAV swallows what is no Exception, and libav goes on after some errors.
            self._failure = error
            self.close()
            if isinstance(error, Exception):
                raise
            return len(data)
        self.count += len(data)
        return len(data)

    def check(self) -> None:
        """Raise what has ended the writing."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Give standard output back; safe to call twice."""
        number, self._number = self._number, None
        if number is not None:
            os.dup2(number, _STDOUT)
            os.close(number)


@dataclass(frozen=True, slots=True)
class Raw:
    """Pictures without any header: libav's pixel format, and their size."""

    pixels: str
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Raw:
        """'rgba:1920x1080'. Raises UsageError for all else."""
        import av  # names of files are looked at without any large library

        pixels, _, size = text.partition(":")
        width, _, height = size.partition("x")
        if not (width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            raise UsageError(f"raw '{text}': expected PIXELS:WIDTHxHEIGHT, such as rgba:1920x1080")
        try:
            av.VideoFormat(pixels)
        except ValueError as error:
            raise UsageError(
                f"raw '{text}': the pixel format '{pixels}' is not known; rgba, bgra, rgb24, "
                "yuv420p and rgba64le are some that are"
            ) from error
        return cls(pixels, int(width), int(height))
