"""Where shots begin: frames wait for a few later ones, so that a cut is told from a flash."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mattecast.filters.time.cuts import AHEAD, CutDetector
from mattecast.media.frame import Frame

Small: TypeAlias = NDArray[np.uint8]  # (h, w, 3) RGB, as the network sees a picture


@dataclass(frozen=True, slots=True)
class ShotFrame:
    """A frame and its place in its shot.

    first: whether the shot begins with the frame. after: up to AHEAD pictures that follow it.
    """

    frame: Frame
    first: bool
    after: list[Small]


class Shots:
    """The stage that finds cuts.

    cuts: whether to look for cuts; without, the whole clip is one shot. ahead: how many later
    frames a frame waits for; with none, a flash counts as a cut.
    """

    name = "cuts"

    def __init__(self, *, cuts: bool, ahead: int = AHEAD) -> None:
        self._cuts, self._ahead = cuts, ahead
        self._detector, self._held, self._begun = CutDetector(), deque[Frame](), False

    def push(self, frame: Frame) -> list[ShotFrame]:
        """See flow.Stage."""
        self._held.append(frame)
        return [self._oldest()] if len(self._held) > self._ahead else []

    def flush(self) -> list[ShotFrame]:
        """See flow.Stage."""
        return [self._oldest() for _ in range(len(self._held))]

    def _oldest(self) -> ShotFrame:
        frame = self._held.popleft()
        after = [each.small for each in self._held]
        first = self._detector.push(frame.small, after) if self._cuts else not self._begun
        self._begun = True
        return ShotFrame(frame, first, after)


def of_one_shot(pictures: list[Small]) -> list[Small]:
    """The pictures before the first cut among them."""
    detector = CutDetector()
    for place, picture in enumerate(pictures):
        if detector.push(picture, pictures[place + 1 : place + 1 + AHEAD]) and place:
            return pictures[:place]
    return pictures
