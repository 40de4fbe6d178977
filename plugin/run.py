"""The main job: a recorded clip in, a clip with alpha out; and the same as a plain iterator."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from mattecast.compositing.composer import Composer
from mattecast.compositing.stage import Composing
from mattecast.errors import MediaError
from mattecast.flow import StageTimes, all_the_cores, opencv_aside, run, threaded
from mattecast.job import Job
from mattecast.matting.guidance import Guidance
from mattecast.matting.guidance import find as find_guidance
from mattecast.matting.look_ahead import LookAhead, refuse_what_looks_back
from mattecast.matting.network import load_network
from mattecast.matting.second_pass import SecondPass
from mattecast.matting.stages import Stages, stages
from mattecast.media.container import is_cut_off
from mattecast.media.formats import FILL_KEY, FORMATS, Format
from mattecast.media.frame import Matted
from mattecast.media.gpu import decoder, encoded_on_gpu
from mattecast.media.host import Kind, colours
from mattecast.media.hosts import HOSTS
from mattecast.media.pictures import is_pattern, is_still
from mattecast.media.pipe import Raw, is_pipe
from mattecast.media.source import Source, open_source
from mattecast.media.stream import StreamWriter
from mattecast.media.tags import place_in
from mattecast.media.writer import Writer, open_writer
from mattecast.plan import Plan, becomes_standard, fill_and_key, plan
from mattecast.report import Counter, Progress, Summary
from mattecast.settings import Settings
from mattecast.timelines import sidecars

# Frames that may wait between two stages: enough to smooth uneven decoding, and so few that 4K
# fits. For mattes of the network one is enough: more made nothing quicker, and each holds a
# picture.
_WAITING, _WAITING_MATTES = 2, 1


def matte(
    source: str | Path,
    output: str | Path,
    settings: Settings | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Matte one clip into one output (two for fill-key). Nothing is left behind on failure.

    progress: called after each frame. Raises a MattecastError with the one line to show.
    """
    settings = settings or Settings()
    output = _named(Path(output), settings)
    name = settings.resolved_format(output)
    movie = all(each.container is not None for each in _formats(name))
    paths = _paths(output, name)
    sidecars.check(paths, settings.sidecars, movie=movie, overwrite=settings.overwrite)
    began = time.perf_counter()
    with opencv_aside(), ExitStack() as stack:
        clip = stack.enter_context(_opened(source, settings, _formats(name)[0]))
        guidance = _guidance(clip, settings)
        plans = _plans(clip, name, settings, guidance)
        # Outputs that cannot be are refused before the network takes its time to load.
        composers = [_composer(each, settings, stack) for each in plans]
        writers = [
            _writer(clip, path, each, settings, stack)
            for path, each in zip(paths, plans, strict=True)
        ]
        job, again = _job(clip, plans[0], settings, guidance, stack)
        times = StageTimes()
        counter = Counter(clip, plans[0], times, progress)
        every, frames, stop = _reading(clip, job, again, composers)
        mattes = stack.enter_context(closing(_mattes(frames, every, times, stop)))
        for composed in run(mattes, every.compose, times):
            frame = composed.frame
            with times.measure("encode"):
                for writer, picture in zip(writers, composed.pictures, strict=True):
                    for repeat in range(frame.repeats):
                        writer.write(picture, frame.pts + repeat, frame.duration)
            counter.add(frame, composed.highest)
        counter.check_complete()
        with times.measure("encode"):
            for writer in writers:
                writer.flush()
        for writer in writers:
            writer.finish()
    summary = _summary(clip, name, job, writers, counter, time.perf_counter() - began)
    sidecars.write(summary, settings.sidecars)
    return summary


def mattes(source: str | Path, settings: Settings | None = None) -> Iterator[Matted]:
    """Matte a clip and yield its frames: `.alpha`, `.foreground`, `.pts`, each as Matted says.

    The pictures are worked on as for ProRes 4444. Frames may be kept; each owns its arrays.
    """
    settings = settings or Settings()
    with ExitStack() as stack:
        clip = stack.enter_context(_opened(source, settings, FORMATS["prores"]))
        guidance = _guidance(clip, settings)
        ours = plan(clip.facts, settings, FORMATS["prores"])
        job, again = _job(clip, ours, settings, guidance, stack)
        every, frames, stop = _reading(clip, job, again, ())
        matted = _mattes(frames, every, StageTimes(), stop)
        yield from stack.enter_context(closing(matted))


