"""The main job: a recorded clip in, a clip with alpha out; and the same as a plain iterator."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import av

from mattecast import engines
from mattecast.compositing.composer import Composer
from mattecast.engines import Engine
from mattecast.errors import MediaError
from mattecast.flow import StageTimes, ahead, all_the_cores, half_the_cores, opencv_aside
from mattecast.matting.corrections import Abandoned
from mattecast.matting.finish import refine, settle
from mattecast.matting.guidance import Clock, Guidance
from mattecast.matting.guidance import find as find_guidance
from mattecast.matting.prepare import Preparer, constant_rate, own_times
from mattecast.matting.second_pass import Following
from mattecast.matting.shots import Small, estimate, shots
from mattecast.media.facts import Facts
from mattecast.media.formats import FILL_KEY, FORMATS
from mattecast.media.frame import Estimated, Frame, Matted
from mattecast.media.gpu import decoder, encoded_on_gpu
from mattecast.media.source import Source, open_source
from mattecast.media.writer import Writer, open_writer
from mattecast.plan import Plan, fill_and_key, plan
from mattecast.settings import Settings

# How many times larger than the network's a picture is whose decoding, filters and encoding cost as
# much as the network does: about 1.1 million pixels, more than 720 and less than 1080 lines. On 2
# cores, one for the network makes 1080p 5 % quicker; both make 1200x1080 18 % and 512x384 30 %.
_LARGE = 9
# Frames waiting between two stages: enough to smooth uneven decoding, little enough that 4K fits.
_QUEUE = 2
# A clip whose last picture ends this much before the end of the file (seconds) was cut off;
# sound commonly goes on for some of it.
_CUT_OFF = Fraction(1)


class Composing(Protocol):
    """Makes the pictures that are encoded of what the stages before it yield."""

    def __call__(self, matted: Any, /) -> av.VideoFrame:
        """matted: a Matted, or an Estimated where pictures stay on a device."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands. total: frames expected, None when the file does not say."""

    done: int
    total: int | None
    seconds: float
    limiting: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run did, for people and for --json.

    stages: name to seconds at work (wall). losses, damage, audio: a line each.
    """

    source: Path
    outputs: tuple[Path, ...]
    format: str
    frames: int
    seconds: float
    stages: dict[str, float]
    engine: str
    size: tuple[int, int]
    rate: Fraction
    pixels: str
    colour: str
    timecode: str | None
    audio: tuple[str, ...]
    losses: tuple[str, ...]
    damage: tuple[str, ...]
    bytes: int

    @property
    def fps(self) -> float:
        """Frames a second of the whole run, start to finished file."""
        return self.frames / self.seconds if self.seconds else 0.0


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
    settings, output = settings or Settings(), Path(output)
    name = settings.resolved_format(output)
    started = time.perf_counter()
    with opencv_aside(), ExitStack() as stack:
        clip = _opened(source, settings, stack)
        formats = fill_and_key() if name == FILL_KEY else (FORMATS[name],)
        plans = [plan(clip.facts, settings, format) for format in formats]
        guidance = find_guidance(Path(clip.path), settings)
        if settings.gpu_video:
            plans = [encoded_on_gpu(one, settings, guidance) for one in plans]
        # Outputs that cannot be are refused before the network takes its time to load.
        lanes = [
            _lane(clip, path, one, settings, stack)
            for path, one in zip(_paths(output, name), plans, strict=True)
        ]
        engine, guidance = _engine(clip, guidance, settings, stack)
        times = StageTimes()
        counter = _Counter(clip.facts, plans[0], times, progress)
        stages = _mattes if plans[0].device is None else _estimates
        for matted in stages(clip, plans[0], engine, guidance, settings, times, stack):
            for composer, writer in lanes:
                _write(matted, composer, writer, times)
            counter.add(matted.frame)
        counter.check_complete(clip)
        for _, writer in lanes:
            with times.measure("encode"):
                writer.flush()
        for _, writer in lanes:
            writer.finish()
    return Summary(
        source=Path(source),
        outputs=tuple(writer.output for _, writer in lanes),
        format=name,
        frames=counter.frames,
        seconds=time.perf_counter() - started,
        stages=dict(times.wall),
        engine=str(engine.info),
        size=plans[0].size,
        rate=plans[0].rate,
        pixels=plans[0].pixels,
        colour=str(plans[0].colour),
        timecode=str(plans[0].timecode) if plans[0].timecode else None,
        audio=tuple(lanes[0][1].kept_audio),
        losses=plans[0].losses,
        damage=tuple(clip.damage.lines()),
        bytes=sum(_bytes(lane[1].output) for lane in lanes),
    )


def mattes(source: str | Path, settings: Settings | None = None) -> Iterator[Matted]:
    """Matte a clip and yield its frames: `.alpha`, `.foreground`, `.pts`, each as Matted says.

    The pictures are worked on as for ProRes 4444. Frames may be kept; each owns its arrays.
    """
    settings = settings or Settings()
    with ExitStack() as stack:
        clip = _opened(source, settings, stack)
        ours = plan(clip.facts, settings, FORMATS["prores"])
        guidance = find_guidance(Path(clip.path), settings)
        engine, guidance = _engine(clip, guidance, settings, stack)
        yield from _mattes(clip, ours, engine, guidance, settings, StageTimes(), stack)


def _opened(source: str | Path, settings: Settings, stack: ExitStack) -> Source:
    hwaccel = decoder(settings.device) if settings.gpu_video else None
    clip = open_source(source, rate=settings.rate, hwaccel=hwaccel)
    stack.callback(clip.close)
    return clip


def _engine(
    clip: Source, guidance: Guidance, settings: Settings, stack: ExitStack
) -> tuple[Engine, Guidance]:
    """The network, and the guidance it leaves to do: one that takes a plate has used it."""
    facts = clip.facts
    spec = engines.find(settings.model)
    # The network sees pictures as they are shown: square pixels.
    wish = (float(facts.width * facts.sar), float(facts.height), settings.network_size)
    size = engines.network_size(spec, *wish)
    plate = guidance.plate_at(size) if spec.plate else None
    load = partial(
        engines.load,
        spec,
        backend=settings.backend,
        precision=settings.precision,
        device=settings.device,
        fallback=settings.fallback,
        plate=plate,
        threads=settings.threads or _threads(facts, size),
    )
    engine = load(size) if settings.detail == "fast" else engines.looks(load, spec, *wish)
    stack.callback(engine.close)
    return engine, replace(guidance, plate=None) if spec.plate else guidance


def _threads(facts: Facts, size: tuple[int, int]) -> int:
    """For the network at a size: half the cores if there is as much to do beside it."""
    large = facts.width * facts.height > _LARGE * math.prod(size)
    return half_the_cores() if large else all_the_cores()


def _mattes(
    clip: Source,
    plan: Plan,
    engine: Engine,
    guidance: Guidance,
    settings: Settings,
    times: StageTimes,
    stack: ExitStack,
) -> Iterator[Matted]:
    """Decode and conversion on one thread, the network on a second, filters on a third."""
    estimates, stop = _network(clip, plan, engine, settings, times, stack)
    clock = Clock(plan, clip.facts.start)
    look = _Look(clip, plan, engine.info.size, settings, guidance)
    # Closed after what is registered next: whoever looks.
    stack.callback(look.close)

    def stop_all() -> None:
        look.stop()
        stop()

    mattes = ahead(refine(estimates, guidance, clock, settings, times, look), _QUEUE, stop_all)
    stack.callback(mattes.close)
    return mattes


class _Look:
    """See foresight.Look: the clip opened once more, with a network of its own."""

    def __init__(
        self,
        clip: Source,
        plan: Plan,
        network: tuple[int, int],
        settings: Settings,
        guidance: Guidance,
    ) -> None:
        self._clip, self._plan, self._network = clip, plan, network
        self._settings, self._guidance = settings, guidance
        self._stack = ExitStack()
        self._engine: Engine | None = None
        self._stopped = False
        self._end_preroll: Callable[[], None] = lambda: None

    def stop(self) -> None:
        """End the look that is going on, from any thread; nobody waits for it any more."""
        self._stopped = True
        self._end_preroll()

    def frames(self, start: Fraction) -> Generator[tuple[Fraction, Estimated], None, None]:
        part, clock = self._from(start)
        engine = self._loaded()
        with ExitStack() as stack:
            again = _opened(self._clip.path, self._settings, stack)
            stages, stop = _network(
                again, part, engine, self._settings, StageTimes(), stack, small_only=True
            )
            self._end_preroll = stop
            self._go_on()
            for estimated in stages:
                self._go_on()
                yield clock(estimated.frame.pts), estimated

    def pictures(self, start: Fraction) -> Generator[tuple[Fraction, Small, bool], None, None]:
        part, clock = self._from(start)
        times = StageTimes()
        with ExitStack() as stack:
            again = _opened(self._clip.path, self._settings, stack)
            frames = _frames(
                again, part, self._network, self._settings, times, stack, small_only=True
            )
            for frame, first, _ in shots(frames, times, cuts=self._settings.cuts):
                self._go_on()
                yield clock(frame.pts), frame.small, first

    def _go_on(self) -> None:
        if self._stopped:
            raise Abandoned

    def _loaded(self) -> Engine:
        if self._engine is None:
            self._engine, _ = _engine(self._clip, self._guidance, self._settings, self._stack)
        return self._engine

    def _from(self, start: Fraction) -> tuple[Plan, Clock]:
        """A run from a time on, in seconds from the clip's first frame, and its clock."""
        plan, first = self._plan, self._clip.facts.start
        # Whole steps from the run's own origin, so that every frame has the time it has there.
        steps = (start + first - plan.origin) // plan.time_base
        part = replace(plan, start=plan.origin + steps * plan.time_base)
        return part, Clock(part, first)

    def close(self) -> None:
        """Release the network."""
        self._stack.close()


