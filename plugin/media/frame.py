"""What the stages hand on: a decoded picture with its time, then the picture with its alpha."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from mattecast.filters.pictures.composite import Plane
from mattecast.media.turn import Turn

# Alpha inside a run is an integer of this full scale: clipping and rounding then come free.
ALPHA_MAX = 65535
# Bicubic conversion with these flags carries codes from one depth to another and changes none of
# them. With more than one thread it changes some (seen with FFmpeg 8.1), so it stays on one.
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
# Packed formats: where in a pixel red, green, blue and alpha stand.
_PACKED = {
    "rgb24": (0, 1, 2),
    "rgba": (0, 1, 2, 3),
    "argb": (1, 2, 3, 0),
    "bgra": (2, 1, 0, 3),
    "rgb48be": (0, 1, 2),
    "rgba64be": (0, 1, 2, 3),
    "rgb48le": (0, 1, 2),
    "rgba64le": (0, 1, 2, 3),
}
# The components of those with 16 bits, by how the format's name ends.
_WIDE = {"be": np.dtype(">u2"), "le": np.dtype("<u2")}


@dataclass(frozen=True, slots=True)
class Frame:
    """One upright picture of a clip.

    picture: the decoded frame in the pixel format, matrix and range the output works in.
    guide: (H, W) uint8 or uint16 luma of the same picture, by which edges are refined.
    small: (h, w, 3) uint8 RGB at the network's size.
    pts, duration: in units of the output's time base.
    repeats: how many frames of the output it fills; more than 1 only at a constant rate.
    inside: where the picture lies in a black one, as shares of its sides: top, bottom, left, right;
    None for one that fills it.
    light: (3, H, W) float32 R, G, B of the same picture in linear light; None where the source has
    codes. `picture` holds its codes, up to white.
    """

    picture: av.VideoFrame
    guide: Plane
    small: NDArray[np.uint8]
    pts: int
    duration: int
    repeats: int = 1
    inside: tuple[float, float, float, float] | None = None
    light: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Estimated:
    """A frame and the network's matte of it, at the network's size.

    alpha: (h, w) float32 in [0, 1]. first: whether a new shot begins here.
    """

    frame: Frame
    alpha: NDArray[np.float32]
    first: bool = False


@dataclass(frozen=True, slots=True)
class Matted:
    """A frame and the alpha that belongs to it.

    alpha16: (H, W) uint16, straight coverage, 0 = background, 65535 = person.
    alpha_small: (h, w) float32 in [0, 1], the network's own matte of `frame.small`.
    """

    frame: Frame
    alpha16: NDArray[np.uint16]
    alpha_small: NDArray[np.float32]

    @property
    def pts(self) -> int:
        """Presentation time in units of the output's time base."""
        return self.frame.pts

    @property
    def alpha(self) -> NDArray[np.float32]:
        """(H, W) float32 in [0, 1]."""
        return self.alpha16.astype(np.float32) / np.float32(ALPHA_MAX)

    @property
    def foreground(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB, straight: true colours under soft alpha unless asked otherwise."""
        return self.frame.picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def components(picture: av.VideoFrame) -> list[Plane]:
    """Writable views of a picture's components, colours first, alpha last, each (h, w).

    Formats are the planar ones of up to 16 bits in native order, and the packed RGB ones that are
    written. Raises ValueError for others.
    """
    name = picture.format.name
    if name in _PACKED:
        kind: np.dtype[Any] = _WIDE.get(name[-2:], np.dtype("u1"))
        pixel = len(_PACKED[name])
        rows = _rows(picture, 0, kind)[:, : picture.width * pixel]
        packed = rows.reshape(picture.height, picture.width, pixel)
        return [packed[:, :, place] for place in _PACKED[name]]
    parts = picture.format.components
    if len({part.plane for part in parts}) != len(parts) or name.endswith("be"):
        raise ValueError(f"{name} keeps several components in one plane")
    views = []
    for part in parts:
        kind = np.dtype("u1" if part.bits <= 8 else "u2")
        views.append(_rows(picture, part.plane, kind)[: part.height, : part.width])
    return views


def pixels(picture: av.VideoFrame) -> NDArray[np.uint32] | None:
    """(h, w) view of a packed picture with alpha, each pixel one number; None for other formats.

    Filling pixels is six times quicker than filling four components.
    """
    name = picture.format.name
    if len(_PACKED.get(name, ())) != 4 or name[-2:] in _WIDE:
        return None
    return _rows(picture, 0, np.dtype(np.uint32))[:, : picture.width].view(np.uint32)


def _rows(picture: av.VideoFrame, index: int, kind: np.dtype[Any]) -> Plane:
    plane = picture.planes[index]
    rows: Plane = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)
    return rows


def upright(picture: av.VideoFrame, turn: Turn) -> av.VideoFrame:
    """The picture mirrored and turned, in a new frame where there is anything to do.

    Planar components must be subsampled alike in both directions for a quarter turn.
    """
    if not turn:
        return picture
    turned = av.VideoFrame(*turn.size(picture.width, picture.height), picture.format.name)
    turned.color_range, turned.colorspace = picture.color_range, picture.colorspace
    turned.color_primaries, turned.color_trc = picture.color_primaries, picture.color_trc
    take_times(turned, picture)
    for source, target in zip(components(picture), components(turned), strict=True):
        target[:] = turn.upright(source)
    return turned


def take_times(picture: av.VideoFrame, source: av.VideoFrame) -> None:
    """Give a picture the pts, time base and duration of the one that it was made from."""
    picture.pts, picture.time_base, picture.duration = source.pts, source.time_base, source.duration


def same_planes(picture: av.VideoFrame, size: tuple[int, int], name: str) -> av.VideoFrame | None:
    """Planar RGB of more than eight bits in a format that differs in alpha alone; None for others.

    libswscale of FFmpeg 8.1 loses half of the last row here.
    """
    if (picture.width, picture.height) != size or picture.format.name == name:
        return None
    ours, theirs = (each.replace("gbrap", "gbrp") for each in (picture.format.name, name))
    if ours != theirs or not name.startswith("gbr") or picture.format.components[0].bits <= 8:
        return None
    copy = av.VideoFrame(*size, name)
    for source, target in zip(components(picture)[:3], components(copy), strict=False):
        target[:] = source
    return copy


def bare(picture: av.VideoFrame) -> av.VideoFrame:
    """A copy of a picture without side data, such as an ICC profile, which encoders would write."""
    copy = av.VideoFrame(picture.width, picture.height, picture.format.name)
    for source, target in zip(components(picture), components(copy), strict=True):
        target[:] = source
    return copy


def flip_vertically(picture: av.VideoFrame) -> av.VideoFrame:
    """Mirror a picture top to bottom, in place and in any pixel format; gives the picture."""
    picture.make_writable()
    for index in range(len(picture.planes)):
        rows = _rows(picture, index, np.dtype("u1"))  # a palette is one row
        rows[:] = rows[::-1].copy()
    return picture
