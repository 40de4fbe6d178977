"""What libavformat prints of a file: the side data and the tags of streams, which PyAV lacks."""

from __future__ import annotations

import re
from typing import Any

import av.logging
from av.container import InputContainer

_STREAM = re.compile(r"^  Stream #\d+:(\d+)", re.MULTILINE)
_CODEC = re.compile(
    r": (?:Audio|Video|Data|Subtitle|Attachment|Unknown): (\w+)(?:.*?\((\w+) / 0x)?"
)
_DOLBY_VISION = re.compile(r"DOVI configuration.* profile: (\d+),.* compatibility id: (\d+)")
_STEREO = re.compile(r"Stereo 3D: ([^,\n]+)")
_SPHERE = re.compile(r"Spherical Mapping: ([^,\n]+)")
_MAPPED = re.compile(r": Audio: .*?, (\d+) channels \(")
_NAMELESS = ("none", "bin_data", "unknown")


def streams(container: InputContainer) -> dict[int, str]:
    """The lines about each stream of an opened file, by the stream's index."""
    before = av.logging.get_level()
    # Below this level libavformat prints nothing. What it prints now goes nowhere else.
    av.logging.set_level(av.logging.INFO)
    try:
        printer: Any = container  # PyAV's own types leave this method out
        text = printer.dumps_format()
    finally:
        av.logging.set_level(before)
    _, *parts = _STREAM.split(text)
    return {int(index): lines for index, lines in zip(parts[::2], parts[1::2], strict=True)}


def codec(lines: str) -> str:
    """What a stream holds: its codec's name, else the four letters of its tag, else ''."""
    found = _CODEC.search(lines)
    if not found:
        return ""
    name, tag = found.groups()
    return (tag or "") if name in _NAMELESS else name


def mapped_channels(lines: str) -> int:
    """How many channels a sound has, where they lie in an order of their own; else 0."""
    found = _MAPPED.search(lines)
    return int(found[1]) if found else 0


def is_chapter_text(lines: str) -> bool:
    """Whether a stream is the text of QuickTime's chapters, which libavformat hides as data."""
    found = _CODEC.search(lines)
    return found is not None and found[1] == "bin_data" and found[2] in ("text", "tx3g", "sbtl")


def dolby_vision(lines: str) -> tuple[int, int] | None:
    """The profile of Dolby Vision, and what its base layer alone can be shown as: 0 for nothing."""
    found = _DOLBY_VISION.search(lines)
    return (int(found[1]), int(found[2])) if found else None


def views(lines: str) -> tuple[str, ...]:
    """What the pictures are beside flat ones: '360 degrees (...)', 'stereo 3D (...)'."""
    stereo, sphere = _STEREO.search(lines), _SPHERE.search(lines)
    return tuple(
        f"{kind} ({found[1].strip()})"
        for kind, found in (("360 degrees", sphere), ("stereo 3D", stereo))
        if found and found[1].strip() not in ("2D", "rectilinear")
    )
