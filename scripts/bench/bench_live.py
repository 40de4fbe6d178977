#!/usr/bin/env python3
"""Measures the delay of live: `scripts/bench/bench_live.py [--size 640x360 1280x720]`.

A session with the embedded network feeds a real OBS (software GL, on this machine) or, with
--no-obs, a reader of the stream in the place of an OBS elsewhere. Each picture carries the time of
its capture as a bar code, whose rows stay opaque. The age of what OBS shows is read from OBS's
screenshots; the moment between request and answer counts as the moment when the picture was seen.
So the figures hold everything: waiting, conversion, network, edges, sending, and OBS's own frame.
The camera is a clip (--clip) or moving noise, played from memory at --rate, so no decoder counts.

Each run is followed by a run with matting off, which gives the age that pictures have by OBS and
the way to it alone (the wait for the canvas's next frame, and the time that frame is seen). Prints
one row a size: p50 and p95 of the age in milliseconds with matting, without it, and the difference;
frames a second in and out; the network's size and time; and the CPU milliseconds a frame of the
whole process.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/live")]

import obs_host  # noqa: E402

from mattecast import engines  # noqa: E402
from mattecast.commands.live import tuned  # noqa: E402
from mattecast.flow import half_the_cores  # noqa: E402
from mattecast.live.capture import CLOCK, Captured, Input  # noqa: E402
from mattecast.live.governor import percentile  # noqa: E402
from mattecast.live.obs.client import Address  # noqa: E402
from mattecast.live.obs.link import Link  # noqa: E402
from mattecast.live.obs.media_source import MediaSource, free_port  # noqa: E402
from mattecast.live.outputs.outlet import Outlet  # noqa: E402
from mattecast.live.outputs.sender import CODINGS, Sender  # noqa: E402
from mattecast.live.pipeline import Controls  # noqa: E402
from mattecast.live.session import Session  # noqa: E402
from mattecast.live.threads import now  # noqa: E402
from mattecast.media.facts import Facts  # noqa: E402
from mattecast.media.turn import Turn  # noqa: E402
from mattecast.settings import Settings  # noqa: E402

# The bar code: milliseconds modulo 2**16 in black and white blocks along the bottom, after two
# blocks that mark it.
BITS, MARK = 16, (1, 0)


def main() -> int:
    options = _options()
    print(_machine())
    print(
        "| size | OBS | age p50 / p95 | not matted | added | of it network | fps in | fps out | "
        "network | CPU ms a frame | when sent p50 / p95 |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for size in options.size:
        width, height = (int(side) for side in size.split("x"))
        turns = [
            [_run(options, (width, height), on=on) for on in (True, False)]
            for _ in range(options.runs)
        ]
        matted, plain = (_middle(runs) for runs in zip(*turns, strict=True))
        print(
            "| {size} | {obs} | {p50:.0f} / {p95:.0f} | {plain50:.0f} / {plain95:.0f} | "
            "{more50:.0f} / {more95:.0f} | {engine:.0f} | {fps_in:.1f} | {fps_out:.1f} | "
            "{network} | {cpu:.0f} | {own50:.0f} / {own95:.0f} |".format(
                **matted,
                plain50=plain["p50"],
                plain95=plain["p95"],
                more50=matted["p50"] - plain["p50"],
                more95=matted["p95"] - plain["p95"],
            )
        )
        print(f"    {matted['stages']}", file=sys.stderr)
    return 0


def _middle(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return sorted(runs, key=lambda one: one["p95"])[len(runs) // 2]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs="+", default=["640x360", "1280x720"])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument(
        "--warm",
        type=float,
        default=15.0,
        help="seconds before counting: the governor settles (default: 15)",
    )
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--runs", type=int, default=1, help="the run with the middle p95 is shown")
    parser.add_argument("--latency", type=float, default=100.0)
    parser.add_argument("--network-size", type=int)
    parser.add_argument("--clip", type=Path, help="pictures of a clip, scaled to the size")
    parser.add_argument("--no-obs", action="store_true", help="a reader of the stream instead")
    parser.add_argument("--foreground", default="estimate", choices=("estimate", "source"))
    return parser.parse_args()


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0].partition(": ")[2] if names else model
    load = f", load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("av", "openvino", "numpy"))
    return f"{os.cpu_count()} cores of {model}{load}; {versions}"


def _run(options: argparse.Namespace, size: tuple[int, int], *, on: bool) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        viewer = _Reader() if options.no_obs else _Obs(folder, size)
        stack.callback(viewer.close)
        stack.enter_context(tuned())
        settings = Settings(
            smooth="causal", network_size=options.network_size, foreground=options.foreground
        )
        session = Session(
            Input("file", "bench", "", loop=True),
            Controls(settings, on),
            options.latency / 1000,
            [viewer.outlet],
            link=viewer.link,
            obs_outlet=viewer.outlet,
            load=_keeping(settings),
        )
        pictures = _pictures(options, size)
        _fed_from_memory(session, pictures, size, options.rate)
        stack.callback(session.close)
        session.start()
        time.sleep(options.warm)
        return _measured(session, viewer, options.seconds, size)


def _measured(
    session: Session, viewer: Any, seconds: float, size: tuple[int, int]
) -> dict[str, Any]:
    before, sent = resource.getrusage(resource.RUSAGE_SELF), viewer.outlet.sent
    ages, own, engine, rates = [], [], [], []
    end = time.monotonic() + seconds
    with viewer.watching():
        while time.monotonic() < end:
            ages += viewer.ages()
            status = session.status()
            own += session.matting.report.ages.values(now())[-3:]
            engine.append(status["stages_ms"].get("network", 0.0))
            rates.append((status["fps_in"], status["fps_out"]))
    after, frames = resource.getrusage(resource.RUSAGE_SELF), viewer.outlet.sent - sent
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    network = session.matting.engine.info.size if session.matting.engine else (0, 0)
    return {
        "size": f"{size[0]}x{size[1]}",
        "obs": viewer.about,
        "p50": 1000 * percentile(ages, 0.5),
        "p95": 1000 * percentile(ages, 0.95),
        "engine": statistics.median(engine),
        "fps_in": statistics.median(r[0] for r in rates),
        "fps_out": frames / seconds,
        "network": f"{network[0]}x{network[1]}",
        "cpu": 1000 * used / max(1, frames),
        "own50": 1000 * percentile(own, 0.5),
        "own95": 1000 * percentile(own, 0.95),
        "stages": f"{len(ages)} ages; stages {session.status()['stages_ms']}; "
        f"{session.matting.governor.reason}",
    }


def _keeping(settings: Settings) -> Any:
    """A loader of engines that compute everything, and then make the bar code's rows opaque."""

    def load(size: tuple[int, int]) -> Any:
        engine = engines.load(settings.model, size, threads=half_the_cores())
        step = engine.step

        def kept(picture: Any) -> Any:
            alpha = np.array(step(picture))
            alpha[-alpha.shape[0] // 8 :] = 1
            return alpha

        engine.step = kept  # type: ignore[method-assign]
        return engine

    return load


def _pictures(options: argparse.Namespace, size: tuple[int, int]) -> list[Any]:
    """Two seconds of pictures in memory, YUV as cameras and decoders give them."""
    if options.clip is None:
        rng = np.random.default_rng(0)
        wide = rng.integers(0, 255, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
        small = [np.roll(wide, index, axis=1) for index in range(60)]
        frames = [av.VideoFrame.from_ndarray(np.ascontiguousarray(one), "rgb24") for one in small]
    else:
        with av.open(str(options.clip)) as clip:
            frames = [frame for frame, _ in zip(clip.decode(video=0), range(60), strict=False)]
    return [frame.reformat(*size, "yuv420p").to_ndarray() for frame in frames]


def _fed_from_memory(
    session: Session, pictures: list[Any], size: tuple[int, int], rate: float
) -> None:
    """Replace the session's capture: pictures come from memory, each stamped when it is due."""
    from fractions import Fraction

    capture = session.capture
    width, height = size
    facts = Facts(
        path=Path("bench"),
        container="memory",
        codec="rawvideo",
        pixel_format="yuv420p",
        bits=8,
        width=width,
        height=height,
        sar=Fraction(1),
        turn=Turn(),
        interlaced=False,
        rate=Fraction(rate).limit_denominator(1001),
        variable_rate=False,
        time_base=CLOCK,
        start=Fraction(0),
        duration=None,
        frames=0,
        colour=_colour(pictures[0]),
        has_alpha=False,
        timecode=None,
        audio=(),
        others=(),
        chapters=0,
    )

    def play(input: Input, stop: threading.Event) -> Iterator[Captured]:
        begun, index = now(), 0
        while not stop.is_set():
            due = begun + index / rate
            stop.wait(max(0.0, due - now()))
            code = pictures[index % len(pictures)].copy()
            time_now = now()
            _stamp(code[:height], int(1000 * time_now))
            frame = av.VideoFrame.from_ndarray(code, "yuv420p")
            yield Captured(frame, facts, time_now)
            index = max(index + 1, int((now() - begun) * rate))

    type(capture)._play = lambda self, input, stop: play(input, stop)  # type: ignore[method-assign]


def _colour(picture: Any) -> Any:
    from mattecast.media.colour import Colour

    return Colour.of(av.VideoFrame.from_ndarray(picture, "yuv420p"))


def _stamp(luma: Any, milliseconds: int) -> None:
    """Write a time into the bottom rows of a luma plane."""
    height, width = luma.shape
    block = width / (BITS + len(MARK))
    values = [*MARK, *((milliseconds >> bit) & 1 for bit in range(BITS))]
    for place, value in enumerate(values):
        luma[-height // 12 :, int(place * block) : int((place + 1) * block)] = 235 if value else 16


def _read(shot: Any) -> int | None:
    """The time in the bottom rows of a picture, or None where there is no bar code."""
    height, width = shot.shape[:2]
    block = width / (BITS + len(MARK))
    row = shot[-height // 24, :, :3].mean(axis=1)
    values = [row[int((place + 0.5) * block)] for place in range(BITS + len(MARK))]
    if values[0] < values[1] + 80:
        return None
    middle = (values[0] + values[1]) / 2
    return sum(1 << bit for bit, value in enumerate(values[len(MARK) :]) if value > middle)


def _age(code: int, seen: float) -> float:
    """Seconds between a picture's time, known modulo 65.536 s, and the moment it was seen."""
    return ((1000 * seen - code) % (1 << BITS)) / 1000


class _Obs:
    """OBS under Xvfb; its screenshots give the ages."""

    about = "same machine"

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        if reason := obs_host.missing():
            raise SystemExit(f"bench_live: {reason}")
        self.host = obs_host.Host(folder / "obs", size=size)
        self.host.start()
        self.host.add_colour((40, 120, 200))
        self.link = Link(Address(port=self.host.port), MediaSource(), lambda: obs_host.PASSWORD)
        self.outlet = Outlet(Sender("OBS", self.link.address, CODINGS["raw"]))

    @contextmanager
    def watching(self) -> Iterator[None]:
        yield

    def ages(self) -> list[float]:
        asked = now()
        # A small screenshot, because the time it takes is not a part of the picture's age.
        answer = self.host.ask(
            "GetSourceScreenshot",
            sourceName="Main",
            imageFormat="png",
            imageWidth=320,
            imageHeight=180,
        )
        seen = (asked + now()) / 2
        time.sleep(0.05)
        code = _read(obs_host.decoded(answer))
        return [] if code is None else [_age(code, seen)]

    def close(self) -> None:
        self.host.end()


class _Reader:
    """Reads the stream as OBS on another machine would, without drawing it."""

    about = "elsewhere"
    link = None

    def __init__(self) -> None:
        self._port = free_port()
        self._server = socket.create_server(("127.0.0.1", self._port))
        self.outlet = Outlet(Sender("reader", lambda: ("127.0.0.1", self._port), CODINGS["raw"]))
        self._found: list[float] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            connection, _ = self._server.accept()
            with connection, connection.makefile("rb") as file, av.open(file, "r", "nut") as nut:
                for frame in nut.decode(video=0):
                    seen = now()
                    code = _read(frame.to_ndarray())
                    if code is not None:
                        self._found.append(_age(code, seen))
        except (OSError, av.error.FFmpegError):
            return

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._found.clear()
        yield

    def ages(self) -> list[float]:
        time.sleep(0.2)
        found, self._found = self._found, []
        return found

    def close(self) -> None:
        self._server.close()


if __name__ == "__main__":
    raise SystemExit(main())
