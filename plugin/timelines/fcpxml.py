"""FCPXML 1.8 to 1.13, Final Cut Pro's and Resolve's: read, and written with mattes on a lane above.

The lanes of a storyline are numbers: 0 is the storyline itself, 1 lies above it, -1 below. A matte
is a clip connected to the same element of the storyline as its source, one lane above it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from mattecast.errors import MediaError
from mattecast.timelines.document import Document, Node, parsed
from mattecast.timelines.fcpxml_mattes import KINDS, Place, Resources, insert, looks
from mattecast.timelines.fcpxml_rules import VERSIONS, faults, seconds
from mattecast.timelines.links import file_of, is_relative
from mattecast.timelines.timeline import Found, Matte, Use, timecode

_ZERO = Fraction(0)
_CLIPS = ("asset-clip", "clip", "video", "sync-clip", "mc-clip", "ref-clip")
# Elements whose picture is their own, or that have none.
_WITHOUT_MEDIA = {"title": "title", "caption": "caption", "gap": "gap", "audio": "sound"}


class _Left(Exception):
    """Why a clip is left as it is."""


@dataclass(slots=True)
class _Story:
    """A storyline while it is read. grid: how long a frame lasts (seconds). anchored: what is
    connected to it, with lanes."""

    number: int
    grid: Fraction
    drop: bool
    anchored: list[tuple[Node, int]] = field(default_factory=list)

    def at(self, time: Fraction) -> str:
        return timecode(round(time / self.grid), 1 / self.grid, drop=self.drop)


class FcpXml:
    """A timeline in FCPXML. Raises MediaError for a file of another version or without clips."""

    counts_from_zero = False

    def __init__(self, path: Path) -> None:
        file = path / "Info.fcpxml" if path.is_dir() else path
        self.document = Document(file)
        root = self.document.root
        if root.tag != "fcpxml":
            raise MediaError(f"{path}: holds <{root.tag}>, not <fcpxml>")
        self.version = _version(root, path)
        self.path, self.found = path, Found()
        self._folder = file.parent
        self._by_id = {node.get("id"): node for node in root.walk() if node.get("id")}
        media = (node for node in root.walk() if node.tag in ("asset", "media-rep"))
        self.found.relative = any(is_relative(node.get("src")) for node in media)
        self._stories: list[_Story] = []
        projects = [node for node in root.walk() if node.tag == "project"]
        for number, project in enumerate(projects, 1):
            if len(projects) > 1:
                self.found.project = project.get("name") or f"project {number}"
            sequence = project.child("sequence")
            if sequence is not None and (spine := sequence.child("spine")) is not None:
                self._read_sequence(sequence, spine)
        if not self._stories:
            raise MediaError(f"{path}: holds no project with a timeline; export the project itself")

    # Reading.

    def _read_sequence(self, sequence: Node, spine: Node) -> None:
        grid = self._frame(sequence.get("format")) or Fraction(1, 25)
        story = _Story(len(self._stories), grid, sequence.get("tcFormat") == "DF")
        self._stories.append(story)
        start = seconds(sequence.get("tcStart")) or _ZERO
        transitions = _transitions(spine)
        for item, offset in _sequential(spine, start):
            local = self._start(item) - offset  # what to add to come to the item's own clock
            self._read(story, item, item, 0, (offset, offset + local, offset), transitions)
            for child in item.children:
                if child.get("lane"):
                    self._read_connected(story, item, child, -local)

    def _read_connected(self, story: _Story, anchor: Node, node: Node, shift: Fraction) -> None:
        """A connected clip or storyline. shift: from the anchor's clock to that of the timeline."""
        lane, offset = self._lane(node), seconds(node.get("offset")) or _ZERO
        story.anchored.append((node, lane))
        if node.tag != "spine":
            self._read(story, anchor, node, lane, (offset + shift, offset, offset), [])
            for child in node.children:
                if child.get("lane") and child.tag in _CLIPS:
                    name, at = child.get("name", child.tag), story.at(offset + shift)
                    self.found.leave(name, at, _track(lane), "is connected to a connected clip")
            return
        transitions = _transitions(node)
        for item, inner in _sequential(node, _ZERO):
            times = (offset + inner + shift, offset + inner, inner)
            self._read(story, anchor, item, lane, times, transitions)

    def _read(
        self,
        story: _Story,
        anchor: Node,
        item: Node,
        lane: int,
        times: tuple[Fraction, Fraction, Fraction],
        transitions: list[tuple[Fraction, Fraction]],
    ) -> None:
        """Note one clip. times: when it begins on the timeline, on the anchor's clock, and on the
        clock of the storyline that it is in."""
        time, offset, edge = times
        if item.tag in _WITHOUT_MEDIA:
            self.found.empty[_WITHOUT_MEDIA[item.tag]] += item.tag != "gap"
            return
        name, at, track = item.get("name", item.tag), story.at(time), _track(lane)
        try:
            if item.tag == "audition":
                raise _Left("is an audition; finalise it")
            length = self._length(item)
            chain, asset, begin = self._media(item, self._start(item), length, story)
            if not chain:
                self.found.empty["sound"] += 1
                return
            media = self._file(asset)
            _check_looks(chain)
        except _Left as why:
            self.found.leave(name, at, track, str(why))
            return
        except RecursionError:
            self.found.leave(name, at, track, "holds itself")
            return
        starts = (begin if len(chain) == 1 else self._start(item), begin)
        place = Place(
            anchor, lane, offset, edge, length, chain, starts, asset, story.number, story.grid
        )
        before, after = _overlaps(transitions, edge, length)
        first = seconds(asset.get("start")) or _ZERO
        self.found.uses.append(
            Use(
                *(name, track, at, media, begin, begin + length, first, before, after),
                project=self.found.project,
                place=place,
            )
        )

    def _media(
        self, item: Node, start: Fraction, length: Fraction, story: _Story
    ) -> tuple[tuple[Node, ...], Node, Fraction]:
        """The elements down to the one that names the asset, the asset, and when the clip begins
        on its clock. No elements where the clip has only sound. Raises _Left."""
        self._check(item, story)
        nothing: tuple[tuple[Node, ...], Node, Fraction] = ((), item, start)
        if item.tag in ("asset-clip", "video"):
            asset = self._by_id.get(item.get("ref"))
            if asset is None or asset.tag != "asset":
                raise _Left("is a generator" if asset is not None else "names no asset")
            # Files that say nothing of either are taken for pictures.
            has_video = asset.get("hasVideo") or ("0" if asset.get("hasAudio") == "1" else "1")
            if has_video != "1" or item.get("srcEnable") == "audio":
                return nothing
            return (item,), asset, start
        inner = self._inside(item)
        if inner is None:
            return nothing
        chain, asset, begin = self._part(item, inner, start, length, story)
        return ((item, *chain) if chain else ()), asset, begin

    def _part(
        self,
        item: Node,
        inner: list[tuple[Node, Fraction]],
        start: Fraction,
        length: Fraction,
        story: _Story,
    ) -> tuple[tuple[Node, ...], Node, Fraction]:
        """The one picture that a clip of clips shows from `start` on. Raises _Left."""
        kind = KINDS.get(item.tag, "a clip of clips")
        shown = []
        for node, offset in inner:
            if node.tag == "spine":
                raise _Left(f"is {kind} of several pictures; matte them in a timeline of their own")
            own = self._length(node)
            if node.tag in ("audio", "gap") or offset >= start + length or offset + own <= start:
                continue
            if node.tag not in _CLIPS:
                raise _Left(f"is {kind} with a {node.tag}")
            begin = self._start(node) + start - offset
            found = self._media(node, begin, length, story)
            if found[0]:
                shown.append((found, offset <= start and start + length <= offset + own))
        if len(shown) != 1 or not shown[0][1]:
            if not shown:
                return (), item, start
            raise _Left(f"is {kind} of several pictures; matte them in a timeline of their own")
        return shown[0][0]

    def _inside(self, item: Node) -> list[tuple[Node, Fraction]] | None:
        """The clips that a clip of clips shows, with their offsets; None where it has no picture.

        Raises _Left.
        """
        if item.get("srcEnable") == "audio":
            return None
        if item.tag in ("clip", "sync-clip"):
            return _all_of(item)
        media = self._by_id.get(item.get("ref"))
        inner = media.child("multicam") or media.child("sequence") if media else None
        if inner is None:
            raise _Left("names media that the file does not hold")
        if inner.tag == "sequence":
            spine = inner.child("spine")
            start = seconds(inner.get("tcStart")) or _ZERO
            return _deep(_sequential(spine, start)) if spine else None
        wanted = [
            source.get("angleID")
            for source in item.children
            if source.tag == "mc-source" and source.get("srcEnable", "all") in ("all", "video")
        ]
        for angle in inner.children:
            if angle.get("angleID") in wanted[:1]:
                start = seconds(inner.get("tcStart")) or _ZERO
                return _deep(_sequential(angle, start))
        return None

    def _check(self, item: Node, story: _Story) -> None:
        """Raise _Left for a clip whose frames are not those of its media one by one."""
        if item.get("enabled") == "0":
            raise _Left("is switched off")
        if item.tag not in _CLIPS:
            raise _Left(f"is a <{item.tag}>, which is not known")
        if (map_ := item.child("timeMap")) is not None:
            raise _Left(_retimed(map_))
        conform = item.child("conform-rate")
        if conform is not None and conform.get("scaleEnabled", "1") == "1":
            rate = conform.get("srcFrameRate")
            if rate and f"{float(1 / story.grid):.2f}".removesuffix(".00") != rate:
                raise _Left(f"is played at the rate of the timeline, not at its own of {rate}")

    def _lane(self, node: Node) -> int:
        try:
            return int(node.get("lane"))
        except ValueError as error:
            lane = node.get("lane")
            raise MediaError(f"{self.path}: lane '{lane}' of <{node.tag}> is no number") from error

    def _start(self, item: Node) -> Fraction:
        """When a clip begins on its own clock."""
        stated = seconds(item.get("start"))
        if stated is not None:
            return stated
        asset = self._by_id.get(item.get("ref")) if item.tag in ("asset-clip", "video") else None
        return seconds(asset.get("start")) or _ZERO if asset else _ZERO

    def _length(self, item: Node) -> Fraction:
        """How long a clip lasts. Raises _Left where the file does not say."""
        length = seconds(item.get("duration"))
        if length is None and item.tag in ("asset-clip", "video", "ref-clip"):
            named = self._by_id.get(item.get("ref"))
            sequence = named.child("sequence") if named else None
            length = seconds((sequence or named).get("duration")) if named else None
        if length is None or length <= 0:
            raise _Left("has no duration")
        return length

    def _file(self, asset: Node) -> Path:
        """The media file of an asset. Raises _Left."""
        link = asset.get("src")
        for representation in asset.children:
            original = representation.get("kind", "original-media") == "original-media"
            if representation.tag == "media-rep" and (original or not link):
                link = representation.get("src")
        path = file_of(link, self._folder)
        if path is None:
            raise _Left("has no media file")
        if seconds(asset.get("duration")) == 0:
            raise _Left("is a still picture")
        return path

    def _frame(self, format: str) -> Fraction | None:
        """How long a frame of a format lasts."""
        node = self._by_id.get(format)
        return seconds(node.get("frameDuration")) if node is not None else None

    # Writing.

    def with_mattes(
        self, mattes: Mapping[int, Matte], *, replace: bool, link: Callable[[Path], str]
    ) -> bytes:
        """See Timeline. Raises MediaError where the result would break a rule of FCPXML."""
        before = set(faults(self.document.root))
        names = Resources(self.document, self.version, self._by_id, link)
        insert(self.document, self.found, mattes, names, self._lanes_in_use(), replace=replace)
        result = self.document.result()
        new = [line for line in faults(parsed(result, self.path)) if line not in before]
        if new:
            raise MediaError(f"{self.path}: the timeline with mattes would not be valid: {new[0]}")
        return result

    def _lanes_in_use(self) -> list[list[tuple[Node, int]]]:
        """The connected elements of each storyline, with their lanes."""
        return [story.anchored for story in self._stories]


