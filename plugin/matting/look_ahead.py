"""The pictures that follow, of a clip that is read only once: its frames wait for later ones.

A pipe cannot be opened again, as `second_pass` does for pre-rolls. So its frames wait, decoded,
until as many others have come as a pre-roll shows; of these only the network's small pictures are
kept any longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from itertools import dropwhile, islice
from math import ceil

import av

from mattecast.errors import UsageError
from mattecast.filters.time.cuts import AHEAD
from mattecast.job import Job
from mattecast.matting.guidance import Guidance
from mattecast.matting.prepare import Convert
from mattecast.matting.second_pass import PREROLL
from mattecast.matting.shots import Small
from mattecast.media.facts import Facts
from mattecast.media.frame import Frame
from mattecast.media.source import Source
from mattecast.plan import Plan

# More frames than lie between the reading and the network, in queues and in the hands of threads.
_UNDERWAY = AHEAD + 10


class LookAhead:
    """Reads the clip of a job once, some frames ahead of the run. Any thread may call `stop`."""

    def __init__(self, job: Job, source: Source) -> None:
        assert job.engine is not None
        self._source, self._facts, self._plan = source, source.facts, job.plan
        self._convert = Convert(source.facts, job.plan, job.engine.info.size)
        # At a slower constant rate several frames of the clip are one of the run.
        dropped = max(1, ceil(source.facts.rate / job.plan.rate))
        self._seen = deque[tuple[Fraction, Small]](maxlen=1 + PREROLL + _UNDERWAY * dropped)

    def stop(self) -> None:
        """End the reading; nobody waits for it any more."""
        self._source.stop()

    def frames(self) -> Iterator[av.VideoFrame]:
        """The frames of the run, each when PREROLL others were seen after it or the clip ends."""
        held = deque[av.VideoFrame]()
        for frame in self._source.frames(self._plan.start):
            self._seen.append((self._time(frame), self._convert.small(frame)))
            held.append(frame)
            if len(held) > PREROLL:
                if not self._is_wanted(held[0]):
                    break
                yield held.popleft()
        yield from filter(self._is_wanted, held)
        if self._plan.end is not None and self._source.feed is not None:
            self._source.feed.read_sound(self._plan.end + self._facts.zero)

    def following(self, frame: Frame) -> Iterator[Small]:
        """The network's pictures after a frame of the run, as SecondPass.following gives them."""
        start = self._plan.origin + frame.pts * self._plan.time_base
        before = start - Fraction(1, 2) / self._facts.rate
        # A copy, since another thread adds to it.
        later = dropwhile(lambda seen: seen[0] < before, tuple(self._seen))
        return (small for _, small in islice(later, 1, 1 + PREROLL))

    def _time(self, frame: av.VideoFrame) -> Fraction:
        assert frame.pts is not None
        return frame.pts * self._facts.time_base

    def _is_wanted(self, frame: av.VideoFrame) -> bool:
        return self._plan.end is None or self._time(frame) < self._plan.end


def refuse_what_looks_back(guidance: Guidance, plan: Plan, facts: Facts) -> None:
    """Raise UsageError for guidance that needs earlier frames, which a pipe brings once."""
    start = Fraction(0) if plan.start is None else plan.start - facts.start
    advice = "write the stream to a file and matte that"
    if guidance.corrections:
        raise UsageError(
            f"{facts.path}: corrections also change the frames before them, which a pipe does not "
            f"bring again; {advice}"
        )
    if any(time < start for time, _ in guidance.person):
        raise UsageError(
            f"{facts.path}: a person chosen before the range is followed into it, which takes "
            f"reading twice; {advice}"
        )
