"""Outputs: what may be replaced, what is refused, and what a failed run leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import pytest
from clips import times
from commands import call, entries
from faults import fail_on_the_third_call

import mattecast
import mattecast.commands.matte

pytestmark = pytest.mark.usefixtures("left_half", "no_thread_stays")


def test_an_output_that_is_no_file(talk: Path, tmp_path: Path) -> None:
    options = ("--format", "prores", "--overwrite")
    for output in (tmp_path, Path("/dev/null")):
        call("matte", talk, "-o", output, *options).refuses(1, str(output), "name a file")
    assert not Path("/dev/null").is_file()
    call("matte", talk, "-o", "", *options).refuses(1, "name a file")


def test_no_output_folder(talk: Path, tmp_path: Path) -> None:
    for output in (tmp_path / "none" / "talk.mov", tmp_path / "none" / "f" / "f_%d.png"):
        call("matte", talk, "-o", output).refuses(1, "no such folder; make it first")


def test_the_input_is_not_replaced(talk: Path, tmp_path: Path) -> None:
    source = tmp_path / "talk.mov"
    source.write_bytes(talk.read_bytes())
    (tmp_path / "soft.mov").symlink_to(source)
    (tmp_path / "hard.mov").hardlink_to(source)
    for name in ("talk.mov", "soft.mov", "hard.mov"):
        result = call("matte", source, "-o", tmp_path / name, "--overwrite")
        result.refuses(1, "is the input itself")
    assert source.read_bytes() == talk.read_bytes()
    assert entries(tmp_path) == ["hard.mov", "soft.mov", "talk.mov"]


def test_an_output_is_only_replaced_when_asked(talk: Path, tmp_path: Path) -> None:
    output = tmp_path / "talk.mov"
    output.write_text("precious")
    call("matte", talk, "-o", output).refuses(1, "exists already; --overwrite replaces it")
    assert output.read_text() == "precious"
    assert call("matte", talk, "-o", output, "--overwrite").code == 0 and len(times(output)) == 8
    assert entries(tmp_path) == ["talk.mov"]


def test_a_failed_run_leaves_the_old_output(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "talk.mov"
    output.write_text("precious")
    fail_on_the_third_call(monkeypatch, "mattecast.compositing.composer.Composer.__call__")
    assert call("matte", talk, "-o", output, "--overwrite").code == 1
    assert output.read_text() == "precious" and entries(tmp_path) == ["talk.mov"]


def test_pictures_replace_only_their_like(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their folder is replaced as a whole, so nothing else may be in it."""
    frames = tmp_path / "frames"
    options = ("--format", "png", "--overwrite")
    assert call("matte", talk, "-o", frames, *options).code == 0 and len(entries(frames)) == 8
    short = ("--range", "0..0.1")
    assert call("matte", talk, "-o", frames, *options, *short).code == 0
    assert entries(frames) == ["frames_000000.png", "frames_000001.png", "frames_000002.png"]
    call("matte", talk, "-o", frames, "--format", "png").refuses(1, "exists already")
    (frames / "notes.txt").write_text("precious")
    call("matte", talk, "-o", frames, *options).refuses(1, "a folder of their own")
    monkeypatch.chdir(tmp_path)
    call("matte", talk, "-o", "f_%03d.png", *options).refuses(1, "pictures/f_%03d.png")
    assert call("matte", talk, "-o", "new/f 100%_%03d.png", *options).code == 0
    assert entries(tmp_path / "new")[7] == "f 100%_007.png"
    # What was matted before is no output for itself.
    call("matte", "new", "-o", "new/f 100%_%03d.png", *options).refuses(1, "holds the input")
    assert entries(tmp_path) == ["frames", "new"] and len(entries(tmp_path / "new")) == 8


def test_a_link_to_a_folder_stays_one(talk: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "frames").symlink_to(tmp_path / "disk")
    assert call("matte", talk, "-o", tmp_path / "frames", "--format", "png").code == 0
    assert (tmp_path / "frames").is_symlink() and len(entries(tmp_path / "disk")) == 8
    assert entries(tmp_path) == ["disk", "frames"]


def test_names_that_libav_takes_for_protocols(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("at 12:30.mp4").write_bytes(talk.read_bytes())
    assert call("matte", "at 12:30.mp4", "-o", "a:b.mov").code == 0
    assert len(times(tmp_path / "a:b.mov")) == 8


def test_an_output_that_cannot_be_opened_leaves_no_file(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise av.error.InvalidDataError(1, "No such muxer")

    monkeypatch.setattr("mattecast.media.movie.MovieWriter._add_streams", fails)
    call("matte", talk, "-o", tmp_path / "t.mov").refuses(1, "could not be written (no such muxer)")
    assert entries(tmp_path) == []


def test_two_outputs_appear_together_or_not(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = mattecast.media.movie.MovieWriter.flush

    def fail_on_the_second(writer: Any) -> None:
        if ".key" in writer.output.name:
            raise mattecast.OutputError("full")
        flush(writer)

    monkeypatch.setattr("mattecast.media.movie.MovieWriter.flush", fail_on_the_second)
    call("matte", talk, "-o", tmp_path / "t.mov", "--format", "fill-key").refuses(1, "full")
    assert entries(tmp_path) == []
