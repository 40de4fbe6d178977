"""The source of a session: a camera, a stream, a screen, or a file played at its own pace."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import av.error

from mattecast.errors import MediaError, UsageError
from mattecast.live.cameras import device_url, find_camera
from mattecast.live.governor import Window
from mattecast.live.threads import Latest, Task, growing, now
from mattecast.media.colour import BT709, FULL, SRGB_TRANSFER, Colour
from mattecast.media.facts import Facts, read_facts
from mattecast.media.turn import Turn
from mattecast.settings import parse_size

# A camera, a stream or a screen that ends is opened again; a file or a pipe has ended for good.
Kind = Literal["camera", "stream", "screen", "file", "pipe"]
# A stream that gives no data for this long is opened again (seconds).
STALLED = 5.0
# How often a file's first picture is given while the network loads (seconds).
_TICK = 0.05
# After this long without a picture `Capture.state` says that no picture comes (seconds).
_QUIET = 2.0
# A file this far behind its own pace, for instance after the machine slept, goes on from where it
# is (seconds).
_BEHIND = 0.5
# The source is opened again after this many packets in a row that cannot be decoded.
_HOPELESS = 200
# Cameras say 30 for 29.97 frames a second: rates this close count as equal.
_NEAR = Fraction(2, 100)
_SCHEME = re.compile(r"(?!file:)[a-z][a-z0-9+.-]*:(?=//)", re.IGNORECASE)
# Demuxers shall hold nothing back, because that is delay.
_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay"}
_SCHEMES: Mapping[str, Mapping[str, str]] = {
    "rtsp": {"rtsp_transport": "tcp"},
    "rtsps": {"rtsp_transport": "tcp"},
    # Each second of probing is a second of waiting at every reconnection.
    "udp": {"overrun_nonfatal": "1", "fifo_size": "50000", "analyzeduration": "1000000"},
    "rtp": {},
    "srt": {},
    "http": {},
    "https": {},
    "rtmp": {},
    "rtmps": {},
    "tcp": {},
}


@dataclass(frozen=True, slots=True)
class Input:
    """A place where pictures come from.

    name: for people, without passwords. url, format: what libav opens. option_sets: libav's options
    to try in this order. requested: those options that the user asked for. loop: whether a file is
    played again and again.
    """

    kind: Kind
    name: str
    url: str
    format: str | None = None
    option_sets: tuple[Mapping[str, str], ...] = ({},)
    requested: Mapping[str, str] = field(default_factory=dict)
    loop: bool = False


def parse(
    text: str, *, size: str | None = None, rate: Fraction | None = None, loop: bool = False
) -> Input:
    """The input that a text of the command line stands for.

    text: 'camera:0', 'camera:NAME' or a device; 'obs' for OBS's own virtual camera; 'screen'; a
    URL; '-' for standard input; anything else is a file. size, rate: requested of cameras and
    screens. Raises UsageError for an input that cannot be opened.
    """
    requested = _requested_options(size, rate)
    if text == "screen":
        return _screen(requested)
    if text == "obs":
        return _obs_camera(requested)
    if text.startswith(("camera:", "/dev/video")):
        return camera(text.removeprefix("camera:"), requested)
    if requested:
        raise UsageError(
            f"{without_secrets(text)}: --size and --rate are asked of cameras and screens; "
            "files and streams come as they are"
        )
    scheme = _SCHEME.match(text)
    if scheme:
        return _stream(text, scheme[0][:-1].lower())
    if text == "-":
        return Input("pipe", "standard input", "pipe:0", option_sets=(_LOW_DELAY,))
    path = Path(text)
    if not path.is_file():
        raise UsageError(
            f"{text}: no such file; INPUT is a file, a URL, 'screen', or 'camera:0' "
            "(`mattecast live --list` shows cameras)"
        )
    return Input("file", path.name, os.path.abspath(path), loop=loop)


def _requested_options(size: str | None, rate: Fraction | None) -> dict[str, str]:
    requested = {}
    if size:
        width, height = parse_size(size, 16, 9)
        requested["video_size"] = f"{width}x{height}"
    if rate:
        requested["framerate"] = str(rate)
    return requested


def camera(query: str, requested: Mapping[str, str]) -> Input:
    """The input for a camera; query: its number, its device, or a part of its name."""
    found = find_camera(query)
    format, url = device_url(found.device)
    # Most cameras give their larger sizes at full rate as JPEG only, so JPEG is requested first,
    # then any format, then nothing.
    option_sets: list[Mapping[str, str]] = [requested, {}] if requested else [{}]
    if format == "v4l2" and requested:
        option_sets.insert(0, {**requested, "input_format": "mjpeg"})
    if format == "avfoundation":
        option_sets = [{"framerate": "30", **one} for one in option_sets]
    return Input("camera", found.name, url, format, tuple(option_sets), requested)


def _obs_camera(requested: Mapping[str, str]) -> Input:
    """OBS's virtual camera, whose name holds OBS on every platform."""
    try:
        return camera("obs", requested)
    except UsageError as error:
        raise UsageError(
            f"{error}; in OBS, press Start Virtual Camera (on Linux it needs v4l2loopback)"
        ) from error


