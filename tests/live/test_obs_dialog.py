"""The OBS script without OBS: its dialog, and how it looks after the worker."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from obs_host import until

import mattecast

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
    yield module
    module.WORKER.stop()


def running(code: str) -> list[str]:
    """A worker that does what `code` says."""
    return [sys.executable, "-c", f"import sys, time\n{code}"]


def ended(script: Any, code: str) -> str:
    """What the status line says when a worker that does `code` has ended."""
    script.WORKER.start(lambda: running(code))
    until(lambda: not script.WORKER.running, 30, "the worker ends")
    script.WORKER.look_after()
    return str(script.WORKER.said)


def test_start_and_status_are_seen_before_anything_is_scrolled(script):
    script.script_properties()
    names = [asked[2] for asked in script.obs.asked if asked[0].startswith("obs_properties_add")]
    assert set(names[:6]) == {"input", "background", "start", "stop", "look", "status"}
    assert set(names[6:]) >= {"quality", "engine", "blend", "autostart", "python", "more"}
    described = [
        asked for asked in script.obs.asked if asked[0] == "obs_property_set_long_description"
    ]
    assert len(described) == len(script.TIPS) and set(script.TIPS) < set(names)


def test_a_worker_that_gives_up_is_started_again_and_why_is_said(script):
    said = ended(script, "print('opening', file=sys.stderr); sys.exit('no such camera')")
    assert said == "no such camera; starting again in 1 s"
    until(lambda: script.WORKER.look_after() or script.WORKER.running, 10, "another one")
    assert script.WORKER.said.startswith("starting again (no such camera)") or (
        script.WORKER.said in ("opening", "no such camera")
    )


def test_what_a_killed_worker_said_last_is_not_why_it_ended(script):
    said = ended(
        script,
        "print('live', file=sys.stderr, flush=True)\n"
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    )
    assert "exit code" in said and "live" not in said


def test_the_waits_grow(script):
    """Each is read from what is said: a worker that ends at once may never be seen to run."""
    said = [ended(script, "sys.exit(1)")]

    def second() -> bool:
        script.WORKER.look_after()
        said.append(script.WORKER.said)
        return sum("again in" in word for word in set(said)) == 2

    until(second, 30, "another one, and its end")
    assert "starting again in 1 s" in said[0] and "starting again in 2 s" in said[-1]


def test_settings_of_the_moment_are_those_of_a_restart(script):
    asked = []
    script.WORKER.start(lambda: asked.append(1) or running("sys.exit(1)"))
    until(lambda: script.WORKER.look_after() or len(asked) > 1, 30, "the command, asked for again")


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"python": "/no/python"}, "/no/python cannot be started"),
        ({"more": 'a "b'}, "More flags"),
    ],
)
def test_settings_that_start_nothing_are_said(script, settings, words):
    script.WORKER.start(lambda: script.command(settings, "tcp://127.0.0.1:1"))
    assert script.WORKER.said.startswith(words)
    script.WORKER.look_after()
    assert script.WORKER.said.startswith(words) and "again in 1 s" in script.WORKER.said
    script.WORKER.stop()
    script.WORKER.look_after()
    assert script.WORKER.said == "stopped"


def test_what_comes_after_the_stop_is_not_shown_but_logged(script):
    script.WORKER.start(lambda: running("sys.stdin.read(); print('bye', file=sys.stderr)"))
    script.WORKER.stop()
    until(lambda: not script.WORKER.lines.empty(), 10, "its last word")
    time.sleep(0.05)
    assert script.WORKER.said == "stopped"
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
