"""Standard input and output, against the same clip as a file, and with ffmpeg at both ends."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import av
import cv2
import numpy as np
import pytest
from clips import Recipe, make
from commands import call

from mattecast import Settings, matte
from mattecast.media.frame import components

SIZE, RATE, FRAMES = (96, 64), Fraction(24000, 1001), 40
QUICK = ("--detail", "fast", "--quiet")
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of H.264 with B-frames and sound, of two shots; tests read it only."""
    folder = tmp_path_factory.mktemp("piped")
    whole = Recipe(size=SIZE, rate=RATE, pts=tuple(range(FRAMES)), audio=("aac",))
    heard = make(folder / "heard.mp4", whole)
    shots = [_shot(np.random.default_rng(seed), FRAMES // 2) for seed in (1, 2)]
    with av.open(heard) as source, av.open(folder / "clip.mp4", "w") as target:
        options = {"preset": "ultrafast", "g": "12", "bf": "2"}
        video = target.add_stream("libx264", rate=RATE, options=options)
        video.width, video.height, video.pix_fmt = *SIZE, "yuv420p"
        video.codec_context.color_range = video.codec_context.colorspace = 1
        video.codec_context.color_primaries = video.codec_context.color_trc = 1
        audio = target.add_stream_from_template(source.streams.audio[0])
        for number, picture in enumerate(each for shot in shots for each in shot):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, 1 / RATE
            target.mux(video.encode(frame))
        target.mux(video.encode(None))
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = audio
                target.mux(packet)
    return folder / "clip.mp4"


def _shot(random: np.random.Generator, count: int) -> list[np.ndarray[Any, Any]]:
    """A pattern that moves: (64, 96, 3) uint8 RGB."""
    coarse = random.integers(0, 255, (8, 12, 3)).astype(np.uint8)
    pattern = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)
    return [np.roll(pattern, number, axis=1) for number in range(count)]


@pytest.fixture(scope="module")
def stream(clip: Path) -> bytes:
    """The clip's packets in NUT."""
    return remuxed(clip, "nut")


def remuxed(path: Path, form: str, kind: str = "") -> bytes:
    """A clip's packets in a container that a pipe takes, by PyAV; of all tracks or one kind."""
    written = bytearray()

    class Sink:
        def write(self, data: bytes) -> int:
            written.extend(data)
            return len(data)

    with av.open(path) as source, av.open(Sink(), "w", format=form) as target:
        taken = [each for each in source.streams if kind in ("", each.type)]
        streams = {each.index: target.add_stream_from_template(each) for each in taken}
        for packet in source.demux(taken):
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return bytes(written)


@dataclass(frozen=True)
class Result:
    """What a call of the command left: its exit code, what it wrote, and its lines of error."""

    code: int
    out: bytes
    lines: list[str]

    def refuses(self, code: int, *words: str) -> None:
        """Check for one clear line and the exit code, and that nothing was written."""
        assert self.code == code, self.lines
        assert len(self.lines) == 1 and self.lines[0].startswith("mattecast: "), self.lines
        assert "should not happen" not in self.lines[0] and not self.out
        for word in words:
            assert word in self.lines[0]


def piped(*arguments: str | Path, data: bytes | BinaryIO = b"") -> Result:
    """The command in this process, with real standard streams: a pipe that brings `data`, or a
    file, and a file for what is written."""
    with tempfile.TemporaryFile() as out, _standard_streams(data, out):
        result = call("matte", *arguments, *QUICK)
        out.seek(0)
        return Result(result.code, out.read(), result.err.splitlines())


@contextmanager
def _standard_streams(data: bytes | BinaryIO, out: BinaryIO) -> Iterator[None]:
    kept = [os.dup(number) for number in (0, 1)]
    writer = None
    try:
        if isinstance(data, bytes):
            ours, theirs = os.pipe()
            writer = threading.Thread(target=_write, args=(theirs, data))
            writer.start()
            os.dup2(ours, 0)
            os.close(ours)
        else:
            os.dup2(data.fileno(), 0)
        os.dup2(out.fileno(), 1)
        yield
    finally:
        for number in (0, 1):
            os.dup2(kept[number], number)
            os.close(kept[number])
        if writer:
            writer.join()


def _write(number: int, data: bytes) -> None:
    with suppress(BrokenPipeError), os.fdopen(number, "wb") as pipe:
        pipe.write(data)


def start(*arguments: str | Path, **streams: Any) -> subprocess.Popen[bytes]:
    """The command as a process of its own."""
    command = [sys.executable, "-m", "mattecast", "matte", *map(str, arguments), *QUICK]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.Popen(command, **streams)


def pictures(path: Path) -> list[tuple[Fraction, str]]:
    """Each picture's time in seconds, and a hash of its codes."""
    with av.open(path) as opened:
        stream = opened.streams.video[0]
        return [_hashed(frame, stream) for frame in opened.decode(stream)]


def _hashed(frame: av.VideoFrame, stream: Any) -> tuple[Fraction, str]:
    assert frame.pts is not None
    codes = b"".join(component.astype(np.uint16).tobytes() for component in components(frame))
    return frame.pts * stream.time_base, hashlib.md5(codes).hexdigest()


def sound(path: Path) -> bytes:
    """The decoded sound."""
    with av.open(path) as opened:
        return b"".join(frame.to_ndarray().tobytes() for frame in opened.decode(audio=0))


# ---------------------------------------------------------------- as a file


@pytest.mark.parametrize("form", ["nut", "matroska", "mpegts"])
def test_a_stream_is_matted_as_the_file_is(
    form: str, clip: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Counts, times, pixels and sound are those of the same stream in a file; with a real network
    the pre-rolls of both shots too."""
    if form != "nut":
        request.getfixturevalue("left_half")
    data = remuxed(clip, form)
    (tmp_path / "stream").write_bytes(data)
    result = piped("-", "-o", tmp_path / "piped.mov", "--format", "qtrle", data=data)
    assert result.code == 0, result.lines
    filed = tmp_path / "filed.mov"
    matte(tmp_path / "stream", filed, Settings(detail="fast", format="qtrle"))
    assert pictures(tmp_path / "piped.mov") == pictures(filed)
    assert len(pictures(filed)) == FRAMES and sound(tmp_path / "piped.mov") == sound(filed)


def test_a_range_of_a_stream(stream: bytes, clip: Path, tmp_path: Path, left_half: None) -> None:
    """The range is found without seeking, and its sound is whole."""
    out = tmp_path / "piped.nut"
    assert piped("-", "-o", out, "--range", "0.5..1.2", data=stream).code == 0
    matte(clip, tmp_path / "filed.nut", Settings(detail="fast", range="0.5..1.2"))
    assert pictures(out) == pictures(tmp_path / "filed.nut") and len(pictures(out)) == 17
    assert sound(out) == sound(tmp_path / "filed.nut")


def test_filters_and_another_rate(tmp_path: Path, left_half: None) -> None:
    """A frame more on either side is there for the filters, and frames are dropped as of a file."""
    source = make(tmp_path / "clip.nut", Recipe(codec="ffv1", options=(), pts=tuple(range(30))))
    wish = ("--deinterlace", "field", "--cfr", "10")
    result = piped("-", "-o", "-", *wish, data=source.read_bytes())
    (tmp_path / "piped.nut").write_bytes(result.out)
    settings = Settings(detail="fast", deinterlace="field", cfr=Fraction(10))
    matte(source, tmp_path / "filed.nut", settings)
    assert pictures(tmp_path / "piped.nut") == pictures(tmp_path / "filed.nut") != []


def test_raw_pictures(clip: Path, left_half: None) -> None:
    with av.open(clip) as opened:
        frames = [each.to_ndarray(format="rgb24") for each in opened.decode(video=0)]
    arguments = ("--raw", f"rgb24:{SIZE[0]}x{SIZE[1]}", "--rate", "24000/1001")
    colours = ("--whole-picture", "--foreground", "source")
    result = piped("-", "-o", "-", *arguments, *colours, data=np.stack(frames).tobytes())
    assert result.code == 0, result.lines
    with av.open(BytesIO(result.out)) as opened:
        found = list(opened.decode(video=0))
    assert [each.pts * each.time_base for each in found] == [n / RATE for n in range(FRAMES)]
    codes = [each.to_ndarray() for each in found]
    assert np.array_equal(np.stack(codes)[..., :3], np.stack(frames))
    assert (
        codes[0][:, : SIZE[0] // 3, 3].min() == 255 and codes[0][:, -SIZE[0] // 3 :, 3].max() == 0
    )


def test_a_file_as_standard_input_may_have_its_index_last(
    clip: Path, tmp_path: Path, left_half: None
) -> None:
    taken = tmp_path / "taken.mov"
    shutil.copy(clip, taken)
    with open(taken, "rb") as file:
        piped("-", "-o", taken, "--overwrite", data=file).refuses(1, "is the input itself")
    with open(clip, "rb") as file:
        assert piped("-", "-o", taken, "--overwrite", data=file).code == 0
    assert len(pictures(taken)) == FRAMES


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize(("pixels", "kind"), [("yuv420p", "rgba"), ("yuv422p10le", "rgba64le")])
def test_nut_holds_what_png_holds(pixels: str, kind: str, tmp_path: Path, left_half: None) -> None:
    """Straight RGBA of the source's depth, with the clip's own times, and its sound."""
    recipe = Recipe(
        codec="ffv1", pixels=pixels, options=(), pts=(0, 1, 2), rate=RATE, audio=("pcm_s16le",)
    )
    source = make(tmp_path / "clip.nut", recipe)
    (tmp_path / "out.nut").write_bytes(piped(source, "-o", "-").out)
    matte(source, tmp_path / "png", Settings(detail="fast", format="png"))
    stills = [pictures(path)[0][1] for path in sorted((tmp_path / "png").iterdir())]
    with av.open(tmp_path / "out.nut") as opened:
        stream = opened.streams.video[0]
        assert stream.codec_context.pix_fmt == kind
        found = [_hashed(each, stream) for each in opened.decode(stream)]
    assert found == [(n / RATE, still) for n, still in enumerate(stills)]
    assert sound(tmp_path / "out.nut") == sound(source)


@pytest.mark.parametrize("format", ["rgba", "y4m", "ffv1", "webm"])
def test_other_formats_of_standard_output(
    format: str, clip: Path, tmp_path: Path, left_half: None
) -> None:
    result = piped(clip, "-o", "-", "--format", format)
    assert result.code == 0, result.lines
    suffix = {"rgba": ".rgba", "y4m": ".y4m", "ffv1": ".mkv", "webm": ".webm"}[format]
    filed, streamed = tmp_path / f"filed{suffix}", tmp_path / f"piped{suffix}"
    matte(clip, filed, Settings(detail="fast", format=format))
    if format in ("rgba", "y4m"):
        assert result.out == filed.read_bytes()
        return
    streamed.write_bytes(result.out)
    assert pictures(streamed) == pictures(filed) and sound(streamed) == sound(filed)
    with av.open(streamed) as opened:
        context = opened.streams.video[0].codec_context
        tags = context.color_range, context.colorspace, context.color_primaries, context.color_trc
    assert tags == (1, 1, 1, 1)


# ---------------------------------------------------------------- other programs


@needs_ffmpeg
def test_between_two_ffmpegs(clip: Path, tmp_path: Path) -> None:
    """The pipe of the documentation: what ffmpeg reads back is what a file would hold."""
    first, last = "ffmpeg -v error -i", "-c:v qtrle -c:a copy"
    ours = f"{sys.executable} -m mattecast matte - -o - {' '.join(QUICK)}"
    pipe = f"{first} {clip} -c copy -f nut - | {ours} | {first} - {last} out.mov"
    for line in (pipe, f"{first} {clip} -c copy in.nut"):
        _shell(line, tmp_path)
    matte(tmp_path / "in.nut", tmp_path / "out.nut", Settings(detail="fast"))
    _shell(f"{first} out.nut {last} filed.mov", tmp_path)
    assert pictures(tmp_path / "out.mov") == pictures(tmp_path / "filed.mov")
    assert len(pictures(tmp_path / "out.mov")) == FRAMES
    assert sound(tmp_path / "out.mov") == sound(tmp_path / "filed.mov")


def _shell(line: str, folder: Path) -> None:
    command = ["bash", "-c", f"set -o pipefail; {line}"]
    run = subprocess.run(command, capture_output=True, cwd=folder)
    assert run.returncode == 0 and not run.stdout and not run.stderr, run.stderr


# ---------------------------------------------------------------- ends


def test_pictures_come_while_the_stream_goes_on(stream: bytes) -> None:
    """The first pictures leave while the writer holds its end back; SIGTERM ends the waiting."""
    picture = SIZE[0] * SIZE[1] * 4
    with start("-", "-o", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(stream[:-1])
        process.stdin.flush()
        assert len(process.stdout.read(5 * picture)) == 5 * picture
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert process.stderr is not None
        told = process.stderr.read().decode()
        assert process.wait(30) == 143 and time.monotonic() - began < 20
    assert told.startswith("mattecast: stopped by SIGTERM")


def test_a_reader_that_has_seen_enough(clip: Path) -> None:
    """As other programs that a closed pipe ends: quiet, 128 + SIGPIPE."""
    with start(clip, "-o", "-") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.read(1000)
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait(60) == 141


@pytest.mark.parametrize("form", ["nut", "mpegts", "yuv4mpegpipe"])
def test_a_stream_that_breaks_off(form: str, clip: Path, tmp_path: Path, left_half: None) -> None:
    """What came is there, and the exit code says that more was to come."""
    y4m = form == "yuv4mpegpipe"
    whole = piped(clip, "-o", "-", "--format", "y4m").out if y4m else remuxed(clip, form)
    with av.open(BytesIO(whole)) as opened:
        packet = list(opened.demux(video=0))[FRAMES // 2]
    part = whole[: (packet.pos or 0) + packet.size // 2]
    out = tmp_path / "out.mov"
    piped("-", "-o", out, data=part).refuses(1, "standard input: broke off", str(out))
    assert 5 < len(pictures(out)) < FRAMES


@pytest.mark.parametrize("kind", ["video", "audio"])
def test_nut_that_ends_in_a_packet(
    kind: str, stream: bytes, tmp_path: Path, left_half: None
) -> None:
    """A few bytes are missing: H.264 decodes such a picture without an error."""
    with av.open(BytesIO(stream)) as opened:
        track = opened.streams.best(kind)
        ends = [(each.pos or 0) + each.size for each in opened.demux(track) if each.size]
    part = stream[: ends[len(ends) // 2] - 5]
    out = tmp_path / "out.mov"
    piped("-", "-o", out, data=part).refuses(1, "standard input: broke off", str(out))
    assert len(pictures(out)) > 5


def test_nut_without_an_index_may_be_whole(clip: Path, tmp_path: Path, left_half: None) -> None:
    """Long streams of raw pictures end with a picture, as those of mattecast do."""
    silent = tmp_path / "silent.nut"
    silent.write_bytes(remuxed(clip, "nut", "video"))
    pictured = piped(silent, "-o", "-").out
    with av.open(BytesIO(pictured)) as opened:
        end = max((each.pos or 0) + each.size for each in opened.demux(video=0) if each.size)
    out = tmp_path / "out.mov"
    assert piped("-", "-o", out, data=pictured[:end]).code == 0
    part = pictured[: end - 5]
    piped("-", "-o", out, "--overwrite", data=part).refuses(1, "standard input: broke off")


def test_a_signal_claims_nothing_of_a_pipe(stream: bytes) -> None:
    """What was written has gone to its reader."""
    with start("-", "-o", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(stream[: len(stream) * 3 // 4])
        process.stdin.flush()
        process.stdout.read(1000)
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.stderr.read() == b"mattecast: stopped by SIGTERM\n"
        assert process.wait(60) == 143


def test_a_full_disk(clip: Path, left_half: None) -> None:
    with open("/dev/full", "wb", buffering=0) as full, _standard_streams(b"", full):
        result = call("matte", clip, "-o", "-", *QUICK)
    result.refuses(1, "standard output: the disk is full; free some space")


# ---------------------------------------------------------------- refused


def test_streams_that_are_none(clip: Path, tmp_path: Path, left_half: None) -> None:
    out = ("-", "-o", tmp_path / "out.mov")
    piped(*out).refuses(1, "standard input: is empty")
    noise = np.random.default_rng(1).bytes(100_000)
    piped(*out, data=noise).refuses(1, "standard input: cannot be read as video")
    plain = clip.read_bytes()
    assert plain.index(b"moov") > plain.index(b"mdat")
    piped(*out, data=plain).refuses(1, "+faststart")
    only = remuxed(clip, "nut", "audio")
    piped(*out, data=only).refuses(1, "standard input: holds no video (only audio)")
    assert not list(tmp_path.iterdir())


def test_closed_streams(clip: Path) -> None:
    shell = f"exec {sys.executable} -m mattecast matte"
    for request, word in ((f"- -o {clip}.mov <&-", "input"), (f"{clip} -o - >&-", "output")):
        run = subprocess.run(["bash", "-c", f"{shell} {request}"], capture_output=True)
        Result(run.returncode, run.stdout, run.stderr.decode().splitlines()).refuses(
            2, f"standard {word} is closed"
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-",), "has no name"),
        (("-", "CLIP", "--out-dir", "OUT"), "has no name"),
        (("CLIP", "-o", "-", "--json"), "one thing only"),
        (("CLIP", "-o", "-", "--format", "prores"), "nut, rgba, y4m"),
        (("CLIP", "-o", "-", "--format", "fill-key"), "makes two files"),
        (("CLIP", "-o", "-", "--format", "prores"), "beginning is written last"),
        (("CLIP", "-o", "-", "--format", "png"), "a file for each picture"),
        (("CLIP", "-o", "-", "--format", "gif"), "needs a file; standard output takes"),
        (("CLIP", "-o", "-", "--sidecar", "edl"), "sidecar: names a file"),
        (("CLIP", "-o", "OUT.mov", "--raw", "rgba:96x64"), "of standard input"),
        (("-", "-o", "OUT.mov", "--raw", "rgba:96"), "raw 'rgba:96': expected"),
        (("-", "-o", "OUT.mov", "--raw", "rgba:0x48"), "raw 'rgba:0x48': expected"),
        (("-", "-o", "OUT.mov", "--raw", "nothing:96x64"), "'nothing' is not known"),
        (("-", "-o", "OUT.mov", "--guidance", "CORRECTED"), "corrections"),
        (("-", "-o", "OUT.mov", "--guidance", "CHOSEN", "--range", "1.."), "reading twice"),
    ],
)
def test_requests_that_no_pipe_can_do(
    arguments: tuple[str, ...], words: str, clip: Path, stream: bytes, tmp_path: Path
) -> None:
    """Refused before the network is loaded and before anything is written."""
    cv2.imwrite(str(tmp_path / "mask.png"), np.zeros((64, 96), np.uint8))
    files = {"CORRECTED": {"corrections": [{"time": 1, "mask": "mask.png"}]}}
    files["CHOSEN"] = {"person": [{"time": 0, "point": [0.5, 0.5]}]}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    out = tmp_path / "out"
    given = {"CLIP": clip, "OUT": out, "OUT.mov": out, **{name: tmp_path / name for name in files}}
    asked = [given.get(argument, argument) for argument in arguments]
    piped(*asked, data=stream).refuses(2, words)
    assert not out.exists()


def test_a_terminal_is_no_pipe(clip: Path) -> None:
    master, slave = pty.openpty()
    try:
        with start("-", "-o", "out.mov", stdin=slave) as process:
            told = process.communicate(timeout=60)[1].decode()
            assert process.returncode == 2 and "standard input is a terminal" in told
        with start(clip, "-o", "-", stdout=slave) as process:
            told = process.communicate(timeout=60)[1].decode()
            assert process.returncode == 2 and "standard output is a terminal" in told
    finally:
        os.close(master)
        os.close(slave)
