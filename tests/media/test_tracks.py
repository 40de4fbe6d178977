"""Files with several video tracks: the default one, or the one asked for."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from av.stream import Disposition
from clips import Recipe, make, picture

from mattecast import Settings, matte
from mattecast.errors import MediaError
from mattecast.inspect.probe import probe
from mattecast.media.source import open_source

pytestmark = pytest.mark.usefixtures("left_half")

SIZES = [(96, 64), (64, 48), (128, 96)]


@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
@pytest.mark.parametrize(
    ("default", "track", "taken"), [(0, None, 0), (2, None, 2), (2, 2, 1), (0, 3, 2), (1, 1, 0)]
)
def test_the_default_track_or_the_one_asked_for(
    default: int, track: int | None, taken: int, suffix: str, tmp_path: Path
) -> None:
    source = _with_tracks(tmp_path / f"source{suffix}", default)
    summary = matte(source, tmp_path / "out.mov", Settings(track=track))
    assert summary.size == SIZES[taken]
    assert summary.frames == 8
    assert "2 video streams (h264)" in summary.losses


def test_a_track_shorter_than_the_file_is_whole(tmp_path: Path) -> None:
    source = tmp_path / "source.mkv"
    with av.open(str(source), "w") as out:
        tracks = [out.add_stream("libx264", rate=25) for _ in range(2)]
        for track in tracks:
            track.width, track.height, track.pix_fmt = 96, 64, "yuv420p"
        for track, count in zip(tracks, (100, 8), strict=True):
            for number in range(count):
                frame = picture(Recipe(), number % 8)
                frame.pts = number
                out.mux(track.encode(frame))
            out.mux(track.encode(None))
    summary = matte(source, tmp_path / "out.mov", Settings(track=2))
    assert (summary.frames, summary.damage) == (8, ())


def test_without_a_mark_the_first_track_is_taken(tmp_path: Path) -> None:
    source = _with_tracks(tmp_path / "source.ts", None)
    assert matte(source, tmp_path / "out.mov").size == SIZES[0]


def test_a_track_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    source = _with_tracks(tmp_path / "source.mkv", 0)
    with pytest.raises(MediaError, match="has no video track 4, but 3 video tracks; probe lists"):
        matte(source, tmp_path / "out.mov", Settings(track=4))
    single = make(tmp_path / "single.mp4")
    with pytest.raises(MediaError, match="has no video track 2, but 1 video track; probe"):
        matte(single, tmp_path / "out.mov", Settings(track=2))
    with pytest.raises(MediaError, match="numbered pictures are one"):
        open_source(tmp_path / "%04d.png", track=2)
    assert not (tmp_path / "out.mov").exists()


def test_probe_lists_the_tracks(tmp_path: Path) -> None:
    lines = probe(_with_tracks(tmp_path / "source.mkv", 1))
    assert "  track 1: h264, 96x64, --track 1 takes it" in lines
    assert "  track 2: h264, 64x48, Wide, taken" in lines
    assert not any(line.startswith("  track") for line in probe(make(tmp_path / "single.mp4")))


def _with_tracks(path: Path, default: int | None) -> Path:
    """A clip with three video tracks of different sizes."""
    parts = [
        make(path.with_name(f"{number}.mp4"), Recipe(size=size))
        for number, size in enumerate(SIZES)
    ]
    with av.open(str(path), "w") as out:
        clips = [av.open(str(part)) for part in parts]
        tracks = [out.add_stream_from_template(clip.streams.video[0]) for clip in clips]
        for number, track in enumerate(tracks):
            track.disposition = Disposition.default if number == default else Disposition(0)
            if number == 1:
                track.metadata["title"] = "Wide"
        for clip, track in zip(clips, tracks, strict=True):
            for packet in clip.demux(video=0):
                if packet.dts is not None:
                    packet.stream = track
                    out.mux(packet)
            clip.close()
    return path
