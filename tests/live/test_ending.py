"""How a live session ends: what is released, what is kept, and what the user is told."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import keyed
from commands import StandIn
from obs_host import until

from mattecast.live import threads
from mattecast.live.capture import parse
from mattecast.live.matter import STAGES, Controls, Report
from mattecast.live.session import Session
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


def session_with(engine: StandIn, folder: Path) -> Session:
    """A session over a clip, whose network is `engine`; it is not started."""
    clip = parse(str(keyed.clip(folder / "bar.mkv")), loop=True)
    return Session(clip, Controls(Settings(smooth="off")), 5.0, [], load=lambda size: engine)


def engine_for(kind: type[StandIn]) -> StandIn:
    """An engine of the size that the default network has for the clip."""
    from mattecast import engines

    spec = engines.find("default")
    long_side = spec.wide_side or spec.long_side
    return kind(engines.network_size(spec, *map(float, keyed.SIZE), long_side))


def test_stages_have_fixed_names_so_that_status_can_be_read_at_any_time():
    report = Report()
    names = iter(report.stages.items())
    seen = [next(names)[0]]
    report.stage("compose", 0.0, 0.1)
    seen += [name for name, _ in names]
    assert tuple(seen) == STAGES


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
