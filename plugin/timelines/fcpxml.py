"""FCPXML 1.8 to 1.13, Final Cut Pro's and Resolve's: read, and written with mattes on a lane above.

The lanes of a storyline are numbers: 0 is the storyline itself, 1 lies above it, -1 below. A matte
is a clip connected to the same element of the storyline as its source, one lane above it.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from mattecast.errors import MediaError
from mattecast.timelines.document import Document, Node, element, parsed
from mattecast.timelines.fcpxml_rules import TAIL, VERSIONS, faults, seconds
from mattecast.timelines.links import file_of, is_relative
from mattecast.timelines.timeline import Found, Matte, Use, timecode

_ZERO = Fraction(0)
_CLIPS = ("asset-clip", "clip", "video", "sync-clip", "mc-clip", "ref-clip")
# Elements whose picture is their own, or that have none.
_WITHOUT_MEDIA = {"title": "title", "caption": "caption", "gap": "gap", "audio": "sound"}
# What of a clip is for its sound; and what is worked out anew from the pictures of a clip.
_NOT_COPIED = frozenset(
    f"adjust-{kind}"
    for kind in (
        *("loudness", "noiseReduction", "humReduction", "EQ", "matchEQ", "volume", "panner"),
        *("voiceIsolation", "stabilization", "rollingShutter"),
    )
)


class _Left(Exception):
    """Why a clip is left as it is."""


@dataclass(slots=True)
class _Place:
    """Where a use stands. anchor: the element of the storyline it hangs on, or is. lane: its own.
    offset, duration: on the anchor's clock. chain: the elements from the clip in the storyline to
    the one that names the asset. storyline: a number."""

    anchor: Node
    lane: int
    offset: Fraction
    duration: Fraction
    chain: tuple[Node, ...]
    asset: Node
    storyline: int
    grid: Fraction


@dataclass(slots=True)
class _Story:
    """A storyline while it is read. start: of the sequence, for timecode."""

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
        self._stories: list[_Story] = []
        for project in (node for node in root.walk() if node.tag == "project"):
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
        transitions = _transitions(spine, _ZERO)
        for item, offset in _sequential(spine, start):
            local = self._start(item) - offset  # what to add to come to the item's own clock
            self._read(story, item, item, 0, offset, offset + local, transitions)
            for child in item.children:
                if child.get("lane"):
                    self._read_connected(story, item, child, -local)

    def _read_connected(self, story: _Story, anchor: Node, node: Node, shift: Fraction) -> None:
        """A connected clip or storyline. shift: from the anchor's clock to that of the timeline."""
        lane, offset = int(node.get("lane")), seconds(node.get("offset")) or _ZERO
        story.anchored.append((node, lane))
        if node.tag != "spine":
            self._read(story, anchor, node, lane, offset + shift, offset, [])
            return
        transitions = _transitions(node, offset)
        for item, inner in _sequential(node, _ZERO):
            own = offset + inner
            self._read(story, anchor, item, lane, own + shift, own, transitions)

    def _read(
        self,
        story: _Story,
        anchor: Node,
        item: Node,
        lane: int,
        time: Fraction,
        offset: Fraction,
        transitions: list[tuple[Fraction, Fraction]],
    ) -> None:
        """Note one clip. time: on the timeline. offset: on the anchor's clock."""
        if item.tag in _WITHOUT_MEDIA:
            self.found.empty[_WITHOUT_MEDIA[item.tag]] += item.tag != "gap"
            return
        name, at, track = item.get("name", item.tag), story.at(time), _track(lane)
        try:
            length = self._length(item)
            chain, asset, begin = self._media(item, self._start(item), length, story)
            if not chain:
                self.found.empty["sound"] += 1
                return
            media = self._file(asset)
        except _Left as why:
            self.found.leave("clip", name, at, track, str(why))
            return
        place = _Place(anchor, lane, offset, length, chain, asset, story.number, story.grid)
        edge = offset if item is not anchor else time
        before, after = _overlaps(transitions, edge, length)
        first = seconds(asset.get("start")) or _ZERO
        self.found.uses.append(
            Use(name, track, at, media, begin, begin + length, first, before, after, place=place)
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
            if asset.get("hasVideo", "1") != "1" or item.get("srcEnable") == "audio":
                return nothing
            return (item,), asset, start
        if item.tag == "audition":
            raise _Left("is an audition; finalise it")
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
        kind = _KINDS.get(item.tag, "a clip of clips")
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
        if item.tag not in (*_CLIPS, "audition"):
            raise _Left(f"is a <{item.tag}>, which is not known")
        if (map_ := item.child("timeMap")) is not None:
            raise _Left(_retimed(map_))
        conform = item.child("conform-rate")
        if conform is not None and conform.get("scaleEnabled", "1") == "1":
            rate = conform.get("srcFrameRate")
            if rate and abs(float(rate) - float(1 / story.grid)) > 0.005:
                raise _Left(f"is played at the rate of the timeline, not at its own of {rate}")

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
        self.found.relative |= is_relative(link)
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
        before = faults(self.document.root)
        names = _Resources(self.document, self.version, self._by_id, link)
        above: dict[int, Matte] = {}
        for index, matte in mattes.items():
            use = self.found.uses[index]
            if not (replace and self._replaced(use, matte, names)):
                above[index] = matte
        lanes = self._lanes(above)
        for index, matte in above.items():
            self._connect(self.found.uses[index], matte, names, lanes)
        names.write()
        result = self.document.result()
        new = [line for line in faults(parsed(result, self.path)) if line not in before]
        if new:
            raise MediaError(f"{self.path}: the timeline with mattes would not be valid: {new[0]}")
        return result

    def _replaced(self, use: Use, matte: Matte, names: _Resources) -> bool:
        """Put a matte in place of a use; or, where its sound has to stay, only take its picture
        away. Returns whether nothing is left to be done."""
        place: _Place = use.place
        if any(node.tag in ("sync-clip", "mc-clip", "ref-clip") for node in place.chain):
            kind = _KINDS[place.chain[0].tag]
            self.found.left.append(f"{use} is {kind}: the matte lies above it, in place of nothing")
            return False
        node = place.chain[-1]
        sounds = node.tag == "asset-clip" and place.asset.get("hasAudio") == "1"
        if sounds and node.get("srcEnable", "all") == "all":
            self.document.set(node, "srcEnable", "audio")
            return False
        self.document.set(node, "ref", names.asset(place.asset, matte, use))
        shift = matte.begin - use.begin
        if shift:
            self.document.set(node, "start", time_text(self._start(node) + shift, matte.rate))
        return True

    def _lanes(self, mattes: Mapping[int, Matte]) -> dict[tuple[int, int], int]:
        """The lane of the mattes of each storyline's lane; lanes in their way move on."""
        wanted = defaultdict(set)
        for index in mattes:
            place: _Place = self.found.uses[index].place
            wanted[place.storyline].add(place.lane)
        lanes: dict[tuple[int, int], int] = {}
        for story in self._stories:
            used = {lane for _, lane in story.anchored}
            moved, own = _rearranged(used, wanted[story.number])
            lanes |= {(story.number, lane): to for lane, to in own.items()}
            for node, lane in story.anchored:
                if moved[lane] != lane:
                    self.document.set(node, "lane", str(moved[lane]))
        return lanes

    def _connect(
        self, use: Use, matte: Matte, names: _Resources, lanes: Mapping[tuple[int, int], int]
    ) -> None:
        """Connect a matte to the anchor of its use."""
        place: _Place = use.place
        looks = list(self._looks(place.chain, matte.begin - use.begin))
        source = place.chain[-1]
        attributes = {
            "ref": names.asset(place.asset, matte, use),
            "lane": str(lanes[place.storyline, place.lane]),
            "offset": time_text(place.offset, 1 / place.grid),
            "name": f"{use.name} matte",
            "start": time_text(matte.begin, matte.rate),
            "duration": time_text(place.duration, 1 / place.grid),
            "format": names.format(place.asset, matte),
            "tcFormat": source.get("tcFormat") or "NDF",
        }
        outer = self.document.indent(place.anchor)
        inner = "".join(f"{outer}        {each}" if outer else each for each in looks)
        text = element(
            "asset-clip", attributes, inner + (f"{outer}    " if looks and outer else "")
        )
        self._insert(place.anchor, text)

    def _looks(self, chain: tuple[Node, ...], shift: Fraction) -> Iterator[str]:
        """The text of what changes the look and place of a clip's picture, and of its matte's.

        shift: from the clip's clock to the matte's, for keyframes.
        """
        parts: dict[bool, list[str]] = {False: [], True: []}
        for node in chain:
            for child in node.children:
                is_filter = child.tag in ("filter-video", "filter-video-mask")
                is_adjusting = child.tag.startswith("adjust-") and child.tag not in _NOT_COPIED
                conforms = child.tag == "conform-rate" and node is chain[-1]
                if is_filter or is_adjusting or conforms:
                    copy = self.document.copy(child)
                    for frame in child.walk():
                        if frame.tag == "keyframe" and shift:
                            time = (seconds(frame.get("time")) or _ZERO) + shift
                            copy.set(frame, "time", time_text(time, None))
                    parts[is_filter].append(copy.result().decode())
        yield from parts[False]
        yield from parts[True]

    def _insert(self, anchor: Node, text: str) -> None:
        """Insert a connected clip where the order of children in FCPXML wants it."""
        behind = next((child for child in anchor.children if child.tag in TAIL), None)
        if behind is not None:
            self.document.before(behind, text)
        else:
            self.document.append(anchor, text)


_KINDS = {
    "clip": "a clip of clips",
    "sync-clip": "a synchronised clip",
    "mc-clip": "a multicam clip",
    "ref-clip": "a compound clip",
}


class _Resources:
    """Assets and formats for mattes, with ids of their own."""

    def __init__(
        self,
        document: Document,
        version: tuple[int, int],
        by_id: Mapping[str, Node],
        link: Callable[[Path], str],
    ) -> None:
        self._document, self._by_id, self._link = document, by_id, link
        self._has_representations = version >= (1, 9)
        self._ids = (f"mattecast{n}" for n in itertools.count(1) if f"mattecast{n}" not in by_id)
        self._formats: dict[tuple[str, tuple[int, int], Fraction], str] = {}
        self._assets: dict[tuple[Path, Fraction], str] = {}
        self._texts: list[str] = []

    def format(self, asset: Node, matte: Matte) -> str:
        """The id of the format of a matte: its source's where that fits."""
        own = self._by_id.get(asset.get("format"))
        width, height = map(str, matte.size)
        frame = 1 / matte.rate
        if own is not None and _is_of(own, (width, height), frame):
            return own.get("id")
        key = (asset.get("format"), matte.size, matte.rate)
        if key not in self._formats:
            self._formats[key] = next(self._ids)
            attributes = {
                "id": self._formats[key],
                "frameDuration": time_text(frame, matte.rate),
                "width": width,
                "height": height,
                "colorSpace": own.get("colorSpace") or None if own is not None else None,
            }
            self._texts.append(element("format", attributes))
        return self._formats[key]

    def asset(self, source: Node, matte: Matte, use: Use) -> str:
        """The id of the asset of a matte."""
        key = (matte.path, matte.first)
        if key in self._assets:
            return self._assets[key]
        format = self.format(source, matte)
        id = self._assets[key] = next(self._ids)
        link = self._link(matte.path)
        attributes = {
            "id": id,
            "name": matte.path.stem,
            "src": None if self._has_representations else link,
            "start": time_text(matte.first, matte.rate),
            "duration": time_text(matte.duration, matte.rate),
            "hasVideo": "1",
            "format": format,
            "videoSources": "1" if self._has_representations else None,
        }
        inside = ""
        if self._has_representations:
            inside = element("media-rep", {"kind": "original-media", "src": link})
        self._texts.append(element("asset", attributes, inside))
        return id

    def write(self) -> None:
        """Put them at the end of the resources."""
        resources = self._document.root.child("resources")
        assert resources is not None  # every asset was found there
        for text in self._texts:
            self._document.append(resources, text)


def _is_of(format: Node, size: tuple[str, str], frame: Fraction) -> bool:
    """Whether a format states this size and duration of a frame."""
    stated = (format.get("width"), format.get("height"))
    return stated == size and seconds(format.get("frameDuration")) == frame


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


def _transitions(spine: Node, shift: Fraction) -> list[tuple[Fraction, Fraction]]:
    """When each transition of a storyline begins and ends, moved by `shift`."""
    found = []
    for node in spine.children:
        if node.tag == "transition":
            begin = (seconds(node.get("offset")) or _ZERO) + shift
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


def _rearranged(used: set[int], wanted: set[int]) -> tuple[dict[int, int], dict[int, int]]:
    """Where lanes move, and the lanes for mattes of the wanted ones: each lies just above its own,
    and the order stays."""
    moved, own = {}, {}
    top = 0
    if 0 in wanted:
        top = own[0] = 1
    for lane in sorted(lane for lane in used if lane > 0):
        top = moved[lane] = max(lane, top + 1)
        if lane in wanted:
            top = own[lane] = top + 1
    bottom = 0
    for lane in sorted((lane for lane in used if lane < 0), reverse=True):
        if lane in wanted:
            bottom = own[lane] = min(lane, bottom - 1)
            bottom = moved[lane] = bottom - 1
        else:
            bottom = moved[lane] = min(lane, bottom - 1)
    moved[0] = 0
    return moved, own


def time_text(time: Fraction, rate: Fraction | None) -> str:
    """A time as FCPXML writes it: '1001/24000s', in units of a rate where it fits one."""
    if time.denominator == 1:
        return f"{time.numerator}s"
    if rate is not None and rate.numerator % time.denominator == 0:
        return f"{time * rate.numerator}/{rate.numerator}s"
    return f"{time.numerator}/{time.denominator}s"
