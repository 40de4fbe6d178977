"""The OBS script without OBS: its dialog, and how it looks after the worker."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from waiting import until

import mattecast
from mattecast.live.obs.client import Address
from mattecast.live.obs.media_source import MediaSource, settings_for

SCRIPT = Path(mattecast.__file__).parent / "hosts" / "obs" / "mattecast_obs.py"


class StandIn:
    """An obspython that does nothing, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        if name.isupper():
            return name

        def note(*arguments: Any) -> Any:
            self.asked.append((name, *arguments))
            return name if name.startswith("obs_properties") else None

        return note


@pytest.fixture
def script(monkeypatch):
    """The script, loaded anew, and ended with the test."""
    monkeypatch.setitem(sys.modules, "obspython", StandIn())
    spec = importlib.util.spec_from_file_location("mattecast_obs", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.FIRST_WAIT = 0.1
    yield module
    module.WORKER.stop()


def running(code: str) -> list[str]:
    """A worker that does what `code` says."""
    return [sys.executable, "-c", f"import sys, time\n{code}"]


def ended(script: Any, code: str) -> str:
    """What the status line says when a worker that does `code` has ended."""
    script.WORKER.start(lambda: running(code))
    until(lambda: not script.WORKER.running, 30, "the worker ends")
    script.WORKER.restart_if_dead()
    return str(script.WORKER.status)


def test_start_and_status_are_seen_before_anything_is_scrolled(script):
    script.script_properties()
    names = [asked[2] for asked in script.obs.asked if asked[0].startswith("obs_properties_add")]
    assert set(names[:6]) == {"input", "background", "start", "stop", "refresh", "status"}
    assert set(names[6:]) >= {"quality", "engine", "blend", "autostart", "python", "more"}
    described = [
        asked for asked in script.obs.asked if asked[0] == "obs_property_set_long_description"
    ]
    assert len(described) == len(script.TIPS) and set(script.TIPS) < set(names)


def test_a_worker_that_gives_up_is_started_again_and_its_reason_is_shown(script):
    status = ended(script, "print('opening', file=sys.stderr); sys.exit('no such camera')")
    assert status == "no such camera; starting again in 0.1 s"
    until(lambda: script.WORKER.restart_if_dead() or script.WORKER.running, 10, "another one")
    assert script.WORKER.status.startswith("starting again (no such camera)") or (
        script.WORKER.status in ("opening", "no such camera")
    )


def test_the_last_message_of_a_killed_worker_is_not_why_it_ended(script):
    status = ended(
        script,
        "print('live', file=sys.stderr, flush=True)\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    )
    assert "exit code" in status and "live" not in status


def test_the_waits_grow(script):
    """Each is read from the status: a worker that ends at once may never be seen to run."""
    seen = [ended(script, "sys.exit(1)")]

    def second() -> bool:
        script.WORKER.restart_if_dead()
        seen.append(script.WORKER.status)
        return sum("again in" in word for word in set(seen)) == 2

    until(second, 30, "another one, and its end")
    assert "starting again in 0.1 s" in seen[0] and "starting again in 0.2 s" in seen[-1]


def test_settings_of_the_moment_are_those_of_a_restart(script):
    asked = []
    script.WORKER.start(lambda: asked.append(1) or running("sys.exit(1)"))
    until(
        lambda: script.WORKER.restart_if_dead() or len(asked) > 1,
        30,
        "the command, asked for again",
    )


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"python": "/no/python"}, "/no/python cannot be started"),
        ({"more": 'a "b'}, "More flags"),
    ],
)
def test_settings_that_start_nothing_are_reported(script, settings, words):
    script.WORKER.start(lambda: script.command(settings, "tcp://127.0.0.1:1"))
    assert script.WORKER.status.startswith(words)
    script.WORKER.restart_if_dead()
    assert script.WORKER.status.startswith(words) and "again in 0.1 s" in script.WORKER.status
    script.WORKER.stop()
    script.WORKER.restart_if_dead()
    assert script.WORKER.status == "stopped"


def test_what_comes_after_the_stop_is_not_shown_but_logged(script):
    script.WORKER.start(lambda: running("sys.stdin.read(); print('bye', file=sys.stderr)"))
    script.WORKER.stop()
    until(lambda: not script.WORKER.lines.empty(), 10, "its last word")
    time.sleep(0.05)
    assert script.WORKER.status == "stopped"
    script.on_tick()
    assert ("script_log", "LOG_INFO", "bye") in script.obs.asked


def test_cameras_are_listed_once_and_in_order(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "DEVICES", tmp_path)
    for number, index in ((10, 0), (2, 0), (3, 1)):
        device = tmp_path / f"video{number}"
        device.mkdir()
        (device / "name").write_text(f"Cam {number}\n")
        (device / "index").write_text(f"{index}\n")
    assert script.cameras() == [
        ("Cam 2 (video2)", "camera:/dev/video2"),
        ("Cam 10 (video10)", "camera:/dev/video10"),
    ]


class Data(StandIn):
    """An obspython that keeps the settings of the source it is asked to make."""

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("obs_data_set_"):
            return lambda data, key, value: self.settings.update({key: value})
        if name in ("obs_video_info", "vec2"):
            return lambda: SimpleNamespace(base_width=64, base_height=48)
        return super().__getattr__(name)


@pytest.mark.parametrize("blend", ["linear", "srgb"])
def test_the_script_makes_the_source_that_the_command_makes(script, monkeypatch, blend):
    monkeypatch.setattr(script, "obs", Data())
    monkeypatch.setitem(script.SETTINGS, "blend", blend)
    port = script.ensure_source()
    wanted = settings_for(MediaSource(linear=blend == "linear"), Address(), port)
    assert script.obs.settings == wanted
    for key, value in wanted.items():  # 0 and False are equal in Python, but not in OBS
        assert type(script.obs.settings[key]) is type(value), key
