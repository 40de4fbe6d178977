"""`mattecast timeline` as a command: what it takes, what it says, what it leaves behind."""

from __future__ import annotations

import json
import os
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from clips import Recipe, make
from commands import call, entries
from projects import Cut, Cutting, fcpxml, numbered, otio, xmeml

from mattecast.media.facts import Facts
from mattecast.settings import Settings
from mattecast.timelines.files import read
from mattecast.timelines.links import file_of, is_relative
from mattecast.timelines.mattes import Mattes
from mattecast.timelines.pieces import part, pieces
from mattecast.timelines.timeline import Use

FAST = ("--detail", "fast", "--smooth", "off")
RATE = Fraction(25)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return numbered(tmp_path_factory.mktemp("source") / "talk.mov", RATE, 45, "00:00:10:00")


@pytest.fixture
def cutting(source):
    cuts = (Cut(0, 3, 5, "talk"), Cut(5, 20, 4, "walk"))
    return Cutting(source, RATE, cuts, 90000, 250, 45)


@pytest.fixture
def project(cutting, tmp_path):
    path = tmp_path / "cut.fcpxml"
    path.write_text(fcpxml(cutting))
    return path


def test_json_says_what_was_done_and_a_second_run_makes_nothing(project, tmp_path, left_half):
    new = tmp_path / "new.fcpxml"
    first = call("timeline", project, "-o", new, *FAST, "--json", "--quiet")
    done = json.loads(first.out)
    assert first.code == 0 and not first.err
    assert done["clips"] == 2 and done["left"] == [] and len(done["mattes"]) == 2
    assert all(each["alpha"] == "straight" and not each["audio"] for each in done["mattes"])
    assert entries(tmp_path) == ["cut.fcpxml", "new mattes", "new.fcpxml"]
    before = new.read_bytes()
    again = call("timeline", project, "-o", new, *FAST, "--json", "--quiet", "--overwrite")
    assert all(each["reused"] for each in json.loads(again.out)["mattes"])
    assert new.read_bytes() == before
    listed = call("timeline", project, "-o", new, *FAST, "--list")
    assert "0 frames to matte, 2 parts ready" in listed.out
    made = call(
        "timeline", project, "-o", new, *FAST, "--json", "--quiet", "--overwrite", "--no-reuse"
    )
    assert not any(each["reused"] for each in json.loads(made.out)["mattes"])


def test_progress_counts_all_frames(project, tmp_path, left_half):
    result = call(
        *("timeline", project, "-o", tmp_path / "new.fcpxml", *FAST, "--handles", "2"),
        *("--quiet", "--progress", "json"),
    )
    lines = [json.loads(line) for line in result.err.splitlines()]
    assert {line["total"] for line in lines} == {9 + 8} and lines[-1]["done"] == 17
    counts = [line["done"] for line in lines]
    assert counts == sorted(counts)


@pytest.mark.parametrize("kind", [fcpxml, xmeml])
def test_two_hours_of_500_clips_are_planned_in_two_seconds(kind, source, tmp_path):
    cuts = tuple(Cut(n * 345, n % 30, 10) for n in range(500))
    project = tmp_path / "cut.xml"
    project.write_text(kind(Cutting(source, RATE, cuts, 90000, 250, 45)))
    began = time.process_time()
    mattes = Mattes(read(project), Settings(), handles=12)
    mattes.plan()
    assert len(mattes.uses) == 500 and len(mattes.pieces) == 1
    assert time.process_time() - began < 2


def test_sources_whose_rate_varies_are_matted(tmp_path, left_half):
    path = make(
        tmp_path / "phone.mp4",
        Recipe(time_base=Fraction(1, 1000), pts=tuple(n * 40 + n % 3 * 13 for n in range(40))),
    )
    project = tmp_path / "cut.fcpxml"
    project.write_text(fcpxml(Cutting(path, RATE, (Cut(0, 5, 20),), 90000, 0, 40)))
    result = call("timeline", project, "-o", tmp_path / "new.fcpxml", *FAST, "--json", "--quiet")
    assert result.code == 0, result.err
    done = json.loads(result.out)
    assert done["clips"] == 1 and done["left"] == []
    (matte,) = done["mattes"]
    assert Fraction(matte["start"]) == Fraction(5, 25)


