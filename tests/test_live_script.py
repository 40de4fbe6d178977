"""The OBS script inside the real OBS: it starts the worker, restarts it, and takes it along."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import keyed
import obs_host
import pytest
from obs_host import Host, until
from test_live_obs import GROUND, PATIENCE, blended, patches, places, there

import mattecast

pytestmark = [
    pytest.mark.skipif(obs_host.missing() is not None, reason=obs_host.missing() or ""),
    pytest.mark.slow,
]
# Another script in the same OBS, which asks ours for its properties as the dialog does.
PROBE = """
import json, sys
import obspython as obs

def look():
    ours = sys.modules["mattecast_obs"]
    made = ours.script_properties()
    names = ("input", "background", "quality", "engine", "blend", "autostart", "python", "more",
             "start", "stop", "look", "status")
    found = {{name: bool(obs.obs_properties_get(made, name)) for name in names}}
    obs.obs_properties_destroy(made)
    found["command"] = ours.command(ours.SETTINGS, "tcp://127.0.0.1:1")
    with open({found!r}, "w") as file:
        json.dump(found, file)
    obs.remove_current_callback()

def script_load(settings):
    obs.timer_add(look, 500)
"""
SCRIPT = Path(mattecast.__file__).parent / "hosts" / "obs" / "mattecast_obs.py"


@pytest.fixture(params=["linear", "srgb", "shared"])
def host(request, tmp_path):
    clip, network = keyed.clip(tmp_path / "bar.mkv"), keyed.network(tmp_path)
    settings = {
        "input": str(clip), "python": sys.executable, "autostart": True,
        "blend": "linear" if request.param == "shared" else request.param,
        "shared": request.param == "shared",
        "more": f"--model {network} --network-size {keyed.SIZE[0]} --smooth off "
                "--foreground source --latency 5000",
    }  # fmt: skip
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE.format(found=str(tmp_path / "found.json")))
    made = Host(tmp_path / "obs", size=keyed.SIZE, scripts=((SCRIPT, settings), (probe, {})))
    made.found = tmp_path / "found.json"
    made.blend = settings["blend"]
    try:
        made.start()
        made.add_colour(GROUND)
        # The script made its source first: the ground goes under it.
        item = made.ask("GetSceneItemId", sceneName="Main", sourceName="colour Main")
        made.ask("SetSceneItemIndex", sceneName="Main", sceneItemIndex=0, **item)
        yield made
    finally:
        made.end()


def workers_of(host: Host) -> list[int]:
    """Process numbers of the workers this OBS has started, by their parent."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parts = (entry / "stat").read_text().rpartition(")")[2].split()
            line = (entry / "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if int(parts[1]) == host.pid and b"mattecast" in line:
            found.append(int(entry.name))
    return found


def test_the_script_starts_restarts_and_stops_the_worker(host):
    until(lambda: there(host), PATIENCE, "the bar, without a password or a command")
    assert len(places(host)) > 2
    for red, seen in zip(keyed.REDS, patches(host), strict=True):
        wanted = blended(red, light=host.blend == "linear")
        assert abs(seen - wanted).max() <= 2, (red, seen, wanted)

    (worker,) = workers_of(host)
    os.kill(worker, signal.SIGKILL)
    until(lambda: there(host), PATIENCE, "the bar after the worker's death")
    (again,) = until(lambda: workers_of(host), 10, "a new worker")
    assert again != worker

    assert host.close() == 0
    assert not Path(f"/dev/shm/mattecast-{host.pid}").exists()
    until(lambda: not Path(f"/proc/{again}").exists(), 10, "the worker ends with OBS")


def test_properties_and_hotkeys(host):
    until(lambda: there(host), PATIENCE, "the bar")
    found = json.loads(until(lambda: host.found.exists() and host.found.read_text(), 10, "a look"))
    command = found.pop("command")
    assert all(found.values()), found
    assert command[0] == sys.executable and "--commands" in command

    def ground() -> int:
        return int(abs(host.shot()[5, 5, :3].astype(int) - GROUND).max())

    host.ask("TriggerHotkeyByName", hotkeyName="mattecast_toggle")
    until(lambda: ground() > 30, 15, "the camera as it is, black in its corner")
    host.ask("TriggerHotkeyByName", hotkeyName="mattecast_toggle")
    until(lambda: ground() <= 2, 15, "the ground again")
    for wanted in (True, True, True, True, False):
        host.ask("TriggerHotkeyByName", hotkeyName="mattecast_background")
        until(lambda wanted=wanted: (ground() > 30) == wanted, 15, "the next background")


def test_a_crash_of_obs_ends_its_worker(host):
    until(lambda: there(host), PATIENCE, "the bar")
    (worker,) = workers_of(host)
    host.kill()
    until(lambda: not Path(f"/proc/{worker}").exists(), 20, "the worker ends when OBS is gone")
    time.sleep(0.1)
