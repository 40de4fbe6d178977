"""A script of OBS that runs mattecast: in OBS, Tools, Scripts, + and this file.

The script starts a worker, which is a process of its own. When the worker dies, OBS goes on and
the script starts the worker again. When OBS ends, the worker's standard input closes and the worker
ends too. The script imports the standard library only: OBS's Python need not have mattecast.
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
# The flags of `mattecast live` for each quality.
QUALITIES = {
    "automatic": [],
    "fast": ["--network-size", "256"],
    "fine": ["--network-size", "512"],
}
ENGINES = ("auto", "openvino", "tensorrt", "torch")
# Hotkeys: what OBS calls each of them, and the command that the worker gets.
KEYS = {
    "mattecast_toggle": ("matting on or off", "toggle"),
    "mattecast_background": ("next background", "key b"),
    "mattecast_in": ("edge inwards", "key +"),
    "mattecast_out": ("edge outwards", "key -"),
    "mattecast_smooth": ("smoothing on or off", "key s"),
}
# The tool tips of the dialog, whose labels are short because it opens narrow.
TIPS = {
    "input": "or the address of a stream, or 'screen'",
    "start": "Starts again with these settings; the background alone changes at once",
    "refresh": "OBS draws the line below only when it is asked to",
    "blend": "Linear blends as light does; srgb is for mattes judged against sRGB composites",
    "python": "The Python that has mattecast; empty: the first one found",
    "more": "More flags of `mattecast live`",
}
# The folder where Linux lists cameras.
DEVICES = Path("/sys/class/video4linux")
# How often the worker is checked (milliseconds).
TICK = 500
# The first and the longest wait before the worker is started again (seconds).
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
# After a run of this length the wait before a restart is the first one again (seconds).
STEADY = 20.0


class Worker:
    """The process that runs `mattecast live`.

    wanted: whether it shall run. status: what it does or why it does not run, for people.
    lines: its messages that OBS's log does not have yet.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.status = "not started"
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._command: Callable[[], list[str]] = list
        self._process: subprocess.Popen[str] | None = None
        self._started, self._wait, self._restart_at = 0.0, FIRST_WAIT, 0.0
        # The last message of the process, and the reason why the process before has ended.
        self._last_message = self._end_reason = ""
        self._readers: list[threading.Thread] = []

    @property
    def running(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, command: Callable[[], list[str]]) -> None:
        """Start the process, and start it again whenever it dies, until `stop`.

        command: is called at each start, and gives the command line by the settings of then.
        """
        self.stop()
        self.wanted, self._command = True, command
        self._wait, self._end_reason = FIRST_WAIT, ""
        self._launch()

    def stop(self) -> None:
        """End the process. Its input is closed first, which lets it clean up."""
        self.wanted, self.status = False, "stopped"
        process, self._process = self._process, None
        if process is None:
            return
        _close_input(process)
        for end in (process.terminate, process.kill):
            try:
                process.wait(3)
                break
            except subprocess.TimeoutExpired:
                end()

    def send(self, command: str) -> None:
        """Send a command such as 'background blur' to the process, if it runs."""
        if self.running and self._process and self._process.stdin:
            try:
                self._process.stdin.write(command + "\n")
                self._process.stdin.flush()
            except OSError:
                self.status = "mattecast has ended"

    def restart_if_dead(self) -> None:
        """Start the process again when it has died, after waits that grow."""
        if not self.wanted or self.running:
            return
        now = time.monotonic()
        if not self._restart_at:
            if now - self._started > STEADY:
                self._wait = FIRST_WAIT
            self._end_reason = self._find_end_reason()
            self.status = f"{self._end_reason}; starting again in {self._wait:g} s"
            self._restart_at = now + self._wait
            self._wait = min(LONGEST_WAIT, 2 * self._wait)
        elif now >= self._restart_at:
            self._launch()

    def _find_end_reason(self) -> str:
        """Why the process has ended, as far as that is known."""
        if self._process is None:
            return self._end_reason
        for reader in self._readers:
            reader.join(1)  # the last message may have come just now
        _close_input(self._process)
        code = self._process.returncode
        # A process that gives up writes the reason last; one that is killed has written anything.
        gave_up = code in (1, 2) and self._last_message
        return self._last_message if gave_up else f"mattecast ended (exit code {code})"

    def _launch(self) -> None:
        self._restart_at, self._started, self._last_message = 0.0, time.monotonic(), ""
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
        restarts = f"starting again ({self._end_reason})"
        self.status = restarts if self._end_reason else "starting"
        self._readers = [
            threading.Thread(target=read, args=(self._process, pipe), daemon=True)
            for read, pipe in (
                (self._read_status, self._process.stdout),
                (self._read_messages, self._process.stderr),
            )
        ]
        for reader in self._readers:
            reader.start()

    def _failed(self, reason: str) -> None:
        """Note that the process could not be started."""
        self._process, self.status, self._end_reason = None, reason, reason

    def _read_status(self, process: Any, pipe: Any) -> None:
        """Read the status of a process, which writes a line of JSON each second."""
        for line in _lines(pipe):
            try:
                status = json.loads(line)
            except ValueError:
                continue
            age = status["age_ms"]
            self._show(
                process,
                f"{status['fps_out']} fps, {age['p50']} ms old (p95 {age['p95']}), "
                f"{status['source']}; {status['engine']}",
            )

    def _read_messages(self, process: Any, pipe: Any) -> None:
        """Read the messages of a process; the last one may be why it has ended."""
        for line in _lines(pipe):
            self.lines.put(line)
            if self._show(process, line):
                self._last_message = line

    def _show(self, process: Any, text: str) -> bool:
        """Make a text of a process the status, unless the process was stopped or replaced."""
        current = process is self._process
        if current:
            self.status = text
        return current