@pytest.mark.parametrize(("only", "count"), [("walk", 1), ("W*", 1), ("V1", 2), ("v?", 2)])
def test_only_some_clips(only, count, project, tmp_path):
    out = call("timeline", project, "--list", "--only", only).out
    assert {1: "1 clip: 1 part of 1 file;", 2: "2 clips: 2 parts of 1 file;"}[count] in out


def test_a_folder_of_its_own_for_the_mattes(project, tmp_path, left_half):
    folder = tmp_path / "a" / "b"
    new = tmp_path / "new.fcpxml"
    assert call("timeline", project, "-o", new, *FAST, "--out-dir", folder).code == 0
    assert len(entries(folder)) == 2 and folder.as_uri() in new.read_text()


def test_one_clip_that_fails_stops_no_other(project, tmp_path, left_half, monkeypatch):
    from mattecast.commands import timeline as command
    from mattecast.errors import EngineError

    made = command.matte_once

    def once(source, output, settings, **more):
        if settings.range.startswith("3/25"):
            raise EngineError("no memory")
        return made(source, output, settings, **more)

    monkeypatch.setattr(command, "matte_once", once)
    new = tmp_path / "new.fcpxml"
    result = call("timeline", project, "-o", new, *FAST)
    assert result.code == 1 and "mattecast: no memory" in result.err
    assert "clip 'talk' at 01:00:00:00 on V1 was not matted" in result.err
    text = new.read_text()
    assert 'name="walk matte"' in text and 'name="talk matte"' not in text
    monkeypatch.setattr(command, "matte_once", lambda *_, **__: 1 / 0)
    again = call("timeline", project, "-o", tmp_path / "other.fcpxml", *FAST)
    assert again.code == 1
    assert entries(tmp_path) == ["cut.fcpxml", "new mattes", "new.fcpxml"]


def test_bundles_are_copied_with_all_that_is_in_them(cutting, tmp_path, left_half):
    bundle, new = tmp_path / "cut.fcpxmld", tmp_path / "new.fcpxmld"
    bundle.mkdir()
    (bundle / "Info.fcpxml").write_text(fcpxml(cutting))
    (bundle / "tracking.dat").write_bytes(b"12")
    assert call("timeline", bundle, "-o", new, *FAST).code == 0
    assert entries(new) == ["Info.fcpxml", "tracking.dat"]
    assert (new / "Info.fcpxml").read_text().count("matte.mov") == 2
    assert call("timeline", bundle, "-o", new, *FAST, "--overwrite").code == 0
    assert entries(tmp_path) == ["cut.fcpxmld", "new mattes", "new.fcpxmld"]


