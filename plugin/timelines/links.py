"""Names of media files in timelines: URLs and paths, absolute and relative."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

_DRIVE = re.compile(r"^/?[A-Za-z]:[/\\]")


def file_of(link: str, folder: Path) -> Path | None:
    """The file that a timeline in `folder` names; None for what is no file, such as a web page."""
    link = link.strip()
    if not link:
        return None
    if _DRIVE.match(link):
        return Path(link.lstrip("/"))
    parts = urlsplit(link)
    if not parts.scheme:
        # A plain path may hold % as itself.
        plain = folder / link
        return plain if plain.exists() else folder / unquote(link)
    if parts.scheme != "file":
        return None
    path = unquote(parts.path)
    if _DRIVE.match(path):
        return Path(path.lstrip("/"))
    if parts.netloc in ("", "localhost"):
        return Path(path) if path.startswith("/") else folder / path
    return Path(f"//{parts.netloc}{path}")


def is_relative(link: str) -> bool:
    """Whether a name depends on the folder of the timeline."""
    link = link.strip()
    if not link or _DRIVE.match(link):
        return False
    parts = urlsplit(link)
    if parts.scheme == "file":
        return not parts.netloc and not parts.path.startswith("/")
    return not parts.scheme and not link.startswith("/")


def absolute(path: Path) -> str:
    """'file:///folder/clip.mov'."""
    return Path(os.path.abspath(path)).as_uri()


def relative(path: Path, folder: Path) -> str:
    """The path from a folder, with slashes, quoted as in a URL; absolute where there is none."""
    try:
        return quote(Path(os.path.relpath(path, folder)).as_posix())
    except ValueError:  # another drive of Windows
        return absolute(path)
