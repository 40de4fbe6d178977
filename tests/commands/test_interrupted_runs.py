"""Runs that a signal ends: nothing half-written is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from clips import Recipe, make
from commands import call, entries, start
from faults import SMALL

pytestmark = pytest.mark.usefixtures("left_half", "no_thread_stays")


@pytest.fixture(scope="module")
def long_talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that takes many seconds to matte."""
    recipe = Recipe(
        codec="mjpeg", pixels="yuvj420p", size=SMALL, options=(), pts=tuple(range(4000))
    )
    return make(tmp_path_factory.mktemp("long") / "long.mp4", recipe)


def _heed() -> None:
    """Signals that this process was started to ignore, as a job in the background is, count."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def running(*arguments: str | Path, folder: Path) -> subprocess.Popen[str]:
    """A run of the command that is writing already."""
    process = start("matte", *arguments, preexec_fn=_heed)
    end = time.monotonic() + 60
    while not any(path.stat().st_size for path in folder.rglob(".*.part")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(
    ("number", "code", "format"),
    [
        (signal.SIGINT, 130, "prores"),
        (signal.SIGTERM, 143, "png"),
        (signal.SIGHUP, 129, "fill-key"),
    ],
)
def test_a_signal_leaves_nothing(
    number: int, code: int, format: str, long_talk: Path, tmp_path: Path
) -> None:
    output = tmp_path / "talk"
    process = running(long_talk, "-o", output, "--format", format, folder=tmp_path)
    started = time.monotonic()
    # The second and third come while the first is worked on, as from an impatient finger.
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.01)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code and time.monotonic() - started < 10
    assert err.splitlines() == [
        f"mattecast: stopped by {signal.Signals(number).name}; nothing half-written was left"
    ]
    assert not out and entries(tmp_path) == []


def test_a_killed_run_leaves_one_hidden_file(long_talk: Path, talk: Path, tmp_path: Path) -> None:
    process = running(long_talk, "-o", tmp_path / "talk.mov", folder=tmp_path)
    process.kill()
    process.communicate()
    left = entries(tmp_path)
    assert len(left) == 1 and left[0].startswith(".talk.mov.") and left[0].endswith(".part")
    assert call("matte", talk, "-o", tmp_path / "talk.mov").code == 0


def test_what_a_killed_run_left_is_no_obstacle(talk: Path, tmp_path: Path) -> None:
    """Process numbers come again, and always the same in a container."""
    (tmp_path / f".talk.mov.{os.getpid()}.part").write_text("old")
    (tmp_path / f".frames.{os.getpid()}.part").mkdir()
    (tmp_path / f".frames.{os.getpid()}.part" / "frames_000099.png").write_text("old")
    assert call("matte", talk, "-o", tmp_path / "talk.mov").code == 0
    assert call("matte", talk, "-o", tmp_path / "frames", "--format", "png").code == 0
    assert entries(tmp_path) == ["frames", "talk.mov"] and len(entries(tmp_path / "frames")) == 8
