"""Files that strips, images and clips of Blender stand for, as `mattecast matte` takes them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from . import strip_time
from .command import Piece, RequestError

_NUMBER = re.compile(r"^(.*?)(\d+)(\D*)$")


@dataclass(frozen=True, slots=True)
class Numbered:
    """Numbered pictures of a folder. lowest: the first number there; digits: at the least."""

    folder: Path
    before: str
    digits: int
    after: str
    lowest: int

    @property
    def pattern(self) -> Path:
        """As mattecast takes it: shot_%04d.png."""
        return self.folder / f"{self.before}%0{self.digits}d{self.after}"

    def number(self, name: str) -> int | None:
        """The number of a picture of this kind."""
        found = _NUMBER.match(name)
        fits = found and (found[1], found[3]) == (self.before, self.after)
        return int(found[2]) if found and fits else None


def numbered(path: Path) -> Numbered | None:
    """The numbered pictures that this one belongs to; None where it has no number.

    Raises RequestError where the name cannot be written as a pattern.
    """
    found = _NUMBER.match(path.name)
    if found is None:
        return None
    if "%" in found[1] or "%" in found[3]:
        raise RequestError(f"{path}: the name of numbered pictures cannot have a %: rename them")
    made = Numbered(path.parent, found[1], len(found[2]), found[3], 0)
    numbers = [made.number(name) for name in os.listdir(path.parent)]
    lowest = min((each for each in numbers if each is not None), default=int(found[2]))
    # 9.png, 10.png: the shortest name tells how many digits there are at the least.
    digits = min(
        len(match[2])
        for name in os.listdir(path.parent)
        if (match := _NUMBER.match(name)) and made.number(name) is not None
    )
    return Numbered(made.folder, made.before, digits, made.after, lowest)


def existing(path: str, *, saved: bool, written: str) -> Path:
    """The file at a full path.

    saved: whether the .blend file is saved. written: the path as the .blend file has it. Raises
    RequestError where there is no such file.
    """
    if written.startswith("//") and not saved:
        raise RequestError(f"{written} is relative to a .blend file that is not saved: save it")
    if not written:
        raise RequestError("no file")
    full = Path(os.path.abspath(path))
    if not full.is_file():
        raise RequestError(f"{full}: no such file")
    return full


def pictures(names: list[str], folder: Path, rate: Fraction, used: range) -> Piece:
    """The piece of the pictures `used` of a strip's list of pictures.

    names: of all pictures in their order. rate: pictures a second. Raises RequestError where the
    pictures are not numbered one by one.
    """
    if len(names) == 1:
        return Piece(folder / names[0], pictures=True)
    kind = numbered(folder / names[0])
    numbers = [kind.number(name) for name in names] if kind else []
    first = numbers[0] if numbers else None
    if kind is None or first is None or numbers != list(range(first, first + len(names))):
        raise RequestError(f"{folder}: the pictures are not numbered one by one: rename them")
    shift = first - kind.lowest
    part = strip_time.seconds(range(used.start + shift, used.stop + shift), rate)
    return Piece(kind.pattern, rate=rate, part=part, pictures=True)
