"""Where one shot ends and the next begins, from small pictures and a few frames ahead.

Content detection in hue, saturation, value and edges against an adaptive threshold, as
PySceneDetect's adaptive detector does it (Castellano, 2014-2026), with one addition: a picture
that returns to what was there before is a flash, not a cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

# Pictures after the one asked about that are looked at: a flash is over within them.
AHEAD = 3
# Mean change (8-bit levels) below which nothing is a cut, and how many times the usual change
# around it a cut must be.
LEAST = 10.0
TIMES = 2.0
# Correlation of luma above which two pictures show one scene.
ALIKE = 0.85
# Of a change, how little a later picture may differ from the one before for it to be a return.
RETURNED = 0.6
# Side of the squares compared, in parts of the picture's long side: small movement vanishes.
_ACROSS = 96
# A picture this even (standard deviation in 8-bit levels) shows nothing: black between shots.
EMPTY = 4.0


@dataclass(slots=True)
class CutDetector:
    """Tells for each picture whether it starts a new shot. Use from one thread, in order."""

    _before: deque[Bytes] = field(default_factory=lambda: deque(maxlen=AHEAD))
    _changes: deque[float] = field(default_factory=lambda: deque(maxlen=8))

    def push(self, picture: Bytes, following: Sequence[Bytes]) -> bool:
        """Whether `picture` is the first of a shot, the very first of all included.

        picture: (h, w, 3) uint8 RGB. following: up to AHEAD pictures after it; with none at hand a
        flash counts as a cut.
        """
        now = _features(picture)
        if not self._before:
            self._before.append(now)
            return True
        change = difference(self._before[-1], now)
        if _empty(now) or _empty(self._before[-1]):
            # The black between two shots belongs to neither: a shot begins with its picture,
            # however slowly that comes up.
            cut = not _empty(now)
        else:
            cut = change >= LEAST and self._is_cut(now, change, following)
        self._changes.append(change)
        if cut:
            self._changes.clear()
            self._before.clear()
        self._before.append(now)
        return cut

    def _is_cut(self, now: Bytes, change: float, following: Sequence[Bytes]) -> bool:
        ahead = [_features(each) for each in following[:AHEAD]]
        after = [difference(*pair) for pair in zip([now, *ahead], ahead, strict=False)]
        usual = [float(np.median(each)) for each in (self._changes, after) if len(each)]
        if change < TIMES * max(usual, default=0.0):
            return False  # everything here changes as much: fast movement, or a fade
        if _likeness(self._before[-1], now) > ALIKE:
            return False  # the same scene in another light
        returns = [difference(self._before[-1], each) for each in ahead]
        returns += [difference(each, now) for each in list(self._before)[:-1]]
        return min(returns, default=change) > change * RETURNED


def difference(one: Bytes, other: Bytes) -> float:
    """Mean change of two feature pictures, in 8-bit levels."""
    return float(np.mean(cv2.mean(cv2.absdiff(one, other))))


def _features(picture: Bytes) -> Bytes:
    """(h, w, 4) uint8: hue weighted by saturation (as two chroma channels), value, edges."""
    scale = min(1.0, _ACROSS / max(picture.shape[:2]))
    size = (max(8, round(picture.shape[1] * scale)), max(8, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    luma, red, blue = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb))
    edges = cv2.convertScaleAbs(cv2.Laplacian(luma, cv2.CV_16S, ksize=1))
    # Chroma spans less than luma in real pictures: doubled, all four weigh about alike.
    red, blue = (cv2.convertScaleAbs(each.astype(np.int16) - 128, alpha=2) for each in (red, blue))
    return np.dstack([luma, red, blue, edges])


def _likeness(one: Bytes, other: Bytes) -> float:
    """Correlation of two pictures' luma, -1 to 1: blind to gain and offset."""
    first, second = (np.ascontiguousarray(each[..., 0]) for each in (one, other))
    return float(cv2.matchTemplate(first, second, cv2.TM_CCOEFF_NORMED)[0, 0])


def _empty(features: Bytes) -> bool:
    return bool(features[..., 0].std() < EMPTY)
