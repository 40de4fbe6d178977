#!/usr/bin/env python3
"""What each engine costs, as a Markdown table.

    scripts/bench/bench_engines.py [--frames 30] [--runs 3]

Sizes are those of the network: 512x288 is what a clip of any size is shrunk to by default, the
others are 720p, 1080p and 4K in multiples of 32. Rows that do not run here are named and left out.
For every back-end, precision and network size, in a process of its own: load with nothing built
yet (cold), load again (warm), the first frame, a frame after that (median), and peak memory. Runs
of all rows take turns, so that a busy machine is unfair to all alike; the table gives medians.

The floor is the arithmetic of the network's convolutions over the speed OpenVINO reaches, on the
same threads, in the one convolution of the network that has most of it: what a perfect engine would
take. Grouped convolutions (depthwise ones above all) wait for memory where dense ones compute, at a
fifth of the speed: over a dense one's speed no engine could come near the floor of a network that
has many. So the two kinds are held apart, each over the speed of the heaviest of its own kind, and
the floor is the sum. GFLOP counts two operations for each multiply-add that a group really does.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mattecast import engines
from mattecast.engines.backends.openvino import inference_options
from mattecast.engines.openvino_core import core_of_process
from mattecast.engines.openvino_graph import fixed_size_graph

SIZES = ("512x288", "1280x736", "1920x1088", "3840x2176")
ROWS = ("openvino:f32", "openvino:bf16", "openvino:int8", "torch:f32", "tensorrt:f16", "torch:f16")


def main() -> int:
    options = _options()
    if options.one:
        backend, precision, size = options.one.split(":")
        print(json.dumps(_measured(backend, precision, size, options)))
        return 0
    print(_machine())
    results: dict[tuple[str, str], list[dict[str, float]]] = {}
    for _ in range(options.runs):
        for size in options.sizes:
            for row in options.rows:
                if one := _in_a_process(f"{row}:{size}", options):
                    results.setdefault((row, size), []).append(one)
    floors = {size: _floor(size, options) for size in options.sizes}
    _print(results, floors)
    return 0


def _options() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--model", default="default")
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="WxH")
    parser.add_argument("--rows", nargs="+", default=ROWS, metavar="BACKEND:PRECISION")
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


def _machine() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} cores, {named[0] if named else 'unknown CPU'}{load}"


def _in_a_process(one: str, options: argparse.Namespace) -> dict[str, float] | None:
    """One row's numbers, or None, said on standard error, where it does not run here."""
    with tempfile.TemporaryDirectory() as cache:
        command = [
            sys.executable,
            __file__,
            "--one",
            one,
            "--model",
            options.model,
            "--frames",
            str(options.frames),
            "--threads",
            str(options.threads),
        ]
        done = subprocess.run(
            command, env={**os.environ, "MATTECAST_CACHE": cache}, capture_output=True, text=True
        )
    if done.returncode:
        print(f"{one}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    result: dict[str, float] = json.loads(done.stdout)
    return result


def _measured(backend: str, precision: str, size: str, options: argparse.Namespace) -> Any:
    width, height = (int(side) for side in size.split("x"))
    cuda = backend == "tensorrt" or (backend, precision) == ("torch", "f16")

    def load() -> tuple[engines.Engine, float]:
        start = time.perf_counter()
        engine = engines.load(
            options.model,
            (width, height),
            backend=backend,
            precision=precision,
            device="cuda" if cuda else "cpu",
            threads=options.threads,
        )
        return engine, time.perf_counter() - start

    first, cold = load()
    first.close()
    engine, warm = load()
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    times = []
    for _ in range(options.frames + 1):
        start = time.perf_counter()
        engine.step(picture)
        times.append((time.perf_counter() - start) * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "cold": cold,
        "warm": warm,
        "first": times[0],
        "frame": statistics.median(times[1:]),
        "memory": peak,
    }


def _floor(size: str, options: argparse.Namespace) -> tuple[float, float]:
    """(GFLOP of one picture, milliseconds they take at the speeds of the heaviest convolutions)."""
    width, height = (int(side) for side in size.split("x"))
    core = core_of_process()
    floor = 0.0
    kinds = _convolutions(fixed_size_graph(engines.find(options.model), (width, height)))
    for nodes in kinds:
        heaviest = max(nodes, key=_gflop)
        floor += sum(map(_gflop, nodes)) * _alone(core, heaviest, options) / _gflop(heaviest)
    return sum(_gflop(node) for nodes in kinds for node in nodes), floor


def _convolutions(model: Any) -> list[list[Any]]:
    """The dense and the grouped convolutions of a network; a kind it has none of is left out."""
    kinds: dict[bool, list[Any]] = {}
    for node in model.get_ops():
        if "Convolution" in node.get_type_name():
            kinds.setdefault("Group" in node.get_type_name(), []).append(node)
    return list(kinds.values())


def _gflop(node: Any) -> float:
    """Two operations a multiply-add: each value of a plane meets every weight of its channel.

    A transposed convolution spreads the values that come in, any other gathers those that go out.
    Weights: (out, in, ...), with groups (group, out, in, ...), in and out swapped where transposed;
    so that all of them over the channels of that side are one channel's, groups or none.
    """
    transposed = "Backprop" in node.get_type_name()
    values = (node.input(0) if transposed else node.output(0)).get_shape()
    return float(2 * np.prod(values) * np.prod(node.input(1).get_shape()) / values[1] / 1e9)


def _alone(core: Any, node: Any, options: argparse.Namespace) -> float:
    """Milliseconds of one convolution of these shapes by itself.

    Four over one picture, less one: what the picture takes on its way in cancels out.
    """
    four, one = (_best(core, _beside(node, count), options) for count in (4, 1))
    return (four - one) / 3


def _beside(node: Any, count: int) -> Any:
    """A network of so many convolutions like this one over one picture, each with a sum behind it,
    so that no time goes into handing out the result."""
    from openvino import Model, opset13
    from openvino.utils.node_factory import NodeFactory

    data = opset13.parameter(node.input(0).get_shape(), np.float32)
    rng, sums = np.random.default_rng(0), []
    for _ in range(count):
        weights = opset13.constant(rng.normal(size=node.input(1).get_shape()).astype(np.float32))
        twin = NodeFactory("opset13").create(
            node.get_type_name(), [data.output(0), weights.output(0)], node.get_attributes()
        )
        sums.append(opset13.reduce_mean(twin, [1, 2, 3], keep_dims=False))
    return Model(sums, [data])


def _best(core: Any, model: Any, options: argparse.Namespace) -> float:
    """Milliseconds of one run, the best of many."""
    compiled = core.compile_model(model, "CPU", inference_options("CPU", "f32", options.threads))
    request, times = compiled.create_infer_request(), []
    picture = np.ones(tuple(model.inputs[0].get_shape()), np.float32)
    for _ in range(max(10, options.frames)):
        start = time.perf_counter()
        request.infer([picture], share_inputs=True)
        times.append((time.perf_counter() - start) * 1e3)
    return min(times)


def _print(
    results: dict[tuple[str, str], list[dict[str, float]]], floors: dict[str, tuple[float, float]]
) -> None:
    print(
        "| engine | size | GFLOP | ms a frame | times the floor | first frame, ms | cold load, s "
        "| warm load, s | peak MB |\n|---|---|---|---|---|---|---|---|---|"
    )
    for (row, size), runs in results.items():
        middle = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        gflop, floor = floors[size]
        print(
            f"| {row.replace(':', ' ')} | {size} | {gflop:.1f} | {middle['frame']:.1f} "
            f"| {middle['frame'] / floor:.2f} | {middle['first']:.0f} | {middle['cold']:.2f} "
            f"| {middle['warm']:.2f} | {middle['memory']:.0f} |"
        )


if __name__ == "__main__":
    raise SystemExit(main())
