"""A live session: capture, network, outlets and OBS put together, and what can be asked of it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from mattecast.engines import Engine
from mattecast.errors import MattecastError, UsageError
from mattecast.live.cameras import cameras
from mattecast.live.capture import Capture, Input, camera
from mattecast.live.governor import Window, percentile
from mattecast.live.matter import Controls, Matting
from mattecast.live.obs.link import Link
from mattecast.live.outputs.outlet import Outlet
from mattecast.live.picture import Picture
from mattecast.live.threads import now
from mattecast.settings import LIVE_SMOOTHING

# How long OBS may leave our pictures unanswered before its source is told to listen elsewhere (s).
_DEAF = 6.0


class Sink(Protocol):
    """What pictures are handed to."""

    state: str
    ages: Window
    sent: int
    gone: threading.Event

    @property
    def dropped(self) -> int:
        """Pictures it had to leave out."""
        ...

    @property
    def failure(self) -> BaseException | None:
        """What ended it, if anything did."""
        ...

    def offer(self, picture: Picture) -> None:
        """Take a picture; must not wait."""
        ...

    def start(self) -> None:
        """Begin."""
        ...

    def close(self) -> None:
        """End."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """One thing that can be asked while live runs. about: for people."""

    act: Callable[[Session, str], str | None]
    about: str


class Session:
    """Everything that runs, from `start` to `close`. Commands may come from any thread.

    budget: seconds from capture to handing out that are aimed at. sinks: where pictures go.
    to_obs: the sink that feeds OBS. load: for tests and benchmarks, see Matting.
    """

    def __init__(
        self,
        input: Input,
        controls: Controls,
        budget: float,
        sinks: list[Sink],
        *,
        link: Link | None = None,
        to_obs: Outlet | None = None,
        load: Callable[[tuple[int, int]], Engine] | None = None,
    ) -> None:
        self.capture = Capture(input)
        self.sinks, self.link, self._to_obs = sinks, link, to_obs
        self.matting = Matting(self.capture, controls, budget, self._hand_out, load)
        self.newest: Picture | None = None
        self.messages: deque[str] = deque(maxlen=20)
        self.quitting = threading.Event()
        self._started = now()
        self._commands = threading.Lock()
        self._heard, self._stalls = now(), 0

    def start(self) -> None:
        """Begin; the first picture goes out when source, network and receiver are there.

        Raises UsageError for a background that cannot be.
        """
        self.matting.check(self.matting.controls)
        for sink in self.sinks:
            sink.start()
        if self.link:
            self.link.start()
        self.matting.start()
        self.capture.start()

    def close(self) -> None:
        """End everything, in the order pictures flow; recordings become whole."""
        self.capture.close()
        self.matting.close()
        for sink in self.sinks:
            sink.close()
        if self.link:
            self.link.close()

    def _hand_out(self, picture: Picture) -> None:
        self.newest = picture
        for sink in self.sinks:
            sink.offer(picture)

    def check(self) -> bool:
        """Look after the threads; gives whether there is anything left to do.

        Raises what ended the session: a source, a network, or an OBS that refuses.
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
        self._see_to_deafness()
        done = self.capture.ended.is_set() or self.quitting.is_set()
        return not done and not (self.sinks and all(sink.gone.is_set() for sink in self.sinks))

    def _see_to_deafness(self) -> None:
        """An OBS that answers while its source takes nothing: its port belongs to another, whose
        kernel may have taken a few pictures."""
        outlet, link = self._to_obs, self.link
        if outlet is None or link is None:
            return
        stalled, self._stalls = outlet.stalls != self._stalls, outlet.stalls
        sent = not stalled and outlet.ages.values(now())
        if not link.connected or self.newest is None or sent:
            self._heard = now()
        elif stalled or now() - self._heard > _DEAF:
            self._heard = now()
            try:
                link.listen_elsewhere()
                self.messages.append("OBS took no pictures: its source was told to listen anew")
            except MattecastError as error:
                self.messages.append(str(error))

    def do(self, name: str, value: str = "") -> str:
        """Carry out a command; gives one line that says what was done.

        Raises UsageError (or another MattecastError) when it cannot be.
        """
        command = COMMANDS.get(name)
        if command is None:
            raise UsageError(f"'{name[:40]}' is no command: {', '.join(COMMANDS)}")
        with self._commands:
            said = command.act(self, value) or f"{name} {value}".strip()
        self.messages.append(said)
        return said

    def change(self, **settings: Any) -> None:
        """Replace settings of the picture; nothing changes where one of them is wrong."""
        controls = self.matting.controls
        changed = replace(controls, settings=replace(controls.settings, **settings))
        self.matting.check(changed)
        self.matting.controls = changed

    def status(self) -> dict[str, Any]:
        """How it goes, in JSON's own types. Times in milliseconds, over the last five seconds."""
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
            **{name: getattr(controls.settings, name) for name in ("choke", "feather", "gamma")},
            "obs": self.link.state if self.link else None,
            "outlets": [
                {
                    "state": sink.state,
                    "sent": sink.sent,
                    "dropped": sink.dropped,
                    "age_ms": _milliseconds(sink.ages.values(time)),
                }
                for sink in self.sinks
            ],
            "messages": list(self.messages),
        }

    def line(self) -> str:
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
        """Seconds that pictures are old in the mean when they are sent."""
        ages = self._to_obs.ages if self._to_obs else self.matting.report.ages
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
        raise UsageError("this session does not know OBS: start it with --obs")
    return f"placed in scene '{session.link.place_here()}'"


def _sync(session: Session, value: str) -> str:
    if session.link is None or not value:
        raise UsageError("sync: needs OBS (--obs) and the name of a microphone there")
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
    "choke": Command(_number("choke"), "move the edge inwards by pixels"),
    "feather": Command(_number("feather"), "soften the edge by pixels"),
    "gamma": Command(_number("gamma"), "above 1 lifts soft alpha"),
    "camera": Command(_camera, "number or name of another camera"),
    "place": Command(_place, "put the source into OBS's current scene"),
    "sync": Command(_sync, "delay a microphone of OBS by what pictures take"),
    "quit": Command(_quit, "end"),
}


def choices() -> list[str]:
    """Cameras to choose from, by name."""
    return [one.name for one in cameras()]
