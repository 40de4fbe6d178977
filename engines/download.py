"""Downloads of one file: resumed after a cut, checked, and only then given their name."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from mattecast.engines.errors import EngineError
from mattecast.engines.store import sha256_of

# Called with the bytes received so far and the total, or None where the server does not state it.
Progress = Callable[[int, int | None], None]
_PIECE = 1 << 18
_TIMEOUT = 30.0
# How many connections are tried for one download before the error is raised.
_ATTEMPTS = 3


def download(
    address: str, target: Path, *, sha256: str | None = None, progress: Progress | None = None
) -> str:
    """Fetch a file and return its SHA-256.

    address: its URL. target: where to put it. sha256: the hash it must have. After a failure the
    bytes received stay in target.part, and the next call goes on from there. Raises EngineError
    when the network or the disk fails, and when the hash is wrong.
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
        raise EngineError(_message(address, target, error)) from error
    return found


def part_of(target: Path) -> Path:
    """The file that holds what has been received of a download."""
    return target.with_name(f"{target.name}.part")


def _fetch(address: str, part: Path, progress: Progress) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _fetch_remaining(address, part, progress)
        except urllib.error.HTTPError:
            raise
        except (OSError, HTTPException) as error:
            if attempt == _ATTEMPTS or not _bytes_received(part):
                cause = getattr(error, "reason", error)  # urllib's own error holds the real one
                reason = getattr(cause, "strerror", None) or cause
                raise OSError(str(reason) or type(error).__name__) from error


def _fetch_remaining(address: str, part: Path, progress: Progress) -> None:
    """Fetch the bytes that part still lacks; raises OSError when the connection ends too soon."""
    start = _bytes_received(part)
    headers = {"User-Agent": "mattecast", **({"Range": f"bytes={start}-"} if start else {})}
    request = urllib.request.Request(address, headers=headers)
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if not start or error.code != 416:
            raise
        whole = error.headers.get("Content-Range", "").rpartition("/")[2]
        if whole in ("", "*", str(start)):  # the server has no more than part holds
            return
        part.unlink()  # part is longer than the file, so it is of another one: start again
        return _fetch_remaining(address, part, progress)
    with response, part.open("ab") as file:
        if start and response.status != 206:  # the server cannot resume: start again
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
    if done != _bytes_received(part):
        part.unlink()
        raise OSError("another process is fetching the same file")


def _bytes_received(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _message(address: str, target: Path, error: OSError) -> str:
    reason: object = error.strerror or error
    if isinstance(error, urllib.error.HTTPError):
        reason = f"HTTP {error.code}"
    return (
        f"{address}: could not be fetched ({reason}); run the command again to go on, or fetch it "
        f"yourself and put it at {target}"
    )
