"""mattecast inside OBS: Tools, Scripts, + and this file. Starts, restarts and stops the worker.

The worker is a process of its own: when it dies OBS goes on, and it is started again; when OBS
ends, so does it, for its standard input closes. Nothing heavy is imported here, and OBS's own
Python need not have mattecast.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import obspython as obs

SOURCE, SHARED_SOURCE = "mattecast", "mattecast (shared memory)"
# One writer and one OBS of this process number.
MEMORY = f"mattecast-{os.getpid()}"
BACKGROUNDS = ("none", "blur", "bokeh", "green", "black", "white")
# Quality to the flags of `mattecast live`.
QUALITIES = {
    "automatic": [], "fast": ["--network-size", "256"], "fine": ["--network-size", "512"],
}  # fmt: skip
ENGINES = ("auto", "openvino", "tensorrt", "torch")
# Hotkeys, as OBS lists them: what each does, and what the worker is told.
KEYS = {
    "mattecast_toggle": ("matting on or off", "toggle"),
    "mattecast_background": ("next background", "key b"),
    "mattecast_in": ("edge inwards", "key +"),
    "mattecast_out": ("edge outwards", "key -"),
    "mattecast_smooth": ("smoothing on or off", "key s"),
}
# How often the worker is looked after (milliseconds), and the longest wait for a restart (s).
TICK, LONGEST_WAIT = 500, 30.0
# A worker that ran this long has not failed at once: its next restart is quick (seconds).
STEADY = 20.0


class Worker:
    """The process, wanted or not, and what it says of itself."""

    def __init__(self) -> None:
        self.wanted = False
        self.said = "not started"
        self.status: dict[str, Any] = {}
        self.command: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._started, self._wait, self._again = 0.0, 1.0, 0.0

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its number."""
        return self._process.pid if self._process else None

    def start(self, command: list[str]) -> None:
        """Start it, and start it again whenever it dies, until `stop`."""
        self.stop()
        self.wanted, self.command, self._wait = True, command, 1.0
        self._launch()

    def stop(self) -> None:
        """End it: by the end of its input first, which lets it clean up."""
        self.wanted = False
        process, self._process = self._process, None
        if process is None:
            return
        try:
            if process.stdin:
                process.stdin.close()
        except OSError:
            pass  # it has gone already
        for end in (process.terminate, process.kill):
            try:
                process.wait(3)
                break
            except subprocess.TimeoutExpired:
                end()
        forget_memory()
        self.said = "stopped"

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
            self._again = now + self._wait
            self._wait = min(LONGEST_WAIT, 2 * self._wait)
        elif now >= self._again:
            self._launch()

    def _launch(self) -> None:
        self._again, self._started = 0.0, time.monotonic()
        # Windows would open a console window for it.
        flags = getattr(subprocess, "CREATE_NO_WINDOW", 0)
        try:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, universal_newlines=True, bufsize=1,
                env=_environment(), creationflags=flags,
            )  # fmt: skip
        except OSError as error:
            self.said = (f"{self.command[0]} cannot be started ({error.strerror}): set the "
                         "interpreter below")  # fmt: skip
            return
        self.said = "starting"
        for listen, pipe in ((self._hear, self._process.stdout),
                             (self._note, self._process.stderr)):  # fmt: skip
            threading.Thread(target=listen, args=(pipe,), daemon=True).start()

    def _hear(self, pipe: Any) -> None:
        """Take the worker's status, a line of JSON each second."""
        for line in pipe:
            try:
                self.status = json.loads(line)
            except ValueError:
                continue
            age = self.status["age_ms"]
            self.said = (f"{self.status['fps_out']} fps, {age['p50']} ms old (p95 {age['p95']}), "
                         f"{self.status['source']}; {self.status['engine']}")  # fmt: skip

    def _note(self, pipe: Any) -> None:
        """Keep the last thing it complained of, and log it."""
        for line in pipe:
            self.said = line.strip()
            obs.script_log(obs.LOG_INFO, line.rstrip())


WORKER = Worker()
SETTINGS: dict[str, str] = {}
HOTKEYS: dict[str, int] = {}


