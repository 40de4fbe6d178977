"""Rules of FCPXML that a file has to keep: an editor refuses the whole of a file that breaks one.

The rules are written down from Apple's documentation of FCPXML in our own words. They hold what
this package writes and what goes wrong in practice; they are no copy of the format's definition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from mattecast.timelines.document import Node

VERSIONS = tuple((1, minor) for minor in range(8, 14))
# Children that come behind all connected clips, in this order.
_ORDER = (
    ("marker", "chapter-marker", "rating", "keyword", "analysis-marker", "hidden-clip-marker"),
    ("audio-channel-source", "audio-role-source", "sync-source"),
    ("filter-video", "filter-video-mask"),
    ("filter-audio",),
    ("metadata",),
    ("reserved",),
)
TAIL = frozenset(tag for group in _ORDER for tag in group)
_CLIPS = ("asset-clip", "clip", "sync-clip", "mc-clip", "ref-clip", "gap", "title", "video")
_HEAD = ("note", "conform-rate", "timeMap")
_TIME = re.compile(r"(-?\d+)(?:/(\d+))?s", re.ASCII)
_TIMES = ("offset", "start", "duration", "tcStart", "frameDuration", "audioStart", "audioDuration")
_LAYOUTS = ("mono", "stereo", "surround")
_ATTRIBUTES = {
    *("ref", "lane", "offset", "name", "start", "duration", "enabled", "format", "tcStart"),
    *("tcFormat", "srcEnable", "audioStart", "audioDuration", "audioRole", "videoRole", "modDate"),
}


def seconds(text: str) -> Fraction | None:
    """'1001/24000s' as seconds; None for text that is no such time."""
    match = _TIME.fullmatch(text)
    if not match or match[2] == "0":
        return None
    return Fraction(int(match[1]), int(match[2] or 1))


def time_text(time: Fraction, rate: Fraction | None) -> str:
    """A time as FCPXML writes it: '1001/24000s', in units of a rate where it fits one."""
    if time.denominator == 1:
        return f"{time.numerator}s"
    if rate is not None and rate.numerator % time.denominator == 0:
        return f"{time * rate.numerator}/{rate.numerator}s"
    return f"{time.numerator}/{time.denominator}s"


def faults(root: Node) -> list[str]:
    """What breaks a rule, a line each; empty for a file that keeps them."""
    by_id: dict[str, Node] = {}
    found: list[str] = []
    for node in root.walk():
        if id := node.get("id"):
            if id in by_id and node.tag in ("asset", "format", "effect", "media"):
                found.append(f"two resources have the id {id}")
            by_id.setdefault(id, node)
    for node in root.walk():
        found += _times(node)
        if node.tag == "asset":
            found += _asset(node, by_id)
        if node.tag == "sequence" and node.get("audioLayout", "stereo") not in _LAYOUTS:
            found.append(f"audioLayout is {node.get('audioLayout')}, not one of {_LAYOUTS}")
        if node.tag in ("asset-clip", "sequence", "clip"):
            found += _names(node, by_id)
        if node.tag == "asset-clip":
            found += _asset_clip(node, by_id)
        if node.tag in _CLIPS:
            found += _children(node)
    for project in (node for node in root.walk() if node.tag == "sequence"):
        found += _on_grid(project, by_id)
    return found


def _times(node: Node) -> Iterator[str]:
    for name in _TIMES:
        if name in node.attributes and seconds(node.get(name)) is None:
            yield f"{name} of <{node.tag}> is '{node.get(name)}', not a rational time such as 1/25s"
    if node.get("lane") and not re.fullmatch(r"-?\d+", node.get("lane")):
        yield f"lane of <{node.tag}> is '{node.get('lane')}', not a number"
    if "frameDuration" in node.attributes and (seconds(node.get("frameDuration")) or 0) < 0:
        yield f"frameDuration of format {node.get('id')} is negative"


def _names(node: Node, by_id: dict[str, Node]) -> Iterator[str]:
    format = node.get("format")
    if format and (format not in by_id or by_id[format].tag != "format"):
        yield f"<{node.tag}> '{node.get('name')}' names format {format}, which is not there"


def _asset(node: Node, by_id: dict[str, Node]) -> Iterator[str]:
    name = node.get("name") or node.get("id")
    if node.get("src") == "" and node.child("media-rep") is None:
        yield f"asset {name} has neither src nor media-rep"
    yield from _names(node, by_id)


def _asset_clip(node: Node, by_id: dict[str, Node]) -> Iterator[str]:
    name = f"asset-clip '{node.get('name')}'"
    asset = by_id.get(node.get("ref"))
    if asset is None or asset.tag != "asset":
        yield f"{name} names asset {node.get('ref')}, which is not there"
        return
    for attribute in node.attributes.keys() - _ATTRIBUTES:
        yield f"{name} has the attribute {attribute}, which is not known"
    begin, length = seconds(asset.get("start")) or Fraction(0), seconds(asset.get("duration"))
    start, duration = seconds(node.get("start")), seconds(node.get("duration"))
    if not length or duration is None or node.child("timeMap") is not None:
        return
    start = begin if start is None else start
    if start < begin or start + duration > begin + length:
        yield f"{name} is from {start} s to {start + duration} s, outside of its asset"


def _children(node: Node) -> Iterator[str]:
    """The order: what changes the clip, connected clips, markers, filters, metadata."""
    last = 0
    for child in node.children:
        rank = _rank(child)
        if rank < last:
            yield f"<{child.tag}> comes too late in <{node.tag}> '{node.get('name')}'"
        last = max(last, rank)


def _rank(child: Node) -> int:
    if child.tag in _HEAD:
        return 1 + _HEAD.index(child.tag)
    for place, group in enumerate(_ORDER):
        if child.tag in group:
            return 20 + place
    if child.get("lane"):
        return 10
    return (
        5
        if child.tag.startswith("adjust-")
        else 0
        if child.tag in ("param", "text", "text-style-def")
        else 5
    )


def _on_grid(sequence: Node, by_id: dict[str, Node]) -> Iterator[str]:
    """Clips of a timeline begin and end on its frames."""
    format, spine = by_id.get(sequence.get("format")), sequence.child("spine")
    frame = seconds(format.get("frameDuration")) if format is not None else None
    if not frame or spine is None:
        return
    for item in spine.children:
        for node in (item, *(each for each in item.children if each.get("lane"))):
            names = ("offset", "duration") if node is item else ("duration",)
            for name in names:
                time = seconds(node.get(name))
                if time is not None and (time / frame).denominator != 1:
                    yield f"{name} of <{node.tag}> '{node.get('name')}' is not on a frame"
