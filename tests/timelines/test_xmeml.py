"""What becomes of each thing that an xmeml timeline can hold."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from commands import call
from projects import Cut, Cutting, numbered, numbers, xmeml

FAST = ("--detail", "fast", "--smooth", "off", "--quiet")
RATE = Fraction(25)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return numbered(tmp_path_factory.mktemp("source") / "talk.mov", RATE, 45, "00:00:10:00")


@pytest.fixture
def project(source, tmp_path):
    """Writes a timeline of these cuts, with text put in and taken out by pairs."""

    def write(*cuts: Cut, items: str = "", changes: tuple[tuple[str, str], ...] = ()) -> Path:
        text = xmeml(Cutting(source, RATE, cuts, 90000, 250, 45), items)
        for old, new in changes:
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "cut.xml"
        path.write_text(text)
        return path

    return write


def matted(path: Path, *options: str):
    new = path.with_name("new.xml")
    result = call("timeline", path, "-o", new, *FAST, *options)
    assert result.code == 0, result.err
    root = ElementTree.fromstring(new.read_bytes())
    ids = [each.get("id") for each in root.iter("clipitem")]
    assert len(ids) == len(set(ids))
    described = [each.get("id", "") for each in root.iter("file") if len(each)]
    named = {each.get("id", "") for each in root.iter("file")}
    assert sorted(described) == sorted(named), "each file is described once"
    return root


def shown(root, item) -> list[int]:
    links = {each.get("id"): each.findtext("pathurl") for each in root.iter("file") if len(each)}
    path = Path(unquote(urlsplit(links[item.find("file").get("id")]).path))
    return numbers(path)[int(item.findtext("in")) : int(item.findtext("out"))]


def test_everything_else_stays_byte_for_byte(project, left_half):
    path = project(Cut(0, 3, 5), Cut(5, 20, 4), changes=(("TRUE<", "TRUE<!-- mine --><"),))
    matted(path)
    old, new = path.read_text(), path.with_name("new.xml").read_text()
    begin = new.index("<track>", new.index("</track>"))  # the matte's track is the second one
    end = new.index("</track>", begin) + len("</track>")
    assert (new[:begin].rstrip() + new[end:]) == old


def test_transitions_are_on_the_mattes_track_too(project, left_half):
    dissolve = (
        "<transitionitem><start>8</start><end>12</end><alignment>center</alignment>"
        "<effect><name>Dissolve</name></effect></transitionitem>"
    )
    # Beside a transition clips state -1; what they show reaches over all of it.
    path = project(
        Cut(0, 3, 12),
        Cut(8, 20, 12),
        changes=(
            ("<end>12</end>", "<end>-1</end>"),
            ("<start>8</start>", "<start>-1</start>"),
        ),
    )
    text = path.read_text()
    second = text.index('<clipitem id="clipitem-video-1">')
    path.write_text(f"{text[:second]}{dissolve}\n          {text[second:]}")
    root = matted(path)
    below, above = root.findall(".//video/track")
    tags = ["clipitem", "transitionitem", "clipitem"]
    assert [each.tag for each in below][:3] == tags == [each.tag for each in above][:3]
    for old, new in zip(below.findall("clipitem"), above.findall("clipitem"), strict=True):
        assert [old.findtext(n) for n in ("start", "end")] == [
            new.findtext(n) for n in ("start", "end")
        ]
    assert shown(root, above[0]) == list(range(3, 15))
    assert shown(root, above[2]) == list(range(20, 32))


def test_effects_are_copied_links_and_marks_are_not(project, left_half):
    path = project(
        Cut(0, 3, 5),
        changes=(
            (
                "<link>",
                "<marker><name>x</name></marker><filter><effect><effectid>basic</effectid></effect>"
                "</filter><link>",
            ),
        ),
    )
    _, above = matted(path, "--premultiplied").findall(".//video/track")
    (item,) = above.findall("clipitem")
    assert item.find("filter/effect/effectid").text == "basic"
    assert item.find("link") is None and item.find("marker") is None
    assert item.find("masterclipid") is None and item.findtext("name") == "talk matte"
    assert item.findtext("alphatype") == "black"


def test_replaced_clips_leave_their_file_to_the_sound(project, source, left_half):
    root = matted(project(Cut(0, 3, 5), Cut(5, 20, 4)), "--replace")
    (track,) = root.findall(".//video/track")
    first, second = track.findall("clipitem")
    assert shown(root, first) == list(range(3, 8)) and shown(root, second) == list(range(20, 24))
    sound = root.find(".//audio/track/clipitem/file")
    assert sound.findtext("pathurl") == source.as_uri()


TIMEREMAP = (
    "<filter><effect><effectid>timeremap</effectid><parameter><parameterid>speed</parameterid>"
    "<value>{}</value></parameter></effect></filter><link>"
)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("<link>", TIMEREMAP.format(50)), "is retimed to 50 %"),
        (("<alphatype>none</alphatype>", "<enabled>FALSE</enabled>"), "is switched off"),
        (("<alphatype>none</alphatype>", "<stillframe>TRUE</stillframe>"), "is a still picture"),
        (("<alphatype>none</alphatype>", "<subclipinfo/>"), "is a subclip"),
        (("<alphatype>none</alphatype>", "<sequence id='s'/>"), "is a nested sequence"),
        (("<in>3</in>", "<in/>"), "does not say when it begins and ends"),
        (("talk.mov</pathurl>", "gone.mov</pathurl>"), "has its media missing"),
        (("<pathurl>file", "<pathurl>https"), "has no media file"),
    ],
)
def test_clips_that_are_left_have_a_line_each(change, line, project, tmp_path):
    path = project(Cut(0, 3, 5), changes=(change,))
    result = call("timeline", path, "--list")
    assert result.code == 0 and f"clip 'talk' at 01:00:00:00 on V1 {line}" in result.out
    failed = call("timeline", path, "-o", tmp_path / "new.xml")
    assert failed.code == 1 and len(failed.err.splitlines()) == 2, failed.err
    assert [each.name for each in tmp_path.iterdir()] == ["cut.xml"]


def test_speed_of_100_percent_is_none(project):
    path = project(Cut(0, 3, 5), changes=(("<link>", TIMEREMAP.format(100)),))
    assert call("timeline", path, "--list").out.startswith("V1  01:00:00:00  talk: 5 frames")


def test_mixed_rates_are_taken_in_seconds(source, tmp_path):
    """A clip of 25 fps in a sequence of 50: its own frames are counted at its own rate."""
    cutting = Cutting(source, RATE, (Cut(0, 10, 5),), 90000, 250, 45)
    text = xmeml(cutting)
    head, item = text.split("<clipitem", 1)
    head = head.replace("<timebase>25", "<timebase>50")
    item = item.replace("<end>5</end>", "<end>10</end>", 1)
    path = tmp_path / "cut.xml"
    path.write_text(f"{head}<clipitem{item}")
    assert "talk: 5 frames from 00:00:10:10" in call("timeline", path, "--list").out


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('version="4"', 'version="9"', "of version '9' is not known"),
        ("sequence", "clip", "holds no sequence"),
        ("</video>", "", "is not whole XML"),
    ],
)
def test_bad_files_are_refused_in_one_line(old, new, line, project, tmp_path):
    path = project(Cut(0, 3, 5))
    path.write_text(path.read_text().replace(old, new))
    call("timeline", path, "-o", tmp_path / "new.xml").refuses(1, line)
    assert [each.name for each in tmp_path.iterdir()] == ["cut.xml"]
