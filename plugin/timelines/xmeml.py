"""Final Cut Pro 7's XML (xmeml 4, 5), which Premiere and Resolve write too: read, and written with
mattes on a track above."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from xml.sax.saxutils import escape

from mattecast.errors import MediaError
from mattecast.timelines.document import Document, Node, element
from mattecast.timelines.links import file_of, is_relative
from mattecast.timelines.timeline import Found, Matte, Use, nominal, timecode

_VERSIONS = ("4", "5")
# Premiere counts exact times in these.
_TICKS = 254016000000
# What a copy of a clip leaves out: other ids, sound that it is linked to, marks of the user.
_NOT_COPIED = ("link", "marker", "masterclipid", "uuid", "logginginfo", "sourcetrack")


@dataclass(slots=True)
class _Place:
    """Where a use stands: its track and its clipitem, and when that begins and ends (frames).
    rate: in which the clip counts its own frames."""

    track: Node
    item: Node
    start: int
    end: int
    rate: Fraction


class Xmeml:
    """A timeline in xmeml. Raises MediaError for a file of another version or without sequences."""

    counts_from_zero = True

    def __init__(self, path: Path) -> None:
        self.document = Document(path)
        root = self.document.root
        if root.tag != "xmeml":
            raise MediaError(f"{path}: holds <{root.tag}>, not <xmeml>")
        if (version := root.get("version")) not in _VERSIONS:
            raise MediaError(f"{path}: xmeml of version '{version}' is not known: export 4 or 5")
        self.path, self.found = path, Found()
        self._files = {
            node.get("id"): node
            for node in root.walk()
            if node.tag == "file" and node.child("pathurl")
        }
        paths = (node.text for node in root.walk() if node.tag == "pathurl")
        self.found.relative = any(map(is_relative, paths))
        sequences = list(_sequences(root))
        for number, sequence in enumerate(sequences, 1):
            if len(sequences) > 1:
                self.found.project = sequence.value("name") or f"sequence {number}"
            self._read_sequence(sequence)
        if not sequences:
            raise MediaError(f"{path}: holds no sequence; export the sequence itself")

    # Reading.

    def _read_sequence(self, sequence: Node) -> None:
        rate = _rate(sequence) or Fraction(25)
        first = sequence.child("timecode")
        stated = first.value("frame") if first else ""
        start = int(stated) if stated.isdecimal() else 0
        drop = first is not None and first.value("displayformat") == "DF"
        video = sequence.child("media", "video")
        tracks = [node for node in video.children if node.tag == "track"] if video else []
        for number, track in enumerate(tracks, 1):
            self._read_track(track, f"V{number}", rate, start, drop)

    def _read_track(self, track: Node, name: str, rate: Fraction, start: int, drop: bool) -> None:
        items = [node for node in track.children if node.tag in _ITEMS]
        for index, item in enumerate(items):
            if item.tag == "transitionitem":
                continue
            if item.tag == "generatoritem":
                self.found.empty["generator"] += 1
                continue
            title = item.value("name") or item.get("id")
            try:
                begin, end = _extent(items, index)
                why = self._why_left(track, item)
            except ValueError:  # a number that is none
                begin, end, why = 0, 0, "does not say when it begins and ends"
            at = timecode(start + begin, rate, drop=drop)
            media = self._file(item)
            if why or media is None:
                self.found.leave(title, at, name, why or "has no media file")
                continue
            own = _own_rate(item, rate, end - begin)
            media_begin = _media_begin(item, own)
            place = _Place(track, item, begin, end, own)
            self.found.uses.append(
                Use(
                    name=title,
                    track=name,
                    at=at,
                    media=media,
                    begin=media_begin,
                    end=media_begin + (end - begin) / rate,
                    first=Fraction(0),
                    project=self.found.project,
                    place=place,
                )
            )

    def _why_left(self, track: Node, item: Node) -> str | None:
        """Why a clip is left as it is; None where it is not."""
        if track.value("enabled") == "FALSE" or item.value("enabled") == "FALSE":
            return "is switched off"
        if item.child("sequence") is not None:
            return "is a nested sequence; matte it in a timeline of its own"
        if item.child("multiclip") is not None:
            return "is a multicam clip; flatten it"
        if item.child("subclipinfo") is not None:
            return "is a subclip; make it a clip of its own"
        if item.value("stillframe") == "TRUE":
            return "is a still picture"
        for effect in (node for node in item.walk() if node.tag == "effect"):
            if effect.value("effectid") == "timeremap":
                return _retimed(effect)
        return None

    def _file(self, item: Node) -> Path | None:
        named = item.child("file")
        node = self._files.get(named.get("id")) if named is not None else None
        link = node.value("pathurl") if node is not None else ""
        return file_of(link, self.path.parent)

    # Writing.

    def with_mattes(
        self, mattes: Mapping[int, Matte], *, replace: bool, link: Callable[[Path], str]
    ) -> bytes:
        """See Timeline."""
        files = _Files(self.document, link)
        rows: dict[Node, list[tuple[Node, str]]] = {}
        for index, matte in mattes.items():
            use = self.found.uses[index]
            if replace:
                self._replace(use, matte, files)
            else:
                text = self._copied(use, matte, files)
                rows.setdefault(use.place.track, []).append((use.place.item, text))
        if replace:
            self._hand_on([self.found.uses[index].place.item for index in mattes])
        for track, clips in rows.items():
            self._add_track(track, clips)
        return self.document.result()

    def _replace(self, use: Use, matte: Matte, files: _Files) -> None:
        """Put a matte in place of a clip; its sound stays with the clip's own file."""
        item: Node = use.place.item
        for node, text in _changes(item, use, matte, files):
            if node.tag == "file":
                self.document.replace(node.begin, node.end, text)
            else:
                self.document.set_text(node, text)

    def _hand_on(self, replaced: list[Node]) -> None:
        """Give the descriptions of files in clips that are replaced to the first other clips that
        name these files."""
        gone = {item.child("file"): None for item in replaced}
        described = {node.get("id"): node for node in gone if node and node.child("pathurl")}
        for node in self.document.root.walk():
            if node.tag == "file" and node not in gone and node.get("id") in described:
                text = self.document.copy(described.pop(node.get("id"))).text()
                self.document.replace(node.begin, node.end, text)

    def _copied(self, use: Use, matte: Matte, files: _Files) -> str:
        """The text of a clip of the matte: the clip's own, with another file and other ids."""
        item: Node = use.place.item
        copy = self.document.copy(item)
        for child in item.children:
            if child.tag in _NOT_COPIED:
                copy.remove(child)
        copy.set(item, "id", files.id("clipitem"))
        for node, text in _changes(item, use, matte, files):
            if node.tag == "file":
                copy.replace(node.begin, node.end, text)
            else:
                copy.set_text(node, text)
        name = item.child("name")
        if name is not None:
            copy.set_text(name, f"{use.name} matte")
        return copy.text()

    def _add_track(self, track: Node, clips: list[tuple[Node, str]]) -> None:
        """A track above, with the clips and the transitions between them."""
        texts = dict((item.begin, text) for item, text in clips)
        items = [node for node in track.children if node.tag in _ITEMS]
        parts = []
        for index, node in enumerate(items):
            if node.begin in texts:
                parts.append(texts[node.begin])
            elif node.tag == "transitionitem":
                beside = items[max(0, index - 1) : index + 2]
                if any(each.begin in texts for each in beside):
                    parts.append(self.document.copy(node).text())
        outer = self.document.indent(track)
        inner = self.document.indent(items[0]) or outer
        parts += [element("enabled", {}, "TRUE"), element("locked", {}, "FALSE")]
        text = element("track", {}, "".join(inner + part for part in parts) + outer)
        self.document.after(track, text)


