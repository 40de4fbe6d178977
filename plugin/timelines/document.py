"""An XML file that is changed in places: everything else stays the same, byte for byte."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.parsers import expat
from xml.sax.saxutils import escape

from mattecast.errors import MediaError

_TAG = re.compile(rb"<[^\s/>]+(?:\s+[^\s=>]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*\s*/?>")
_ENCODING = re.compile(rb"(?:\xef\xbb\xbf)?<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']+)[\"']")
_INDENT = re.compile(rb"\r?\n[ \t]*\Z")


class Node:
    """An element: its tag, attributes and children, and where it stands in the bytes of the file.

    begin, end: of the whole. inside: after its start tag. close: where its end tag begins; the same
    as `end` where the element is written as one tag.
    """

    __slots__ = (
        "_text",
        "attributes",
        "begin",
        "children",
        "close",
        "end",
        "inside",
        "parent",
        "tag",
    )

    def __init__(self, tag: str, attributes: dict[str, str], parent: Node | None) -> None:
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.children: list[Node] = []
        self._text: list[str] = []
        self.begin = self.inside = self.close = self.end = 0

    @property
    def text(self) -> str:
        """The text directly inside, without space around it."""
        return "".join(self._text).strip()

    def get(self, name: str, default: str = "") -> str:
        """The value of an attribute."""
        return self.attributes.get(name, default)

    def child(self, *tags: str) -> Node | None:
        """The first child of this tag, and on along the tags."""
        node: Node | None = self
        for tag in tags:
            node = next((each for each in node.children if each.tag == tag), None) if node else None
        return node

    def value(self, *tags: str) -> str:
        """The text of a child; empty where there is none."""
        node = self.child(*tags)
        return node.text if node else ""

    def walk(self) -> Iterator[Node]:
        """The node itself and all below it, in the order of the file."""
        yield self
        for child in self.children:
            yield from child.walk()


class Edits:
    """Changes to a part of an XML file."""

    def __init__(self, data: bytes, begin: int, end: int) -> None:
        self.data, self._begin, self._end = data, begin, end
        self._edits: list[tuple[int, int, bytes]] = []
        self._added: dict[Node, list[str]] = {}

    def indent(self, node: Node) -> str:
        """The line break and space before a node; empty where it follows something on its line."""
        match = _INDENT.search(self.data[max(0, node.begin - 200) : node.begin])
        return match[0].decode() if match else ""

    def replace(self, begin: int, end: int, text: str) -> None:
        """Put text in place of a part of the file."""
        self._edits.append((begin, end, _bytes(text)))

    def remove(self, node: Node) -> None:
        """Take a node out, with the space before it."""
        self.replace(node.begin - len(self.indent(node)), node.end, "")

    def set_text(self, node: Node, text: str) -> None:
        """Give a node this text and nothing else."""
        if node.close == node.end:  # <name/>
            self.replace(node.begin, node.end, f"<{node.tag}>{escape(text)}</{node.tag}>")
        else:
            self.replace(node.inside, node.close, escape(text))

    def set(self, node: Node, name: str, value: str) -> None:
        """Set an attribute, which stands behind the others where it is new."""
        tag = self.data[node.begin : node.inside]
        pattern = rb"\s" + re.escape(name.encode()) + rb"\s*=\s*(\"[^\"]*\"|'[^']*')"
        if match := re.search(pattern, tag):
            self.replace(node.begin + match.start(1), node.begin + match.end(1), quoted(value))
            return
        at = node.inside - (2 if tag.endswith(b"/>") else 1)
        self.replace(at, at, f" {name}={quoted(value)}")

    def before(self, node: Node, text: str) -> None:
        """Insert text before a node, on a line of its own where the node has one."""
        self.replace(node.begin, node.begin, text + self.indent(node))

    def after(self, node: Node, text: str) -> None:
        """Insert text behind a node, on a line of its own where the node has one."""
        self.replace(node.end, node.end, self.indent(node) + text)

    def append(self, node: Node, text: str) -> None:
        """Insert text as the last child of a node."""
        if node.children:
            self.after(node.children[-1], text)
        else:
            self._added.setdefault(node, []).append(text)

    def result(self) -> bytes:
        """The part with its changes."""
        pieces, at = [], self._begin
        for first, last, text in sorted(
            [*self._edits, *map(self._filled, self._added)], key=lambda each: each[:2]
        ):
            if first < at:
                continue  # inside of what another change replaces
            pieces += [self.data[at:first], text]
            at = last
        return b"".join([*pieces, self.data[at : self._end]])

    def text(self) -> str:
        """The part with its changes, as text."""
        return self.result().decode("utf-8", "surrogateescape")

    def _filled(self, node: Node) -> tuple[int, int, bytes]:
        """The change that puts children into a node without any."""
        outer = self.indent(node)
        inner = f"{outer}    " if outer else ""
        text = "".join(inner + each for each in self._added[node])
        if node.close == node.end:  # <gap/> becomes <gap>...</gap>
            tag = self.data[node.begin : node.inside]
            slash = node.begin + tag.rindex(b"/")
            return slash, node.end, b">" + _bytes(f"{text}{outer}</{node.tag}>")
        if self.data[node.inside : node.close].isspace():  # that ends the line before the end tag
            return node.inside, node.inside, _bytes(text)
        return node.close, node.close, _bytes(text + outer)


class Document(Edits):
    """An XML file in memory, and the changes to it.

    Raises MediaError for a file that cannot be read or is not XML in UTF-8.
    """

    def __init__(self, path: Path) -> None:
        try:
            data = path.read_bytes()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise MediaError(f"{path}: cannot be read ({reason})") from error
        named = _ENCODING.match(data)
        encoding = named[1].decode("ascii", "replace") if named else "utf-8"
        if data[:2] in (b"\xff\xfe", b"\xfe\xff") or encoding.lower() not in ("utf-8", "us-ascii"):
            raise MediaError(f"{path}: is XML in another encoding; save it as UTF-8")
        super().__init__(data, 0, len(data))
        self.root = parsed(data, path)

    def copy(self, node: Node) -> Edits:
        """A copy of a node, to be changed by itself; it has none of the file's changes."""
        return Edits(self.data, node.begin, node.end)


