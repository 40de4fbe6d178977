"""A clip that flows through a pipeline: every picture is matted, in order, as `matte` does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing
from fractions import Fraction
from itertools import islice
from queue import Empty, Full, Queue

import av

from mattecast.compositing.composer import Composer
from mattecast.engines import Engine
from mattecast.filters.time.cuts import AHEAD
from mattecast.filters.time.smoothing import WINDOW
from mattecast.flow import StageTimes, opencv_aside, run, threaded
from mattecast.hosts.gstreamer.rows import Rows, rows
from mattecast.job import Job
from mattecast.matting.guidance import Guidance
from mattecast.matting.second_pass import PREROLL
from mattecast.matting.shots import Small
from mattecast.matting.smooth import ISLAND
from mattecast.matting.stages import stages
from mattecast.media.facts import Facts
from mattecast.media.frame import Frame, components
from mattecast.plan import Plan
from mattecast.settings import Settings

# Frames that wait between two threads, as in a run of `matte`.
_WAITING, _WAITING_MATTES = 2, 1
# The stages together wait for this many later frames at most, counted in seconds: a GStreamer queue
# beside the element, of the clip's sound for instance, holds one second.
_LONGEST = Fraction(4, 5)
# Memory that frames in the look-ahead may take (bytes): a frame of 4K takes up to 50 MB.
_ROOM = 300_000_000
# A thread that waits looks this often whether it shall end (seconds).
_POLL = 0.05
_END = object()


class LookAhead:
    """The stage that holds frames back, so that a shot's first pictures are known at its start.

    A clip in a pipeline cannot be opened once more, which is how `matte` knows them.
    depth: how many frames are held.
    """

    name = "ahead"

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._held = deque[Frame]()
        # The cut detector holds the last few frames that were handed on.
        self._known = deque[Frame](maxlen=depth + AHEAD + 1)

    def push(self, frame: Frame) -> list[Frame]:
        """See flow.Stage."""
        self._held.append(frame)
        self._known.append(frame)
        return [self._held.popleft()] if len(self._held) > self._depth else []

    def flush(self) -> list[Frame]:
        """See flow.Stage."""
        held, self._held = list(self._held), deque()
        return held

    def following(self, frame: Frame) -> Iterator[Small]:
        """The network's pictures after a frame: at most PREROLL."""
        later = (each.small for each in self._known if each.pts > frame.pts)
        return islice(later, PREROLL)


def depth(plan: Plan, settings: Settings) -> int:
    """How many frames the look-ahead holds: enough for a whole pre-roll where that is allowed."""
    width, height = plan.size
    bytes_each = width * height * (8 if "p10" in plan.pixels else 4)
    others = AHEAD + held_by_smoothing(settings, live=False)
    most = min(int(_LONGEST * plan.rate) - others, _ROOM // bytes_each)
    return max(0, min(PREROLL - AHEAD, most))


def delay(plan: Plan, settings: Settings) -> int:
    """For how many later frames a picture waits."""
    return depth(plan, settings) + AHEAD + held_by_smoothing(settings, live=False)


def held_by_smoothing(settings: Settings, *, live: bool) -> int:
    """For how many later frames the stages over time wait."""
    island = settings.min_island if settings.min_island is not None else 0 if live else ISLAND
    later = {"delayed": 1, "two-way": WINDOW}.get(settings.smooth.partition(":")[0], 0)
    return later + bool(island or settings.min_hole)


class Recorded:
    """Mattes one clip from its first picture to its last, on threads of its own.

    engine: the network, which stays open. deliver: is called with the pts and the picture of each
    frame, in order; it gives whether more are wanted.
    """

    def __init__(
        self,
        facts: Facts,
        plan: Plan,
        settings: Settings,
        engine: Engine,
        guidance: Guidance,
        deliver: Callable[[int, Rows], bool],
    ) -> None:
        job = Job(facts, plan, settings, guidance, engine, engine.info.size)
        ahead = LookAhead(depth(plan, settings))
        self._composer = Composer(plan, settings)
        every = stages(job, composers=[self._composer], following=ahead.following)
        self._groups = (
            (every.prepare, _WAITING),
            ([ahead, *every.shots, *every.network], _WAITING_MATTES),
            (every.small + every.full, _WAITING),
        )
        self._compose = every.compose
        # Over a background all is opaque, whatever alpha the source has.
        self._opaque = plan.background is not None and facts.has_alpha
        self._deliver = deliver
        self._pictures: Queue[object] = Queue(_WAITING)
        self._stopped = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="recorded", daemon=True)
        self._thread.start()

    def push(self, picture: av.VideoFrame) -> bool:
        """Take the next picture, whose pts is in the plan's time base; wait until there is room.

        Gives whether it was taken: it is not once the run has ended.
        """
        return self._put(picture)

    def finish(self) -> None:
        """No more pictures come: wait until all are delivered."""
        self._put(_END)
        self.close(stop=False)

    def stop(self) -> None:
        """Deliver nothing more; returns at once."""
        self._stopped.set()

    def close(self, *, stop: bool = True) -> None:
        """Wait until the threads have ended; safe to call twice."""
        if stop:
            self.stop()
        self._thread.join()

    def _put(self, item: object) -> bool:
        while not self._stopped.is_set():
            try:
                self._pictures.put(item, timeout=_POLL)
                return True
            except Full:
                pass
        return False

    def _fed(self) -> Generator[av.VideoFrame, None, None]:
        while not self._stopped.is_set():
            try:
                item = self._pictures.get(timeout=_POLL)
            except Empty:
                continue
            if item is _END:
                return
            assert isinstance(item, av.VideoFrame)
            yield item

    def _run(self) -> None:
        times = StageTimes()
        try:
            with opencv_aside(), ExitStack() as stack:
                stack.callback(self._composer.close)
                stack.callback(self._stopped.set)
                mattes = threaded(self._fed(), self._groups, times, self._stopped.set)
                for composed in run(stack.enter_context(closing(mattes)), self._compose, times):
                    if self._stopped.is_set():
                        break
                    if not self._deliver(composed.frame.pts, self._rows(composed.pictures[0])):
                        break
        except BaseException as error:
            self.failure = error

    def _rows(self, picture: av.VideoFrame) -> Rows:
        if self._opaque:
            alpha = components(picture)[-1]
            alpha[:] = (1 << picture.format.components[-1].bits) - 1
        return rows(picture)
