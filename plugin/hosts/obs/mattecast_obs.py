"""mattecast inside OBS: Tools, Scripts, + and this file. Starts, restarts and stops the worker.

The worker is a process of its own: when it dies OBS goes on, and it is started again; when OBS
ends, so does it, for its standard input closes. Nothing heavy is imported here, and OBS's own
Python need not have mattecast.
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import obspython as obs

SOURCE = "mattecast"
BACKGROUNDS = ("none", "blur", "bokeh", "green", "black", "white")
# Quality to the flags of `mattecast live`.
QUALITIES = {
    "automatic": [],
    "fast": ["--network-size", "256"],
    "fine": ["--network-size", "512"],
}
ENGINES = ("auto", "openvino", "tensorrt", "torch")
# Hotkeys, as OBS lists them: what each does, and what the worker is told.
KEYS = {
    "mattecast_toggle": ("matting on or off", "toggle"),
    "mattecast_background": ("next background", "key b"),
    "mattecast_in": ("edge inwards", "key +"),
    "mattecast_out": ("edge outwards", "key -"),
    "mattecast_smooth": ("smoothing on or off", "key s"),
}
# What the dialog says of its parts when asked; its labels are short, for it opens narrow.
TIPS = {
    "input": "or the address of a stream, or 'screen'",
    "start": "Starts anew with the settings as they are; the background alone changes at once",
    "look": "OBS draws the line below only when asked to",
    "blend": "Linear is what light does; srgb is for mattes judged against sRGB composites",
    "python": "The one that has mattecast; empty: whichever is found",
    "more": "As of `mattecast live`",
}
# Where Linux lists cameras.
DEVICES = Path("/sys/class/video4linux")
# How often the worker is looked after (milliseconds), and the longest wait for a restart (s).
TICK, LONGEST_WAIT = 500, 30.0
# A worker that ran this long has not failed at once: its next restart is quick (seconds).
STEADY = 20.0


class Worker:
    """The process, wanted or not, and what it says of itself."""

    def __init__(self) -> None:
        self.wanted = False
        self.said = "not started"
        # What it has written for people, until it is logged.
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._command: Callable[[], list[str]] = list
        self._process: subprocess.Popen[str] | None = None
        self._started, self._wait, self._again = 0.0, 1.0, 0.0
        # The last line it wrote, and why it had to be started again.
        self._last = self._ended = ""
        self._listeners: list[threading.Thread] = []

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def start(self, command: Callable[[], list[str]]) -> None:
        """Start it, and start it again whenever it dies, until `stop`.

        command: gives what is to be started, by the settings of that moment.
        """
        self.stop()
        self.wanted, self._command, self._wait, self._ended = True, command, 1.0, ""
        self._launch()

    def stop(self) -> None:
        """End it: by the end of its input first, which lets it clean up."""
        self.wanted, self.said = False, "stopped"
        process, self._process = self._process, None
        if process is None:
            return
        _hang_up(process)
        for end in (process.terminate, process.kill):
            try:
                process.wait(3)
                break
            except subprocess.TimeoutExpired:
                end()

    def tell(self, command: str) -> None:
        """Give a running worker a command, such as 'background blur'."""
        if self.running and self._process and self._process.stdin:
            try:
                self._process.stdin.write(command + "\n")
                self._process.stdin.flush()
            except OSError:
                self.said = "the worker has gone"

    def look_after(self) -> None:
        """Start it again when it died, with growing waits."""
        if not self.wanted or self.running:
            return
        now = time.monotonic()
        if not self._again:
            if now - self._started > STEADY:
                self._wait = 1.0
            self._ended = self._why()
            self.said = f"{self._ended}; starting again in {self._wait:g} s"
            self._again = now + self._wait
            self._wait = min(LONGEST_WAIT, 2 * self._wait)
        elif now >= self._again:
            self._launch()

    def _why(self) -> str:
        """Why there is no process, as far as it can be told."""
        if self._process is None:
            return self._ended
        for listener in self._listeners:
            listener.join(1)  # it may have said why just now
        _hang_up(self._process)
        code = self._process.returncode
        # What it says last before it gives up is the reason; before it is killed, anything.
        gave_up = code in (1, 2) and self._last
        return self._last if gave_up else f"mattecast ended (exit code {code})"

    def _launch(self) -> None:
        self._again, self._started, self._last = 0.0, time.monotonic(), ""
        # Windows would open a console window for it.
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        try:
            command = self._command()
        except ValueError as error:
            return self._failed(f"More flags: {str(error).lower()}")
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                universal_newlines=True,
                bufsize=1,
                env=_environment(),
                creationflags=flags,
            )
        except OSError as error:
            return self._failed(
                f"{command[0]} cannot be started ({error.strerror}): "
                "set Python to the one that has mattecast"
            )
        self.said = f"starting again ({self._ended})" if self._ended else "starting"
        self._listeners = [
            threading.Thread(target=listen, args=(self._process, pipe), daemon=True)
            for listen, pipe in (
                (self._hear, self._process.stdout),
                (self._note, self._process.stderr),
            )
        ]
        for listener in self._listeners:
            listener.start()

    def _failed(self, reason: str) -> None:
        """Note that it could not even be started."""
        self._process, self.said, self._ended = None, reason, reason

    def _hear(self, process: Any, pipe: Any) -> None:
        """Take the worker's status, a line of JSON each second."""
        for line in _lines(pipe):
            try:
                status = json.loads(line)
            except ValueError:
                continue
            age = status["age_ms"]
            self._says(
                process,
                f"{status['fps_out']} fps, {age['p50']} ms old (p95 {age['p95']}), "
                f"{status['source']}; {status['engine']}",
            )

    def _note(self, process: Any, pipe: Any) -> None:
        """Show what it says; the last of it may be why it ended."""
        for line in _lines(pipe):
            self.lines.put(line)
            if self._says(process, line):
                self._last = line

    def _says(self, process: Any, text: str) -> bool:
        """Show what a process says, unless it was stopped or replaced."""
        ours = process is self._process
        if ours:
            self.said = text
        return ours


