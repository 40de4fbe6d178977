"""OBS's WebSocket password: from where it may be taken, and never into a log."""

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
    """What OBS's settings on this machine say of its WebSocket server. file: where they are."""

    file: Path
    enabled: bool
    port: int
    password: str | None


class Password:
    """Calling it gives the password for an OBS, '' where there seems to be none.

    In order: the file named, OBS_PASSWORD, OBS's own settings of this user on this machine, and
    what was given at a prompt.
    """

    def __init__(self, where: Address, file: Path | None) -> None:
        self._where, self._file, self.given = where, file, ""

    def __call__(self) -> str:
        """See the class. Raises UsageError when the file cannot be read."""
        if self._file is not None:
            try:
                return self._file.read_text(encoding="utf-8").strip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not text"
                raise UsageError(f"{self._file}: {reason.lower()}") from error
        if "OBS_PASSWORD" in os.environ:
            return os.environ["OBS_PASSWORD"]
        if self._where.local:
            for found in server_settings():
                if found.port == self._where.port and found.password:
                    return found.password
        return self.given


def server_settings() -> list[ServerSettings]:
    """The WebSocket server's settings of every OBS of this user: from 5.5 on a file of their own,
    before that a section of OBS's, which newer ones leave behind."""
    found = []
    for folder in _folders():
        own = folder / "plugin_config" / "obs-websocket" / "config.json"
        if one := _from_json(own) or _from_ini(folder / "global.ini"):
            found.append(one)
    return found


def server_port() -> int | None:
    """The port an OBS of this user is set to answer on, if any is."""
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
