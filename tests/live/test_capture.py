"""Sources: what an INPUT stands for, and sources that fail, stall, change and come back."""

from __future__ import annotations

import os
import sys
import time
from fractions import Fraction

import clips
import keyed
import numpy as np
import pytest
from commands import call
from sources import captured, transport
from waiting import until

from mattecast.errors import MediaError, UsageError
from mattecast.live import capture as live_capture
from mattecast.live.cameras import format_modes, sizes_in
from mattecast.live.capture import Capture, Input, has_protocol, parse, without_secrets


@pytest.mark.parametrize(
    "text, kind, url",
    [
        ("rtsp://user:secret@cam/1?key=2", "stream", "rtsp://user:secret@cam/1?key=2"),
        ("udp://239.0.0.1:5000", "stream", "udp://239.0.0.1:5000"),
        ("udp://@:5000", "stream", "udp://@:5000"),
        ("tcp://[::1]:5000", "stream", "tcp://[::1]:5000"),
        ("rtsp://me:p[w#secret@cam/1", "stream", "rtsp://me:p[w#secret@cam/1"),
        ("-", "pipe", "pipe:0"),
    ],
)
def test_what_inputs_mean(text, kind, url):
    found = parse(text)
    assert (found.kind, found.url) == (kind, url) and "secret" not in found.name


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://me:pw@cam:554/a?token=x",
        "rtsp://me:p@w@cam:554/a",
        "rtsp://cam:554/a?x=\ntoken",
    ],
)
def test_secrets_of_addresses_are_never_shown(url):
    assert without_secrets(url) == "rtsp://cam:554/a"


@pytest.mark.parametrize(
    "text, words",
    [
        ("nothing.mp4", "no such file"),
        ("camera:77", "camera '77'"),
        ("gopher://x", "streams can be"),
        ("rtsp://", "rtsp://HOST"),
        ("rtsp:///1", "rtsp://HOST"),
        ("http://a:70000/b", "http://HOST"),
        ("camera:nobody's", "no such camera"),
        ("obs", "Start Virtual Camera"),
    ],
)
def test_inputs_that_cannot_be(text, words):
    with pytest.raises(UsageError, match=words):
        parse(text)


@pytest.mark.skipif(has_protocol("srt"), reason="this PyAV has SRT")
def test_srt_is_refused_at_once_where_libav_has_none():
    with pytest.raises(UsageError, match="no SRT"):
        parse("srt://cam:9000?passphrase=secret")


def test_sizes_and_rates_are_asked_of_cameras_alone():
    for options in ({"size": "640x480"}, {"rate": Fraction(30)}):
        with pytest.raises(UsageError, match="come as they are"):
            parse("udp://239.0.0.1:5000", **options)


def device(filters: str, attempts: tuple = ({},), requested: dict | None = None) -> Input:
    """A camera of libav's own, which draws what its filters say."""
    return Input("camera", "drawn", filters, "lavfi", attempts, requested or {})


@pytest.mark.parametrize(
    "requested, state",
    [
        ({"video_size": "1280x720"}, "live, 64x48 instead of 1280x720"),
        (
            {"video_size": "1280x720", "framerate": "60"},
            "live, 64x48 at 25 fps instead of 1280x720 at 60 fps",
        ),
        ({"framerate": "60"}, "live, 25 fps instead of 60 fps"),
        ({"video_size": "64x48", "framerate": "25000/1001"}, "live"),
    ],
)
def test_a_camera_that_gives_something_else_than_was_asked_says_so(requested, state):
    capture = Capture(device("testsrc=size=64x48:rate=25,realtime", ({},), requested))
    capture.start()
    try:
        captured(capture, 2)
        assert capture.state == f"drawn: {state}"
    finally:
        capture.close()


def test_a_camera_is_asked_again_without_what_it_refuses():
    refused = {"graph": "no such filter"}
    capture = Capture(device("testsrc=size=64x48:rate=25,realtime", (refused, {})))
    capture.start()
    try:
        captured(capture, 2)
    finally:
        capture.close()


def test_sizes_that_libav_logs():
    """What dshow and avfoundation say of a camera, as users have quoted it."""
    log = """
      vcodec=mjpeg  min s=1280x720 fps=5 max s=1280x720 fps=30.0003
      pixel_format=yuyv422  min s=640x480 fps=5 max s=640x480 fps=30
    Selected framerate (999.000000) is not supported by the device.
    Supported modes:
      1920x1080@[1.000000 29.970000]fps
      640x480@[60.000240 60.000240]fps
    """
    sizes = "1920x1080 at 29.97, 1280x720 at 30, 640x480 at 60"
    assert format_modes(sizes_in(log)) == sizes


