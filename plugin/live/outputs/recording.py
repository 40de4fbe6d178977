"""Recording beside the live path: it takes the time that is left, and says what it had to miss."""

from __future__ import annotations

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
from mattecast.media.clip import Damage
from mattecast.media.destinations import refuse_losing
from mattecast.media.facts import Facts
from mattecast.media.formats import FORMATS, guess
from mattecast.media.writer import MovieWriter
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


class Recorder:
    """An outlet that writes a movie file, which appears whole when it is closed."""

    def __init__(self, output: Path, *, overwrite: bool, quality: str = "high") -> None:
        self.output, self.state = output, f"recording {output.name}: waiting for pictures"
        self.ages, self.sent, self.dropped = Window(), 0, 0
        self.gone = threading.Event()
        self._settings = Settings(overwrite=overwrite, quality=quality, audio=False)
        self._format = FORMATS[guess(output)]
        if self._format.is_sequence:
            raise UsageError(f"{output}: live records movies: .mov, .webm, .mkv or .mp4")
        refuse_losing(output, _Live(plain_facts((16, 16)), output), overwrite=overwrite)
        self._queue: queue.Queue[Picture] = queue.Queue(_QUEUE)
        self._task = Task("recording", self._run)

    def start(self) -> None:
        """Begin recording with the next picture."""
        self._task.start()

    @property
    def failure(self) -> BaseException | None:
        """None: a recording that fails is said, and the live picture goes on."""
        return None

    def offer(self, picture: Picture) -> None:
        """Take a picture, unless the encoder is too far behind; never waits."""
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
        except MattecastError as error:
            self.state = f"recording failed: {error}"
            self.gone.set()

    def _record(self, stop: threading.Event) -> None:
        first = self._next(stop)
        if first is None:
            self.state = f"recording {self.output.name}: no picture came, nothing was written"
            return
        writer = _Movie(self.output, first, self._format.name, self._settings)
        try:
            picture: Picture | None = first
            while picture is not None:
                writer.write(picture)
                self.sent += 1
                self.ages.add(now(), now() - picture.time)
                self.state = f"recording {self.output.name}: {self.sent} frames"
                picture = self._next(stop)
            writer.finish()
            self.state = f"recorded {self.output}: {self.sent} frames"
        finally:
            writer.abort()

    def _next(self, stop: threading.Event) -> Picture | None:
        """The next picture in order; after the stop, what still waits, then None."""
        while True:
            try:
                return self._queue.get(timeout=0.0 if stop.is_set() else 0.2)
            except queue.Empty:
                if stop.is_set():
                    return None


class _Movie:
    """Pictures into a MovieWriter, at their own times, all fitted into the size of the first."""

    def __init__(self, output: Path, first: Picture, format: str, settings: Settings) -> None:
        facts, self._size = plain_facts(first.size), first.size
        self._plan = plan(facts, settings, FORMATS[format])
        source = _Live(facts, output)
        self._writer = MovieWriter(source, output, self._plan, threads=half_the_cores())
        self._times = GrowingTimes(CLOCK)
        self._converter = VideoReformatter()

    def write(self, picture: Picture) -> None:
        last, pts = self._times.last, self._times.stamp(picture.time)
        duration = pts - last if last >= 0 else round(1 / (30 * CLOCK))
        self._writer.write(self._converted(fitted(picture, self._size)), pts, duration)

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

    def finish(self) -> None:
        self._writer.finish()

    def abort(self) -> None:
        self._writer.abort()
