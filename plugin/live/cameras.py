"""Cameras of this machine, by number, name or device, as each platform has them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error

from mattecast.errors import UsageError

# libav's name for the cameras of a platform.
_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


@dataclass(frozen=True, slots=True)
class Camera:
    """device: what libav opens it by. modes: sizes and rates, where they can be asked for."""

    number: int
    name: str
    device: str
    modes: str = ""


def cameras() -> list[Camera]:
    """The cameras there are, in the platform's order."""
    if sys.platform.startswith("linux"):
        return list(_video4linux())
    from av.device import enumerate_input_devices

    try:
        found = enumerate_input_devices(_FORMATS.get(sys.platform, "v4l2"))
    except (av.error.FFmpegError, ValueError, OSError):
        return []
    videos = [one for one in found if "video" in (one.media_types or ["video"])]
    return [Camera(number, one.description or one.name, one.name)
            for number, one in enumerate(videos)]  # fmt: skip


def _video4linux() -> Iterator[Camera]:
    """From sysfs: the kernel's own names, with no device opened."""
    folder = Path("/sys/class/video4linux")
    entries = sorted(folder.glob("video*"), key=lambda one: int(one.name[5:] or 0))
    for entry in entries:
        device = Path("/dev") / entry.name
        # A camera's second device carries metadata, no pictures.
        if device.exists() and _read(entry / "index") in ("", "0"):
            name = _read(entry / "name") or entry.name
            yield Camera(int(entry.name[5:]), name, str(device), _modes(str(device)))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _modes(device: str) -> str:
    """Sizes and highest rates of a camera: '1280x720 at 30, 640x480 at 30'."""
    from mattecast.live.video4linux import modes

    try:
        return ", ".join(f"{width}x{height} at {rate:g}" if rate else f"{width}x{height}"
                         for width, height, rate in modes(device))  # fmt: skip
    except OSError as error:
        return (error.strerror or str(error)).lower()


def named(wish: str) -> Camera:
    """The camera of a number, a device path, or a part of its name.

    Raises UsageError, with what is there, when none or several fit.
    """
    found = cameras()
    if wish.isdecimal():
        fitting = [one for one in found if one.number == int(wish)]
    else:
        fitting = [one for one in found
                   if wish == one.device or (wish and wish.lower() in one.name.lower())]
    if len(fitting) == 1:
        return fitting[0]
    there = "; ".join(f"{one.number}: {one.name}" for one in found) or "there are none"
    many = "no such camera" if not fitting else "several cameras fit"
    raise UsageError(f"camera '{wish}': {many} ({there})")


def device_url(device: str) -> tuple[str, str]:
    """(libav's input format, the name it opens) of a camera's device."""
    format = _FORMATS.get(sys.platform, "v4l2")
    if format == "dshow":
        return format, f"video={device}"
    return format, f"{device}:none" if format == "avfoundation" else device
