"""The network over a clip, shot by shot: nothing is remembered across a cut, and no shot starts
with an empty memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mattecast.engines import Engine
from mattecast.filters.time.cuts import AHEAD, CutDetector
from mattecast.flow import StageTimes
from mattecast.media.frame import Estimated, Frame

Small: TypeAlias = NDArray[np.uint8]
# A frame, whether it starts a shot, and up to AHEAD pictures after it.
Seen: TypeAlias = tuple[Frame, bool, list[Small]]


def estimate(
    frames: Iterable[Frame],
    engine: Engine,
    times: StageTimes,
    following: Callable[[Frame], Iterable[Small]] | None,
    *,
    cuts: bool = True,
) -> Iterator[Estimated]:
    """The stage: the network's matte of each frame, in order.

    following: gives small pictures after a frame, which the network sees before a shot's first
    frame counts, see `warm`; None for no pre-roll. cuts: whether to look for cuts; without, the
    whole clip is one shot.
    """
    for frame, first, after in shots(frames, times, cuts=cuts):
        with times.measure("engine"):
            if first and following:
                # Fewer than were waited for are all there are.
                pictures = [frame.small, *(following(frame) if len(after) == AHEAD else after)]
                warm(engine, of_one_shot(pictures) if cuts else pictures)
            elif first:
                engine.reset()
            alpha = np.array(engine.step(frame.small).alpha)
        yield Estimated(frame, alpha, first)


def of_one_shot(pictures: list[Small]) -> list[Small]:
    """The pictures before the first cut among them."""
    detector = CutDetector()
    for place, picture in enumerate(pictures):
        if detector.push(picture, pictures[place + 1 : place + 1 + AHEAD]) and place:
            return pictures[:place]
    return pictures


def warm(engine: Engine, pictures: list[Small]) -> None:
    """Pre-roll: forget what was, then see a shot's first pictures backwards, so that the network
    knows its people before the first frame counts. A single picture is seen twice."""
    engine.reset()
    for picture in pictures[:0:-1] or pictures:
        engine.step(picture)


def shots(frames: Iterable[Frame], times: StageTimes, *, cuts: bool) -> Iterator[Seen]:
    """Frames a few behind, so that a cut can be told from a flash."""
    detector, held, started = CutDetector(), deque[Frame](), False

    def next_one() -> Seen:
        nonlocal started
        frame = held.popleft()
        after = [each.small for each in held]
        first = not started
        if cuts:
            with times.measure("cuts"):
                first = detector.push(frame.small, after)
        started = True
        return frame, first, after

    for frame in frames:
        held.append(frame)
        if len(held) > AHEAD:
            yield next_one()
    while held:
        yield next_one()
