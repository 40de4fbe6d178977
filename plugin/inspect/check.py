"""Does a clip conform? What `mattecast check` reports, on our own files and on anybody's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mattecast.errors import MediaError
from mattecast.inspect import pictures, quicktime, structure
from mattecast.inspect.finding import Finding, Report, error


def check(path: str | Path) -> Report:
    """Read a clip's structure, frame headers and a spread of its pictures.

    Any container and codec PyAV reads; QuickTime structure and ProRes headers where there are any.
    Raises MediaError when the file is missing, is no video, or is damaged beyond reading.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise MediaError(f"{path}: is not a file; give the path of a video file")
        return Report.of(_findings(path))
    except OSError as failure:
        reason = failure.strerror or failure
        raise MediaError(f"{path}: cannot be read: {reason}; check the file itself") from failure


def _findings(path: Path) -> Iterator[Finding]:
    if not quicktime.is_quicktime(path):
        yield from pictures.findings(path, described=False)
        return
    movie = quicktime.read(path)
    structural = list(structure.findings(movie))
    yield from structural
    # ProRes frame headers have said this already.
    repeated = {"alpha", "colour"} if _has(structural, "header colour") else set()
    try:
        for each in pictures.findings(path, described=not movie.fragmented):
            if each.what not in repeated:
                yield each
    except MediaError as failure:
        # The structure is worth reporting even where no picture comes out.
        yield error("pictures", str(failure))


def _has(findings: list[Finding], what: str) -> bool:
    return any(each.what == what for each in findings)
