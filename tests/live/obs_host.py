"""Runs the real OBS without a screen: with its own home and X server, and closed by its window."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from waiting import until

from mattecast.live.obs.client import Address, Client, ObsError
from mattecast.live.obs.media_source import free_port

PASSWORD = "a password of the tests"
_GLOBAL = """[General]
FirstRun=true
LastVersion=486539266
EnableAutoUpdates=false
[Basic]
Profile=Test
ProfileDir=Test
SceneCollection=Test
SceneCollectionFile=Test
[BasicWindow]
SysTrayEnabled=false
PreviewEnabled=false
[OBSWebSocket]
FirstLoad=false
ServerEnabled={enabled}
ServerPort={port}
AlertsEnabled=false
AuthRequired=true
ServerPassword={password}
"""
_PROFILE = """[General]
Name=Test
[Video]
BaseCX={width}
BaseCY={height}
OutputCX={width}
OutputCY={height}
FPSType=1
FPSInt=30
ColorFormat=NV12
ColorSpace=709
ColorRange=Partial
[Output]
Mode=Simple
[SimpleOutput]
FilePath={home}
RecFormat=mkv
"""


def missing() -> str | None:
    """Why OBS cannot be run here, or None."""
    absent = [name for name in ("obs", "Xvfb") if not shutil.which(name)]
    if absent:
        return f"{' and '.join(absent)} not installed (apt-get install obs-studio xvfb)"
    try:
        import Xlib  # noqa: F401
    except ImportError:
        return "python-xlib not installed"
    return None


def decoded(answer: dict[str, Any]) -> Any:
    """The picture of a screenshot's answer: (H, W, 4) or (H, W, 3) uint8 RGB(A)."""
    data = base64.b64decode(answer["imageData"].split(",", 1)[1])
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture[..., [2, 1, 0, 3][: picture.shape[2]]]


