"""Bad inputs, outputs that cannot be, and runs that are broken off: one clear line, no debris."""

from __future__ import annotations

import os
import random
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from clips import Recipe, make, times
from commands import Result, StandIn, call, entries, start
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mattecast
import mattecast.commands.matte
from mattecast import Settings, matte
from mattecast.media import clip
from mattecast.media.clip import Clip

SMALL = (64, 48)
X264 = (("preset", "ultrafast"), ("g", "6"))
FASTSTART = (("movflags", "+faststart"),)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process a stand-in does the network's work, at once."""
    monkeypatch.setattr("mattecast.engines.load", lambda spec, size, **_: StandIn(size))


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = threading.active_count()
    yield
    assert threading.active_count() == before


# ---------------------------------------------------------------- inputs that are refused


def missing(folder: Path) -> Path:
    return folder / "talk.mp4"


def empty(folder: Path) -> Path:
    path = folder / "talk.mp4"
    path.write_bytes(b"")
    return path


def text(folder: Path) -> Path:
    path = folder / "talk.mp4"
    path.write_text("This is no video.\n" * 50)
    return path


def cut_before_its_index(folder: Path) -> Path:
    path = make(folder / "talk.mp4", Recipe(size=SMALL))
    path.write_bytes(path.read_bytes()[:-200])
    return path


def sound_only(folder: Path) -> Path:
    with av.open(str(folder / "talk.m4a"), "w") as out:
        _sound(out, "aac")
    return folder / "talk.m4a"


def sound_with_a_cover(folder: Path) -> Path:
    with av.open(str(folder / "talk.mp3"), "w") as out:
        cover: Any = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = *SMALL, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        _sound(
            out,
            "libmp3lame",
            before=lambda: out.mux(
                [*cover.encode(av.VideoFrame(*SMALL, "yuvj420p")), *cover.encode(None)]
            ),
        )
    return folder / "talk.mp3"


def _sound(out: Any, codec: str, before: Callable[[], None] = lambda: None) -> None:
    track = out.add_stream(codec, rate=48000, layout="stereo")
    before()
    frame = av.AudioFrame(track.format.name, "stereo", track.codec_context.frame_size or 1024)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.sample_rate, frame.pts = 48000, 0
    out.mux([*track.encode(frame), *track.encode(None)])


def no_frames(folder: Path) -> Path:
    with av.open(str(folder / "talk.mp4"), "w", options={"movflags": "empty_moov"}) as out:
        stream: Any = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *SMALL, "yuv420p"
        out.start_encoding()
    return folder / "talk.mp4"


def empty_folder(folder: Path) -> Path:
    (folder / "shots").mkdir()
    (folder / "shots" / "notes.txt").write_text("no pictures")
    return folder / "shots"


def pattern_of_nothing(folder: Path) -> Path:
    return folder / "shot_%04d.png"


def pictures_of_nothing(folder: Path) -> Path:
    (folder / "shots").mkdir()
    for number in (1, 2):
        (folder / "shots" / f"shot_{number}.png").write_bytes(b"no picture")
    return folder / "shots"


def encrypted(folder: Path) -> Path:
    key = "00112233445566778899aabbccddeeff"
    options = (
        ("encryption_scheme", "cenc-aes-ctr"),
        ("encryption_key", key),
        ("encryption_kid", key),
    )
    return make(folder / "talk.mp4", Recipe(size=SMALL, container_options=options))


def garbled(folder: Path) -> Path:
    """As of a scheme the container does not tell of: every packet is noise."""
    path = make(folder / "talk.mp4", Recipe(size=SMALL))
    return spoil(path, range(8))


def huge_picture(folder: Path) -> Path:
    return _png(folder / "huge.png", 60000, 60000)


def tiny_picture(folder: Path) -> Path:
    return _png(folder / "tiny.png", 8, 8)


def huge_video(folder: Path) -> Path:
    path = folder / "huge.y4m"
    path.write_bytes(b"YUV4MPEG2 W70000 H70000 F25:1 Ip A1:1 C420\nFRAME\n" + bytes(500))
    return path


def huge_raw_video(folder: Path) -> Path:
    recipe = Recipe(codec="rawvideo", pixels="bgr24", size=SMALL, options=(), pts=(0, 1))
    path = make(folder / "huge.avi", recipe)
    data = bytearray(path.read_bytes())
    struct.pack_into("<ii", data, data.find(b"strf") + 12, 30000, 30000)
    path.write_bytes(data)
    return path


