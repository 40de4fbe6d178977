"""Timelines at all usual rates come back with mattes whose frames are those of their sources."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from commands import call
from projects import Cut, Cutting, fcpxml, numbered, numbers, otio, xmeml

from mattecast.media.timecode import Timecode
from mattecast.timelines.document import parsed
from mattecast.timelines.fcpxml_rules import faults

RATES = {
    "23.976": (Fraction(24000, 1001), False),
    "24": (Fraction(24), False),
    "25": (Fraction(25), False),
    "29.97 DF": (Fraction(30000, 1001), True),
    "29.97 NDF": (Fraction(30000, 1001), False),
    "50": (Fraction(50), False),
    "59.94": (Fraction(60000, 1001), False),
}
# The first two uses overlap in the source with handles of 2; the third one stands alone.
CUTS = (Cut(0, 5, 6), Cut(6, 8, 7), Cut(20, 30, 8))
KINDS = {"fcpxml": fcpxml, "xml": xmeml, "otio": otio}


@pytest.fixture(scope="module", params=RATES)
def cutting(request, tmp_path_factory):
    """A timeline from 01:00:00:00 on, of a source whose timecode begins with 10:59:58:12."""
    rate, drop = RATES[request.param]
    first = Timecode.parse(f"01:00:00{';' if drop else ':'}00", rate)
    media_first = Timecode.parse(f"10:59:58{';' if drop else ':'}12", rate)
    path = tmp_path_factory.mktemp("sources") / "talk.mov"
    numbered(path, rate, 42, str(media_first))
    return Cutting(path, rate, CUTS, first.frames, media_first.frames, 42, drop)


@pytest.mark.parametrize("kind", KINDS)
def test_mattes_lie_above_their_clips_frame_by_frame(kind, cutting, tmp_path, left_half):
    if kind == "otio":
        pytest.importorskip("opentimelineio", reason="OTIO needs OpenTimelineIO")
    before, after = _run(kind, cutting, tmp_path)
    # The source's clips are as they were; each matte lies at the same place and is as long.
    originals = [clip for clip in after if clip[2] == cutting.media]
    assert originals == before and len(before) == len(CUTS)
    made = [clip for clip in after if clip[2] != cutting.media]
    assert [(clip[0], clip[1]) for clip in made] == [(clip[0], clip[1]) for clip in before]
    decoded = {}
    for (_, length, path, skipped), cut in zip(made, CUTS, strict=True):
        own = decoded.setdefault(path, numbers(path))
        frame = skipped * cutting.rate
        assert frame.denominator == 1, "a matte begins on one of its frames"
        shown = own[int(frame) : int(frame + length * cutting.rate)]
        assert shown == list(range(cut.source, cut.source + cut.length))
    # Two pieces: with handles of two frames, the first two uses are one.
    assert sorted(decoded.values()) == [list(range(3, 17)), list(range(28, 40))]


@pytest.mark.parametrize("kind", KINDS)
def test_replaced_clips_show_the_same_frames(kind, cutting, tmp_path, left_half):
    if kind == "otio":
        pytest.importorskip("opentimelineio", reason="OTIO needs OpenTimelineIO")
    before, after = _run(kind, cutting, tmp_path, "--replace")
    made = [clip for clip in after if clip[2] != cutting.media]
    assert [(clip[0], clip[1]) for clip in made] == [(clip[0], clip[1]) for clip in before]
    for (_, length, path, skipped), cut in zip(made, CUTS, strict=True):
        first = int(skipped * cutting.rate)
        shown = numbers(path)[first : first + int(length * cutting.rate)]
        assert shown == list(range(cut.source, cut.source + cut.length))


def _run(kind: str, cutting: Cutting, folder: Path, *options: str):
    """The clips of a timeline before and after, as `_clips` lists them."""
    project, new = folder / f"cut.{kind}", folder / f"new.{kind}"
    project.write_text(KINDS[kind](cutting))
    result = call(
        *("timeline", project, "-o", new, "--handles", "2", "--detail", "fast"),
        *("--smooth", "off", "--quiet", *options),
    )
    assert result.code == 0, result.err
    if kind == "fcpxml":
        assert faults(parsed(new.read_bytes(), new)) == []
    return READERS[kind](project), READERS[kind](new)


def _path(link: str) -> Path:
    return Path(unquote(urlsplit(link).path))


def _seconds(text: str) -> Fraction:
    return Fraction(text.removesuffix("s"))


def _fcpxml_clips(path: Path):
    """Clips of pictures: when each begins on the timeline, its length, its file, and how much of
    the file is skipped; by standard XML reading, not by mattecast's."""
    root = ElementTree.fromstring(path.read_bytes())
    assets = {each.get("id"): each for each in root.iter("asset")}
    found = []
    for item in root.find(".//spine"):
        shift = _seconds(item.get("offset")) - _seconds(item.get("start"))
        for clip in (item, *item.findall("asset-clip")):
            if clip.tag != "asset-clip" or clip.get("srcEnable") == "audio":
                continue
            asset = assets[clip.get("ref")]
            link = asset.find("media-rep").get("src")
            skipped = _seconds(clip.get("start")) - _seconds(asset.get("start"))
            at = _seconds(clip.get("offset")) + (0 if clip is item else shift)
            found.append((at, _seconds(clip.get("duration")), _path(link), skipped))
    return found


