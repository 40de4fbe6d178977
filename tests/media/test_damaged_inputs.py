"""Inputs that are partly good: what can be read is matted, and the damage is reported."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Recipe, make, times
from commands import call, entries
from faults import FASTSTART, SMALL, X264, spoil
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mattecast import Settings, matte
from mattecast.media import clip

pytestmark = pytest.mark.usefixtures("left_half", "no_thread_stays")


def test_a_file_cut_in_the_middle_gives_what_is_there(tmp_path: Path) -> None:
    recipe = Recipe(
        size=SMALL, options=X264, pts=tuple(range(24)), audio=("aac",), container_options=FASTSTART
    )
    source = make(tmp_path / "talk.mp4", recipe)
    whole = times(source)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    result = call("matte", source, "-o", tmp_path / "talk.mov")
    # Nothing failed that could have been done, so 0; but it is said.
    assert (
        result.code == 0 and "in the source: the file ends before its own index says" in result.err
    )
    kept = times(tmp_path / "talk.mov")
    assert 8 < len(kept) < 20 and kept == whole[: len(kept)]


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_a_file_that_is_shorter_than_its_header_says_is_reported(
    suffix: str, tmp_path: Path
) -> None:
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    recipe = Recipe(codec=codec, size=SMALL, options=(("g", "6"),), pts=tuple(range(24)))
    source = make(tmp_path / f"talk{suffix}", recipe)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    assert any("ends before" in line for line in matte(source, tmp_path / "out.mov").damage)


BROKEN = {
    "h264": (Recipe(size=SMALL, options=X264, pts=tuple(range(16))), ".mp4"),
    "b-frames": (
        Recipe(size=SMALL, options=(*X264, ("bf", "2"), ("b_strategy", "0")), pts=tuple(range(16))),
        ".mp4",
    ),
    "prores": (
        Recipe(
            codec="prores_ks", pixels="yuv422p10le", size=SMALL, options=(), pts=tuple(range(16))
        ),
        ".mov",
    ),
    "vp9": (Recipe(codec="libvpx-vp9", size=SMALL, options=(), pts=tuple(range(16))), ".webm"),
}


@pytest.mark.parametrize("threads", [1, 16])
@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("packet", [7, 14])
def test_a_broken_packet_costs_one_frame(
    kind: str, threads: int, packet: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Skipped, counted, said; the others keep their times, however many threads decode."""
    recipe, suffix = BROKEN[kind]
    source = make(tmp_path / f"talk{suffix}", recipe)
    whole = times(source)
    spoil(source, [packet])
    choose = clip.picture_stream

    def with_threads(container: Any, path: Path, track: int | None) -> Any:
        stream = choose(container, path, track)
        stream.codec_context.thread_count = threads
        return stream

    monkeypatch.setattr(clip, "picture_stream", with_threads)
    summary = matte(source, tmp_path / "out.mov")
    kept = times(tmp_path / "out.mov")
    assert len(kept) == len(whole) - 1 == summary.frames and set(kept) < set(whole)
    assert "1 picture packet could not be decoded: skipped" in summary.damage
    assert "1 frame missing: the others keep their times" in summary.damage


def test_a_broken_picture_leaves_its_time_empty(tmp_path: Path) -> None:
    for number in range(4):
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 60 * number, np.uint8), "rgb24")
        frame.save(tmp_path / f"shot_{number}.png")
    for number in (0, 2):
        (tmp_path / f"shot_{number}.png").write_bytes(b"no picture")
    summary = matte(tmp_path / "shot_%d.png", tmp_path / "out.mov")
    assert times(tmp_path / "out.mov") == [Fraction(1, 25), Fraction(3, 25)]
    assert summary.damage == ("2 picture packets could not be decoded: skipped",)


@pytest.mark.parametrize(
    ("suffix", "codec", "output"),
    [
        (".mp4", "aac", "out.mov"),
        (".mp4", "aac", "out.webm"),
        (".mkv", "flac", "out.mov"),
    ],
)
def test_broken_sound_stays_in_sync(suffix: str, codec: str, output: str, tmp_path: Path) -> None:
    """The click after the broken packets comes when it did, copied or not."""
    recipe = Recipe(size=SMALL, pts=tuple(range(28)), audio=(codec,))
    source = make(tmp_path / f"talk{suffix}", recipe)
    click = _last_click(source)
    spoil(source, range(3, 6), "audio")
    summary = matte(source, tmp_path / output)
    assert abs(_last_click(tmp_path / output) - click) < 1024 / 48000
    copied = summary.audio == ("aac copied",)
    assert copied or any("sound packet" in line for line in summary.damage)


