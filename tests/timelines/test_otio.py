"""What becomes of each thing that an OTIO timeline can hold."""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from commands import call
from projects import Cut, Cutting, numbered, numbers, otio

FAST = ("--detail", "fast", "--smooth", "off", "--quiet")
RATE = Fraction(25)


@pytest.fixture
def opentimelineio():
    return pytest.importorskip("opentimelineio", reason="OTIO needs OpenTimelineIO")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return numbered(tmp_path_factory.mktemp("source") / "talk.mov", RATE, 45, "00:00:10:00")


@pytest.fixture
def timeline(source, tmp_path):
    """The JSON of a timeline of these cuts; and what writes it."""

    def make(*cuts: Cut) -> dict:
        return json.loads(otio(Cutting(source, RATE, cuts, 90000, 250, 45)))

    return make


def saved(timeline: dict, folder: Path) -> Path:
    path = folder / "cut.otio"
    path.write_text(json.dumps(timeline))
    return path


def video(timeline: dict) -> dict:
    return timeline["tracks"]["children"][0]


def matted(path: Path, *options: str) -> dict:
    new = path.with_name("new.otio")
    result = call("timeline", path, "-o", new, *FAST, *options)
    assert result.code == 0, result.err
    return json.loads(new.read_text())


def shown(clip: dict) -> list[int]:
    media = clip["media_references"]["DEFAULT_MEDIA"]
    first = clip["source_range"]["start_time"]["value"]
    first -= media["available_range"]["start_time"]["value"]
    length = clip["source_range"]["duration"]["value"]
    return numbers(Path(media["target_url"]))[int(first) : int(first + length)]


def test_everything_else_stays(opentimelineio, timeline, tmp_path, left_half):
    path = saved(timeline(Cut(0, 3, 5), Cut(9, 20, 4)), tmp_path)
    after = matted(path)
    added = after["tracks"]["children"].pop(1)
    before = opentimelineio.adapters.read_from_file(str(path))
    assert json.loads(opentimelineio.adapters.write_to_string(before, "otio_json")) == after
    assert added["name"] == "Video matte"
    kinds = [child["OTIO_SCHEMA"].partition(".")[0] for child in added["children"]]
    assert kinds == ["Clip", "Gap", "Clip"]
    clip = added["children"][0]
    assert clip["metadata"] == {"note": "best take"} and clip["name"] == "talk matte"
    media = clip["media_references"]["DEFAULT_MEDIA"]
    assert media["metadata"]["mattecast"] == {"alpha": "straight"}


def test_transitions_are_on_the_mattes_track_too(opentimelineio, timeline, tmp_path, left_half):
    cut = timeline(Cut(0, 3, 8), Cut(8, 25, 8))
    moment = {"OTIO_SCHEMA": "RationalTime.1", "rate": 25.0}
    video(cut)["children"].insert(
        1,
        {
            "OTIO_SCHEMA": "Transition.1",
            "transition_type": "SMPTE_Dissolve",
            "in_offset": {**moment, "value": 2.0},
            "out_offset": {**moment, "value": 3.0},
        },
    )
    above = matted(saved(cut, tmp_path))["tracks"]["children"][1]["children"]
    assert [each["OTIO_SCHEMA"][:5] for each in above] == ["Clip.", "Trans", "Clip."]
    assert above[1]["out_offset"]["value"] == 3
    assert shown(above[0]) == list(range(3, 11)) and shown(above[2]) == list(range(25, 33))
    # The mattes hold what the transition shows beyond the cut.
    paths = [Path(each["media_references"]["DEFAULT_MEDIA"]["target_url"]) for each in above[::2]]
    assert numbers(paths[0]) == list(range(3, 14)) and numbers(paths[1]) == list(range(23, 33))


def _effect(schema: str, **more: float):
    def change(clip: dict) -> None:
        clip["effects"] = [{"OTIO_SCHEMA": schema, "name": "", "effect_name": "", **more}]

    return change


def _nested(clip: dict) -> None:
    clip.pop("media_references")
    clip.update(OTIO_SCHEMA="Stack.1", children=[])


