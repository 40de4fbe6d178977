"""A row of libav's filters: pictures go in at one end and come out at the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TypeAlias

import av
import av.error

# A filter's name, and its options as libavfilter's text or by name.
Filter: TypeAlias = tuple[str, str | Mapping[str, str]]


class FilterRow:
    """Filters for pictures of one size, pixel format, matrix and range."""

    def __init__(
        self,
        size: tuple[int, int],
        pixels: str,
        *,
        matrix: int,
        range: int,
        filters: Sequence[Filter],
        time_base: Fraction = Fraction(1),
    ) -> None:
        """size: (width, height) of the pictures that go in. matrix, range: codes of ITU-T H.273."""
        graph = av.filter.Graph()
        source = (
            f"video_size={size[0]}x{size[1]}:pix_fmt={pixels}:time_base={time_base}"
            f":colorspace={matrix}:range={range}"
        )
        row = [
            graph.add(name, options) if isinstance(options, str) else graph.add(name, **options)
            for name, options in (("buffer", source), *filters, ("buffersink", ""))
        ]
        for one, other in pairwise(row):
            one.link_to(other)
        graph.configure()
        # The graph is kept too, since its filters do not keep it.
        self._graph, self._first, self._last = graph, row[0], row[-1]

    def push(self, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        """Hand a picture in, None for the end; gives the pictures that are ready."""
        self._first.push(frame)
        while True:
            try:
                filtered = self._last.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(filtered, av.VideoFrame)
            yield filtered
