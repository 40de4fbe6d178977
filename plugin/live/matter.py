"""Live matting: takes captured pictures and gives pictures with alpha, on two threads.

The first thread converts a picture, runs the network and smooths the matte. The second thread
enlarges the matte to full size and composes the picture. Each thread takes the newest item only,
so a slow thread lowers the frame rate and makes no picture older.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

from mattecast import engines
from mattecast.compositing.composer import Composer
from mattecast.engines import Engine, ModelSpec
from mattecast.flow import half_the_cores, run, through
from mattecast.live.capture import CLOCK, Captured, plain_facts
from mattecast.live.governor import LADDER, Governor, percentile
from mattecast.live.picture import Picture, blank
from mattecast.live.pipeline import (
    STALE,
    Controls,
    Pipeline,
    Report,
    Tail,
    live_guidance,
    live_plan,
)
from mattecast.live.threads import PATIENCE, Latest, Task, now
from mattecast.media.facts import Facts
from mattecast.media.frame import Estimated, Frame
from mattecast.settings import Settings

log = logging.getLogger(__name__)

# After this long without a picture from the source an empty picture is shown, because a frozen
# person would look like a live one (seconds).
SILENT = 1.0
# How often the governor judges the network's size (seconds).
_JUDGED = 0.25
# How long a thread waits for another at the end (seconds).
_TICK = 0.01


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


class Pictures(Protocol):
    """Where pictures come from: a capture, or another program's pipeline.

    frames: holds the newest picture. ready: set when the network is loaded.
    """

    frames: Latest[Captured]
    ready: threading.Event

    @property
    def interval(self) -> float:
        """Seconds between two pictures."""
        ...


class Matting:
    """Runs the stages between a capture and the outputs.

    controls: read once for each picture; see Controls. deliver: is called with each picture and
    must not wait. load: gives the engine of a size; tests and benchmarks bring their own.
    """

    def __init__(
        self,
        capture: Pictures,
        controls: Controls,
        budget: float,
        deliver: Callable[[Picture], None],
        load: Callable[[tuple[int, int]], Engine] | None = None,
    ) -> None:
        self.controls, self.report = controls, Report()
        self.engine: Engine | None = None
        self._capture, self._deliver = capture, deliver
        self._spec: ModelSpec = engines.find(controls.settings.model)
        self._loader = Loader(load or self._load)
        self.governor = Governor(budget, _sizes(self._spec, controls.settings))
        self._halves: Latest[tuple[Pipeline, Frame | Estimated]] = Latest()
        self._first = Task("matting", self._estimate)
        self._second = Task("composing", self._compose)
        self._facts: Facts | None = None
        self._last: Picture | None = None
        self._judged = 0.0
        self._ending = threading.Event()

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
        live_guidance(controls)
        Composer(live_plan(facts, controls), controls.settings).close()

    def finish(self, cancelled: threading.Event) -> None:
        """Deliver what came so far and what stages hold back; no more pictures come.

        Gives up after PATIENCE seconds, when `cancelled` is set, and where a thread has failed.
        """
        self._ending.set()
        end = now() + PATIENCE
        while self._second.running and self.failure is None and now() < end:
            if cancelled.wait(_TICK):
                return

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
        pipeline: Pipeline | None = None
        count, came = 0, now()
        while not stop.is_set():
            captured = self._capture.frames.take(_TICK if self._ending.is_set() else 0.2)
            if captured is None and self._ending.is_set():
                self._flush(pipeline)
                return
            if captured is None:
                self._blank_if_silent(came)
                continue
            count, came = count + 1, now()
            old = now() - captured.time > max(STALE, 2 * self.governor.budget)
            if old or (count % self.governor.every and self.controls.on):
                self.report.left_out += 1
                continue
            self._facts = captured.facts
            engine = self._sized_engine(captured.facts)
            if engine is None:
                continue  # the very first network still loads
            if pipeline is None or not pipeline.fits(captured.facts, self.controls, engine):
                pipeline = Pipeline(captured.facts, self.controls, engine, pipeline)
            began = now()
            captured.frame.pts = round(captured.time / CLOCK)
            for estimated in through([captured.frame], pipeline.to_mattes, self.report):
                self._halves.put((pipeline, estimated))
            self.report.busy.add(now(), now() - began)

    def _flush(self, pipeline: Pipeline | None) -> None:
        """Hand on what the stages hold back, one after the other."""
        if pipeline is None:
            return
        for estimated in run((), pipeline.to_mattes, self.report):
            while not self._halves.empty and self._second.running:
                time.sleep(_TICK)
            self._halves.put((pipeline, estimated))

    def _sized_engine(self, facts: Facts) -> Engine | None:
        """The network of the size that the governor chose; while that loads, the one in use."""
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
            self._deliver(blank(last.size, now(), last.opaque))

    # The second thread.

    def _compose(self, stop: threading.Event) -> None:
        tail: Tail | None = None
        try:
            while not stop.is_set():
                item = self._halves.take(_TICK if self._ending.is_set() else 0.2)
                if item is None and self._ending.is_set() and not self._first.running:
                    return
                if item is None:
                    continue
                pipeline, matted = item
                if tail is None or tail.pipeline is not pipeline:
                    tail = Tail(pipeline, tail)
                picture = tail.picture(matted, self.report)
                self._deliver(picture)
                self._last = picture
                self.report.out.add(now(), 1.0)
                self.report.ages.add(now(), now() - picture.time)
        finally:
            if tail is not None:
                tail.close()


def _sizes(spec: ModelSpec, settings: Settings) -> tuple[int, ...]:
    """Long sides the network may run at in pixels, large to small."""
    if settings.network_size or spec.fixed:
        return (settings.network_size or spec.long_side,)
    largest = spec.wide_side or spec.long_side  # cameras are wide
    return (largest, *(size for size in LADDER if size < largest))
