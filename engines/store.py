"""Built engines on disk, which make the second start quick: keyed, checked, locked, pruned.

An entry is two files: KEY.engine, what a back-end built, and KEY.json, which states what it was
built from. KEY is the SHA-256 of everything that the build depends on. Both files are written under
a temporary name and then renamed, so that no reader ever sees half a file.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TypeVar

from mattecast.engines.errors import EngineError

T = TypeVar("T")
_LOG = logging.getLogger("mattecast.engines")
# Bytes: about two hundred networks of the default's size, or twenty large TensorRT plans.
LIMIT = 4_000_000_000
# How often a process that waits for another one's build asks whether it has finished (seconds).
_POLL = 0.1
# After this time (seconds) a waiting process builds for itself: no build takes longer.
_PATIENCE = 900.0


@dataclass(frozen=True, slots=True)
class Key:
    """All that a built engine depends on; another value in any field means another engine.

    model: SHA-256 of the network file. device: what it was built for, a CPU's name, or a GPU's name
    with compute capability and driver. size: (width, height). flags: all other options of the
    build.
    """

    model: str
    backend: str
    version: str
    size: tuple[int, int]
    precision: str
    flags: tuple[str, ...] = ()
    device: str = ""

    @property
    def digest(self) -> str:
        """The name of the entry: 32 hexadecimal digits."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Entry:
    """One built engine on disk, as its side file describes it.

    sha256, bytes: of the engine's file. used: when it was last loaded, in seconds since 1970.
    """

    path: Path
    name: str
    key: Key
    sha256: str
    bytes: int
    build_seconds: float
    used: float

    def __str__(self) -> str:
        width, height = self.key.size
        return (
            f"{self.path.stem}  {self.name} at {width}x{height}, {self.key.backend} "
            f"{self.key.version}, {self.key.precision}, {self.bytes / 1e6:.1f} MB"
        )

    def intact(self) -> bool:
        """Whether the file still holds what was written."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest() == self.sha256
        except OSError:
            return False


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where built engines are kept: MATTECAST_CACHE, or the system's per-user cache folder."""
    if named := os.environ.get("MATTECAST_CACHE"):
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_path("mattecast"))