def _screen(requested: dict[str, str]) -> Input:
    if sys.platform == "win32":
        options = {"framerate": "30", **requested}
        return Input("screen", "screen", "desktop", "gdigrab", (options,), requested)
    if sys.platform == "darwin":
        options = {"framerate": "30", **requested}
        return Input(
            "screen", "screen", "Capture screen 0:none", "avfoundation", (options,), requested
        )
    display = os.environ.get("DISPLAY")
    if not display:
        raise UsageError("screen: no X display here (DISPLAY is not set); Wayland cannot be read")
    return Input(
        "screen",
        f"screen {display}",
        display,
        "x11grab",
        ({"framerate": "30", **requested}, {"framerate": "30"}),
        requested,
    )


def _stream(text: str, scheme: str) -> Input:
    if scheme not in _SCHEMES:
        raise UsageError(f"{without_secrets(text)}: streams can be {', '.join(_SCHEMES)}")
    if scheme == "srt" and not has_protocol("srt"):
        raise UsageError(
            f"{without_secrets(text)}: this PyAV has no SRT; let ffmpeg pass it on: "
            "ffmpeg -i srt://... -c copy -f mpegts - | mattecast live -"
        )
    host, port = _host_and_port(text)
    if not (host or port) or not 0 < int(port or 1) < 65536:
        raise UsageError(f"{without_secrets(text)}: expected {scheme}://HOST[:PORT]...")
    return Input(
        "stream", without_secrets(text), text, option_sets=({**_LOW_DELAY, **_SCHEMES[scheme]},)
    )


def without_secrets(url: str) -> str:
    """A URL without user, password and query, which may be secrets."""
    return re.sub(r"\?.*", "", re.sub(r"//[^/]*@", "//", url), flags=re.DOTALL)


def _host_and_port(url: str) -> tuple[str, str]:
    """(host, port) of a URL, '' where it names none. Its password may hold any characters."""
    place = without_secrets(url).partition("//")[2].partition("/")[0]
    port = re.search(r":(\d+)$", place)
    host = place[: port.start()] if port else place
    return host.strip("[]"), port[1] if port else ""


def has_protocol(protocol: str) -> bool:
    """Whether libav was built with a protocol."""
    try:
        av.open(f"{protocol}://127.0.0.1:1?timeout=1000", timeout=0.2).close()
    except av.error.ProtocolNotFoundError:
        return False
    except (av.error.FFmpegError, OSError, ValueError):
        return True
    return True


@dataclass(frozen=True, slots=True)
class Captured:
    """A decoded picture.

    facts: of its source; the same object as long as nothing changes. time: when the picture came,
    in seconds on the clock of `now`.
    """

    frame: av.VideoFrame
    facts: Facts
    time: float


