"""How a run goes and what it did: progress while it runs, a summary at its end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from mattecast.errors import MediaError
from mattecast.flow import StageTimes
from mattecast.media.frame import Frame
from mattecast.media.source import Source
from mattecast.plan import Plan
from mattecast.time_range import length

# A clip whose last picture ends this much before the end of the file (seconds) was cut off. Sound
# commonly goes on for some of it.
_CUT_OFF = Fraction(1)
# Alpha below this is no person, only a trace of what the network was unsure of.
_SOMEBODY = 0.5


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands.

    done, total: frames; total is None when the file does not say. seconds: since the run began.
    limiting: the stage with most work.
    """

    done: int
    total: int | None
    seconds: float
    limiting: str

    @property
    def fps(self) -> float:
        """Frames a second so far."""
        return self.done / self.seconds if self.seconds else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Seconds to go at this pace; None where the number of frames is not known."""
        if self.total is None or not self.done:
            return None
        return max(0, self.total - self.done) * self.seconds / self.done


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did, for people and for --json.

    start: where the output begins, in seconds from the source's first frame. alpha: 'straight',
    'premultiplied', or 'none' where the output has none. place: where the clip was filmed, if the
    output says so. losses, notes: a line each. step: what to do in the program that the output is
    for, a line; None where none was named.
    Of the run: seconds; stages: seconds at work (wall time) by the stage's name; audio, damage: a
    line each; nobody: whether no frame has anybody in it; broke_off: whether standard input broke
    off before its end. reused: whether there was no run, because an earlier one had made the
    output.
    """

    source: Path
    outputs: tuple[Path, ...]
    format: str
    frames: int
    start: Fraction
    size: tuple[int, int]
    rate: Fraction
    pixels: str
    colour: str
    alpha: str
    timecode: str | None
    place: str | None
    losses: tuple[str, ...]
    notes: tuple[str, ...]
    bytes: int = 0
    step: str | None = None
    seconds: float = 0.0
    stages: dict[str, float] = field(default_factory=dict)
    engine: str = ""
    audio: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    nobody: bool = False
    broke_off: bool = False
    reused: bool = False

    @property
    def fps(self) -> float:
        """Frames a second of the whole run, from its start to the finished file."""
        return self.frames / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Counter:
    """Counts the frames of a run and reports its progress. report: is called after each frame."""

    source: Source
    plan: Plan
    times: StageTimes
    report: Callable[[Progress], None] | None
    frames: int = 0
    _end: Fraction = Fraction(0)
    _highest: float = 0.0
    _began: float = field(default_factory=time.perf_counter)

    @property
    def nobody(self) -> bool:
        """Whether no frame so far has anybody in it."""
        return self._highest < _SOMEBODY

    def add(self, frame: Frame, highest: float) -> None:
        """Count a frame that was written. highest: its highest alpha, 0 to 1."""
        self.frames += frame.repeats
        self._highest = max(self._highest, highest)
        end = frame.pts + max(frame.repeats, frame.duration)
        self._end = end * self.plan.time_base + self.plan.origin
        if self.report:
            seconds = time.perf_counter() - self._began
            self.report(Progress(self.frames, self._total(), seconds, self.times.limiting))

    def _total(self) -> int | None:
        """Frames expected, from the container's count or its duration."""
        facts, plan = self.source.facts, self.plan
        if plan.start is None and plan.end is None and facts.frames and plan.rate == facts.rate:
            return facts.frames
        seconds = length(facts, plan.start, plan.end)
        if facts.duration is None or seconds is None:
            return None
        return max(1, round(seconds * plan.rate))

    def check_complete(self) -> None:
        """Note in the source's damage a file that stopped before its stated end.

        Raises MediaError when no frame came.
        """
        if not self.frames:
            raise MediaError(
                f"{self.source.path}: no frame could be decoded in the range asked for"
            )
        facts = self.source.facts
        if facts.duration is not None and self.plan.end is None and not self.source.damage.breaks:
            missing = facts.start + facts.duration - self._end
            cut_off = missing > (_CUT_OFF if facts.audio else 2 / facts.rate)
            self.source.damage.ended_early |= cut_off