def _lines(pipe: Any) -> Iterator[str]:
    with pipe:
        yield from (line.strip() for line in pipe)


def _close_input(process: subprocess.Popen[str]) -> None:
    """Close the input of a process, unless the process has ended already."""
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
    """The Python that has mattecast.

    It is the first of these: the one named, the one of the environment or the checkout that holds
    this file, the one beside the command `mattecast` on PATH, and the one called python3.
    """
    if named:
        return named
    here = Path(__file__).resolve()
    places = ("Scripts/python.exe",) if os.name == "nt" else ("bin/python",)
    for folder in here.parents:
        # The root of an environment, or of a checkout with its private environments.
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
    """The command line for these settings. output: where the worker sends its pictures."""
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


# OBS calls the functions below by their names.


def script_description() -> str:
    """The text beside OBS's list of scripts."""
    return (
        "<b>mattecast</b><br>Your camera as a source with true alpha, without a green screen."
        "<br>Choose a camera and press Start."
    )


def script_properties() -> Any:
    """The script's dialog."""
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
    # These come first, because the dialog opens with room for six lines.
    obs.obs_properties_add_button(made, "start", "Start", on_start)
    obs.obs_properties_add_button(made, "stop", "Stop", on_stop)
    obs.obs_properties_add_button(made, "refresh", "Refresh status", on_refresh)
    obs.obs_properties_add_text(made, "status", WORKER.status, obs.OBS_TEXT_INFO)
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
    """The settings that the user has not set."""
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
    for name, (about, command) in KEYS.items():
        HOTKEYS[name] = obs.obs_hotkey_register_frontend(
            name, f"mattecast: {about}", on_key(command)
        )
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
    """A setting was changed. The running worker gets what can change while it runs."""
    before = SETTINGS.get("background")
    for key in ("input", "background", "quality", "engine", "blend", "python", "more"):
        SETTINGS[key] = obs.obs_data_get_string(settings, key)
    SETTINGS["autostart"] = "yes" if obs.obs_data_get_bool(settings, "autostart") else ""
    if before not in (None, SETTINGS["background"]):
        WORKER.send(f"background {SETTINGS['background']}")


def script_unload() -> None:
    """The script is removed or reloaded, or OBS ends."""
    WORKER.stop()


def on_event(event: int) -> None:
    """Start and stop with OBS. OBS reloads its scripts with another scene collection."""
    loaded = (
        obs.OBS_FRONTEND_EVENT_FINISHED_LOADING,
        obs.OBS_FRONTEND_EVENT_SCENE_COLLECTION_CHANGED,
    )
    if event in loaded and SETTINGS.get("autostart"):
        on_start(None, None)
    elif event == obs.OBS_FRONTEND_EVENT_EXIT:
        WORKER.stop()


