"""Keys of live in a terminal: which they are, when they are heard, and what is left behind."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keyed
import pytest
from commands import start
from waiting import until

from mattecast.live.keys import split

fcntl = pytest.importorskip("fcntl", reason="needs a pseudo-terminal")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")


@pytest.mark.parametrize(
    "data, keys",
    [
        (b"+", ["+"]),
        (b"b q", ["b", " ", "q"]),
        ("é".encode(), ["é"]),
        (b"\x1b[F", ["\x1b[F"]),
        (b"\x1b", ["\x1b"]),
    ],
)
def test_an_arrow_is_one_key_and_none_of_its_letters(data, keys):
    assert list(split(data)) == keys


def test_the_terminal_is_left_as_it_was_however_it_ends(tmp_path, network, closed_port):
    clip = keyed.clip(tmp_path / "bar.mkv")
    runs = []
    for number in (signal.SIGINT, signal.SIGTERM):
        ours, theirs = pty.openpty()
        worker = start(
            *("live", clip, "--loop", "-o", f"tcp://127.0.0.1:{closed_port}", "--quiet"),
            *("--model", network, "--network-size", 160),
            stdin=theirs,
        )
        runs.append((worker, number, ours, theirs, termios.tcgetattr(theirs)))
    try:
        for worker, number, ours, theirs, before in runs:
            until(lambda fd=theirs, before=before: termios.tcgetattr(fd) != before, 60, "keys")
            worker.send_signal(number)
            worker.communicate(timeout=30)
            assert worker.returncode == 128 + number and termios.tcgetattr(theirs) == before
            os.close(ours)
            os.close(theirs)
    finally:
        for worker, *_ in runs:
            worker.kill()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="needs a shell with jobs")
def test_keys_of_a_job(tmp_path, network, closed_port):
    """In the background it runs on; whenever it is in front its keys are heard."""
    command = shlex.join(
        [
            sys.executable,
            "-m",
            "mattecast",
            "live",
            str(keyed.clip(tmp_path / "bar.mkv")),
            "--loop",
            "-o",
            f"tcp://127.0.0.1:{closed_port}",
            "--model",
            str(network),
            "--network-size",
            "160",
        ]
    )
    with _shell() as (type, seen):
        type(f"{command} &\n")
        seen(rb"bar.mkv: live")
        type("fg\n")
        time.sleep(1)
        type(" ")
        seen(rb"matting is off")
        type("\x1a")
        seen(rb"Stopped")
        type("fg\n")
        time.sleep(1)
        type(" ")
        seen(rb"matting is on")
        type("\x1a")
        seen(rb"Stopped")
        type("bg\n")
        time.sleep(1)
        type("kill %1\n")
        seen(rb"stopped by SIGTERM")


@contextmanager
def _shell() -> Iterator[tuple[Callable[[str], object], Callable[[bytes], None]]]:
    """An interactive shell: what types into it, and what waits for it to show something new."""
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    output = b""

    def seen(words: bytes) -> None:
        nonlocal output
        end = time.monotonic() + 60
        while words not in output:
            assert time.monotonic() < end, output
            if select.select([ours], [], [], 1)[0]:
                output += os.read(ours, 65536)
        output = b""

    try:
        yield lambda text: os.write(ours, text.encode()), seen
    finally:
        shell.kill()  # its jobs get a SIGHUP from the terminal
        shell.wait()
        os.close(ours)
        os.close(theirs)