def _media(**more: object):
    def change(clip: dict) -> None:
        clip["media_references"]["DEFAULT_MEDIA"].update(more)

    return change


def _every_second_picture(clip: dict) -> None:
    clip["media_references"]["DEFAULT_MEDIA"] = {
        "OTIO_SCHEMA": "ImageSequenceReference.1",
        "target_url_base": "shots",
        "name_prefix": "shot.",
        "name_suffix": ".png",
        "start_frame": 1001,
        "frame_step": 2,
        "frame_zero_padding": 4,
        "missing_frame_policy": "error",
        "rate": 25.0,
    }


def _no_frames(clip: dict) -> None:
    clip["source_range"]["duration"]["value"] = 0.0


LEFT = {
    "no frames": (_no_frames, "has no frames"),
    "every second picture": (
        _every_second_picture,
        "skips pictures of its sequence (frame_step 2)",
    ),
    "retimed": (_effect("LinearTimeWarp.1", time_scalar=0.5), "is retimed to 50 %"),
    "frozen": (_effect("FreezeFrame.1", time_scalar=0), "is a freeze frame"),
    "off": (lambda clip: clip.update(enabled=False), "is switched off"),
    "nested": (_nested, "is a nested timeline"),
    "missing": (_media(OTIO_SCHEMA="MissingReference.1"), "has no media file"),
    "gone": (_media(target_url="/gone.mov"), "has its media missing (/gone.mov)"),
    "web": (_media(target_url="https://a.b/c.mov"), "has no media file"),
}


@pytest.mark.parametrize("kind", LEFT)
def test_clips_that_are_left_have_a_line_each(kind, opentimelineio, timeline, tmp_path):
    change, line = LEFT[kind]
    cut = timeline(Cut(0, 3, 5))
    change(video(cut)["children"][0])
    result = call("timeline", saved(cut, tmp_path), "--list")
    assert result.code == 0 and f"clip 'talk' at 01:00:00:00 on V1 {line}" in result.out


@pytest.mark.parametrize("start", [0, 250])
def test_media_without_a_range_begin_at_zero_or_with_timecode(
    start, opentimelineio, timeline, tmp_path, left_half
):
    cut = timeline(Cut(0, 5, 5))
    clip = video(cut)["children"][0]
    del clip["media_references"]["DEFAULT_MEDIA"]["available_range"]
    clip["source_range"]["start_time"]["value"] = start + 5.0
    above = matted(saved(cut, tmp_path))["tracks"]["children"][1]["children"]
    assert shown(above[0]) == [5, 6, 7, 8, 9]


def test_programs_without_timecode_get_mattes_without(
    opentimelineio, timeline, tmp_path, left_half
):
    cut = timeline(Cut(0, 5, 5))
    clip = video(cut)["children"][0]
    clip["media_references"]["DEFAULT_MEDIA"]["available_range"]["start_time"]["value"] = 0.0
    clip["source_range"]["start_time"]["value"] = 5.0
    above = matted(saved(cut, tmp_path))["tracks"]["children"][1]["children"]
    media = above[0]["media_references"]["DEFAULT_MEDIA"]
    assert media["available_range"]["start_time"]["value"] == 0
    assert shown(above[0]) == [5, 6, 7, 8, 9]


def test_numbered_pictures_are_matted(opentimelineio, timeline, tmp_path, left_half):
    folder = tmp_path / "shots"
    folder.mkdir()
    for number in range(12):
        picture = np.full((64, 96, 3), 24 + 4 * number, np.uint8)
        cv2.imwrite(str(folder / f"shot.{1001 + number:04d}.png"), picture)
    cut = timeline(Cut(0, 4, 5))
    clip = video(cut)["children"][0]
    clip["media_references"]["DEFAULT_MEDIA"] = {
        "OTIO_SCHEMA": "ImageSequenceReference.1",
        "target_url_base": folder.as_uri(),
        "name_prefix": "shot.",
        "name_suffix": ".png",
        "start_frame": 1001,
        "frame_step": 1,
        "missing_frame_policy": "error",
        "rate": 24.0,
        "frame_zero_padding": 4,
        "available_range": clip["media_references"]["DEFAULT_MEDIA"]["available_range"],
    }
    for time in (
        clip["media_references"]["DEFAULT_MEDIA"]["available_range"]["start_time"],
        clip["source_range"]["start_time"],
        clip["source_range"]["duration"],
    ):
        time["rate"] = 24.0
    above = matted(saved(cut, tmp_path), "--replace")["tracks"]["children"][0]["children"]
    media = above[0]["media_references"]["DEFAULT_MEDIA"]
    assert media["available_range"]["duration"] == {
        "OTIO_SCHEMA": "RationalTime.1",
        "rate": 24.0,
        "value": 5.0,
    }