def _last_click(path: Path) -> float:
    """When the last loud burst begins, in seconds; what cannot be decoded is passed over."""
    loud: list[float] = []
    with av.open(str(path)) as sounds:
        resampler = av.AudioResampler("fltp")
        for packet in sounds.demux(audio=0):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue
            for frame in frames:
                for block in resampler.resample(frame):
                    found = np.flatnonzero(np.abs(block.to_ndarray()[0]) > 0.5)
                    loud += [float(block.time or 0) + place / 48000 for place in found]
    return next(time for time in loud if time > max(loud) - 0.1)


def test_unknown_sound_does_not_stop_the_picture(tmp_path: Path) -> None:
    source = make(tmp_path / "talk.mkv", Recipe(size=SMALL, pts=(0, 1), audio=("flac",)))
    source.write_bytes(source.read_bytes().replace(b"A_FLAC", b"A_GLAC"))
    summary = matte(source, tmp_path / "out.mov")
    assert summary.frames == 2 and summary.audio == ("a track of unknown kind left out",)


def test_times_that_make_no_sense_are_replaced(tmp_path: Path) -> None:
    """One clock that jumps by hours and back must not stretch the clip, nor squeeze the rest."""
    recipe = Recipe(
        size=SMALL, time_base=Fraction(1, 1000), pts=(0, 40, 80, 7_200_080, 7_200_120, 7_200_160)
    )
    source = make(tmp_path / "talk.mkv", recipe)
    summary = matte(source, tmp_path / "out.mov", Settings(cfr=Fraction(25)))
    assert times(tmp_path / "out.mov") == [Fraction(n, 25) for n in range(6)]
    assert summary.damage[0] == "3 frames without a time of its own: given one"


def test_a_stream_without_times_can_be_cut(tmp_path: Path) -> None:
    """A raw stream cannot be sought in: a range counts from its start."""
    recipe = Recipe(size=SMALL, options=X264, pts=tuple(range(25)))
    source = make(tmp_path / "talk.h264", recipe)
    summary = matte(source, tmp_path / "out.mov", Settings(range="0.4..0.8"))
    assert summary.frames == 10


BASES = {
    "talk.mp4": Recipe(size=SMALL, options=X264, pts=tuple(range(6)), audio=("aac",)),
    "talk.mov": Recipe(
        codec="prores_ks",
        pixels="yuva444p10le",
        size=SMALL,
        options=(),
        pts=tuple(range(4)),
        audio=("pcm_s16le",),
        timecode="01:00:00:00",
    ),
    "talk.webm": Recipe(
        codec="libvpx-vp9", size=SMALL, options=(), pts=tuple(range(6)), audio=("libopus",)
    ),
}


@pytest.mark.parametrize("name", BASES)
def test_flipped_bytes(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever is wrong with a file: done or refused in one line, soon, never half an output."""
    folder = tmp_path_factory.mktemp("flips")
    whole = make(folder / name, BASES[name]).read_bytes()
    (folder / "out").mkdir()

    flips = st.lists(
        st.tuples(st.integers(0, len(whole) - 1), st.integers(1, 255)), min_size=1, max_size=12
    )

    @settings(
        max_examples=40,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(flips=flips)
    def run(flips: list[tuple[int, int]]) -> None:
        data = bytearray(whole)
        for place, change in flips:
            data[place] ^= change
        (folder / name).write_bytes(data)
        output = folder / "out" / "talk.mov"
        started = time.monotonic()
        result = call("matte", folder / name, "-o", output)
        assert time.monotonic() - started < 20
        if result.code:
            result.refuses(1, str(folder))
            assert entries(folder / "out") == []
        else:
            assert f"{output}: {len(times(output))} frames" in result.err
            assert entries(folder / "out") == ["talk.mov"]
            output.unlink()

    run()