def _png(path: Path, width: int, height: int) -> Path:
    def chunk(kind: bytes, body: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1 + width) * min(height, 16))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    return path


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "talk.mp4")
    return folder / "talk.mp4"


def device(folder: Path) -> Path:
    return Path("/dev/zero")


def below_a_file(folder: Path) -> Path:
    return text(folder) / "talk.mp4"


def endless_link(folder: Path) -> Path:
    (folder / "talk.mp4").symlink_to(folder / "talk.mp4")
    return folder / "talk.mp4"


def endless_name(folder: Path) -> Path:
    return folder / ("x" * 300 + ".mp4")


REFUSED = [
    (missing, "no such file"),
    (empty, "the file is empty"),
    (text, "cannot be read as video"),
    (cut_before_its_index, "cut off"),
    (sound_only, "holds no video (only audio)"),
    (sound_with_a_cover, "holds no video (only audio and cover art)"),
    (no_frames, "no frame could be decoded"),
    (empty_folder, "no videos or pictures there"),
    (pattern_of_nothing, "no videos or pictures there"),
    (pictures_of_nothing, "no picture can be read"),
    (encrypted, "is encrypted"),
    (garbled, "no frame could be decoded"),
    (huge_picture, "too large"),
    (tiny_picture, "8x8 are not supported"),
    (huge_video, "cannot be read as video"),
    (huge_raw_video, "too large"),
    (pipe, "not a regular file"),
    (device, "not a regular file"),
    (below_a_file, "not a directory"),
    (endless_link, "symbolic links"),
    (endless_name, "name too long"),
]


@pytest.mark.parametrize(("made", "said"), REFUSED, ids=lambda one: getattr(one, "__name__", ""))
def test_bad_inputs_are_refused(made: Callable[[Path], Path], said: str, tmp_path: Path) -> None:
    source = made(tmp_path)
    (tmp_path / "out").mkdir()
    started = time.monotonic()
    call("matte", source, "-o", tmp_path / "out" / "talk.mov").refuses(1, str(source), said)
    call("probe", source).refuses(1, str(source), said)
    assert time.monotonic() - started < 20
    assert entries(tmp_path / "out") == []


def test_an_empty_name_is_refused(tmp_path: Path) -> None:
    """As an unset variable of a script gives it; it would mean the current folder."""
    call("matte", "", "-o", tmp_path / "talk.mov").refuses(2, "empty")


def test_no_permission(tmp_path: Path) -> None:
    """Root reads everything, so root asks as somebody else."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = make(folder / "talk.mp4", Recipe(size=SMALL, pts=(0, 1)))
        closed = make(folder / "closed.mp4", Recipe(size=SMALL, pts=(0, 1)))
        (folder / "locked").mkdir()
        closed.chmod(0)
        (folder / "locked").chmod(0)
        folder.chmod(0o555)
        user = os.geteuid()
        try:
            if user == 0:
                os.setresuid(65534, 65534, 0)
            call("matte", closed, "-o", "/tmp/talk.mov").refuses(1, "closed.mp4", "permission")
            call("matte", folder / "locked").refuses(1, "locked", "permission denied")
            call("matte", source, "-o", folder / "talk.mov").refuses(1, name, "no permission")
            call("matte", source, "-o", folder / "locked" / "talk.mov").refuses(1, "permission")
            frames = folder / "frames"
            call("matte", source, "-o", frames, "--format", "png").refuses(1, "no permission")
            call("matte", source, "--out-dir", folder / "new").refuses(2, "cannot be made")
        finally:
            if user == 0:
                os.setresuid(0, 0, 0)
            folder.chmod(0o755)
            (folder / "locked").chmod(0o755)


# ---------------------------------------------------------------- inputs that are partly good


def spoil(path: Path, packets: Any, kind: str = "video") -> Path:
    """Overwrite the bodies of some packets with noise; the containers' own bytes stay."""
    data, noise = bytearray(path.read_bytes()), random.Random(1)
    with av.open(str(path)) as whole:
        found = [(packet.pos, packet.size) for packet in whole.demux(**{kind: 0}) if packet.size]
    for index in packets:
        position, size = found[index]
        # In Matroska a packet begins with some bytes that say whose it is.
        skipped = size // 2 if path.suffix in (".mkv", ".webm") else 0
        data[position + skipped : position + size] = noise.randbytes(size - skipped)
    path.write_bytes(data)
    return path


