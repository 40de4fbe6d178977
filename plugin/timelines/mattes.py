"""Mattes for a timeline: the parts of files that it uses, a run for each, the timeline again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Protocol

from mattecast.errors import MattecastError, MediaError, UsageError
from mattecast.media.facts import Facts
from mattecast.media.pictures import is_pattern, is_still
from mattecast.media.source import open_source
from mattecast.output_names import is_output
from mattecast.report import Progress, Summary
from mattecast.settings import Settings
from mattecast.timelines.earlier import with_mattes
from mattecast.timelines.files import base_folder
from mattecast.timelines.links import absolute, relative
from mattecast.timelines.pieces import Part, Piece, part, pieces, timecode_start
from mattecast.timelines.timeline import Matte, Timeline, Use, read_timecode


class Matting(Protocol):
    """Makes one output, or takes an earlier one."""

    def __call__(
        self,
        source: Path,
        output: Path,
        settings: Settings,
        *,
        progress: Callable[[Progress], None] | None = None,
    ) -> Summary: ...


@dataclass(frozen=True, slots=True)
class Job:
    """One piece, and the output and the settings of its run. ready: whether it was made earlier."""

    piece: Piece
    output: Path
    settings: Settings
    ready: bool


@dataclass(slots=True)
class Mattes:
    """The mattes of a timeline.

    settings: of each run; without sound, which stays where it is. handles: frames more on both
    sides. only: a pattern of names of tracks or clips; None for all. matted: how many clips are
    mattes, or have theirs already.
    """

    timeline: Timeline
    settings: Settings
    handles: int = 0
    only: str | None = None
    uses: dict[int, Use] = field(default_factory=dict)
    facts: dict[int, Facts] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    made: dict[int, Matte] = field(default_factory=dict)
    matted: int = 0
    _opened: dict[tuple[Path, Fraction | None], Facts | str] = field(default_factory=dict)

    def plan(self) -> None:
        """Find out which pieces have to be matted, and note why others are left."""
        parts = []
        ready = with_mattes(self.timeline.found.uses, self._facts_of)
        wanted = [(n, use) for n, use in enumerate(self.timeline.found.uses) if self.wants(use)]
        self._leave_mattes([use for _, use in wanted if is_output(use.media)])
        for index, use in wanted:
            if is_output(use.media):
                continue
            facts = self._facts_of(use)
            found = facts if isinstance(facts, str) else part(index, use, facts, self.handles)
            if isinstance(facts, str) or isinstance(found, str):
                self.timeline.found.left.append(f"{use} {found}: left as it is")
                continue
            if index in ready:
                self.matted += 1
                self.timeline.found.left.append(f"{use} has its matte above it: left as it is")
                continue
            self.uses[index], self.facts[index] = use, facts
            parts.append(found)
        self.pieces = pieces(parts, self.uses, self.facts)

    def _leave_mattes(self, uses: list[Use]) -> None:
        """Note the clips that are mattes themselves, in one line."""
        self.matted += len(uses)
        if uses:
            tracks = ", ".join(dict.fromkeys(use.track for use in uses))
            which = "1 clip is a matte" if len(uses) == 1 else f"{len(uses)} clips are mattes"
            them = "it is" if len(uses) == 1 else "they are"
            self.timeline.found.left.append(f"{which} already, on {tracks}: left as {them}")

    def wants(self, use: Use) -> bool:
        """Whether a clip is one of those that were asked for."""
        names = (use.track.lower(), use.name.lower())
        return self.only is None or any(fnmatch(name, self.only.lower()) for name in names)

    def _facts_of(self, use: Use) -> Facts | str:
        """The facts of a media file, or why there are none."""
        key = (use.media, use.rate)
        if key not in self._opened:
            self._opened[key] = _facts(use, self.settings)
        return self._opened[key]

    def jobs(
        self, folder: Path, name: Callable[[Path, Settings], str], *, reuse: bool
    ) -> list[Job]:
        """A run for each piece. folder: for the outputs. name: of an output. reuse: whether
        outputs that are there already are taken as they are."""
        jobs = []
        for piece in self.pieces:
            use = self.uses[piece.parts[0].index]
            settings = replace(
                self.settings,
                range=piece.range,
                handles=0,
                audio=False,
                overwrite=self.settings.overwrite or not reuse,
            )
            if use.rate is not None:
                settings = replace(settings, rate=use.rate)
            output = folder / name(piece.media, settings)
            jobs.append(Job(piece, output, settings, ready=reuse and output.exists()))
        return jobs

    def run(
        self,
        jobs: Iterable[Job],
        matting: Matting,
        progress: Callable[[Progress], None] | None,
        report: Callable[[Exception, Path], object],
        done: Callable[[Summary], None],
    ) -> bool:
        """Matte all pieces; returns whether all went well.

        progress: of the whole. report: is told of each run that fails. done: of each that ends.
        """
        jobs = list(jobs)
        whole = _Whole(sum(job.piece.frames for job in jobs if not job.ready), progress)
        good = True
        for job in jobs:
            try:
                summary = matting(
                    job.piece.media, job.output, job.settings, progress=whole.part(job)
                )
            except Exception as error:  # even a mistake of ours with one clip stops no other clip
                report(error, job.piece.media)
                for each in job.piece.parts:
                    self.timeline.found.left.append(f"{self.uses[each.index]} was not matted")
                good = False
                continue
            whole.finish(job)
            done(summary)
            for each in job.piece.parts:
                self._place(each, job.piece, summary)
        return good

    def _place(self, each: Part, piece: Piece, summary: Summary) -> None:
        """Note the matte of one use."""
        use, facts = self.uses[each.index], self.facts[each.index]
        first = self._first(each, facts, summary)
        frames = summary.frames
        if facts.variable_rate:  # its frames say nothing of how long it is
            frames = round((piece.last / piece.rate - summary.start) * summary.rate)
        length = frames / summary.rate
        if each.begin < summary.start or each.end > summary.start + length:
            self.timeline.found.left.append(
                f"{use}: its matte has {frames} frames, which is too few: left as it is"
            )
            return
        self.made[each.index] = Matte(
            path=summary.outputs[0],
            begin=first + each.begin - summary.start,
            first=first,
            frames=frames,
            rate=summary.rate,
            size=summary.size,
            premultiplied=summary.alpha == "premultiplied",
            timecode=read_timecode(summary.timecode, summary.rate),
        )

    def _first(self, each: Part, facts: Facts, summary: Summary) -> Fraction:
        """When a matte's first frame comes on its clock in the timeline: the clock of a program
        begins with the timecode of a file, or with zero."""
        own, made = timecode_start(facts), read_timecode(summary.timecode, summary.rate)
        if self.timeline.counts_from_zero or own is None or made is None:
            return Fraction(0)
        if each.zero == 0 != own:
            return Fraction(0)  # this program does not heed timecode
        return made.frames / summary.rate

    def written(self, output: Path, *, in_place: bool) -> bytes:
        """The timeline with the mattes that were made. output: where it goes.

        Raises MediaError where there are none.
        """
        if not self.made:
            raise MediaError(f"{output}: not written, since no clip was matted")
        is_relative = self.timeline.found.relative
        link = partial(relative, folder=base_folder(output)) if is_relative else absolute
        made = dict(sorted(self.made.items()))
        return self.timeline.with_mattes(made, replace=in_place, link=link)


@dataclass(slots=True)
class _Whole:
    """Progress over all runs: frames that are done and to be done, seconds since the first."""

    total: int
    report: Callable[[Progress], None] | None
    _done: int = 0
    _began: float = field(default_factory=time.perf_counter)

    def part(self, job: Job) -> Callable[[Progress], None] | None:
        """What takes the progress of one run."""
        if self.report is None or job.ready:
            return None
        report = self.report

        def show(progress: Progress) -> None:
            done = self._done + min(progress.done, job.piece.frames)
            seconds = time.perf_counter() - self._began
            report(Progress(done, self.total, seconds, progress.limiting))

        return show

    def finish(self, job: Job) -> None:
        """Count a run that has ended."""
        self._done += 0 if job.ready else job.piece.frames


def check_settings(settings: Settings, format_is_movie: bool) -> None:
    """Raise UsageError for settings that the mattes of a timeline cannot have."""
    if settings.range is not None:
        raise UsageError("range: the timeline says which parts are matted; leave it out")
    if settings.audio:
        raise UsageError("audio: the timeline has the sound already; leave it out")
    if settings.cfr is not None or settings.deinterlace == "field":
        raise UsageError("cfr, deinterlace field: mattes of a timeline keep their source's rate")
    if not format_is_movie:
        raise UsageError("format: mattes of a timeline are movies, such as prores, qtrle or webm")


def _facts(use: Use, settings: Settings) -> Facts | str:
    """The facts of a media file, or why there are none."""
    path = use.media
    if not is_pattern(path):
        if not os.path.exists(path):
            return f"has its media missing ({path})"
        if is_still(path):
            return "is a still picture"
    try:
        with open_source(
            path, rate=use.rate, track=settings.track, deinterlace=settings.deinterlace
        ) as source:
            facts = source.facts
    except MattecastError as error:
        return f"has media that cannot be read ({error})"
    return "is a still picture" if facts.still and facts.frames == 1 else facts
