"""The scripts inside Resolve as a plug-in: a folder of the menu Workspace, Scripts, Edit."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path, PureWindowsPath

from mattecast.errors import MattecastError
from mattecast.hosts.plugin import Plugin
from mattecast.hosts.resolve.exchange import Exchange, default_folder, lua, plain_name
from mattecast.inspect.finding import Finding, error, note, ok

# The entries of the menu, and what each asks for.
ENTRIES = {
    "Matte the selected clips": "selected",
    "Matte all clips of this colour": "colour",
    "Matte the clips of this track": "track",
    "Cancel": "cancel",
}
STUDIO = "Matte (Python, Studio)"
_LUA = Path(__file__).with_name("mattecast_resolve.lua")
_PYTHON = Path(__file__).with_name("mattecast_resolve.py")
_PROGRAMS = {
    "linux": "/opt/resolve/bin/resolve",
    "darwin": "/Applications/DaVinci Resolve/DaVinci Resolve.app",
    "win32": "C:/Program Files/Blackmagic Design/DaVinci Resolve/Resolve.exe",
}


def command(folder: str, python: str = sys.executable, system: str = sys.platform) -> list[str]:
    """What answers one request. python: the interpreter that has mattecast."""
    if system == "win32":
        # pythonw.exe beside it opens no window of a console.
        python = str(PureWindowsPath(python).with_name("pythonw.exe"))
    words = ["-m", "mattecast", "hosts", "serve", "resolve", "--once", "--folder", folder]
    return [python, *words]


def background(words: list[str], system: str = sys.platform) -> str:
    """A line for os.execute of Lua that starts a program and does not wait for it."""
    if system == "win32":
        # The first quoted word after `start` is a title. Names on Windows have no quotes in them.
        return 'start "mattecast" /b ' + " ".join(f'"{word}"' for word in words)
    # Resolve's own Python and libraries are not those of mattecast.
    clean = ["env", "-u", "PYTHONHOME", "-u", "LD_LIBRARY_PATH", *words]
    return f"{shlex.join(clean)} >/dev/null 2>&1 &"


def _build(folder: Path) -> Path:
    target = folder / "mattecast"
    target.mkdir(parents=True, exist_ok=True)
    exchange = plain_name(default_folder())
    words = command(exchange, plain_name(Path(sys.executable)))
    text = _LUA.read_text(encoding="utf-8")
    for name, what in ENTRIES.items():
        made = text
        for place, value in (("WHAT", what), ("FOLDER", exchange), ("START", background(words))):
            made = made.replace(f'"@{place}@"', lua(value))
        (target / f"{name}.lua").write_text(made, encoding="utf-8")
    made = _PYTHON.read_text(encoding="utf-8")
    made = made.replace('"@FOLDER@"', json.dumps(exchange)).replace(
        '["@START@"]', json.dumps(words)
    )
    (target / f"{STUDIO}.py").write_text(made, encoding="utf-8")
    return target


def _place(built: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    shutil.copytree(built, target)


def _check() -> Iterator[Finding]:
    exchange = Exchange()
    try:
        exchange.prepare()
        exchange.preferences()
        yield ok("settings", str(exchange.folder / "settings.toml"))
    except MattecastError as failure:
        yield error("settings", str(failure))
    program = Path(_PROGRAMS.get(sys.platform, ""))
    if program.is_absolute() and program.exists():
        yield ok("DaVinci Resolve", str(program))
    else:
        yield note("DaVinci Resolve", f"not at {program}; it may be installed all the same")


def _serve(folder: Path | None, say: Callable[[str], None], once: bool) -> None:
    from mattecast.hosts.resolve.service import serve  # reads clips, which the list does not

    serve(Exchange(folder), say, once=once)


PLUGIN = Plugin(
    name="resolve",
    title="scripts for DaVinci Resolve",
    folders={
        "linux": ("~/.local/share/DaVinciResolve/Fusion/Scripts/Edit",),
        "darwin": (
            "~/Library/Application Support/Blackmagic Design/DaVinci Resolve/Fusion/Scripts/Edit",
        ),
        "win32": ("%APPDATA%/Blackmagic Design/DaVinci Resolve/Support/Fusion/Scripts/Edit",),
    },
    build=_build,
    installed="mattecast",
    step="in Resolve: Workspace, Scripts, Edit, mattecast; progress is in Workspace, Console",
    check=_check,
    place=_place,
    serve=_serve,
)