def forget_memory() -> None:
    """Remove the shared memory: a worker that was killed has left its last picture there."""
    with suppress(OSError):
        os.unlink(f"/dev/shm/{MEMORY}")


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
        interpreter(settings.get("python", "")), "-m", "mattecast", "live",
        settings.get("input") or "camera:0", "--loop", "--obs", "off",
        "-o", output, "--commands", "--json",
        "--background", settings.get("background") or "none",
        "--backend", settings.get("engine") or "auto",
        *QUALITIES.get(settings.get("quality", ""), []),
    ]  # fmt: skip
    return made + shlex.split(settings.get("more") or "", posix=os.name != "nt")


# What OBS calls.


def script_description() -> str:
    """Shown beside the list of scripts."""
    return ("<b>mattecast</b><br>Your camera as a source with true alpha, without a green screen."
            "<br>Choose a camera and press Start.")  # fmt: skip


def script_properties() -> Any:
    """The script's settings."""
    made = obs.obs_properties_create()
    camera = obs.obs_properties_add_list(
        made, "input", "Camera, file or stream", obs.OBS_COMBO_TYPE_EDITABLE,
        obs.OBS_COMBO_FORMAT_STRING,
    )  # fmt: skip
    for name, value in cameras():
        obs.obs_property_list_add_string(camera, name, value)
    for key, label, kind, values in (
        ("background", "Background", obs.OBS_COMBO_TYPE_EDITABLE, BACKGROUNDS),
        ("quality", "Quality", obs.OBS_COMBO_TYPE_LIST, QUALITIES),
        ("engine", "Engine", obs.OBS_COMBO_TYPE_LIST, ENGINES),
        ("blend", "Soft edges blend as", obs.OBS_COMBO_TYPE_LIST, ("linear", "srgb")),
    ):
        chosen = obs.obs_properties_add_list(made, key, label, kind, obs.OBS_COMBO_FORMAT_STRING)
        for value in values:
            obs.obs_property_list_add_string(chosen, value, value)
    obs.obs_properties_add_bool(made, "autostart", "Start with OBS")
    if sys.platform.startswith("linux"):
        obs.obs_properties_add_bool(made, "shared", "Shared memory (tried with OBS 29 only)")
    obs.obs_properties_add_text(made, "python", "Python with mattecast", obs.OBS_TEXT_DEFAULT)
    obs.obs_properties_add_text(made, "more", "More flags", obs.OBS_TEXT_DEFAULT)
    obs.obs_properties_add_button(made, "start", "Start", on_start)
    obs.obs_properties_add_button(made, "stop", "Stop", on_stop)
    obs.obs_properties_add_button(made, "look", "Show how it goes", on_look)
    obs.obs_properties_add_text(made, "status", WORKER.said, obs.OBS_TEXT_INFO)
    return made


def script_defaults(settings: Any) -> None:
    """What is set before the user sets anything."""
    for key, value in (("input", "camera:0"), ("background", "none"), ("quality", "automatic"),
                       ("engine", "auto"), ("blend", "linear")):  # fmt: skip
        obs.obs_data_set_default_string(settings, key, value)


def script_load(settings: Any) -> None:
    """OBS has loaded the script; sources of our own kind, saved with the scenes, come after."""
    if obs.obs_data_get_bool(settings, "shared"):
        SETTINGS["blend"] = obs.obs_data_get_string(settings, "blend")
        register_shared()
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
    SETTINGS["shared"] = "yes" if obs.obs_data_get_bool(settings, "shared") else ""
    SETTINGS["autostart"] = "yes" if obs.obs_data_get_bool(settings, "autostart") else ""
    if before not in (None, SETTINGS["background"]):
        WORKER.tell(f"background {SETTINGS['background']}")


def script_unload() -> None:
    """The script is removed or loaded anew, or OBS ends."""
    WORKER.stop()
    if "mattecast_shm" in sys.modules:
        sys.modules["mattecast_shm"].unload()


