"""Pictures in shared memory, for the OBS script's own source: no copy through a socket."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

import numpy as np

from mattecast.live.picture import Picture

# Magic, width, height, bytes a row, slots, pictures written so far.
HEADER = struct.Struct("<8sIIIIQ")
MAGIC, FIRST_SLOT = b"MCASTSHM", 4096
# A reader has the time of three pictures to copy one before it is written over.
SLOTS = 4


class SharedMemory:
    """A target that writes pictures into a file of memory, which is replaced for another size."""

    one_size = False

    def __init__(self, path: Path) -> None:
        self.name, self._path = f"shared memory {path.name}", path
        self._memory: mmap.mmap | None = None
        self._written = 0

    def open(self, picture: Picture) -> None:
        """See Target.open. The file appears whole, by a rename."""
        width, height = picture.size
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        number = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.ftruncate(number, FIRST_SLOT + SLOTS * width * height * 4)
            self._memory = mmap.mmap(number, 0)
        finally:
            os.close(number)
        self._written = 0
        self._announce(picture)
        fresh.replace(self._path)

    def write(self, picture: Picture) -> None:
        """See Target.write. The count comes last: what it announces is there."""
        assert self._memory is not None
        size = picture.bgra.size
        place = FIRST_SLOT + self._written % SLOTS * size
        slot = np.frombuffer(self._memory, np.uint8, size, place)
        slot.reshape(picture.bgra.shape)[:] = picture.bgra
        self._written += 1
        self._announce(picture)

    def _announce(self, picture: Picture) -> None:
        assert self._memory is not None
        width, height = picture.size
        HEADER.pack_into(self._memory, 0, MAGIC, width, height, 4 * width, SLOTS, self._written)

    def close(self) -> None:
        """See Target.close. Readers see the file go, and show nothing."""
        if self._memory is not None:
            # The memory itself goes with the last array and reader that look at it.
            self._memory = None
            self._path.unlink(missing_ok=True)
