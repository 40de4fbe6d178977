"""What a composite shows behind the person: a colour, a picture, a looping video, or a blur."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Protocol, TypeAlias

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from mattecast.errors import UsageError
from mattecast.filters.pictures.composite import Plane, at_chroma_size
from mattecast.filters.pictures.light import bokeh_background, gaussian_background
from mattecast.media.clip import Clip
from mattecast.media.colour import Colour
from mattecast.media.facts import Facts
from mattecast.media.filter_row import FilterRow
from mattecast.media.frame import components, upright
from mattecast.media.photograph import open_file
from mattecast.media.pictures import SUFFIXES
from mattecast.media.turn import Turn
from mattecast.plan import Plan

_NAMED = {
    "green": "#00b140",
    "blue": "#0047bb",
    "black": "#000000",
    "white": "#ffffff",
    "gray": "#808080",
    "red": "#ff0000",
}


class Background(Protocol):
    """Gives the component planes behind a frame, or the one code of each flat component."""

    def planes(self, picture: av.VideoFrame, time: Fraction) -> list[Plane] | list[int]:
        """picture: the frame that lies over them. time: seconds since the run's first frame."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


def background(named: str, plan: Plan) -> Background | Blur:
    """The background that `--background` names. Raises UsageError for an unknown one."""
    if named in _NAMED or named.startswith("#"):
        return Flat(named, plan)
    if named == "blur" or named.startswith("blur:"):
        return Blur(named)
    if named == "bokeh" or named.startswith("bokeh:"):
        return Bokeh(named)
    path = Path(named)
    if not path.exists():
        raise UsageError(
            f"background '{named}': no such file; colours are {', '.join(_NAMED)} or #rrggbb, "
            "and 'blur[:STRENGTH]' or 'bokeh[:STRENGTH]' blurs the picture itself"
        )
    return Still(path, plan) if path.suffix.lower() in SUFFIXES else Video(path, plan)


class Flat:
    """One colour, given as sRGB, in the output's own matrix and range."""

    def __init__(self, named: str, plan: Plan) -> None:
        code = _NAMED.get(named, named).removeprefix("#")
        try:
            rgb = bytes.fromhex(code if len(code) != 3 else "".join(c + c for c in code))
        except ValueError:
            rgb = b""
        if len(rgb) != 3:
            raise UsageError(f"background '{named}': expected #rrggbb")
        patch = av.VideoFrame.from_ndarray(np.full((16, 16, 3), list(rgb), np.uint8), "rgb24")
        converted = Fitting(plan).converted(patch, (16, 16), plan.working_pixels)
        self._codes = [int(plane[0, 0]) for plane in components(converted)]

    def planes(self, picture: av.VideoFrame, time: Fraction) -> list[int]:
        """See Background."""
        return self._codes

    def close(self) -> None:
        """Nothing to release."""


class Still:
    """A picture, enlarged to cover the frame and cut at its middle."""

    def __init__(self, path: Path, plan: Plan) -> None:
        with open_file(path) as clip:
            frame = next(clip.frames())
            self._planes = components(Fitting(plan)(frame, clip.facts))

    def planes(self, picture: av.VideoFrame, time: Fraction) -> list[Plane]:
        """See Background."""
        return self._planes

    def close(self) -> None:
        """Nothing to release."""