def _estimates(
    clip: Source,
    plan: Plan,
    engine: Engine,
    guidance: Guidance,
    settings: Settings,
    times: StageTimes,
    stack: ExitStack,
) -> Iterator[Estimated]:
    """The same where pictures stay on the plan's device: its composer does what is left."""
    estimates, stop = _network(clip, plan, engine, settings, times, stack)
    settled = ahead(settle(estimates, settings, times), _QUEUE, stop)
    stack.callback(settled.close)
    return settled


def _network(
    clip: Source,
    plan: Plan,
    engine: Engine,
    settings: Settings,
    times: StageTimes,
    stack: ExitStack,
    *,
    small_only: bool = False,
) -> tuple[Iterator[Estimated], Callable[[], None]]:
    """The estimates, and what makes a pre-roll end early: to be called before any thread that
    waits for them is joined."""
    size = engine.info.size
    frames = _frames(clip, plan, size, settings, times, stack, small_only=small_only)
    # On the CPU: a few pictures a shot are not worth another of the GPU's decoders.
    reopen = partial(open_source, clip.path, rate=settings.rate)
    following = Following(reopen, plan, size)
    # One, for more made nothing quicker and each holds a picture.
    estimated = estimate(frames, engine, times, following, cuts=settings.cuts)
    estimates = ahead(estimated, 1, following.stop)
    stack.callback(estimates.close)
    return estimates, following.stop