def _formats(name: str) -> tuple[Format, ...]:
    """The formats of the outputs: one, or the picture and the matte of fill-key."""
    return fill_and_key() if name == FILL_KEY else (FORMATS[name],)


def _opened(source: str | Path, settings: Settings, format: Format) -> Source:
    hwaccel = decoder(settings.device) if settings.gpu_video else None
    return open_source(
        source,
        rate=settings.rate,
        track=settings.track,
        hwaccel=hwaccel,
        deinterlace=settings.deinterlace,
        sdr=partial(becomes_standard, settings=settings, format=format),
        raw=Raw.parse(settings.raw) if settings.raw else None,
    )


def _guidance(clip: Source, settings: Settings) -> Guidance:
    """What a person says about the clip. No file of it lies beside a pipe."""
    if clip.feed is not None and settings.guidance is None:
        settings = replace(settings, guidance="off")
    return find_guidance(clip.path, settings)


def _plans(clip: Source, name: str, settings: Settings, guidance: Guidance) -> list[Plan]:
    """What each output will be."""
    plans = [plan(clip.facts, settings, format) for format in _formats(name)]
    # The picture and its matte begin together, though only one has sound.
    plans = [replace(each, begins=plans[0].begins) for each in plans]
    if clip.feed is not None:
        refuse_what_looks_back(guidance, plans[0], clip.facts)
    if settings.gpu_video:
        plans = [encoded_on_gpu(each, settings, guidance) for each in plans]
    return plans


def _composer(plan: Plan, settings: Settings, stack: ExitStack) -> Composing:
    composer: Composing
    if plan.device is None:
        composer = Composer(plan, settings)
    else:
        from mattecast.compositing.gpu import GpuComposer

        composer = GpuComposer(plan, settings)
    stack.callback(composer.close)
    return composer


def _writer(clip: Source, output: Path, plan: Plan, settings: Settings, stack: ExitStack) -> Writer:
    writer = open_writer(clip, output, plan, overwrite=settings.overwrite, threads=all_the_cores())
    stack.callback(writer.abort)
    return writer


def _job(
    clip: Source, plan: Plan, settings: Settings, guidance: Guidance, stack: ExitStack
) -> tuple[Job, SecondPass]:
    """The job, with its network loaded, and what reads its clip once more."""
    engine, left = load_network(clip.facts, guidance, settings)
    stack.callback(engine.close)
    job = Job(clip.facts, plan, settings, left, engine, engine.info.size)
    again = SecondPass(job, clip.again, lambda: load_network(clip.facts, guidance, settings)[0])
    stack.callback(again.close)
    return job, again


def _reading(
    clip: Source, job: Job, again: SecondPass, composers: Sequence[Composing]
) -> tuple[Stages, Iterator[Any], Callable[[], None]]:
    """The stages of a run, its decoded frames, and what ends the reading of all that it reads."""
    if clip.feed is None:
        frames = clip.frames(job.plan.start, job.plan.end)
        return stages(job, again, composers), frames, again.stop
    look = LookAhead(job, clip)
    return stages(job, None, composers, following=look.following), look.frames(), look.stop


def _mattes(
    frames: Iterator[Any], every: Stages, times: StageTimes, stop: Callable[[], None]
) -> Generator[Any, None, None]:
    """The clip's mattes. Decoding and conversion, the network, and the filters after it run on a
    thread each."""
    decoded = times.pulls("decode", frames)
    groups = (
        (every.prepare, _WAITING),
        (every.shots + every.network, _WAITING_MATTES),
        (every.small + every.full, _WAITING),
    )
    return threaded(decoded, groups, times, stop)


