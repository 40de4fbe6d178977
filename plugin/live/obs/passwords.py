"""OBS's WebSocket password: the places where it may be found. It never goes into a log."""

from __future__ import annotations

import configparser
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from mattecast.errors import UsageError
from mattecast.live.obs.client import Address


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """OBS's settings of its WebSocket server on this machine. file: where they were read."""

    file: Path
    enabled: bool
    port: int
    password: str | None


class Password:
    """The password of an OBS: calling the object gives it, or '' where none is known.

    The places are, in this order: the file, the variable OBS_PASSWORD, this user's settings of OBS
    on this machine, and `given`, which is for a prompt. The file is read once, when the object is
    made: a pipe such as `<(pass obs)` holds its text only once, and a file may be gone later.

    Raises UsageError when the file cannot be read.
    """

    def __init__(self, where: Address, file: Path | None) -> None:
        self._where, self.given = where, ""
        self._from_file = _read(file) if file is not None else None

    def __call__(self) -> str:
        """The password, or ''."""
        if self._from_file is not None:
            return self._from_file
        if "OBS_PASSWORD" in os.environ:
            return os.environ["OBS_PASSWORD"]
        if self._where.local:
            for found in server_settings():
                if found.port == self._where.port and found.password:
                    return found.password
        return self.given


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise UsageError(f"{file}: {reason.lower()}") from error


def server_settings() -> list[ServerSettings]:
    """The WebSocket server's settings of every OBS of this user.

    From obs-websocket 5.5 on they have a file of their own. Older versions keep them in a section
    of OBS's settings, which newer versions leave behind.
    """
    found = []
    for folder in _folders():
        own = folder / "plugin_config" / "obs-websocket" / "config.json"
        if one := _from_json(own) or _from_ini(folder / "global.ini"):
            found.append(one)
    return found


def server_port() -> int | None:
    """The port that an OBS of this user listens on by its settings, or None."""
    return next((one.port for one in server_settings() if one.enabled), None)


def _folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "win32":
        return [Path(os.environ.get("APPDATA", home)) / "obs-studio"]
    if sys.platform == "darwin":
        return [home / "Library" / "Application Support" / "obs-studio"]
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    flatpak = home / ".var" / "app" / "com.obsproject.Studio" / "config"
    return [config / "obs-studio", flatpak / "obs-studio"]


def _from_json(file: Path) -> ServerSettings | None:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        password = held.get("server_password") if held.get("auth_required", True) else None
        return ServerSettings(
            file, bool(held.get("server_enabled")), int(held.get("server_port", 4455)), password
        )
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def _from_ini(file: Path) -> ServerSettings | None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(file.read_text(encoding="utf-8-sig"))
        held = parser["OBSWebSocket"]
        needed = held.getboolean("AuthRequired", True)
        return ServerSettings(
            file,
            bool(held.getboolean("ServerEnabled", False)),
            int(held.get("ServerPort", "4455")),
            held.get("ServerPassword") if needed else None,
        )
    except (OSError, ValueError, KeyError, configparser.Error):
        return None
