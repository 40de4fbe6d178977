"""A source through libav's filters: whole pictures of fields, no VBI lines, HDR made standard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Self

import av

from mattecast.media.colour import BT709, FULL
from mattecast.media.damage import Damage
from mattecast.media.facts import Facts
from mattecast.media.filter_row import Filter, FilterRow
from mattecast.media.formats import sampling
from mattecast.media.tone import peak, standard, table_file

if TYPE_CHECKING:
    from av.container.core import Chapter

    from mattecast.media.feed import Feed
    from mattecast.media.source import Source

# MPEG IMX (SMPTE ST 356) stores lines of the vertical blanking interval above the picture: the
# stored height by the lines of the picture.
_IMX = {608: 576, 512: 486}
_SHAPES = Fraction(4, 3), Fraction(16, 9)


@dataclass(frozen=True, slots=True)
class Filters:
    """What is done to the pictures of a source.

    fields: how many pictures are made of an interlaced frame, 1 or 2; 0 leaves frames as they are.
    every: whether frames that are not marked interlaced are deinterlaced too. vbi: lines that are
    cut off at the top. tone: whether HDR is made standard.
    """

    fields: int = 0
    every: bool = False
    vbi: int = 0
    tone: bool = False

    @classmethod
    def needed(cls, facts: Facts, deinterlace: str | None, *, sdr: bool) -> Filters:
        """The filters for a source. deinterlace: 'off', 'frame' or 'field'; None for 'frame' where
        the source is marked interlaced. sdr: whether HDR is made standard."""
        asked = deinterlace or ("frame" if facts.interlaced else "off")
        return cls(
            {"off": 0, "frame": 1, "field": 2}[asked], deinterlace is not None, _vbi(facts), sdr
        )

    def __bool__(self) -> bool:
        return bool(self.fields or self.vbi or self.tone)

    def facts(self, facts: Facts) -> Facts:
        """The facts of a source after the filters."""
        height = facts.height - self.vbi
        sar = _imx_sar(facts, height) if self.vbi else facts.sar
        facts = replace(facts, height=height, sar=sar, vbi=self.vbi, fields=self.fields)
        if self.tone:
            facts = replace(facts, colour=standard(facts.colour), tone_mapped=True)
        if self.fields != 2:
            return facts
        timecode = facts.timecode
        if timecode is not None:
            timecode = replace(timecode, frames=timecode.frames * 2, base=timecode.base * 2)
        return replace(
            facts,
            rate=facts.rate * 2,
            time_base=facts.time_base / 2,
            frames=facts.frames * 2,
            timecode=timecode,
        )


class Filtered:
    """A source whose pictures have gone through filters (see media.source.Source)."""

    def __init__(self, source: Source, filters: Filters) -> None:
        self._source, self._filters = source, filters
        self.facts = filters.facts(source.facts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the files; safe to call twice."""
        self._source.close()

    def again(self) -> Filtered:
        """The same source, opened once more."""
        return Filtered(self._source.again(), self._filters)

    @property
    def feed(self) -> Feed | None:
        """See Description."""
        return self._source.feed

    def stop(self) -> None:
        """See Source."""
        self._source.stop()

    @property
    def path(self) -> Path:
        """See Description."""
        return self._source.path

    @property
    def files(self) -> Sequence[Path]:
        """See Description."""
        return self._source.files

    @property
    def damage(self) -> Damage:
        """See Description."""
        return self._source.damage

    @property
    def chapters(self) -> list[Chapter]:
        """See Description."""
        return self._source.chapters

    def frames(
        self,
        start: Fraction | None = None,
        end: Fraction | None = None,
        *,
        passing: int | None = None,
    ) -> Iterator[av.VideoFrame]:
        """See Source.frames.

        A frame more is read on either side of the range, since the motion around a frame decides
        how its missing lines are found.
        """
        step = 1 / self._source.facts.rate
        before = None if start is None else start - step
        after = None if end is None else end + step
        for frame in self._filtered(self._source.frames(before, after, passing=passing)):
            assert frame.pts is not None
            time = frame.pts * self.facts.time_base
            if (start is None or time >= start) and (end is None or time < end):
                yield frame

    def _filtered(self, frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
        graph: _Graph | None = None
        for frame in frames:
            if graph is None or graph.kind != _kind(frame):
                yield from graph.flush() if graph else ()
                graph = _Graph(frame, self._filters, self._source.facts)
            yield from graph.push(frame)
        yield from graph.flush() if graph else ()


class _Graph:
    """The filters for frames of one size, pixel format and colour."""

    def __init__(self, frame: av.VideoFrame, filters: Filters, facts: Facts) -> None:
        self.kind = _kind(frame)
        width, height, pixels, matrix, range = self.kind
        self._time_base, self._halved = facts.time_base, filters.fields == 1
        self._colour = standard(facts.colour) if filters.tone else None
        row: list[Filter] = []
        if filters.vbi:
            size = f"{width}:{height - filters.vbi}:0:{filters.vbi}"
            row.append(("crop", f"{size}:exact=1"))
        if filters.fields:
            mode = "send_field" if filters.fields == 2 else "send_frame"
            which = "all" if filters.every else "interlaced"
            row.append(("bwdif", f"mode={mode}:parity=auto:deint={which}"))
        with ExitStack() as stack:
            if filters.tone:
                path = stack.enter_context(table_file(facts.colour, peak(facts.mastering)))
                row += _tone_mapping(facts, path)
            self._row = FilterRow(
                (width, height),
                pixels,
                matrix=matrix,
                range=range,
                filters=row,
                time_base=facts.time_base,
            )

    def push(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Hand a frame in, None for the end; gives the frames that are ready."""
        yield from map(self._on_own_clock, self._row.push(frame))

    def flush(self) -> Iterator[av.VideoFrame]:
        """The frames that the filters still hold."""
        yield from self.push(None)

    def _on_own_clock(self, frame: av.VideoFrame) -> av.VideoFrame:
        """bwdif counts in halves of the clock's units, since a field may begin between two."""
        if self._halved and frame.pts is not None:
            frame.pts //= 2
            frame.duration //= 2
            frame.time_base = self._time_base
        if self._colour is not None:
            self._colour.tag(frame)
        return frame


def _tone_mapping(facts: Facts, path: str) -> list[Filter]:
    """The filters that take pictures through a .cube table, which is for R'G'B', and back. With 16
    bits they are quickest."""
    exact, colour = "flags=bicubic+accurate_rnd+full_chroma_int", facts.colour
    matrix = "" if colour.is_rgb else f":in_color_matrix={colour.matrix}:in_range={colour.range}"
    row: list[Filter] = [
        ("scale", f"{exact}{matrix}:out_range={FULL}"),
        ("format", "gbrp16le"),
        ("lut3d", {"file": path, "interp": "tetrahedral"}),
    ]
    if not colour.is_rgb:
        row += [
            ("scale", f"{exact}:out_color_matrix={BT709}:out_range={colour.range}"),
            ("format", f"yuv{sampling(facts)}p10le"),
        ]
    return row


def _kind(frame: av.VideoFrame) -> tuple[int, int, str, int, int]:
    matrix, range = int(frame.colorspace), int(frame.color_range)
    return frame.width, frame.height, frame.format.name, matrix, range


def _vbi(facts: Facts) -> int:
    """Lines of the vertical blanking interval above the picture of MPEG IMX."""
    if facts.codec != "mpeg2video" or facts.width != 720 or facts.turn:
        return 0
    return facts.height - _IMX.get(facts.height, facts.height)


def _imx_sar(facts: Facts, lines: int) -> Fraction:
    """The shape of a pixel without the VBI lines: some writers counted them, others did not.

    The picture is 4:3 or 16:9, so of the two shapes that one holds which comes nearer to either.
    """
    counted = facts.sar * Fraction(lines, facts.height)

    def error(sar: Fraction) -> Fraction:
        shown = sar * Fraction(facts.width, lines)
        return min(abs(shown / shape - 1) for shape in _SHAPES)

    return min(facts.sar, counted, key=error)