def on_event(event: int) -> None:
    """Start and stop with OBS."""
    if event == obs.OBS_FRONTEND_EVENT_FINISHED_LOADING and SETTINGS.get("autostart"):
        on_start(None, None)
    elif event == obs.OBS_FRONTEND_EVENT_EXIT:
        WORKER.stop()


def on_start(properties: Any, pressed: Any) -> bool:
    """Make the source, and start the worker with the settings as they are."""
    output = f"shm://{MEMORY}" if SETTINGS.get("shared") and ensure_shared() else ""
    WORKER.start(command(SETTINGS, output or f"tcp://127.0.0.1:{ensure_source()}"))
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
    """Look after the worker and after blending."""
    WORKER.look_after()
    if not WORKER.running and SETTINGS.get("shared"):
        forget_memory()
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
    for entry in sorted(Path("/sys/class/video4linux").glob("video*")):
        try:
            name = (entry / "name").read_text().strip()
        except OSError:
            continue
        found.append((f"{name} ({entry.name})", f"camera:/dev/{entry.name}"))
    return found or [(f"camera {number}", f"camera:{number}") for number in range(3)]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ensure_source() -> int:
    """Make the media source in the current scene, or take the one there is; gives its port."""
    source = obs.obs_get_source_by_name(SOURCE)
    port = _port_of(source) if source else 0
    port = port or free_port()
    settings = obs.obs_data_create()
    for key, value in (("input", f"tcp://127.0.0.1:{port}?listen=1"), ("input_format", "nut"),
                       ("ffmpeg_options", "probesize=32 analyzeduration=0 fflags=nobuffer"),
                       ("mattecast_blend", SETTINGS.get("blend") or "linear")):
        obs.obs_data_set_string(settings, key, value)
    for key, on in (("is_local_file", False), ("restart_on_activate", False),
                    ("close_when_inactive", False), ("clear_on_media_end", True),
                    ("hw_decode", False), ("linear_alpha", SETTINGS.get("blend") != "srgb")):
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


def register_shared() -> bool:
    """Make our own source type known to this OBS; gives whether that went well."""
    try:
        import mattecast_shm

        mattecast_shm.register(f"/dev/shm/{MEMORY}", SETTINGS.get("blend") != "srgb")
    except (ImportError, OSError, AttributeError, TypeError) as error:
        obs.script_log(obs.LOG_WARNING, f"no shared memory ({error}); sending over TCP instead")
        return False
    return True


def ensure_shared() -> bool:
    """Make the source that shows shared memory in the current scene, or take the one there is."""
    if not register_shared():
        return False
    source = obs.obs_get_source_by_name(SHARED_SOURCE)
    if not source:
        settings = obs.obs_data_create()
        obs.obs_data_set_string(settings, "mattecast_blend", SETTINGS.get("blend") or "linear")
        source = obs.obs_source_create("mattecast_source", SHARED_SOURCE, settings, None)
        obs.obs_data_release(settings)
        _show(source)
    obs.obs_source_release(source)
    return True


def _port_of(source: Any) -> int:
    settings = obs.obs_source_get_settings(source)
    found = obs.obs_data_get_string(settings, "input")
    obs.obs_data_release(settings)
    text = found[: -len("?listen=1")].rpartition(":")[2] if found.endswith("?listen=1") else ""
    return int(text) if text.isdigit() else 0


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
        items = obs.obs_scene_enum_items(obs.obs_scene_from_source(scene)) or []
        for item in items:
            _blend(item)
        obs.sceneitem_list_release(items)
    obs.source_list_release(scenes)


def _blend(item: Any) -> None:
    settings = obs.obs_source_get_settings(obs.obs_sceneitem_get_source(item))
    wish = obs.obs_data_get_string(settings, "mattecast_blend")
    obs.obs_data_release(settings)
    if wish:
        method = (obs.OBS_BLEND_METHOD_SRGB_OFF if wish == "srgb"
                  else obs.OBS_BLEND_METHOD_DEFAULT)  # fmt: skip
        if obs.obs_sceneitem_get_blending_method(item) != method:
            obs.obs_sceneitem_set_blending_method(item, method)
