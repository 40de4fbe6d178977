"""The sweep over foreign files: it counts what other programs count, and sees what is wrong."""

import shutil
import sys
from pathlib import Path

import pytest
from clips import Recipe, make

SCRIPTS = Path(__file__).parents[2] / "scripts"
pytestmark = pytest.mark.skipif(not shutil.which("ffprobe"), reason="ffprobe is not installed")


@pytest.fixture
def sweep(monkeypatch, left_half):
    monkeypatch.syspath_prepend(str(SCRIPTS / "bench"))
    import sweep

    yield sweep
    sys.modules.pop("sweep")


def test_frames_are_counted_on_both_sides(sweep, tmp_path):
    clip = make(tmp_path / "talk.mp4", Recipe(audio=("aac",)))
    (tmp_path / "out").mkdir()
    outcome = sweep.swept(clip, tmp_path / "out", whole=False)
    assert (outcome.expected, outcome.written, outcome.wrong) == (5, 5, False)
    assert sweep.swept(clip, tmp_path / "out", whole=True).written == 8


def test_a_frame_too_few_is_wrong(sweep, tmp_path, monkeypatch):
    clip = make(tmp_path / "talk.mp4")
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(sweep, "expected_frames", lambda path, whole: 6)
    assert sweep.swept(clip, tmp_path / "out", whole=False).wrong


def test_a_file_that_is_no_video_is_refused_in_a_line(sweep, tmp_path):
    (tmp_path / "notes.mp4").write_text("no video")
    outcome = sweep.swept(tmp_path / "notes.mp4", tmp_path, whole=False)
    assert outcome.remark.startswith("refused: ") and not outcome.wrong
