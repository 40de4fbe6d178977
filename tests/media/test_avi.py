"""AVI: chunks left out repeat a picture, and chunks may hold more than one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Recipe, make, planes, times

from mattecast import Settings, matte

pytestmark = pytest.mark.usefixtures("left_half")

VOP = b"\0\0\1\xb6"
ORDER = Settings(whole_picture=True, foreground="source")


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(2997, 100)], ids=str)
def test_left_out_chunks_repeat_the_picture_before(rate: Fraction, tmp_path: Path) -> None:
    numbers = [0, 2, 3, 6, 7, 8, 11]
    recipe = Recipe(codec="mjpeg", pixels="yuvj420p", options=(), rate=rate, pts=numbers)
    source = make(tmp_path / "source.avi", recipe)
    summary = matte(source, tmp_path / "out.mov", ORDER)
    exact = rate if rate == 25 else Fraction(30000, 1001)
    assert times(tmp_path / "out.mov") == [n / exact for n in range(12)]
    assert not summary.damage and not summary.notes
    with av.open(str(tmp_path / "out.mov")) as clip:
        assert clip.streams.video[0].average_rate == exact
    shown = [planes(tmp_path / "out.mov", n)[0].mean() for n in (2, 3, 4, 5, 6)]
    assert shown[1] == shown[2] == shown[3] and shown[0] < shown[1] < shown[4]


def test_packed_b_frames(tmp_path: Path) -> None:
    """DivX puts a B-frame into the chunk of the frame before it, and an empty picture after it."""
    options = (("bf", "2"), ("g", "12"), ("b_strategy", "0"))
    recipe = Recipe(codec="mpeg4", options=options, pts=tuple(range(30)))
    plain = make(tmp_path / "plain.avi", recipe)
    source = tmp_path / "packed.avi"
    _pack(plain, source)
    summary = matte(source, tmp_path / "out.mov", ORDER)
    assert not summary.damage
    assert times(tmp_path / "out.mov") == [Fraction(n, 25) for n in range(summary.frames)]
    assert summary.frames in (29, 30)
    levels = [float(planes(tmp_path / "out.mov", n)[0].mean()) for n in range(summary.frames)]
    assert levels == sorted(levels)


def _pack(source: Path, target: Path) -> None:
    with av.open(str(source)) as clip, av.open(str(target), "w") as out:
        stream = clip.streams.video[0]
        packets = [bytes(packet) for packet in clip.demux(stream) if packet.size]
        copy = out.add_stream_from_template(stream)
        for number, data in enumerate(_packed(packets)):
            packet = av.Packet(data)
            packet.stream, packet.time_base = copy, Fraction(1, 25)
            packet.pts = packet.dts = number
            packet.is_keyframe = number == 0
            out.mux(packet)


def _packed(packets: list[bytes]) -> list[bytes]:
    head = packets[0].find(VOP)
    first = packets[0][:head] + b"\0\0\1\xb2DivX503b1393p\0" + packets[0][head:]
    rest, chunks = [first, *packets[1:]], []
    while rest:
        chunk = rest.pop(0)
        if rest and not _is_b(chunk) and _is_b(rest[0]):
            chunks.append(chunk + rest.pop(0))
            while rest and _is_b(rest[0]):
                chunks.append(rest.pop(0))
            chunks.append(VOP + b"\x50\x5f")  # a picture that is not coded
        else:
            chunks.append(chunk)
    return chunks


def _is_b(data: bytes) -> bool:
    return data[data.rfind(VOP) + 4] >> 6 == 2
