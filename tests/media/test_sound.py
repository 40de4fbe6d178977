"""Sound: every track kept, in sync, copied where the container takes it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Recipe, make

from mattecast import Settings, matte
from mattecast.errors import UsageError

pytestmark = pytest.mark.usefixtures("left_half")

TWO_SECONDS = tuple(range(50))


@pytest.mark.parametrize(
    ("suffix", "codec", "out", "kept"),
    [
        (".mp4", "aac", "out.mov", "aac"),
        (".mov", "pcm_s16le", "out.mov", "pcm_s16le"),
        (".mkv", "flac", "out.mov", "pcm_s16le"),
        (".mkv", "libopus", "out.mov", "pcm_s24le"),
        (".mkv", "flac", "out.mkv", "flac"),
        (".mkv", "libopus", "out.webm", "opus"),
        (".mp4", "aac", "out.webm", "opus"),
        (".mov", "pcm_s24le", "out.mp4", "aac"),
        (".mov", "alac", "out.mp4", "aac"),
        (".mp4", "ac3", "out.mp4", "aac"),
        (".mp4", "libmp3lame", "out.mp4", "mp3"),
        (".mp4", "libopus", "out.mp4", "opus"),
        (".mkv", "flac", "out.mp4", "flac"),
    ],
)
def test_sound_arrives_where_it_was(
    suffix: str, codec: str, out: str, kept: str, tmp_path: Path
) -> None:
    source = make(tmp_path / f"source{suffix}", Recipe(pts=TWO_SECONDS, audio=(codec,)))
    matte(source, tmp_path / out)
    with av.open(str(tmp_path / out)) as clip:
        assert clip.streams.audio[0].codec_context.codec.canonical_name == kept
    before, after = _clicks(source), _clicks(tmp_path / out)
    assert len(before) == 3
    # One audio frame at 48 kHz is at most 1024 samples.
    assert np.abs(np.subtract(before, after)).max() < 1024 / 48000


def test_lossless_means_every_sample(tmp_path: Path) -> None:
    source = make(tmp_path / "source.mkv", Recipe(pts=TWO_SECONDS, audio=("flac",)))
    matte(source, tmp_path / "out.mov")
    first, second = _samples(source)[0], _samples(tmp_path / "out.mov")[0]
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("suffix", "codec", "kept"),
    [(".mov", "pcm_s16le", "flac"), (".mov", "alac", "alac"), (".mp4", "ac3", "ac3")],
)
def test_lossless_composites_on_request(suffix: str, codec: str, kept: str, tmp_path: Path) -> None:
    source = make(tmp_path / f"source{suffix}", Recipe(pts=TWO_SECONDS, audio=(codec,)))
    summary = matte(source, tmp_path / "out.mp4", Settings(lossless_audio=True))
    assert not summary.losses
    with av.open(str(tmp_path / "out.mp4")) as clip:
        assert clip.streams.audio[0].codec_context.codec.canonical_name == kept
    assert np.array_equal(_samples(source)[0], _samples(tmp_path / "out.mp4")[0])


def test_sound_of_composites_is_of_a_high_rate_and_in_its_place(tmp_path: Path) -> None:
    source = make(tmp_path / "source.mov", Recipe(pts=TWO_SECONDS, audio=("pcm_s16le",)))
    matte(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as clip:
        assert clip.streams.audio[0].codec_context.bit_rate > 200_000
    # The encoder begins 1024 samples early; players leave them out, as the edit list says.
    assert _clicks(tmp_path / "out.mp4") == pytest.approx(_clicks(source), abs=3 / 48000)


def test_webm_holds_no_lossless_sound(tmp_path: Path) -> None:
    source = make(tmp_path / "source.mov", Recipe(audio=("pcm_s16le",)))
    with pytest.raises(UsageError, match="webm holds no lossless sound"):
        matte(source, tmp_path / "out.webm", Settings(lossless_audio=True))


def test_the_last_sound_of_a_late_decoder_is_kept(tmp_path: Path) -> None:
    # WMA's decoder gives its last frame when it is asked for it at the end.
    source = make(
        tmp_path / "source.asf",
        Recipe(codec="mpeg4", options=(), audio=("wmav2",), audio_bit_rate=128000),
    )
    matte(source, tmp_path / "out.mov")
    assert len(_samples(tmp_path / "out.mov")[0]) == len(_samples(source)[0])


@pytest.mark.parametrize("out", ["out.mov", "out.mp4", "out.webm"])
def test_a_long_pause_stays(out: str, tmp_path: Path) -> None:
    """Longer than ten seconds, which is all that libav's muxers wait, and a break of a clock."""
    source = _with_pause(tmp_path / "source.mkv", 15)
    matte(source, tmp_path / out)
    assert _clicks_by_frame(tmp_path / out) == pytest.approx([0.5, 15.5], abs=0.002)


def _with_pause(path: Path, pause: int) -> Path:
    """A clip of a frame a second with two seconds of sound, each a click at its middle."""
    picture = make(path.with_name("picture.mp4"), Recipe(rate=Fraction(1), pts=range(pause + 2)))
    with av.open(str(picture)) as clip, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(clip.streams.video[0])
        track = out.add_stream("flac", rate=48000, layout="stereo")
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
        for first in (0, pause * 48000):
            sound = np.zeros((1, 96000), "i2")
            sound[0, 48000:48200] = 20000
            for start in range(0, 48000, 4800):
                piece = av.AudioFrame.from_ndarray(
                    sound[:, 2 * start : 2 * start + 9600].copy(), "s16", "stereo"
                )
                piece.sample_rate, piece.time_base = 48000, Fraction(1, 48000)
                piece.pts = first + start
                out.mux(track.encode(piece))
        out.mux(track.encode(None))
    return path