def _lines(pipe: Any) -> Iterator[str]:
    with pipe:
        yield from (line.strip() for line in pipe)


def _hang_up(process: subprocess.Popen[str]) -> None:
    """Close its input, unless it has gone already."""
    with suppress(OSError):
        if process.stdin:
            process.stdin.close()


WORKER = Worker()
SETTINGS: dict[str, str] = {}
HOTKEYS: dict[str, int] = {}


def _environment() -> dict[str, str]:
    """OBS's environment without what points Python at OBS's own libraries."""
    kept = dict(os.environ)
    for name in ("PYTHONHOME", "PYTHONPATH"):
        kept.pop(name, None)
    return kept


def interpreter(named: str = "") -> str:
    """The Python that has mattecast: the one named, the one this file was installed with, that of
    a checkout around it, the one behind the command on PATH, or whatever is called python3."""
    if named:
        return named
    here = Path(__file__).resolve()
    places = ("Scripts/python.exe",) if os.name == "nt" else ("bin/python",)
    for folder in here.parents:
        # An environment's root, or a checkout with its private environments.
        for root in (folder, folder / ".venv", folder / ".venv-test"):
            if (root / "pyvenv.cfg").exists():
                for place in places:
                    if (root / place).exists():
                        return str(root / place)
    command = shutil.which("mattecast")
    if command:
        beside = Path(command).resolve().parent / Path(places[0]).name
        if beside.exists():
            return str(beside)
    return shutil.which("python3") or shutil.which("python") or sys.executable


def command(settings: dict[str, str], output: str) -> list[str]:
    """What is started for these settings, to send its pictures to `output`."""
    made = [
        interpreter(settings.get("python", "")),
        "-m",
        "mattecast",
        "live",
        settings.get("input") or "camera:0",
        "--loop",
        "--obs",
        "off",
        "-o",
        output,
        "--commands",
        "--json",
        "--background",
        settings.get("background") or "none",
        "--backend",
        settings.get("engine") or "auto",
        *QUALITIES.get(settings.get("quality", ""), []),
    ]
    return made + shlex.split(settings.get("more") or "", posix=os.name != "nt")


# What OBS calls.


def script_description() -> str:
    """Shown beside the list of scripts."""
    return (
        "<b>mattecast</b><br>Your camera as a source with true alpha, without a green screen."
        "<br>Choose a camera and press Start."
    )


def script_properties() -> Any:
    """The script's settings."""
    made = obs.obs_properties_create()
    camera = obs.obs_properties_add_list(
        made,
        "input",
        "Camera or file",
        obs.OBS_COMBO_TYPE_EDITABLE,
        obs.OBS_COMBO_FORMAT_STRING,
    )
    for name, value in cameras():
        obs.obs_property_list_add_string(camera, name, value)
    _add_choice(made, "background", "Background", BACKGROUNDS, obs.OBS_COMBO_TYPE_EDITABLE)
    # Before the rest: the dialog, as it opens, has room for these.
    obs.obs_properties_add_button(made, "start", "Start", on_start)
    obs.obs_properties_add_button(made, "stop", "Stop", on_stop)
    obs.obs_properties_add_button(made, "look", "How it goes", on_look)
    obs.obs_properties_add_text(made, "status", WORKER.said, obs.OBS_TEXT_INFO)
    _add_choice(made, "quality", "Quality", QUALITIES)
    _add_choice(made, "engine", "Engine", ENGINES)
    _add_choice(made, "blend", "Soft edges", ("linear", "srgb"))
    obs.obs_properties_add_bool(made, "autostart", "Start with OBS")
    obs.obs_properties_add_text(made, "python", "Python", obs.OBS_TEXT_DEFAULT)
    obs.obs_properties_add_text(made, "more", "More flags", obs.OBS_TEXT_DEFAULT)
    for key, tip in TIPS.items():
        if found := obs.obs_properties_get(made, key):
            obs.obs_property_set_long_description(found, tip)
    return made