class Host:
    """An OBS on an X server of its own. size: of its canvas. scripts: (path, settings) each."""

    def __init__(
        self,
        home: Path,
        *,
        size: tuple[int, int] = (640, 360),
        enabled: bool = True,
        scripts: tuple[tuple[Path, dict[str, Any]], ...] = (),
    ) -> None:
        self.home, self.size, self.port = home, size, free_port()
        self.config = home / "config"
        self._enabled = enabled
        self._write(enabled, scripts)
        self._screen: subprocess.Popen[bytes] | None = None
        self._obs: subprocess.Popen[bytes] | None = None
        self._client: Client | None = None
        self.display = ""

    def _write(self, enabled: bool, scripts: Any) -> None:
        folder = self.config / "obs-studio"
        (folder / "basic/profiles/Test").mkdir(parents=True)
        (folder / "basic/scenes").mkdir(parents=True)
        (folder / "plugin_config/obs-websocket").mkdir(parents=True)
        (self.home / "runtime").mkdir(mode=0o700)
        (folder / "global.ini").write_text(
            _GLOBAL.format(port=self.port, password=PASSWORD, enabled=str(enabled).lower())
        )
        # From obs-websocket 5.5 on; older ones do not look at it.
        (folder / "plugin_config/obs-websocket/config.json").write_text(
            json.dumps(
                {
                    "first_load": False,
                    "server_enabled": enabled,
                    "server_port": self.port,
                    "alerts_enabled": False,
                    "auth_required": True,
                    "server_password": PASSWORD,
                }
            )
        )
        width, height = self.size
        (folder / "basic/profiles/Test/basic.ini").write_text(
            _PROFILE.format(width=width, height=height, home=self.home)
        )
        empty = {"items": [], "id_counter": 0, "custom_size": False}
        (folder / "basic/scenes/Test.json").write_text(
            json.dumps(
                {
                    "name": "Test",
                    "current_scene": "Main",
                    "current_program_scene": "Main",
                    "scene_order": [{"name": "Main"}, {"name": "Other"}],
                    "sources": [
                        {"id": "scene", "name": name, "settings": empty}
                        for name in ("Main", "Other")
                    ],
                    "modules": {
                        "scripts-tool": [
                            {"path": str(path), "settings": settings} for path, settings in scripts
                        ]
                    },
                }
            )
        )

    def start(self) -> None:
        """Start OBS, and the X server the first time; returns when requests are taken."""
        if self._screen is None:
            self._start_screen()
        named = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        environment = {
            **named,
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.config),
            "XDG_RUNTIME_DIR": str(self.home / "runtime"),
            "DISPLAY": self.display,
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "QT_QPA_PLATFORM": "xcb",
            "LP_NUM_THREADS": "1",
            "LANG": "C.UTF-8",
        }
        with (self.home / "obs.log").open("ab") as log:
            self._obs = subprocess.Popen(
                [
                    "obs",
                    "--multi",
                    "--profile",
                    "Test",
                    "--collection",
                    "Test",
                    "--disable-missing-files-check",
                    "--unfiltered_log",
                ],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if self._enabled:
            until(self._answers, 40, "OBS takes requests")
        else:
            log_file = self.home / "obs.log"
            until(
                lambda: "Loaded scenes:" in log_file.read_text(errors="replace"), 40, "OBS's scenes"
            )

    def _start_screen(self) -> None:
        reading, writing = os.pipe()
        self._screen = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1280x800x24", "-nolisten", "tcp"],
            pass_fds=[writing],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(writing)
        with os.fdopen(reading) as numbers:
            self.display = f":{numbers.readline().strip()}"

    def _answers(self) -> bool:
        assert self._obs is not None
        assert self._obs.poll() is None, f"OBS ended: {(self.home / 'obs.log').read_text()[-2000:]}"
        try:
            # Machines that run tests are busy ones.
            self._client = Client(Address(port=self.port), PASSWORD, timeout=30)
            self._client.request("GetSceneList")
        except ObsError:
            self._hang_up()
            return False
        return True

    @property
    def where(self) -> str:
        """HOST:PORT of its WebSocket server."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """OBS's process number."""
        assert self._obs is not None
        return self._obs.pid

    def ask(self, name: str, **data: Any) -> dict[str, Any]:
        """A request over the tests' own connection."""
        assert self._client is not None
        return self._client.request(name, **data)

    def shot(self, source: str = "Main") -> Any:
        """What a source or scene shows now: (H, W, 4) or (H, W, 3) uint8 RGB(A)."""
        return decoded(self.ask("GetSourceScreenshot", sourceName=source, imageFormat="png"))

    def add_colour(self, colour: tuple[int, int, int], scene: str = "Main") -> None:
        """A plain colour under everything else."""
        red, green, blue = colour
        self.ask(
            "CreateInput",
            sceneName=scene,
            inputName=f"colour {scene}",
            inputKind="color_source_v3",
            inputSettings={
                "color": 0xFF000000 | blue << 16 | green << 8 | red,
                "width": self.size[0],
                "height": self.size[1],
            },
        )

    def signal(self, number: int) -> None:
        """Send OBS a signal: to freeze it, let it go on, or kill it."""
        assert self._obs is not None
        self._obs.send_signal(number)

    def kill(self) -> None:
        """End OBS at once, as a crash does."""
        self._hang_up()
        self.signal(signal.SIGKILL)
        assert self._obs is not None
        self._obs.wait()

    def close(self) -> int | None:
        """Close OBS's window; gives OBS's exit code."""
        self._hang_up()
        if self._obs is None:
            return None
        if self._obs.poll() is None:
            self._close_window()
            try:
                self._obs.wait(15)
            except subprocess.TimeoutExpired:
                self._obs.kill()
                self._obs.wait()
        return self._obs.returncode

    def end(self) -> None:
        """End OBS and the X server."""
        self.close()
        if self._screen is not None:
            self._screen.terminate()
            self._screen.wait()

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _close_window(self) -> None:
        # SIGINT lets OBS 29 run its closing inside the handler, which crashes now and then.
        from Xlib import X, display
        from Xlib.error import XError
        from Xlib.protocol import event

        screen = display.Display(self.display)
        protocols, delete = (
            screen.intern_atom(name) for name in ("WM_PROTOCOLS", "WM_DELETE_WINDOW")
        )
        for window in screen.screen().root.query_tree().children:
            try:
                kind, name = window.get_wm_class(), window.get_wm_name()
            except XError:
                continue
            if kind and "obs" in kind[-1].lower() and str(name).startswith("OBS "):
                data = 32, [delete, X.CurrentTime, 0, 0, 0]
                window.send_event(
                    event.ClientMessage(window=window, client_type=protocols, data=data)
                )
        screen.sync()
        screen.close()
