"""What a run costs: memory that does not grow with the clip, stages that overlap."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Recipe, make

HD = (1920, 1080)


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


# Peak resident memory of the process itself. What the kernel reports to the parent of a process
# (ru_maxrss of wait4) begins at the parent's own peak, which in a test run may be larger.
PROGRAM = """
import sys
from mattecast.__main__ import main
code = main()
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(peak.split()[1])
sys.exit(code)
"""


def peak_megabytes(*arguments: str | Path) -> float:
    """Peak resident memory of the whole command `mattecast ARGUMENTS`."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.splitlines()[-1]) / 1024


def peak_of_matte(source: Path, folder: Path, *options: str) -> float:
    """Peak resident memory of `mattecast matte` on a clip."""
    output = folder / "out.mov"
    return peak_megabytes("matte", source, "-o", output, "--quiet", "--overwrite", *options)


def test_peak_memory_leaves_out_that_of_the_tests(tmp_path: Path) -> None:
    ballast = np.ones(300 << 20, np.uint8)
    assert peak_megabytes("probe", make(tmp_path / "a.mp4")) < 200
    assert ballast[-1] == 1


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Ten times the frames through all stages; the slow test takes clips of full size."""
    small = ("--network-size", "128")
    short = make(tmp_path / "short.mp4", Recipe(size=(320, 180), pts=tuple(range(30))))
    long = lengthened(short, tmp_path / "long.mp4", 10)
    peak = peak_of_matte(short, tmp_path, *small)
    assert peak_of_matte(long, tmp_path, *small) <= 1.05 * peak + 5


@pytest.mark.slow
def test_memory_at_1080p_over_3000_frames(tmp_path: Path) -> None:
    """Neither the length of a clip nor its shape matters, only how many pixels a picture has."""
    wide, tall = (_second(tmp_path / f"{size[0]}.mp4", size) for size in (HD, HD[::-1]))
    first = peak_of_matte(lengthened(wide, tmp_path / "300.mp4", 10), tmp_path)
    turned = peak_of_matte(lengthened(tall, tmp_path / "turned.mp4", 10), tmp_path)
    second = peak_of_matte(lengthened(wide, tmp_path / "3000.mp4", 100), tmp_path)
    print(f"300 frames {first:.0f} MB, 1080x1920 {turned:.0f} MB, 3,000 frames {second:.0f} MB")
    # Peaks of one clip differ by up to 100 MB from run to run: by how full the queues were.
    assert second <= 1.1 * first + 50 and second < 650 and abs(turned - first) < 120


def _second(path: Path, size: tuple[int, int]) -> Path:
    """A second of 30 pictures a second."""
    options = (("preset", "medium"), ("bf", "2"))
    return make(path, Recipe(size=size, rate=Fraction(30), pts=tuple(range(30)), options=options))