@pytest.mark.parametrize("plain", [True, False])
def test_absolute_paths_stay_absolute(
    plain, opentimelineio, timeline, source, tmp_path, left_half, monkeypatch
):
    cut = timeline(Cut(0, 3, 5))
    if not plain:
        _media(target_url=source.as_uri())(video(cut)["children"][0])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "far").mkdir()
    saved(cut, tmp_path)
    assert call("timeline", "cut.otio", "-o", "far/new.otio", *FAST).code == 0
    above = json.loads(Path("far/new.otio").read_text())["tracks"]["children"][1]["children"]
    link = above[0]["media_references"]["DEFAULT_MEDIA"]["target_url"]
    folder = tmp_path / "far" / "new mattes"
    assert link.startswith(str(folder) if plain else folder.as_uri())


@pytest.mark.parametrize(("written", "base"), [(23.976, 24), (29.97, 30), (59.94, 60)])
def test_rates_that_are_written_short_stay_exact_late_in_the_day(
    written, base, opentimelineio, tmp_path, left_half
):
    rate = Fraction(base * 1000, 1001)
    source = numbered(tmp_path / "talk.mov", rate, 30, "22:00:00:00")
    cutting = Cutting(source, rate, (Cut(0, 5, 6), Cut(9, 20, 4)), 0, 22 * 3600 * base, 30)
    text = otio(cutting).replace(f'"rate": {float(rate)}', f'"rate": {written}')
    assert str(float(rate)) not in text
    path = tmp_path / "cut.otio"
    path.write_text(text)
    for track, *options in ((1,), (0, "--replace", "--overwrite")):
        after = matted(path, "--handles", "2", *options)
        above = after["tracks"]["children"][track]["children"]
        clips = [each for each in above if each["OTIO_SCHEMA"].startswith("Clip")]
        assert [shown(clip) for clip in clips] == [list(range(5, 11)), list(range(20, 24))]
        for clip in clips:
            media = clip["media_references"]["DEFAULT_MEDIA"]["available_range"]
            rates = {media["start_time"]["rate"], clip["source_range"]["start_time"]["rate"]}
            assert rates == {media["duration"]["rate"]} == {written}
            first = opentimelineio.opentime.RationalTime(**_moment(clip["source_range"]))
            first -= opentimelineio.opentime.RationalTime(**_moment(media))
            assert (first.value, first.rate) == (2, written)


def _moment(span: dict) -> dict:
    return {name: span["start_time"][name] for name in ("value", "rate")}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{", "cannot be read as OTIO"),
        ("{}", "holds no timeline"),
        ('{"OTIO_SCHEMA": "SerializableCollection.1", "children": []}', "holds no timeline"),
        ('{"OTIO_SCHEMA": "Timeline.99", "name": "a"}', "a newer version of OpenTimelineIO"),
    ],
)
def test_bad_files_are_refused_in_one_line(text, line, opentimelineio, tmp_path):
    path = tmp_path / "cut.otio"
    path.write_text(text)
    call("timeline", path, "-o", tmp_path / "new.otio").refuses(1, line)
    assert [each.name for each in tmp_path.iterdir()] == ["cut.otio"]


def test_without_the_package_a_line_says_how_to_install_it(timeline, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    path = saved(timeline(Cut(0, 3, 5)), tmp_path)
    call("timeline", path, "-o", tmp_path / "new.otio").refuses(
        2, 'pip install "mattecast[timeline]"'
    )
