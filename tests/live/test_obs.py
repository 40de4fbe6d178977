"""Live against the real OBS: what a person sees there, and what happens when either side goes.

The camera is a clip whose matte is known to the pixel, through the whole command; see keyed.py.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import keyed
import numpy as np
import obs_host
import pytest
from commands import call, start
from obs_host import PASSWORD, Host
from obs_views import GROUND, PATIENCE, bar_seen, blended, gone, patches, places, there
from waiting import until

from mattecast.live.obs.client import Address, Client, ObsError, PasswordError

pytestmark = pytest.mark.skipif(obs_host.missing() is not None, reason=obs_host.missing() or "")


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """(clip, network) of keyed.py."""
    folder = tmp_path_factory.mktemp("keyed")
    return keyed.clip(folder / "bar.mkv"), keyed.network(folder)


@pytest.fixture
def host(tmp_path):
    """A running OBS with a plain colour in scene Main."""
    made = Host(tmp_path / "obs", size=keyed.SIZE)
    try:
        made.start()
        made.add_colour(GROUND)
        yield made
    finally:
        made.end()


@pytest.fixture
def workers():
    """Starts `mattecast live`; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def run(media, port, *flags, password=PASSWORD):
        clip, network = media
        running.append(
            start(
                "live",
                clip,
                "--loop",
                "--obs",
                f"127.0.0.1:{port}",
                "--model",
                network,
                "--network-size",
                keyed.SIZE[0],
                "--smooth",
                "off",
                "--foreground",
                "source",
                "--latency",
                "5000",
                *flags,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OBS_PASSWORD": password},
            )
        )
        return running[-1]

    yield run
    for one in running:
        if one.poll() is None:
            one.kill()
        one.communicate()


def stop(worker: subprocess.Popen[str]) -> str:
    """Ctrl-C; gives what it wrote."""
    worker.send_signal(signal.SIGINT)
    _, errors = worker.communicate(timeout=30)
    assert worker.returncode == 130, errors
    return errors


def test_a_camera_becomes_a_source_with_true_alpha(host, workers, media, monkeypatch):
    worker = workers(media, host.port)
    until(lambda: there(host), PATIENCE, "the bar over the ground")
    assert len(places(host, 12)) > 3, "the picture does not move"
    for red, seen in zip(keyed.REDS, patches(host), strict=True):
        assert np.abs(seen - blended(red, light=True)).max() <= 2, (red, seen)
    item = host.ask("GetSceneItemList", sceneName="Main")["sceneItems"][-1]
    assert item["sourceName"] == "mattecast" and item["inputKind"] == "ffmpeg_source"
    monkeypatch.setenv("OBS_PASSWORD", PASSWORD)
    doctor = call("doctor", "--obs", host.where)
    assert doctor.code == 0 and "the scene on air, 'Main', shows it" in doctor.out, doctor.out
    errors = stop(worker)
    assert PASSWORD not in errors + doctor.out and "in scene 'Main'" in errors
    until(lambda: gone(host), 5, "an empty source after Ctrl-C")


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(20))
def test_everything_goes_and_comes_back(turn, tmp_path, workers, media):
    """20 of 20: either started first, either killed, scenes switched."""
    host = Host(tmp_path / "obs", size=keyed.SIZE)
    try:
        worker = None if turn % 2 else workers(media, host.port)
        host.start()
        host.add_colour(GROUND)
        host.add_colour(GROUND, "Other")
        worker = worker or workers(media, host.port)
        until(lambda: there(host), PATIENCE, "the first picture")
        assert len(places(host)) > 2

        worker.kill()
        until(lambda: gone(host), 10, "nothing after the worker's death")
        worker = workers(media, host.port)
        until(lambda: there(host), PATIENCE, "the picture after the worker's restart")

        host.ask("SetCurrentProgramScene", sceneName="Other")
        time.sleep(2)
        host.ask("SetCurrentProgramScene", sceneName="Main")
        until(lambda: there(host), 5, "the picture after the scene came back")

        host.kill()
        time.sleep(0.5)
        assert worker.poll() is None, "the worker went down with OBS"
        host.start()
        until(lambda: bar_seen(host), PATIENCE, "the picture after OBS's restart")
        stop(worker)
        assert host.close() == 0
    finally:
        host.end()