def _version(root: Node, path: Path) -> tuple[int, int]:
    text = root.get("version")
    try:
        major, minor = (int(part) for part in text.split("."))
    except ValueError as error:
        raise MediaError(f"{path}: FCPXML of version '{text}' is not known") from error
    if (major, minor) > VERSIONS[-1]:
        raise MediaError(
            f"{path}: FCPXML {text} is newer than 1.{VERSIONS[-1][1]}, the newest known; export it "
            "as an older version"
        )
    if (major, minor) < VERSIONS[0]:
        raise MediaError(
            f"{path}: FCPXML {text} is too old; export it as 1.{VERSIONS[0][1]} or newer"
        )
    return major, minor


def _sequential(spine: Node, start: Fraction) -> list[tuple[Node, Fraction]]:
    """The clips of a storyline one after another, with their offsets; no transitions."""
    found, at = [], start
    for node in spine.children:
        if node.tag == "transition" or node.get("lane"):
            continue
        stated = seconds(node.get("offset"))
        at = at if stated is None else stated
        found.append((node, at))
        at += seconds(node.get("duration")) or _ZERO
    return found


def _transitions(spine: Node) -> list[tuple[Fraction, Fraction]]:
    """When each transition of a storyline begins and ends, on the storyline's clock."""
    found = []
    for node in spine.children:
        if node.tag == "transition":
            begin = seconds(node.get("offset")) or _ZERO
            found.append((begin, begin + (seconds(node.get("duration")) or _ZERO)))
    return found