def test_relative_paths_stay_relative(cutting, source, tmp_path, left_half):
    link = Path(os.path.relpath(source, tmp_path)).as_posix()
    project = tmp_path / "cut.xml"
    project.write_text(xmeml(cutting).replace(source.as_uri(), link))
    assert call("timeline", project, "-o", tmp_path / "new.xml", *FAST).code == 0
    text = (tmp_path / "new.xml").read_text()
    assert "<pathurl>new%20mattes/talk." in text and "file:" not in text
    other = tmp_path / "other"
    other.mkdir()
    call("timeline", project, "-o", other / "new.xml", *FAST).refuses(2, "into the same folder")


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        ([], 2, "name the timeline to write with -o NEW"),
        (["-o", "new.otio"], 2, "name it *.fcpxml"),
        (["-o", "cut.fcpxml"], 2, "is the timeline that is read"),
        (["-o", "there.fcpxml"], 1, "exists already; --overwrite"),
        (["-o", "no/new.fcpxml"], 1, "no such folder"),
        (["-o", "new.fcpxml", "--range", "1..2"], 2, "the timeline says which parts"),
        (["-o", "new.fcpxml", "--audio"], 2, "the timeline has the sound already"),
        (["-o", "new.fcpxml", "--cfr", "24"], 2, "keep their source's rate"),
        (["-o", "new.fcpxml", "--format", "png"], 2, "mattes of a timeline are movies"),
        (["-o", "new.fcpxml", "--format", "fill-key"], 2, "mattes of a timeline are movies"),
        (["--list", "--only", "V7"], 1, "is named 'V7'; nothing is written"),
        (["--list", "--progress", "json"], 2, "--json gives the list as JSON"),
        (["-o", "new.fcpxml", "--only", "V7"], 1, "is named 'V7'; nothing is written"),
    ],
)
def test_bad_requests_leave_nothing_behind(arguments, code, line, project, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("there.fcpxml").write_text("mine")
    call("timeline", "cut.fcpxml", *arguments).refuses(code, line)
    assert entries(tmp_path) == ["cut.fcpxml", "there.fcpxml"]
    assert Path("there.fcpxml").read_text() == "mine"


def test_other_files_are_no_timelines(tmp_path):
    (tmp_path / "a.edl").write_text("TITLE: a")
    call("timeline", tmp_path / "a.edl", "--list").refuses(2, "is no timeline that is known")
    call("timeline", tmp_path / "b.otio", "--list").refuses(1, "no such file")
    (tmp_path / "c.xml").write_text("<html/>")
    call("timeline", tmp_path / "c.xml", "--list").refuses(1, "holds <html>, not <xmeml>")


def test_links_of_all_kinds():
    folder = Path("/project")
    assert file_of("file:///a%20b/c.mov", folder) == Path("/a b/c.mov")
    assert file_of("file://localhost/a/c.mov", folder) == Path("/a/c.mov")
    assert file_of("file://localhost/C%3a/c.mov", folder) == Path("C:/c.mov")
    assert file_of("media/c%20d.mov", folder) == Path("/project/media/c d.mov")
    assert file_of("/a/c.mov", folder) == Path("/a/c.mov")
    assert file_of("https://a/c.mov", folder) is None and file_of("", folder) is None
    assert [is_relative(each) for each in ("a/b.mov", "/a", "file:///a", "C:/a", "")] == [
        True,
        False,
        False,
        False,
        False,
    ]


def test_parts_that_overlap_or_touch_become_one_piece():
    facts = _facts(100)
    uses = {
        index: Use("a", "V1", "", Path("a.mov"), begin / RATE, end / RATE, Fraction(0))
        for index, (begin, end) in enumerate([(50, 60), (10, 20), (20, 30), (33, 40)])
    }
    parts = [part(index, use, facts, 1) for index, use in uses.items()]
    found = pieces(parts, uses, dict.fromkeys(uses, facts))
    assert [(each.first, each.last) for each in found] == [(49, 61), (9, 31), (32, 41)]
    assert [[one.index for one in each.parts] for each in found] == [[0], [1, 2], [3]]
    assert found[1].range == "9/25..31/25"


def _facts(frames: int) -> Facts:
    facts = object.__new__(Facts)
    for name, value in (
        ("rate", RATE),
        ("duration", frames / RATE),
        ("frames", frames),
        ("timecode", None),
        ("fields", 0),
    ):
        object.__setattr__(facts, name, value)
    return facts


@pytest.mark.parametrize("kind", [fcpxml, xmeml, otio])
def test_a_second_run_mattes_only_what_is_new(kind, cutting, tmp_path, left_half):
    if kind is otio:
        pytest.importorskip("opentimelineio", reason="OTIO needs OpenTimelineIO")
    suffix = {fcpxml: "fcpxml", xmeml: "xml", otio: "otio"}[kind]
    project, once, twice = (tmp_path / f"{name}.{suffix}" for name in ("cut", "once", "twice"))
    project.write_text(kind(cutting))
    assert call("timeline", project, "-o", once, *FAST, "--only", "talk").code == 0
    result = call("timeline", once, "-o", twice, *FAST, "--json")
    done = json.loads(result.out)
    assert result.code == 0 and done["clips"] == 1, result.err
    assert done["left"] == [
        "1 clip is a matte already, on V2: left as it is",
        "clip 'talk' at 01:00:00:00 on V1 has its matte above it: left as it is",
    ]
    new = tmp_path / f"new.{suffix}"
    again = call("timeline", twice, "-o", new, *FAST)
    assert again.code == 1 and not new.exists()
    assert "all clips that can be matted have their mattes already" in again.err


def test_a_matte_of_other_frames_is_not_the_clips_own(cutting, tmp_path, left_half):
    project, once = tmp_path / "cut.fcpxml", tmp_path / "once.fcpxml"
    project.write_text(fcpxml(cutting))
    assert call("timeline", project, "-o", once, *FAST).code == 0
    slipped = once.read_text().replace('name="talk" start="253/25s"', 'name="talk" start="254/25s"')
    once.write_text(slipped)
    out = call("timeline", once, "--list").out
    assert "clip 'walk' at 01:00:00:05 on V1 has its matte" in out
    assert "V1  01:00:00:00  talk: 5 frames from 00:00:10:04" in out


def test_the_list_as_json(project, source, tmp_path):
    result = call("timeline", project, "--list", "--json", "--progress", "json", *FAST)
    found = json.loads(result.out)
    assert result.code == 0 and not result.err
    assert found["frames"] == 9 and found["left"] == []
    assert [(each["name"], each["track"], each["at"]) for each in found["clips"]] == [
        ("talk", "V1", "01:00:00:00"),
        ("walk", "V1", "01:00:00:05"),
    ]
    first = found["clips"][0]
    assert (first["media"], first["timecode"], first["frames"]) == (str(source), "00:00:10:03", 5)
    assert first["project"] is None and not first["ready"]
    assert entries(tmp_path) == ["cut.fcpxml"]


@pytest.mark.parametrize("kind", ["fcpxml", "xml", "otio"])
def test_clips_of_several_projects_name_theirs(kind, cutting, tmp_path):
    path = tmp_path / f"cut.{kind}"
    if kind == "otio":
        pytest.importorskip("opentimelineio", reason="OTIO needs OpenTimelineIO")
        timelines = [json.loads(otio(cutting)) for _ in range(2)]
        timelines[1]["name"] = "trailer"
        path.write_text(
            json.dumps({"OTIO_SCHEMA": "SerializableCollection.1", "children": timelines})
        )
    else:
        tag = {"fcpxml": "project", "xml": "sequence"}[kind]
        text = {"fcpxml": fcpxml, "xml": xmeml}[kind](cutting)
        begin, end = text.index(f"<{tag} "), text.index(f"</{tag}>") + len(f"</{tag}>")
        second = text[begin:end].replace("cut &amp; dried", "trailer")
        gone = second.replace("<clipitem", "<enabled>FALSE</enabled><clipitem")
        path.write_text(text[:end] + (gone if kind == "xml" else second) + text[end:])
    first = "cut" if kind == "otio" else "cut & dried"
    out = call("timeline", path, "--list").out
    assert f"{first}  V1  01:00:00:00  talk: 5 frames" in out
    if kind == "xml":
        assert "clip 'talk' at 01:00:00:00 on V1 of 'trailer' is switched off" in out
    else:
        assert "trailer  V1  01:00:00:00  talk: 5 frames" in out


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is a folder where nobody can write")
def test_a_place_where_nothing_can_be_written_is_found_before_matting(project, tmp_path):
    mattes = tmp_path / "mattes"
    result = call("timeline", project, "-o", "/proc/new.fcpxml", "--out-dir", mattes, *FAST)
    result.refuses(1, "/proc/new.fcpxml: could not be written")
    assert entries(tmp_path) == ["cut.fcpxml"]


def test_what_is_alike_for_all_mattes_is_said_once(project, tmp_path, left_half):
    result = call("timeline", project, "-o", tmp_path / "new.fcpxml", *FAST)
    assert result.err.count("matte.mov: ") == 2 and result.err.count("  engine: ") == 1
    assert result.err.endswith("new.fcpxml: 2 mattes above their clips\n")
