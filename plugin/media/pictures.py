"""A folder or numbered pattern of still pictures, read as a clip."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av

from mattecast.errors import MattecastError, MediaError
from mattecast.media.damage import Damage
from mattecast.media.facts import Facts
from mattecast.media.photograph import open_file
from mattecast.media.turn import Turn

if TYPE_CHECKING:
    from av.container.core import Chapter

SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".tif",
        ".tiff",
        ".exr",
        ".dpx",
        ".bmp",
        ".webp",
        ".tga",
        ".ppm",
        ".pgm",
        ".jp2",
        ".hdr",
        ".avif",
        ".heic",
        ".heif",
        ".hif",
    }
)
DEFAULT_RATE = Fraction(25)
# A frame number as printf writes it, %04d, or as compositors do, ####. One # alone stands in names
# of other things, unless it is a part of its own (shot.#.png).
_NUMBER = re.compile(r"%(0?\d{0,2})d|(#{2,}|(?<=[._-])#(?=\.))")


def is_pattern(path: str | Path) -> bool:
    """Whether the name holds a frame number (shot_%04d.png, shot_####.png) and no file has exactly
    this name."""
    return bool(_NUMBER.search(Path(path).name)) and not os.path.isfile(path)


def picture_files(path: Path) -> list[Path]:
    """The pictures of a folder or a pattern, in order of their numbers, then names.

    Raises MediaError when there are none.
    """
    if is_pattern(path):
        found = [entry for entry in _entries(path.parent) if matches(path.name, entry.name)]
    else:
        found = [entry for entry in _entries(path) if entry.suffix.lower() in SUFFIXES]
    if not found:
        raise MediaError(f"{path}: no videos or pictures there ({' '.join(sorted(SUFFIXES))})")
    return sorted(found, key=_natural_order)


def _entries(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise MediaError(f"{folder}: {(error.strerror or str(error)).lower()}") from error


def is_still(path: str | Path) -> bool:
    """Whether the path names one picture, not a pattern or a folder of them."""
    path = Path(path)
    return path.suffix.lower() in SUFFIXES and not is_pattern(path) and not path.is_dir()


def matches(pattern: str, name: str) -> bool:
    """Whether a file name is the pattern with some number in it."""
    return number_of(pattern, name) is not None


def number_of(pattern: str, name: str) -> int | None:
    """The number that stands in a file name at the pattern's place; None for other names."""
    before, digits, after = _split(pattern)
    number = rf"(\d{{{digits or 1},}})"
    match = re.fullmatch(re.escape(before) + number + re.escape(after), name)
    return int(match[1]) if match else None


def numbered_name(pattern: str, number: int) -> str:
    """The file name of one picture: shot_0007.png for shot_%04d.png and 7."""
    before, digits, after = _split(pattern)
    return f"{before}{number:0{digits}d}{after}"


def text_before_number(pattern: str) -> str:
    """What stands before the number: shot_ for shot_%04d.png."""
    return _split(pattern)[0]


def _split(pattern: str) -> tuple[str, int, str]:
    """What stands before and after the number of a pattern, and its least count of digits."""
    match = _NUMBER.search(pattern)
    assert match is not None
    digits = len(match[2]) if match[2] else int(match[1] or 0)
    return pattern[: match.start()], digits, pattern[match.end() :]


def _common_pattern(names: list[str]) -> str | None:
    """The pattern of names that differ in their last number alone, as those of a rendered shot do;
    None where they do not, or where more numbers are missing than there: an album's names."""
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", name) for name in names]
    found = [part for part in parts if part]
    if len(found) < max(2, len(names)) or len({(part[1], part[3]) for part in found}) > 1:
        return None
    numbers = [int(part[2]) for part in found]
    if max(numbers) - min(numbers) >= 2 * len(numbers) or len(set(numbers)) < len(numbers):
        return None
    return f"{found[0][1]}%0{min(len(part[2]) for part in found)}d{found[0][3]}"


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    """A sort key that puts shot_2 before shot_10."""
    parts = re.split(r"(\d+)", path.name)
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


class Pictures:
    """Stills as a source of constant rate (see media.source.Source).

    Numbered pictures have the times of their numbers, so the time of a missing one stays empty.
    Raises MediaError when there is no picture, or none that can be read.
    """

    def __init__(self, path: str | Path, *, rate: Fraction | None = None) -> None:
        self.path = Path(path)
        self.damage = Damage()
        self.chapters: list[Chapter] = []
        self.files = picture_files(self.path)
        self._first_number, self._places = _places(self.path, self.files)
        self._rate = rate or DEFAULT_RATE
        self.facts = self._sequence_facts(self._first_facts())

    feed = None

    def stop(self) -> None:
        """See Source. A file makes nobody wait."""

    def again(self) -> Pictures:
        """The same pictures, opened once more."""
        return Pictures(self.path, rate=self._rate)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Do nothing: no file stays open between pictures."""

    def frames(
        self,
        start: Fraction | None = None,
        end: Fraction | None = None,
        *,
        passing: int | None = None,
    ) -> Iterator[av.VideoFrame]:
        """See Source.frames. The first picture has pts 0, in units of 1/rate.

        A picture that cannot be read is skipped and counted, and its time stays empty. passing
        has no effect: no picture has to be read on the way to another.
        """
        last: int | None = None
        for pts, file in zip(self._places, self.files, strict=True):
            time = pts / self._rate
            if end is not None and time >= end:
                return
            if start is not None and time < start:
                continue
            self.damage.missing += pts - last - 1 if last is not None else 0
            last = pts
            frame = self._read(file)
            if frame is not None:
                frame.pts, frame.time_base = pts, self.facts.time_base
                self.damage.resized += self._has_other_size(frame)
                yield frame

    def _first_facts(self) -> Facts:
        """The facts of the first picture that can be read."""
        for file in self.files:
            try:
                with open_file(file) as still:
                    return still.facts
            except MediaError as error:
                reason = error
        raise MediaError(f"{self.path}: no picture can be read, such as {reason}")

    def _read(self, file: Path) -> av.VideoFrame | None:
        try:
            with open_file(file) as still:
                frame = next(still.frames())
                self.damage.corrupt += still.damage.corrupt
                return frame
        except MattecastError:
            self.damage.undecodable += 1
            return None

    def _has_other_size(self, frame: av.VideoFrame) -> bool:
        size = Turn.of(frame, still=True).size(frame.width, frame.height)
        return size != (self.facts.width, self.facts.height)

    def _sequence_facts(self, first: Facts) -> Facts:
        """The facts of all the pictures as a clip, from those of the first one."""
        count = len(self.files)
        return Facts(
            path=self.path,
            container="pictures",
            codec=first.codec,
            pixel_format=first.pixel_format,
            bits=first.bits,
            width=first.width,
            height=first.height,
            sar=first.sar,
            turn=first.turn,
            interlaced=False,
            rate=self._rate,
            variable_rate=False,
            time_base=1 / self._rate,
            start=Fraction(0),
            duration=(self._places[-1] + 1) / self._rate,
            frames=count,
            colour=first.colour,
            has_alpha=first.has_alpha,
            timecode=None,
            audio=(),
            others=(),
            chapters=0,
            first_number=self._first_number,
            still=True,
        )


def _places(path: Path, files: list[Path]) -> tuple[int | None, list[int]]:
    """The number of the first picture, None where there are none; and each picture's frame."""
    names = [file.name for file in files]
    pattern = path.name if is_pattern(path) else _common_pattern(names)
    if pattern is None:
        return None, list(range(len(files)))
    numbers = [number_of(pattern, name) or 0 for name in names]
    return numbers[0], [number - numbers[0] for number in numbers]
