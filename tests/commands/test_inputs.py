"""What names on the command line stand for: folders of any kind of clip, patterns, twin names."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from clips import Recipe, make
from commands import call, entries, photograph

pytestmark = pytest.mark.usefixtures("left_half")
SMALL = Recipe(pts=(0, 1))
MPEG2 = Recipe(codec="mpeg2video", options=(), pts=(0, 1, 2))


def clips(folder: Path, *names: str) -> Path:
    """A folder with a copy of one small clip under each name."""
    folder.mkdir(exist_ok=True)
    made = make(folder.parent / "made.mp4", SMALL)
    for name in names:
        shutil.copy(made, folder / name)
    return folder


def test_a_folder_gives_every_kind_of_clip(tmp_path: Path) -> None:
    folder = tmp_path / "tapes"
    folder.mkdir()
    dv = Recipe(codec="dvvideo", size=(720, 576), options=(), pts=(0, 1))
    made = {
        "tape.dv": dv,
        "disc.VOB": MPEG2,
        "camera.mod": MPEG2,
        "stream.m2v": MPEG2,
        "phone.3g2": Recipe(codec="mpeg4", options=(), pts=(0, 1)),
        "old.asf": Recipe(codec="wmv2", options=(), pts=(0, 1)),
        "card.mxf": Recipe(codec="mpeg2video", options=(), pts=(0, 1, 2)),
    }
    for name, recipe in made.items():
        suffix = {".vob": ".vob", ".mod": ".mpg"}.get(Path(name).suffix.lower(), Path(name).suffix)
        make(folder / f"made{suffix}", recipe).rename(folder / name)
    # A name that says nothing: what is in the file counts.
    make(tmp_path / "a.mkv", SMALL).rename(folder / "recording.0001")
    (folder / "notes").write_text("call back at nine\n" * 99)
    (folder / "log.txt").write_text("text is shown as video by libav\n" * 99)
    result = call("matte", folder, "--out-dir", tmp_path / "out", "--detail", "fast")
    assert result.code == 0, result.err
    stems = [Path(name).stem for name in [*made, "recording.0001"]]
    assert entries(tmp_path / "out") == sorted(f"{stem}.matte.mov" for stem in stems)


def test_what_lies_beside_clips_is_named(tmp_path: Path) -> None:
    folder = clips(tmp_path / "shots", "talk.mp4", ".hidden.mp4", "GX01.LRV", "talk.matte.mov")
    photograph(folder / "cover.png")
    result = call("matte", folder, "--out-dir", tmp_path / "out")
    assert result.code == 0 and entries(tmp_path / "out") == ["talk.matte.mov"]
    assert (
        "passed over 1 picture and 1 small copy and 1 earlier output "
        "(cover.png, GX01.LRV, talk.matte.mov); --stills takes the pictures too" in result.err
    )
    both = call("matte", folder, "--stills", "--out-dir", tmp_path / "both", "--quiet")
    assert both.code == 0 and both.err == ""
    assert entries(tmp_path / "both") == ["cover.matte.png", "talk.matte.mov"]


def test_a_second_run_leaves_the_outputs_of_the_first_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clips(tmp_path / "shots", "talk.mp4"))
    for _ in range(2):
        assert call("matte", ".", "--overwrite", "--quiet").code == 0
    assert entries(tmp_path / "shots") == ["talk.matte.mov", "talk.mp4"]


def test_clips_of_one_stem_get_names_of_their_own(tmp_path: Path) -> None:
    one = clips(tmp_path / "one", "clip.mov", "clip.mp4", "Clip.mkv", "other.mp4")
    two = clips(tmp_path / "two", "clip.mp4")
    result = call("matte", one, two, one / "clip.mov", "--out-dir", tmp_path / "out", "--quiet")
    assert result.code == 0, result.err
    assert entries(tmp_path / "out") == [
        "Clip.mkv.matte.mov",
        "clip.mov.matte.mov",
        "one_clip.mp4.matte.mov",
        "other.matte.mov",
        "two_clip.mp4.matte.mov",
    ]


def test_patterns_that_the_shell_leaves_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clips(tmp_path / "in", "a1b.mp4", "a2bc.mp4", "[x].mp4", "x.mp4", ".h.mp4"))
    wanted = {
        "*.mp4": ["[x].matte.mov", "a1b.matte.mov", "a2bc.matte.mov", "x.matte.mov"],
        "a?b*.mp4": ["a1b.matte.mov", "a2bc.matte.mov"],
        "a[12]b.mp4": ["a1b.matte.mov"],
        "[x].mp4": ["[x].matte.mov"],  # a file of this name is this file
        "../*/x.mp4": ["x.matte.mov"],
    }
    for number, (pattern, names) in enumerate(wanted.items()):
        folder = tmp_path / f"out{number}"
        assert call("matte", pattern, "--out-dir", folder, "--quiet").code == 0
        assert entries(folder) == names
    call("matte", "*.mov").refuses(2, "*.mov: no such file", "pattern")
    assert call("matte", "a1*.mp4", "-o", tmp_path / "one.mov", "--quiet").code == 0
