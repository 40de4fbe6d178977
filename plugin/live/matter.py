"""The live chain: a captured picture in, one with its own alpha out, on two threads.

The first thread converts, runs the network and smooths; the second brings the matte to full size
and composes. Both hand over the newest only, so a slow one shortens nothing but the frame rate.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from mattecast import engines
from mattecast.compositing.composer import Composer
from mattecast.engines import Engine, ModelSpec
from mattecast.filters.time.cuts import CutDetector
from mattecast.flow import StageTimes, half_the_cores
from mattecast.live.capture import CLOCK, Capture, Captured, plain_facts
from mattecast.live.governor import LADDER, Governor, Window, percentile
from mattecast.live.picture import Picture, blank
from mattecast.live.threads import Latest, Task, now
from mattecast.matting.finish import (
    Despiller,
    Smoothing,
    edge_wish,
    enlarge,
    recover_foreground,
    smoothers,
)
from mattecast.matting.guidance import Clock, Guidance, Hand, find, mask
from mattecast.matting.prepare import Preparer
from mattecast.matting.shots import warm
from mattecast.media.facts import Facts
from mattecast.media.formats import Format
from mattecast.media.frame import Estimated
from mattecast.plan import Plan, plan
from mattecast.settings import Settings

# The whole picture goes out at once, raw: B, G, R, A is what OBS takes without converting.
LIVE = Format(
    "live",
    "live picture with alpha",
    "",
    "nut",
    "rawvideo",
    lambda bits, sampling: "bgra",
    lambda bits, sampling: "bgra",
)
# libswscale's quickest way to B, G, R, A: a tenth of the cost of the exact one, and 1.3 of 255 away
# from it in the mean. (Accurate rounding alone costs four times as much, is as far away, and
# makes white 253.)
_QUICK = Interpolation.BILINEAR
# A source that is silent for this long shows nobody, rather than a frozen somebody (seconds).
SILENT = 1.0
# A picture this old is not worth matting when the machine slept (seconds).
STALE = 0.5
# How often the governor is asked (seconds).
_JUDGED = 0.25


@dataclass(frozen=True, slots=True)
class Wish:
    """What live shows, changed while it runs by replacing the whole. on: off shows the camera as
    it is."""

    settings: Settings
    on: bool = True


@dataclass(frozen=True, slots=True)
class _Era:
    """All that stays the same from one picture to the next, until it does not."""

    facts: Facts
    wish: Wish
    plan: Plan
    guidance: Guidance


@dataclass(slots=True)
class Report:
    """What happened of late, by the threads' own clocks; numbers are seconds."""

    out: Window = field(default_factory=Window)
    ages: Window = field(default_factory=Window)
    busy: Window = field(default_factory=lambda: Window(3.0))
    stages: dict[str, Window] = field(default_factory=dict)
    left_out: int = 0

    def stage(self, name: str, time: float, seconds: float) -> None:
        """Note what a stage took for one picture."""
        self.stages.setdefault(name, Window(2.0)).add(time, seconds)


class Loader:
    """Loads networks on a thread of its own, so that the running one goes on meanwhile."""

    def __init__(self, load: Callable[[tuple[int, int]], Engine]) -> None:
        self._load = load
        self._task: Task | None = None
        self._size: tuple[int, int] | None = None
        self._loaded: Engine | None = None

    def want(self, size: tuple[int, int]) -> Engine | None:
        """The engine of this size once it is there; None while it loads. Raises what loading
        raised."""
        if self._task is not None and not self._task.running:
            task, self._task = self._task, None
            engine, self._loaded = self._loaded, None
            if task.failure:
                raise task.failure
            if engine is not None and engine.info.size == size:
                return engine
            if engine is not None:
                engine.close()
        if self._task is None:
            self._size = size
            self._task = Task("load", self._run)
            self._task.start()
        return None

    def _run(self, stop: threading.Event) -> None:
        assert self._size is not None
        self._loaded = self._load(self._size)

    def close(self) -> None:
        """Wait for what loads, and let go of it."""
        if self._task is not None:
            self._task.close()
        if self._loaded is not None:
            self._loaded.close()