def _named(output: Path, settings: Settings) -> Path:
    """The output, with the suffix of its format where a host has to know it by its suffix."""
    name = settings.resolved_format(output)
    named = bool(output.suffix) or is_pipe(output)
    if settings.host is None or named or name == FILL_KEY or FORMATS[name].is_sequence:
        return output
    return output.with_suffix(FORMATS[name].suffix)


def _paths(output: Path, name: str) -> tuple[Path, ...]:
    if name != FILL_KEY:
        return (output,)
    suffix = output.suffix or ".mov"
    return output.with_suffix(f".fill{suffix}"), output.with_suffix(f".key{suffix}")


def _summary(
    clip: Source, name: str, job: Job, writers: list[Writer], counter: Counter, seconds: float
) -> Summary:
    assert job.engine is not None
    outputs = tuple(writer.output for writer in writers)
    return replace(
        _described(clip, name, job.plan, job.settings, outputs, counter.frames),
        seconds=seconds,
        stages=dict(counter.times.wall),
        engine=str(job.engine.info),
        audio=tuple(writers[0].kept_audio),
        bytes=sum(map(_written, writers)),
        damage=tuple(clip.damage.lines()),
        nobody=counter.nobody,
        broke_off=clip.damage.broke_off,
    )


def existing(source: str | Path, output: str | Path, settings: Settings) -> Summary | None:
    """What an earlier run made of a clip with these settings; None where it is not there or cannot
    be read whole.

    Raises a MattecastError where the source cannot be read.
    """
    output = _named(Path(output), settings)
    name = settings.resolved_format(output)
    outputs = outputs_of(output, settings)
    if not all(map(_is_whole, outputs)):
        return None
    with _opened(source, settings, _formats(name)[0]) as clip, open_source(outputs[0]) as made:
        ours = plan(clip.facts, settings, _formats(name)[0])
        frames = made.facts.frames or round((made.facts.duration or 0) * made.facts.rate)
        described = _described(clip, name, ours, settings, outputs, frames)
        return replace(described, bytes=sum(map(_bytes, outputs)), reused=True)


def outputs_of(output: str | Path, settings: Settings) -> tuple[Path, ...]:
    """The files or folders that a run writes."""
    output = _named(Path(output), settings)
    return _paths(output, settings.resolved_format(output))


def _is_whole(output: Path) -> bool:
    """Whether an output is there and can be read, as far as that shows without decoding it all."""
    try:
        open_source(output).close()
        return output.is_dir() or is_pattern(output) or is_still(output) or not is_cut_off(output)
    except MediaError:
        return False


def _described(
    clip: Source,
    name: str,
    plan: Plan,
    settings: Settings,
    outputs: tuple[Path, ...],
    frames: int,
) -> Summary:
    """A summary of the outputs, without what only a run knows."""
    return Summary(
        source=clip.path,
        outputs=outputs,
        format=name,
        frames=frames,
        start=Fraction(0) if plan.start is None else plan.start - clip.facts.start,
        size=plan.size,
        rate=plan.rate,
        pixels=plan.pixels,
        colour=str(plan.colour),
        alpha=_alpha(plan),
        timecode=str(plan.timecode) if plan.timecode else None,
        place=place_in(plan.tags),
        losses=plan.losses,
        notes=plan.notes,
        step=_step(plan, settings),
    )


def _alpha(plan: Plan) -> str:
    """The kind of alpha that an output has."""
    if plan.background is not None or plan.format.alpha_pixels is None:
        return "none"
    return colours(plan.premultiplied)


def _step(plan: Plan, settings: Settings) -> str | None:
    if settings.host is None or plan.background is not None:
        return None
    kind = Kind.written(plan.format, plan.pixels) if plan.format.alpha_pixels else None
    return HOSTS[settings.host].told(kind, colours(plan.premultiplied))


def _written(writer: Writer) -> int:
    return writer.bytes if isinstance(writer, StreamWriter) else _bytes(writer.output)


def _bytes(output: Path) -> int:
    if output.is_dir():
        return sum(entry.stat().st_size for entry in output.iterdir())
    return output.stat().st_size