def test_a_file_cut_in_the_middle_gives_what_is_there(tmp_path: Path) -> None:
    recipe = Recipe(
        size=SMALL, options=X264, pts=tuple(range(24)), audio=("aac",), container_options=FASTSTART
    )
    source = make(tmp_path / "talk.mp4", recipe)
    whole = times(source)
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    result = call("matte", source, "-o", tmp_path / "talk.mov")
    # Nothing failed that could have been done, so 0; but it is said.
    assert result.code == 0 and "damage: the file ends before its own index says" in result.err
    kept = times(tmp_path / "talk.mov")
    assert 8 < len(kept) < 20 and kept == whole[: len(kept)]


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_a_file_that_ends_before_its_length_says_so(suffix: str, tmp_path: Path) -> None:
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
    choose = clip._picture_stream

    def with_threads(container: Any, path: Path) -> Any:
        stream = choose(container, path)
        stream.codec_context.thread_count = threads
        return stream

    monkeypatch.setattr(clip, "_picture_stream", with_threads)
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


# ---------------------------------------------------------------- outputs that cannot be


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("talk") / "talk.mp4", Recipe(size=SMALL, audio=("aac",)))


def test_an_output_that_is_no_file(talk: Path, tmp_path: Path) -> None:
    options = ("--format", "prores", "--overwrite")
    for output in (tmp_path, Path("/dev/null")):
        call("matte", talk, "-o", output, *options).refuses(1, str(output), "name a file")
    assert not Path("/dev/null").is_file()
    call("matte", talk, "-o", "", *options).refuses(1, "name a file")


def test_no_output_folder(talk: Path, tmp_path: Path) -> None:
    for output in (tmp_path / "none" / "talk.mov", tmp_path / "none" / "f" / "f_%d.png"):
        call("matte", talk, "-o", output).refuses(1, "no such folder; make it first")


def test_the_input_is_not_replaced(talk: Path, tmp_path: Path) -> None:
    source = tmp_path / "talk.mov"
    source.write_bytes(talk.read_bytes())
    (tmp_path / "soft.mov").symlink_to(source)
    (tmp_path / "hard.mov").hardlink_to(source)
    for name in ("talk.mov", "soft.mov", "hard.mov"):
        result = call("matte", source, "-o", tmp_path / name, "--overwrite")
        result.refuses(1, "is the input itself")
    assert source.read_bytes() == talk.read_bytes()
    assert entries(tmp_path) == ["hard.mov", "soft.mov", "talk.mov"]


def test_an_output_is_only_replaced_when_asked(talk: Path, tmp_path: Path) -> None:
    output = tmp_path / "talk.mov"
    output.write_text("precious")
    call("matte", talk, "-o", output).refuses(1, "exists already; --overwrite replaces it")
    assert output.read_text() == "precious"
    assert call("matte", talk, "-o", output, "--overwrite").code == 0 and len(times(output)) == 8
    assert entries(tmp_path) == ["talk.mov"]


