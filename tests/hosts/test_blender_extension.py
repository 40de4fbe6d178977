"""The Blender extension without Blender: times, command lines, the queue, where things are."""

import json
import os
import subprocess
import sys
import time
import zipfile
from fractions import Fraction
from pathlib import Path

import pytest
from commands import call

from mattecast.hosts.blender.extension import command, program, sources, strip_time, work
from mattecast.hosts.blender.extension.command import Options, Piece, RequestError
from mattecast.hosts.blender.extension.strip_time import Content
from mattecast.hosts.blender.plugin import SOURCES

NTSC = Fraction(30000, 1001)


def shown(content: Content, matte: range, frames: range) -> list[tuple[int, int]]:
    """What a strip and its matte show at each frame, as pictures of the file."""
    start = content.start_of(matte.start, int(len(matte) / content.speed))
    own = Content(
        start, int(len(matte) / content.speed), len(matte), content.speed, 0, content.reverse
    )
    return [(content.picture(t), matte.start + own.picture(t)) for t in frames]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("scene", [24, 25, 60, Fraction(24000, 1001)], ids=str)
@pytest.mark.parametrize("rate", [24, 30, NTSC, 50, Fraction(300, 13)], ids=str)
@pytest.mark.parametrize("hidden", [0, 7])
def test_a_part_shows_the_same_pictures_at_every_rate(rate, scene, hidden, reverse):
    speed = Fraction(rate) / Fraction(scene)
    content = Content(11, int(300 / speed), 300, speed, hidden, reverse)
    left, right = 11 + int(100 / speed), 11 + int(160 / speed)
    matte = content.used(left, right, handles=5)
    pairs = shown(content, matte, range(left, right))
    assert all(a == b and a in matte for a, b in pairs), pairs


def test_handles_go_as_far_as_the_clip():
    content = Content(1, 100, 100, Fraction(1))
    assert content.used(1, 11, 5) == range(15)
    assert content.used(31, 41, 5) == range(25, 45)
    assert content.used(81, 101, 50) == range(30, 100)
    assert content.used(-20, 300, 5) == range(100)  # held ends


def test_rates_are_exact():
    assert strip_time.exact_rate(29.97002983) == NTSC
    assert strip_time.exact_rate(23.97602272) == Fraction(24000, 1001)
    assert strip_time.exact_rate(25.0) == 25
    assert strip_time.exact_rate(12.5) == Fraction(25, 2)
    assert strip_time.seconds(range(1, 3), Fraction(24000, 1001)) == "1001/24000..1001/8000"


def test_the_speed_of_a_strip_shows_in_its_length():
    assert strip_time.speed(Fraction(30), Fraction(24), 60, 48) == Fraction(5, 4)
    assert strip_time.speed(Fraction(30), Fraction(24), 60, 60) == 1


@pytest.mark.parametrize(
    ("format", "version", "host", "premultiplied"),
    [
        ("AUTO", (4, 2, 0), "blender", False),
        ("AUTO", (5, 3, 0), "blender", False),
        ("PRORES", (4, 2, 0), "blender-4.2", False),
        ("PRORES", (4, 3, 2), "blender-4.2", False),
        ("PRORES", (4, 4, 0), "blender-5", True),
        ("PRORES", (5, 0, 1), "blender-5", True),
    ],
)
def test_alpha_is_right_for_each_version(format, version, host, premultiplied):
    options = Options(format=format)
    made = command.command(Path("mattecast"), Piece(Path("/clip.mov")), options, version)
    assert made[made.index("--for") + 1] == host
    assert command.premultiplied(options, version) is premultiplied


