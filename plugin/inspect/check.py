"""Does a clip conform? What `mattecast check` reports, on our own files and on anybody's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mattecast.errors import MediaError
from mattecast.inspect import pictures, quicktime, structure
from mattecast.inspect.finding import Finding, Level, error

__all__ = ["Finding", "Level", "Report", "check"]


@dataclass(frozen=True)
class Report:
    """All findings on one file, in reading order."""

    path: Path
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found that breaks the clip."""
        return all(finding.level != "error" for finding in self.findings)

    def lines(self) -> list[str]:
        """One line per finding: level, subject, detail."""
        return [f"{each.level:<8} {each.what}: {_plain(each.detail)}" for each in self.findings]


def check(path: str | Path) -> Report:
    """Read a clip's structure, frame headers and a spread of its pictures.

    Any container and codec PyAV reads; QuickTime structure and ProRes headers where there are any.
    Raises MediaError when the file is missing, is no video, or is damaged beyond reading.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise MediaError(f"{path}: is not a file; give the path of a video file")
        return Report(path, tuple(_findings(path)))
    except OSError as failure:
        reason = failure.strerror or failure
        raise MediaError(f"{path}: cannot be read: {reason}; check the file itself") from failure


def _plain(text: str) -> str:
    """Text safe to print: names in a file may hold line breaks and terminal codes."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _findings(path: Path) -> Iterator[Finding]:
    if not quicktime.is_quicktime(path):
        yield from pictures.findings(path, described=False)
        return
    movie = quicktime.read(path)
    told = list(structure.findings(movie))
    yield from told
    # ProRes frame headers have said these already.
    said = {"alpha", "colour"} if "header colour" in {each.what for each in told} else set()
    try:
        for each in pictures.findings(path, described=not movie.fragmented):
            if each.what not in said:
                yield each
    except MediaError as failure:
        # The structure is worth reporting even where no picture comes out.
        yield error("pictures", str(failure))
