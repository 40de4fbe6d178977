"""What `check`, `doctor` and `doctor --obs` find, and the report that lists it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found in a clip or on this machine.

    level: an error breaks something; a warning may, in some host program.
    what: the subject in a word or two, or empty where the detail is a whole sentence.
    detail: what was found, and what to do about it where that helps.
    """

    level: Level
    what: str
    detail: str

    def __str__(self) -> str:
        subject = f"{self.what}: " if self.what else ""
        return _printable(f"{self.level:<8} {subject}{self.detail}")


def ok(what: str, detail: str) -> Finding:
    """A finding that is as it should be."""
    return Finding("ok", what, detail)


def note(what: str, detail: str) -> Finding:
    """A finding worth knowing that breaks nothing."""
    return Finding("note", what, detail)


def warning(what: str, detail: str) -> Finding:
    """A finding that some hosts will show wrongly."""
    return Finding("warning", what, detail)


def error(what: str, detail: str) -> Finding:
    """A finding that breaks the clip, or the run that was asked about."""
    return Finding("error", what, detail)


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in reading order."""

    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Report:
        """A report of these findings."""
        return cls(tuple(findings))

    @property
    def ok(self) -> bool:
        """Whether none of the findings is an error."""
        return all(finding.level != "error" for finding in self.findings)

    def lines(self) -> list[str]:
        """One line a finding: level, subject, detail."""
        return [str(finding) for finding in self.findings]


def _printable(text: str) -> str:
    """Text that is safe to print: names in a file may hold line breaks and terminal codes."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
