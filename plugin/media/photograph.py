"""Picture files that libav does not read whole: HEIF, tiled AVIF, and moving WebP.

HEIF (ISO/IEC 23008-12) keeps a photograph as a grid of small pictures, of which libav gives the
first. pi-heif and Pillow read these files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import av
import numpy as np
from numpy.typing import NDArray

from mattecast.errors import MediaError
from mattecast.media.clip import Clip, check_size
from mattecast.media.colour import Colour
from mattecast.media.damage import Damage
from mattecast.media.facts import Facts
from mattecast.media.grid import standard_rate
from mattecast.media.profile import Profile
from mattecast.media.turn import Turn

if TYPE_CHECKING:
    from av.container.core import Chapter

# Brands of files with one HEVC picture, at the beginning of an ISO base media file.
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"mif1"}
# What the libraries raise for files that they cannot read.
_UNREADABLE = (OSError, ValueError, EOFError, RuntimeError, SyntaxError)
_MILLISECOND = Fraction(1, 1000)
_HEAD = 1 << 16  # bytes that hold what stands in front of the pictures


def kind_of(path: Path) -> str | None:
    """'HEIF', 'AVIF' or 'WebP' for a file that this module reads; None for the others."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None  # opening it as a clip reports why
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and head[20] & 2:
        return "WebP"
    if head[4:8] != b"ftyp":
        return None
    brands = head[8 : int.from_bytes(head[:4])]
    if b"avif" in brands:
        return "AVIF" if b"grid" in head[len(brands) :] else None
    return "HEIF" if brands[:4] in _HEIF else None


def open_file(path: Path, **choices: Any) -> Clip | Photograph:
    """Open one file, whatever reads it. choices: of Clip. Raises MediaError as Clip does."""
    kind = kind_of(path) if os.path.isfile(path) else None
    return Photograph(path, kind) if kind else Clip(path, **choices)


class Photograph:
    """A picture file as a source, see media.source.Source. kind: as kind_of gives it.

    Raises MediaError where the file cannot be read, or what reads it is not installed.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path, self._kind = path, kind
        # What is missing of a photograph is left black.
        self.damage = Damage(ended_early=kind != "WebP" and _is_cut_off(path))
        self.chapters: list[Chapter] = []
        self.files = [path]
        self._image = _opened(path, kind)
        check_size(path, *self._image.size)
        self._durations = _durations(self._image)
        self._depth = int(self._image.info.get("bit_depth", 8))
        self.facts = self._read_facts(self._frame(0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the file; safe to call twice."""
        if hasattr(self._image, "close"):  # pi-heif's are in memory
            self._image.close()

    feed = None

    def stop(self) -> None:
        """See Source. A file makes nobody wait."""

    def again(self) -> Photograph:
        """See Source.again."""
        return Photograph(self.path, self._kind)

    def frames(
        self,
        start: Fraction | None = None,
        end: Fraction | None = None,
        *,
        passing: int | None = None,
    ) -> Iterator[av.VideoFrame]:
        """See Source.frames."""
        base, now = self.facts.time_base, 0
        for number, milliseconds in enumerate(self._durations):
            duration = milliseconds if self.facts.variable_rate else 1
            if end is not None and now * base >= end:
                return
            if start is None or now * base >= start:
                frame = self._frame(number)
                frame.pts, frame.time_base, frame.duration = now, base, duration
                yield frame
            now += duration

    def _frame(self, number: int) -> av.VideoFrame:
        try:
            if len(self._durations) > 1:
                self._image.seek(number)
            pixels = np.asarray(self._image)
        except _UNREADABLE as error:
            raise MediaError(
                f"{self.path}: picture {number + 1} cannot be decoded ({error})"
            ) from error
        pixels = _whole_range(pixels, self._depth)
        deep = "48le" if pixels.dtype == np.uint16 else "24"
        name = f"rgba{'64le' if deep != '24' else ''}" if pixels.shape[2] == 4 else f"rgb{deep}"
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=name)
        described = self._image.info.get("nclx_profile") or {}
        frame.color_primaries = int(described.get("color_primaries", 2))
        frame.color_trc = int(described.get("transfer_characteristics", 2))
        return frame

    def _read_facts(self, first: av.VideoFrame) -> Facts:
        count, seconds = len(self._durations), sum(self._durations) * _MILLISECOND
        constant = _constant_rate(self._durations)
        data = self._image.info.get("icc_profile")
        return Facts(
            path=self.path,
            container=self._kind,
            codec=self._kind.lower(),
            pixel_format=first.format.name,
            bits=self._depth,
            width=first.width,
            height=first.height,
            sar=Fraction(1),
            turn=Turn(),
            interlaced=False,
            rate=constant or count / seconds,
            variable_rate=constant is None,
            time_base=1 / constant if constant else _MILLISECOND,
            start=Fraction(0),
            duration=count / constant if constant else seconds,
            frames=count,
            colour=Colour.of(first, still=True, profile=Profile(data) if data else None),
            has_alpha=any(part.is_alpha for part in first.format.components),
            timecode=None,
            audio=(),
            others=(),
            chapters=0,
            still=True,
        )


def _opened(path: Path, kind: str) -> Any:
    """The file as pi-heif's or Pillow's image."""
    try:
        if kind == "HEIF":
            import pi_heif

            # It comes upright, and in 16 bits where the file has more than eight.
            return pi_heif.open_heif(path, convert_hdr_to_8bit=False)
        from PIL import Image

        return Image.open(path)
    except ImportError as error:
        raise MediaError(f"{path}: {kind} needs pi-heif: pip install pi-heif") from error
    except _UNREADABLE as error:
        raise MediaError(f"{path}: cannot be read as {kind} ({error}); is it damaged?") from error


def _is_cut_off(path: Path) -> bool:
    """Whether the last box of an ISO base media file reaches beyond the file."""
    place, size = 0, path.stat().st_size
    with open(path, "rb") as file:
        while place < size:
            file.seek(place)
            head = file.read(16)
            length = int.from_bytes(head[:4])
            # 1: the length stands behind the name; 0: the box reaches to the end of the file.
            place += int.from_bytes(head[8:]) if length == 1 else length or size
    return place > size


def _durations(image: Any) -> list[int]:
    """How long each picture is shown, in milliseconds."""
    count = getattr(image, "n_frames", 1)
    if count == 1:
        return [40]
    durations = []
    for number in range(count):
        image.seek(number)
        image.load()
        # Browsers show pictures without a duration for 100 ms.
        durations.append(int(image.info.get("duration", 0)) or 100)
    return durations


def _constant_rate(durations: list[int]) -> Fraction | None:
    """The rate in use of which all times are roundings, frames a second; None for none."""
    times = [0, *accumulate(durations)]
    mean = Fraction(1000 * len(durations), times[-1])
    nearest = standard_rate(mean)
    fits = all(abs(time - 1000 * n / nearest) <= 1 for n, time in enumerate(times))
    return nearest if fits else None


def _whole_range(pixels: NDArray[Any], depth: int) -> NDArray[Any]:
    """(H, W, 3 or 4) uint8 or uint16 of the whole range, from pi-heif's codes, which stand in the
    upper bits and are gray in two dimensions."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    if pixels.dtype != np.uint16:
        return pixels
    codes = (pixels >> (16 - depth)).astype(np.uint32)
    return (codes * 65535 // ((1 << depth) - 1)).astype(np.uint16)