def on_start(properties: Any, pressed: Any) -> bool:
    """Make the source, and start the worker with the current settings."""
    WORKER.stop()
    port = ensure_source()
    if not port:
        WORKER.status = f"'{SOURCE}' is another source of yours: give it another name"
        return _show_status(properties)
    WORKER.start(lambda: command(SETTINGS, f"tcp://127.0.0.1:{port}"))
    return _show_status(properties)


def on_stop(properties: Any, pressed: Any) -> bool:
    """End the worker. The source stays."""
    WORKER.stop()
    return _show_status(properties)


def on_refresh(properties: Any, pressed: Any) -> bool:
    """Show the newest status."""
    return _show_status(properties)


def on_key(command: str) -> Callable[[bool], None]:
    """The function for a hotkey that sends a command to the worker."""

    def act(pressed: bool) -> None:
        if pressed:
            WORKER.send(command)

    return act


def on_tick() -> None:
    """Check the worker, log its messages, and set the blending methods."""
    WORKER.restart_if_dead()
    # OBS logs them as this script's on its own threads only.
    while not WORKER.lines.empty():
        obs.script_log(obs.LOG_INFO, WORKER.lines.get())
    blend_all()


def _show_status(properties: Any) -> bool:
    """Write the status into the dialog; gives whether OBS shall draw the dialog again."""
    if properties is None:
        return False
    line = obs.obs_properties_get(properties, "status")
    obs.obs_property_set_description(line, WORKER.status)
    return True


def cameras() -> list[tuple[str, str]]:
    """(name, input) of this machine's cameras; where it does not list them, three by number."""
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
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ensure_source() -> int:
    """Make the media source in the current scene, or take the one that exists; gives its port.

    Gives 0 where a source of that name shows something else.
    """
    source = obs.obs_get_source_by_name(SOURCE)
    port = _port_of(source) if source else free_port()
    if not port:
        obs.obs_source_release(source)
        return 0
    settings = obs.obs_data_create()
    for key, value in source_settings(port, SETTINGS.get("blend") or "linear").items():
        if isinstance(value, bool):
            obs.obs_data_set_bool(settings, key, value)
        elif isinstance(value, int):
            obs.obs_data_set_int(settings, key, value)
        else:
            obs.obs_data_set_string(settings, key, value)
    if source:
        obs.obs_source_update(source, settings)
    else:
        source = obs.obs_source_create("ffmpeg_source", SOURCE, settings, None)
        _add_to_scene(source)
    obs.obs_data_release(settings)
    obs.obs_source_release(source)
    return port


def source_settings(port: int, blend: str) -> dict[str, str | bool | int]:
    """OBS's settings of the media source: those of mattecast.live.obs.media_source, which this
    file cannot import. blend: linear or srgb."""
    return {
        "is_local_file": False,
        "input": f"tcp://127.0.0.1:{port}?listen=1",
        "input_format": "nut",
        "buffering_mb": 0,
        "reconnect_delay_sec": 1,
        "restart_on_activate": False,
        "close_when_inactive": False,
        "clear_on_media_end": True,
        "hw_decode": False,
        "color_range": 2,
        "linear_alpha": blend != "srgb",
        "ffmpeg_options": "probesize=32 analyzeduration=0 fflags=nobuffer",
        "mattecast_blend": blend,
    }


def _port_of(source: Any) -> int:
    """The port of a media source that listens, a free port for an empty media source, and 0 for
    any other source."""
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


def _add_to_scene(source: Any) -> None:
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
    """Set the blending method of every item that shows a source of ours. OBS's WebSocket cannot
    set it, so `mattecast live --obs-blend` needs this script for that."""
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
    blend = obs.obs_data_get_string(settings, "mattecast_blend")
    obs.obs_data_release(settings)
    if blend:
        method = obs.OBS_BLEND_METHOD_SRGB_OFF if blend == "srgb" else obs.OBS_BLEND_METHOD_DEFAULT
        if obs.obs_sceneitem_get_blending_method(item) != method:
            obs.obs_sceneitem_set_blending_method(item, method)
