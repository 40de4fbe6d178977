"""Recording to a movie file beside the live pictures, with the time that they leave."""

from __future__ import annotations

import itertools
import queue
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.video.reformatter import VideoReformatter

from mattecast.errors import MattecastError, UsageError
from mattecast.flow import half_the_cores
from mattecast.live.capture import CLOCK, plain_facts
from mattecast.live.governor import Window
from mattecast.live.outputs.outlet import lower_priority
from mattecast.live.picture import GrowingTimes, Picture, fitted, over_colour
from mattecast.live.threads import Task, now
from mattecast.media.damage import Damage
from mattecast.media.destinations import output_errors, refuse_losing
from mattecast.media.facts import Facts
from mattecast.media.formats import FORMATS, guess
from mattecast.media.movie import MovieWriter
from mattecast.plan import plan
from mattecast.settings import Settings

if TYPE_CHECKING:
    from av.container.core import Chapter

# Pictures that may wait for the encoder: a third of a second, 30 MB at 720p.
_QUEUE = 8


@dataclass(frozen=True, slots=True)
class _Live:
    """A source's description (see media.source.Description), for pictures that come live."""

    facts: Facts
    path: Path
    damage: Damage = field(default_factory=Damage)
    chapters: list[Chapter] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    feed: None = None


class Recorder:
    """A Sink that writes a movie file, which appears whole when the recorder is closed.

    When recording fails the live picture goes on. What was recorded until then is kept beside the
    output as NAME.incomplete.SUFFIX; `state` and `result` say so, and `incomplete` is True.
    """

    def __init__(self, output: Path, *, overwrite: bool, quality: str = "high") -> None:
        self.output, self.state = output, f"recording {output.name}: waiting for pictures"
        self.progress, self.result, self.incomplete = "", "", False
        self.ages, self.sent, self.dropped = Window(), 0, 0
        self.gone = threading.Event()
        self._settings = Settings(overwrite=overwrite, quality=quality, audio=False)
        self._format = FORMATS[guess(output)]
        if self._format.is_sequence or self._format.picture:
            raise UsageError(f"{output}: live records movies: .mov, .webm, .mkv or .mp4")
        refuse_losing(output, _Live(plain_facts((16, 16)), output), overwrite=overwrite)
        self._queue: queue.Queue[Picture] = queue.Queue(_QUEUE)
        self._task = Task("recording", self._run)

    def start(self) -> None:
        """Record from the next picture on."""
        self._task.start()

    @property
    def failure(self) -> BaseException | None:
        """None: a recording that fails does not end the session."""
        return None

    def offer(self, picture: Picture) -> None:
        """Take a picture, unless the encoder is too far behind; never waits."""
        if self.gone.is_set():
            return
        try:
            self._queue.put_nowait(picture)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Finish the file, however long that takes."""
        while not self._task.close():
            pass

    def _run(self, stop: threading.Event) -> None:
        lower_priority()
        try:
            self._record(stop)
        except Exception as error:
            self._end(f"recording failed: {_reason(error)}", incomplete=True)

    def _end(self, result: str, *, incomplete: bool = False) -> None:
        self.incomplete, self.progress = incomplete, ""
        self.state = self.result = result
        self.gone.set()

    def _record(self, stop: threading.Event) -> None:
        first = self._next(stop)
        if first is None:
            self._end(f"recording {self.output.name}: no picture came, nothing was written")
            return
        with output_errors(self.output):
            movie = _Movie(self.output, first, self._format.name, self._settings)
        try:
            self.state = f"recording {self.output.name}"
            self._write_all(movie, first, stop)
            movie.writer.finish()
        except Exception as error:
            reason = f"{_reason(error)}; {self._rescue(movie)}" if self.sent else _reason(error)
            raise MattecastError(reason) from error
        finally:
            movie.writer.abort()
        self._end(f"recorded {self.output}: {self.sent} frames")

    def _write_all(self, movie: _Movie, first: Picture, stop: threading.Event) -> None:
        picture: Picture | None = first
        while picture is not None:
            movie.write(picture)
            self.sent += 1
            self.ages.add(now(), now() - picture.time)
            self.progress = f"{self.sent} frames"
            picture = self._next(stop)

    def _rescue(self, movie: _Movie) -> str:
        """Keep what was recorded before an error, and say where it is."""
        place = _incomplete(self.output)
        try:
            closed = movie.writer.keep(place)
        except MattecastError as error:
            return f"what was recorded before could not be kept ({error})"
        without = "" if closed else ", without the index that players need"
        return f"the {self.sent} frames before are kept in {place.name}{without}"

    def _next(self, stop: threading.Event) -> Picture | None:
        """The next picture in order. After the stop, what still waits; then None."""
        while True:
            try:
                return self._queue.get(timeout=0.0 if stop.is_set() else 0.2)
            except queue.Empty:
                if stop.is_set():
                    return None


def _incomplete(output: Path) -> Path:
    """A free name for the part of a recording that failed: take.incomplete.mov."""
    names = (f".incomplete{'' if number == 1 else f'-{number}'}" for number in itertools.count(1))
    places = (output.with_name(f"{output.stem}{name}{output.suffix}") for name in names)
    return next(place for place in places if not place.exists())


def _reason(error: Exception) -> str:
    """Why recording failed, in one line."""
    if isinstance(error, MattecastError):
        return str(error)
    if isinstance(error, MemoryError):
        return "out of memory"
    return f"{type(error).__name__}: {error}"


class _Movie:
    """Writes pictures with a MovieWriter, at their own times, fitted into the size of the first."""

    def __init__(self, output: Path, first: Picture, format: str, settings: Settings) -> None:
        facts, self._size = plain_facts(first.size), first.size
        self._plan = plan(facts, settings, FORMATS[format])
        source = _Live(facts, output)
        self.writer = MovieWriter(source, output, self._plan, threads=half_the_cores())
        self._times = GrowingTimes(CLOCK)
        self._converter = VideoReformatter()

    def write(self, picture: Picture) -> None:
        last, pts = self._times.last, self._times.stamp(picture.time)
        duration = pts - last if last >= 0 else round(1 / (30 * CLOCK))
        self.writer.write(self._converted(fitted(picture, self._size)), pts, duration)

    def _converted(self, picture: Picture) -> av.VideoFrame:
        target = self._plan.colour
        if "a" in self._plan.pixels:
            frame = av.VideoFrame.from_ndarray(picture.bgra, format="bgra")
        else:
            frame = av.VideoFrame.from_ndarray(over_colour(picture), format="bgr24")
        width, height = (
            side + extra for side, extra in zip(self._plan.size, self._plan.padding, strict=True)
        )
        made = self._converter.reformat(
            frame,
            width,
            height,
            self._plan.pixels,
            src_color_range="JPEG",
            dst_colorspace=target.swscale_matrix,
            dst_color_range=target.range,
        )
        target.tag(made)
        return made
