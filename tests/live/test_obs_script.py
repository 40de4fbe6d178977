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
from obs_host import Host
from obs_views import GROUND, PATIENCE, blended, gone, patches, places, there
from waiting import until

import mattecast

pytestmark = [
    pytest.mark.skipif(obs_host.missing() is not None, reason=obs_host.missing() or ""),
    pytest.mark.slow,
]
# Another script in the same OBS, which does what the dialog does: it answers what is asked in a
# file, as Python that knows `ours`, the script, and `obs`.
PROBE = """
import json, os, sys
import obspython as obs

def look():
    if not os.path.exists({asked!r}):
        return
    with open({asked!r}) as file:
        code = file.read()
    os.remove({asked!r})
    found = eval(code, {{"json": json, "obs": obs, "ours": sys.modules["mattecast_obs"]}})
    with open({found!r} + ".part", "w") as file:
        json.dump(found, file, default=str)
    os.rename({found!r} + ".part", {found!r})

def script_load(settings):
    obs.timer_add(look, 100)
"""
SCRIPT = Path(mattecast.__file__).parent / "hosts" / "obs" / "mattecast_obs.py"


@pytest.fixture(params=["linear", "srgb"])
def host(request, tmp_path):
    clip, network = keyed.clip(tmp_path / "bar.mkv"), keyed.network(tmp_path)
    settings = {
        "input": str(clip),
        "python": sys.executable,
        "autostart": True,
        "blend": request.param,
        "more": f"--model {network} --network-size {keyed.SIZE[0]} --smooth off "
        "--foreground source --latency 5000",
    }
    probe = tmp_path / "probe.py"
    probe.write_text(PROBE.format(asked=str(tmp_path / "asked"), found=str(tmp_path / "found")))
    made = Host(tmp_path / "obs", size=keyed.SIZE, scripts=((SCRIPT, settings), (probe, {})))
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


def inside(host: Host, code: str) -> object:
    """What an expression is in the OBS that runs there."""
    asked, found = host.home.parent / "asked", host.home.parent / "found"
    asked.with_suffix(".part").write_text(code)
    asked.with_suffix(".part").rename(asked)
    answer = json.loads(until(lambda: found.exists() and found.read_text(), 20, code))
    found.unlink()
    return answer


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
    until(lambda: not Path(f"/proc/{again}").exists(), 10, "the worker ends with OBS")


def test_properties_and_hotkeys(host):
    until(lambda: there(host), PATIENCE, "the bar")
    found = inside(
        host,
        "[bool(obs.obs_properties_get(ours.script_properties(), name)) for name in"
        " ('input', 'background', 'quality', 'engine', 'blend', 'autostart', 'python',"
        " 'more', 'start', 'stop', 'refresh', 'status')]",
    )
    assert all(found), found
    command = inside(host, "ours.command(ours.SETTINGS, 'tcp://127.0.0.1:1')")
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


def test_the_background_of_the_dialog_changes_at_once_and_stays_after_a_restart(host):
    until(lambda: there(host), PATIENCE, "the bar")
    inside(
        host,
        "ours.script_update(obs.obs_data_create_from_json("
        "json.dumps({**ours.SETTINGS, 'background': '#ff0000'})))",
    )

    def red() -> bool:
        return tuple(host.shot()[5, 5, :3]) == (255, 0, 0)

    until(red, 15, "the new background")
    (worker,) = workers_of(host)
    os.kill(worker, signal.SIGKILL)
    until(lambda: workers_of(host) not in ([], [worker]), 20, "another worker")
    until(red, PATIENCE, "the background as it was set")


def test_a_crash_of_obs_ends_its_worker(host):
    until(lambda: there(host), PATIENCE, "the bar")
    (worker,) = workers_of(host)
    host.kill()
    until(lambda: not Path(f"/proc/{worker}").exists(), 20, "the worker ends when OBS is gone")
    time.sleep(0.1)


def test_loaded_anew_it_feeds_the_source_there_is(host):
    until(lambda: there(host), PATIENCE, "the bar")
    inside(host, "ours.script_unload()")
    until(lambda: gone(host), 10, "nobody, with the script gone")
    inside(host, "ours.on_start(None, None)")
    until(lambda: there(host), PATIENCE, "the bar, in the same source")
    assert len(places(host)) > 2
    assert len(host.ask("GetInputList")["inputs"]) == 2


def test_with_another_scene_collection_it_starts_too(host):
    until(lambda: there(host), PATIENCE, "the bar")
    host.ask("CreateSceneCollection", sceneCollectionName="Second")
    until(lambda: not workers_of(host), 20, "the worker's end, as Second has no script")
    host.ask("SetCurrentSceneCollection", sceneCollectionName="Test")
    until(lambda: there(host), PATIENCE, "the bar")


def test_another_source_of_that_name_is_left_alone(host):
    until(lambda: there(host), PATIENCE, "the bar")
    settings = {"local_file": "talk.mp4", "is_local_file": True}
    inside(host, "ours.WORKER.stop()")
    host.ask("SetInputSettings", inputName="mattecast", inputSettings=settings, overlay=False)
    assert "another name" in inside(host, "ours.on_start(None, None) or ours.WORKER.status")
    assert host.ask("GetInputSettings", inputName="mattecast")["inputSettings"] == settings
    assert not workers_of(host)


def test_blending_is_set_within_a_group_too(host):
    until(lambda: there(host), PATIENCE, "the bar")
    inside(
        host,
        """[
        obs.obs_sceneitem_group_add_item(obs.obs_scene_add_group(scene, "group"), item)
        for scene in [obs.obs_scene_from_source(obs.obs_frontend_get_current_scene())]
        for item in [obs.obs_scene_find_source(scene, "mattecast")]
    ]""",
    )
    inside(
        host,
        """[
        obs.obs_sceneitem_set_blending_method(obs.obs_scene_find_source_recursive(
            obs.obs_scene_from_source(obs.obs_frontend_get_current_scene()), name), 1 - srgb)
        for name in ["mattecast"]
        for srgb in [ours.SETTINGS["blend"] == "srgb"]
    ]""",
    )

    def as_wished() -> bool:
        light = host.blend == "linear"
        return all(
            abs(seen - blended(red, light=light)).max() <= 2
            for red, seen in zip(keyed.REDS, patches(host), strict=True)
        )

    until(as_wished, 10, "patches blended as wished")