class Matting:
    """Runs the chain between a capture and the outlets.

    wish: replaced by whoever controls, read once for each picture. hand_out: takes each picture;
    must not wait. load: size to engine, to be replaced by tests and benchmarks.
    """

    def __init__(
        self,
        capture: Capture,
        wish: Wish,
        budget: float,
        hand_out: Callable[[Picture], None],
        load: Callable[[tuple[int, int]], Engine] | None = None,
    ) -> None:
        self.wish, self.report = wish, Report()
        self.engine: Engine | None = None
        self._capture, self._hand_out = capture, hand_out
        self._spec: ModelSpec = engines.find(wish.settings.model)
        self._loader = Loader(load or self._load)
        self.governor = Governor(budget, _sizes(self._spec, wish.settings))
        self._halves: Latest[tuple[_Era, Estimated]] = Latest()
        self._first = Task("matting", self._estimate)
        self._second = Task("composing", self._compose)
        self._facts: Facts | None = None
        self._last: Picture | None = None
        self._judged = 0.0

    def start(self) -> None:
        """Begin both threads; a file waits for them."""
        self._capture.ready.clear()
        self._first.start()
        self._second.start()

    @property
    def failure(self) -> BaseException | None:
        """What ended a thread, if anything did."""
        return self._first.failure or self._second.failure

    @property
    def dropped(self) -> int:
        """Pictures that were never shown, because a newer one was there."""
        return self._capture.frames.dropped + self._halves.dropped + self.report.left_out

    def check(self, wish: Wish) -> None:
        """Raise UsageError for a wish that cannot be met, such as a background that is no file."""
        facts = self._facts or plain_facts((64, 64))
        _guidance(wish)
        Composer(_planned(facts, wish), wish.settings).close()

    def close(self) -> None:
        """End both threads and release the network."""
        self._first.close()
        self._second.close()
        self._loader.close()
        if self.engine is not None:
            self.engine.close()

    def _load(self, size: tuple[int, int]) -> Engine:
        settings = self.wish.settings
        return engines.load(
            self._spec,
            size,
            backend=settings.backend,
            device=settings.device,
            precision=settings.precision,
            threads=settings.threads or half_the_cores(),
            fallback=settings.fallback,
        )

    # The first thread.

    def _estimate(self, stop: threading.Event) -> None:
        era: _Era | None = None
        half: _FirstHalf | None = None
        count, came = 0, now()
        while not stop.is_set():
            captured = self._capture.frames.take(0.2)
            if captured is None:
                self._blank_if_silent(came)
                continue
            count, came = count + 1, now()
            old = now() - captured.time > max(STALE, 2 * self.governor.budget)
            if old or (count % self.governor.every and self.wish.on):
                self.report.left_out += 1
                continue
            if era is None or era.facts is not captured.facts or era.wish is not self.wish:
                wish = self.wish
                era = _Era(captured.facts, wish, _planned(captured.facts, wish), _guidance(wish))
                self._facts = captured.facts
                half = None
            engine = self._sized_engine(era)
            if engine is None:
                continue  # the very first network still loads
            if half is None or half.engine is not engine:
                half = _FirstHalf(era, engine, half)
            started = now()
            for estimated in half.step(captured, self.report):
                self._halves.put((era, estimated))
            self.report.busy.add(now(), now() - started)

    def _sized_engine(self, era: _Era) -> Engine | None:
        """The network at the size of the moment; while another size loads, the one there is."""
        facts = era.facts
        shown = (float(facts.width * facts.sar), facts.height)
        size = engines.network_size(self._spec, *shown, self.governor.size)
        if self.engine is None or self.engine.info.size != size:
            loaded = self._loader.want(size)
            if loaded is not None:
                if self.engine is not None:
                    self.engine.close()
                self.engine = loaded
                self._capture.ready.set()
                self.report.busy.clear()
                self.report.ages.clear()
        elif now() - self._judged > _JUDGED:
            self._judged = now()
            self._judge()
        return self.engine

    def _judge(self) -> None:
        busy = self.report.busy.values(now())
        ages = self.report.ages.values(now())
        if len(busy) >= 3 and self.wish.on:
            self.governor.judge(
                now(), percentile(ages, 0.95), sum(busy) / len(busy), self._capture.interval
            )

    def _blank_if_silent(self, came: float) -> None:
        """Show nobody when the source gave its last picture at `came` and nothing since."""
        last = self._last
        if last is not None and now() - came > SILENT:
            self._last = None
            self._hand_out(blank(last.size, now(), last.opaque))

    # The second thread.

    def _compose(self, stop: threading.Event) -> None:
        half: _SecondHalf | None = None
        try:
            while not stop.is_set():
                item = self._halves.take(0.2)
                if item is None:
                    continue
                era, estimated = item
                if half is None or half.era is not era:
                    half = _SecondHalf(era, half)
                picture = half.step(estimated, self.report)
                self._hand_out(picture)
                self._last = picture
                self.report.out.add(now(), 1.0)
                self.report.ages.add(now(), now() - picture.time)
        finally:
            if half is not None:
                half.close()


