"""HDR clips as standard ones: how bright a clip is, and the table that tone-maps it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.tone import WHITE, table
from mattecast.media.colour import BT709, PQ, Colour
from mattecast.media.mastering import Mastering

# The brightest light of a PQ clip that does not tell (cd/m2): what most are mastered for.
USUAL_PEAK = 1000
# Values on each side of the table. In between, libav's lut3d interpolates: on random codes near
# gray the mean error is 0.5 of 255 in PQ and 0.2 in HLG.
_SIZE = 49


def standard(colour: Colour) -> Colour:
    """The tags of tone-mapped pictures: BT.709, in the range that they had."""
    return Colour(colour.range, 0 if colour.is_rgb else BT709, BT709, BT709)


def peak(mastering: Mastering | None) -> int:
    """The brightest light of a PQ clip in cd/m2, from what it says of its mastering.

    The content's own level counts, else that of the screen it was mastered on, else USUAL_PEAK.
    """
    if mastering is None:
        return USUAL_PEAK
    most = mastering.screen[-1] if mastering.screen else 0
    content = mastering.light[0] if mastering.light else 0
    return int(min(max(content or most, WHITE), 10000)) if content or most else USUAL_PEAK


def standard_range(
    colour: Colour, mastering: Mastering | None
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """What makes (h, w, 3) uint8 R'G'B' of a clip pictures of BT.709; HDR ones are tone-mapped.

    It is for networks, which do not mind that codes are rounded to 6 bits.
    """
    if not colour.is_hdr:
        return lambda picture: picture
    codes = table(_name(colour), peak(mastering), 64).reshape(-1, 3)
    bytes = (codes * 255).round().astype(np.uint8)

    def mapped(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        red, green, blue = np.moveaxis(picture.astype(np.int32) >> 2, -1, 0)
        return np.asarray(bytes[red << 12 | green << 6 | blue])

    return mapped


@contextmanager
def table_file(colour: Colour, peak: int) -> Iterator[str]:
    """The path of a .cube file that takes full-range R'G'B' of BT.2020 to BT.709, for lut3d."""
    with tempfile.TemporaryDirectory(prefix="mattecast-") as folder:
        path = Path(folder) / "tone.cube"
        path.write_text(_cube(_name(colour), peak), encoding="ascii")
        yield str(path)


def _name(colour: Colour) -> str:
    return "pq" if colour.transfer == PQ else "hlg"


@lru_cache(maxsize=2)
def _cube(transfer: str, peak: int) -> str:
    """The text of the file, in which red changes first. Every shot asks for it anew."""
    rows = table(transfer, peak, _SIZE).transpose(2, 1, 0, 3).reshape(-1, 3).round(6).tolist()
    lines = (f"{red} {green} {blue}" for red, green, blue in rows)
    return "\n".join([f"LUT_3D_SIZE {_SIZE}", *lines])