def test_a_failed_run_leaves_the_old_output(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "talk.mov"
    output.write_text("precious")
    _break(monkeypatch, "mattecast.compositing.composer.Composer.__call__")
    assert call("matte", talk, "-o", output, "--overwrite").code == 1
    assert output.read_text() == "precious" and entries(tmp_path) == ["talk.mov"]


def test_pictures_replace_only_their_like(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their folder is replaced as a whole, so nothing else may be in it."""
    frames = tmp_path / "frames"
    options = ("--format", "png", "--overwrite")
    assert call("matte", talk, "-o", frames, *options).code == 0 and len(entries(frames)) == 8
    short = ("--range", "0..0.1")
    assert call("matte", talk, "-o", frames, *options, *short).code == 0
    assert entries(frames) == ["frames_000000.png", "frames_000001.png", "frames_000002.png"]
    call("matte", talk, "-o", frames, "--format", "png").refuses(1, "exists already")
    (frames / "notes.txt").write_text("precious")
    call("matte", talk, "-o", frames, *options).refuses(1, "a folder of their own")
    monkeypatch.chdir(tmp_path)
    call("matte", talk, "-o", "f_%03d.png", *options).refuses(1, "pictures/f_%03d.png")
    assert call("matte", talk, "-o", "new/f 100%_%03d.png", *options).code == 0
    assert entries(tmp_path / "new")[7] == "f 100%_007.png"
    # What was matted before is no output for itself.
    call("matte", "new", "-o", "new/f 100%_%03d.png", *options).refuses(1, "holds the input")
    assert entries(tmp_path) == ["frames", "new"] and len(entries(tmp_path / "new")) == 8


def test_a_link_to_a_folder_stays_one(talk: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "frames").symlink_to(tmp_path / "disk")
    assert call("matte", talk, "-o", tmp_path / "frames", "--format", "png").code == 0
    assert (tmp_path / "frames").is_symlink() and len(entries(tmp_path / "disk")) == 8
    assert entries(tmp_path) == ["disk", "frames"]


def test_names_that_libav_takes_for_protocols(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("at 12:30.mp4").write_bytes(talk.read_bytes())
    assert call("matte", "at 12:30.mp4", "-o", "a:b.mov").code == 0
    assert len(times(tmp_path / "a:b.mov")) == 8


# ---------------------------------------------------------------- disks that are full


@dataclass
class LittleRoom:
    """A folder that takes no more than `limit` bytes: a small disk, or a limit of the process."""

    folder: Path
    disk: bool
    limit: int = 1 << 16

    def call(self, *arguments: str | Path) -> Result:
        """The command in this room. A limit of the process holds for this call alone: outside it,
        whatever the tests print into would be a file of this process as well."""
        if self.disk:
            return call(*arguments)
        # Python ignores SIGXFSZ, so that writing fails instead of killing.
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, before[1]))
        try:
            return call(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(params=["small disk", "limit of the process"])
def little_room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LittleRoom]:
    folder = tmp_path / "little"
    folder.mkdir()
    disk = request.param == "small disk"
    if disk:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("only root can mount a small disk")
    yield LittleRoom(folder, disk)
    if disk:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second that no codec makes small."""
    path, source = tmp_path_factory.mktemp("noise") / "noise.mkv", np.random.default_rng(1)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 200, 152, "yuv420p"
        for _ in range(12):
            picture = source.integers(0, 255, (228, 200), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "yuv420p")))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("output", ["talk.mov", "talk.webm", "frames.png", "talk.fill-key"])
def test_a_full_disk(output: str, noise: Path, little_room: LittleRoom) -> None:
    format = {"talk.fill-key": "fill-key", "frames.png": "png"}.get(output)
    wish = ("--format", format) if format else ()
    result = little_room.call("matte", noise, "-o", little_room.folder / output, *wish)
    result.refuses(1, str(little_room.folder), "full" if "full" in result.err else "too large")
    assert entries(little_room.folder) == []


def test_a_disk_that_fills_at_the_very_end(talk: Path, little_room: LittleRoom) -> None:
    """The index of a short clip is written last of all, when the file is closed."""
    little_room.limit = 5000
    if little_room.disk:
        (little_room.folder / "other").write_bytes(bytes((1 << 16) - 8192))
    output = little_room.folder / "talk.mov"
    little_room.call("matte", talk, "-o", output).refuses(1, "talk.mov")
    assert entries(little_room.folder) in ([], ["other"])