class Video:
    """A clip at its own rate. It begins again whenever it ends."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path, self._fitted = path, Fitting(plan)
        self._frames = self._loop()
        self._time, self._planes = next(self._frames)
        self._next = next(self._frames)

    def planes(self, picture: av.VideoFrame, time: Fraction) -> list[Plane]:
        """See Background."""
        while self._next[0] <= time:
            self._time, self._planes = self._next
            self._next = next(self._frames)
        return self._planes

    def _loop(self) -> Generator[tuple[Fraction, list[Plane]], None, None]:
        lap_start = Fraction(0)
        while True:
            with Clip(self._path) as clip:
                facts, end = clip.facts, lap_start
                for frame in clip.frames():
                    assert frame.pts is not None
                    time = lap_start + frame.pts * facts.time_base - facts.start
                    yield time, components(self._fitted(frame, facts))
                    end = time + 1 / facts.rate
            lap_start = end

    def close(self) -> None:
        """Close the file."""
        self._frames.close()


class Blur:
    """The picture itself, out of focus and without the person.

    The strength is the blur's sigma in percent of the height.
    """

    def __init__(self, named: str) -> None:
        try:
            self.strength = float(named.partition(":")[2] or 2.0)
        except ValueError:
            self.strength = -1.0
        if not 0 < self.strength <= 20:
            raise UsageError(f"background '{named}': blur strength goes from 0.1 to 20 (percent)")

    def around(self, picture: av.VideoFrame, alpha16: NDArray[np.uint16]) -> list[Plane]:
        """The planes behind a person of the given alpha, (H, W) uint16."""
        return [
            self._soft(plane, at_chroma_size(alpha16, plane.shape))
            for plane in components(picture)[:3]
        ]

    def _soft(self, plane: Plane, alpha16: NDArray[np.uint16]) -> Plane:
        return gaussian_background(plane, alpha16, self.strength / 100 * plane.shape[0])

    def close(self) -> None:
        """Nothing to release."""


class Bokeh(Blur):
    """The picture behind a wide lens: highlights become discs. The strength is their radius."""

    def _soft(self, plane: Plane, alpha16: NDArray[np.uint16]) -> Plane:
        return bokeh_background(plane, alpha16, self.strength / 100 * plane.shape[0])


class Fitting:
    """Brings pictures of any kind to the size, pixel format and colours of a plan's output."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        # The conversion is kept: its tables take a hundred times as long as a picture.
        self._light: _Light | None = None

    def __call__(self, frame: av.VideoFrame, facts: Facts) -> av.VideoFrame:
        """The picture, scaled until it covers the output and cut to it.

        Both pictures keep the shape that they are displayed in.
        """
        plan = self._plan
        width, height = plan.size
        wide, high = facts.width * facts.sar / plan.sar, facts.height
        scale = max(width / wide, Fraction(height, high))
        # Even offsets keep subsampled planes aligned with the luma they belong to.
        size = (max(width, round(wide * scale)), max(height, round(high * scale)))
        whole = self._upright(frame, size, facts.turn)
        cut = av.VideoFrame(width, height, plan.working_pixels)
        left, top = (size[0] - width) // 4 * 2, (size[1] - height) // 4 * 2
        for source, target in zip(components(whole), components(cut), strict=True):
            part = _cut(source.shape, target.shape, (top, left), size)
            target[:] = source[part]
        return cut

    def _upright(self, frame: av.VideoFrame, size: tuple[int, int], turn: Turn) -> av.VideoFrame:
        pixels = self._plan.working_pixels
        if not turn:
            return self.converted(frame, size, pixels)
        # Chroma that is subsampled in one direction only cannot be turned, so 4:4:4 is turned.
        whole = pixels.replace("420", "444").replace("422", "444")
        return upright(self.converted(frame, turn.size(*size), whole), turn).reformat(format=pixels)

    def converted(self, frame: av.VideoFrame, size: tuple[int, int], pixels: str) -> av.VideoFrame:
        """A picture at (width, height) in a pixel format, in the output's colours."""
        source, target = Colour.of(frame), self._plan.colour
        if not source.differs_visibly(target):
            return frame.reformat(
                *size,
                format=pixels,
                interpolation=Interpolation.BICUBIC,
                src_colorspace=source.swscale_matrix,
                src_color_range=source.range,
                dst_colorspace=target.swscale_matrix,
                dst_color_range=target.range,
            )
        kind = frame.width, frame.height, frame.format.name, source, size, pixels
        if self._light is None or self._light.kind != kind:
            self._light = _Light(kind, target)
        return self._light(frame)


# Width, height, pixel format and colour of a picture; the size and the pixel format wanted of it.
_Kind: TypeAlias = tuple[int, int, str, Colour, tuple[int, int], str]


class _Light:
    """Converts pictures of one kind to the primaries and the transfer of an output.

    libswscale does the work, by way of FFmpeg's filter. It maps diffuse white to 203 cd/m2, as
    BT.2408 says.
    """

    def __init__(self, kind: _Kind, target: Colour) -> None:
        width, height, pixels, source, size, wanted = self.kind = kind
        # Codes of standard pictures are shown alike, whatever curve they are tagged with.
        transfer = source.transfer if source.differs_in_range(target) else target.transfer
        scale = (
            f"{size[0]}:{size[1]}:flags=bicubic+accurate_rnd+full_chroma_int"
            f":in_color_matrix={source.matrix}:in_range={source.range}"
            f":in_primaries={source.primaries}:in_transfer={transfer}"
            f":out_color_matrix={target.matrix}:out_range={target.range}"
            f":out_primaries={target.primaries}:out_transfer={target.transfer}"
        )
        self._row = FilterRow(
            (width, height),
            pixels,
            matrix=source.matrix,
            range=source.range,
            filters=(("scale", scale), ("format", wanted)),
        )

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A picture of the kind."""
        self.kind[3].tag(frame)  # or it were not what the filters were told
        return next(self._row.push(frame))


def _cut(
    source: tuple[int, ...],
    target: tuple[int, ...],
    offset: tuple[int, int],
    size: tuple[int, int],
) -> tuple[slice, slice]:
    """The rows and columns of a component plane of `source` shape that land on `target`."""
    top = min(offset[0] * source[0] // size[1], source[0] - target[0])
    left = min(offset[1] * source[1] // size[0], source[1] - target[1])
    return slice(top, top + target[0]), slice(left, left + target[1])
