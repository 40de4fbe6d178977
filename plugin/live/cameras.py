"""The cameras of this machine, by number, name or device, on each platform."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import av.logging

from mattecast.errors import UsageError

# libav's input format for the cameras of each platform.
_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
# A size and its highest rate, as dshow logs them ('max s=1280x720 fps=30') and avfoundation does
# ('1280x720@[15.000000 30.000030]fps').
_SIZE = re.compile(r"(\d+)x(\d+)(?: fps=|@\[[\d.]+ )(\d+(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera of this machine. device: the name that libav opens it by."""

    number: int
    name: str
    device: str


def cameras() -> list[Camera]:
    """The cameras of this machine, in the platform's order."""
    if sys.platform.startswith("linux"):
        return list(_video4linux())
    from av.device import enumerate_input_devices

    try:
        found = enumerate_input_devices(_FORMATS.get(sys.platform, "v4l2"))
    except (av.error.FFmpegError, ValueError, OSError):
        return []
    videos = [one for one in found if "video" in (one.media_types or ["video"])]
    return [
        Camera(number, one.description or one.name, one.name) for number, one in enumerate(videos)
    ]


def _video4linux() -> Iterator[Camera]:
    """The cameras by sysfs, which knows the kernel's names without opening a device."""
    folder = Path("/sys/class/video4linux")
    entries = sorted(folder.glob("video*"), key=lambda one: int(one.name[5:] or 0))
    for entry in entries:
        device = Path("/dev") / entry.name
        # A camera's second device carries metadata instead of pictures.
        if device.exists() and _read(entry / "index") in ("", "0"):
            name = _read(entry / "name") or entry.name
            yield Camera(int(entry.name[5:]), name, str(device))


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def modes(camera: Camera) -> str:
    """A camera's sizes and highest rates, as far as it tells them, as format_modes writes them."""
    from mattecast.live import video4linux

    try:
        linux = sys.platform.startswith("linux")
        return format_modes(video4linux.modes(camera.device) if linux else _logged(camera.device))
    except OSError as error:
        return (error.strerror or str(error)).lower()


def format_modes(modes: Iterable[tuple[int, int, Fraction]]) -> str:
    """A text such as '1280x720 at 30, 640x480 at 30'. modes: (width, height, highest rate) each."""
    return ", ".join(
        f"{width}x{height} at {float(rate):g}" if rate else f"{width}x{height}"
        for width, height, rate in modes
    )


def _logged(device: str) -> list[tuple[int, int, Fraction]]:
    """The sizes that libav logs of a camera. dshow logs them on request, avfoundation when it is
    asked for a rate that the camera lacks."""
    format, url = device_url(device)
    options = {"list_options": "true"} if format == "dshow" else {"framerate": "999"}
    before = av.logging.get_level()
    av.logging.set_level(av.logging.INFO)
    try:
        # Opening fails on purpose: only the log is wanted.
        with av.logging.Capture() as lines, suppress(av.error.FFmpegError, OSError, ValueError):
            av.open(url, format=format, options=options).close()
    finally:
        av.logging.set_level(before)
    return sizes_in("".join(text for _, _, text in lines))


def sizes_in(log: str) -> list[tuple[int, int, Fraction]]:
    """(width, height, highest rate) of each size in a log of libav, largest first."""
    best: dict[tuple[int, int], Fraction] = {}
    for width, height, rate in _SIZE.findall(log):
        size, rounded = (int(width), int(height)), Fraction(round(Fraction(rate), 2))
        best[size] = max(best.get(size, Fraction(0)), rounded)
    return [(*size, best[size]) for size in sorted(best, key=lambda one: -one[0] * one[1])]


def find_camera(query: str) -> Camera:
    """The camera with a number, a device path, or a part of a name.

    Raises UsageError, which lists the cameras, when none or several fit.
    """
    found = cameras()
    if query.isdecimal():
        fitting = [one for one in found if one.number == int(query)]
    else:
        fitting = [
            one
            for one in found
            if query == one.device or (query and query.lower() in one.name.lower())
        ]
    if len(fitting) == 1:
        return fitting[0]
    there = "; ".join(f"{one.number}: {one.name}" for one in found) or "there are none"
    many = "no such camera" if not fitting else "several cameras fit"
    raise UsageError(f"camera '{query}': {many} ({there})")


def device_url(device: str) -> tuple[str, str]:
    """(libav's input format, the name it opens) of a camera's device."""
    format = _FORMATS.get(sys.platform, "v4l2")
    if format == "dshow":
        return format, f"video={device}"
    return format, f"{device}:none" if format == "avfoundation" else device