def test_an_output_that_never_opened_is_left_in_peace(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise av.error.InvalidDataError(1, "No such muxer")

    monkeypatch.setattr("mattecast.media.writer.MovieWriter._open", fails)
    call("matte", talk, "-o", tmp_path / "t.mov").refuses(1, "could not be written (no such muxer)")
    assert entries(tmp_path) == []


def test_two_outputs_appear_together_or_not(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flush = mattecast.media.writer.MovieWriter.flush

    def fail_on_the_second(writer: Any) -> None:
        if ".key" in writer.output.name:
            raise mattecast.OutputError("full")
        flush(writer)

    monkeypatch.setattr("mattecast.media.writer.MovieWriter.flush", fail_on_the_second)
    call("matte", talk, "-o", tmp_path / "t.mov", "--format", "fill-key").refuses(1, "full")
    assert entries(tmp_path) == []


# ---------------------------------------------------------------- runs that are broken off


@pytest.fixture(scope="module")
def long_talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that takes many seconds to matte."""
    recipe = Recipe(
        codec="mjpeg", pixels="yuvj420p", size=SMALL, options=(), pts=tuple(range(4000))
    )
    return make(tmp_path_factory.mktemp("long") / "long.mp4", recipe)


def _heed() -> None:
    """Signals that this process was started to ignore, as a job in the background is, count."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def running(*arguments: str | Path, folder: Path) -> subprocess.Popen[str]:
    """A run of the command that is writing already."""
    process = start("matte", *arguments, preexec_fn=_heed)
    end = time.monotonic() + 60
    while not any(path.stat().st_size for path in folder.rglob(".*.part")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


@pytest.mark.parametrize(
    ("number", "code", "format"),
    [
        (signal.SIGINT, 130, "prores"),
        (signal.SIGTERM, 143, "png"),
        (signal.SIGHUP, 129, "fill-key"),
    ],
)
def test_a_signal_leaves_nothing(
    number: int, code: int, format: str, long_talk: Path, tmp_path: Path
) -> None:
    output = tmp_path / "talk"
    process = running(long_talk, "-o", output, "--format", format, folder=tmp_path)
    started = time.monotonic()
    # The second and third come while the first is worked on, as from an impatient finger.
    for _ in range(3):
        process.send_signal(number)
        time.sleep(0.01)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code and time.monotonic() - started < 10
    assert err.splitlines() == [
        f"mattecast: stopped by {signal.Signals(number).name}; nothing half-written was left"
    ]
    assert not out and entries(tmp_path) == []


def test_a_killed_run_leaves_one_hidden_file(long_talk: Path, talk: Path, tmp_path: Path) -> None:
    process = running(long_talk, "-o", tmp_path / "talk.mov", folder=tmp_path)
    process.kill()
    process.communicate()
    left = entries(tmp_path)
    assert len(left) == 1 and left[0].startswith(".talk.mov.") and left[0].endswith(".part")
    assert call("matte", talk, "-o", tmp_path / "talk.mov").code == 0


def test_what_a_killed_run_left_is_no_obstacle(talk: Path, tmp_path: Path) -> None:
    """Process numbers come again, and always the same in a container."""
    (tmp_path / f".talk.mov.{os.getpid()}.part").write_text("old")
    (tmp_path / f".frames.{os.getpid()}.part").mkdir()
    (tmp_path / f".frames.{os.getpid()}.part" / "frames_000099.png").write_text("old")
    assert call("matte", talk, "-o", tmp_path / "talk.mov").code == 0
    assert call("matte", talk, "-o", tmp_path / "frames", "--format", "png").code == 0
    assert entries(tmp_path) == ["frames", "talk.mov"] and len(entries(tmp_path / "frames")) == 8


# ---------------------------------------------------------------- stages and threads


def _break(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception | None = None) -> None:
    """Let the third call of a function fail."""
    where, _, attribute = name.rpartition(".")
    owner = _named(where)
    real, calls = getattr(owner, attribute), 0

    def fails(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise error or RuntimeError("boom")
        return real(*arguments, **options)

    monkeypatch.setattr(owner, attribute, fails)


def _named(name: str) -> Any:
    """The module or class of a dotted name."""
    first, *parts = name.split(".")
    owner: Any = sys.modules[first]
    for part in parts:
        owner = getattr(owner, part)
    return owner


STAGES = [
    "mattecast.media.clip.Clip._judge",
    "mattecast.matting.prepare.Preparer._frame",
    "commands.StandIn.step",
    "mattecast.compositing.composer.Composer.__call__",
    "mattecast.media.writer.MovieWriter.write",
]


@pytest.mark.parametrize("stage", STAGES)
def test_an_error_in_a_stage(
    stage: str, talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It arrives with the worker's own traceback; no thread, no file stays (see the fixture)."""
    _break(monkeypatch, stage)
    with pytest.raises(RuntimeError, match="boom") as caught:
        matte(talk, tmp_path / "talk.mov")
    assert caught.traceback[-1].name == "fails"
    assert entries(tmp_path) == []


def test_an_error_of_ours_is_one_line_too(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the clip, stops no other, and --debug shows the rest."""
    _break(monkeypatch, "commands.StandIn.step")
    (tmp_path / "a.mp4").write_bytes(talk.read_bytes())
    (tmp_path / "b.mp4").write_bytes(talk.read_bytes())
    result = call("matte", tmp_path, "--out-dir", tmp_path / "out", "--debug")
    assert result.code == 1 and "Traceback" in result.err
    assert "a.mp4: RuntimeError: boom; this should not happen" in result.err
    assert entries(tmp_path / "out") == ["b.matte.mov"]


def test_too_little_memory_is_said(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _break(monkeypatch, "commands.StandIn.step", MemoryError())
    call("matte", talk, "-o", tmp_path / "t.mov").refuses(1, str(talk), "out of memory", "--size")


def test_mattes_may_be_left_early(talk: Path) -> None:
    found = mattecast.mattes(talk)
    assert next(found).alpha.shape == SMALL[::-1]
    found.close()  # type: ignore[attr-defined]


# ---------------------------------------------------------------- requests that make no sense


@pytest.mark.parametrize(
    ("wish", "code", "said"),
    [
        (("--background", "none.png"), 2, "no such file"),
        (("--background", "#12"), 2, "#rrggbb"),
        (("--background", "blur:1000"), 2, "blur strength"),
        (("--background", "BROKEN.png"), 1, "BROKEN.png"),
        (("--background", "BROKEN.mp4"), 1, "BROKEN.mp4"),
        (("--background", "FOLDER"), 1, "not a regular file"),
        (("--range", "5"), 2, "START..END"),
        (("--range", "3..2"), 2, "the end does not come after"),
        (("--range", "99.."), 2, "after the clip ends"),
        (("--range", "1e999999999.."), 2, "expected seconds"),
        (("--range", "00:00:00:99.."), 2, "expected seconds"),
        (("--size", "9x9"), 2, "sides 16 to 16384"),
        (("--size", "99999999999p"), 2, "expected WIDTHxHEIGHT"),
        (("--cfr", "0"), 2, "--cfr"),
        (("--cfr", "1e999999999"), 2, "not a frame rate"),
        (("--threads", "0"), 2, "threads"),
        (("--network-size", "-5"), 2, "network_size"),
        (("--network-size", "5"), 2, "network_size: 5 is out of range (64 to 4096)"),
        (("--model", "none.onnx"), 1, "none.onnx"),
        (("--format", "gif"), 2, "--format"),
        (("--quality", "best"), 2, "--quality"),
        (("--no-such-flag",), 2, "--no-such-flag"),
    ],
)
def test_wishes_that_cannot_be_met(
    wish: tuple[str, ...], code: int, said: str, talk: Path, tmp_path: Path
) -> None:
    for name in ("BROKEN.png", "BROKEN.mp4"):
        (tmp_path / name).write_text("broken")
    (tmp_path / "FOLDER").mkdir()
    placed = [str(tmp_path / part) if part.split(".")[0].isupper() else part for part in wish]
    format = ("--format", "prores") if wish[0] != "--format" else ()
    call("matte", talk, "-o", tmp_path / "out.mov", *format, *placed).refuses(code, said)
    assert entries(tmp_path) == ["BROKEN.mp4", "BROKEN.png", "FOLDER"]


def test_no_command_and_no_input() -> None:
    call().refuses(2, "COMMAND")
    call("mat").refuses(2, "invalid choice")
    call("matte").refuses(2, "INPUT", "mattecast matte --help")


@settings(database=None, derandomize=True, deadline=None)
@given(text=st.one_of(st.text(max_size=12), st.from_regex(r"[0-9:;.x/p%e+-]{0,12}")))
def test_any_text_is_a_wish_or_a_clear_error(text: str) -> None:
    facts = _facts()
    for parse in (
        mattecast.settings.parse_rate,
        lambda wish: mattecast.settings.parse_size(wish, 1920, 1080),
        lambda wish: mattecast.plan.parse_time(wish, facts),
    ):
        try:
            assert parse(text) is not None
        except (mattecast.UsageError, ValueError) as error:
            assert len(str(error)) > 10


_KEPT: list[Any] = []


def _facts() -> Any:
    if not _KEPT:
        with tempfile.TemporaryDirectory() as folder:
            source = make(Path(folder) / "talk.mp4", Recipe(size=SMALL, pts=(0, 1)))
            with Clip(source) as opened:
                _KEPT.append(opened.facts)
    return _KEPT[0]
