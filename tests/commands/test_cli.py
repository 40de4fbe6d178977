"""The command: what it prints where, how it names outputs, and what its exit code says."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Recipe, make, times
from commands import StandIn, call, entries, start

from mattecast import __version__

SMALL = (64, 48)
COMMANDS = ("matte", "probe", "check", "doctor")


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process a stand-in does the network's work, at once."""
    monkeypatch.setattr("mattecast.engines.load", lambda spec, size, **_: StandIn(size))


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = Recipe(size=SMALL, pts=tuple(range(12)), audio=("aac",), timecode="10:00:00:00")
    return make(tmp_path_factory.mktemp("talk") / "talk.mov", recipe)


def pictures(folder: Path, count: int = 4) -> Path:
    folder.mkdir()
    for number in range(count):
        picture = np.full((48, 64, 3), 50 * number, np.uint8)
        av.VideoFrame.from_ndarray(picture, "rgb24").save(folder / f"shot_{number:04d}.png")
    return folder


# ---------------------------------------------------------------- help


def test_help_names_every_command_and_exit_code() -> None:
    result = call("--help")
    assert result.code == 0 and not result.err
    for word in (*COMMANDS, "130", "143"):
        assert word in result.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str) -> None:
    result = call(command, "--help")
    assert result.code == 0 and not result.err and "exit codes:" in result.out
    # No line is so long that a terminal folds it, and every flag says what it does.
    assert all(len(line) <= 100 for line in result.out.splitlines())
    assert not re.search(r"^  --?\S+(?: [A-Z]+)?$(?!\n {6})", result.out, re.M)


def test_matte_help_shows_examples() -> None:
    out = call("matte", "--help").out
    examples = [line for line in out.splitlines() if line.startswith("  mattecast matte ")]
    assert len(examples) >= 4


def test_version() -> None:
    assert call("--version").out == f"mattecast {__version__}\n"


def test_the_module_is_the_command(tmp_path: Path) -> None:
    """As a process, with the real network: results on stderr, nothing on stdout."""
    source = make(tmp_path / "talk.mp4", Recipe(size=SMALL, pts=(0, 1, 2)))
    process = start("matte", source, "-o", tmp_path / "talk.mov")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0 and out == ""
    # The first run on a machine tells that it builds the network for it, a slow one how far it is.
    early = ("mattecast: building", "talk.mp4: ")
    lines = [line for line in err.splitlines() if not line.startswith(early)]
    assert lines[0].startswith(f"{tmp_path / 'talk.mov'}: 3 frames, 64x48, prores, ")
    assert lines[1].startswith("  nobody found") and len(lines) == 3  # these are only ramps
    assert lines[2].startswith("  engine: default at ")
    assert times(tmp_path / "talk.mov") == times(source)


# ---------------------------------------------------------------- inputs and outputs


