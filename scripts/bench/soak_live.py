#!/usr/bin/env python3
"""Runs live for hours: `scripts/bench/soak_live.py [CLIP] [--seconds 7200] [--faults]`.

Runs `mattecast live` over a looping clip into a reader that takes pictures as OBS does, and writes
a line a minute: memory, threads, descriptors, age, frames. In the end it compares the second half
with the first. Without CLIP, it makes a clip of moving noise of 640x360 at --rate; a rate above 30
gives the same number of pictures in less time. With --faults the reader disconnects and comes
back, the worker is stopped and continued (SIGSTOP, SIGCONT), and the background and the edge are
changed, over and over.

Exits 1 when memory grows by more than --growth MB from the first half's median to the second's,
when threads or descriptors do, when pictures get older by more than their work takes (a busy
machine makes both longer, a queue the age alone), when none was sent between two lines, or when the
worker dies.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import av.error
import numpy as np


@dataclass(frozen=True)
class Sample:
    """The worker at one moment. memory: in MB. age, late: p50 and p95 of the pictures' age in
    milliseconds. waiting: the age as a multiple of the time that the stages took."""

    time: float
    memory: float
    threads: int
    descriptors: int
    age: float
    late: float
    rate: float
    waiting: float
    sent: int


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        clip = options.clip or _noise(Path(folder) / "noise.mkv", options.rate)
        samples, failure = _soak(clip, options)
    return _judged(samples, failure, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=7200)
    parser.add_argument("--every", type=float, default=60, help="seconds between two lines")
    parser.add_argument("--warm", type=float, default=30, help="seconds that do not count")
    parser.add_argument("--rate", type=int, default=30)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--growth", type=float, default=20.0, help="MB allowed")
    parser.add_argument("--flags", default="", help="more flags of `mattecast live`")
    return parser.parse_args()


def _noise(path: Path, rate: int) -> Path:
    """Four seconds of smooth noise that moves."""
    rng = np.random.default_rng(0)
    wide = np.kron(rng.integers(0, 255, (45, 80, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for index in range(4 * rate):
            picture = np.ascontiguousarray(np.roll(wide, 4 * index, axis=1))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


class Reader:
    """Takes pictures over TCP as OBS's media source does; may hang up and come back."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.frames, self._hang = 0, threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def hang_up(self) -> None:
        """Drop the connection; the next one is taken."""
        self._hang.set()

    def _run(self) -> None:
        while True:
            connection, _ = self._server.accept()
            self._hang.clear()
            try:
                with (
                    connection,
                    connection.makefile("rb") as file,
                    av.open(file, "r", "nut") as nut,
                ):
                    for _ in nut.decode(video=0):
                        self.frames += 1
                        if self._hang.is_set():
                            break
            except (OSError, av.error.FFmpegError):
                continue


def _soak(clip: Path, options: argparse.Namespace) -> tuple[list[Sample], str]:
    reader = Reader()
    worker = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "mattecast",
            "live",
            str(clip),
            "--loop",
            "--quiet",
            "--json",
            "--commands",
            "-o",
            f"tcp://127.0.0.1:{reader.port}",
            *options.flags.split(),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    newest: dict[str, object] = {}
    threading.Thread(target=_listen, args=(worker, newest), daemon=True).start()
    samples: list[Sample] = []
    began = time.monotonic()
    faults = 0
    while time.monotonic() - began < options.seconds + options.warm:
        time.sleep(min(options.every, options.warm, 10))
        if worker.poll() is not None:
            return samples, f"the worker ended with {worker.returncode}"
        if options.faults:
            _disturb(worker, reader, faults)
            faults += 1
        due = samples[-1].time + options.every if samples else began + options.warm
        if newest and time.monotonic() >= due:
            samples.append(_sample(worker.pid, newest))
            print(_line(samples[-1], began), flush=True)
    worker.terminate()  # in the background, shells let programs ignore SIGINT, and theirs too
    worker.wait(30)
    return samples, ""


def _listen(worker: subprocess.Popen[str], newest: dict[str, object]) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        newest.update(json.loads(line))


def _disturb(worker: subprocess.Popen[str], reader: Reader, number: int) -> None:
    """One fault after another."""
    assert worker.stdin is not None
    kind = number % 4
    if kind == 0:
        reader.hang_up()
    elif kind == 1:
        worker.send_signal(signal.SIGSTOP)
        time.sleep(2)
        worker.send_signal(signal.SIGCONT)
    else:
        commands = ("background blur", "background none") if kind == 2 else ("choke 2", "choke 0")
        for command in commands:
            worker.stdin.write(command + "\n")
            worker.stdin.flush()
            time.sleep(1)
    time.sleep(3)


def _sample(number: int, status: dict[str, object]) -> Sample:
    lines = Path(f"/proc/{number}/status").read_text().splitlines()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    outlets, age, stages = status["outlets"], status["age_ms"], status["stages_ms"]
    assert isinstance(outlets, list) and isinstance(age, dict) and isinstance(stages, dict)
    return Sample(
        time=time.monotonic(),
        memory=int(facts["VmRSS"].split()[0]) / 1024,
        threads=int(facts["Threads"]),
        descriptors=len(os.listdir(f"/proc/{number}/fd")),
        age=float(age["p50"]),
        late=float(age["p95"]),
        rate=float(str(status["fps_out"])),
        waiting=float(age["p50"]) / max(1.0, sum(stages.values())),
        sent=int(outlets[0]["sent"]),
    )


def _line(sample: Sample, began: float) -> str:
    return (
        f"{sample.time - began:7.0f} s  {sample.memory:6.1f} MB  {sample.threads} threads  "
        f"{sample.descriptors} descriptors  {sample.age:5.0f} ms old (p95 {sample.late:.0f})  "
        f"{sample.rate:.1f} fps  {sample.sent} frames"
    )


def _judged(samples: list[Sample], failure: str, options: argparse.Namespace) -> int:
    if failure or len(samples) < 4:
        print(f"FAILED: {failure or 'too few samples'}")
        return 1
    halves = samples[: len(samples) // 2], samples[len(samples) // 2 :]

    def medians(name: str) -> list[float]:
        return [statistics.median(getattr(one, name) for one in half) for half in halves]

    allowed = {"memory": options.growth, "threads": 0.5, "descriptors": 1.5, "waiting": 1.0}
    bad = any(after.sent <= before.sent for before, after in pairwise(samples))
    for name, most in allowed.items():
        first, second = medians(name)
        bad |= second - first > most
        print(f"{name}: {first:.4g} in the first half, {second:.4g} in the second")
    for name, unit in (("age", "ms"), ("late", "ms, p95"), ("rate", "fps")):
        first, second = medians(name)
        print(f"{name}: {first:.3g} {unit} in the first half, {second:.3g} in the second")
    print(f"{samples[-1].sent} frames sent")
    print("FAILED" if bad else "flat")
    return int(bad)


if __name__ == "__main__":
    raise SystemExit(main())
