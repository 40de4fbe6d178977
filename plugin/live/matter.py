"""Live matting: takes captured pictures and gives pictures with alpha, on two threads.

The first thread converts a picture, runs the network and smooths the matte. The second thread
enlarges the matte to full size and composes the picture. Each thread takes the newest item only,
so a slow thread lowers the frame rate and makes no picture older.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
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

log = logging.getLogger(__name__)

# Pictures leave as raw B, G, R, A, which OBS takes without a conversion.
LIVE = Format(
    "live",
    "live picture with alpha",
    "",
    "nut",
    "rawvideo",
    lambda bits, sampling: "bgra",
    lambda bits, sampling: "bgra",
)
# libswscale's quickest conversion to B, G, R, A. It costs a tenth of the exact conversion and is
# 1.3 of 255 away from it in the mean. (Accurate rounding alone costs four times as much, is as far
# away, and makes white 253.)
_QUICK = Interpolation.BILINEAR
# After this long without a picture from the source an empty picture is shown, because a frozen
# person would look like a live one (seconds).
SILENT = 1.0
# A picture older than this is left out, for instance after the machine slept (seconds).
STALE = 0.5
# How often the governor judges the network's size (seconds).
_JUDGED = 0.25
# The stages whose time is measured, in the order of the pictures' way.
STAGES = (
    "convert",
    "network",
    "guidance",
    "smooth",
    "edges",
    "masks",
    "colours",
    "despill",
    "compose",
)


@dataclass(frozen=True, slots=True)
class Controls:
    """What the user can change while a session runs. Whoever changes it replaces the whole object.

    on: whether people are matted; otherwise the camera is shown as it is.
    """

    settings: Settings
    on: bool = True


@dataclass(frozen=True, slots=True)
class _Era:
    """What stays the same from one picture to the next, until the source or the controls change."""

    facts: Facts
    controls: Controls
    plan: Plan
    guidance: Guidance


@dataclass(slots=True)
class Report:
    """Measurements of the last seconds, in seconds. Any thread may add and any may read.

    out: a note for each picture that was sent. ages: from capture to sending. busy: how long the
    first thread worked on each picture. stages: how long each stage took, by its name; the names
    are fixed, so that one thread may iterate while another adds. left_out: pictures not matted.
    """

    out: Window = field(default_factory=Window)
    ages: Window = field(default_factory=Window)
    busy: Window = field(default_factory=lambda: Window(3.0))
    stages: Mapping[str, Window] = field(
        default_factory=lambda: {name: Window(2.0) for name in STAGES}
    )
    left_out: int = 0

    def stage(self, name: str, time: float, seconds: float) -> None:
        """Note how long a stage took for one picture. name: one of STAGES."""
        self.stages[name].add(time, seconds)


class Loader:
    """Loads a network on a thread of its own, while the network in use goes on running."""

    def __init__(self, load: Callable[[tuple[int, int]], Engine]) -> None:
        self._load = load
        self._task: Task | None = None
        self._size: tuple[int, int] | None = None
        self._loaded: Engine | None = None

    def want(self, size: tuple[int, int]) -> Engine | None:
        """The engine of this size, or None while it loads. Raises what loading raised."""
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
        """Wait for the network that loads, and release it."""
        if self._task is not None and not self._task.close():
            log.warning("a network still loads; it is left alone until the program ends")
        elif self._loaded is not None:
            self._loaded.close()


class Matting:
    """Runs the stages between a capture and the outputs.

    controls: read once for each picture; see Controls. hand_out: is called with each picture and
    must not wait. load: gives the engine of a size; tests and benchmarks bring their own.
    """

    def __init__(
        self,
        capture: Capture,
        controls: Controls,
        budget: float,
        hand_out: Callable[[Picture], None],
        load: Callable[[tuple[int, int]], Engine] | None = None,
    ) -> None:
        self.controls, self.report = controls, Report()
        self.engine: Engine | None = None
        self._capture, self._hand_out = capture, hand_out
        self._spec: ModelSpec = engines.find(controls.settings.model)
        self._loader = Loader(load or self._load)
        self.governor = Governor(budget, _sizes(self._spec, controls.settings))
        self._halves: Latest[tuple[_Era, Estimated]] = Latest()
        self._first = Task("matting", self._estimate)
        self._second = Task("composing", self._compose)
        self._facts: Facts | None = None
        self._last: Picture | None = None
        self._judged = 0.0

    def start(self) -> None:
        """Start both threads. A file waits at its first picture until the network is loaded."""
        self._capture.ready.clear()
        self._first.start()
        self._second.start()

    @property
    def failure(self) -> BaseException | None:
        """The error that ended a thread, or None."""
        return self._first.failure or self._second.failure

    @property
    def dropped(self) -> int:
        """How many pictures were never shown because a newer one was there."""
        return self._capture.frames.dropped + self._halves.dropped + self.report.left_out

    def check(self, controls: Controls) -> None:
        """Raise UsageError for controls that cannot be met, such as a missing background."""
        facts = self._facts or plain_facts((64, 64))
        _guidance(controls)
        Composer(_planned(facts, controls), controls.settings).close()

    def close(self) -> None:
        """End both threads and release the network.

        A network that is still at work is not released: closing it under a running step would
        crash the process.
        """
        with ExitStack() as stack:
            if self._first.close():
                stack.callback(self._release)
            else:
                log.warning("the network has not stopped; it is left alone until the program ends")
            stack.callback(self._loader.close)
            stack.callback(self._second.close)

    def _release(self) -> None:
        if self.engine is not None:
            self.engine.close()

    def _load(self, size: tuple[int, int]) -> Engine:
        settings = self.controls.settings
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
            if old or (count % self.governor.every and self.controls.on):
                self.report.left_out += 1
                continue
            if era is None or era.facts is not captured.facts or era.controls is not self.controls:
                controls = self.controls
                era = _Era(
                    captured.facts,
                    controls,
                    _planned(captured.facts, controls),
                    _guidance(controls),
                )
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
        """The network of the size that the governor chose; while that loads, the one in use."""
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
        if len(busy) >= 3 and self.controls.on:
            self.governor.judge(
                now(), percentile(ages, 0.95), sum(busy) / len(busy), self._capture.interval
            )

    def _blank_if_silent(self, came: float) -> None:
        """Show an empty picture when the source has been silent for SILENT seconds.

        came: when the last picture came.
        """
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
        self._smoothings = [Smoothing(each) for each in smoothers(era.controls.settings)]
        # New controls are no new scene: the network keeps its memory, unless it is another one.
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
        if not self.era.controls.on:
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
        self._edge = edge_wish(era.controls.settings)
        despill = era.controls.settings.despill
        self._despiller = Despiller(era.plan, despill) if despill else None
        self._times = StageTimes()
        self._played, self._last = 0.0, float("inf")
        if before is not None and before.era.plan == era.plan:
            self._composer: Composer = before._composer
            self._played, self._last = before._played, before._last
            return
        if before is not None:
            before.close()
        self._composer = Composer(era.plan, era.controls.settings)

    def close(self) -> None:
        """Release the background's file."""
        self._composer.close()

    def step(self, estimated: Estimated, report: Report) -> Picture:
        """The picture to be shown."""
        clock = _Stopwatch(report)
        plan, settings = self.era.plan, self.era.controls.settings
        bgra = _whole(estimated.frame.picture)
        time = float(estimated.frame.pts * CLOCK)
        behind = self._behind(time)
        if not self.era.controls.on:
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


def _guidance(controls: Controls) -> Guidance:
    """The guidance that the controls ask for. Raises UsageError for files that cannot be read."""
    settings = controls.settings
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
    """The guidance of these settings, read once: other controls may change, and the same person
    is still followed."""
    return find(Path(), settings)


def _planned(facts: Facts, controls: Controls) -> Plan:
    """The plan for pictures of these facts. It makes pixels square, as OBS takes them to be."""
    size = None if facts.sar == 1 else f"{round(facts.width * facts.sar)}x{facts.height}"
    return plan(facts, replace(controls.settings, size=size), LIVE)


def _whole(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """(H, W, 4) uint8 view of a BGRA frame; the view keeps the frame alive."""
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
    return rows[:, : 4 * picture.width].reshape(plane.height, picture.width, 4)


def _sizes(spec: ModelSpec, settings: Settings) -> tuple[int, ...]:
    """Long sides the network may run at in pixels, large to small."""
    if settings.network_size or spec.fixed:
        return (settings.network_size or spec.long_side,)
    largest = spec.wide_side or spec.long_side  # cameras are wide
    return (largest, *(size for size in LADDER if size < largest))
