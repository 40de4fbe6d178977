"""Live matting: takes captured pictures and gives pictures with alpha, on two threads.

The first thread converts a picture, runs the network and smooths the matte. The second thread
enlarges the matte to full size and composes the picture. Each thread takes the newest item only,
so a slow thread lowers the frame rate and makes no picture older.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mattecast import engines
from mattecast.compositing.composer import Composer
from mattecast.compositing.stage import Compose
from mattecast.engines import Engine, ModelSpec
from mattecast.flow import half_the_cores, through
from mattecast.job import Job
from mattecast.live.capture import CLOCK, Capture, plain_facts
from mattecast.live.governor import LADDER, Governor, Window, percentile
from mattecast.live.picture import Picture, blank
from mattecast.live.threads import Latest, Task, now
from mattecast.matting.guidance import Guidance, find
from mattecast.matting.stages import Group, Stages, stages
from mattecast.media.facts import Facts
from mattecast.media.formats import Format
from mattecast.media.frame import Estimated, Frame, Matted
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
# The stages that a live picture may go through, by their names.
STAGES = (
    "times",
    "convert",
    "cuts",
    "network",
    "guidance",
    "islands",
    "smooth",
    "edges",
    "masks",
    "colours",
    "despill",
    "compose",
)
# After this long without a picture from the source an empty picture is shown, because a frozen
# person would look like a live one (seconds).
SILENT = 1.0
# A picture older than this is left out, for instance after the machine slept (seconds).
STALE = 0.5
# How often the governor judges the network's size (seconds).
_JUDGED = 0.25


@dataclass(frozen=True, slots=True)
class Controls:
    """What the user can change while a session runs. Whoever changes it replaces the whole object.

    on: whether people are matted; otherwise the camera is shown as it is.
    """

    settings: Settings
    on: bool = True


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

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Note what a stage takes for one picture."""
        began = now()
        try:
            yield
        finally:
            self.stages[stage].add(now(), now() - began)


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

    controls: read once for each picture; see Controls. deliver: is called with each picture and
    must not wait. load: gives the engine of a size; tests and benchmarks bring their own.
    """

    def __init__(
        self,
        capture: Capture,
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
        self._halves: Latest[tuple[_Chain, Frame | Estimated]] = Latest()
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
        chain: _Chain | None = None
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
            self._facts = captured.facts
            engine = self._sized_engine(captured.facts)
            if engine is None:
                continue  # the very first network still loads
            if chain is None or not chain.fits(captured.facts, self.controls, engine):
                chain = _Chain(captured.facts, self.controls, engine, chain)
            began = now()
            captured.frame.pts = round(captured.time / CLOCK)
            for estimated in through([captured.frame], chain.to_mattes, self.report):
                self._halves.put((chain, estimated))
            self.report.busy.add(now(), now() - began)

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
        tail: _Tail | None = None
        try:
            while not stop.is_set():
                item = self._halves.take(0.2)
                if item is None:
                    continue
                chain, matted = item
                if tail is None or tail.chain is not chain:
                    tail = _Tail(chain, tail)
                picture = tail.picture(matted, self.report)
                self._deliver(picture)
                self._last = picture
                self.report.out.add(now(), 1.0)
                self.report.ages.add(now(), now() - picture.time)
        finally:
            if tail is not None:
                tail.close()


class _Chain:
    """The stages for pictures with the same facts, while settings and network stay the same.

    before: the chain before. Its cut detector and its network's memory go on where network and
    facts are the same, since other settings are no new scene. So does what follows a person.
    """

    def __init__(
        self, facts: Facts, controls: Controls, engine: Engine, before: _Chain | None
    ) -> None:
        self.controls = controls
        plan, guidance = _planned(facts, controls), _guidance(controls)
        self.job = Job(
            facts, plan, controls.settings, guidance, engine, engine.info.size, live=True
        )
        every: Stages = stages(self.job)
        if before is not None and before.job.engine is engine and before.job.facts is facts:
            known = before.every
            every = every._replace(shots=known.shots, network=known.network)
            if before.job.guidance is guidance:
                every = every._replace(small=_keeping("guidance", every.small, known.small))
        self.every: Stages = every
        mattes = [*every.prepare, *every.shots, *every.network, *every.small]
        self.to_mattes = mattes if controls.on else every.prepare

    def fits(self, facts: Facts, controls: Controls, engine: Engine) -> bool:
        """Whether the chain is for these pictures, settings and network."""
        return self.job.facts is facts and self.controls is controls and self.job.engine is engine


def _keeping(name: str, fresh: Group, known: Group) -> Group:
    """The fresh stages, but for the stage of that name, which is the known one."""
    kept = {stage.name: stage for stage in known if stage.name == name}
    return [kept.get(stage.name, stage) for stage in fresh]


class _Tail:
    """The stages of a chain that bring mattes to full size and compose. Close the last one.

    before: the tail before. It is closed, unless its composer goes on: where the picture behind the
    person stays what it was, a background that is a video plays on.
    """

    def __init__(self, chain: _Chain, before: _Tail | None) -> None:
        self.chain = chain
        job = chain.job
        if before is not None and before.chain.job.plan == job.plan:
            self._composer: _LiveComposer = before._composer
        else:
            if before is not None:
                before.close()
            self._composer = _LiveComposer(Composer(job.plan, job.settings))
        self._stages: Group = [*chain.every.full, Compose([self._composer])]

    def close(self) -> None:
        """Release the background's file."""
        self._composer.close()

    def picture(self, matted: Frame | Estimated, report: Report) -> Picture:
        """The picture to send. matted: a plain frame while matting is off."""
        frame = matted if isinstance(matted, Frame) else matted.frame
        bgra, time = _bgra(frame.picture), float(frame.pts * CLOCK)
        if isinstance(matted, Frame):
            bgra[..., 3] = 255
            return Picture(bgra, time, opaque=True)
        for _ in through([matted], self._stages, report):
            pass  # the picture is written where it lies
        return Picture(bgra, time, opaque=self.chain.job.plan.background is not None)


class _LiveComposer:
    """A composer whose background stands still while no pictures come.

    A video behind the person would otherwise be decoded through all that time.
    """

    def __init__(self, composer: Composer) -> None:
        self._composer = composer
        self._played, self._last = 0.0, float("inf")

    def __call__(self, matted: Matted) -> av.VideoFrame:
        """See compositing.stage.Composing."""
        time = float(matted.pts * CLOCK)
        self._played += min(STALE, max(0.0, time - self._last))
        self._last = time
        frame = replace(matted.frame, pts=round(self._played / float(CLOCK)))
        return self._composer(replace(matted, frame=frame))

    def close(self) -> None:
        """See compositing.stage.Composing."""
        self._composer.close()


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
    """The plan of live pictures. Their pixels become square, since OBS takes them as square."""
    size = None if facts.sar == 1 else f"{round(facts.width * facts.sar)}x{facts.height}"
    return plan(facts, replace(controls.settings, size=size), LIVE)


def _bgra(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """(H, W, 4) uint8 view of a BGRA frame, which it keeps alive."""
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
    return rows[:, : 4 * picture.width].reshape(plane.height, picture.width, 4)


def _sizes(spec: ModelSpec, settings: Settings) -> tuple[int, ...]:
    """Long sides the network may run at in pixels, large to small."""
    if settings.network_size or spec.fixed:
        return (settings.network_size or spec.long_side,)
    largest = spec.wide_side or spec.long_side  # cameras are wide
    return (largest, *(size for size in LADDER if size < largest))
