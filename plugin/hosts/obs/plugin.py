"""The script of OBS as a plug-in: a copy of `mattecast_obs.py` that stays where it is."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from mattecast.hosts.plugin import Plugin
from mattecast.inspect.finding import Finding, note, ok

SCRIPT = Path(__file__).with_name("mattecast_obs.py")


def _build(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(SCRIPT, folder / SCRIPT.name))


def _check() -> Iterator[Finding]:
    """Whether OBS is here; `doctor --obs` asks OBS itself."""
    program = shutil.which("obs") or shutil.which("obs64")
    if program is None:
        yield note("OBS", "the program is not on the PATH; it may be installed all the same")
        return
    version = subprocess.run(
        [program, "--version"], capture_output=True, text=True, timeout=30, check=False
    ).stdout.strip()
    yield ok("OBS", f"{program}: {version or 'version unknown'}; doctor --obs asks it more")


PLUGIN = Plugin(
    name="obs",
    title="script for OBS 28 and later",
    # OBS runs scripts from any folder. A folder of packages would go with an upgrade.
    folders={
        "linux": ("$XDG_DATA_HOME/mattecast/obs",),
        "darwin": ("~/Library/Application Support/mattecast/obs",),
        "win32": ("%LOCALAPPDATA%/mattecast/obs",),
    },
    build=_build,
    installed=SCRIPT.name,
    step="in OBS: Tools, Scripts, +, and that file",
    check=_check,
)
