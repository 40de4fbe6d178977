"""The stages of a run, in order: the one place that files, live and benchmarks take it from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from mattecast.compositing.stage import Compose, Composing
from mattecast.filters.time.cuts import AHEAD
from mattecast.flow import Stage
from mattecast.job import Job
from mattecast.matting.corrections import ClipAgain
from mattecast.matting.detail import check_solver, medium_detail
from mattecast.matting.finish import Colours, Despill, edges
from mattecast.matting.guide import Guide, Mask
from mattecast.matting.network import Following, Network, Preroll
from mattecast.matting.prepare import QUICK, ConstantRate, Convert, OwnTimes
from mattecast.matting.shots import ShotFrame, Shots, Small
from mattecast.matting.smooth import smoothing
from mattecast.media.frame import EXACT, Frame
from mattecast.media.tone import standard_range

Group = list[Stage[Any, Any]]


class Again(ClipAgain, Protocol):
    """The clip once more, see second_pass.SecondPass."""

    def following(self, frame: Frame) -> Iterable[Small]:
        """The pictures after a frame, as the network sees them."""
        ...


class Stages(NamedTuple):
    """The stages of a run in order, in groups that a thread of its own may run.

    prepare: decoded frames become upright pictures. shots: cuts are found. network: each frame has
    the network's matte. small: these mattes are guided, solved and smoothed at the network's size.
    full: mattes at full size, with the person's own colours. compose: the pictures to encode.
    """

    prepare: Group
    shots: Group
    network: Group
    small: Group
    full: Group
    compose: Group


def stages(
    job: Job,
    again: Again | None = None,
    composers: Sequence[Composing] = (),
    *,
    following: Following | None = None,
    small_only: bool = False,
) -> Stages:
    """The stages that a job needs.

    again: the clip once more, for pre-rolls and corrections; None where it cannot be had.
    composers: each makes one picture to encode of a frame; without, the run ends with mattes.
    following: the pictures of pre-rolls, where they come from elsewhere than from `again`.
    small_only: nothing after the network's pictures and mattes is wanted. Raises UsageError for a
    solver that is not installed or that needs more memory than is free.
    """
    return Stages(
        prepare=_prepare(job, small_only=small_only),
        shots=[Shots(cuts=job.settings.cuts, ahead=0 if job.live else AHEAD)],
        network=_network(job, following or (again.following if again else None)),
        small=[] if small_only else _small(job, again),
        full=[] if small_only or job.plan.device else _full(job),
        compose=[Compose(composers)] if composers else [],
    )


def _prepare(job: Job, *, small_only: bool) -> Group:
    times = ConstantRate if job.plan.constant else OwnTimes
    conversion = QUICK if job.live else EXACT
    size = job.network_size
    return [
        times(job.facts, job.plan),
        Convert(job.facts, job.plan, size, conversion=conversion, small_only=small_only),
    ]


def _network(job: Job, following: Following | None) -> Group:
    if job.engine is None:
        return []
    standard = standard_range(job.facts.colour, job.facts.mastering)
    if following is not None:
        preroll = Preroll(following, cuts=job.settings.cuts)
        return [Network(job.engine, preroll, standard)]
    return [Network(job.engine, _first_picture if job.live else _nothing, standard)]


def _first_picture(item: ShotFrame) -> list[Small]:
    return [item.frame.small]


def _nothing(item: ShotFrame) -> list[Small]:
    return []


def _small(job: Job, again: Again | None) -> Group:
    """The stages at the network's size.

    Edges are solved before they are smoothed over time: smoothing also takes out what solving frame
    by frame makes tremble.
    """
    settings, guidance = job.settings, job.guidance
    group: Group = []
    if guidance.before:
        group.append(Guide(guidance, job.clock, 1 / job.plan.rate, again))
    if settings.detail != "fast" and not settings.refine and not job.live:
        group.append(medium_detail())
    return group + smoothing(settings, live=job.live, drawn=guidance.drawn)


def _full(job: Job) -> Group:
    settings, guidance, plan = job.settings, job.guidance, job.plan
    if settings.refine and not job.live:
        check_solver(settings.refine, plan.size)
    group: Group = [edges(settings, plan, live=job.live)]
    if guidance.keep or guidance.garbage:
        group.append(Mask(guidance, job.clock))
    if plan.format.matte_only:
        return group
    if settings.foreground == "estimate":
        group.append(Colours(plan))
    if settings.despill:
        group.append(Despill(plan, settings.despill))
    return group
