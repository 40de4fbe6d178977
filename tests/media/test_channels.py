"""Channel layouts that a source does not name or a codec does not have, and sound that changes."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Recipe, make

from mattecast import Settings, matte
from mattecast.errors import UsageError
from mattecast.media.channels import nearest, placed

pytestmark = pytest.mark.usefixtures("left_half")

SECOND = tuple(range(25))
TONES = np.minimum(0.1 * (1 + np.arange(16) / 2), 0.9)


@pytest.mark.parametrize("out", ["out.mp4", "out.webm", "out.mov", "out.mkv"])
@pytest.mark.parametrize(
    ("channels", "aac", "opus"),
    [
        (1, "mono", "mono"),
        (2, "stereo", "stereo"),
        (3, "3.0", "3.0"),
        (4, "4.0", "quad"),
        (5, "5.0", "5.1"),
        (6, "5.1", "5.1"),
        (8, "7.1", "7.1"),
    ],
)
def test_every_channel_without_a_name_is_kept(
    channels: int, aac: str, opus: str, out: str, tmp_path: Path
) -> None:
    # Matroska says how many channels PCM has, not which.
    source = _clip(tmp_path / "source.mkv", "pcm_u8", f"{channels} channels")
    summary = matte(source, tmp_path / out)
    assert not summary.damage
    layout, levels = _levels(tmp_path / out)
    expected = {"out.mp4": aac, "out.webm": opus}.get(out)
    assert expected in (None, layout)
    if expected == "5.1" and channels == 5:
        assert levels[3] < 0.01  # FFmpeg's encoder of Opus would swap the channels of 5.0
        levels = np.delete(levels, 3)
    wanted = np.full(channels, 0.1) if channels < 3 else TONES[:channels]
    if out in ("out.mp4", "out.webm") and channels in (6, 8):
        # Lossy codecs cut the low channel off above 120 Hz.
        levels, wanted = np.delete(levels, 3), np.delete(wanted, 3)
    assert levels == pytest.approx(wanted, rel=0.1)


def test_sixteen_channels_are_kept_or_refused_at_once(tmp_path: Path) -> None:
    source = _clip(tmp_path / "source.mkv", "pcm_u8", "16 channels")
    with pytest.raises(UsageError, match="16 channels of sound do not fit into h264, whose aac"):
        matte(source, tmp_path / "out.mp4")
    with pytest.raises(UsageError, match="whose flac holds 8"):
        matte(source, tmp_path / "out.mp4", Settings(lossless_audio=True))
    with pytest.raises(UsageError, match="whose opus holds 8"):
        matte(source, tmp_path / "out.webm")
    assert [path.name for path in tmp_path.iterdir()] == ["source.mkv"]
    matte(source, tmp_path / "out.mov")
    assert _levels(tmp_path / "out.mov")[1] == pytest.approx(TONES, rel=0.1)


@pytest.mark.parametrize(
    ("layout", "aac", "opus"),
    [
        ("5.1(side)", "5.1", "5.1"),
        ("2.1", "5.1", "5.1"),  # the low channel stays, which 3.0 lacks
        ("quad", "5.0", "quad"),
        ("4.0", "4.0", "5.1"),  # the front centre stays alone, which quad lacks
        ("6.0", "7.1", "7.1"),
        ("6.1", "7.1", "7.1"),
        ("7.0", "7.1", "7.1"),
        ("7.1(wide)", "7.1", "7.1"),
        ("7.1.4", "7.1", "7.1"),
        ("2 channels (FL+LFE)", "stereo", "stereo"),  # nothing can be mixed from these
        ("ambisonic 1", "4.0", "quad"),
        ("16 channels", None, None),
    ],
)
def test_the_nearest_layout_of_a_codec(layout: str, aac: str | None, opus: str | None) -> None:
    found = [nearest(placed(layout, codec), codec) for codec in ("aac", "libopus")]
    assert found == [aac, opus]
    # PCM takes everything as it is.
    assert nearest(placed(layout, "pcm_s24le"), "pcm_s24le") == layout


@pytest.mark.parametrize(
    ("codec", "first", "then"),
    [
        ("mp2", ("stereo", 48000), ("mono", 48000)),
        ("mp2", ("mono", 48000), ("stereo", 48000)),
        ("mp2", ("stereo", 48000), ("stereo", 44100)),
        ("mp2", ("stereo", 32000), ("mono", 48000)),
        ("ac3", ("stereo", 48000), ("5.1(side)", 48000)),
        ("aac", ("5.1", 48000), ("stereo", 48000)),
    ],
)
@pytest.mark.parametrize("out", ["out.mov", "out.mp4", "out.mkv"])
def test_sound_that_changes_in_mid_stream_stays_whole_and_in_sync(
    codec: str, first: tuple[str, int], then: tuple[str, int], out: str, tmp_path: Path
) -> None:
    source = tmp_path / "source.ts"
    parts = [
        make(
            tmp_path / f"{number}.ts",
            Recipe(
                pts=tuple(range(25 * number, 25 * number + 25)),
                audio=(codec,),
                audio_start=Fraction(number),
                layout=layout,
                audio_rate=rate,
                options=(("preset", "ultrafast"), ("bf", "0")),
            ),
        )
        for number, (layout, rate) in enumerate((first, then))
    ]
    source.write_bytes(b"".join(part.read_bytes() for part in parts))
    summary = matte(source, tmp_path / out)
    assert not summary.damage
    with av.open(str(tmp_path / out)) as clip:
        track = clip.streams.audio[0]
        widest = max(first[0], then[0], key=lambda name: av.AudioLayout(name).nb_channels)
        assert track.layout.nb_channels == av.AudioLayout(widest).nb_channels
        assert track.rate == max(first[1], then[1])
    # Codecs smear clicks by a few samples, and Matroska rounds times. The clicks at the starts of
    # the parts may be cut.
    before, after = _clicks(source), _clicks(tmp_path / out)
    assert len(before) == 2
    assert after == pytest.approx(before, abs=0.0015 if out == "out.mkv" else 0.0005)


def test_channels_in_an_order_of_their_own_are_read(tmp_path: Path) -> None:
    source = _clip(tmp_path / "source.mov", "pcm_s16le", "6.1")
    _reorder(source)
    # PyAV ends the process where it fails: another process tells of it.
    run = [sys.executable, "-m", "mattecast", "probe", str(source)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "pcm_s16le, 48000 Hz, 7 channels" in done.stdout
    matte(source, tmp_path / "out.webm")
    with av.open(str(tmp_path / "out.webm")) as clip:
        assert clip.streams.audio[0].layout.name == "7.1"


def _reorder(path: Path) -> None:
    """Name seven channels in the order of MPEG_6_1_A (L R C LFE Ls Rs Cs), which FFmpeg lacks."""
    content = bytearray(path.read_bytes())
    tag = content.index(b"chan") + 8  # after the name, version and flags
    content[tag : tag + 8] = (125 << 16 | 7).to_bytes(4, "big") + bytes(4)
    path.write_bytes(content)


def _clip(path: Path, codec: str, layout: str) -> Path:
    return make(path, Recipe(pts=SECOND, audio=(codec,), layout=layout))


def _levels(path: Path) -> tuple[str, np.ndarray]:
    """The layout of the first track, and how loud each channel's tone is between two clicks."""
    blocks = []
    with av.open(str(path)) as clip:
        resampler = av.AudioResampler("flt")
        layout = clip.streams.audio[0].layout
        for frame in clip.decode(audio=0):
            blocks += [block.to_ndarray()[0] for block in resampler.resample(frame)]
    middle = np.concatenate(blocks).reshape(-1, layout.nb_channels)[12000:22000]
    return layout.name, np.sqrt(2 * (middle**2).mean(axis=0))


def _clicks(path: Path) -> np.ndarray:
    """When the clicks near half seconds begin, in seconds from the first picture.

    Each frame of sound counts by its own time.
    """
    loud: list[float] = []
    with av.open(str(path)) as clip:
        for frame in clip.decode(audio=0):
            channels = frame.layout.nb_channels
            first = av.AudioResampler("flt").resample(frame)[0].to_ndarray()[0, ::channels]
            loud += [
                float(frame.time) + at / frame.sample_rate
                for at in np.flatnonzero(abs(first) > 0.4)
            ]
    with av.open(str(path)) as clip:
        start = float(next(clip.decode(video=0)).time)
    times = np.array(loud)
    times = times[np.diff(times, prepend=-1) > 0.25] - start
    return times[np.abs(times % 1 - 0.5) < 0.1]
