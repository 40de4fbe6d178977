"""The program mattecast: where it is, what it says of itself, and what its environment must be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

NAME = "mattecast.exe" if os.name == "nt" else "mattecast"
# The folder of programs in a Python environment.
PROGRAMS = "Scripts" if os.name == "nt" else "bin"
# A file beside this one, written by `mattecast hosts install blender`: the program that did it.
NOTE = "program.txt"
# The first version with the options that the extension uses.
OLDEST = (0, 1, 0)
PATIENCE = 60  # seconds; doctor takes about two, after a cold start ten
MISSING = "the program mattecast was not found: see Preferences, Add-ons, mattecast"
# How it is installed, for the preferences.
HELP = (
    "1. Get mattecast's folder or wheel, and Python 3.11 or newer.",
    "2. In a terminal: python3 -m venv ~/mattecast/venv",
    "3. ~/mattecast/venv/bin/pip install FOLDER_OR_WHEEL",
    "    (on Windows: mattecast\\venv\\Scripts\\pip)",
    "4. Come back here. If it is not found, choose ~/mattecast/venv as Program.",
    "pipx install FOLDER_OR_WHEEL does 2 and 3 in one step.",
)


class ProgramError(Exception):
    """The program is missing, does not run, or is too old: one line for people."""


def find(named: str = "") -> Path:
    """The program that is used.

    named: the user's own choice: the program, a folder or an environment that has it; '' for none.
    Without one: the program that installed the extension, the one on PATH, one in a common place.
    Raises ProgramError.
    """
    if named:
        chosen = Path(named).expanduser()
        for path in (chosen, chosen / NAME, chosen / PROGRAMS / NAME):
            if is_program(path):
                return path
        raise ProgramError(f"{chosen}: no program mattecast is there; see the preferences")
    for path in _candidates():
        if is_program(path):
            return path
    raise ProgramError(MISSING)


def is_program(path: Path) -> bool:
    """Whether this file can be started."""
    return path.is_file() and os.access(path, os.X_OK)


def _candidates() -> Iterator[Path]:
    note = Path(__file__).with_name(NOTE)
    if note.is_file():
        yield Path(note.read_text("utf-8").strip())
    if found := shutil.which("mattecast"):
        yield Path(found)
    yield from (folder / NAME for folder in common_places(Path.home(), os.environ))


def common_places(home: Path, environment: Mapping[str, str]) -> Iterable[Path]:
    """Folders in which installers put programs. A desktop's PATH often lacks them."""
    data = Path(environment.get("LOCALAPPDATA", home / "AppData/Local"))
    roaming = Path(environment.get("APPDATA", home / "AppData/Roaming"))
    yield home / ".local/bin"  # pip install --user, pipx, uv tool
    for root in (home / ".local/share/pipx", home / ".local/pipx", home / "pipx", data / "pipx"):
        yield root / "venvs/mattecast" / PROGRAMS
    yield home / ".local/share/uv/tools/mattecast" / PROGRAMS
    for root in (home, home / "mattecast"):
        for name in (".venv", "venv"):
            yield root / name / PROGRAMS
    if os.name == "nt":
        for folder in (roaming / "Python", data / "Programs/Python"):
            yield from sorted(folder.glob("Python3*/Scripts"), reverse=True)
    else:
        yield from map(Path, ("/opt/homebrew/bin", "/usr/local/bin", "/opt/mattecast/bin"))
        yield from sorted(home.glob("Library/Python/3.*/bin"), reverse=True)


def environment() -> dict[str, str]:
    """Blender's environment without what points Python at Blender's own libraries."""
    kept = dict(os.environ)
    for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE", "__PYVENV_LAUNCHER__"):
        kept.pop(name, None)
    kept["PYTHONUTF8"] = "1"  # what it prints is read as UTF-8
    return kept


def hidden() -> int:
    """Flags of a process: Windows would open a console window for it."""
    return int(getattr(subprocess, "CREATE_NO_WINDOW", 0))


def check(program: Path) -> tuple[str, list[str]]:
    """The program's version, and what `doctor` finds wrong, a line each.

    Raises ProgramError when the program does not run or is too old.
    """
    try:
        done = subprocess.run(
            [str(program), "doctor", "--json"],
            capture_output=True,
            timeout=PATIENCE,
            env=environment(),
            creationflags=hidden(),
        )
        report = json.loads(done.stdout)
        version, findings = str(report["version"]), list(report["findings"])
    except (OSError, subprocess.SubprocessError) as error:
        raise ProgramError(f"{program} does not run: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"])[-1]
        raise ProgramError(f"{program} is no mattecast that fits, or too old: {last}") from error
    if parts(version) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise ProgramError(f"{program} is mattecast {version}; {oldest} is needed")
    wrong = [
        f"{each['what']}: {each['detail']}" for each in findings if each.get("level") == "error"
    ]
    return version, wrong


def parts(version: str) -> tuple[int, ...]:
    """'0.10.2.dev1' as (0, 10, 2)."""
    numbers: list[int] = []
    for part in version.split(".")[:3]:
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
