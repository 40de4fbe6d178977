"""How a live session ends: what is released, what is kept, and what the user reads."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import av
import cv2
import keyed
import numpy as np
import pytest
from commands import StandIn, call, start
from waiting import until

from mattecast.errors import EngineError
from mattecast.live import threads
from mattecast.live.capture import parse, plain_facts
from mattecast.live.obs.client import Address
from mattecast.live.obs.link import Link
from mattecast.live.obs.media_source import MediaSource
from mattecast.live.outputs import recording
from mattecast.live.outputs.recording import Recorder
from mattecast.live.picture import Picture
from mattecast.live.pipeline import STAGES, Controls, Pipeline, Report
from mattecast.live.session import Session
from mattecast.live.threads import now
from mattecast.media.formats import FORMATS
from mattecast.settings import Settings


class Stuck(StandIn):
    """An engine whose step does not return until it is let go."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__(size)
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.closed = False

    def step(self, picture):
        self.entered.set()
        self.let_go.wait(60)
        return super().step(picture)

    def close(self) -> None:
        self.closed = True


def session_with(engine: StandIn, folder: Path, *sinks) -> Session:
    """A session over a clip, whose network is `engine`; it is not started."""
    clip = parse(str(keyed.clip(folder / "bar.mkv")), loop=True)
    controls = Controls(Settings(smooth="off"))
    return Session(clip, controls, 5.0, list(sinks), load=lambda size: engine)


def engine_for(kind: type[StandIn]) -> StandIn:
    """An engine of the size that the default network has for the clip."""
    from mattecast import engines

    spec = engines.find("default")
    long_side = spec.wide_side or spec.long_side
    width, height = (float(side) for side in keyed.SIZE)
    return kind(engines.network_size(spec, width, height, long_side))


def test_stages_have_fixed_names_so_that_status_can_be_read_at_any_time():
    report = Report()
    names = iter(report.stages.items())
    seen = [next(names)[0]]
    with report.measure("compose"):
        pass
    seen += [name for name, _ in names]
    assert tuple(seen) == STAGES


def test_every_stage_of_live_has_a_place_in_the_report(tmp_path):
    mask = tmp_path / "mask.png"
    cv2.imwrite(str(mask), np.full((48, 64), 255, np.uint8))
    names = set()
    for smooth in ("off", "causal", "delayed"):
        settings = Settings(
            smooth=smooth,
            despill="green",
            keep=str(mask),
            person="0.5,0.5",
            min_island=0.1,
            min_hole=0.1,
        )
        chain = Pipeline(plain_facts((64, 48)), Controls(settings), StandIn((64, 32)), None)
        names |= {stage.name for group in chain.every for stage in group}
    assert names | {"compose"} == set(STAGES)


