"""The stages of live pictures: those before the matte, and those that bring it to full size.

The stages are made anew when the source or the controls change. Those that remember something go on
where they may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mattecast.compositing.composer import Composer
from mattecast.compositing.stage import Compose
from mattecast.engines import Engine
from mattecast.flow import through
from mattecast.job import Job
from mattecast.live.capture import CLOCK
from mattecast.live.governor import Window
from mattecast.live.picture import Picture
from mattecast.live.threads import now
from mattecast.matting.guidance import Guidance, find
from mattecast.matting.stages import Group, Stages, stages
from mattecast.media.facts import Facts
from mattecast.media.formats import Format
from mattecast.media.frame import Estimated, Frame, Matted
from mattecast.plan import Plan, plan
from mattecast.settings import Settings

# Pictures leave as raw B, G, R, A, which OBS takes without a conversion.
LIVE = Format(
    "live",
    "live picture with alpha",
    ("",),
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
# A picture older than this is left out, for instance after the machine slept (seconds).
STALE = 0.5


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


class Pipeline:
    """The stages for pictures with the same facts, while settings and network stay the same.

    before: the pipeline before. Its cut detector and its network's memory go on where network and
    facts are the same, since other settings are no new scene. So does what follows a person.
    """

    def __init__(
        self, facts: Facts, controls: Controls, engine: Engine, before: Pipeline | None
    ) -> None:
        self.controls = controls
        plan, guidance = live_plan(facts, controls), live_guidance(controls)
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
        """Whether the pipeline is for these pictures, settings and network."""
        return self.job.facts is facts and self.controls is controls and self.job.engine is engine


def _keeping(name: str, fresh: Group, known: Group) -> Group:
    """The fresh stages, but for the stage of that name, which is the known one."""
    kept = {stage.name: stage for stage in known if stage.name == name}
    return [kept.get(stage.name, stage) for stage in fresh]


class Tail:
    """The stages of a pipeline that bring mattes to full size and compose. Close the last one.

    before: the tail before. It is closed, unless its composer goes on: where the picture behind the
    person stays what it was, a background that is a video plays on.
    """

    def __init__(self, pipeline: Pipeline, before: Tail | None) -> None:
        self.pipeline = pipeline
        job = pipeline.job
        if before is not None and before.pipeline.job.plan == job.plan:
            self._composer: _LiveComposer = before._composer
        else:
            if before is not None:
                before.close()
            self._composer = _LiveComposer(Composer(job.plan, job.settings))
        self._stages: Group = [*pipeline.every.full, Compose([self._composer])]

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
        return Picture(bgra, time, opaque=self.pipeline.job.plan.background is not None)


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


def live_guidance(controls: Controls) -> Guidance:
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


def live_plan(facts: Facts, controls: Controls) -> Plan:
    """The plan of live pictures. Their pixels become square, since OBS takes them as square."""
    size = None if facts.sar == 1 else f"{round(facts.width * facts.sar)}x{facts.height}"
    planned = plan(facts, replace(controls.settings, size=size), LIVE)
    # Outputs work with the times of arrival, which do not begin with the first picture.
    return replace(planned, begins=Fraction(0))


def _bgra(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """(H, W, 4) uint8 view of a BGRA frame, which it keeps alive."""
    plane = picture.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
    return rows[:, : 4 * picture.width].reshape(plane.height, picture.width, 4)
