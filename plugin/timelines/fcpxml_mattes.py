"""Mattes put into FCPXML: connected clips on lanes of their own, assets and formats for them."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mattecast.timelines.document import Document, Node, element
from mattecast.timelines.fcpxml_rules import TAIL, seconds, time_text
from mattecast.timelines.timeline import Found, Matte, Use

# What elements that hold other clips are called.
KINDS = {
    "clip": "a clip of clips",
    "sync-clip": "a synchronised clip",
    "mc-clip": "a multicam clip",
    "ref-clip": "a compound clip",
}
# What of a clip is for its sound; and what is worked out anew from the pictures of a clip.
_NOT_COPIED = frozenset(
    f"adjust-{kind}"
    for kind in (
        *("loudness", "noiseReduction", "humReduction", "EQ", "matchEQ", "volume", "panner"),
        *("voiceIsolation", "stabilization", "rollingShutter"),
    )
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a use stands.

    anchor: the element of the main storyline that it hangs on, or is. lane: its own. offset: on the
    anchor's clock. edge: on the clock of the storyline that it is in. duration: seconds. chain: the
    elements from the one in the storyline to the one that names the asset; starts: when the use
    begins on the clocks of the first and the last of them. storyline: a number. frame: of the
    timeline (seconds).
    """

    anchor: Node
    lane: int
    offset: Fraction
    edge: Fraction
    duration: Fraction
    chain: tuple[Node, ...]
    starts: tuple[Fraction, Fraction]
    asset: Node
    storyline: int
    frame: Fraction


def looks(node: Node, *, conform: bool = False) -> list[Node]:
    """What of a clip changes the look and the place of its picture, in the order of FCPXML.

    conform: with how its rate becomes the timeline's.
    """
    adjusting = [
        child
        for child in node.children
        if (child.tag.startswith("adjust-") and child.tag not in _NOT_COPIED)
        or (conform and child.tag == "conform-rate")
    ]
    tags = ("filter-video", "filter-video-mask")
    return [*adjusting, *(child for child in node.children if child.tag in tags)]


def insert(
    document: Document,
    found: Found,
    mattes: Mapping[int, Matte],
    names: Resources,
    anchored: Sequence[Sequence[tuple[Node, int]]],
    *,
    replace: bool,
) -> None:
    """Put mattes above or in place of uses.

    mattes: by the index of the use. anchored: the connected elements of each storyline, with their
    lanes.
    """
    above: dict[int, Matte] = {}
    for index, matte in mattes.items():
        if not (replace and _replaced(document, found, found.uses[index], matte, names)):
            above[index] = matte
    lanes = _lanes(document, [found.uses[index] for index in above], anchored)
    for group in _groups(found, above):
        _note_hard_cuts(found, group)
        if len(group) == 1:
            use, matte = found.uses[group[0]], above[group[0]]
            offset = use.place.offset
            text = _clip(document, use, matte, names, offset, lanes[_lane(use)])
        else:
            pairs = [(found.uses[index], above[index]) for index in group]
            text = _storyline(document, pairs, names, lanes[_lane(pairs[0][0])])
        _connect(document, found.uses[group[0]].place.anchor, text)
    names.write()


def _lane(use: Use) -> tuple[int, int]:
    place: Place = use.place
    return place.storyline, place.lane


def _replaced(document: Document, found: Found, use: Use, matte: Matte, names: Resources) -> bool:
    """Put a matte in place of a use; or, where its sound has to stay, only take its picture away.

    Returns whether nothing is left to be done.
    """
    place: Place = use.place
    if any(node.tag in ("sync-clip", "mc-clip", "ref-clip") for node in place.chain):
        kind = KINDS[place.chain[0].tag]
        found.left.append(f"{use} is {kind}: the matte lies above it, in place of nothing")
        return False
    node = place.chain[-1]
    sounds = node.tag == "asset-clip" and place.asset.get("hasAudio") == "1"
    if sounds and node.get("srcEnable", "all") == "all":
        document.set(node, "srcEnable", "audio")
        return False
    document.set(node, "ref", names.asset(place.asset, matte))
    stated = seconds(node.get("start"))
    if (shift := matte.begin - use.begin) or stated is None:
        start = (seconds(place.asset.get("start")) or Fraction(0)) if stated is None else stated
        document.set(node, "start", time_text(start + shift, matte.rate))
    return True


def _lanes(
    document: Document, uses: Sequence[Use], anchored: Sequence[Sequence[tuple[Node, int]]]
) -> dict[tuple[int, int], int]:
    """The lane of the mattes of each storyline's lane; lanes in their way move on."""
    wanted: dict[int, set[int]] = defaultdict(set)
    for use in uses:
        wanted[use.place.storyline].add(use.place.lane)
    lanes: dict[tuple[int, int], int] = {}
    for storyline, elements in enumerate(anchored):
        moved, own = rearranged({lane for _, lane in elements}, wanted[storyline])
        lanes |= {(storyline, lane): to for lane, to in own.items()}
        for node, lane in elements:
            if moved[lane] != lane:
                document.set(node, "lane", str(moved[lane]))
    return lanes