def _set() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass(slots=True)
class Capture:
    """Reads a source on a thread of its own; `frames` holds the newest picture.

    ended: set when a file or a pipe has ended. ready: whoever takes the pictures may clear it; a
    file then stays at its first picture, so that no picture is missed. arrivals: when pictures
    came. undecodable: how many packets could not be decoded. reconnects: how often the source was
    opened again. waits: gives the waits between two attempts to open the source, in seconds.
    """

    input: Input
    frames: Latest[Captured] = field(default_factory=Latest)
    ended: threading.Event = field(default_factory=threading.Event)
    ready: threading.Event = field(default_factory=_set)
    arrivals: Window = field(default_factory=Window)
    undecodable: int = 0
    reconnects: int = 0
    waits: Callable[[], Iterator[float]] = growing
    _facts: Facts | None = None
    _state: str = ""
    # How the camera's pictures differ from what was requested.
    _difference: str = ""
    # When `state` starts to say that no picture comes.
    _due: float = float("inf")
    _task: Task | None = None

    def start(self) -> None:
        """Start to read."""
        self._task = Task("capture", self._run)
        self._task.start()

    @property
    def failure(self) -> BaseException | None:
        """The error that ended the reading, or None."""
        return self._task.failure if self._task else None

    @property
    def state(self) -> str:
        """What the capture does, in one line for people."""
        if now() > self._due:
            # The reading thread cannot say so: a driver or the network may block it.
            return f"{self._state.rpartition(': live')[0]}: open, but no picture comes"
        return self._state

    @property
    def interval(self) -> float:
        """Seconds between two pictures, as they come or else as the source says."""
        rate = self.arrivals.rate(now())
        if rate:
            return 1 / rate
        return float(1 / self._facts.rate) if self._facts else 1 / 30

    def switch(self, input: Input) -> None:
        """Read another source from now on."""
        self.input = input

    def close(self) -> None:
        """Stop reading; safe to call twice."""
        if self._task:
            self._task.close()

    def _run(self, stop: threading.Event) -> None:
        waits, opened = self.waits(), False
        # The source the session was started with, as long as it has never been opened.
        first: Input | None = self.input
        while not stop.is_set():
            input = self.input
            if not opened:
                self._state = f"{input.name}: opening"
            try:
                for captured in self._play(input, stop):
                    if not opened:
                        # A source that was there once may come back, so it is waited for.
                        waits, opened, first = self.waits(), True, None
                    self._state = f"{input.name}: live{self._difference}"
                    self._due = now() + _QUIET if input.kind != "file" else float("inf")
                    self.arrivals.add(captured.time, 1.0)
                    self.frames.put(captured)
                if input is not self.input:
                    opened, self._facts = False, None
                    continue
                reason = "it ended"
                if input.kind in ("file", "pipe"):
                    if input.loop and input.kind == "file":
                        continue
                    self._state = f"{input.name}: played to its end"
                    self.ended.set()
                    return
            except (av.error.FFmpegError, OSError, ValueError) as error:
                reason = _reason(error, input)
                never = not opened and input is first
                if input.kind == "pipe" or (never and input.kind != "stream"):
                    attempt = "read" if opened else "opened"
                    hint = "; `mattecast live --list` shows cameras"
                    raise MediaError(
                        f"{input.name}: cannot be {attempt} ({reason})"
                        f"{hint if input.kind == 'camera' else ''}"
                    ) from error
            self.reconnects, self._due = self.reconnects + 1, float("inf")
            opened, self._facts = False, None
            wait = next(waits)
            self._state = f"{input.name}: {reason}; trying again in {wait:g} s"
            stop.wait(wait)

    def _play(self, input: Input, stop: threading.Event) -> Iterator[Captured]:
        """The pictures of a source until it ends, fails, or `switch` names another one."""
        with _opened(input) as container:
            stream = _picture_stream(container)
            self._difference = _difference(input.requested, stream)
            # Each frame thread would hold back a picture.
            stream.thread_type = "SLICE"
            failed = given = 0
            start: tuple[float, float] | None = None
            for packet in container.demux(stream):
                arrived = now()
                try:
                    decoded = stream.decode(packet)
                    failed = 0
                except (av.error.FFmpegError, OSError):
                    decoded = []
                    failed += 1
                    self.undecodable += 1
                    if failed == _HOPELESS:
                        raise
                for frame in decoded:
                    given += 1
                    if input.kind == "file":
                        while not self.ready.wait(_TICK) and not stop.is_set():
                            yield self._captured(frame, container, stream, now())
                        start = _paced(frame, start, stop)
                        arrived = now()
                    yield self._captured(frame, container, stream, arrived)
                if stop.is_set() or self.input is not input:
                    return
            if not given:
                raise ValueError("no picture in it could be decoded")

    def _captured(self, frame: Any, container: Any, stream: Any, time: float) -> Captured:
        facts = self._facts
        if facts is None or _changed(facts, frame):
            facts = read_facts(Path(self.input.name), container, stream, frame)
            # Live pictures get the times of their arrival.
            start = round(time / CLOCK) * CLOCK
            self._facts = facts = replace(facts, time_base=CLOCK, start=start)
        return Captured(frame, facts, time)


