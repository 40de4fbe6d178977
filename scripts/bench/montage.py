#!/usr/bin/env python3
"""Lay frames of a clip out for looking: picture | alpha | over green (| another matte).

The alpha is the clip's own (a .mov of ours), or comes from a matte beside it, frame for frame.

  montage.py talk.mov -o talk.png                                  # an output of ours
  montage.py talk.mp4 --matte talk.matte.mkv -o talk.png           # a source and a gray matte
  montage.py talk.mov --beside talk.rvm.mkv -n 8 --width 480 -o talk.png
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
from evaluate import alpha

Picture = npt.NDArray[np.uint8]
GREEN = np.array([0, 177, 64], np.float32)  # chroma-key green, which no skin or cloth wears


def main() -> int:
    arguments = parse()
    places = spread(arguments.clip, arguments.n)
    tracks = [list(frames(arguments.clip, places))]
    for path in (arguments.matte or arguments.clip, arguments.beside):
        tracks += [list(frames(path, places))] if path else []
    rows = [row(*cells, width=arguments.width) for cells in zip(*tracks, strict=True)]
    if not cv2.imwrite(str(arguments.output), np.vstack(rows)[..., ::-1]):
        raise SystemExit(
            f"{arguments.output}: cannot be written; name a .png in a folder that exists"
        )
    return 0


def parse() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    add = parser.add_argument
    add("clip", type=Path, metavar="CLIP")
    add("--matte", type=Path, help="take the alpha from this clip instead")
    add("--beside", type=Path, help="a matte to show in a fourth column")
    add("-n", type=int, default=6, help="number of frames (default: %(default)s)")
    add("--width", type=int, default=320, help="width of a cell in pixels (default: %(default)s)")
    add("-o", "--output", type=Path, required=True, metavar="PNG")
    return parser.parse_args()


def spread(clip: Path, count: int) -> list[int]:
    """Evenly spaced frame numbers, from the middles of equal parts of the clip."""
    with av.open(clip) as container:
        total = sum(packet.size > 0 for packet in container.demux(video=0))
    return sorted({(2 * step + 1) * total // (2 * count) for step in range(count)})


def frames(path: Path, places: list[int]) -> Iterator[av.VideoFrame]:
    """The frames of a clip at some places, in order; needs every frame before them decoded."""
    with av.open(path) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in places:
                yield frame


def row(clip: av.VideoFrame, matte: av.VideoFrame, *beside: av.VideoFrame, width: int) -> Picture:
    """Cells of one frame side by side, `(h, w, 3) uint8` RGB."""
    picture, coverage = clip.to_ndarray(format="rgb24"), alpha(matte)[..., None]
    share = coverage.astype(np.float32) / 255
    over = np.round(picture * share + GREEN * (1 - share)).astype(np.uint8)
    others = [gray(alpha(each)[..., None]) for each in beside]
    cells = [picture, gray(coverage), over, *others]
    size = width, round(width * clip.height / clip.width)
    return np.hstack([cv2.resize(cell, size, interpolation=cv2.INTER_AREA) for cell in cells])


def gray(coverage: Picture) -> Picture:
    return coverage.repeat(3, axis=2)


if __name__ == "__main__":
    raise SystemExit(main())