def _frames(
    clip: Source,
    plan: Plan,
    network: tuple[int, int],
    settings: Settings,
    times: StageTimes,
    stack: ExitStack,
    *,
    small_only: bool = False,
) -> Iterator[Frame]:
    """Decoded and converted on a thread of their own; see Preparer."""
    decoded = clip.frames(plan.start, plan.end)
    timed = (constant_rate if settings.cfr else own_times)(decoded, clip.facts, plan)
    preparer = Preparer(clip.facts, plan, network, small_only=small_only)
    frames = ahead(preparer.frames(times.pulls("decode", timed), times), _QUEUE)
    # By name, and after whoever consumes them: the traceback of an error keeps `frames` alive, and
    # the clip must not be closed under a thread that still decodes it.
    stack.callback(frames.close)
    return frames


def _lane(
    clip: Source, output: Path, plan: Plan, settings: Settings, stack: ExitStack
) -> tuple[Composing, Writer]:
    composer = _composer(plan, settings)
    stack.callback(composer.close)
    writer = open_writer(clip, output, plan, overwrite=settings.overwrite, threads=all_the_cores())
    stack.callback(writer.abort)
    return composer, writer


def _composer(plan: Plan, settings: Settings) -> Composing:
    if plan.device is None:
        return Composer(plan, settings)
    from mattecast.compositing.gpu import GpuComposer

    return GpuComposer(plan, settings)


def _write(
    matted: Matted | Estimated, composer: Composing, writer: Writer, times: StageTimes
) -> None:
    frame = matted.frame
    with times.measure("compose"):
        picture = composer(matted)
    with times.measure("encode"):
        for repeat in range(frame.repeats):
            writer.write(picture, frame.pts + repeat, frame.duration)


def _paths(output: Path, name: str) -> tuple[Path, ...]:
    if name != FILL_KEY:
        return (output,)
    suffix = output.suffix or ".mov"
    return output.with_suffix(f".fill{suffix}"), output.with_suffix(f".key{suffix}")


def _bytes(output: Path) -> int:
    if output.is_dir():
        return sum(entry.stat().st_size for entry in output.iterdir())
    return output.stat().st_size


@dataclass(slots=True)
class _Counter:
    """Counts frames and tells how far the run is."""

    facts: Facts
    plan: Plan
    times: StageTimes
    tell: Callable[[Progress], None] | None
    frames: int = 0
    last: Fraction = Fraction(0)
    started: float = field(default_factory=time.perf_counter)

    def add(self, frame: Frame) -> None:
        self.frames += frame.repeats
        end = frame.pts + max(frame.repeats, frame.duration)
        self.last = end * self.plan.time_base + self.plan.origin
        if self.tell:
            seconds = time.perf_counter() - self.started
            self.tell(Progress(self.frames, self._total(), seconds, self.times.limiting))

    def _total(self) -> int | None:
        """Frames expected, from the container's count or its duration."""
        facts, plan = self.facts, self.plan
        if plan.start is None and plan.end is None and facts.frames and plan.rate == facts.rate:
            return facts.frames
        if facts.duration is None:
            return None
        end = min(plan.end or facts.start + facts.duration, facts.start + facts.duration)
        return max(1, round((end - (plan.start or facts.start)) * plan.rate))

    def check_complete(self, clip: Source) -> None:
        """Raise MediaError when nothing came; note a file that stopped before its stated end."""
        if not self.frames:
            raise MediaError(f"{clip.path}: no frame could be decoded in the range asked for")
        facts = self.facts
        if facts.duration is not None and self.plan.end is None:
            missing = facts.start + facts.duration - self.last
            clip.damage.ended_early |= missing > (_CUT_OFF if facts.audio else 2 / facts.rate)
