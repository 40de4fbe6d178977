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
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from mattecast import Settings, engines
from mattecast.compositing.composer import Composer
from mattecast.filters.pictures.edges import EdgeWish
from mattecast.filters.time.cuts import AHEAD, CutDetector
from mattecast.flow import StageTimes, all_the_cores, opencv_aside
from mattecast.matting.finish import (
    ISLAND,
    enlarge,
    recover_foreground,
    smooth,
    smoothers,
    solve_small,
)
from mattecast.matting.prepare import Preparer, own_times
from mattecast.media.clip import Clip
from mattecast.media.formats import FORMATS
from mattecast.media.frame import Estimated
from mattecast.media.writer import open_writer
from mattecast.plan import plan

Cost = tuple[float, float]  # CPU and wall milliseconds a frame


def main() -> int:
    options = _options()
    print(_machine())
    stages: dict[str, list[Cost]] = {}
    whole: list[tuple[float, float, float, int]] = []
    for run in range(options.runs):
        # First, while this process is small: a child's peak memory counts from its parent's.
        whole.append(_whole(options))
        print(f"run {run + 1} of {options.runs} done", file=sys.stderr)
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
        costs[name] = (
            (time.process_time() - cpu) / count * 1e3,
            (time.perf_counter() - wall) / count * 1e3,
        )
        return result

    settings = Settings(quality=options.quality, precision=options.precision)
    with opencv_aside(), Clip(options.clip) as clip, tempfile.TemporaryDirectory() as folder:
        facts = clip.facts
        ours = plan(facts, settings, FORMATS[options.format])
        load = partial(engines.load, "default", precision=options.precision)
        engine = engines.looks(load, engines.find("default"), facts.width, facts.height)
        size = engine.info.size
        frames = clip.frames()
        decoded = timed("decode", lambda: _take(frames, count))
        stage = partial(Preparer(facts, ours, size).frames, times=StageTimes())
        # Let go at once, as a run does: memory that is used again costs no page faults.
        timed("convert", lambda: deque(stage(own_times(decoded, facts, ours)), maxlen=1))
        prepared = list(stage(own_times(decoded, facts, ours)))
        for frame in prepared[:3]:
            engine.step(frame.small)  # the first steps fill caches
        engine.reset()
        alphas = timed(
            "engine", lambda: [engine.step(frame.small).alpha.copy() for frame in prepared]
        )
        smalls = [frame.small for frame in prepared]
        detector, times = CutDetector(), StageTimes()
        timed(
            "cuts",
            lambda: [
                detector.push(small, smalls[n + 1 : n + 1 + AHEAD])
                for n, small in enumerate(smalls)
            ],
        )
        estimates = [Estimated(*parts) for parts in zip(prepared, alphas, strict=True)]
        estimates = timed("detail", partial(list, solve_small(estimates, times)))
        for smoother in smoothers(settings, ISLAND):
            estimates = timed("smooth", partial(list, smooth(estimates, smoother, times)))
        filtered = partial(enlarge, estimates, ours, EdgeWish(), times)
        timed("filters", lambda: deque(filtered(), maxlen=1))
        mattes = list(filtered())
        timed("foreground", lambda: list(recover_foreground(mattes, ours, times)))
        composer = Composer(ours)
        # As in a run, each picture's memory serves the next; then once more, to have them all.
        timed("compose", lambda: deque(map(composer, mattes), maxlen=1))
        pictures = [composer(matted) for matted in mattes]
        writer = open_writer(
            clip, Path(folder) / "out.mov", ours, overwrite=False, threads=all_the_cores()
        )

        def encode() -> None:
            for picture, matted in zip(pictures, mattes, strict=True):
                writer.write(picture, matted.pts, matted.frame.duration)
            writer.finish()

        timed("encode", encode)
        engine.close()
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
    ours = ("convert", "cuts", "smooth", "filters", "foreground", "compose")
    own = sum(middle(cost[0] for cost in stages[name]) for name in ours)
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