def test_the_command_line_is_one_that_mattecast_takes(tmp_path):
    """Every option of the panel in one command: it fails for want of the clip, not of an option."""
    piece = Piece(tmp_path / "gone ö.mov", rate=NTSC, part="1001/30000..1001/3000", track=1)
    options = Options(
        background="COLOUR", choke=-1.5, feather=2, smoothing="causal", strength=0.5, more="--sdr"
    )
    made = command.command(Path("mattecast"), piece, options, (5, 0, 0))
    result = call(*made[1:])
    assert result.code == 1 and "gone ö.mov: no such file" in result.err
    pictures = Piece(tmp_path / "gone_%04d.png", rate=Fraction(24), part="0/1..1/1", pictures=True)
    made = command.command(Path("mattecast"), pictures, Options(smoothing="off"), (4, 2, 0))
    result = call(*made[1:])
    assert result.code == 1 and "gone_%04d.png" in result.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (Options(format="H264"), "H.264 has no alpha"),
        (Options(background="FILE"), "choose the picture"),
        (Options(more="--model 'x"), "no closing quotation"),
    ],
)
def test_settings_that_contradict(options, reason):
    with pytest.raises(RequestError, match=reason):
        command.command(Path("mattecast"), Piece(Path("/clip.mov")), options, (5, 0, 0))


def test_what_the_program_says():
    line = '{"source": "a", "done": 5, "total": 20, "fps": 2, "seconds_left": 75, "limiting": "x"}'
    told = command.progress(line)
    assert told and told.share == 0.25 and str(told) == "5 of 20 frames, 1:15 left"
    assert command.progress("mattecast: no") is None and command.progress("{broken") is None
    assert command.failure(1, ["note", "mattecast: clip: gone"]) == "clip: gone"
    assert "older" in command.failure(2, ["mattecast: unrecognized arguments: --reuse"])
    assert command.failure(-9, []) == "mattecast ended with exit code -9: no message"
    with pytest.raises(RequestError):
        command.summary("[]")


def numbered_files(folder, names):
    for name in names:
        (folder / name).touch()


def test_numbered_pictures(tmp_path):
    numbered_files(tmp_path, ["sh ö_008.png", "sh ö_009.png", "sh ö_010.png", "other_1.png"])
    names = ["sh ö_009.png", "sh ö_010.png"]
    piece = sources.pictures(names, tmp_path, Fraction(24), range(2))
    assert piece.source == tmp_path / "sh ö_%03d.png" and piece.part == "1/24..1/8"
    one = sources.pictures(names[:1], tmp_path, Fraction(24), range(1))
    assert one.source == tmp_path / names[0] and one.rate is None
    with pytest.raises(RequestError, match="one by one"):
        sources.pictures([names[0], "other_1.png"], tmp_path, Fraction(24), range(2))


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(RequestError, match="not saved"):
        sources.existing("clip.mov", saved=False, written="//clip.mov")
    with pytest.raises(RequestError, match="no such file"):
        sources.existing(str(tmp_path / "clip.mov"), saved=True, written="//clip.mov")


