"""What becomes of each thing that an FCPXML timeline can hold."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from commands import call
from projects import Cut, Cutting, fcpxml, numbered, numbers

from mattecast.timelines.document import parsed
from mattecast.timelines.fcpxml_mattes import rearranged
from mattecast.timelines.fcpxml_rules import faults, seconds

FAST = ("--detail", "fast", "--smooth", "off", "--quiet")
# The source's timecode begins with 00:00:10:00, the timeline with 01:00:00:00.
FIRST, START = 10, 3600


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    return numbered(folder / "talk.mov", Fraction(25), 45, "00:00:10:00")


@pytest.fixture
def project(source, tmp_path):
    """Writes a timeline of these elements; '{at}' in one is its offset. Each lasts 10 frames."""

    def write(*items: str, resources: str = "", version: str = "1.10"):
        cutting = Cutting(source, Fraction(25), (Cut(0, 0, 1),), START * 25, FIRST * 25, 45)
        text = fcpxml(cutting, version, extra=resources)
        begin, end = text.rindex("<spine>") + len("<spine>"), text.rindex("</spine>")
        clips = "\n      ".join(
            item.replace("{at}", f"{START * 25 + 10 * number}/25s")
            for number, item in enumerate(items)
        )
        path = tmp_path / "cut.fcpxml"
        path.write_text(f"{text[:begin]}\n      {clips}\n    {text[end:]}")
        return path

    return write


def clip(start: int, name: str = "talk", inside: str = "", **more: str) -> str:
    """An asset-clip of 10 frames from frame `start` on."""
    attributes = {"offset": "{at}", "tcFormat": "NDF", **more}
    named = "".join(f' {key}="{value}"' for key, value in attributes.items())
    return (
        f'<asset-clip ref="r2" name="{name}" start="{FIRST * 25 + start}/25s" duration="10/25s"'
        f"{named}>{inside}</asset-clip>"
    )


def matted(path, *options: str):
    """The root of the timeline with mattes, and what the command printed."""
    new = path.with_name("new.fcpxml")
    result = call("timeline", path, "-o", new, *FAST, *options)
    assert result.code == 0, result.err
    assert faults(parsed(new.read_bytes(), new)) == []
    return ElementTree.fromstring(new.read_bytes())


def listed(path) -> str:
    result = call("timeline", path, "--list")
    assert result.code == 0, result.err
    return result.out


def mattes(root):
    """The clips of mattes with the elements they are in."""
    found = [(each, child) for each in root.iter() for child in each]
    return [
        (a, b) for a, b in found if b.tag == "asset-clip" and b.get("name", "").endswith("matte")
    ]


def shown(root, item) -> list[int]:
    """The numbers of the frames that a clip of a matte shows."""
    (asset,) = (each for each in root.iter("asset") if each.get("id") == item.get("ref"))
    first = (seconds(item.get("start")) - seconds(asset.get("start"))) * 25
    assert first.denominator == 1
    frames = numbers(_file(root, item))
    return frames[int(first) : int(first + seconds(item.get("duration")) * 25)]


def test_the_look_of_a_clip_is_on_its_matte_too(project, left_half):
    look = (
        '<note>take 3</note><adjust-transform scale="1.2"><param name="place"><keyframeAnimation>'
        '<keyframe time="251/25s" value="0 0"/></keyframeAnimation></param></adjust-transform>'
        '<adjust-volume amount="-6dB"/>'
        '<title ref="r9" lane="1" offset="250/25s" start="0s" duration="10/25s" name="Names"/>'
        '<marker start="252/25s" duration="1/25s" value="here"/>'
        '<filter-video ref="r8" name="Tint"/><filter-audio ref="r7" name="Echo"/>'
    )
    effects = "".join(f'<effect id="r{n}" name="e{n}" uid="x"/>' for n in (7, 8, 9))
    root = matted(project(clip(0, inside=look), resources=effects))
    ((anchor, matte),) = mattes(root)
    assert [child.tag for child in matte] == ["adjust-transform", "filter-video"]
    assert matte.find(".//keyframe").get("time") == "251/25s"
    # The title still lies above; the matte comes before markers and filters.
    assert matte.get("lane") == "1" and anchor.find("title").get("lane") == "2"
    assert [child.tag for child in anchor][3:6] == ["title", "asset-clip", "marker"]
    assert shown(root, matte) == list(range(10))


def test_everything_else_stays_byte_for_byte(project, left_half):
    path = project(clip(3, inside="<!-- mine -->"), clip(20))
    matted(path)
    new = path.with_name("new.fcpxml").read_text()
    for line in path.read_text().splitlines():
        assert line.removesuffix("</asset-clip>") in new
    assert "<!-- mine -->" in new


def test_lanes_and_secondary_storylines(project, left_half):
    inside = (
        clip(5, "lower", lane="-1", offset="3600s")
        + f'<spine lane="1" offset="90002/25s">{clip(8, "b1", offset="0s")}'
        + '<transition name="Dissolve" offset="8/25s" duration="4/25s">'
        + '<filter-video ref="r8" name="Dissolve"/><filter-audio ref="r7"/></transition>'
        + clip(20, "b2", offset="10/25s")
        + "</spine>"
    )
    effects = "".join(f'<effect id="r{n}" name="e{n}" uid="x"/>' for n in (7, 8))
    gap = f'<gap name="Gap" offset="{{at}}" start="3600s" duration="30/25s">{inside}</gap>'
    root = matted(project(gap, resources=effects))
    (spine,) = (each for each in root.iter("spine") if each.get("lane") == "2")
    assert spine.get("offset") == "90002/25s"
    assert [each.tag for each in spine] == ["asset-clip", "transition", "asset-clip"]
    assert [each.get("offset") for each in spine] == ["0s", "8/25s", "10/25s"]
    assert [each.tag for each in spine[1]] == ["filter-video"]
    assert [shown(root, each) for each in (spine[0], spine[2])] == [
        list(range(8, 18)),
        list(range(20, 30)),
    ]
    lower = [each for each in root.iter("asset-clip") if each.get("name").startswith("lower")]
    assert [each.get("lane") for each in lower] == ["-2", "-1"]
    # The mattes reach as far as the transition does.
    pictures = numbers(_file(root, spine[0]))
    assert pictures[0] <= 5 and pictures[-1] >= 29


def _file(root, item) -> Path:
    (asset,) = (each for each in root.iter("asset") if each.get("id") == item.get("ref"))
    return Path(unquote(urlsplit(asset.find("media-rep").get("src")).path))


def test_clips_of_one_picture_are_matted(project, left_half):
    inner = clip(0, offset="0s").replace('duration="10/25s"', 'duration="40/25s"')
    media = (
        '<media id="m1" name="compound"><sequence format="r1" duration="40/25s" tcStart="0s">'
        f"<spine>{inner}</spine></sequence></media>"
        '<media id="m2" name="cameras"><multicam format="r1" tcStart="0s">'
        f'<mc-angle name="A" angleID="a1">{inner}</mc-angle>'
        '<mc-angle name="B" angleID="b2"><gap name="g" offset="0s" duration="40/25s"/></mc-angle>'
        "</multicam></media>"
    )
    items = (
        '<ref-clip ref="m1" name="c" offset="{at}" start="4/25s" duration="10/25s"/>',
        '<mc-clip ref="m2" name="m" offset="{at}" start="6/25s" duration="10/25s">'
        '<mc-source angleID="a1" srcEnable="video"/><mc-source angleID="b2" srcEnable="audio"/>'
        "</mc-clip>",
        f'<sync-clip name="s" offset="{{at}}" start="8/25s" duration="10/25s">{inner}'
        '<sync-source sourceID="storyline"/></sync-clip>',
        '<clip name="v" tcFormat="DF" offset="{at}" start="12/25s" duration="10/25s">'
        '<video ref="r2" offset="0s" start="250/25s" duration="40/25s"><audio lane="-1" ref="r2" '
        'offset="250/25s" duration="40/25s"/></video></clip>',
    )
    root = matted(project(*items, resources=media))
    found = mattes(root)
    assert [shown(root, matte)[0] for _, matte in found] == [4, 6, 8, 12]
    assert [anchor.get("name") for anchor, _ in found] == ["c", "m", "s", "v"]
    assert [matte.get("offset") for _, matte in found] == ["4/25s", "6/25s", "8/25s", "12/25s"]
    assert [matte.get("tcFormat") for _, matte in found] == ["NDF", "NDF", "NDF", "DF"]


LEFT = {
    "retimed": (
        '<timeMap><timept time="0s" value="0s"/><timept time="4s" value="2s"/></timeMap>',
        "is retimed to 50 %",
    ),
    "frozen": (
        '<timeMap><timept time="0s" value="11s"/><timept time="4s" value="11s"/></timeMap>',
        "is a freeze frame",
    ),
    "ramped": (
        '<timeMap><timept time="0s" value="0s"/><timept time="1s" value="1s"/>'
        '<timept time="2s" value="3s"/></timeMap>',
        "is retimed to speeds that change",
    ),
    "conformed": (
        '<conform-rate srcFrameRate="23.98"/>',
        "is played at the rate of the timeline, not at its own of 23.98",
    ),
}


@pytest.mark.parametrize("kind", LEFT)
def test_other_speeds_are_left_with_a_line(kind, project, left_half):
    inside, line = LEFT[kind]
    path = project(clip(0), clip(5, "odd", inside))
    assert f"clip 'odd' at 01:00:00:10 on V1 {line}" in listed(path)
    assert len(mattes(matted(path))) == 1


def test_what_has_no_media_of_its_own_is_left(project, tmp_path):
    still = (
        f'<asset id="s1" name="still" start="0s" duration="0s" hasVideo="1" format="r1">'
        f'<media-rep kind="original-media" src="{tmp_path.as_uri()}/a.png"/></asset>'
        f'<asset id="o1" name="gone" start="0s" duration="4s" hasVideo="1" format="r1">'
        f'<media-rep kind="original-media" src="{tmp_path.as_uri()}/gone.mov"/></asset>'
        '<asset id="a1" name="song" start="0s" duration="4s" hasAudio="1">'
        '<media-rep kind="original-media" src="file:///song.wav"/></asset>'
        '<effect id="e1" name="Clouds" uid="x"/>'
        '<media id="m1" name="nest"><sequence format="r1" duration="40/25s" tcStart="0s"><spine>'
        f"{clip(0, offset='0s')}{clip(9, offset='10/25s')}</spine></sequence></media>"
    )
    path = project(
        '<video ref="s1" name="photo" offset="{at}" start="0s" duration="10/25s"/>',
        '<asset-clip ref="o1" name="gone" offset="{at}" start="0s" duration="10/25s"/>',
        '<asset-clip ref="a1" name="song" offset="{at}" start="0s" duration="10/25s"/>',
        '<video ref="e1" name="clouds" offset="{at}" start="0s" duration="10/25s"/>',
        '<ref-clip ref="m1" name="nest" offset="{at}" start="5/25s" duration="10/25s"/>',
        clip(0, "off", enabled="0"),
        '<title ref="e1" name="Names" offset="{at}" duration="10/25s"/>',
        clip(40, "long"),
        f'<audition offset="{{at}}">{clip(0)}</audition>',
        resources=still,
    )
    lines = listed(path).splitlines()
    assert lines[0].startswith("0 clips: 0 parts of 0 files")
    assert [line.split(": left")[0] for line in lines[1:]] == [
        "clip 'photo' at 01:00:00:00 on V1 is a still picture",
        "clip 'clouds' at 01:00:01:05 on V1 is a generator",
        "clip 'nest' at 01:00:01:15 on V1 is a compound clip of several pictures; "
        "matte them in a timeline of their own",
        "clip 'off' at 01:00:02:00 on V1 is switched off",
        "clip 'audition' at 01:00:03:05 on V1 is an audition; finalise it",
        f"clip 'gone' at 01:00:00:10 on V1 has its media missing ({tmp_path}/gone.mov)",
        "clip 'long' at 01:00:02:20 on V1 shows more than talk.mov has",
        "without people to cut out, left as they are: 1 x sound, 1 x title",
    ]
    new = tmp_path / "new.fcpxml"
    result = call("timeline", path, "-o", new)
    assert result.code == 1 and "no clip shows media that can be matted" in result.err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["cut.fcpxml"]


def test_replacing_keeps_the_sound(project, left_half):
    root = matted(project(clip(3), clip(9, "mute", srcEnable="video")), "--replace")
    spine = root.find(".//spine")
    # The first one has sound: its picture is off, and the matte lies above it.
    assert spine[0].get("srcEnable") == "audio" and spine[0].get("ref") == "r2"
    assert shown(root, spine[0].find("asset-clip")) == list(range(3, 13))
    # The second one has none: it shows the matte itself.
    assert spine[1].get("ref") != "r2" and shown(root, spine[1]) == list(range(9, 19))
    assert spine[1].get("name") == "mute" and len(spine[1]) == 0


@pytest.mark.parametrize("version", ["1.8", "1.9", "1.11", "1.13"])
def test_versions_that_are_read(version, project, source, left_half):
    path = project(clip(3), version=version)
    if version == "1.8":  # it names files in assets themselves
        text = path.read_text()
        begin, end = text.index("<media-rep"), text.index("</asset>")
        link = f'format="r1" src="{source.as_uri()}"'
        text = text[:begin] + text[end:]
        path.write_text(text.replace('format="r1"\n      audio', link + "\n      audio"))
    root = matted(path)
    assets = [each for each in root.iter("asset") if each.get("id") != "r2"]
    assert (assets[0].get("src") is not None) == (version == "1.8")


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('version="1.10"', 'version="1.14"', "is newer than 1.13"),
        ('version="1.10"', 'version="1.5"', "is too old"),
        ('version="1.10"', 'version="x"', "of version 'x'"),
        ("</spine>", "", "is not whole XML"),
        ("<project ", "<other ", "is not whole XML"),
        ("project", "clip", "holds no project"),
        ("</asset-clip>", '<title lane="x"/></asset-clip>', "lane 'x' of <title> is no number"),
        ('encoding="UTF-8"', 'encoding="UTF-16"', "save it as UTF-8"),
        ("fcpxml", "otherxml", "holds <otherxml>, not <fcpxml>"),
    ],
)
def test_bad_files_are_refused_in_one_line(old, new, line, project, tmp_path):
    path = project(clip(0))
    path.write_text(path.read_text().replace(old, new))
    call("timeline", path, "-o", tmp_path / "new.fcpxml").refuses(1, line)
    assert [each.name for each in tmp_path.iterdir()] == ["cut.fcpxml"]


def test_rules_find_what_an_editor_refuses(project):
    text = project(clip(0)).read_text()
    for old, new, line in (
        ('start="250/25s" duration="10', 'start="240/25s" duration="10', "outside of its asset"),
        ('audioLayout="stereo"', 'audioLayout="quad"', "audioLayout is quad"),
        ('duration="10/25s"', 'duration="0.4s"', "not a rational time"),
        ('offset="90000/25s"', 'offset="90000/26s"', "is not on a frame"),
        ('ref="r2"', 'ref="r3"', "names asset r3"),
        ('id="r2"', 'id="r1"', "not there"),
    ):
        assert old in text
        assert any(line in each for each in faults(_node(text.replace(old, new)))), line
    late = text.replace("</asset-clip>", '<metadata/><title lane="1"/></asset-clip>')
    assert any("comes too late" in each for each in faults(_node(late)))
    assert faults(_node(text)) == []


def _node(text: str):
    return parsed(text.encode(), "cut.fcpxml")


def test_clips_on_connected_clips_are_left(project):
    inside = clip(5, "lower", clip(8, "third", lane="1", offset="255/25s"), lane="1")
    path = project(clip(0, inside=inside.replace("{at}", "250/25s")))
    assert "clip 'third' at 01:00:00:00 on V2 is connected to a connected clip" in listed(path)


def test_lanes_make_room_in_order():
    assert rearranged({1, 2, -1}, {0}) == ({0: 0, 1: 2, 2: 3, -1: -1}, {0: 1})
    assert rearranged({2, 5}, {0, 2}) == ({0: 0, 2: 2, 5: 5}, {0: 1, 2: 3})
    assert rearranged({-1, -2}, {-1}) == ({0: 0, -1: -2, -2: -3}, {-1: -1})


def test_a_compound_clip_that_holds_itself_is_left(project):
    own = '<ref-clip ref="m1" name="inner" offset="0s" duration="10/25s"/>'
    media = (
        '<media id="m1" name="circle"><sequence format="r1" duration="10/25s" tcStart="0s">'
        f"<spine>{own}</spine></sequence></media>"
    )
    path = project(
        '<ref-clip ref="m1" name="circle" offset="{at}" duration="10/25s"/>', resources=media
    )
    assert listed(path).splitlines()[1:] == [
        "clip 'circle' at 01:00:00:00 on V1 holds itself: left as it is"
    ]
