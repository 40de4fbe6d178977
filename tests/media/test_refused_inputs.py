"""Inputs that cannot be read: each is refused with one clear line, and no file is left."""

from __future__ import annotations

import os
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition
from clips import Recipe, make
from commands import call, entries
from faults import SMALL, spoil

pytestmark = pytest.mark.usefixtures("left_half", "no_thread_stays")


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


@pytest.mark.parametrize(("made", "words"), REFUSED, ids=lambda one: getattr(one, "__name__", ""))
def test_bad_inputs_are_refused(made: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    source = made(tmp_path)
    (tmp_path / "out").mkdir()
    started = time.monotonic()
    call("matte", source, "-o", tmp_path / "out" / "talk.mov").refuses(1, str(source), words)
    call("probe", source).refuses(1, str(source), words)
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