def test_an_engine_is_not_closed_under_a_running_step(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(threads, "PATIENCE", 0.3)
    engine = engine_for(Stuck)
    session = session_with(engine, tmp_path)
    session.start()
    try:
        assert engine.entered.wait(60)
        with caplog.at_level(logging.WARNING):
            session.close()
        assert not engine.closed and "the network has not stopped" in caplog.text
    finally:
        engine.let_go.set()
    until(lambda: not session.matting._first.running, 30, "the end of the step")
    session.close()
    assert engine.closed


class Unclosable(StandIn):
    """An engine that fails when it is closed."""

    def close(self) -> None:
        raise EngineError("the device is lost")


def test_an_engine_that_fails_to_close_leaves_neither_recorder_nor_link_open(tmp_path, closed_port):
    recorder = Recorder(tmp_path / "take.mov", overwrite=False)
    link = Link(Address(port=closed_port), MediaSource(), lambda: "")
    session = session_with(engine_for(Unclosable), tmp_path, recorder)
    session.link = link
    session.start()
    until(lambda: recorder.sent > 2, 60, "recorded frames")
    with pytest.raises(EngineError, match="the device is lost"):
        session.close()
    assert not link._task.running and (tmp_path / "take.mov").exists()
    assert recorder.result.startswith("recorded ") and not recorder.incomplete


# Recordings that fail.


def offered(recorder: Recorder, count: int) -> None:
    """Start a recorder and give it some pictures."""
    recorder.start()
    for index in range(count):
        bgra = np.full((48, 64, 4), 10 * index, np.uint8)
        recorder.offer(Picture(bgra, now() + index / 30))


def without_encoder(monkeypatch, name: str) -> None:
    """Make libav one that lacks the encoder of a format."""
    monkeypatch.setitem(FORMATS, name, replace(FORMATS[name], codec="no_such_encoder"))


def test_a_recording_whose_encoder_is_missing_says_so(tmp_path, monkeypatch):
    without_encoder(monkeypatch, "prores")
    recorder = Recorder(tmp_path / "take.mov", overwrite=False)
    offered(recorder, 1)
    until(recorder.gone.is_set, 10, "the end of the recording")
    recorder.close()
    assert recorder.state.startswith("recording failed: ") and "no_such_encoder" in recorder.state
    assert recorder.incomplete and recorder.result == recorder.state
    assert not list(tmp_path.iterdir())


def fail_at(monkeypatch, number: int) -> None:
    """Let the conversion of a picture fail."""
    convert, count = recording._Movie._converted, iter(range(1000))

    def converted(self, picture):
        if next(count) == number:
            raise MemoryError
        return convert(self, picture)

    monkeypatch.setattr(recording._Movie, "_converted", converted)


@pytest.mark.parametrize("suffix", ["mov", "mkv"])
def test_what_was_recorded_before_an_error_is_kept(tmp_path, monkeypatch, suffix):
    fail_at(monkeypatch, 2)
    (tmp_path / f"take.incomplete.{suffix}").write_text("of an earlier failure")
    recorder = Recorder(tmp_path / f"take.{suffix}", overwrite=False)
    offered(recorder, 5)
    until(recorder.gone.is_set, 30, "the end of the recording")
    recorder.close()
    kept = f"take.incomplete-2.{suffix}"
    assert recorder.state == (
        f"recording failed: out of memory; the 2 frames before are kept in {kept}"
    )
    assert sorted(one.name for one in tmp_path.iterdir()) == [kept, f"take.incomplete.{suffix}"]
    with av.open(str(tmp_path / kept)) as movie:
        assert len(list(movie.decode(video=0))) == 2


def test_a_run_whose_only_output_is_a_recording_that_fails_exits_with_1(tmp_path, monkeypatch):
    without_encoder(monkeypatch, "prores")
    clip, network = keyed.clip(tmp_path / "bar.mkv"), keyed.network(tmp_path)
    began = time.monotonic()
    result = call(
        *("live", clip, "--loop", "--for", "60", "--model", network, "--network-size", "160"),
        *("--obs", "off", "--record", tmp_path / "take.mov", "--quiet"),
    )
    assert result.code == 1 and time.monotonic() - began < 50
    assert result.err.count("recording failed") == 1, result.err


@pytest.mark.slow
def test_a_recording_that_fills_the_disk_ends_the_run_and_is_kept(tmp_path):
    clip, network = keyed.clip(tmp_path / "bar.mkv"), keyed.network(tmp_path)
    worker = start(
        *("live", clip, "--loop", "--for", "40", "--model", network, "--network-size", "160"),
        *("--obs", "off", "--record", tmp_path / "take.mov"),
        stdin=subprocess.DEVNULL,
        preexec_fn=_limit_files,
    )
    _, errors = worker.communicate(timeout=60)
    assert worker.returncode == 1, errors
    assert errors.count("recording failed") == 1 and "too large" in errors
    assert "kept in take.incomplete.mov, without the index" in errors
    assert (tmp_path / "take.incomplete.mov").exists() and not (tmp_path / "take.mov").exists()


def _limit_files() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (60 << 10, 60 << 10))
