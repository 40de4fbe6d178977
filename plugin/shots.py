"""The network over a clip, shot by shot: nothing is remembered across a cut, and no shot starts
with an empty memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mattecast.engines import Engine
from mattecast.filters.cuts import AHEAD, CutDetector
from mattecast.flow import StageTimes
from mattecast.frame import Estimated, Frame

# A frame, whether it starts a shot, and the pictures that follow it.
_Seen: TypeAlias = tuple[Frame, bool, list[NDArray[np.uint8]]]


def estimate(
    frames: Iterable[Frame], engine: Engine, times: StageTimes, *, cuts: bool = True,
    roll: bool = True,
) -> Iterator[Estimated]:  # fmt: skip
    """The stage: the network's matte of each frame, in order.

    cuts: whether to look for cuts; without, the whole clip is one shot. roll: whether a shot's
    first pictures are shown to the network before they count, see `warm`.
    """
    for frame, first, following in _shots(frames, times, cuts=cuts):
        with times.measure("engine"):
            if first and roll:
                warm(engine, [frame.small, *following])
            elif first:
                engine.reset()
            alpha = np.array(engine.step(frame.small).alpha)
        yield Estimated(frame, alpha, first)


def warm(engine: Engine, pictures: list[NDArray[np.uint8]]) -> None:
    """Pre-roll: forget what was, then see a shot's first pictures backwards, so that the network
    knows its people before the first frame counts. A single picture is seen twice."""
    engine.reset()
    for picture in pictures[:0:-1] or pictures:
        engine.step(picture)


def _shots(frames: Iterable[Frame], times: StageTimes, *, cuts: bool) -> Iterator[_Seen]:
    """Frames a few behind, so that a cut can be told from a flash."""
    detector, held, started = CutDetector(), deque[Frame](), False

    def next_one() -> _Seen:
        nonlocal started
        frame = held.popleft()
        following = [each.small for each in held]
        first = not started
        if cuts:
            with times.measure("cuts"):
                first = detector.push(frame.small, following)
        started = True
        return frame, first, following

    for frame in frames:
        held.append(frame)
        if len(held) > AHEAD:
            yield next_one()
    while held:
        yield next_one()
