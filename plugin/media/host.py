"""A program that reads our clips, and how it reads each kind of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mattecast.errors import UsageError
from mattecast.media.formats import FILL_KEY, FORMATS, Format, guess

# How a host takes the colours of a clip: as straight, as multiplied by alpha, or as the user says
# in the host ("setting"); or it shows the clip opaque, as too dark, or not at all.
Alpha = Literal["straight", "premultiplied", "setting", "opaque", "dark", "refused"]
Colours = Literal["straight", "premultiplied"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What a host goes by when it reads a clip.

    codec: libavcodec's name. pictures: whether the file is a picture or one of a sequence. bits: of
    a sample. yuv: whether pictures are luma and chroma.
    """

    codec: str
    pictures: bool
    bits: int
    yuv: bool

    @classmethod
    def of(cls, codec: str, pictures: bool, pixel_format: str) -> Kind:
        """The kind of clip with this codec and libavutil's name of its pixel format."""
        import av  # the table alone, which --help reads, needs no large library

        components = av.VideoFormat(pixel_format, 16, 16).components
        deepest = max(component.bits for component in components)
        return cls(codec, pictures, deepest, pixel_format.startswith("yuv"))

    @classmethod
    def written(cls, format: Format, pixel_format: str) -> Kind:
        """The kind of clip that a format writes with this pixel format."""
        import av

        codec = av.Codec(format.codec, "w").canonical_name
        return cls.of(codec, format.is_sequence, pixel_format)

    def __str__(self) -> str:
        return f"{self.codec} {'pictures' if self.pictures else 'movies'} of {self.bits} bits"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a host reads some kinds of clips.

    codecs: the codecs of these clips; empty for every codec. pictures, deep (more than 8 bits),
    yuv: None where it makes no difference. hint: what the user has to do for it, or what happens;
    '{}' stands for the kind of colours.
    """

    alpha: Alpha
    codecs: frozenset[str] = frozenset()
    pictures: bool | None = None
    deep: bool | None = None
    yuv: bool | None = None
    hint: str = ""

    def holds(self, kind: Kind) -> bool:
        """Whether clips of this kind are read so."""
        pairs = (
            (self.pictures, kind.pictures),
            (self.deep, kind.bits > 8),
            (self.yuv, kind.yuv),
        )
        fits = all(asked is None or asked == is_so for asked, is_so in pairs)
        return fits and (not self.codecs or kind.codec in self.codecs)

    def wrong(self, kind: Kind, colours: Colours) -> str | None:
        """What is wrong with such colours in clips of this kind; None where they come out right."""
        return None if self.alpha in (colours, "setting") else _WRONG[self.alpha].format(kind)


@dataclass(frozen=True, slots=True)
class Host:
    """One program.

    title: for people. formats: what it is given, the best first; another is taken where the suffix
    of the output asks for it. step: what to do in the program, a line. known: how its readings were
    found out. readings: the first that holds for a clip. copies: audio codecs that are copied for
    it ('*' for all that the format takes); others become PCM, or Opus in WebM. plays: audio codecs
    that it plays too. mute: audio codecs that it plays silently, and where ('' for everywhere).
    depth: bits of PNG. hdr: whether it heeds the transfers PQ and HLG, None where that is unknown.
    versions: rows of versions that a clip has to be right in, all of them.
    """

    name: str
    title: str
    formats: tuple[str, ...]
    step: str
    known: str
    readings: tuple[Reading, ...] = ()
    copies: frozenset[str] = frozenset()
    plays: frozenset[str] = frozenset()
    mute: Mapping[str, str] = field(default_factory=dict)
    depth: int | None = None
    hdr: bool | None = None
    versions: tuple[Host, ...] = ()

    def rows(self) -> tuple[Host, ...]:
        """The row itself, or those of its versions."""
        return self.versions or (self,)

    def reading(self, kind: Kind) -> Reading | None:
        """How this version reads a kind of clip; None where that is not known."""
        return next((each for each in self.readings if each.holds(kind)), None)

    def format(self, output: Path | None) -> str:
        """The format's name: this host's best of the output's suffix, else what the suffix says.

        Raises UsageError for a suffix that no format has.
        """
        suffix = output.suffix.lower() if output else ""
        for name in self.formats:
            if suffix in ("", *_row(name).suffixes):
                return name
        # A folder of pictures may have any name that is not one of another kind of file.
        other = any(suffix in row.suffixes for row in FORMATS.values())
        return guess(output) if other or not _row(self.formats[0]).is_sequence else self.formats[0]

    def multiplied(self, format: Format, pixel_format: str, asked: bool | None) -> bool:
        """Whether colours are written multiplied by alpha.

        asked: what the user asked for. Raises UsageError where this host would show the output
        wrongly.
        """
        kind = Kind.written(format, pixel_format)
        usual = format.premultiplied
        right = [each for each in (usual, not usual) if not self.faults(kind, colours(each))]
        if right and asked in (None, *right):
            return right[0] if asked is None else asked
        fault = self.faults(kind, colours(usual if asked is None else asked))[0]
        advice = "leave --premultiplied out" if right else "leave --format and the suffix out"
        made = "" if right else f", which makes {self.formats[0]}"
        raise UsageError(f"for {self.name}: {fault}; {advice}{made}, or leave --for out")

    def faults(self, kind: Kind, colours: Colours) -> list[str]:
        """What is wrong with such colours in such a clip, a line for each version that is known."""
        readings = [(row, row.reading(kind)) for row in self.rows()]
        faults = [(row, reading.wrong(kind, colours)) for row, reading in readings if reading]
        return [f"{row.title} {fault}" for row, fault in faults if fault]

    def told(self, kind: Kind | None, colours: Colours) -> str:
        """What to do in the program, a line. kind: of the clip, None where it has no alpha."""
        hints = [_hint(row.reading(kind), kind, colours) for row in self.rows()] if kind else []
        # Versions that read alike have the same hint.
        return f"in {self.title}: " + "; ".join(dict.fromkeys([self.step, *filter(None, hints)]))

    def adapted(self, format: Format) -> Format:
        """A format whose sound this host plays."""
        if "*" in self.copies or not format.copies:
            return format
        kept = self.copies if "*" in format.copies else format.copies & self.copies
        return replace(format, copies=kept)


def _hint(reading: Reading | None, kind: Kind, colours: Colours) -> str:
    if reading is None:
        return f"how it reads {kind} is not known"
    return reading.hint.format(colours)


def colours(premultiplied: bool) -> Colours:
    """The name of straight or premultiplied colours."""
    return "premultiplied" if premultiplied else "straight"


_WRONG = {
    "straight": "takes premultiplied colours in {} for straight ones: dark edges",
    "premultiplied": "takes straight colours in {} for premultiplied ones: bright edges",
    "opaque": "shows {} without alpha",
    "dark": "takes linear light in {} for video codes: too dark",
    "refused": "does not open {}",
}


def _row(name: str) -> Format:
    """The format of this name; for fill-key, that of the fill."""
    return FORMATS["prores" if name == FILL_KEY else name]