def test_one_that_fails_stops_no_other(talk: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_text("broken")
    out = tmp_path / "deep" / "out"
    result = call("matte", tmp_path / "broken.mp4", talk, tmp_path / "none.mp4", "--out-dir", out)
    assert result.code == 1 and entries(out) == ["talk.matte.mov"]
    lines = [line for line in result.err.splitlines() if not line.startswith("  ")]
    assert [line.split(": ")[1] for line in lines[::2]] == [
        str(tmp_path / "broken.mp4"),
        str(tmp_path / "none.mp4"),
    ]
    assert lines[1].startswith(f"{out / 'talk.matte.mov'}: 12 frames")


def test_a_setting_that_one_of_many_clips_cannot_have_is_a_failure(
    talk: Path, tmp_path: Path
) -> None:
    """Alone it is a wrong request (2); among others it is one clip that failed (1)."""
    short = make(tmp_path / "short.mov", Recipe(size=SMALL, pts=(0, 1)))
    wish = ("--range", "0.3..")
    call("matte", short, *wish, "-o", tmp_path / "a.mov").refuses(2, "after the clip ends")
    result = call("matte", short, talk, *wish, "--out-dir", tmp_path / "out")
    assert result.code == 1 and entries(tmp_path / "out") == ["talk.matte.mov"]


def test_outputs_are_named_after_inputs(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shots = pictures(tmp_path / "shots.v2")
    names = {
        (str(talk),): "talk.matte.mov",
        (str(talk), "--format", "h264"): "talk.matte.mp4",
        (str(talk), "--format", "png"): "talk.matte",
        (str(talk), "--format", "fill-key"): "talk.matte.fill.mov talk.matte.key.mov",
        ("shots.v2",): "shots.v2.matte.mov",
        ("shots.v2/shot_%04d.png",): "shot.matte.mov",
        ("shots.v2/../shots.v2/",): "shots.v2.matte.mov",
    }
    for number, (arguments, wanted) in enumerate(names.items()):
        folder = tmp_path / f"out{number}"
        assert call("matte", *arguments, "--out-dir", folder, "--quiet").code == 0
        assert " ".join(entries(folder)) == wanted
    monkeypatch.chdir(shots)
    assert call("matte", ".", "--quiet").code == 0 and "shots.v2.matte.mov" in entries(shots)


def test_a_folder_of_videos_is_its_videos(talk: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("b.mov", "a.MOV", ".hidden.mov", "notes.txt", "cover.png"):
        (folder / name).write_bytes(talk.read_bytes())
    result = call("matte", folder, "--out-dir", tmp_path / "out", "--quiet")
    assert result.code == 0 and entries(tmp_path / "out") == ["a.matte.mov", "b.matte.mov"]
    call("matte", folder, "-o", tmp_path / "one.mov").refuses(2, "one input", "--out-dir")


@pytest.mark.parametrize("name", ["", "shot_%04d.png", "shot_%d.png"])
def test_pictures_as_a_folder_or_a_pattern(name: str, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "shots")
    output = tmp_path / "shot.mov"
    assert call("matte", folder / name, "-o", output, "--rate", "23.976").code == 0
    assert times(output) == [n * Fraction(1001, 24000) for n in range(4)]


def test_requests_that_would_lose_something(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("talk.mov", "talk.mp4", "talk.matte.mov"):
        Path(name).write_bytes(talk.read_bytes())
    call("matte", "talk.mov", "talk.mp4", "-o", "x.mov").refuses(2, "one input, and 2 were named")
    call("matte", "talk.mov", "talk.matte.mov", "--overwrite").refuses(2, "an input as well")
    call("matte", "talk.mov", "-o", "x.mov", "--out-dir", ".").refuses(2, "name one of them")
    call("matte", "talk.mov", "--out-dir", "talk.mp4").refuses(2, "talk.mp4: cannot be made")
    call("matte", "talk.mov", "-o", "x.psd").refuses(2, "no format is known for '.psd'")
    assert entries(tmp_path) == ["talk.matte.mov", "talk.mov", "talk.mp4"]


# ---------------------------------------------------------------- what is printed


def test_json_holds_facts(talk: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_text("broken")
    result = call("matte", talk, tmp_path / "broken.mp4", "--out-dir", tmp_path, "--json")
    (facts,) = json.loads(result.out)
    output = tmp_path / "talk.matte.mov"
    assert result.code == 1 and facts["outputs"] == [str(output)]
    assert facts["source"] == str(talk) and facts["format"] == "prores"
    with av.open(str(output)) as clip:
        stream = clip.streams.video[0]
        assert facts["frames"] == stream.frames == 12
        assert facts["size"] == [stream.width, stream.height]
        assert Fraction(facts["rate"]) == stream.average_rate == 25
        assert facts["timecode"] == stream.metadata["timecode"] == "10:00:00:00"
        # Decoders give ProRes 4444 at 12 bits, whatever was encoded.
        assert facts["pixels"] == stream.codec_context.pix_fmt.replace("12", "10")
        assert facts["audio"] == [f"{clip.streams.audio[0].codec_context.name} copied"]
    assert facts["bytes"] == output.stat().st_size
    assert {"decode", "convert", "network", "edges", "encode"} <= set(facts["stages"])
    assert 0 < max(facts["stages"].values()) <= facts["seconds"] < 60
    assert facts["engine"].startswith("stand-in at 128x96 on test 1 (CPU, f32)")
    assert facts["damage"] == []


def test_json_of_nothing(tmp_path: Path) -> None:
    result = call("matte", tmp_path / "none.mp4", "--json")
    assert result.code == 1 and json.loads(result.out) == []


def test_quiet_prints_nothing_unless_something_is_wrong(talk: Path, tmp_path: Path) -> None:
    result = call("matte", talk, "-o", tmp_path / "talk.mov", "--quiet")
    assert (result.code, result.out, result.err) == (0, "", "")
    call("matte", talk, "-o", tmp_path / "talk.mov", "--quiet").refuses(1, "exists already")


def test_debug_shows_where(tmp_path: Path) -> None:
    result = call("matte", tmp_path / "none.mp4", "--debug")
    assert "Traceback" in result.err and result.err.splitlines()[-1].startswith("mattecast: ")


def test_small_commands(talk: Path, tmp_path: Path) -> None:
    assert "64x48" in call("probe", talk).out
    call("probe", tmp_path / "none.mov").refuses(1, "no such file")
    call("probe", talk, "--format", "psd").refuses(2, "psd")
    output = tmp_path / "talk.mov"
    assert call("matte", talk, "-o", output).code == 0
    assert call("check", output).code == 0
    call("check", tmp_path / "none.mov").refuses(1, "none.mov")
    result = call("doctor")
    assert result.code == 0 and "engine: stand-in" in result.out


def test_doctor_reports_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise ImportError("no openvino")

    monkeypatch.setattr("mattecast.engines.load", fails)
    result = call("doctor")
    assert result.code == 1
    assert re.search("error +engine: no openvino.*pip install", result.out)


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """Linux allows any byte in a name; printing it must not fail."""
    source = Path(os.fsdecode(bytes(tmp_path) + b"/\xff.mp4"))
    try:
        make(source, Recipe(size=SMALL, pts=(0, 1)))
    except OSError:
        pytest.skip("this file system takes text only")
    assert "\\udcff.mp4" in call("probe", source).out
    result = call("matte", source, "--out-dir", tmp_path / "out", "--json")
    assert result.code == 0 and json.loads(result.out)[0]["source"] == str(source)


# ---------------------------------------------------------------- pipes and terminals


def test_stdout_closed_early(talk: Path, tmp_path: Path) -> None:
    """As with `| head`: whoever read has seen enough, and no traceback says so."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        process = start("probe", talk, stdout=closed)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 141 and err == ""


def test_stdout_full(talk: Path) -> None:
    with open("/dev/full", "w") as full:
        process = start("probe", talk, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err == "mattecast: standard output: no space left on device\n"


def test_no_stdout_at_all(talk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    from mattecast.commands.cli import main

    assert main(["probe", str(talk)]) == 0


def test_progress_on_a_terminal(tmp_path: Path) -> None:
    """A real process on a terminal shows frames a second, time left and the limiting stage."""
    recipe = Recipe(codec="mjpeg", pixels="yuvj420p", size=SMALL, options=(), pts=tuple(range(150)))
    source = make(tmp_path / "long.mp4", recipe)
    master, slave = pty.openpty()
    process = start("matte", source, "-o", tmp_path / "long.mov", stdout=None, stderr=slave)
    os.close(slave)
    shown = _read(master, process)
    assert process.returncode == 0, shown
    assert re.search(r"long\.mp4 +\d+% \d+/150 \[00:\d\d<.*frames/s, limited by \w+\]", shown)
    # The line is wiped out at the end, and the result stays.
    assert f"{tmp_path / 'long.mov'}: 150 frames" in shown.rpartition("\r")[2].replace("\n", "")


def _read(master: int, process: subprocess.Popen[str]) -> str:
    """All a process says to its terminal; a line that was drawn over is kept."""
    text, end = b"", time.monotonic() + 60
    while time.monotonic() < end:
        if select.select([master], [], [], 0.1)[0]:
            try:
                text += os.read(master, 4096)
            except OSError:  # the other side is closed
                break
    process.wait(timeout=30)
    os.close(master)
    return text.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("columns", [20, 60])
def test_progress_fits_a_narrow_terminal(
    columns: int, talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that folds cannot be drawn over: the terminal would fill with halves of it."""
    real = StandIn.step

    def slow(engine: StandIn, picture: object) -> object:
        time.sleep(0.03)
        return real(engine, picture)

    monkeypatch.setattr(StandIn, "step", slow)
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, columns))
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        from mattecast.commands.cli import main

        assert main(["matte", str(talk), "-o", str(tmp_path / "talk.mov")]) == 0
        terminal.flush()
        shown = os.read(master, 100_000).decode()
    os.close(master)
    lines = [line.split("\n")[0] for line in shown.split("\r") if line.startswith("talk.mov")]
    assert len(lines) >= 2 and all(len(line) <= columns for line in lines)


class Nobody(StandIn):
    """A network that finds only a trace."""

    def step(self, picture: np.ndarray) -> np.ndarray:
        return np.full(self.info.size[::-1], 0.2, np.float32)


@pytest.mark.parametrize("network", [Nobody, StandIn])
def test_a_clip_without_anybody_is_said(
    network: type[StandIn], talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mattecast.engines.load", lambda spec, size, **_: network(size))
    result = call("matte", talk, "-o", tmp_path / "out.mov", "--json")
    assert result.code == 0 and json.loads(result.out)[0]["nobody"] == (network is Nobody)
    said = [line for line in result.err.splitlines() if "nobody found" in line]
    assert len(said) == (network is Nobody)


class Slow(StandIn):
    def step(self, picture: np.ndarray) -> np.ndarray:
        time.sleep(0.03)
        return super().step(picture)


def test_piped_runs_say_now_and_then_how_far_they_are(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mattecast.engines.load", lambda spec, size, **_: Slow(size))
    monkeypatch.setattr("mattecast.commands.matte._FIRST_LINE", 0.05)
    line = re.compile(
        r"talk\.mov: (\d+) of 12 frames, \d+\.\d fps, \d:\d\d left, limited by network"
    )
    result = call("matte", talk, "-o", tmp_path / "out.mov", "--json")
    done = [int(match[1]) for match in map(line.fullmatch, result.err.splitlines()) if match]
    assert 2 <= len(done) < 12 and done == sorted(set(done))
    assert json.loads(result.out)[0]["frames"] == 12
    result = call("matte", talk, "-o", tmp_path / "b.mov", "--json", "--quiet")
    assert result.code == 0 and result.err == "" and json.loads(result.out)
