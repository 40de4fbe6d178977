"""The scripts inside Resolve, against a stand-in of its calls; `mattecast` itself is the real one.

Resolve cannot run here. The Lua script runs in a real LuaJIT.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path, PureWindowsPath

import av
import numpy as np
import pytest
from commands import call, start
from resolve_standin import Application, Clip, Edition, Handle, Lua, Pool, Timeline

from mattecast.errors import OutputError
from mattecast.hosts.resolve.exchange import Exchange, lua, plain_name, unpacked
from mattecast.hosts.resolve.plugin import PLUGIN, background, command
from mattecast.hosts.resolve.request import Request
from mattecast.hosts.resolve.service import serve
from mattecast.hosts.resolve.shots import shots_of

BITS = 6
SETTINGS = 'handles = 3\nmatte = ["--whole-picture", "--detail", "fast"]\n'


def coded(path: Path, *, rate: str = "25", frames: int = 30, timecode: str = "") -> Path:
    """A clip in which every picture holds its number in black and white. One that is there stays,
    so that its mattes are taken again."""
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(rate), options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        if timecode:
            file.metadata["timecode"] = timecode
        for number in range(frames):
            picture = np.full((64, 96, 3), 90, np.uint8)
            for bit in range(BITS):
                picture[24:40, 16 * bit : 16 * bit + 16] = 230 if number >> bit & 1 else 20
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode(None))
    return path


def numbers(path: Path) -> list[int]:
    """The numbers that the pictures of a matte hold."""
    with av.open(str(path)) as file:
        pictures = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    return [
        sum((picture[32, 16 * bit + 8, 0] > 128) << bit for bit in range(BITS))
        for picture in pictures
    ]


@pytest.fixture
def exchange(tmp_path, monkeypatch):
    """The folder of the exchange, with a name that shells and Lua must get through."""
    return furnished(tmp_path / "a folder 'ü' & $HOME", monkeypatch)


def furnished(folder: Path, monkeypatch) -> Path:
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    (folder / "settings.toml").write_text(SETTINGS)
    monkeypatch.setenv("MATTECAST_RESOLVE", str(folder))
    return folder


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A program that waits for requests all the time, and the folder of the exchange."""
    folder = tmp_path_factory.mktemp("service") / "a folder 'ü' & $HOME"
    folder.mkdir()
    with serving(folder):
        yield folder


