"""Detection of cuts, from small pictures and a few frames ahead.

Method: changes of colour, brightness and edges against an adaptive threshold, as in PySceneDetect's
adaptive detector (Castellano, 2014-2026), with one addition: a change after which the old picture
returns is a flash, not a cut.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

# Pictures after the one in question that are compared: a flash is shorter than these.
AHEAD = 3
# Mean change (8-bit levels) below which nothing is a cut, and how many times larger than the usual
# change around it the change of a cut is.
MIN_CHANGE = 10.0
MIN_RATIO = 2.0
# Correlation of luma above which two pictures show the same scene.
SAME_SCENE = 0.85
# A change is a flash where a later picture differs from the one before by less than this share of
# the change.
RETURN_SHARE = 0.6
# Long side of the pictures that are compared, in pixels: small movements vanish at this size.
_LONG_SIDE = 96
# Standard deviation of luma (8-bit levels) below which a picture shows nothing, as between shots.
EMPTY = 4.0


@dataclass(slots=True)
class CutDetector:
    """Decides for each picture of a clip, in order, whether it begins a shot; for one thread."""

    _before: deque[Bytes] = field(default_factory=lambda: deque(maxlen=AHEAD))
    _changes: deque[float] = field(default_factory=lambda: deque(maxlen=8))

    def push(self, picture: Bytes, following: Sequence[Bytes]) -> bool:
        """Whether `picture` is the first of a shot; the clip's first picture is.

        picture: (h, w, 3) uint8 RGB. following: up to AHEAD pictures after it; without any, a flash
        counts as a cut.
        """
        now = _features(picture)
        if not self._before:
            self._before.append(now)
            return True
        change = difference(self._before[-1], now)
        if _empty(now) or _empty(self._before[-1]):
            # Black between two shots belongs to neither: a shot begins with its first picture that
            # is not black, even where it fades in.
            cut = not _empty(now)
        else:
            cut = change >= MIN_CHANGE and self._is_cut(now, change, following)
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
        if change < MIN_RATIO * max(usual, default=0.0):
            return False  # the pictures around change as much: fast movement, or a fade
        if _correlation(self._before[-1], now) > SAME_SCENE:
            return False  # the same scene in another light
        returns = [difference(self._before[-1], each) for each in ahead]
        returns += [difference(each, now) for each in list(self._before)[:-1]]
        return min(returns, default=change) > change * RETURN_SHARE


def difference(one: Bytes, other: Bytes) -> float:
    """Mean difference of two feature pictures, in 8-bit levels."""
    return float(np.mean(cv2.mean(cv2.absdiff(one, other))))


def _features(picture: Bytes) -> Bytes:
    """(h, w, 4) uint8: luma, two chroma channels (twice their distance from gray), and edges."""
    scale = min(1.0, _LONG_SIDE / max(picture.shape[:2]))
    size = (max(8, round(picture.shape[1] * scale)), max(8, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    luma, red, blue = cv2.split(cv2.cvtColor(small, cv2.COLOR_RGB2YCrCb))
    edges = cv2.convertScaleAbs(cv2.Laplacian(luma, cv2.CV_16S, ksize=1))
    # Chroma varies less than luma in real pictures; doubled, all four channels count about alike.
    red, blue = (cv2.convertScaleAbs(each.astype(np.int16) - 128, alpha=2) for each in (red, blue))
    return np.dstack([luma, red, blue, edges])


def _correlation(one: Bytes, other: Bytes) -> float:
    """Correlation of two pictures' luma, -1 to 1, which does not depend on gain and offset."""
    first, second = (np.ascontiguousarray(each[..., 0]) for each in (one, other))
    return float(cv2.matchTemplate(first, second, cv2.TM_CCOEFF_NORMED)[0, 0])


def _empty(features: Bytes) -> bool:
    """Whether a picture shows nothing, such as black."""
    return bool(features[..., 0].std() < EMPTY)