class _FirstHalf:
    """Conversion, network, guidance and smoothing for one era."""

    def __init__(self, era: _Era, engine: Engine, before: _FirstHalf | None) -> None:
        self.era, self.engine = era, engine
        self._preparer = Preparer(era.facts, era.plan, engine.info.size, conversion=_QUICK)
        self._smoothings = [Smoothing(each) for each in smoothers(era.wish.settings)]
        # A new wish is no new scene: the network keeps its memory, unless it is another one.
        self._detector = CutDetector()
        self._hand = Hand(era.guidance) if era.guidance.before else None
        self._started: float | None = None
        if before is not None and before.engine is engine and before.era.facts is era.facts:
            self._detector = before._detector
            if before.era.guidance is era.guidance:
                self._hand, self._started = before._hand, before._started

    def step(self, captured: Captured, report: Report) -> list[Estimated]:
        """The mattes that are ready, at the network's size: of this picture, or of one before."""
        clock = _Stopwatch(report)
        pts = round(captured.time / CLOCK)
        frame = next(self._preparer.frames([(captured.frame, pts, 1)], StageTimes()))
        clock.lap("convert")
        if not self.era.wish.on:
            return [Estimated(frame, np.ones(frame.small.shape[:2], np.float32))]
        first = self._detector.push(frame.small, [])
        if first:
            warm(self.engine, [frame.small])
        ready = [Estimated(frame, np.array(self.engine.step(frame.small).alpha), first)]
        clock.lap("network")
        if self._hand is not None:
            ready = [self._guided(self._hand, each, captured.time) for each in ready]
            clock.lap("guidance")
        for smoothing in self._smoothings:
            ready = [each for estimated in ready for each in smoothing.push(estimated)]
            clock.lap("smooth")
        return ready

    def _guided(self, hand: Hand, estimated: Estimated, time: float) -> Estimated:
        """A matte with what was drawn by hand, times counted from the first picture."""
        self._started = time if self._started is None else self._started
        alpha = hand.step(estimated, Fraction(time - self._started))
        return replace(estimated, alpha=alpha)


class _SecondHalf:
    """Full size, colours and background for one era. Close the last one when done.

    before: the era before, which is closed, or whose composer is taken over where the picture
    behind the person stays what it was: a background that is a video plays on.
    """

    def __init__(self, era: _Era, before: _SecondHalf | None) -> None:
        self.era = era
        self._edge = edge_wish(era.wish.settings)
        wish = era.wish.settings.despill
        self._despiller = Despiller(era.plan, wish) if wish else None
        self._times = StageTimes()
        self._played, self._last = 0.0, float("inf")
        if before is not None and before.era.plan == era.plan:
            self._composer: Composer = before._composer
            self._played, self._last = before._played, before._last
            return
        if before is not None:
            before.close()
        self._composer = Composer(era.plan, era.wish.settings)

    def close(self) -> None:
        """Release the background's file."""
        self._composer.close()

    def step(self, estimated: Estimated, report: Report) -> Picture:
        """The picture to be shown."""
        clock = _Stopwatch(report)
        plan, settings = self.era.plan, self.era.wish.settings
        bgra = _whole(estimated.frame.picture)
        time = float(estimated.frame.pts * CLOCK)
        behind = self._behind(time)
        if not self.era.wish.on:
            bgra[..., 3] = 255
            return Picture(bgra, time, opaque=True)
        (matted,) = enlarge([estimated], plan, self._edge, self._times)
        clock.lap("edges")
        if self.era.guidance.keep or self.era.guidance.garbage:
            (matted,) = mask([matted], self.era.guidance, Clock(plan, Fraction(0)), self._times)
            clock.lap("masks")
        if settings.foreground == "estimate":
            (matted,) = recover_foreground([matted], plan, self._times)
            clock.lap("colours")
        if self._despiller is not None:
            self._despiller(matted)
            clock.lap("despill")
        self._composer(replace(matted, frame=replace(matted.frame, pts=behind)))
        clock.lap("compose")
        return Picture(bgra, time, opaque=plan.background is not None)

    def _behind(self, time: float) -> int:
        """How long the background has been shown when a picture of `time` is, in CLOCK's units: it
        stands still while no pictures come, for a video would be decoded through all that time."""
        self._played += min(STALE, max(0.0, time - self._last))
        self._last = time
        return round(self._played / float(CLOCK))


class _Stopwatch:
    """Notes how long each stage of one picture took."""

    def __init__(self, report: Report) -> None:
        self._report, self._last = report, now()

    def lap(self, stage: str) -> None:
        """The time since the lap before went into `stage`."""
        time = now()
        self._report.stage(stage, time, time - self._last)
        self._last = time


def _guidance(wish: Wish) -> Guidance:
    """The guidance of an era. Raises UsageError for pictures that cannot be read."""
    settings = wish.settings
    return _drawn(
        Settings(
            garbage=settings.garbage,
            keep=settings.keep,
            plate=settings.plate,
            person=settings.person,
            guidance="off",
        )
    )


@lru_cache(maxsize=2)
def _drawn(settings: Settings) -> Guidance:
    """Read once, so that whoever is followed is followed on through other wishes."""
    return find(Path(), settings)


def _planned(facts: Facts, wish: Wish) -> Plan:
    """The plan of an era; OBS takes pixels as square, so they are made so."""
    size = None if facts.sar == 1 else f"{round(facts.width * facts.sar)}x{facts.height}"
    return plan(facts, replace(wish.settings, size=size), LIVE)


def _whole(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """(H, W, 4) uint8 view of a BGRA frame, which it keeps alive."""
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
    return rows[:, : 4 * picture.width].reshape(plane.height, picture.width, 4)


def _sizes(spec: ModelSpec, settings: Settings) -> tuple[int, ...]:
    """Long sides the network may run at, large to small."""
    if settings.network_size or spec.fixed:
        return (settings.network_size or spec.long_side,)
    largest = spec.wide_side or spec.long_side  # cameras are wide
    return (largest, *(size for size in LADDER if size < largest))