def test_the_screen_is_a_source(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    if sys.platform.startswith("linux"):
        with pytest.raises(UsageError, match="DISPLAY"):
            parse("screen")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of Linux")
def test_sizes_and_rates_of_a_linux_camera(monkeypatch):
    """A driver that speaks as videodev2.h says; there is no camera on test machines."""
    import fcntl

    from mattecast.live.video4linux import modes

    sizes = {0x47504A4D: [(1280, 720), (640, 480)], 0x56595559: [(640, 480)]}
    rates = {(1280, 720): [(1, 30), (1, 15)], (640, 480): [(1001, 30000)]}

    def driver(number, request, held):
        length, index = request >> 16 & 0x3FFF, int.from_bytes(held[:4], "little")
        assert len(held) == length and request >> 30 == 3
        words = memoryview(held).cast("I")
        answers = {
            2: list(sizes),
            74: sizes.get(words[1], []),
            75: rates.get((words[2], words[3]), []),
        }[request & 0xFF]
        if index >= len(answers):
            raise OSError(22, "Invalid argument")
        if request & 0xFF == 2:
            words[11] = answers[index]
        elif request & 0xFF == 74:
            words[2], words[3], words[4] = 1, *answers[index]
        else:
            words[4], words[5], words[6] = 1, *answers[index]

    monkeypatch.setattr(fcntl, "ioctl", driver)
    assert modes(os.devnull) == [(1280, 720, 30), (640, 480, Fraction(30000, 1001))]


@pytest.mark.parametrize(
    "rate",
    [
        Fraction(15),
        Fraction(30000, 1001),
        pytest.param(Fraction(24), marks=pytest.mark.slow),
        pytest.param(Fraction(60), marks=pytest.mark.slow),
    ],
)
def test_files_play_at_their_own_pace(tmp_path, rate):
    capture = Capture(
        parse(str(clips.make(tmp_path / "a.mp4", clips.Recipe(rate=rate, pts=range(int(rate))))))
    )
    capture.start()
    try:
        began = time.monotonic()
        assert capture.ended.wait(20), capture.state
        assert 0.8 < time.monotonic() - began < 4.0
        assert "played to its end" in capture.state
    finally:
        capture.close()


def test_a_loop_goes_on(tmp_path):
    capture = Capture(parse(str(clips.make(tmp_path / "a.mp4")), loop=True))
    capture.start()
    try:
        captured(capture, 20)
        assert not capture.ended.is_set()
    finally:
        capture.close()


def test_a_file_that_is_no_video_ends_it_in_one_line(tmp_path):
    text = tmp_path / "a.mp4"
    text.write_text("no video")
    result = call("live", text, "--obs", "off", "-o", "-", "--quiet")
    result.refuses(1, "a.mp4", "cannot be opened")


def test_a_camera_is_waited_for_unplugged_and_replugged(relay, reading):
    camera = relay(transport())
    capture = reading(f"tcp://127.0.0.1:{camera.port}")
    until(lambda: "trying again" in capture.state, 10, "the wait for a camera that is not there")
    camera.plug()
    captured(capture, 5)
    assert capture.state.endswith("live")
    camera.unplug()
    until(lambda: "trying again" in capture.state, 20, "that it has gone")
    camera.plug()
    captured(capture, 5)


def test_a_camera_that_hangs_is_reported(relay, monkeypatch):
    """No timeout ends the reading of a camera, whose driver hangs, or which is a slow one."""
    monkeypatch.setattr(live_capture, "_QUIET", 0.4)
    camera = relay(transport())
    camera.plug()
    capture = Capture(Input("camera", "hung", f"tcp://127.0.0.1:{camera.port}"))
    capture.start()
    try:
        captured(capture, 5)
        camera.stalled.set()
        until(lambda: capture.state == "hung: open, but no picture comes", 10, "that it hangs")
        camera.stalled.clear()
        captured(capture, 5)
        assert capture.state == "hung: live"
    finally:
        camera.stalled.clear()
        capture.close()


def test_a_machine_nobody_knows_is_reported(reading):
    capture = reading("http://no.such.machine.invalid/1")
    until(lambda: "no machine 'no.such.machine.invalid'" in capture.state, 30, "that")


def test_a_stalled_stream_is_opened_again(relay, reading, monkeypatch):
    monkeypatch.setattr(live_capture, "STALLED", 1.0)
    camera = relay(transport())
    camera.plug()
    capture = reading(f"tcp://127.0.0.1:{camera.port}")
    captured(capture, 5)
    camera.stalled.set()
    until(lambda: "no data for 1 s" in capture.state, 20, "that it has stalled")
    camera.stalled.clear()
    captured(capture, 5)


def test_corrupt_packets_are_counted_and_passed_over(relay, reading):
    data = bytearray(transport())
    rng = np.random.default_rng(2)
    for place in rng.integers(20000, len(data), 200):
        data[place] ^= 0xFF
    camera = relay(bytes(data))
    camera.plug()
    capture = reading(f"tcp://127.0.0.1:{camera.port}")
    captured(capture, 20)
    assert capture.failure is None


def test_colour_tags_that_change_in_mid_stream(relay, reading):
    camera = relay(transport(frames=40, matrix=5) + transport(matrix=1))
    camera.plug()
    capture = reading(f"tcp://127.0.0.1:{camera.port}")
    assert captured(capture, 1)[0].facts.colour.matrix == 5
    until(lambda: captured(capture, 1)[0].facts.colour.matrix == 1, 20, "the new matrix")


def test_another_camera_that_is_not_there_ends_nothing(tmp_path, reading):
    capture = reading(str(keyed.clip(tmp_path / "bar.mkv")), loop=True)
    captured(capture, 3)
    (tmp_path / "bad.mp4").write_text("no video")
    capture.switch(parse(str(tmp_path / "bad.mp4")))
    until(lambda: "bad.mp4" in capture.state and "trying again" in capture.state, 10, "a refusal")
    capture.switch(parse(str(tmp_path / "bar.mkv"), loop=True))
    captured(capture, 3)
    assert capture.failure is None


def test_a_failing_capture_raises_what_it_met(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"\0" * 100)
    capture = Capture(parse(str(tmp_path / "a.mp4")))
    capture.start()
    until(lambda: capture.failure, 10, "its failure")
    assert isinstance(capture.failure, MediaError)
    capture.close()
