"""The command `mattecast live`: its flags, its keys and commands, and long runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import keyed
import pytest
from commands import call, start
from waiting import until

from mattecast.commands.cli import main
from mattecast.live.capture import parse
from mattecast.live.obs.media_source import free_port


def test_keys(tmp_path, sessions):
    from mattecast.live.keys import HELP, press

    session = sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True))
    until(lambda: session.newest, 60, "a picture")
    assert "off" in press(session, " ") and "on" in press(session, " ")
    assert press(session, "b") == "background blur"
    assert press(session, "+") == "choke 0.5" and press(session, "-") == "choke 0"
    assert press(session, "s") == "smooth causal" and press(session, "?") == HELP
    press(session, "q")
    assert not session.check()


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_keys_of_a_terminal(tmp_path, network, closed_port):
    import pty

    ours, theirs = pty.openpty()
    worker = start(
        "live",
        keyed.clip(tmp_path / "bar.mkv"),
        "--loop",
        "-o",
        f"tcp://127.0.0.1:{closed_port}",
        "--model",
        network,
        "--network-size",
        160,
        stdin=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    output = b""
    try:
        while b"ms old" not in output:
            output += os.read(ours, 4096)
        os.write(ours, b"b q")
        assert worker.wait(30) == 0
        worker.communicate()
        while data := os.read(ours, 65536):
            output += data
    except OSError:
        pass  # Linux says so where the other side of a terminal has gone
    finally:
        os.close(ours)
    assert b"background blur" in output and b"matting is off" in output and b"ending" in output


def test_commands_and_json_by_the_line(tmp_path, network, closed_port):
    worker = start(
        "live",
        keyed.clip(tmp_path / "bar.mkv"),
        "--loop",
        "-o",
        f"tcp://127.0.0.1:{closed_port}",
        "--commands",
        "--json",
        "--model",
        network,
        "--network-size",
        160,
        "--quiet",
        stdin=subprocess.PIPE,
    )
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write("background green\nkey +\nnonsense\n")
    worker.stdin.flush()
    lines: list[dict] = []
    for line in worker.stdout:
        lines.append(json.loads(line))
        if lines[-1]["background"] == "green" and lines[-1]["fps_out"] > 0:
            break
    worker.stdin.close()
    assert worker.wait(30) == 0
    assert lines[-1]["size"] == list(keyed.SIZE) and lines[-1]["choke"] == 0.5
    errors = worker.stderr.read()
    assert "'nonsense' is no command" in errors
    worker.stdout.close()
    worker.stderr.close()


@pytest.mark.slow
def test_a_stopped_process_goes_on_with_new_pictures(tmp_path, network):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        worker = start(
            "live",
            keyed.clip(tmp_path / "bar.mkv"),
            "--loop",
            "-o",
            f"tcp://127.0.0.1:{port}",
            "--json",
            "--model",
            network,
            "--network-size",
            160,
            "--latency",
            400,
            stdin=subprocess.DEVNULL,
        )
        server.settimeout(60)
        connection, _ = server.accept()
        drained = threading.Thread(target=_drain, args=(connection,), daemon=True)
        drained.start()
        assert worker.stdout is not None
        _next(worker, lambda status: status["fps_out"] > 0)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(3)
        worker.send_signal(signal.SIGCONT)
        time.sleep(1)
        status = _next(worker, lambda one: one["fps_out"] > 0 and one["age_ms"]["p95"] < 2000)
        assert status["source"].endswith("live")
        worker.send_signal(signal.SIGINT)
        worker.communicate(timeout=30)
        assert worker.returncode == 130
        connection.close()


def _drain(connection: socket.socket) -> None:
    try:
        while connection.recv(1 << 16):
            pass
    except OSError:
        return


def _next(worker, wanted: Callable[[dict], bool]) -> dict:
    """The next status that is as wanted, of at most a minute's."""
    for _ in range(60):
        status = json.loads(worker.stdout.readline())
        if wanted(status):
            return status
    raise AssertionError(status)


def test_help():
    output = call("live", "--help").out
    assert "exit codes:" in output and all(len(line) <= 100 for line in output.splitlines())


def test_list():
    assert call("live", "--list").code == 0


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--camera", "0", "clip.mp4"], "name one of them"),
        (["nothing.mp4"], "no such file"),
        (["-", "--smooth", "two-way"], "live knows off, causal, delayed"),
        (["-", "--latency", "0"], "range"),
        (["-", "-o", "file.mov"], "--record"),
        (["-", "--format", "nut"], "-o -"),
        (["-", "--obs", "a:b:c:d"], "HOST:PORT"),
        (["-", "--rate", "x", "-o", "-"], "frame rate"),
        (["-", "--record", "x.png", "-o", "-"], "live records movies"),
        (["-", "--for", "-1"], "not a positive"),
        (["-", "--for", "nan"], "not a positive"),
        (["-", "--media-port", "70000"], "no port"),
        (["-", "--name", ""], "needs one"),
        (["-", "--commands"], "both pictures and --commands"),
        (["-", "--control", "70000"], "no port"),
        (["-", "-o", "-", "--json"], "one thing only"),
        (["--obs", __file__], "name INPUT before"),
        (["--virtual-camera", __file__], "name INPUT before"),
        (["-", "-o", "-", "-o", "-"], "one thing only"),
        (["-", "-o", "-", "--garbage", "none.png"], "no such file"),
        (["-", "-o", "-", "--shadow", "2"], "shadow: 2.0 is out of range"),
    ],
)
def test_requests_that_make_no_sense(flags, words):
    call("live", *flags).refuses(2, words)


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_pictures_are_not_written_to_a_terminal(monkeypatch, capsys):
    import pty

    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        assert main(["live", "-", "-o", "-"]) == 2
    os.close(ours)
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1 and "is a terminal" in errors


def test_a_background_that_is_not_there_is_refused_at_the_start(tmp_path):
    call(
        "live", keyed.clip(tmp_path / "bar.mkv", frames=3), "-o", "-", "--background", "nothing.png"
    ).refuses(2, "no such file")


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_ten_minutes_with_faults_stay_flat():
    script = Path(__file__).parents[2] / "scripts/bench/soak_live.py"
    soak = subprocess.run(
        [
            sys.executable,
            str(script),
            "--seconds",
            "600",
            "--every",
            "20",
            "--faults",
            "--flags",
            "--network-size 256",
        ],
        capture_output=True,
        text=True,
        timeout=900,
    )
    print(soak.stdout)
    assert soak.returncode == 0, soak.stdout[-2000:] + soak.stderr[-1000:]