def _groups(found: Found, mattes: Mapping[int, Matte]) -> Iterator[list[int]]:
    """Uses one by one, and together those with transitions between them."""
    group: list[int] = []
    # Clips of one storyline side by side, without those that are connected to them.
    for index in sorted(mattes, key=lambda each: (_spine(found.uses[each]).begin, each)):
        if group and _transition(found.uses[group[-1]], found.uses[index]) is None:
            yield group
            group = []
        group.append(index)
    if group:
        yield group


def _spine(use: Use) -> Node:
    """What a use's clip is in: a storyline, or what it is connected to."""
    node: Node = use.place.chain[0]
    return node.parent or node


def _note_hard_cuts(found: Found, group: list[int]) -> None:
    """Say which transitions are not on the mattes of a group."""
    for side, use, time in (
        ("begin", found.uses[group[0]], found.uses[group[0]].before),
        ("end", found.uses[group[-1]], found.uses[group[-1]].after),
    ):
        if time:
            found.left.append(
                f"{use} has a transition at its {side}, which its matte does not have"
            )


def _transition(before: Use, after: Use) -> Node | None:
    """The transition between two uses of one storyline; None where they are no neighbours."""
    first, last, spine = before.place.chain[0], after.place.chain[0], _spine(before)
    if spine is not _spine(after):
        return None
    between = spine.children[spine.children.index(first) + 1 : spine.children.index(last)]
    is_one = len(between) == 1 and between[0].tag == "transition"
    return between[0] if is_one else None


def _storyline(
    document: Document, pairs: Sequence[tuple[Use, Matte]], names: Resources, lane: int
) -> str:
    """The text of a connected storyline: mattes with the transitions of their clips."""
    first: Place = pairs[0][0].place
    texts: list[str] = []
    for number, (use, matte) in enumerate(pairs):
        if number:
            node = _transition(pairs[number - 1][0], use)
            assert node is not None
            copy = document.copy(node)
            offset = (seconds(node.get("offset")) or Fraction(0)) - first.edge
            copy.set(node, "offset", time_text(offset, 1 / first.frame))
            for child in node.children:
                if child.tag == "filter-audio":
                    copy.remove(child)
            texts.append(copy.text())
        texts.append(_clip(document, use, matte, names, use.place.edge - first.edge, None))
    outer = document.indent(first.anchor)
    inner = "".join(f"{outer}        {each}" if outer else each for each in texts)
    attributes = {"lane": str(lane), "offset": time_text(first.offset, 1 / first.frame)}
    return element("spine", attributes, inner + (f"{outer}    " if outer else ""))


def _clip(
    document: Document,
    use: Use,
    matte: Matte,
    names: Resources,
    offset: Fraction,
    lane: int | None,
) -> str:
    """The text of a matte's clip. lane: None inside of a storyline."""
    place: Place = use.place
    formats = (node.get("tcFormat") for node in reversed(place.chain))
    attributes = {
        "ref": names.asset(place.asset, matte),
        "lane": None if lane is None else str(lane),
        "offset": time_text(offset, 1 / place.frame),
        "name": f"{use.name} matte",
        "start": time_text(matte.begin, matte.rate),
        "duration": time_text(place.duration, 1 / place.frame),
        "format": names.format(place.asset, matte),
        "tcFormat": next(filter(None, formats), "NDF"),
    }
    parts = list(_looks(document, place, matte))
    outer = document.indent(place.anchor)
    inner = "".join(f"{outer}        {each}" if outer else each for each in parts)
    return element("asset-clip", attributes, inner + (f"{outer}    " if parts and outer else ""))


def _looks(document: Document, place: Place, matte: Matte) -> Iterator[str]:
    """The text of what changes the look of a clip; its keyframes moved to the matte's clock."""
    inner = place.chain[-1]
    texts: dict[bool, list[str]] = {False: [], True: []}
    for node, start in {place.chain[0]: place.starts[0], inner: place.starts[1]}.items():
        for child in looks(node, conform=node is inner):
            copy = document.copy(child)
            for frame in child.walk():
                if frame.tag == "keyframe" and matte.begin != start:
                    time = (seconds(frame.get("time")) or Fraction(0)) + matte.begin - start
                    copy.set(frame, "time", time_text(time, None))
            texts[child.tag.startswith("filter")].append(copy.text())
    # The rate comes first; a filter comes last.
    yield from sorted(texts[False], key=lambda text: not text.startswith("<conform-rate"))
    yield from texts[True]


def _connect(document: Document, anchor: Node, text: str) -> None:
    """Connect an element where the order of children in FCPXML wants it."""
    behind = next((child for child in anchor.children if child.tag in TAIL), None)
    if behind is not None:
        document.before(behind, text)
    else:
        document.append(anchor, text)


def rearranged(used: set[int], wanted: set[int]) -> tuple[dict[int, int], dict[int, int]]:
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


class Resources:
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

    def asset(self, source: Node, matte: Matte) -> str:
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