def _overlaps(
    transitions: list[tuple[Fraction, Fraction]], begin: Fraction, length: Fraction
) -> tuple[Fraction, Fraction]:
    """How much more of a clip its transitions show, before its begin and after its end."""
    end = begin + length
    before = [begin - first for first, last in transitions if first < begin < last]
    after = [last - end for first, last in transitions if first < end < last]
    return max(before, default=_ZERO), max(after, default=_ZERO)


def _all_of(item: Node) -> list[tuple[Node, Fraction]]:
    """The clips inside of a <clip> or <sync-clip>: its own, not those connected to it."""
    own = [child for child in item.children if child.tag in (*_CLIPS, "title", "audio", "gap")]
    spine = item.child("spine")
    if spine is not None and not spine.get("lane"):
        return _deep(_sequential(spine, _ZERO))
    own = [child for child in own if not child.get("lane")]
    return _deep([(child, seconds(child.get("offset")) or _ZERO) for child in own])


def _deep(items: list[tuple[Node, Fraction]]) -> list[tuple[Node, Fraction]]:
    """Clips with those connected to them, on one clock."""
    found = []
    for node, offset in items:
        found.append((node, offset))
        if node.tag in ("sync-clip", "clip", "video", "asset-clip", "gap", "ref-clip", "mc-clip"):
            start = seconds(node.get("start")) or _ZERO
            for child in node.children:
                if child.get("lane") and child.tag not in ("audio", "caption"):
                    own = (seconds(child.get("offset")) or _ZERO) - start + offset
                    found.append((child, own))
    return found


def _check_looks(chain: tuple[Node, ...]) -> None:
    """Raise _Left where a matte cannot look as its clip does."""
    own = [{child.tag for child in looks(node)} for node in chain]
    if any(own[1:-1]) or (len(own) > 1 and own[0] & own[-1]):
        raise _Left("has effects both outside and inside")


def _retimed(map_: Node) -> str:
    """How a clip is retimed, in words."""
    points = [
        (seconds(each.get("time")), seconds(each.get("value")))
        for each in map_.children
        if each.tag == "timept"
    ]
    pairs = [(time, value) for time, value in points if time is not None and value is not None]
    if len(pairs) < 2:
        return "is retimed"
    if len({value for _, value in pairs}) == 1:
        return "is a freeze frame"
    speeds = {(b[1] - a[1]) / (b[0] - a[0]) for a, b in itertools.pairwise(pairs) if b[0] != a[0]}
    if len(speeds) == 1:
        return f"is retimed to {float(100 * speeds.pop()):g} %"
    return "is retimed to speeds that change"


def _track(lane: int) -> str:
    """A lane as editors call tracks: V1 is the storyline itself."""
    return f"V{lane + 1}" if lane >= 0 else f"V{lane}"