def script(path: Path, body: str) -> Path:
    """A program of a few lines of shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


unix = pytest.mark.skipif(os.name == "nt", reason="scripts of a shell stand for the program")


@unix
def test_finds_the_program(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        program,
        "is_program",
        lambda path, own=program.is_program: own(path) and path.is_relative_to(tmp_path),
    )
    with pytest.raises(program.ProgramError, match="not found"):
        program.find()
    pipx = script(tmp_path / ".local/share/pipx/venvs/mattecast/bin/mattecast", "")
    assert program.find() == pipx
    local = script(tmp_path / ".local/bin/mattecast", "")
    assert program.find() == local
    on_path = script(tmp_path / "nowhere/mattecast", "")
    assert program.find() == on_path
    venv = script(tmp_path / "my venv/bin/mattecast", "")
    assert program.find(str(tmp_path / "my venv")) == venv == program.find(str(venv))
    with pytest.raises(program.ProgramError, match="no program"):
        program.find(str(tmp_path / "gone"))


@unix
def test_checks_the_program(tmp_path):
    told = {"version": "0.0.9", "ok": True, "findings": []}
    old = script(tmp_path / "old", f"echo '{json.dumps(told)}'")
    with pytest.raises(program.ProgramError, match=r"0\.0\.9; 0\.1\.0 is needed"):
        program.check(old)
    with pytest.raises(program.ProgramError, match="too old: unrecognized"):
        program.check(script(tmp_path / "older", "echo unrecognized >&2; exit 2"))
    finding = {"level": "error", "what": "engine", "detail": "none"}
    bad = script(
        tmp_path / "bad",
        f"echo '{json.dumps({**told, 'version': '0.1.0', 'findings': [finding]})}'",
    )
    assert program.check(bad) == ("0.1.0", ["engine: none"])


def finished(queue: work.Queue, seconds: float = 30) -> list[tuple[str, str]]:
    """The results of a queue after all jobs."""
    end = time.monotonic() + seconds
    while queue.busy:
        queue.step()
        assert time.monotonic() < end
        time.sleep(0.01)
    return list(queue.results)


SUMMARY = {
    "outputs": ["/mattes/a.mov"],
    "frames": 3,
    "start": "1/3",
    "size": [64, 48],
    "reused": False,
    "nobody": True,
    "losses": [],
    "notes": [],
    "damage": [],
}


def saying(body: str) -> list[str]:
    """A command of this Python."""
    return [sys.executable, "-c", f"import sys, json, time; {body}"]


def test_the_queue_runs_one_job_after_the_other():
    queue, placed = work.Queue(), []

    def place(made):
        placed.append(made)
        return "placed"

    queue.add(work.Job("a", saying(f"print(json.dumps([{SUMMARY!r}]))"), place))
    queue.add(work.Job("b", saying("sys.exit('mattecast: b: broken')"), place))
    queue.add(work.Job("c", ["/no/program"], place))
    queue.add(work.Job("d", saying("print('nonsense')"), place))
    results = finished(queue)
    assert [level for level, _ in results] == ["WARNING", "ERROR", "ERROR", "ERROR"]
    assert results[0][1] == "placed; nobody was found in it" and placed[0].start == Fraction(1, 3)
    assert results[1][1] == "b: b: broken" and "cannot be started" in results[2][1]
    assert "not understood" in results[3][1] and len(placed) == 1


def test_a_job_can_ask_for_another():
    queue = work.Queue()
    line = saying(f"print(json.dumps([{SUMMARY!r}]))")
    queue.add(work.Job("a", line, lambda made: work.Job("a", line, lambda made: "whole")))
    assert [text for _, text in finished(queue)] == ["whole; nobody was found in it"]
    assert queue.count == queue.ended == 1


def test_cancel_ends_the_run_and_drops_the_rest():
    queue = work.Queue()
    for label in "ab":
        queue.add(work.Job(label, saying("time.sleep(60)"), lambda made: "placed"))
    queue.step()
    began = time.monotonic()
    queue.cancel()
    assert finished(queue) == [("WARNING", "a: cancelled")] and time.monotonic() - began < 10


def test_the_extension_imports_the_standard_library_only():
    """Without bpy, all but the parts inside Blender load in a bare Python."""
    names = "program, command, strip_time, sources, work"
    code = f"import sys; sys.path.insert(0, {str(SOURCES.parent)!r}); from extension import {names}"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True)


def test_the_zip_is_small_and_always_the_same(tmp_path):
    for name in ("a", "b"):
        assert call("hosts", "build", "blender", "--into", tmp_path / name).code == 0
    first, second = (tmp_path / name / "mattecast-blender.zip" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes() and first.stat().st_size < 100_000
    names = zipfile.ZipFile(first).namelist()
    assert {"blender_manifest.toml", "__init__.py"} <= set(names)


@pytest.mark.skipif(sys.platform != "linux", reason="the folders of Blender on Linux")
def test_is_installed_for_every_version_that_has_extensions(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # without Blender, whose start takes seconds
    call("hosts", "install", "blender").refuses(2, "--into FOLDER")
    for version in ("3.4", "4.1", "4.2", "5.0"):
        (tmp_path / "blender" / version).mkdir(parents=True)
    assert call("hosts", "install", "blender").code == 0
    extensions = "extensions/user_default/mattecast"
    for version in ("4.2", "5.0"):
        folder = tmp_path / "blender" / version / extensions
        assert (folder / "blender_manifest.toml").is_file() and (folder / program.NOTE).is_file()
    assert not (tmp_path / "blender" / "4.1" / "extensions").exists()
    assert "another version" not in call("hosts", "check", "blender").out
    (folder / "work.py").write_text("")
    assert "another version" in call("hosts", "check", "blender").out
