"""`mattecast check` names what is wrong with a clip, and survives any file."""

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Recipe, make
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mattecast import Settings, matte
from mattecast.errors import MediaError
from mattecast.inspect import premultiplied
from mattecast.inspect.check import check
from mattecast.inspect.finding import Report

WIDTH, HEIGHT, FRAMES = 160, 96, 6
RATE = Fraction(24000, 1001)
BT709 = 1
LIMITED = 1
Rgba = NDArray[np.uint8]


def soft_disc(multiplied: bool = False) -> Rgba:
    """A bright disc with a wide soft edge, (H, W, 4) uint8, full of colour under soft alpha."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    distance = np.hypot(columns - WIDTH / 2, rows - HEIGHT / 2)
    alpha = np.clip((40 - distance) / 16 + 0.5, 0, 1)
    colour = np.array([0.85, 0.65, 0.55]) * (alpha > 0)[..., None]
    colour = colour * alpha[..., None] if multiplied else colour
    return np.round(np.dstack([colour, alpha]) * 255).astype(np.uint8)


def paint(frame: av.VideoFrame, rgba: Rgba, tagged: bool) -> av.VideoFrame:
    """Colours (BT.709, limited) and alpha into a yuva444p10le frame."""
    colour = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgba[..., :3]), format="rgb24")
    yuv = colour.reformat(format="yuv444p10le", dst_colorspace=BT709, dst_color_range=LIMITED)
    planes = [np.frombuffer(plane, np.uint16) for plane in yuv.planes]
    planes.append(np.round(rgba[..., 3].astype(float) * 1023 / 255).astype(np.uint16))
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, np.uint16).reshape(HEIGHT, -1)
        rows[:, :WIDTH] = values.reshape(HEIGHT, -1)[:, :WIDTH]
    if tagged:
        frame.color_primaries = frame.color_trc = frame.colorspace = BT709
        frame.color_range = LIMITED
    return frame


def write_prores(
    path: Path,
    rgba: Rgba | None = None,
    *,
    tagged: bool = True,
    rate: Fraction = RATE,
    timecode: str = "01:00:00:00",
    times: list[int] | None = None,
    sound: float | None = 0.0,
    movflags: str = "+faststart+write_colr",
) -> Path:
    """A ProRes 4444 clip with alpha; `times` in 1/15360 s make it variable, `sound` starts it."""
    rgba = soft_disc() if rgba is None else rgba
    base = Fraction(1, 15360) if times else 1 / rate
    with av.open(path, "w", options={"movflags": movflags}) as clip:
        options = {"profile": "4444", "vendor": "apl0", "field_order": "progressive"}
        options |= {"flags": "+qscale", "global_quality": str(4 * 118)}
        video = clip.add_stream("prores_ks", rate=rate, options=options)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuva444p10le"
        video.codec_context.time_base = base
        video.codec_context.sample_aspect_ratio = Fraction(1)
        if timecode:
            video.metadata["timecode"] = timecode
        if tagged:
            context = video.codec_context
            context.color_primaries = context.color_trc = context.colorspace = BT709
            context.color_range = LIMITED
        audio = (
            clip.add_stream("pcm_s24le", rate=48000, layout="mono") if sound is not None else None
        )
        for index in range(FRAMES):
            frame = paint(av.VideoFrame(WIDTH, HEIGHT, "yuva444p10le"), rgba, tagged)
            frame.pts, frame.time_base = times[index] if times else index, base
            clip.mux(video.encode(frame))
        clip.mux(video.encode(None))
        if audio and sound is not None:
            silence = np.zeros((1, round(48000 * FRAMES / rate)), np.int32)
            heard = av.AudioFrame.from_ndarray(silence, format="s32", layout="mono")
            heard.sample_rate, heard.time_base = 48000, Fraction(1, 48000)
            heard.pts = round(48000 * sound)
            clip.mux(audio.encode(heard))
            clip.mux(audio.encode(None))
    return path


def write(path: Path, codec: str, pixels: str, options: dict[str, str] | None = None) -> Path:
    """The disc in another codec, 25 frames a second."""
    with av.open(path, "w") as clip:
        video = clip.add_stream(codec, rate=25, options=options or {})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, pixels
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(soft_disc(), format="rgba").reformat(format=pixels)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            clip.mux(video.encode(frame))
        clip.mux(video.encode(None))
    return path


def said(report: Report, level: str) -> dict[str, str]:
    return {each.what: each.detail for each in report.findings if each.level == level}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prores(tmp_path_factory.mktemp("check") / "clip.mov")


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("others")
    yield {
        "webm": write(folder / "a.webm", "libvpx-vp9", "yuva420p", {"cpu-used": "8"}),
        "ffv1": write(folder / "a.mkv", "ffv1", "yuva444p10le"),
        "qtrle": write(folder / "a.mov", "qtrle", "argb"),
        "mp4": write(folder / "a.mp4", "libx264", "yuv420p"),
    }


def patched(source: Path, target: Path, mark: bytes, offset: int, new: bytes) -> Path:
    """A copy with bytes replaced at an offset from every occurrence of a mark."""
    data = bytearray(source.read_bytes())
    at = data.find(mark)
    assert at >= 0
    while at >= 0:
        data[at + offset : at + offset + len(new)] = new
        at = data.find(mark, at + len(mark))
    target.write_bytes(data)
    return target


def test_a_conforming_clip_is_clean(clip: Path) -> None:
    report = check(clip)
    assert report.ok
    assert said(report, "warning") == said(report, "error") == said(report, "note") == {}
    good = said(report, "ok")
    assert good["header version"] == "1"
    assert good["codec"] == f"ap4h ProRes 4444, {WIDTH}x{HEIGHT}"
    assert good["alpha"] == "16 bits in the frames"
    assert good["colr"] == "nclc 1-1-1 (BT709, BT709, BT709)"
    assert good["header colour"] == "1-1-1 (BT709, BT709, BT709)"
    assert (good["fiel"], good["pasp"]) == ("progressive", "1:1")
    assert good["timing"].startswith("constant 24000/1001 (23.976) frames/s, time base 1/24000")
    assert good["timecode"].startswith("01:00:00:00, non-drop, 24000/1001")
    assert good["alpha kind"].startswith("straight")
    assert "alpha 0 to 255" in good["alpha content"]
    assert "+0.0 ms and ends +0.0 ms" in good["audio"]
    assert all(line.startswith("ok ") for line in report.lines())


def test_version_0_is_an_error(clip: Path, tmp_path: Path) -> None:
    old = patched(clip, tmp_path / "old.mov", b"icpf", 6, b"\0\0")
    report = check(old)
    assert not report.ok
    assert "opaque" in said(report, "error")["header version"]


@pytest.mark.parametrize(
    ("mark", "offset", "new", "level", "what", "part"),
    [
        (b"icpf", 4, b"\0\x14", "error", "frame header", "header is 20 bytes, its parts 148"),
        (b"icpf", 16, b"\x80", "error", "codec", "promises 4:4:4"),
        (b"icpf", 18, b"\x09\x10\x09", "warning", "colour", "colr says (1, 1, 1), frames say"),
        (b"icpf", 19, b"\x07", "warning", "header colour", "does not define these"),
        (b"icpf", 18, b"\x06\x06\x06", "warning", "header colour", "write 1, the same curve"),
        (b"icpf", 17, b"\x13", "warning", "header rate", "25, but the track runs at 24000/1001"),
        (b"icpf", 12, b"\0\x20", "error", "frame header", "picture is 32x96, track says 160x96"),
        (b"icpf", 21, b"\0", "note", "alpha", "none"),
        (b"icpf", 0, b"jpeg", "error", "frame", "not a ProRes frame"),
        (b"nclc", 0, b"prof", "note", "colr", "ICC"),
        (b"fiel", 4, b"\2\6", "warning", "scan", "fiel differs"),
        (b"ap4h", 78, b"\0\x18", "warning", "depth", "24 bits in the track"),
        (b"ap4h\0\0\0\0\0\0", 0, b"apch", "error", "alpha", "hosts drop it"),
    ],
)
def test_each_fault_is_named(
    clip: Path,
    tmp_path: Path,
    mark: bytes,
    offset: int,
    new: bytes,
    level: str,
    what: str,
    part: str,
) -> None:
    report = check(patched(clip, tmp_path / "patched.mov", mark, offset, new))
    assert part in said(report, level)[what]


def test_missing_colour_is_a_warning(tmp_path: Path) -> None:
    report = check(write_prores(tmp_path / "grey.mov", tagged=False, movflags="+faststart"))
    assert {"colr", "header colour"} <= said(report, "warning").keys()
    assert report.ok


def test_premultiplied_is_suspected(tmp_path: Path) -> None:
    report = check(write_prores(tmp_path / "multiplied.mov", soft_disc(multiplied=True)))
    assert said(report, "warning")["alpha kind"].startswith("premultiplied")


@pytest.mark.parametrize(("alpha", "word"), [(255, "opaque"), (0, "clear")])
def test_useless_alpha_is_a_warning(tmp_path: Path, alpha: int, word: str) -> None:
    rgba = soft_disc()
    rgba[..., 3] = alpha
    report = check(write_prores(tmp_path / "flat.mov", rgba))
    assert said(report, "warning")["alpha content"].startswith(f"{word} everywhere")
    assert said(report, "note")["alpha kind"].startswith("unclear")


@pytest.mark.parametrize(
    ("timecode", "rate", "shown"),
    [
        ("01:00:00;00", Fraction(30000, 1001), "01:00:00;00, drop-frame"),
        ("10:20:30:12", Fraction(25), "10:20:30:12, non-drop, 25 frames/s"),
    ],
)
def test_timecode_is_reported(tmp_path: Path, timecode: str, rate: Fraction, shown: str) -> None:
    report = check(write_prores(tmp_path / "tc.mov", timecode=timecode, rate=rate))
    assert said(report, "ok")["timecode"].startswith(shown)
    assert not said(report, "warning")


def test_timecode_of_another_rate(clip: Path, tmp_path: Path) -> None:
    entry = b"tmcd" + bytes(6) + b"\0\1"
    # Clock 24000, 1001 ticks a frame, 24 frames a second become 25, 1 and 25.
    wrong = patched(clip, tmp_path / "tc.mov", entry, 20, b"\0\0\0\x19\0\0\0\1\x19")
    assert "counts 25 frames/s" in said(check(wrong), "warning")["timecode"]


def test_timing_of_a_variable_clip(tmp_path: Path) -> None:
    times = [0, 512, 1024, 2048, 2560, 3072]
    report = check(write_prores(tmp_path / "vfr.mov", times=times, timecode="", sound=None))
    assert "variable rate" in said(report, "note")["timing"]
    assert "30 frames/s, 1 of them left out" in said(report, "note")["timing"]
    times = [0, 512, 1100, 2048, 2560, 3000]
    report = check(write_prores(tmp_path / "jitter.mov", times=times, timecode="", sound=None))
    assert "440 to 948 ticks" in said(report, "note")["timing"]
    assert said(report, "note")["timecode"] == said(report, "note")["audio"] == "none"


def test_late_sound_is_a_warning(tmp_path: Path) -> None:
    report = check(write_prores(tmp_path / "late.mov", sound=0.1))
    assert "starts +100.0 ms and ends +100.0 ms" in said(report, "warning")["audio"]
    assert "0.100 s empty" in said(report, "note")["edit list"]
    report = check(write_prores(tmp_path / "near.mov", sound=0.01))
    assert "starts +10.0 ms" in said(report, "ok")["audio"]


def test_header_at_the_end_is_a_note(tmp_path: Path) -> None:
    report = check(write_prores(tmp_path / "slow.mov", movflags="+write_colr"))
    assert "header after media" in said(report, "note")["faststart"]


def test_other_files_are_reported_too(others: dict[str, Path]) -> None:
    reports = {name: check(path) for name, path in others.items()}
    assert all(report.ok for report in reports.values())
    for name in ("webm", "ffv1", "qtrle"):
        assert said(reports[name], "ok")["alpha kind"].startswith("straight"), name
        assert "alpha 0 to 255" in said(reports[name], "ok")["alpha content"], name
    assert said(reports["webm"], "ok")["alpha mode"] == "1 in the container"
    assert "none" in said(reports["mp4"], "note")["alpha"]
    assert "constant 25 frames/s" in said(reports["mp4"], "ok")["timing"]
    assert "25 frames/s" in said(reports["ffv1"], "ok")["timing"]


def test_an_unknown_codec_is_reported(clip: Path, others: dict[str, Path], tmp_path: Path) -> None:
    report = check(patched(clip, tmp_path / "odd.mov", b"ap4h", 0, b"zzzz"))
    assert "video codec is unknown" in said(report, "error")["pictures"]
    with pytest.raises(MediaError, match="video codec is unknown"):
        check(patched(others["ffv1"], tmp_path / "odd.mkv", b"V_FFV1", 0, b"V_NOPE"))
    report = check(patched(clip, tmp_path / "mute.mov", b"in24", 0, b"zzzz"))
    assert report.ok


def test_times_of_fragments_come_from_the_packets(tmp_path: Path) -> None:
    flags = "+frag_keyframe+empty_moov+write_colr"
    report = check(write_prores(tmp_path / "pieces.mov", movflags=flags, timecode=""))
    assert "fragmented" in said(report, "note")["container"]
    assert "constant rate, 24000/1001" in said(report, "ok")["timing"]


def test_a_clip_that_is_cut_off_is_reported(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    cut = tmp_path / "cut.mov"
    cut.write_bytes(data[: len(data) * 2 // 3])
    report = check(cut)
    assert "cut short" in said(report, "error")["container"]
    assert "lies beyond the end" in said(report, "error")["frame"]
    cut.write_bytes(data[:600])
    with pytest.raises(MediaError, match="damaged QuickTime structure"):
        check(cut)


def test_what_is_no_video_is_one_clear_line(tmp_path: Path) -> None:
    empty, text, sound = tmp_path / "empty.mov", tmp_path / "text.mov", tmp_path / "sound.mov"
    empty.touch()
    text.write_text("#EXTM3U\nhttp://127.0.0.1/clip.ts\n")
    with av.open(sound, "w") as clip:
        track = clip.add_stream("pcm_s16le", rate=48000)
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), layout="mono")
        heard.sample_rate = 48000
        clip.mux(track.encode(heard))
    for path in (empty, text, sound, tmp_path, tmp_path / "missing.mov", Path("/dev/null")):
        with pytest.raises(MediaError) as caught:
            check(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def box(kind: bytes, payload: bytes, size: int | None = None) -> bytes:
    return (len(payload) + 8 if size is None else size).to_bytes(4, "big") + kind + payload


def hostile() -> dict[str, bytes]:
    nested = b""
    for _ in range(5000):
        nested = box(b"trak", nested)
    clock = box(b"mvhd", bytes(12) + b"\0\0\3\xe8" + bytes(84))
    return {
        "nested": box(b"moov", clock + nested),
        "many": box(b"moov", clock + box(b"free", b"") * 100_000),
        "tracks": box(b"moov", clock + box(b"trak", b"") * 4000),
        "claims": box(b"moov", clock, size=0xFFFFFFF0),
        "wide": b"\0\0\0\1moov" + (1 << 62).to_bytes(8, "big"),
        "small": box(b"ftyp", b"qt  ") + box(b"moov", clock, size=3),
        "still": box(b"moov", box(b"mvhd", bytes(96))),
    }


@pytest.mark.parametrize("name", hostile())
def test_hostile_structure_is_refused_quickly(name: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.mov"
    path.write_bytes(hostile()[name])
    started = time.process_time()
    with pytest.raises(MediaError):
        check(path)
    assert time.process_time() - started < 5


flips = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=12)


@given(flips=flips, in_header=st.booleans(), kept=st.floats(0, 1) | st.just(1.0))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@pytest.mark.parametrize("kind", ["prores", "webm", "ffv1", "mp4"])
def test_any_damage_gives_a_report_or_one_line(
    kind: str,
    clip: Path,
    others: dict[str, Path],
    tmp_path: Path,
    flips: list[tuple[float, int]],
    in_header: bool,
    kept: float,
) -> None:
    source = clip if kind == "prores" else others[kind]
    data = bytearray(source.read_bytes())
    reach = min(2000, len(data)) if in_header else len(data)
    for place, value in flips:
        data[min(int(place * reach), len(data) - 1)] = value
    path = tmp_path / f"damaged{source.suffix}"
    path.write_bytes(data[: int(kept * len(data))])
    started = time.process_time()
    try:
        assert all(line.isprintable() for line in check(path).lines())
    except MediaError as failure:
        assert "\n" not in str(failure)
    assert time.process_time() - started < 10


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_noise_does_not_change_the_verdict(power: float) -> None:
    rng = np.random.default_rng(1)
    rgba = soft_disc().astype(np.float32)
    alpha = rgba[..., 3:] / 255
    rgba[..., :3] = rgba[..., :3] * alpha**power + rng.normal(0, 4, (HEIGHT, WIDTH, 3))
    verdict = premultiplied.judge([np.clip(rgba, 0, 255).astype(np.uint8)]).verdict
    assert verdict == ("premultiplied" if power else "straight")


def test_a_dark_subject_is_unclear() -> None:
    rgba = soft_disc()
    rgba[..., :3] //= 12
    assert premultiplied.judge([rgba]).verdict == "unclear"


@pytest.mark.parametrize("format", ["h264", "matte", "prores"])
def test_a_clip_without_alpha_is_no_error(format, tmp_path, left_half):
    """Composites and gray mattes are opaque; a note says when that is right."""
    source = make(tmp_path / "source.mp4", Recipe())
    suffix = ".mp4" if format == "h264" else ".mov"
    background = None if format == "matte" else "green"
    matte(source, tmp_path / f"out{suffix}", Settings(format=format, background=background))
    report = check(tmp_path / f"out{suffix}")
    (alpha,) = [each for each in report.findings if each.what == "alpha"]
    assert report.ok and alpha.level == "note"
    assert "right for composites and mattes, not for cut-outs" in alpha.detail
