"""What a run costs: memory that does not grow with the clip, stages that overlap."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Recipe, make


def lengthened(source: Path, path: Path, laps: int) -> Path:
    """The same packets again and again, timestamps going on."""
    with av.open(str(source)) as clip, av.open(str(path), "w") as out:
        stream = clip.streams.video[0]
        packets = [packet for packet in clip.demux(stream) if packet.dts is not None]
        target = out.add_stream_from_template(stream)
        step = packets[1].dts - packets[0].dts
        for lap in range(laps):
            for packet in packets:
                again = av.Packet(bytes(packet))
                again.pts = packet.pts + lap * len(packets) * step
                again.dts = packet.dts + lap * len(packets) * step
                again.time_base, again.is_keyframe = packet.time_base, packet.is_keyframe
                again.stream = target
                out.mux(again)
    return path


def peak_megabytes(source: Path, output: Path) -> float:
    """Peak resident memory of a whole `mattecast matte`, by the kernel's own account."""
    command = [
        sys.executable,
        "-m",
        "mattecast",
        "matte",
        str(source),
        "-o",
        str(output),
        "--quiet",
        "--overwrite",
    ]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Ten times the frames at a small size; the full-size clip is the slow test's."""
    short = make(tmp_path / "short.mp4", Recipe(size=(320, 180), pts=tuple(range(30))))
    long = lengthened(short, tmp_path / "long.mp4", 10)
    first = peak_megabytes(short, tmp_path / "out.mov")
    assert peak_megabytes(long, tmp_path / "out.mov") <= 1.05 * first + 5


@pytest.mark.slow
def test_memory_at_1080p_over_3000_frames(tmp_path: Path) -> None:
    recipe = Recipe(
        size=(1920, 1080),
        rate=Fraction(30),
        pts=tuple(range(30)),
        options=(("preset", "medium"), ("bf", "2")),
    )
    base = make(tmp_path / "base.mp4", recipe)
    first = peak_megabytes(lengthened(base, tmp_path / "300.mp4", 10), tmp_path / "out.mov")
    second = peak_megabytes(lengthened(base, tmp_path / "3000.mp4", 100), tmp_path / "out.mov")
    print(f"300 frames {first:.0f} MB, 3,000 frames {second:.0f} MB")
    assert second <= 1.05 * first and second < 700
