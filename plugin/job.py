"""What one run is about, in one frozen object that is handed on."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from mattecast.engines import Engine
from mattecast.matting.guidance import Guidance
from mattecast.media.facts import Facts
from mattecast.plan import Plan
from mattecast.settings import Settings


@dataclass(frozen=True, slots=True)
class Clock:
    """Times of frames as people count them. start: of the clip's first frame, on its own clock."""

    plan: Plan
    start: Fraction

    def __call__(self, pts: int) -> Fraction:
        """Seconds from the clip's first frame. pts: in the output's time base."""
        return pts * self.plan.time_base + self.plan.origin - self.start


@dataclass(frozen=True, slots=True)
class Job:
    """One run, after everything about it is decided.

    facts: of the pictures that come in. plan: of the output; where a run has two, of the first.
    engine: the network; None where mattes come from elsewhere. network_size: (width, height) of the
    network's pictures. live: whether pictures come from a camera: then no stage waits for a later
    picture unless the settings ask for it.
    """

    facts: Facts
    plan: Plan
    settings: Settings
    guidance: Guidance
    engine: Engine | None
    network_size: tuple[int, int]
    live: bool = False

    @property
    def clock(self) -> Clock:
        """Times of the output's frames in seconds from the clip's first frame."""
        return Clock(self.plan, self.facts.start)
