"""A plug-in for a host program: what it is made of, where it goes, and whether it is there."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from mattecast.errors import OutputError, UsageError
from mattecast.inspect.finding import Finding, error, ok, warning

# Folders of Linux that a variable may move.
_DEFAULTS = {"XDG_CONFIG_HOME": "~/.config", "XDG_DATA_HOME": "~/.local/share"}

# Answers a plug-in through a folder (None: the one it asks in), until it is stopped or once; what
# happens goes to the function, a line each.
Serve = Callable[[Path | None, Callable[[str], None], bool], None]


def copied(built: Path, target: Path) -> None:
    """Put a plug-in of one file in its place."""
    shutil.copyfile(built, target)


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plug-in.

    name: as `mattecast hosts` takes it. title: for people. folders: where the host looks for
    plug-ins, by the name of the system in `sys.platform`; '~' and variables as shells have them,
    '*' for a version of the host. build: writes the plug-in into a folder, as a file or a folder
    that it returns. installed: what the plug-in is called in the host's folder. step: what the user
    does in the host then, a line. check: what else it needs on this machine. place: puts what was
    built into the host's folder. serve: answers the plug-in, where its host may let it start no
    program. fits: whether a version of the host, the '*', takes it. absent: what is missing where
    no folder is found, and what the user does then. step_in: `step` for a folder that the user
    names; raises UsageError for one in which the host finds nothing.
    """

    name: str
    title: str
    folders: Mapping[str, tuple[str, ...]]
    build: Callable[[Path], Path]
    installed: str
    step: str
    check: Callable[[], Iterator[Finding]]
    place: Callable[[Path, Path], None] = copied
    serve: Serve | None = None
    fits: Callable[[str], bool] = lambda version: True
    absent: str = "its folder is not known here"
    step_in: Callable[[Path], str] | None = None

    def places(self) -> list[Path]:
        """Where it goes on this machine: the folder of every version of the host that is here."""
        patterns = self.folders.get(sys.platform, ())
        return [place for pattern in patterns for place in _expanded(pattern, self.fits)]

    def install(self, folder: Path | None = None) -> Iterator[str]:
        """Put it where the host looks for it, or into one folder; a line for each place.

        Raises UsageError where the host is not here, OutputError where a folder cannot be written.
        """
        places = [folder] if folder else self.places()
        if not places:
            raise UsageError(f"{self.name}: {self._missing()}, or name a place with --into FOLDER")
        step = self.step_in(folder) if folder and self.step_in else self.step
        with tempfile.TemporaryDirectory() as work:
            built = self.build(Path(work))
            for place in places:
                yield f"{self._put(built, place)}: {self.title}"
        yield f"then, {step}"

    def _missing(self) -> str:
        """What is missing, where it was looked for, and what to do."""
        patterns = self.folders.get(sys.platform, ())
        looked_in = " and ".join(str(_root(pattern)) for pattern in patterns)
        return f"{self.absent} (looked in {looked_in})" if patterns else self.absent

    def _put(self, built: Path, place: Path) -> Path:
        target = place / self.installed
        try:
            place.mkdir(parents=True, exist_ok=True)
            self.place(built, target)
        except OSError as failure:
            raise OutputError(f"{target}: cannot be written ({failure.strerror})") from failure
        return target

    def findings(self) -> Iterator[Finding]:
        """Whether it is installed, is the one of this mattecast, and has what it needs."""
        there = [place / self.installed for place in self.places()]
        there = [target for target in there if target.exists()]
        if not there:
            yield error(self.title, f"not installed; mattecast hosts install {self.name}")
        with tempfile.TemporaryDirectory() as work:
            reference = Path(work) / self.installed
            self.place(self.build(Path(work) / "built"), reference)
            for target in there:
                yield self._age(target, reference)
        yield from self.check()

    def _age(self, target: Path, reference: Path) -> Finding:
        if _contents(target) == _contents(reference):
            return ok(self.title, str(target))
        remedy = f"mattecast hosts install {self.name}"
        return warning(self.title, f"{target} is of another version of mattecast; {remedy}")


def _expanded(pattern: str, fits: Callable[[str], bool]) -> Iterator[Path]:
    """The folders that a pattern stands for here. What lies behind a '*' need not be there yet."""
    path, root = _without_variables(pattern), _root(pattern)
    if "*" not in path.parts:
        yield root
        return
    behind = path.parts[path.parts.index("*") + 1 :]
    versions = sorted(each for each in root.glob("*") if each.is_dir() and fits(each.name))
    yield from (each.joinpath(*behind) for each in versions)


def _without_variables(pattern: str) -> PurePath:
    """A pattern with what variables and '~' stand for."""
    for name, value in _DEFAULTS.items():
        pattern = pattern.replace(f"${name}", os.environ.get(name) or value)
    return PurePath(os.path.expanduser(os.path.expandvars(pattern)))


def _root(pattern: str) -> Path:
    """What stands before the '*' of a pattern; all of one that has none."""
    parts = _without_variables(pattern).parts
    return Path(*parts[: parts.index("*")] if "*" in parts else parts)


def _contents(path: Path) -> dict[str, bytes]:
    """The files of a plug-in by their names, without what Python and hosts write beside them."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return {
        str(each.relative_to(path)): each.read_bytes()
        for each in files
        if "__pycache__" not in each.parts
    }
