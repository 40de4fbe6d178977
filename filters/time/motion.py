"""Motion cues: what was there a moment ago and will be in a moment, as four gray pictures.

"Deep Residual Network for High-Resolution Background Matting" (El Abdellaoui and Kachbal, Studies
in Informatics and Control 30(3), 2021) concatenates four gray frames from t-2 to t+2, as does
Background Matting (Sengupta et al., CVPR 2020, arXiv 2004.00626). It is read as t-2, t-1, t+1 and
t+2: the present frame goes in by itself, in colour. Live, nothing is known of what comes, and the
four frames before serve, t-4 to t-1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

CENTRED, CAUSAL = (-2, -1, 1, 2), (-4, -3, -2, -1)


def cues(pictures: Iterable[Bytes], offsets: tuple[int, ...] = CENTRED) -> Iterator[Bytes]:
    """For each picture (H, W, 3) uint8 RGB, its (H, W, 4) uint8 gray neighbours.

    offsets: which neighbours, in frames. Before the first and after the last frame, those stand
    in for what is missing. Nothing is held but the frames that are still needed.
    """
    back, ahead = -min(offsets), max(0, max(offsets))
    held: deque[Bytes] = deque(maxlen=back + ahead + 1)
    for picture in pictures:
        gray = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        held.extend([gray] * (1 if held else back + 1))  # the first stands for all before it
        if len(held) == held.maxlen:
            yield _at(held, back, offsets)
    for _ in range(ahead if held else 0):
        held.append(held[-1])  # and the last for all after it
        if len(held) == held.maxlen:
            yield _at(held, back, offsets)


def _at(held: deque[Bytes], back: int, offsets: tuple[int, ...]) -> Bytes:
    return np.dstack([held[back + offset] for offset in offsets])