def _add_choice(
    made: Any, key: str, label: str, values: Iterable[str], kind: int | None = None
) -> None:
    kind = obs.OBS_COMBO_TYPE_LIST if kind is None else kind
    chosen = obs.obs_properties_add_list(made, key, label, kind, obs.OBS_COMBO_FORMAT_STRING)
    for value in values:
        obs.obs_property_list_add_string(chosen, value, value)


def script_defaults(settings: Any) -> None:
    """What is set before the user sets anything."""
    for key, value in (
        ("input", "camera:0"),
        ("background", "none"),
        ("quality", "automatic"),
        ("engine", "auto"),
        ("blend", "linear"),
    ):
        obs.obs_data_set_default_string(settings, key, value)


def script_load(settings: Any) -> None:
    """OBS has loaded the script."""
    obs.obs_frontend_add_event_callback(on_event)
    obs.timer_add(on_tick, TICK)
    for name, (about, told) in KEYS.items():
        HOTKEYS[name] = obs.obs_hotkey_register_frontend(name, f"mattecast: {about}", on_key(told))
        saved = obs.obs_data_get_array(settings, name)
        obs.obs_hotkey_load(HOTKEYS[name], saved)
        obs.obs_data_array_release(saved)


def script_save(settings: Any) -> None:
    """OBS saves the hotkeys with the scene collection."""
    for name, number in HOTKEYS.items():
        saved = obs.obs_hotkey_save(number)
        obs.obs_data_set_array(settings, name, saved)
        obs.obs_data_array_release(saved)


def script_update(settings: Any) -> None:
    """A setting was changed; a running worker is told what can be changed while it runs."""
    before = SETTINGS.get("background")
    for key in ("input", "background", "quality", "engine", "blend", "python", "more"):
        SETTINGS[key] = obs.obs_data_get_string(settings, key)
    SETTINGS["autostart"] = "yes" if obs.obs_data_get_bool(settings, "autostart") else ""
    if before not in (None, SETTINGS["background"]):
        WORKER.tell(f"background {SETTINGS['background']}")


def script_unload() -> None:
    """The script is removed or loaded anew, or OBS ends."""
    WORKER.stop()


def on_event(event: int) -> None:
    """Start and stop with OBS, whose scripts are loaded anew with another scene collection."""
    loaded = (
        obs.OBS_FRONTEND_EVENT_FINISHED_LOADING,
        obs.OBS_FRONTEND_EVENT_SCENE_COLLECTION_CHANGED,
    )
    if event in loaded and SETTINGS.get("autostart"):
        on_start(None, None)
    elif event == obs.OBS_FRONTEND_EVENT_EXIT:
        WORKER.stop()


def on_start(properties: Any, pressed: Any) -> bool:
    """Make the source, and start the worker with the settings as they are."""
    WORKER.stop()
    port = ensure_source()
    if not port:
        WORKER.said = f"'{SOURCE}' is another source of yours: give it another name"
        return _told(properties)
    WORKER.start(lambda: command(SETTINGS, f"tcp://127.0.0.1:{port}"))
    return _told(properties)


def on_stop(properties: Any, pressed: Any) -> bool:
    """End the worker; the source stays."""
    WORKER.stop()
    return _told(properties)


def on_look(properties: Any, pressed: Any) -> bool:
    """Show the newest status."""
    return _told(properties)


def on_key(command: str) -> Callable[[bool], None]:
    """What a hotkey calls that gives the worker a command."""

    def act(pressed: bool) -> None:
        if pressed:
            WORKER.tell(command)

    return act


def on_tick() -> None:
    """Look after the worker, its words, and blending."""
    WORKER.look_after()
    # OBS takes them for this script's only on its own threads.
    while not WORKER.lines.empty():
        obs.script_log(obs.LOG_INFO, WORKER.lines.get())
    blend_all()


def _told(properties: Any) -> bool:
    """Write the status into the dialog; gives whether it is to be drawn anew."""
    if properties is None:
        return False
    line = obs.obs_properties_get(properties, "status")
    obs.obs_property_set_description(line, WORKER.said)
    return True