class Store:
    """The built engines of one folder."""

    def __init__(self, folder: Path | None = None, limit: int = LIMIT) -> None:
        self.folder = (folder or cache_folder()) / "engines"
        self.limit = limit

    def fetch(
        self, key: Key, name: str, build: Callable[[], bytes], load: Callable[[bytes], T]
    ) -> T:
        """load() the engine that is stored under a key; build() and store it first if needed.

        An engine that is damaged or does not load is built once more; if load() fails again, its
        error is raised. A folder that cannot be written costs a warning and a build at each start.
        """
        found = self._read(key)
        if found is not None:
            try:
                return load(found)
            except EngineError as error:
                _LOG.warning("a stored engine of %s does not load, building anew: %s", name, error)
        with self._locked(key, name):
            # Another process may have built it meanwhile.
            stored = self._read(key)
            return load(self._build(key, name, build) if stored in (None, found) else stored)

    def write_companion(self, key: Key, suffix: str, data: bytes) -> None:
        """Write KEY.SUFFIX, which is removed with its engine; a full disk is not an error here."""
        with suppress(OSError):
            _write(self.folder / f"{key.digest}{suffix}", data)

    def read_companion(self, key: Key, suffix: str) -> bytes | None:
        """The data of KEY.SUFFIX, or None."""
        try:
            return (self.folder / f"{key.digest}{suffix}").read_bytes()
        except OSError:
            return None

    def entries(self) -> list[Entry]:
        """All engines whose side file can be read, the most recently used first."""
        found = [_entry(side) for side in self.folder.glob("*.json")]
        return sorted((e for e in found if e), key=lambda entry: entry.used, reverse=True)

    def prune(self, limit: int | None = None) -> list[Entry]:
        """Remove the least recently used engines until the others take at most `limit` bytes."""
        limit = self.limit if limit is None else limit
        entries, removed = self.entries(), []
        total = sum(entry.bytes for entry in entries)
        while entries and total > limit:
            entry = entries.pop()
            total -= entry.bytes
            self._discard(entry.path.stem)
            removed.append(entry)
        self._remove_leftovers()
        return removed

    def _remove_leftovers(self) -> None:
        """Remove files that killed processes have left, which are older than any build takes."""
        known = {entry.path.stem for entry in self.entries()}
        for path in self.folder.glob("*.*"):
            belongs = path.stem in known and path.suffix != ".part"
            with suppress(OSError):
                old = path.stat().st_mtime < time.time() - _PATIENCE
                if old and not belongs and path.suffix != ".lock":
                    path.unlink()

    def verify(self) -> list[str]:
        """Remove the engines whose files are damaged; returns a line for each."""
        damaged = {entry.path.stem: str(entry) for entry in self.entries() if not entry.intact()}
        for side in self.folder.glob("*.json"):
            if _entry(side) is None:
                damaged[side.stem] = f"{side.stem}  one of its two files is missing or unreadable"
        for digest in damaged:
            self._discard(digest)
        return list(damaged.values())

    def _read(self, key: Key) -> bytes | None:
        """The stored engine, or None where there is none or its file is damaged."""
        entry = _entry(self.folder / f"{key.digest}.json")
        if entry is None:
            return None
        try:
            data = entry.path.read_bytes()
        except OSError:
            return None
        with suppress(OSError):  # the folder may be read-only for this user
            os.utime(entry.path)
        return data if hashlib.sha256(data).hexdigest() == entry.sha256 else None

    def _build(self, key: Key, name: str, build: Callable[[], bytes]) -> bytes:
        _LOG.info("building %s for %s: %s", name, key.backend, self._why_not_stored(key, name))
        start = time.perf_counter()
        data = build()
        side = {
            "name": name,
            "key": asdict(key),
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "build_seconds": round(time.perf_counter() - start, 3),
        }
        try:
            _write(self.folder / f"{key.digest}.engine", data)
            _write(self.folder / f"{key.digest}.json", json.dumps(side, indent=1).encode())
            with suppress(EngineError):
                self.prune()
        except OSError as error:
            text = "engines cannot be kept in %s (%s), each start builds anew; set MATTECAST_CACHE"
            _LOG.warning(text, self.folder, error.strerror)
        return data

    def _why_not_stored(self, key: Key, name: str) -> str:
        """Why no stored engine fits: the differences to the last one of this name and back-end."""
        if _entry(self.folder / f"{key.digest}.json"):
            return "the stored one is damaged"
        for entry in self.entries():
            if entry.name == name and entry.key.backend == key.backend:
                before, now = asdict(entry.key), asdict(key)
                return ", ".join(
                    f"{part} was {_short(before[part])}, is {_short(now[part])}"
                    for part in now
                    if before[part] != now[part]
                )
        return "not built before"

    def _discard(self, digest: str) -> None:
        """Remove one engine; raises EngineError where the folder does not allow that."""
        try:
            # The side file first: without it there is no entry.
            (self.folder / f"{digest}.json").unlink(missing_ok=True)
            for path in self.folder.glob(f"{digest}.*"):
                if path.suffix not in (".lock", ".part"):
                    path.unlink(missing_ok=True)
        except OSError as error:
            text = f"{self.folder}: nothing can be removed ({error.strerror})"
            raise EngineError(text) from error

    @contextmanager
    def _locked(self, key: Key, name: str) -> Iterator[None]:
        """Hold the lock of one entry; a second process waits until the first has finished."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / f"{key.digest}.lock").open("a+b")
        except OSError:  # writing the engine will fail too, and will log a warning
            yield
            return
        with file:
            end, announced = time.monotonic() + _PATIENCE, False
            while not _lock(file) and time.monotonic() < end:
                if not announced:
                    _LOG.info("another process is building %s: waiting for it", name)
                announced = True
                time.sleep(_POLL)
            yield


def _entry(side: Path) -> Entry | None:
    """The entry of a side file, or None where one of the two files is missing or unreadable."""
    path = side.with_suffix(".engine")
    try:
        stored = json.loads(side.read_text())
        fields = stored["key"]
        key = Key(**{**fields, "size": tuple(fields["size"]), "flags": tuple(fields["flags"])})
        return Entry(
            path,
            stored["name"],
            key,
            stored["sha256"],
            stored["bytes"],
            stored["build_seconds"],
            path.stat().st_mtime,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, then rename it."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}..."


def _lock(file: IO[bytes]) -> bool:
    """Take a file's lock without waiting; the system releases it when the file is closed."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