def quoted(text: str) -> str:
    """An attribute's value with its quotes."""
    return '"' + escape(text, {'"': "&quot;", "\n": "&#10;", "\t": "&#9;"}) + '"'


def element(tag: str, attributes: Mapping[str, str | None], inside: str = "") -> str:
    """The text of an element. Attributes that are None are left out. inside: text of its own."""
    named = "".join(f" {k}={quoted(v)}" for k, v in attributes.items() if v is not None)
    return f"<{tag}{named}>{inside}</{tag}>" if inside else f"<{tag}{named}/>"


def _bytes(text: str) -> bytes:
    """UTF-8. Names of files may hold bytes that are no text."""
    return text.encode("utf-8", "surrogateescape")


def parsed(data: bytes, path: Path) -> Node:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    top = Node("", {}, None)
    here = [top]

    def start(tag: str, attributes: dict[str, str]) -> None:
        node = Node(tag, attributes, here[-1] if len(here) > 1 else None)
        node.begin = parser.CurrentByteIndex
        match = _TAG.match(data, node.begin)
        if match is None:
            raise MediaError(f"{path}: a tag of <{tag}> is not written as UTF-8 XML has it")
        node.inside = match.end()
        here[-1].children.append(node)
        here.append(node)

    def end(tag: str) -> None:
        node = here.pop()
        if data[node.inside - 2 : node.inside] == b"/>":
            node.close = node.end = node.inside
        else:
            node.close = parser.CurrentByteIndex
            node.end = data.index(b">", node.close) + 1

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = lambda text: here[-1]._text.append(text)
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise MediaError(f"{path}: is not whole XML ({error})") from error
    return top.children[0]