# The time base of live pictures, which every container can hold.
CLOCK = Fraction(1, 90000)


def plain_facts(size: tuple[int, int]) -> Facts:
    """The facts of live pictures of (width, height), as outputs get them."""
    return Facts(
        path=Path("live"),
        container="live",
        codec="rawvideo",
        pixel_format="bgra",
        bits=8,
        width=size[0],
        height=size[1],
        sar=Fraction(1),
        turn=Turn(),
        interlaced=False,
        rate=Fraction(30),
        variable_rate=True,
        time_base=CLOCK,
        start=Fraction(0),
        duration=None,
        frames=0,
        colour=Colour(FULL, 0, BT709, SRGB_TRANSFER),
        has_alpha=True,
        timecode=None,
        audio=(),
        others=(),
        chapters=0,
    )


def _opened(input: Input) -> Any:
    """The opened container, with the first set of options that works."""
    *others, last = input.option_sets
    for options in others:
        try:
            return _open(input, options)
        except (av.error.FFmpegError, OSError, ValueError):
            continue
    return _open(input, last)


def _open(input: Input, options: Mapping[str, str]) -> Any:
    timeout = STALLED if input.kind == "stream" else None
    return av.open(
        input.url,
        format=input.format,
        options=dict(options),
        timeout=timeout,
        metadata_errors="replace",
    )


def _difference(requested: Mapping[str, str], stream: Any) -> str:
    """What a camera gives instead of what was requested: ', 640x480 instead of 1280x720'."""
    asked, given, rate = [], [], stream.average_rate
    if size := requested.get("video_size"):
        asked.append(size)
        given.append(f"{stream.width}x{stream.height}")
    if rate and "framerate" in requested:
        wanted = Fraction(requested["framerate"])
        asked.append(f"{float(wanted):g} fps")
        near = abs(rate / wanted - 1) < _NEAR
        given.append(asked[-1] if near else f"{float(rate):g} fps")
    return "" if given == asked else f", {' at '.join(given)} instead of {' at '.join(asked)}"


def _picture_stream(container: Any) -> Any:
    if not container.streams.video:
        raise ValueError("it holds no video")
    return container.streams.video[0]


def _changed(facts: Facts, frame: Any) -> bool:
    """Whether the frame's size, format or colour tags differ from the facts."""
    size = facts.turn.size(facts.width, facts.height)
    shape = frame.width, frame.height, frame.format.name
    return shape != (*size, facts.pixel_format) or Colour.of(frame) != facts.colour


def _resolves(host: str) -> bool:
    """Whether a host's name is known. libav says only that input or output has failed."""
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def _paced(
    frame: Any, start: tuple[float, float] | None, stop: threading.Event
) -> tuple[float, float]:
    """Wait until a file's picture is due.

    start: a wall time and the file time that belongs to it, or None. Gives the same or a new pair.
    """
    seconds = float(frame.time or 0.0)
    if start is None or not -_BEHIND < start[0] + seconds - start[1] - now() < 60:
        return now(), seconds
    stop.wait(max(0.0, start[0] + seconds - start[1] - now()))
    return start


def _reason(error: Exception, input: Input) -> str:
    if isinstance(error, (av.error.ExitError, TimeoutError)):
        return f"no data for {STALLED:g} s"
    host = _host_and_port(input.url)[0] if input.kind == "stream" else ""
    if host and getattr(error, "errno", None) == errno.EIO and not _resolves(host):
        return f"no machine '{host}' is known"
    reason = getattr(error, "strerror", None) or str(error)
    return str(reason).lower()