def cameras() -> list[tuple[str, str]]:
    """(name, input) of the cameras there are, as far as they can be told without mattecast."""
    found = []
    for entry in sorted(DEVICES.glob("video*"), key=lambda one: int(one.name[5:] or 0)):
        try:
            name, index = ((entry / fact).read_text().strip() for fact in ("name", "index"))
        except OSError:
            continue
        if index == "0":  # a camera's second device carries metadata, no pictures
            found.append((f"{name} ({entry.name})", f"camera:/dev/{entry.name}"))
    return found or [(f"camera {number}", f"camera:{number}") for number in range(3)]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ensure_source() -> int:
    """Make the media source in the current scene, or take the one there is; gives its port, or 0
    where that name is a source's that shows something else."""
    source = obs.obs_get_source_by_name(SOURCE)
    port = _port_of(source) if source else free_port()
    if not port:
        obs.obs_source_release(source)
        return 0
    settings = obs.obs_data_create()
    for key, value in (
        ("input", f"tcp://127.0.0.1:{port}?listen=1"),
        ("input_format", "nut"),
        ("ffmpeg_options", "probesize=32 analyzeduration=0 fflags=nobuffer"),
        ("mattecast_blend", SETTINGS.get("blend") or "linear"),
    ):
        obs.obs_data_set_string(settings, key, value)
    for key, on in (
        ("is_local_file", False),
        ("restart_on_activate", False),
        ("close_when_inactive", False),
        ("clear_on_media_end", True),
        ("hw_decode", False),
        ("linear_alpha", SETTINGS.get("blend") != "srgb"),
    ):
        obs.obs_data_set_bool(settings, key, on)
    for key, number in (("buffering_mb", 0), ("reconnect_delay_sec", 1), ("color_range", 2)):
        obs.obs_data_set_int(settings, key, number)
    if source:
        obs.obs_source_update(source, settings)
    else:
        source = obs.obs_source_create("ffmpeg_source", SOURCE, settings, None)
        _show(source)
    obs.obs_data_release(settings)
    obs.obs_source_release(source)
    return port


def _port_of(source: Any) -> int:
    """The port of a media source that listens, a free one for an empty one; 0 for any other."""
    if obs.obs_source_get_id(source) != "ffmpeg_source":
        return 0
    settings = obs.obs_source_get_settings(source)
    found = obs.obs_data_get_string(settings, "input")
    file = obs.obs_data_get_string(settings, "local_file")
    is_file = obs.obs_data_get_bool(settings, "is_local_file")
    obs.obs_data_release(settings)
    text = found[: -len("?listen=1")].rpartition(":")[2] if found.endswith("?listen=1") else ""
    if text.isdigit() and not is_file:
        return int(text)
    return 0 if found or file else free_port()


def _show(source: Any) -> None:
    """Add the source to the current scene, fitted into the canvas."""
    current = obs.obs_frontend_get_current_scene()
    item = obs.obs_scene_add(obs.obs_scene_from_source(current), source)
    video = obs.obs_video_info()
    obs.obs_get_video_info(video)
    bounds = obs.vec2()
    bounds.x, bounds.y = float(video.base_width), float(video.base_height)
    obs.obs_sceneitem_set_bounds_type(item, obs.OBS_BOUNDS_SCALE_INNER)
    obs.obs_sceneitem_set_bounds(item, bounds)
    obs.obs_source_release(current)


def blend_all() -> None:
    """Set the blending method of every item that shows a source of ours: what `--blend srgb` asks
    for cannot be set by OBS's WebSocket."""
    scenes = obs.obs_frontend_get_scenes() or []
    for scene in scenes:
        _blend_in(obs.obs_scene_from_source(scene))
    obs.source_list_release(scenes)


def _blend_in(scene: Any) -> None:
    items = obs.obs_scene_enum_items(scene) or []
    for item in items:
        if obs.obs_sceneitem_is_group(item):
            _blend_in(obs.obs_sceneitem_group_get_scene(item))
        else:
            _blend(item)
    obs.sceneitem_list_release(items)


def _blend(item: Any) -> None:
    settings = obs.obs_source_get_settings(obs.obs_sceneitem_get_source(item))
    wish = obs.obs_data_get_string(settings, "mattecast_blend")
    obs.obs_data_release(settings)
    if wish:
        method = obs.OBS_BLEND_METHOD_SRGB_OFF if wish == "srgb" else obs.OBS_BLEND_METHOD_DEFAULT
        if obs.obs_sceneitem_get_blending_method(item) != method:
            obs.obs_sceneitem_set_blending_method(item, method)