_ITEMS = ("clipitem", "transitionitem", "generatoritem")


class _Files:
    """Files of mattes, each described where it is named first; and ids that are free."""

    def __init__(self, document: Document, link: Callable[[Path], str]) -> None:
        self._link = link
        self._taken = {node.get("id") for node in document.root.walk()}
        self._known: dict[Path, str] = {}

    def id(self, kind: str) -> str:
        """An id of its own, as 'file-mattecast1'."""
        tried = (f"{kind}-mattecast{number}" for number in itertools.count(1))
        found = next(each for each in tried if each not in self._taken)
        self._taken.add(found)
        return found

    def text(self, matte: Matte) -> str:
        """The element that names a matte's file."""
        if matte.path in self._known:
            return element("file", {"id": self._known[matte.path]})
        id = self._known[matte.path] = self.id("file")
        width, height = matte.size
        rate = _rate_text(matte.rate)
        size = _leaf("width", width) + _leaf("height", height)
        picture = element("samplecharacteristics", {}, rate + size)
        video = element("video", {}, _leaf("duration", matte.frames) + picture)
        inside = (
            _leaf("name", matte.path.name)
            + _leaf("pathurl", self._link(matte.path))
            + rate
            + _leaf("duration", matte.frames)
            + (_timecode_text(matte) if matte.timecode else "")
            + element("media", {}, video)
        )
        return element("file", {"id": id}, inside)


