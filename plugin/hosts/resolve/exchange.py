"""The folder in which the scripts inside Resolve and the program leave files for each other.

Resolve 21.1 gives scripts of its free edition no sockets, no programs and no files, but for two
calls: one writes a Lua table, one runs a Lua file. So both sides write small Lua files.

    request.lua   the script asks: { mattecast = "%7B..." }, JSON in letters, digits and % alone
    cancel.lua    the same, with the ticket of the request to give up
    answer.lua    the program answers: return { ticket = "...", state = "working", ... }
    answer.json   the same, for the script in Python
    settings.toml what the user wants
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from platformdirs import user_data_path

from mattecast.errors import OutputError, UsageError

# A request this old (seconds) has nobody waiting any more: the scripts wait for two minutes.
STALE = 120.0
_PACKED = re.compile(rb'mattecast\W*=\s*"([A-Za-z0-9%]*)\."')
_TRIES = 20  # to replace a file that the other side has open: Windows refuses that

_SETTINGS = """\
# What the scripts inside DaVinci Resolve ask of mattecast.

# Frames more on both sides of what the timeline uses of a clip; "all" mattes whole clips.
handles = 12

# Where mattes go: a folder beside each clip, or one folder for all of them, as "/home/me/mattes".
folder = "mattecast"

# The clip colour of mattes on the timeline; "" leaves them as they are.
colour = "Lime"

# More options of `mattecast matte`, such as ["--detail", "fine", "--choke", "1"].
matte = []
"""


@dataclass(frozen=True, slots=True)
class Preferences:
    """What settings.toml says.

    handles: frames; None for whole clips. folder: beside the clip unless absolute. colour: a clip
    colour of Resolve, or empty. matte: more options of `mattecast matte`.
    """

    handles: int | None = 12
    folder: Path = Path("mattecast")
    colour: str = "Lime"
    matte: tuple[str, ...] = ()


def default_folder() -> Path:
    """The folder for this user, or MATTECAST_RESOLVE.

    Lua on Windows opens names of plain letters alone, so the short form of a name stands in there.
    """
    named = os.environ.get("MATTECAST_RESOLVE")
    return Path(named) if named else user_data_path("mattecast", appauthor=False) / "resolve"


def plain_name(path: Path, system: str = sys.platform) -> str:
    """A name of a file or folder as Lua can open it, with '/' between its parts.

    Raises OutputError on Windows for a name with other letters than ASCII's that has no short form.
    """
    name = str(path)
    if system == "win32" and not name.isascii():
        name = _short(name)
    if system == "win32" and (not name.isascii() or "%" in name):
        raise OutputError(
            f"{name}: Lua inside Resolve opens no such name; MATTECAST_RESOLVE names another folder"
        )
    return name.replace("\\", "/") if system == "win32" else name


def _short(name: str) -> str:
    """The 8.3 form of a name on Windows, where the disk keeps one."""
    buffer = ctypes.create_unicode_buffer(1024)
    kernel = getattr(ctypes, "windll", None)
    if kernel is not None and kernel.kernel32.GetShortPathNameW(name, buffer, len(buffer)):
        return buffer.value
    return name


class Exchange:
    """The folder, as the program uses it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()
        self._beat = 0

    def prepare(self) -> None:
        """Make the folder and settings.toml. Raises OutputError where that fails."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            settings = self.folder / "settings.toml"
            if not settings.exists():
                settings.write_text(_SETTINGS, encoding="utf-8")
        except OSError as failure:
            raise OutputError(f"{self.folder}: cannot be written ({failure.strerror})") from failure

    def preferences(self) -> Preferences:
        """What settings.toml says. Raises UsageError with the line that is wrong."""
        path = self.folder / "settings.toml"
        try:
            return _preferences(tomllib.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return Preferences()
        except (OSError, ValueError) as failure:
            raise UsageError(f"{path}: {failure}") from failure

    def take(self) -> dict[str, Any] | None:
        """The request, which is nobody else's from now on; None where there is none."""
        return self._taken("request.lua")

    def cancelled(self, ticket: str) -> bool:
        """Whether the script asks to give up the request of this ticket."""
        asked = self._taken("cancel.lua")
        return asked is not None and asked.get("ticket") == ticket

    def _taken(self, name: str) -> dict[str, Any] | None:
        path, taken = self.folder / name, self.folder / f"{name}.{os.getpid()}"
        try:
            found = unpacked(path.read_bytes())
            if found is None:
                return None  # not whole yet
            age = time.time() - path.stat().st_mtime
            os.replace(path, taken)  # of two programs one gets it
            taken.unlink()
        except OSError:
            return None
        return found if age < STALE else None

    def answer(self, ticket: str, state: str, message: str, **more: Any) -> None:
        """Tell the script how things stand.

        state: working, done, failed or cancelled. more: lines and places, once there are any.
        Raises OutputError where the files cannot be written.
        """
        self._beat += 1
        content = {"ticket": ticket, "state": state, "message": message, "beat": self._beat}
        content |= {"lines": [], "places": [], **more}
        self._write("answer.json", json.dumps(content))
        self._write("answer.lua", f"return {lua(content)}\n")

    def _write(self, name: str, text: str) -> None:
        """Replace a file at once: a reader sees the old or the new one, never a half."""
        path, new = self.folder / name, self.folder / f"{name}.{os.getpid()}"
        try:
            new.write_text(text, encoding="ascii")
            for _ in range(_TRIES):
                try:
                    os.replace(new, path)
                    return
                except PermissionError:
                    time.sleep(0.01)
            os.replace(new, path)
        except OSError as failure:
            new.unlink(missing_ok=True)
            raise OutputError(f"{path}: cannot be written ({failure.strerror})") from failure


def unpacked(content: bytes) -> dict[str, Any] | None:
    """What a script has written; None where the file is not whole or something else."""
    match = _PACKED.search(content)
    if match is None:
        return None
    try:
        found = json.loads(unquote_to_bytes(match[1]).decode("utf-8", "surrogateescape"))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def lua(value: Any) -> str:
    """A value as Lua reads it, in ASCII: text byte by byte in UTF-8."""
    if isinstance(value, str):
        content = value.encode("utf-8", "surrogateescape")
        plain = (chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03d}" for b in content)
        return f'"{"".join(plain)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        pairs = (f"[{lua(key)}] = {lua(each)}" for key, each in value.items() if each is not None)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, Sequence):
        return "{" + ", ".join(map(lua, value)) + "}"
    raise TypeError(f"{value!r} has no form in Lua")


def _preferences(table: dict[str, Any]) -> Preferences:
    given = {"handles": 12, "folder": "mattecast", "colour": "Lime", "matte": [], **table}
    handles, more = given["handles"], given["matte"]
    if unknown := set(given) - {"handles", "folder", "colour", "matte"}:
        raise ValueError(f"'{min(unknown)}' is no setting: handles, folder, colour and matte are")
    if handles != "all" and not (type(handles) is int and handles >= 0):
        raise ValueError(f'handles = {handles!r}: a number of frames, or "all"')
    if not isinstance(more, list) or not all(isinstance(each, str) for each in more):
        raise ValueError(f'matte = {more!r}: a list of texts, such as ["--detail", "fine"]')
    if not isinstance(given["folder"], str) or not isinstance(given["colour"], str):
        raise ValueError("folder and colour are texts")
    whole = handles == "all"
    return Preferences(
        None if whole else handles, Path(given["folder"]), given["colour"], tuple(more)
    )