def _xmeml_clips(path: Path):
    root = ElementTree.fromstring(path.read_bytes())
    links = {each.get("id"): each.findtext("pathurl") for each in root.iter("file") if len(each)}
    found = []
    for clip in root.findall(".//video/track/clipitem"):
        base = int(clip.findtext("rate/timebase"))
        ntsc = clip.findtext("rate/ntsc") == "TRUE"
        rate = Fraction(base * 1000, 1001) if ntsc else Fraction(base)
        start, end, skipped = (int(clip.findtext(name)) for name in ("start", "end", "in"))
        ticks = Fraction(int(clip.findtext("pproTicksIn")), 254016000000)
        assert abs(ticks - skipped / rate) < Fraction(1, 10**9)
        link = links[clip.find("file").get("id")]
        found.append((start / rate, (end - start) / rate, _path(link), skipped / rate))
    return found


def _otio_clips(path: Path):
    """By plain JSON, with the rates that OTIO's floats stand for."""
    timeline = json.loads(path.read_text())
    found = []
    for track in timeline["tracks"]["children"]:
        at = Fraction(0)
        for clip in track["children"] if track["kind"] == "Video" else []:
            length = _exact(clip["source_range"]["duration"])
            if clip["OTIO_SCHEMA"].startswith("Clip"):
                media = clip["media_references"]["DEFAULT_MEDIA"]
                start = _exact(clip["source_range"]["start_time"])
                skipped = start - _exact(media["available_range"]["start_time"])
                found.append((at, length, _path(media["target_url"]), skipped))
            at += length
    return found


def _exact(time) -> Fraction:
    assert time["value"] == int(time["value"])
    rates = {round(float(rate), 3): rate for rate, _ in RATES.values()}
    return int(time["value"]) / rates[round(time["rate"], 3)]


READERS = {"fcpxml": _fcpxml_clips, "xml": _xmeml_clips, "otio": _otio_clips}


def test_other_readers_see_the_same_clips(cutting, tmp_path, left_half):
    """OpenTimelineIO's adapter of xmeml finds each matte where its clip is."""
    opentimelineio = pytest.importorskip("opentimelineio", reason="OTIO is not installed")
    pytest.importorskip("otio_fcp_adapter", reason="otio-fcp-adapter is not installed")
    _run("xml", cutting, tmp_path)
    timeline = opentimelineio.adapters.read_from_file(str(tmp_path / "new.xml"))
    below, above = timeline.video_tracks()
    lists = [
        [(track.range_of_child(clip), clip.source_range.duration) for clip in track.find_clips()]
        for track in (below, above)
    ]
    assert lists[0] == lists[1] and len(lists[0]) == len(CUTS)
    assert all(clip.media_reference.target_url.endswith(".mov") for clip in above.find_clips())
