"""The extension of Blender as a plug-in: a zip for Blender, or its files in Blender's folder."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from mattecast.hosts.blender.extension.program import NAME, NOTE, is_program
from mattecast.hosts.plugin import Plugin
from mattecast.inspect.finding import Finding, note, ok, warning

SOURCES = Path(__file__).with_name("extension")
MANIFEST = "blender_manifest.toml"
# Zip files have no dates before 1980; one date for all makes equal files equal zips.
_DATE = (2026, 1, 1, 0, 0, 0)
OLDEST = (4, 2)


def _build(folder: Path) -> Path:
    """The zip that Blender installs: Edit, Preferences, Get Extensions, Install from Disk."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "mattecast-blender.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((*SOURCES.glob("*.py"), SOURCES / MANIFEST)):
            entry = zipfile.ZipInfo(path.name, _DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    return made


def _place(built: Path, target: Path) -> None:
    """Unpack the extension beside its place, then change them over, and note this program."""
    fresh = target.with_name(f".{target.name}-new")
    shutil.rmtree(fresh, ignore_errors=True)
    with zipfile.ZipFile(built) as archive:
        archive.extractall(fresh)
    if program := _program():
        (fresh / NOTE).write_text(f"{program}\n", "utf-8")
    if target.is_symlink() or target.is_file():
        target.unlink()
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def _program() -> Path | None:
    """The command `mattecast` of this Python."""
    beside = Path(sys.executable).with_name(NAME)
    found = shutil.which("mattecast")
    return beside if is_program(beside) else Path(found) if found else None


def _check() -> Iterator[Finding]:
    """Whether Blender is on the PATH, new enough, and whether it would find the program."""
    if program := _program():
        yield ok("program", f"{program}: the extension starts it")
    else:
        yield warning("program", "there is no command mattecast: name it in Blender's preferences")
    blender = shutil.which("blender")
    if blender is None:
        yield note("Blender", "the program is not on the PATH; it may be installed all the same")
        return
    printed = subprocess.run(
        [blender, "--version"], capture_output=True, text=True, timeout=60, check=False
    ).stdout
    found = re.search(r"Blender (\d+)\.(\d+)", printed)
    version = (int(found[1]), int(found[2])) if found else None
    if version and version < OLDEST:
        yield warning("Blender", f"{blender} is {found and found[0]}: extensions need 4.2 or newer")
    else:
        yield ok("Blender", f"{blender}: {found[0] if found else 'version unknown'}")


def _new_enough(folder: str) -> bool:
    """Whether a folder of settings, '4.2', is of a Blender that has extensions."""
    parts = folder.split(".")
    return all(each.isdigit() for each in parts) and tuple(map(int, parts)) >= OLDEST


PLUGIN = Plugin(
    name="blender",
    title="extension for Blender 4.2 and later",
    folders={
        "linux": ("$XDG_CONFIG_HOME/blender/*/extensions/user_default",),
        "darwin": ("~/Library/Application Support/Blender/*/extensions/user_default",),
        "win32": ("%APPDATA%/Blender Foundation/Blender/*/extensions/user_default",),
    },
    build=_build,
    installed="mattecast",
    step="in Blender, after a restart: Edit, Preferences, Add-ons, tick mattecast",
    check=_check,
    place=_place,
    fits=_new_enough,
    absent="no settings of Blender 4.2 or newer are here: start Blender once",
)
