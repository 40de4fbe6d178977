"""A timeline as matting sees it: clips that show a part of a file, and mattes for them.

Times are seconds as Fractions. A timeline counts the times of a media file on a clock of its own,
which often begins with the file's timecode; `Use.first` is the first frame's time on that clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from mattecast.media.timecode import Timecode


def _of(project: str) -> str:
    return f" of '{project}'" if project else ""


@dataclass(frozen=True, slots=True)
class Use:
    """One clip of a timeline that shows a part of a media file at its own speed.

    track: as an editor calls it, 'V2'. at: where it begins on the timeline, as timecode. begin,
    end: the part of the media, on the timeline's clock of the media. first: when the media's first
    frame comes on that clock; None where the timeline does not say. before, after: how much more of
    the media its transitions show. rate: of numbered pictures. project: where the
    file holds several. place: the format's own.
    """

    name: str
    track: str
    at: str
    media: Path
    begin: Fraction
    end: Fraction
    first: Fraction | None
    before: Fraction = Fraction(0)
    after: Fraction = Fraction(0)
    rate: Fraction | None = None
    project: str = ""
    place: Any = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"clip '{self.name}' at {self.at} on {self.track}{_of(self.project)}"


@dataclass(frozen=True, slots=True)
class Matte:
    """A clip with alpha that lies ready for one use.

    begin: when the use begins, on the matte's clock. first: when its first frame comes on that
    clock. rate: frames a second. size: (width, height). premultiplied: whether its colours are
    multiplied by alpha. timecode: of its first frame; None where it has none.
    """

    path: Path
    begin: Fraction
    first: Fraction
    frames: int
    rate: Fraction
    size: tuple[int, int]
    premultiplied: bool
    timecode: Timecode | None

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return self.frames / self.rate


@dataclass(slots=True)
class Found:
    """What a timeline holds: its uses; what stays as it is, a line each; and, by kind, what has no
    media that could hold a person. relative: whether it names files by relative paths. project: the
    one that is being read, where the file holds several."""

    uses: list[Use] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    empty: Counter[str] = field(default_factory=Counter)
    relative: bool = False
    project: str = ""

    def leave(self, name: str, at: str, track: str, why: str) -> None:
        """Note a clip that is left as it is, and why."""
        self.left.append(
            f"clip '{name}' at {at} on {track}{_of(self.project)} {why}: left as it is"
        )


class Timeline(Protocol):
    """A timeline that was read, and can be written again.

    counts_from_zero: whether the clock of all media begins with zero, whatever their timecode is.
    """

    found: Found
    counts_from_zero: bool

    def with_mattes(
        self, mattes: Mapping[int, Matte], *, replace: bool, link: Callable[[Path], str]
    ) -> bytes:
        """The timeline with mattes above the clips they belong to, or in place of them.

        mattes: by the index of their use, in order. link: how a file is named in it. Notes in
        `found.left` what could not be done as asked.
        """
        ...


def timecode(frames: int, rate: Fraction, *, drop: bool = False) -> str:
    """A count of frames as timecode. drop: drop-frame, where the rate has it."""
    base = max(1, round(rate))
    return str(Timecode(0, base, drop and base % 30 == 0).plus(frames))


def read_timecode(text: str | None, rate: Fraction) -> Timecode | None:
    """The timecode of an output; None where it has none that fits its rate."""
    try:
        return Timecode.parse(text, rate) if text else None
    except ValueError:
        return None


def nominal(base: int, ntsc: bool) -> Fraction:
    """The rate of a nominal number of frames a second, 1000/1001 of it where ntsc."""
    return Fraction(base * 1000, 1001) if ntsc else Fraction(base)
