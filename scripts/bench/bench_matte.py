#!/usr/bin/env python3
"""What a run costs, stage by stage: `scripts/bench/bench_matte.py CLIP [--frames 30] [--runs 3]`.

Each stage is first run on its own over the same frames, one after the other, so that its CPU time
(all threads) and wall time are its own; decode and encode alone are the floors. Then the whole
command runs as users run it, and its wall time is held against the stages' CPU time spread over
the cores. Medians of several runs. Writes to a temporary folder only.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

from mattecast import Settings
from mattecast.compositing.composer import Composer
from mattecast.flow import StageTimes, all_the_cores, opencv_aside, run
from mattecast.job import Job
from mattecast.matting.guidance import Guidance
from mattecast.matting.network import load_network, warm
from mattecast.matting.stages import stages
from mattecast.media.clip import Clip
from mattecast.media.formats import FORMATS
from mattecast.media.writer import open_writer
from mattecast.plan import plan

Cost = tuple[float, float]  # CPU and wall milliseconds a frame


def main() -> int:
    options = _options()
    print(_machine())
    stages: dict[str, list[Cost]] = {}
    whole: list[tuple[float, float, float, int]] = []
    for number in range(options.runs):
        # First, while this process is small: a child's peak memory counts from its parent's.
        whole.append(_whole(options))
        print(f"run {number + 1} of {options.runs} done", file=sys.stderr)
    for _ in range(options.runs):
        for name, cost in _stages(options).items():
            stages.setdefault(name, []).append(cost)
    _print(stages, whole)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=30, help="frames each stage is run on")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--format", default="prores", choices=FORMATS)
    parser.add_argument("--quality", default="high")
    parser.add_argument("--precision", default="auto")
    return parser.parse_args()


def _machine() -> str:
    """Cores, processor and versions: what a figure means nothing without."""
    named = re.search(r"model name\s*: (.*)", _text(Path("/proc/cpuinfo")))
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("av", "openvino", "numpy"))
    return f"{os.cpu_count()} cores, {named[1] if named else platform.processor()}; {versions}"


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _stages(options: argparse.Namespace) -> dict[str, Cost]:
    """Each stage alone, over the same frames."""
    costs: dict[str, Cost] = {}
    count = options.frames

    def timed(name: str, work: Callable[[], Any]) -> Any:
        cpu, wall = time.process_time(), time.perf_counter()
        result = work()
        spent = costs.get(name, (0.0, 0.0))
        costs[name] = (
            spent[0] + (time.process_time() - cpu) / count * 1e3,
            spent[1] + (time.perf_counter() - wall) / count * 1e3,
        )
        return result

    settings = Settings(quality=options.quality, precision=options.precision)
    with opencv_aside(), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clip = stack.enter_context(Clip(options.clip))
        ours = plan(clip.facts, settings, FORMATS[options.format])
        engine, guidance = load_network(clip.facts, Guidance(), settings)
        stack.callback(engine.close)
        job = Job(clip.facts, ours, settings, guidance, engine, engine.info.size)
        frames = clip.frames()
        items = timed("decode", lambda: _take(frames, count))
        composer = Composer(ours)
        # Two lists of stages: memory that is let go at once and used again, as in a run, costs no
        # page faults; so those that make full-size pictures are run once for their time, and once
        # more for what they make.
        every, again = stages(job, None, [composer]), stages(job, None, [composer])
        for stage, same in zip(chain(*every), chain(*again), strict=True):
            if stage.name == "network":
                warm(engine, [item.frame.small for item in items[:3]])  # first steps fill caches
            if stage.name in ("convert", "edges", "compose"):
                timed(stage.name, partial(deque, run(items, [stage], StageTimes()), 1))
                items = list(run(items, [same], StageTimes()))
            else:
                items = timed(stage.name, partial(list, run(items, [stage], StageTimes())))
        writer = open_writer(
            clip, folder / "out.mov", ours, overwrite=False, threads=all_the_cores()
        )

        def encode() -> None:
            for composed in items:
                frame = composed.frame
                writer.write(composed.pictures[0], frame.pts, frame.duration)
            writer.finish()

        timed("encode", encode)
    return costs


def _take(items: Iterable[Any], count: int) -> list[Any]:
    return [item for item, _ in zip(items, range(count), strict=False)]


def _whole(options: argparse.Namespace) -> tuple[float, float, float, int]:
    """The command as users run it: seconds, CPU seconds, peak MB, frames."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "mattecast",
            "matte",
            str(options.clip),
            "-o",
            f"{folder}/out.mov",
            "--format",
            options.format,
            "--quality",
            options.quality,
            "--precision",
            options.precision,
            "--json",
            "--quiet",
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        frames = int(done.stdout.partition('"frames": ')[2].partition(",")[0])
        return wall, cpu, after.ru_maxrss / 1024, frames


def _print(stages: dict[str, list[Cost]], whole: list[tuple[float, float, float, int]]) -> None:
    def middle(values: Iterable[float]) -> float:
        return statistics.median(values)

    print("| stage | CPU ms a frame | wall ms a frame |\n|---|---|---|")
    total = 0.0
    for name, costs in stages.items():
        cpu = middle(cost[0] for cost in costs)
        total += cpu
        print(f"| {name} | {cpu:.1f} | {middle(cost[1] for cost in costs):.1f} |")
    theirs = ("decode", "network", "encode")
    own = sum(
        middle(cost[0] for cost in costs) for name, costs in stages.items() if name not in theirs
    )
    frames = whole[0][3]
    wall = middle(one[0] for one in whole)
    print(f"| sum | {total:.1f} | |")
    print(f"\nown cost beside decoder, network and encoder: {own:.1f} ms CPU a frame")
    print(
        f"whole command, {frames} frames: {wall:.1f} s, {frames / wall:.1f} fps, CPU "
        f"{middle(one[1] for one in whole):.1f} s, peak {middle(one[2] for one in whole):.0f} MB"
    )
    spread = total / 1e3 * frames / all_the_cores()
    print(f"wall / (stages' CPU / {os.cpu_count()} cores): {wall / spread:.2f}")


if __name__ == "__main__":
    raise SystemExit(main())
