"""What a program that starts `mattecast` relies on: exact ranges, outputs made once, JSON."""

import json
import os
from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Recipe, make
from commands import call, entries

from mattecast import Settings
from mattecast.reuse import keyed
from mattecast.version import __version__

FAST = ("--detail", "fast", "--network-size", "64", "--quiet", "--json")
NTSC = Fraction(24000, 1001)


@pytest.fixture
def clip(tmp_path):
    recipe = Recipe(rate=NTSC, timecode="01:00:00:00", codec="mpeg4", options=(), pts=range(12))
    return make(tmp_path / "talk.mov", recipe)


def summary(*arguments):
    result = call("matte", *arguments, *FAST)
    assert result.code == 0, result.err
    return json.loads(result.out)[0]


@pytest.mark.parametrize(
    "handles, first, frames", [(0, 3, 4), (2, 1, 8), (5, 0, 12), (1000, 0, 12)]
)
def test_ranges_are_exact_and_handles_stay_in_the_clip(clip, tmp_path, handles, first, frames):
    asked = f"{3 / NTSC}..{7 / NTSC}"  # frames 3 to 6
    out = tmp_path / "cut.mov"
    made = summary(clip, "-o", out, "--range", asked, "--handles", str(handles))
    assert (made["frames"], Fraction(made["start"])) == (frames, first / NTSC)
    assert made["timecode"] == f"01:00:00:{first:02d}"
    with av.open(str(out)) as container:
        assert container.streams.video[0].frames == frames


def test_an_output_is_made_once(clip, tmp_path):
    folder = tmp_path / "mattes"
    first = summary(clip, "--out-dir", folder, "--reuse", "--range", "0.1..0.3")
    made = os.stat(first["outputs"][0])
    again = summary(clip, "--out-dir", folder, "--reuse", "--range", "0.1..0.3")
    assert os.stat(again["outputs"][0]) == made and again["reused"] and not first["reused"]
    kept = ("source", "outputs", "format", "frames", "start", "size", "rate", "pixels", "timecode")
    assert [again[key] for key in kept] == [first[key] for key in kept]


@pytest.mark.parametrize("format", ["prores", "webm"])
def test_a_damaged_output_is_made_anew(format, clip, tmp_path):
    request = (clip, "--out-dir", tmp_path / "mattes", "--reuse", "--format", format)
    output = Path(summary(*request)["outputs"][0])
    assert summary(*request)["reused"]
    whole = output.read_bytes()
    for left in (len(whole) // 2, 100, 0):
        output.write_bytes(whole[:left])
        again = summary(*request)
        assert not again["reused"] and output.stat().st_size > len(whole) // 2
        assert "an earlier run could not be read whole" in again["notes"][-1]
    assert summary(*request)["reused"]


def test_another_output_is_made_where_anything_differs(clip, tmp_path, monkeypatch):
    folder = tmp_path / "mattes"
    beach = tmp_path / "beach.png"

    def outputs(*more):
        summary(clip, "--out-dir", folder, "--reuse", *more)
        return len(entries(folder))

    assert outputs() == 1
    assert outputs("--threads", "1") == 1
    assert outputs("--range", "0.1..0.3") == 2
    assert outputs("--handles", "1") == 3
    os.utime(clip, ns=(1, 1))
    assert outputs() == 4
    for number, codes in enumerate((b"a", b"bc")):  # not a trimap, but a file that differs
        beach.write_bytes(codes)
        assert call("matte", clip, "--out-dir", folder, "--reuse", "--keep", beach).code == 2
        assert len(entries(folder)) == 4, number


def test_the_key_is_of_the_range_and_not_of_its_text(clip):
    def key(text):
        return keyed("talk.matte.mov", clip, Settings(range=text))

    assert key("1/6..1/2") == key("5/30..15/30") == key(" 1/6..0.5")
    assert len({key(each) for each in ("0..1/2", "1/6..1/2", "..1/2", "0..", "00:01..00:02")}) == 5


def test_the_key_heeds_files_that_settings_name(clip, tmp_path):
    trimap = tmp_path / "trimap.png"
    names = []
    for codes in (b"a", b"bc", b"bc"):
        if not trimap.exists() or trimap.read_bytes() != codes:
            trimap.write_bytes(codes)
        names.append(keyed("talk.matte.mov", clip, Settings(trimap=str(trimap))))
    assert names[0] != names[1] == names[2]
    assert names[0].startswith("talk.") and names[0].endswith(".matte.mov")


def test_reuse_names_the_outputs(clip, tmp_path):
    call("matte", clip, "-o", tmp_path / "out.mov", "--reuse").refuses(2, "--out-dir")


def test_progress_as_json(clip, tmp_path):
    result = call(
        "matte", clip, "-o", tmp_path / "a.mov", *FAST[:4], "--progress", "json", "--json"
    )
    lines = [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]
    assert lines[-1]["done"] == lines[-1]["total"] == 12 and lines[-1]["source"] == str(clip)
    assert lines[-1]["seconds_left"] == 0 and lines[-1]["fps"] > 0
    assert [line["done"] for line in lines] == sorted({line["done"] for line in lines})


def test_doctor_as_json():
    found = json.loads(call("doctor", "--json").out)
    assert found["version"] == __version__ and found["ok"] is True
    assert {"level", "what", "detail"} == set(found["findings"][0])
