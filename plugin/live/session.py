"""A live session: capture, matting, outputs and OBS put together, and the commands it takes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from mattecast.engines import Engine
from mattecast.errors import MattecastError, UsageError
from mattecast.live.cameras import cameras
from mattecast.live.capture import Capture, Input, camera
from mattecast.live.governor import Window, percentile
from mattecast.live.matter import Matting
from mattecast.live.obs.link import Link
from mattecast.live.outputs.outlet import Outlet
from mattecast.live.picture import Picture
from mattecast.live.pipeline import Controls
from mattecast.live.threads import now
from mattecast.options import rows
from mattecast.settings import LIVE_SMOOTHING, Settings

# OBS's source is told to listen on another port when it takes no picture for this long (seconds).
_DEAF = 6.0


class Sink(Protocol):
    """An output of a session, with a thread of its own. There are two kinds: an Outlet sends the
    newest picture to a Target (a socket, a pipe, a virtual camera), a Recorder writes a file.

    state: what it does, for people. progress: how far it is, '' where that says nothing.
    result: what it has left behind when it ends, such as a file; '' for nothing.
    incomplete: whether a result that was asked for is missing or incomplete.
    ages: seconds from capture until a picture was sent. sent: how many pictures were.
    gone: set when it takes no more pictures.
    """

    state: str
    progress: str
    result: str
    incomplete: bool
    ages: Window
    sent: int
    gone: threading.Event

    @property
    def dropped(self) -> int:
        """How many pictures it had to leave out."""
        ...

    @property
    def failure(self) -> BaseException | None:
        """The error that ends the session, or None."""
        ...

    def offer(self, picture: Picture) -> None:
        """Take a picture; must not wait."""
        ...

    def start(self) -> None:
        """Start the thread."""
        ...

    def close(self) -> None:
        """End the thread, and finish what was begun; safe to call twice."""
        ...


# The options that a slider of the control page changes, by name.
SLIDERS = {row.name: row for row in rows(Settings) if row.option.slider}


@dataclass(frozen=True, slots=True)
class Command:
    """Something a user can ask of a running session. about: what it does, for people."""

    act: Callable[[Session, str], str | None]
    about: str


class Session:
    """Everything that runs, from `start` to `close`. Commands may come from any thread.

    budget: the age in seconds that pictures shall have at most when they are sent. sinks: where
    pictures go. obs_outlet: the sink that feeds OBS. load: see Matting.
    """

    def __init__(
        self,
        input: Input,
        controls: Controls,
        budget: float,
        sinks: list[Sink],
        *,
        link: Link | None = None,
        obs_outlet: Outlet | None = None,
        load: Callable[[tuple[int, int]], Engine] | None = None,
    ) -> None:
        self.capture = Capture(input)
        self.sinks, self.link, self._obs_outlet = sinks, link, obs_outlet
        self.matting = Matting(self.capture, controls, budget, self._deliver, load)
        self.newest: Picture | None = None
        self.messages: deque[str] = deque(maxlen=20)
        self.quitting = threading.Event()
        self._started = now()
        self._commands = threading.Lock()
        # When OBS last took a picture, as far as is known, and how often its source has stalled.
        self._taken, self._stalls = now(), 0

    def start(self) -> None:
        """Start every part. The first picture is sent when source, network and receiver are there.

        Raises UsageError for controls that cannot be met, such as a missing background.
        """
        self.matting.check(self.matting.controls)
        for sink in self.sinks:
            sink.start()
        if self.link:
            self.link.start()
        self.matting.start()
        self.capture.start()

    def close(self) -> None:
        """End every part in the order in which pictures flow, so that recordings become whole.

        A part that raises keeps no other from being closed; its error is raised at the end.
        """
        with ExitStack() as stack:
            # The last one added is closed first.
            if self.link:
                stack.callback(self.link.close)
            for sink in reversed(self.sinks):
                stack.callback(sink.close)
            stack.callback(self.matting.close)
            stack.callback(self.capture.close)

    @property
    def incomplete(self) -> bool:
        """Whether a recording that was asked for is missing or incomplete."""
        return any(sink.incomplete for sink in self.sinks)

    def _deliver(self, picture: Picture) -> None:
        self.newest = picture
        for sink in self.sinks:
            sink.offer(picture)

    def check(self) -> bool:
        """Whether the session goes on: it has a source, an output, and nobody has ended it.

        Raises the error of a thread that has failed: of the source, the network or OBS.
        """
        failures = [
            self.capture.failure,
            self.matting.failure,
            *(sink.failure for sink in self.sinks),
        ]
        if self.link is not None:
            failures.append(self.link.failure)
        for failure in failures:
            if failure is not None:
                raise failure
        self._mend_deaf_source()
        done = self.capture.ended.is_set() or self.quitting.is_set()
        return not done and not (self.sinks and all(sink.gone.is_set() for sink in self.sinks))

    def _mend_deaf_source(self) -> None:
        """Tell OBS's source to listen on another port when OBS answers but its source takes no
        pictures. Another program then has the port, whose kernel may have taken a few pictures."""
        outlet, link = self._obs_outlet, self.link
        if outlet is None or link is None:
            return
        stalled, self._stalls = outlet.stalls != self._stalls, outlet.stalls
        sent = not stalled and outlet.ages.values(now())
        if not link.connected or self.newest is None or sent:
            self._taken = now()
        elif stalled or now() - self._taken > _DEAF:
            self._taken = now()
            try:
                link.listen_elsewhere()
                self.messages.append("OBS took no pictures: its source listens on a new port now")
            except MattecastError as error:
                self.messages.append(str(error))

    def do(self, name: str, value: str = "") -> str:
        """Carry out a command, and give one line that says what was done.

        Raises UsageError or another MattecastError for a command that cannot be carried out.
        """
        command = COMMANDS.get(name)
        if command is None:
            raise UsageError(f"'{name[:40]}' is no command: {', '.join(COMMANDS)}")
        with self._commands:
            done = command.act(self, value) or f"{name} {value}".strip()
        self.messages.append(done)
        return done

    def change(self, **settings: Any) -> None:
        """Replace settings of the picture. Where one of them is wrong, UsageError is raised and
        nothing changes."""
        controls = self.matting.controls
        changed = replace(controls, settings=replace(controls.settings, **settings))
        self.matting.check(changed)
        self.matting.controls = changed

    def status(self) -> dict[str, Any]:
        """The session's status in JSON's own types; times in milliseconds, of the last seconds."""
        time, report, matting = now(), self.matting.report, self.matting
        ages = report.ages.values(time)
        engine, controls = matting.engine, matting.controls
        return {
            "seconds": round(time - self._started, 1),
            "source": self.capture.state,
            "size": list(self.newest.size) if self.newest else None,
            "fps_in": round(self.capture.arrivals.rate(time), 2),
            "fps_out": round(report.out.rate(time), 2),
            "age_ms": _milliseconds(ages),
            "dropped": matting.dropped,
            "undecodable": self.capture.undecodable,
            "reconnects": self.capture.reconnects,
            "stages_ms": {
                name: round(1000 * percentile(values, 0.5), 1)
                for name, window in report.stages.items()
                if (values := window.values(time))
            },
            "engine": str(engine.info) if engine else "loading",
            "network": list(engine.info.size) if engine else None,
            "network_why": matting.governor.reason,
            "on": controls.on,
            "background": controls.settings.background or "none",
            "smooth": controls.settings.smooth,
            **{name: getattr(controls.settings, name) for name in SLIDERS if name != "smooth"},
            "obs": self.link.state if self.link else None,
            "outlets": [
                {
                    "state": ": ".join(filter(None, (sink.state, sink.progress))),
                    "sent": sink.sent,
                    "dropped": sink.dropped,
                    "age_ms": _milliseconds(sink.ages.values(time)),
                }
                for sink in self.sinks
            ],
            "messages": list(self.messages),
        }

    def status_line(self) -> str:
        """The status in one line."""
        status = self.status()
        age, network = status["age_ms"], status["network"]
        size = f"{network[0]}x{network[1]}" if network else "loading"
        parts = [
            f"{status['fps_out']:.1f} of {status['fps_in']:.1f} fps",
            f"{age['p50']:.0f} ms old (p95 {age['p95']:.0f})",
            f"{status['dropped']} dropped",
            f"network {size}",
        ]
        if not status["on"]:
            parts.append("OFF: the camera is shown as it is")
        if "live" not in status["source"]:
            parts.append(status["source"])
        if status["obs"]:
            parts.append(status["obs"])
        parts += [
            outlet["state"]
            for outlet in status["outlets"]
            if outlet["state"] and not outlet["state"].endswith(": live")
        ]
        return " | ".join(parts)

    def delay(self) -> float:
        """The median age of pictures when they are sent, in seconds."""
        ages = self._obs_outlet.ages if self._obs_outlet else self.matting.report.ages
        return percentile(ages.values(now()), 0.5)


def _milliseconds(ages: list[float]) -> dict[str, float]:
    return {
        name: round(1000 * percentile(ages, part), 1)
        for name, part in (("p50", 0.5), ("p95", 0.95))
    }


def _switch(on: bool | None) -> Callable[[Session, str], str]:
    def act(session: Session, value: str) -> str:
        controls = session.matting.controls
        wanted = not controls.on if on is None else on
        session.matting.controls = replace(controls, on=wanted)
        return "matting is on" if wanted else "matting is off: the camera is shown as it is"

    return act


def _number(name: str) -> Callable[[Session, str], None]:
    def act(session: Session, value: str) -> None:
        try:
            number = float(value)
        except ValueError as error:
            raise UsageError(f"{name}: '{value[:40]}' is not a number") from error
        if number != number:
            raise UsageError(f"{name}: not a number")
        session.change(**{name: number})

    return act


def _background(session: Session, value: str) -> None:
    if "\0" in value or len(value) > 1000:
        raise UsageError("background: not a name")
    if value and not value.startswith("#") and Path(value).suffix:
        value = str(Path(value).expanduser())
    session.change(background=value or None)


def _smooth(session: Session, value: str) -> None:
    name, _, strength = value.partition(":")
    if name not in LIVE_SMOOTHING:
        # A slider gives a number alone.
        name, strength = "causal", value
    session.change(smooth=f"{name}:{strength}" if strength else name)


def _camera(session: Session, value: str) -> str:
    wanted = camera(value, session.capture.input.requested)
    session.capture.switch(wanted)
    return f"camera: {wanted.name}"


def _place(session: Session, value: str) -> str:
    if session.link is None:
        raise UsageError("this session is not connected to OBS: start it with --obs")
    return f"placed in scene '{session.link.place_here()}'"


def _sync(session: Session, value: str) -> str:
    if session.link is None or not value:
        raise UsageError("sync: needs OBS (--obs) and the name of a microphone in OBS")
    offset = session.link.sync_audio(value, session.delay())
    return f"'{value}' is delayed by {offset} ms now"


def _quit(session: Session, value: str) -> str:
    session.quitting.set()
    return "ending"


COMMANDS: Mapping[str, Command] = {
    "on": Command(_switch(True), "matte"),
    "off": Command(_switch(False), "show the camera as it is"),
    "toggle": Command(_switch(None), "matting on or off"),
    "background": Command(_background, "none, a colour, blur[:strength], a picture or a video"),
    "smooth": Command(_smooth, "off, causal or delayed[:strength], or a strength from 0 to 1"),
    **{
        name: Command(_number(name), row.option.help)
        for name, row in SLIDERS.items()
        if name != "smooth"
    },
    "camera": Command(_camera, "number or name of another camera"),
    "place": Command(_place, "put the source into OBS's current scene"),
    "sync": Command(_sync, "delay a microphone of OBS as much as pictures are"),
    "quit": Command(_quit, "end"),
}


def camera_names() -> list[str]:
    """The names of this machine's cameras."""
    return [one.name for one in cameras()]
