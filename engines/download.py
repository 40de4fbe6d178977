"""Fetching one file: resumed where it was cut, checked, and only then given its name."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from mattecast.engines.errors import EngineError
from mattecast.engines.store import sha256_of

# (bytes so far, bytes in all or None)
Progress = Callable[[int, int | None], None]
_PIECE = 1 << 18
_TIMEOUT = 30.0
# A connection that is cut is taken up again this often before the error is shown.
_ATTEMPTS = 3


def download(
    address: str, target: Path, *, sha256: str | None = None, progress: Progress | None = None
) -> str:
    """Fetch address into target and return its SHA-256.

    What came before a cut stays in target.part, and the next call goes on from there. Raises
    EngineError when the network or the disk fails, or the file is not the one expected.
    """
    part = part_of(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(address, part, progress or (lambda done, total: None))
        found = sha256_of(part)
        if sha256 and found != sha256:
            part.unlink()
            raise EngineError(
                f"{address}: the file's SHA-256 is {found}, expected {sha256}; nothing was kept"
            )
        os.replace(part, target)
    except OSError as error:
        raise EngineError(_explained(address, target, error)) from error
    return found


def part_of(target: Path) -> Path:
    """Where what has come of a file waits for the rest."""
    return target.with_name(f"{target.name}.part")


def _fetch(address: str, part: Path, progress: Progress) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _rest(address, part, progress)
        except urllib.error.HTTPError:
            raise
        except (OSError, HTTPException) as error:
            if attempt == _ATTEMPTS or not _came(part):
                cause = getattr(error, "reason", error)  # urllib's own error holds the real one
                said = getattr(cause, "strerror", None) or cause
                raise OSError(str(said) or type(error).__name__) from error


def _rest(address: str, part: Path, progress: Progress) -> None:
    """Fetch what is missing of part; raises OSError when the connection ends too soon."""
    start = _came(part)
    headers = {"User-Agent": "mattecast", **({"Range": f"bytes={start}-"} if start else {})}
    request = urllib.request.Request(address, headers=headers)
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if not start or error.code != 416:
            raise
        whole = error.headers.get("Content-Range", "").rpartition("/")[2]
        if whole in ("", "*", str(start)):  # nothing beyond what we have
            return
        part.unlink()  # longer than the file: of another one, from the beginning
        return _rest(address, part, progress)
    with response, part.open("ab") as file:
        if start and response.status != 206:  # the server cannot resume: from the beginning
            file.truncate(0)
            start = 0
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else None
        done = start
        while piece := response.read(_PIECE):
            file.write(piece)
            done += len(piece)
            progress(done, total)
    if total is not None and done < total:
        raise OSError(f"the connection ended after {done} of {total} bytes")
    if done != _came(part):
        part.unlink()
        raise OSError("another process fetches the same file")


def _came(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _explained(address: str, target: Path, error: OSError) -> str:
    reason: object = error.strerror or error
    if isinstance(error, urllib.error.HTTPError):
        reason = f"HTTP {error.code}"
    return (
        f"{address}: could not be fetched ({reason}); run the command again to go on, or fetch it "
        f"yourself and put it at {target}"
    )