def _changes(item: Node, use: Use, matte: Matte, files: _Files) -> Iterator[tuple[Node, str]]:
    """What becomes other than in the clip, as node and text."""
    place: _Place = use.place
    first = round(matte.begin * place.rate)
    texts = {
        "duration": str(round(matte.duration * place.rate)),
        "in": str(first),
        "out": str(first + int(item.value("out")) - int(item.value("in"))),
        "pproTicksIn": str(round(matte.begin * _TICKS)),
        "pproTicksOut": str(round((matte.begin + use.end - use.begin) * _TICKS)),
        "alphatype": "black" if matte.premultiplied else "straight",
        "file": files.text(matte),
    }
    for child in item.children:
        if child.tag in texts:
            yield child, texts[child.tag]


def _sequences(node: Node) -> Iterator[Node]:
    """The sequences of a project, not those nested in others."""
    for child in node.children:
        if child.tag == "sequence" and child.child("media") is not None:
            yield child
        elif child.tag in ("project", "children", "bin"):
            yield from _sequences(child)


def _rate(node: Node) -> Fraction | None:
    """The rate that a node states: frames a second."""
    base = node.value("rate", "timebase")
    if not base.isdigit() or int(base) == 0:
        return None
    return nominal(int(base), node.value("rate", "ntsc").upper() == "TRUE")


def _extent(items: list[Node], index: int) -> tuple[int, int]:
    """When a clip begins and ends on its track (frames), with all that its transitions show.

    Beside a transition the file states -1, which stands for the transition's own time. Raises
    ValueError for what is no number.
    """
    item = items[index]
    begin, end = int(item.value("start")), int(item.value("end"))
    length = int(item.value("out")) - int(item.value("in"))
    before = items[index - 1] if index else None
    behind = items[index + 1] if index + 1 < len(items) else None
    if begin < 0 and before is not None:
        begin = int(before.value("start"))
    if end < 0 and behind is not None:
        end = int(behind.value("end"))
    if begin < 0 or end < 0:
        begin, end = (end - length, end) if begin < 0 else (begin, begin + length)
    return begin, end


def _own_rate(item: Node, rate: Fraction, frames: int) -> Fraction:
    """In which a clip counts the frames of its media: the rate that it states, unless its length
    only fits that of the sequence. frames: how long it is on the sequence."""
    own = _rate(item) or rate
    length = int(item.value("out")) - int(item.value("in"))
    fits = abs(length / own - frames / rate) < max(1 / own, 1 / rate)
    return own if fits or length != frames else rate


def _media_begin(item: Node, rate: Fraction) -> Fraction:
    """When a clip begins in its media: by Premiere's exact count where there is one."""
    frames = int(item.value("in")) / rate
    ticks = item.value("pproTicksIn")
    exact = Fraction(int(ticks), _TICKS) if ticks.isdigit() else frames
    # Beside a transition Premiere's count may stand for the middle of it.
    return exact if abs(exact - frames) < 1 / rate else frames


def _retimed(effect: Node) -> str | None:
    """How a clip is retimed, in words; None where it runs at its own speed."""
    values = {
        each.value("parameterid"): each for each in effect.children if each.tag == "parameter"
    }

    def value(name: str) -> str:
        return values[name].value("value").upper() if name in values else ""

    if value("variablespeed") not in ("", "0", "FALSE"):
        return "is retimed to speeds that change"
    speed = float(value("speed") or 100)
    if value("reverse") == "TRUE" or speed != 100:
        return f"is retimed to {-speed if value('reverse') == 'TRUE' else speed:g} %"
    return None


def _rate_text(rate: Fraction) -> str:
    base = round(rate)
    ntsc = "FALSE" if rate == base else "TRUE"
    return element("rate", {}, _leaf("timebase", base) + _leaf("ntsc", ntsc))


def _timecode_text(matte: Matte) -> str:
    first = matte.timecode
    assert first is not None
    inside = (
        _rate_text(matte.rate)
        + _leaf("string", str(first))
        + _leaf("frame", first.frames)
        + _leaf("displayformat", "DF" if first.drop else "NDF")
    )
    return element("timecode", {}, inside)


def _leaf(tag: str, value: object) -> str:
    return element(tag, {}, escape(str(value)))
