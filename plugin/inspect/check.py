"""Does a clip conform? What `mattecast check` reports, on our own files and on anybody's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mattecast.errors import MediaError
from mattecast.inspect import pictures, quicktime, structure
from mattecast.inspect.finding import Finding, Report, error
from mattecast.media.host import Host
from mattecast.media.hosts import HOSTS
from mattecast.media.pictures import picture_files
from mattecast.options import check_choice


def check(path: str | Path, host: str | None = None) -> Report:
    """Read a clip's structure, frame headers and a spread of its pictures.

    Any container and codec PyAV reads; QuickTime structure and ProRes headers where there are any.
    Of a folder of pictures, the first is read. host: a name of HOSTS, for what that program will do
    with the clip. Raises MediaError when the file is missing, is no video, or is damaged beyond
    reading; UsageError for an unknown host.
    """
    path = Path(path)
    if host is not None:
        check_choice("for", host, tuple(HOSTS))
    try:
        if path.is_dir():
            path = picture_files(path)[0]
        if not path.is_file():
            raise MediaError(f"{path}: is not a file; give the path of a video file")
        return Report.of(_findings(path, HOSTS[host] if host else None))
    except OSError as failure:
        reason = failure.strerror or failure
        raise MediaError(f"{path}: cannot be read: {reason}; check the file itself") from failure


def _findings(path: Path, host: Host | None) -> Iterator[Finding]:
    if not quicktime.is_quicktime(path):
        yield from pictures.findings(path, described=False, host=host)
        return
    movie = quicktime.read(path)
    structural = list(structure.findings(movie))
    yield from structural
    # ProRes frame headers have said this already.
    repeated = {"alpha", "colour"} if _has(structural, "header colour") else set()
    try:
        for each in pictures.findings(path, described=not movie.fragmented, host=host):
            if each.what not in repeated:
                yield each
    except MediaError as failure:
        # The structure is worth reporting even where no picture comes out.
        yield error("pictures", str(failure))


def _has(findings: list[Finding], what: str) -> bool:
    return any(each.what == what for each in findings)
