"""`--sidecar` writes what tells an editor of an output: its timecode, rate and alpha."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from fractions import Fraction
from pathlib import Path

import pytest
from clips import Recipe, make
from commands import call, entries
from projects import numbered

from mattecast.timelines.document import parsed
from mattecast.timelines.fcpxml_rules import faults, seconds

RATE = Fraction(30000, 1001)
FAST = ("--detail", "fast", "--smooth", "off")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return numbered(tmp_path_factory.mktemp("source") / "talk.mov", RATE, 12, "10:00:00;04")


def test_fcpxml_and_edl_say_timecode_rate_and_alpha(source, tmp_path, left_half):
    result = call("matte", source, "-o", tmp_path / "talk.mov", "--sidecar", "fcpxml,edl", *FAST)
    assert result.code == 0, result.err
    assert entries(tmp_path) == ["talk.edl", "talk.fcpxml", "talk.mov"]
    data = (tmp_path / "talk.fcpxml").read_bytes()
    assert faults(parsed(data, tmp_path)) == []
    root = ElementTree.fromstring(data)
    asset, clip = root.find(".//asset"), root.find(".//asset-clip")
    first = 10 * (108_000 - 108) + 4  # 10:00:00;04: drop-frame leaves out 108 an hour
    assert seconds(asset.get("start")) == first / RATE == seconds(clip.get("offset"))
    assert seconds(asset.get("duration")) == 12 / RATE
    assert seconds(root.find(".//format").get("frameDuration")) == 1 / RATE
    assert clip.get("tcFormat") == "DF" and clip.findtext("note") == "alpha: straight"
    lines = (tmp_path / "talk.edl").read_text().splitlines()
    assert lines[1] == "FCM: DROP FRAME"
    assert lines[3].split()[-2:] == ["10:00:00;04", "10:00:00;16"]
    assert "* COMMENT: ALPHA STRAIGHT" in lines and "* COMMENT: 29.97 FRAMES A SECOND" in lines


def test_otio_is_read_by_opentimelineio(source, tmp_path, left_half):
    opentimelineio = pytest.importorskip("opentimelineio", reason="OTIO needs OpenTimelineIO")
    output = tmp_path / "talk.mov"
    result = call("matte", source, "-o", output, "--premultiplied", "--sidecar", "otio", *FAST)
    assert result.code == 0, result.err
    timeline = opentimelineio.adapters.read_from_file(str(tmp_path / "talk.otio"))
    assert timeline.metadata["mattecast"] == {"alpha": "premultiplied", "rate": "30000/1001"}
    (clip,) = timeline.find_clips()
    assert clip.source_range == clip.media_reference.available_range
    assert clip.source_range.duration.value == 12
    assert clip.source_range.start_time.to_timecode() == "10:00:00;04"
    assert clip.media_reference.target_url == output.as_uri()


def test_sound_has_its_own_track_and_layout(tmp_path, left_half):
    talk = make(tmp_path / "a.mov", Recipe(audio=("pcm_s16le",), layout="mono"))
    assert call("matte", talk, "-o", tmp_path / "b.mov", "--sidecar", "fcpxml", *FAST).code == 0
    root = ElementTree.fromstring((tmp_path / "b.fcpxml").read_bytes())
    assert root.find(".//asset").get("audioChannels") == "1"
    assert root.find(".//sequence").get("audioLayout") == "mono"


def test_reused_outputs_get_the_sidecars_they_lack(source, tmp_path, left_half):
    arguments = ("matte", source, "--out-dir", tmp_path, "--reuse", *FAST)
    assert call(*arguments).code == 0
    assert call(*arguments, "--sidecar", "edl").code == 0
    assert [Path(name).suffix for name in entries(tmp_path)] == [".edl", ".mov"]


def test_bad_requests_are_refused_before_anything_is_matted(source, tmp_path, monkeypatch):
    output = tmp_path / "talk.mov"
    (tmp_path / "talk.edl").write_text("mine")
    call("matte", source, "-o", output, "--sidecar", "edl").refuses(1, "talk.edl: exists already")
    call("matte", source, "-o", output, "--sidecar", "aaf").refuses(2, "sidecar 'aaf'")
    folder = tmp_path / "pictures"
    call(*("matte", source, "-o", folder, "--format", "png", "--sidecar", "edl")).refuses(
        2, "names one movie"
    )
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    call("matte", source, "-o", output, "--sidecar", "otio").refuses(
        2, 'pip install "mattecast[timeline]"'
    )
    assert entries(tmp_path) == ["talk.edl"] and (tmp_path / "talk.edl").read_text() == "mine"
