"""Pictures of 256 colours, as GIF holds them."""

from __future__ import annotations

from fractions import Fraction

import av
import av.filter

# Alpha is all or nothing: from this code on (of 255) a pixel is there.
_THRESHOLD = 128


class Palette:
    """Gives each picture 256 colours of its own; FFmpeg's palettegen and paletteuse do the work.

    size: (width, height) of the pictures, which are bgra.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._graph = graph = av.filter.Graph()
        self._first = graph.add(
            "buffer", f"video_size={size[0]}x{size[1]}:pix_fmt=bgra:time_base=1/1"
        )
        split = graph.add("split")
        colours = graph.add("palettegen", "stats_mode=single:reserve_transparent=1")
        # Sierra's weights scatter the rounding finely; ordered patterns show on skin.
        use = graph.add("paletteuse", f"new=1:dither=sierra2_4a:alpha_threshold={_THRESHOLD}")
        self._last = graph.add("buffersink")
        self._first.link_to(split)
        split.link_to(colours, 0, 0)
        split.link_to(use, 1, 0)
        colours.link_to(use, 0, 1)
        use.link_to(self._last)
        graph.configure()
        self._count = 0

    def __call__(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture with a palette (pal8)."""
        own = picture.pts, picture.time_base
        # The filters pair pictures and palettes by their times.
        picture.pts, picture.time_base = self._count, Fraction(1)
        self._count += 1
        self._first.push(picture)
        made = self._last.pull()
        assert isinstance(made, av.VideoFrame)
        made.pts, made.time_base = own
        return made