@pytest.mark.slow
def test_picture_and_alpha_are_never_of_different_frames(host, workers, media):
    workers(media, host.port)
    until(lambda: there(host), PATIENCE, "the bar")
    assert len(places(host, 200)) > 10


@pytest.mark.slow
def test_the_users_transform_stays(host, workers, media):
    worker = workers(media, host.port)
    until(lambda: there(host), PATIENCE, "the bar")
    item = host.ask("GetSceneItemId", sceneName="Main", sourceName="mattecast")["sceneItemId"]
    host.ask(
        "SetSceneItemTransform",
        sceneName="Main",
        sceneItemId=item,
        sceneItemTransform={
            "positionX": 100.0,
            "positionY": 30.0,
            "cropLeft": 8,
            "boundsType": "OBS_BOUNDS_NONE",
        },
    )
    stop(worker)
    workers(media, host.port)
    until(lambda: bar_seen(host), PATIENCE, "the bar again")
    kept = host.ask("GetSceneItemTransform", sceneName="Main", sceneItemId=item)
    transform = kept["sceneItemTransform"]
    assert (transform["positionX"], transform["positionY"], transform["cropLeft"]) == (100, 30, 8)
    assert len(host.ask("GetSceneItemList", sceneName="Main")["sceneItems"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("stream", ["ffv1", "vp8"])
def test_coded_streams_carry_alpha_too(stream, host, workers, media):
    workers(media, host.port, "--stream", stream)

    def seen():
        shot = host.shot()[..., :3].astype(int)
        rows = shot[60:116]
        white = (rows >= 225).all(axis=(0, 2)).sum()
        return white >= keyed.BAR - 8 and np.abs(shot[2:12, 2:12] - GROUND).max() <= 2

    until(seen, PATIENCE, "the bar over the ground")


@pytest.mark.slow
def test_follow_and_scene(host, workers, media):
    host.add_colour(GROUND, "Other")
    workers(media, host.port, "--scene", "Other", "--follow")
    host.ask("SetCurrentProgramScene", sceneName="Other")
    until(lambda: there(host, "Other"), PATIENCE, "the bar in scene Other")
    assert gone(host)
    host.ask("SetCurrentProgramScene", sceneName="Main")
    until(lambda: there(host), 10, "the bar follows to Main")


@pytest.mark.slow
def test_a_microphone_is_delayed_as_the_picture_is(host, workers, media):
    host.ask("CreateInput", sceneName="Main", inputName="mic", inputKind="pulse_input_capture")
    workers(media, host.port, "--sync-audio", "mic")
    offset = until(
        lambda: host.ask("GetInputAudioSyncOffset", inputName="mic")["inputAudioSyncOffset"],
        PATIENCE,
        "an offset",
    )
    assert 50 <= offset < 5000


@pytest.mark.slow
def test_a_frozen_obs_delays_nobody_and_catches_up(host, workers, media):
    workers(media, host.port)
    until(lambda: there(host), PATIENCE, "the bar")
    host.signal(signal.SIGSTOP)
    time.sleep(4)
    host.signal(signal.SIGCONT)
    until(lambda: there(host), 20, "the bar after the freeze")
    assert len(places(host)) > 2


@pytest.mark.slow
def test_a_frozen_obs_is_reported_within_five_seconds_and_let_go(host):
    client = Client(Address(port=host.port), PASSWORD)
    host.signal(signal.SIGSTOP)
    os.waitpid(host.pid, os.WUNTRACED)  # its other threads run on until the first has stopped
    try:
        for act, words in (
            (lambda: client.request("GetVersion"), "does not answer"),
            (lambda: Client(Address(port=host.port), PASSWORD), "hangs"),
        ):
            began = time.monotonic()
            with pytest.raises(ObsError, match=words):
                act()
            assert time.monotonic() - began < 5
        client.close()
        assert not client._receiver.running
    finally:
        host.signal(signal.SIGCONT)


@pytest.mark.slow
def test_a_port_that_is_taken_is_left_to_its_owner(host, workers, media):
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        settings = {
            "input": f"tcp://127.0.0.1:{owner.getsockname()[1]}?listen=1",
            "is_local_file": False,
        }
        host.ask(
            "CreateInput",
            sceneName="Main",
            inputName="mattecast",
            inputKind="ffmpeg_source",
            inputSettings=settings,
        )
        threading.Thread(target=_swallow, args=(owner,), daemon=True).start()
        workers(media, host.port)
        until(lambda: bar_seen(host), PATIENCE, "the bar through another port")


def _swallow(owner: socket.socket) -> None:
    """Accept whoever comes and never read."""
    held = []
    try:
        while True:
            held.append(owner.accept())
    except OSError:
        return


@pytest.mark.slow
def test_a_source_of_another_kind_is_left_alone(host, workers, media):
    worker = workers(media, host.port, "--name", "colour Main")
    _, errors = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 1 and "--name" in errors and "Traceback" not in errors


@pytest.mark.slow
def test_a_wrong_password_is_reported_at_once(host, workers, media):
    worker = workers(media, host.port, password="not it")
    assert "not it" not in " ".join(map(str, worker.args))
    _, errors = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert "password is wrong" in last and errors.count("password is wrong") == 1
    assert "not it" not in errors and PASSWORD not in errors
    began = time.monotonic()
    with pytest.raises(PasswordError, match="password is wrong"):
        Client(Address(port=host.port), "not it")
    assert time.monotonic() - began < 5


@pytest.mark.slow
def test_the_doctor_finds_what_is_wrong(host, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(host.config))
    monkeypatch.delenv("OBS_PASSWORD", raising=False)

    def findings(level):
        lines = call("doctor", "--obs", host.where).out.splitlines()
        return [line for line in lines if line.startswith(level)]

    # The password is found in OBS's own settings; there is no source yet.
    assert not findings("error") and "no source 'mattecast' yet" in findings("note")[0]
    monkeypatch.setenv("OBS_PASSWORD", "not it")
    assert "password is wrong" in findings("error")[0]
    monkeypatch.delenv("OBS_PASSWORD")
    settings = {
        "input": "tcp://127.0.0.1:9700?listen=1",
        "is_local_file": False,
        "restart_on_activate": True,
    }
    made = host.ask(
        "CreateInput",
        sceneName="Main",
        inputName="mattecast",
        inputKind="ffmpeg_source",
        inputSettings=settings,
    )
    host.ask("SetSceneItemEnabled", sceneName="Main", sceneItemEnabled=False, **made)
    wrong = " ".join(findings("error"))
    for word in ("linear_alpha is off", "restart_on_activate is on", "hidden in scene 'Main'"):
        assert word in wrong, wrong
    host.ask("SetCurrentProgramScene", sceneName="Other")
    assert any("'Other', does not show it" in line for line in findings("note"))


@pytest.mark.slow
def test_the_doctor_tells_an_obs_that_is_off_from_a_server_that_is_off(tmp_path, monkeypatch):
    made = Host(tmp_path / "obs", enabled=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(made.config))
    try:
        assert "start OBS" in call("doctor", "--obs").out
        made.start()
        output = call("doctor", "--obs").out
        assert "ok       OBS runs\n" in output and "start OBS" not in output, output
        assert "its WebSocket server is off" in output and "OBS runs, so in it Tools" in output
    finally:
        made.end()


@pytest.mark.slow
def test_a_real_person(host, workers, tmp_path):
    """With the embedded network: MATTECAST_TEST_CLIP names a clip of somebody in the middle."""
    name = os.environ.get("MATTECAST_TEST_CLIP")
    if not name:
        pytest.skip("MATTECAST_TEST_CLIP names no clip")
    worker = start(
        "live",
        Path(name),
        "--loop",
        "--obs",
        host.where,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "OBS_PASSWORD": PASSWORD},
    )
    try:

        def person():
            shot = host.shot()[..., :3].astype(int)
            other = np.abs(shot - GROUND).max(axis=2) > 8
            corner = np.abs(shot[2:12, 2:12] - GROUND).max() <= 2
            return 0.05 < other.mean() < 0.9 and corner

        until(person, PATIENCE, "a person over the ground")
        shots = [host.shot()[..., :3].astype(int) for _ in range(8) if not time.sleep(0.2)]
        assert max(np.abs(one - shots[0]).mean() for one in shots[1:]) > 0.1, "no motion"
        stop(worker)
    finally:
        if worker.poll() is None:
            worker.kill()
        worker.communicate()