def _clicks_by_frame(path: Path) -> list[float]:
    """When the clicks begin (seconds), each frame of sound taken by its own time."""
    found: list[float] = []
    with av.open(str(path)) as clip:
        for frame in clip.decode(audio=0):
            samples = av.AudioResampler("flt").resample(frame)[0].to_ndarray()[0, ::2]
            loud = np.flatnonzero(np.abs(samples) > 0.3)
            times = [float(frame.time or 0) + at / frame.sample_rate for at in loud]
            found += [time for time in times[:1] if not found or time - found[-1] > 0.1]
    return found


def test_every_track_and_its_language(tmp_path: Path) -> None:
    recipe = Recipe(pts=TWO_SECONDS, audio=("aac", "aac", "aac"), languages=("eng", "deu", "jpn"))
    source = make(tmp_path / "source.mp4", recipe)
    summary = matte(source, tmp_path / "out.mov")
    assert summary.audio == ("aac copied",) * 3
    with av.open(str(tmp_path / "out.mov")) as clip:
        # QuickTime spells German the bibliographic way.
        assert [track.metadata["language"] for track in clip.streams.audio] == ["eng", "ger", "jpn"]


def test_a_track_that_starts_later_stays_later(tmp_path: Path) -> None:
    recipe = Recipe(pts=TWO_SECONDS, audio=("pcm_s16le",), audio_start=Fraction(1, 5))
    source = make(tmp_path / "source.mov", recipe)
    matte(source, tmp_path / "out.mov")
    assert _clicks(tmp_path / "out.mov") == pytest.approx(_clicks(source), abs=1e-3)


def test_a_range_cuts_the_sound_alike(tmp_path: Path) -> None:
    source = make(tmp_path / "source.mov", Recipe(pts=tuple(range(50)), audio=("pcm_s16le",)))
    matte(source, tmp_path / "out.mov", Settings(range="0.4..1.6"))
    # Clicks of the source at 0.5, 1.0 and 1.5 s are now at 0.1, 0.6 and 1.1 s.
    assert _clicks(tmp_path / "out.mov") == pytest.approx([0.1, 0.6, 1.1], abs=0.022)


@pytest.mark.parametrize(("suffix", "codec"), [(".mkv", "flac"), (".mpg", "mp2")])
@pytest.mark.parametrize("begin", [Fraction(0), Fraction(12, 25)])
def test_sound_begins_and_ends_with_a_range(
    suffix: str, codec: str, begin: Fraction, tmp_path: Path
) -> None:
    video = "libx264" if suffix == ".mkv" else "mpeg2video"
    options = (("preset", "ultrafast"),) if suffix == ".mkv" else ()
    recipe = Recipe(codec=video, options=options, pts=TWO_SECONDS, audio=(codec,))
    source = make(tmp_path / f"source{suffix}", recipe)
    whole = matte(source, tmp_path / "whole.mov")
    matte(source, tmp_path / "out.mov", Settings(range=f"{float(begin)}..{float(begin) + 0.6}"))
    assert " as pcm" in whole.audio[0]
    with av.open(str(tmp_path / "out.mov")) as clip:
        sound = clip.streams.audio[0]
        assert (sound.start_time or 0) * sound.time_base < Fraction(1, 100)
        assert abs(sound.duration * sound.time_base - Fraction(6, 10)) < Fraction(1, 1000)
    whole_clicks = np.array(_clicks(tmp_path / "whole.mov"))
    late = whole_clicks - float(begin)
    within = late[(late > 0.05) & (late < 0.6)]  # see _clicks
    assert _clicks(tmp_path / "out.mov") == pytest.approx(within, abs=0.001)


def test_no_audio_when_asked(tmp_path: Path) -> None:
    source = make(tmp_path / "source.mp4", Recipe(audio=("aac",)))
    matte(source, tmp_path / "out.mov", Settings(audio=False))
    with av.open(str(tmp_path / "out.mov")) as clip:
        assert not clip.streams.audio


@pytest.mark.slow
def test_in_sync_after_ten_minutes(tmp_path: Path) -> None:
    """NTSC picture and AAC sound for ten minutes: the last click is where it was."""
    recipe = Recipe(
        rate=Fraction(30000, 1001), pts=tuple(range(17983)), size=(32, 32), audio=("aac",)
    )
    source = make(tmp_path / "source.mp4", recipe)
    matte(source, tmp_path / "out.mov")
    before, after = _clicks(source), _clicks(tmp_path / "out.mov")
    assert len(before) == len(after) and before[-1] > 599
    assert np.abs(np.subtract(before, after)).max() < 1024 / 48000


def _samples(path: Path) -> tuple[np.ndarray, float]:
    """All samples of the first track's left channel, and the time of the first."""
    blocks, start = [], None
    with av.open(str(path)) as clip:
        resampler = av.AudioResampler("fltp")
        for frame in clip.decode(audio=0):
            start = float(frame.time or 0) if start is None else start
            blocks += [block.to_ndarray()[0] for block in resampler.resample(frame)]
    return np.concatenate(blocks), start or 0.0


def _clicks(path: Path) -> list[float]:
    """When the loud bursts of the test tone begin (seconds); one at the very start is left out."""
    samples, start = _samples(path)
    loud = np.flatnonzero(np.abs(samples) > 0.5)
    firsts = loud[np.flatnonzero(np.diff(loud, prepend=-48000) > 4800)]
    found = [start + first / 48000 for first in firsts]
    return [time for time in found if time > 0.05]
