"""Errors in the middle of a run: they reach the caller, and no thread and no file is left."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import call, entries
from faults import SMALL, fail_on_the_third_call

import mattecast
import mattecast.commands.matte
from mattecast import matte

pytestmark = pytest.mark.usefixtures("left_half", "no_thread_stays")


STAGES = [
    "mattecast.media.clip.Clip._count_damage",
    "mattecast.matting.prepare.Convert.push",
    "commands.StandIn.step",
    "mattecast.compositing.composer.Composer.__call__",
    "mattecast.media.movie.MovieWriter.write",
]


@pytest.mark.parametrize("stage", STAGES)
def test_an_error_in_a_stage(
    stage: str, talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrives with the worker's own traceback; no thread, no file stays (see the fixture)."""
    fail_on_the_third_call(monkeypatch, stage)
    with pytest.raises(RuntimeError, match="boom") as caught:
        matte(talk, tmp_path / "talk.mov")
    assert caught.traceback[-1].name == "fails"
    assert entries(tmp_path) == []


def test_an_unexpected_error_is_one_line_too(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the clip, stops no other, and --debug shows the rest."""
    fail_on_the_third_call(monkeypatch, "commands.StandIn.step")
    (tmp_path / "a.mp4").write_bytes(talk.read_bytes())
    (tmp_path / "b.mp4").write_bytes(talk.read_bytes())
    result = call("matte", tmp_path, "--out-dir", tmp_path / "out", "--debug")
    assert result.code == 1 and "Traceback" in result.err
    assert "a.mp4: RuntimeError: boom; this should not happen" in result.err
    assert entries(tmp_path / "out") == ["b.matte.mov"]


def test_too_little_memory_is_one_clear_line(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on_the_third_call(monkeypatch, "commands.StandIn.step", MemoryError())
    call("matte", talk, "-o", tmp_path / "t.mov").refuses(1, str(talk), "out of memory", "--size")


def test_mattes_may_be_left_early(talk: Path) -> None:
    found = mattecast.mattes(talk)
    assert next(found).alpha.shape == SMALL[::-1]
    found.close()  # type: ignore[attr-defined]
