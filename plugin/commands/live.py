"""`mattecast live`: flags, and the loop that shows how it goes."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mattecast.commands.options import add_options, settings_of
from mattecast.commands.pipes import check_stdin, check_stdout
from mattecast.errors import MattecastError, UsageError
from mattecast.settings import LIVE_SMOOTHING, Settings

if TYPE_CHECKING:
    from mattecast.inspect.finding import Report
    from mattecast.live.capture import Input
    from mattecast.live.obs.client import Address
    from mattecast.live.obs.link import Link
    from mattecast.live.obs.passwords import Password
    from mattecast.live.outputs.outlet import Outlet
    from mattecast.live.session import Session, Sink

EXAMPLES = """examples:
  mattecast live --camera 0                          your camera as a source in OBS
  mattecast live rtsp://camera.local/stream --obs    a network camera
  mattecast live talk.mp4 --loop                     a file, at its own pace, again and again
  mattecast live --camera 0 --background blur --virtual-camera
  mattecast live --camera 0 --record take.mov        OBS and a ProRes 4444 file at once
  mattecast live --camera 0 -o - | ffplay -f nut -   NUT with alpha, for other programs
  mattecast live --list                              cameras

OBS's WebSocket password is read from OBS_PASSWORD, --obs-password-file, OBS's own settings on this
machine, or asked for; it is never a flag. Keys while it runs: space on/off, b background, + - edge,
q quit; ? shows all."""
# The exit code of a run that did not do all it was asked to do.
_FAILED = 1
# How often the session is checked, and how often its status is shown on a terminal and in a pipe
# (seconds).
_TICK, _INTERVAL, _PIPED_INTERVAL = 0.1, 1.0, 10.0


def add_live(parser: argparse.ArgumentParser) -> None:
    """The flags of `mattecast live`."""
    add = parser.add_argument
    add(
        "input",
        nargs="?",
        metavar="INPUT",
        help="a file, rtsp:// srt:// udp:// http:// rtmp:// stream, 'screen', 'obs' for OBS's "
        "virtual camera, or - for a pipe",
    )
    add("--camera", metavar="N", help="number or part of the name of a camera")
    add("--list", action="store_true", help="show the cameras and end")
    add("--size", metavar="WxH", help="size asked of the camera or screen, also as 720p")
    add("--rate", metavar="RATE", help="frames a second asked of the camera")
    add("--loop", action="store_true", help="play a file again and again")
    add("--for", dest="seconds", type=float, metavar="SECONDS", help="end after this long")
    _add_obs(parser)
    group = parser.add_argument_group("other outputs")
    add = group.add_argument
    add(
        "--virtual-camera",
        nargs="?",
        const="",
        metavar="DEVICE",
        help="a camera other programs see; green instead of alpha (mattecast[virtual-camera])",
    )
    add("--record", type=Path, metavar="FILE", help="write a file as well: .mov .webm .mkv .mp4")
    add("--overwrite", action="store_true", help="replace an existing recording")
    add(
        "-o",
        "--output",
        action="append",
        default=[],
        metavar="OUT",
        help="- for standard output, or tcp://HOST:PORT of a listening media source; may be given "
        "again",
    )
    add(
        "--format",
        choices=("nut", "y4m"),
        help="format of standard output (default: nut, with alpha)",
    )
    _add_picture(parser)
    group = parser.add_argument_group("control")
    add = group.add_argument
    add(
        "--control",
        type=int,
        metavar="PORT",
        nargs="?",
        const=0,
        help="control page on 127.0.0.1, by default on any free port; its address is shown",
    )
    add("--preview", action="store_true", help="open the control page, which shows the picture")
    add(
        "--commands",
        action="store_true",
        help="read commands such as 'background blur' from standard input; its end ends the run",
    )
    add("--json", action="store_true", help="print the status as a line of JSON each second")
    add("--quiet", action="store_true", help="no status line")


def _add_obs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("OBS (the default output)").add_argument
    add(
        "--obs",
        nargs="?",
        const="",
        metavar="HOST[:PORT]",
        help="OBS's WebSocket server (default: this machine, the port set there, else 4455); 'off' "
        "for none",
    )
    add("--obs-password-file", type=Path, metavar="FILE", help="file that holds its password")
    add("--name", default="mattecast", help="name of our source in OBS (default: mattecast)")
    add("--scene", help="scene to put it into (default: the current one)")
    add("--follow", action="store_true", help="put it into every scene that comes on air")
    add(
        "--stream",
        choices=("raw", "ffv1", "vp8"),
        help="how pictures travel: raw on this machine, ffv1 on a wired network, vp8 on Wi-Fi "
        "(default: raw here, ffv1 elsewhere)",
    )
    add(
        "--media-port",
        type=int,
        metavar="PORT",
        help="port our source in OBS listens on (default: a free one; 9700 on another machine)",
    )
    add(
        "--obs-blend",
        choices=("linear", "srgb"),
        default="linear",
        help="soft edges in linear light, or as sRGB codes: needs the item's blending method "
        "'SRGB Off', which our OBS script sets (default: linear)",
    )
    add("--sync-audio", metavar="NAME", help="delay this microphone of OBS as much as the picture")


def _add_picture(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("pace").add_argument
    add(
        "--latency",
        type=float,
        default=100.0,
        metavar="MS",
        help="how old a picture may be when it is sent; the network gets smaller until pictures "
        "are that young (default: 100)",
    )
    add_options(parser, live=True)


def live(options: argparse.Namespace) -> int:
    """Run the command; gives its exit code."""
    if options.list:
        print("\n".join(_camera_lines()))
        return 0
    session = _session(options)
    console = _Console(options)
    with ExitStack() as stack:
        stack.enter_context(tuned())
        stack.callback(_close, session, console)
        session.start()
        if options.control is not None or options.preview:
            from mattecast.live.control import redirecting, serve

            address = stack.enter_context(serve(session, options.control or 0))
            console(f"control page: {address}")
            if options.preview:
                _open_browser(stack.enter_context(redirecting(address)))
        from mattecast.live.keys import command_lines, keyboard

        listen = command_lines if options.commands else keyboard
        stack.enter_context(listen(session, console))
        _watch(session, options, console)
    return _FAILED if session.incomplete else 0


def checked_obs(options: argparse.Namespace) -> Report:
    """What `mattecast doctor --obs` finds.

    Raises UsageError for text that is no address.
    """
    from mattecast.inspect.obs import examine_obs
    from mattecast.live.obs.passwords import Password

    where = _address(options)
    return examine_obs(where, Password(where, options.obs_password_file), options.name)


def _address(options: argparse.Namespace) -> Address:
    from mattecast.live.obs.client import address
    from mattecast.live.obs.passwords import server_port

    text = options.obs or ""
    try:
        where = address(text)
    except ValueError as error:
        raise UsageError(f"obs: {error}") from error
    port = server_port() if where.local and ":" not in text else None
    return replace(where, port=port) if port else where


def _camera_lines() -> Iterator[str]:
    from mattecast.live.cameras import cameras, modes

    found = cameras()
    if not found:
        yield "this machine has no camera"
    for one in found:
        yield f"{one.number}  {one.name}  {one.device}  {modes(one)}".rstrip()


@contextmanager
def tuned() -> Iterator[None]:
    """Tune the process for short delays while the block runs.

    Python's threads give way after 1 ms instead of 5 ms; OpenCV's threads: see opencv_aside.
    """
    from mattecast.flow import opencv_aside

    before = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    try:
        with opencv_aside():
            yield
    finally:
        sys.setswitchinterval(before)


def _session(options: argparse.Namespace) -> Session:
    from mattecast.live.pipeline import Controls
    from mattecast.live.session import Session

    _check(options)
    source, settings = _input(options), _settings(options)
    link, obs_outlet = _obs(options)
    sinks: list[Sink] = [*([obs_outlet] if obs_outlet else []), *_others(options)]
    return Session(
        source, Controls(settings), options.latency / 1000, sinks, link=link, obs_outlet=obs_outlet
    )


def _check(options: argparse.Namespace) -> None:
    """Raise UsageError for values that are out of range or contradict each other."""
    if not 1 <= options.latency <= 10000:
        raise UsageError(f"latency: {options.latency:g} is out of range (1 to 10000 ms)")
    if options.seconds is not None and not options.seconds > 0:
        raise UsageError(f"for: {options.seconds:g} is not a positive number of seconds")
    if options.media_port is not None and not 0 < options.media_port < 65536:
        raise UsageError(f"media-port: {options.media_port} is no port (1 to 65535)")
    if options.control is not None and not 0 <= options.control < 65536:
        raise UsageError(f"control: {options.control} is no port (1 to 65535, or 0 for any)")
    if not options.name:
        raise UsageError("name: a source in OBS needs one")
    if "-" in options.output:
        check_stdout(alone=not options.json and options.output.count("-") == 1)
    if options.input == "-" and options.commands:
        raise UsageError("-: standard input cannot bring both pictures and --commands")
    if options.input == "-":
        check_stdin()


def _input(options: argparse.Namespace) -> Input:
    from mattecast.live.capture import parse
    from mattecast.settings import parse_rate

    if options.camera is not None and options.input is not None:
        raise UsageError(f"--camera and '{options.input}': name one of them")
    try:
        rate = parse_rate(options.rate) if options.rate else None
    except ValueError as error:
        raise UsageError(f"rate: {error}") from error
    if options.input is None and options.camera is None:
        for flag, taken in (("--obs", options.obs), ("--virtual-camera", options.virtual_camera)):
            if taken and Path(taken).is_file():
                raise UsageError(f"{flag} takes '{taken}' as its own value: name INPUT before it")
    text = options.input if options.camera is None else f"camera:{options.camera}"
    return parse(text or "camera:0", size=options.size, rate=rate, loop=options.loop)


def _settings(options: argparse.Namespace) -> Settings:
    settings = settings_of(options, live=True)
    if settings.smooth.partition(":")[0] not in LIVE_SMOOTHING:
        raise UsageError(
            f"smooth '{settings.smooth}': live knows {', '.join(LIVE_SMOOTHING)}, "
            "which wait for one later picture at most"
        )
    return settings


def _obs(options: argparse.Namespace) -> tuple[Link | None, Outlet | None]:
    """The link to OBS and the outlet that feeds its source; (None, None) where OBS is not used."""
    others = options.output or options.virtual_camera is not None
    if options.obs == "off" or (options.obs is None and others):
        return None, None
    from mattecast.live.obs.link import Link
    from mattecast.live.obs.media_source import MediaSource
    from mattecast.live.obs.passwords import Password
    from mattecast.live.outputs.outlet import Outlet
    from mattecast.live.outputs.sender import CODINGS, Sender

    where = _address(options)
    coding = CODINGS[options.stream or ("raw" if where.local else "ffv1")]
    source = MediaSource(
        name=options.name,
        scene=options.scene,
        linear=options.obs_blend == "linear",
        format=coding.format,
        yuv=coding.pixels != "bgra",
        port=options.media_port,
    )
    password = Password(where, options.obs_password_file)
    _ask(where, password)
    link = Link(where, source, password, follow=options.follow)
    return link, Outlet(Sender(f"OBS source '{source.name}'", link.address, coding))


def _ask(where: Address, password: Password) -> None:
    """Ask the user for the password, if OBS requires one and none is known."""
    from mattecast.live.obs.client import Client, ObsError, PasswordError

    if password() or not (sys.stdin and sys.stdin.isatty()):
        return
    try:
        Client(where).close()
    except PasswordError:
        try:
            password.given = getpass.getpass("OBS WebSocket password: ")
        except EOFError as error:  # Ctrl-D
            raise UsageError("obs: no password was given") from error
    except ObsError:
        return  # the link will report the same, and try again


def _others(options: argparse.Namespace) -> Iterator[Sink]:
    from mattecast.live.outputs.outlet import Outlet
    from mattecast.live.outputs.recording import Recorder
    from mattecast.live.outputs.targets import VirtualCamera, target

    if options.format and "-" not in options.output:
        raise UsageError("--format is of standard output: add -o -")
    for output in options.output:
        yield Outlet(target(output, options.format))
    if options.virtual_camera is not None:
        yield Outlet(VirtualCamera(options.virtual_camera or None))
    if options.record is not None:
        yield Recorder(options.record, overwrite=options.overwrite)


class _Console:
    """Writes lines to standard error without disturbing the status line there."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.terminal = sys.stderr.isatty() and not options.quiet
        self.quiet = options.quiet
        # What the user was last told of each part of the session.
        self._reported: dict[str, str] = {}

    def __call__(self, text: str) -> None:
        """Write a line that stays."""
        self.clear()
        print(f"mattecast: {text}", file=sys.stderr, flush=True)

    def report(self, part: str, state: str) -> None:
        """Write the state of a part of the session, unless it was the last one written of it."""
        if state and self._reported.get(part) != state:
            self._reported[part] = state
            self(state)

    def show_status(self, text: str) -> None:
        """Write the status line; on a terminal it replaces the one before."""
        if self.quiet:
            return
        if not self.terminal:
            print(text, file=sys.stderr, flush=True)
            return
        width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
        print(f"\r\x1b[K{text[: width - 1]}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Wipe the status line."""
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _watch(session: Session, options: argparse.Namespace, console: _Console) -> None:
    """Show the session's status until the source ends, the user ends it, or a part fails."""
    started = last_shown = time.monotonic()
    interval = 1.0 if options.json else _INTERVAL if console.terminal else _PIPED_INTERVAL
    synced = options.sync_audio is None
    while session.check():
        session.quitting.wait(_TICK)
        time_now = time.monotonic()
        if options.seconds is not None and time_now - started > options.seconds:
            return
        _report_changes(session, console)
        if time_now - last_shown >= interval:
            last_shown = time_now
            if options.json:
                print(json.dumps(session.status()), flush=True)
            else:
                console.show_status(session.status_line())
            # The microphone can be delayed once the age of pictures has been measured.
            if not synced and session.delay() and session.link and session.link.connected:
                synced = True
                with _errors_reported(console):
                    console(session.do("sync", options.sync_audio))


def _report_changes(session: Session, console: _Console) -> None:
    """Write what has changed in a part of the session; piped output then tells the whole story."""
    if console.quiet:
        return
    console.report("source", session.capture.state)
    console.report("size", session.matting.governor.reason)
    if session.link:
        console.report("obs", session.link.state)
    if session.matting.engine:
        console.report("engine", f"engine: {session.matting.engine.info}")
    for number, sink in enumerate(session.sinks):
        console.report(f"output {number}", sink.state)


@contextmanager
def _errors_reported(console: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    except MattecastError as error:
        console(str(error))


def _close(session: Session, console: _Console) -> None:
    """End the session, and write what it has left behind."""
    try:
        session.close()
    finally:
        console.clear()
        for number, sink in enumerate(session.sinks):
            console.report(f"output {number}", sink.result)


def _open_browser(page: Path) -> None:
    import webbrowser

    with suppress(webbrowser.Error):
        webbrowser.open(page.as_uri())