@pytest.fixture
def served(service, monkeypatch):
    """The folder in which the program that waits is asked."""
    return furnished(service, monkeypatch)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Clips of several rates, in a folder with a name that is hard to quote."""
    return tmp_path_factory.mktemp("clips") / "Fußball & 'Söhne' \"x\" $1"


def scripts(folder: Path) -> Path:
    assert call("hosts", "build", "resolve", "--into", folder).code == 0
    return folder / "mattecast"


class Runs:
    """Runs an entry of the menu, in Lua or in Python, and gives what it printed."""

    def __init__(self, language: str, folder: Path) -> None:
        self.language, self.folder, self.start = language, scripts(folder), []

    def __call__(self, app: Application, what: str = "selected", capsys=None) -> list[str]:
        if self.language == "lua":
            names = {"selected": "the selected clips", "track": "the clips of this track"}
            name = names.get(what, "all clips of this colour")
            return Lua(app).run(self.folder / f"Matte {name}.lua")
        spec = importlib.util.spec_from_file_location("script", self._python())
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        said = []
        script.resolve, script.say, script.POLL = Handle(app), said.append, 0.05
        script.START = self.start or script.START
        script.main([what])
        return [f"mattecast: {line}" for line in said]

    def _python(self) -> Path:
        return next(self.folder.glob("*.py"))


slow = pytest.mark.slow
BOTH = pytest.mark.parametrize("language", ["lua", "python"])


@pytest.fixture
def starting(language, exchange, tmp_path):
    """A script that starts the program itself."""
    if language == "lua":
        pytest.importorskip("lupa.luajit21")
    return Runs(language, tmp_path / "scripts")


@pytest.fixture(params=["lua", pytest.param("python", marks=slow)])
def run(request, served, tmp_path):
    """Both scripts, one after the other, with a program that waits for them."""
    if request.param == "lua":
        pytest.importorskip("lupa.luajit21")
    made = Runs(request.param, tmp_path / "scripts")
    made.start = [sys.executable, "-c", ""]
    for script in made.folder.glob("*.lua"):
        script.write_text(re.sub(r"local START = .*", "local START = ':'", script.read_text()))
    return made


@pytest.fixture
def run_lua(served, tmp_path):
    """The script in Lua, in the free edition, which may start no program."""
    pytest.importorskip("lupa.luajit21")
    return Runs("lua", tmp_path / "scripts")


def check_mattes(timeline: Timeline, track: int = 1) -> int:
    """Every matte shows the frames that its clip shows; return how many there are."""
    found = 0
    for number, items in enumerate(timeline.tracks, 1):
        for matte in items if number > track else ():
            if not matte.clip or ".matte." not in matte.clip.GetName():
                continue
            below = next(each for each in timeline.tracks[track - 1] if each.start == matte.start)
            held = numbers(Path(matte.clip.GetClipProperty("File Path")))
            assert matte.length == below.length
            for record in range(matte.start, matte.start + matte.length):
                assert held[matte.shows(record)] == below.shows(record)
            assert matte.clip.GetClipProperty("Alpha mode") == "Straight"
            found += 1
    return found


@BOTH
def test_a_clip_gets_its_matte(starting, clips):
    run, edition = starting, Edition()
    path = coded(clips / "25.mov", timecode="10:00:00:00")
    timeline = Timeline(edition)
    clip = Clip(edition, path, **{"Data Level": "Full", "Input Color Space": "S-Log3"})
    item = timeline.put(clip, at=40, length=9, first=Fraction(11, 25))
    timeline.put(Clip(edition, None), at=30, length=30, track=2)  # a title
    item.look["ZoomX"], item.grade = 1.5, "warm"
    app = Application(timeline)
    said = run(app)
    assert check_mattes(timeline) == 1, said
    matte = timeline.tracks[2][0]
    assert matte.look["ZoomX"] == 1.5 and matte.grade == "warm" and matte.colour == "Lime"
    assert said[-1] == "mattecast: laid 1 matte"
    assert matte.clip.GetClipProperty("Input Color Space") == "S-Log3"
    assert matte.clip.GetClipProperty("Data Level") == "Full"
    assert app.project.pool.current.name == "Master"
    assert "there already" in run(app)[-1] and check_mattes(timeline) == 1


@pytest.mark.parametrize(
    "clip, line, first, length",
    [
        ("24000/1001", "23.976", "7007/24000", 12),
        ("50", "25", "6/25", 7),
        ("24", "25", "9/25", 11),
        pytest.param("25", "25", "0", 30, marks=slow),
        pytest.param("30000/1001", "29.97", "6006/30000", 10, marks=slow),
        pytest.param("60000/1001", "29.97", "5005/30000", 9, marks=slow),
        pytest.param("60000/1001", "59.94", "5005/60000", 9, marks=slow),
        pytest.param("25", "50", "7/50", 20, marks=slow),
        pytest.param("24000/1001", "24", "7/24", 20, marks=slow),
    ],
)
def test_frames_lie_above_themselves_at_all_rates(run_lua, clips, clip, line, first, length):
    edition = Edition(studio=False)
    path = coded(clips / f"{clip.replace('/', '_')} in {line}.mov", rate=clip, frames=40)
    timeline = Timeline(edition, rate=line, start=107892)
    timeline.put(Clip(edition, path), at=10, length=length, first=Fraction(first))
    said = run_lua(Application(timeline))
    assert check_mattes(timeline) == 1, said


@pytest.mark.parametrize("major", [18, pytest.param(19, marks=slow)])
def test_older_versions(run, clips, major):
    edition = Edition(major=major, fractions=False)
    timeline = Timeline(edition)
    path = coded(clips / "talk.mov")
    timeline.put(Clip(edition, path), at=0, length=8, first=Fraction(4, 25))
    said = run(Application(timeline))
    assert check_mattes(timeline) == 1, said


def test_parts_of_frames_that_a_version_does_not_take_are_told(run, clips):
    edition = Edition(fractions=False)
    path = coded(clips / "24.mov", rate="24")
    timeline = Timeline(edition)
    timeline.put(Clip(edition, path), at=0, length=8, first=Fraction(5, 25))
    said = run(Application(timeline))
    assert len(timeline.tracks[1]) == 1 and any("off by less than a frame" in each for each in said)


def test_clips_of_a_colour_and_of_a_track(run, served, clips, tmp_path):
    (served / "settings.toml").write_text(
        SETTINGS.replace("3", '"all"') + f"folder = '{tmp_path}'\n"
    )
    edition = Edition()
    clip = Clip(edition, coded(clips / "many.mov"))
    timeline = Timeline(edition)
    one, two, three = (
        timeline.put(clip, at=10 * n, length=6, first=Fraction(n, 25)) for n in range(3)
    )
    one.colour, three.flags, two.flags = "Teal", ["Red"], ["Blue"]
    app = Application(timeline)
    timeline.current = one
    run(app, "colour")
    assert check_mattes(timeline) == 1
    timeline.marks = {"in": 12, "out": 25}
    assert check_mattes(timeline) == 1
    assert "2 mattes" in run(app, "track")[-1]
    assert check_mattes(timeline) == 3 and len(timeline.tracks) == 2
    assert len(list(tmp_path.glob("*.mov"))) == 1, "whole clips are matted once"


def lay(timeline: Timeline, clip: Clip | None, **more) -> Application:
    item = timeline.put(clip, at=0, length=more.pop("length", 5), first=more.pop("first", 0))
    for name, value in more.items():
        setattr(item, name, value)
    return Application(timeline)


@pytest.mark.parametrize(
    "attributes, item, line",
    [
        ({"File Path": ""}, {}, "has no file of its own"),
        ({"File Path": "/nowhere/talk.mov"}, {}, "is offline"),
        ({"File Path": "/nowhere/talk_[001-100].png"}, {}, "numbered pictures"),
        ({"FPS": "12"}, {}, "clip attributes"),
        ({"FPS": ""}, {}, "no frame rate"),
        ({"Frames": "12"}, {}, "subclip"),
        ({}, {"speed": 50.0}, "speed is 50 %"),
        ({}, {"speed": -100.0}, "speed is -100 %"),
        ({}, {"kind": "generator"}, "a generator"),
        ({}, {"length": 40}, "after the end"),
        ({}, {"first": Fraction(1, 50)}, "between two frames"),
    ],
)
def test_what_cannot_be_matted_is_refused(exchange, clips, tmp_path, attributes, item, line):
    edition = Edition()
    path = coded(clips / "talk.mov")
    app = lay(Timeline(edition), Clip(edition, path, **attributes), **item)
    shots, lines = shots_of(asked(app, tmp_path))
    assert not shots and len(lines) == 1 and line in lines[0]


def asked(app: Application, folder: Path) -> Request:
    """What the script in Python asks for."""
    script, timeline = load(scripts(folder / "asked")), Handle(app.project.timeline)
    pieces = [script.facts(*script.at_playhead(timeline))]
    rate = timeline.GetSetting("timelineFrameRate")
    found = {"form": 1, "ticket": "7", "clips": pieces, "tracks": script.tracks(timeline)}
    return Request.of({**found, "rate": rate})


def test_a_rounded_offset_is_a_whole_frame(exchange, clips, tmp_path):
    edition = Edition()
    timeline = Timeline(edition, rate="29.97")
    app = lay(timeline, Clip(edition, coded(clips / "30.mov", rate="30")), first=Fraction(6, 30))
    request = asked(app, tmp_path)
    rounded = replace(request.pieces[0], left=Fraction("5.994"))
    (shot,), lines = shots_of(replace(request, pieces=(rounded,)))
    assert shot.first == shot.start == Fraction(6, 30) and not lines


@pytest.mark.parametrize("major", [18, 19])
def test_a_speed_that_an_old_version_does_not_tell(exchange, clips, tmp_path, major):
    edition = Edition(major=major)
    clip = Clip(edition, coded(clips / "talk.mov"))
    app = lay(Timeline(edition), clip, speed=200.0, length=10)
    shots, lines = shots_of(asked(app, tmp_path))
    assert not shots and "its speed was changed" in lines[0]


def test_frames_that_an_old_version_does_not_tell(exchange, clips, tmp_path):
    edition = Edition(major=18)
    app = lay(Timeline(edition), Clip(edition, coded(clips / "24.mov", rate="24")))
    shots, lines = shots_of(asked(app, tmp_path))
    assert not shots and "before 19.0.2" in lines[0]


def test_a_refused_clip_keeps_no_other_from_its_matte(run, clips):
    edition = Edition()
    timeline = Timeline(edition)
    clip = Clip(edition, coded(clips / "talk.mov"))
    app = lay(timeline, clip)
    timeline.put(Clip(edition, None), at=50, length=8)
    timeline.selected = list(timeline.tracks[0])
    said = run(app)
    assert check_mattes(timeline) == 1 and sum("no file of its own" in each for each in said) == 1
    timeline.selected = timeline.tracks[0][1:]
    before = app.state()
    assert "laid nothing" in run(app)[-1] and app.state() == before


FAILURES = pytest.mark.parametrize(
    "fails, line",
    [
        ("ImportMedia", "could not be imported"),
        ("AppendToTimeline", "did not take"),
        ("AddTrack", "track could not be added"),
    ],
)


@FAILURES
def test_the_script_in_python_takes_back_what_it_has_laid(exchange, clips, tmp_path, fails, line):
    edition, path = Edition(), coded(clips / "talk.mov")
    timeline = Timeline(edition)
    app = lay(timeline, Clip(edition, path))
    timeline.put(Clip(edition, path), at=10, length=5)
    script = load(scripts(tmp_path / "scripts"))
    common = {"path": str(path), "length": 5, "alpha": "Straight", "colour": ""}
    places = [
        {**common, "clip": n, "first": 0, "last": 5, "record": 90000 + 10 * n - 10, "track": n + 1}
        for n in (1, 2)
    ]
    project, shown = Handle(app.project), Handle(timeline)
    before, count = app.state(), []
    real = getattr(Timeline if fails == "AddTrack" else Pool, fails)

    def second_fails(self, *given):
        count.append(given)
        edition.fails = {fails} if len(count) == 2 or fails == "ImportMedia" else set()
        return real(self, *given)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(script.Stop, match=line):
        patch.setattr(Timeline if fails == "AddTrack" else Pool, fails, second_fails)
        if fails == "AppendToTimeline":
            places[1]["record"] = 90000 + 3  # it lies on top of another piece
            places[1]["track"] = 2
        script.Layer(project, shown).lay_all(script.items(shown), places)
    assert app.state() == before and count
    edition.fails = set()
    places[1] |= {"record": 90010, "track": 2}
    script.Layer(project, shown).lay_all(script.items(shown), places)
    assert [len(track) for track in timeline.tracks] == [2, 2]


@FAILURES
def test_what_resolve_refuses_leaves_everything_as_it_was(run, clips, fails, line):
    edition = Edition(fails={fails})
    app = lay(Timeline(edition), Clip(edition, coded(clips / "talk.mov")))
    before = app.state()
    assert line in run(app)[-1]
    assert app.state() == before


def test_an_alpha_mode_that_cannot_be_set_is_told(run, clips):
    edition = Edition(fails={"SetClipProperty"})
    app = lay(Timeline(edition), Clip(edition, coded(clips / "talk.mov")))
    assert any("Alpha Mode" in each for each in run(app))


def test_locked_and_full_tracks_are_passed_over(run, clips):
    edition = Edition()
    timeline = Timeline(edition)
    clip = Clip(edition, coded(clips / "talk.mov"))
    app = lay(timeline, clip)
    timeline.put(clip, at=3, length=5, track=2)
    timeline.put(None, at=20, length=5, track=3)
    timeline.locked = {3}
    assert "1 matte" in run(app)[-1]
    assert [len(track) for track in timeline.tracks] == [1, 1, 1, 1]


def test_nothing_there(run):
    edition = Edition()
    timeline = Timeline(edition)
    app = Application(timeline)
    assert "no clip under the playhead" in run(app)[0]
    app.project.timeline = None
    assert "no timeline is open" in run(app)[0]
    app.project = None
    assert "no project is open" in run(app)[0]


def test_marks_that_leave_nothing(run, clips):
    edition = Edition()
    app = lay(Timeline(edition), Clip(edition, coded(clips / "talk.mov")))
    assert "neither a clip colour nor a flag" in run(app, "colour")[0]
    app.project.timeline.marks = {"in": 50, "out": 60}
    assert "between in and out" in run(app, "track")[0]


def test_a_failed_run_is_told_in_its_own_line(run_lua, served, clips):
    run, exchange = run_lua, served
    edition = Edition(studio=False)
    app = lay(Timeline(edition), Clip(edition, coded(clips / "talk.mov")))
    before = app.state()
    (exchange / "settings.toml").write_text('matte = ["--no-such-option"]')
    assert any("--no-such-option" in each for each in run(app))
    (exchange / "settings.toml").write_text('matte = ["--format", "png"]')
    assert any("a format of pictures" in each for each in run(app))
    (exchange / "settings.toml").write_text("handles = -1")
    assert "handles = -1" in run(app)[-1]
    (exchange / "settings.toml").write_text('folder = "talk.mov"')
    assert any("talk.mov: cannot be made" in each for each in run(app))
    assert app.state() == before


def test_a_program_that_is_gone(exchange, clips, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone" / "python"))
    run = Runs("python", tmp_path / "scripts")
    monkeypatch.undo()
    edition = Edition()
    app = lay(Timeline(edition), Clip(edition, coded(clips / "talk.mov")))
    assert "hosts install resolve" in run(app)[-1]


@contextmanager
def serving(exchange):
    """`mattecast hosts serve resolve`, as the user of the free edition starts it."""
    with start("hosts", "serve", "resolve", "--folder", exchange) as program:
        try:
            yield program
        finally:
            program.send_signal(signal.SIGINT)
            program.communicate(timeout=30)


def test_the_free_edition_writes_and_reads_as_it_may(run_lua, clips):
    edition = Edition(studio=False)
    app = lay(Timeline(edition), Clip(edition, coded(clips / "talk.mov")))
    said = run_lua(app)
    assert check_mattes(app.project.timeline) == 1, said
    edition.fails = {"writefile"}
    assert "cannot write" in run_lua(app)[-1]


def test_pieces_of_a_clip_that_touch_share_a_matte(run, clips):
    edition = Edition()
    timeline = Timeline(edition)
    clip = Clip(edition, coded(clips / "pieces.mov", frames=60))
    for at, first in ((0, 5), (5, 13), (10, 3), (15, 50)):
        timeline.put(clip, at=at, length=5, first=Fraction(first, 25))
    timeline.selected = list(timeline.tracks[0])
    said = run(Application(timeline))
    assert check_mattes(timeline) == 4, said
    assert len({item.clip.id for item in timeline.tracks[1]}) == 2
    timeline.selected = [timeline.tracks[1][0]]
    assert any("is a matte already" in line for line in run(Application(timeline)))


def test_the_free_edition_says_how_to_start_the_program(exchange, clips, tmp_path):
    pytest.importorskip("lupa.luajit21")
    run_lua = Runs("lua", tmp_path / "scripts")
    script = run_lua.folder / "Matte the selected clips.lua"
    script.write_text(script.read_text().replace("PATIENCE = 120", "PATIENCE = 3"))
    edition = Edition(studio=False)
    app = lay(Timeline(edition), Clip(edition, coded(clips / "talk.mov")))
    said = run_lua(app)
    assert "run `mattecast hosts serve resolve`" in said[0] and "is not running" in said[-1]


def test_cancel(exchange, clips, tmp_path):
    edition = Edition()
    path = coded(clips / "cancel.mov", frames=60)
    app = lay(Timeline(edition), Clip(edition, path), length=60)
    script = load(scripts(tmp_path / "scripts"))
    pieces = [script.facts(*script.at_playhead(Handle(app.project.timeline)))]
    asked = {"form": 1, "ticket": "7", "clips": pieces, "tracks": [], "rate": "25"}
    script.write("request.lua", asked)
    with serving(exchange):
        wait_for(lambda: (script.read() or {}).get("state") == "working")
        script.write("cancel.lua", {"ticket": "7"})
        wait_for(lambda: script.read()["state"] != "working")
    assert script.read()["state"] == "cancelled"
    assert not list((clips / "mattecast").glob("cancel*"))
    assert Exchange(exchange).take() is None


def test_a_stopped_program_says_so(exchange, clips, tmp_path):
    edition = Edition()
    app = lay(Timeline(edition), Clip(edition, coded(clips / "stopped.mov", frames=60)), length=60)
    script = load(scripts(tmp_path / "scripts"))
    script.START, said = [sys.executable, "-c", ""], []
    script.resolve, script.POLL, script.LINE = Handle(app), 0.02, 0
    with start("hosts", "serve", "resolve", "--folder", exchange) as program:
        script.say = lambda line: (said.append(line), ": " in line and program.terminate())
        script.main(["selected"])
        program.communicate(timeout=30)
    assert "the program was stopped" in said[-1]


def load(folder: Path):
    spec = importlib.util.spec_from_file_location("script", next(folder.glob("*.py")))
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


def wait_for(test, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_scripts_of_another_version_are_told(run, clips):
    edition = Edition()
    app = lay(Timeline(edition), Clip(edition, coded(clips / "talk.mov")))
    for script in run.folder.iterdir():
        text = script.read_text().replace("form = 1", "form = 0").replace('"form": 1', '"form": 0')
        script.write_text(text)
    assert "different versions" in run(app)[-1]


def test_a_clip_that_moves_meanwhile_gets_no_matte(served, clips, tmp_path):
    edition = Edition()
    app = lay(Timeline(edition), Clip(edition, coded(clips / "talk.mov")))
    script = load(scripts(tmp_path / "scripts"))
    said = []
    script.resolve, script.POLL = Handle(app), 0.02
    script.START = [sys.executable, "-c", ""]

    def say(line):
        said.append(line)
        app.project.timeline.tracks[0][0].start += 1

    script.say = say
    script.main(["selected"])
    assert "was changed meanwhile" in said[-1] and len(app.project.timeline.tracks) == 1


def test_another_timeline_may_be_open_meanwhile(served, clips, tmp_path):
    edition = Edition()
    timeline, other = Timeline(edition), Timeline(edition)
    app = lay(timeline, Clip(edition, coded(clips / "talk.mov")))
    script = load(scripts(tmp_path / "scripts"))
    script.resolve, script.POLL = Handle(app), 0.02
    script.START = [sys.executable, "-c", ""]
    script.say = lambda line: app.project.SetCurrentTimeline(other)
    script.main(["selected"])
    assert check_mattes(timeline) == 1
    assert app.project.timeline is other and other.tracks == [[]]


def test_command_lines_of_all_systems(tmp_path):
    """The rules of cmd.exe and of sh; the latter is asked for real."""
    words = command("C:/Users/Jo & Co/exchange", "C:\\Program Files\\Python\\python.exe", "win32")
    assert background(words, "win32").startswith(
        'start "mattecast" /b "C:\\Program Files\\Python\\pythonw.exe" "-m" "mattecast" "hosts"'
    )
    assert background(words, "win32").endswith('"--folder" "C:/Users/Jo & Co/exchange"')
    odd = tmp_path / 'it\'s "odd" $HOME `x` ü;&'
    odd.mkdir()
    script = "import pathlib, sys; pathlib.Path(sys.argv[1], 'there').write_text('')"
    subprocess.run(
        background([sys.executable, "-c", script, str(odd)]), shell=True, check=True, timeout=30
    )
    wait_for((odd / "there").exists)


def test_what_the_two_sides_write_is_read(tmp_path):
    luajit21 = pytest.importorskip("lupa.luajit21")
    text = 'C:\\x\ny "ü" \udcff\x7f'
    made = {"text": text, "list": [1, 2.5, True, "a"], "none": None, "9 x": {}}
    back = luajit21.LuaRuntime(encoding="latin-1").execute(f"return {lua(made)}")
    assert back["text"].encode("latin-1").decode("utf-8", "surrogateescape") == text
    assert list(back["list"].values()) == [1, 2.5, True, "a"] and back["none"] is None
    packed = b'{\n\t["mattecast"] = "%7B%22ticket%22%3A%22%C3%BC%22%7D.",\n}'
    assert unpacked(packed) == {"ticket": "ü"}
    for end in range(len(packed) - 5):
        assert unpacked(packed[:end]) is None
    assert unpacked(b'mattecast = "%5B1%5D."') is None


def test_requests_that_nobody_waits_for_any_more(exchange):
    (exchange / "request.lua").write_text('{ mattecast = "%7B%7D." }')
    assert Exchange(exchange).take() == {} and Exchange(exchange).take() is None
    (exchange / "request.lua").write_text('{ mattecast = "%7B%7D." }')
    os.utime(exchange / "request.lua", (1, 1))
    assert Exchange(exchange).take() is None and not (exchange / "request.lua").exists()


def test_a_mistake_of_ours_is_answered_too(exchange, monkeypatch):
    def wrong(asked):
        raise RuntimeError("oh")

    monkeypatch.setattr(Request, "of", wrong)
    (exchange / "request.lua").write_text('{ mattecast = "%7B%22ticket%22%3A%227%22%7D." }')
    said = []
    serve(Exchange(exchange), said.append, once=True)
    answer = json.loads((exchange / "answer.json").read_text())
    assert answer["ticket"] == "7" and answer["state"] == "failed"
    assert "RuntimeError: oh" in answer["message"] and said == [answer["message"]]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    call("hosts", "serve", "resolve", "--once", "--folder", tmp_path / "file").refuses(1, "file")


def test_names_that_lua_on_windows_can_open():
    assert plain_name(Path("/home/ü"), "linux") == "/home/ü"
    assert plain_name(PureWindowsPath("C:\\Users\\me"), "win32") == "C:/Users/me"
    for name in ("C:\\Users\\José", "C:\\100%"):
        with pytest.raises(OutputError, match="MATTECAST_RESOLVE"):
            plain_name(PureWindowsPath(name), "win32")


def test_installed_where_resolve_looks(tmp_path, monkeypatch, exchange):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "not installed" in call("hosts", "check", "resolve").out
    assert call("hosts", "install", "resolve").code == 0
    if sys.platform == "linux":
        folder = tmp_path / ".local/share/DaVinciResolve/Fusion/Scripts/Edit/mattecast"
        assert sorted(path.suffix for path in folder.iterdir()) == [".lua"] * 4 + [".py"]
        assert call("hosts", "check", "resolve").code == 0
        (folder / "old.lua").write_text("")
        assert "another version" in call("hosts", "check", "resolve").out
        call("hosts", "install", "resolve")
        assert not (folder / "old.lua").exists()
    (exchange / "settings.toml").write_text("handles = 'many'")
    assert "handles = 'many'" in call("hosts", "check", "resolve").out
    assert PLUGIN.serve and os.environ["MATTECAST_RESOLVE"] == str(exchange)


def test_only_plugins_that_ask_are_served():
    call("hosts", "serve", "obs").refuses(2, "nothing to serve")
