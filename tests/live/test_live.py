"""Live without OBS: sources that fail, outlets that hang, sizes that change, and the arithmetic."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import av
import clips
import cv2
import keyed
import numpy as np
import pytest
from commands import call, start
from obs_host import listening, until

from mattecast.errors import MediaError, UsageError
from mattecast.live.cameras import format_modes, sizes_in
from mattecast.live.capture import Capture, Input, has_protocol, parse, without_secrets
from mattecast.live.governor import Governor, Window, percentile
from mattecast.live.matter import Controls
from mattecast.live.obs.client import Address, Client, ObsError, address
from mattecast.live.obs.media_source import free_port, listening_port
from mattecast.live.obs.passwords import Password
from mattecast.live.outputs.outlet import Outlet
from mattecast.live.outputs.recording import Recorder
from mattecast.live.outputs.sender import CODINGS, Muxer, Sender
from mattecast.live.outputs.server import Server
from mattecast.live.outputs.targets import Pipe, VirtualCamera, Y4m
from mattecast.live.picture import Picture, blank, over_colour
from mattecast.live.session import Session
from mattecast.live.threads import Latest, Task, growing, now
from mattecast.settings import Settings


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """The network of keyed.py."""
    return keyed.network(tmp_path_factory.mktemp("network"))


@pytest.fixture
def sessions(network):
    """Starts sessions over an input and closes them."""
    made: list[Session] = []

    def run(input, *sinks, budget=5.0, **settings) -> Session:
        controls = Controls(
            Settings(model=str(network), network_size=160, **{"smooth": "off", **settings})
        )
        made.append(Session(input, controls, budget, list(sinks)))
        made[-1].start()
        return made[-1]

    yield run
    for one in made:
        one.close()


class Collected:
    """A target that keeps what it gets."""

    name, one_size = "collected", False

    def __init__(self) -> None:
        self.pictures: list[Picture] = []

    def open(self, picture: Picture) -> None:
        """Nothing to open."""

    def write(self, picture: Picture) -> None:
        self.pictures.append(picture)

    def close(self) -> None:
        """Nothing to close."""


def picture(index: int = 0, size: tuple[int, int] = (64, 48)) -> Picture:
    """A picture of known codes, different for each index."""
    bgra = np.zeros((size[1], size[0], 4), np.uint8)
    bgra[:] = (index, 100, 200, 255)
    bgra[: size[1] // 2, :, 3] = 128
    return Picture(bgra, now())


# Arithmetic.


def judged(governor: Governor, seconds: float, age: float, busy: float, start: float) -> float:
    """Ask a governor four times a second; gives the time after."""
    for tick in range(int(4 * seconds)):
        governor.judge(start + tick / 4, age, busy, 1 / 30)
    return start + seconds


def test_the_network_gets_smaller_only_when_it_is_slow_for_a_while():
    governor = Governor(0.1, (512, 384, 256))
    judged(governor, 1.5, 0.3, 0.05, 0.0)
    assert governor.size == 512
    judged(governor, 1.5, 0.3, 0.05, 1.5)
    assert governor.size == 384 and "300 ms" in governor.reason


def test_sizes_that_cannot_fit_are_not_tried():
    governor = Governor(0.1, (512, 480, 384, 320, 256, 192))
    judged(governor, 2.5, 0.3, 0.1, 0.0)  # 100 of 33 ms: a third of the pixels at most
    assert governor.size == 256 and governor.every == 1


def test_the_network_grows_only_when_the_next_size_would_fit():
    governor = Governor(0.1, (512, 384, 256), place=2)
    judged(governor, 60.0, 0.06, 0.020, 0.0)  # at 384 it would take 45 ms of 33
    assert governor.size == 256
    judged(governor, 11.0, 0.03, 0.008, 100.0)
    assert governor.size == 384


def test_hysteresis_waits_longer_after_each_step_that_was_taken_back():
    governor, time_now, changes = Governor(0.1, (512, 256), place=1), 0.0, 0
    for _ in range(100):  # half an hour of a machine that is too slow for 512 and bored by 256
        size = governor.size
        age, busy = (0.2, 0.04) if size == 512 else (0.02, 0.004)
        time_now = judged(governor, 18.0, age, busy, time_now)
        changes += governor.size != size
    assert changes < 40 and governor.patience > 100


def test_at_its_smallest_it_leaves_frames_out_and_comes_back():
    governor = Governor(0.1, (256,))
    judged(governor, 5.0, 0.5, 0.04, 0.0)
    assert (governor.size, governor.every) == (256, 2) and "second frame" in governor.reason
    judged(governor, 11.0, 0.05, 0.030, 5.0)  # 30 of 33 ms are too much for every frame
    assert governor.every == 2
    judged(governor, 25.0, 0.05, 0.020, 16.0)
    assert governor.every == 1


def test_fewer_frames_are_no_remedy_for_a_machine_that_is_late_but_not_busy():
    governor = Governor(0.03, (256,))
    judged(governor, 5.0, 0.05, 0.012, 0.0)
    assert governor.every == 1 and "aimed at" in governor.reason


def test_window_forgets_and_counts():
    window = Window(2.0)
    for tick in range(100):
        window.add(tick / 10, float(tick))
    assert len(window.values(9.9)) == 21 and window.rate(9.9) == pytest.approx(10)
    assert percentile(window.values(9.9), 0.5) == 89 and percentile([], 0.5) == 0
    assert window.values(50.0) == [] and window.rate(50.0) == 0


def test_waits_grow_to_a_limit():
    waits = growing(0.5, 8)
    assert [next(waits) for _ in range(6)] == [0.5, 1, 2, 4, 8, 8]


# Hand-overs.


def test_the_newest_wins_and_nobody_waits():
    slot: Latest[int] = Latest()
    for number in range(5):
        slot.put(number)
    assert slot.take(0) == 4 and slot.dropped == 4
    assert slot.take(0.01) is None


def test_what_a_task_dies_of_is_kept():
    task = Task("fails", lambda stop: (_ for _ in ()).throw(ValueError("so")))
    task.start()
    until(lambda: not task.running, 5, "its end")
    assert isinstance(task.failure, ValueError) and task.close()


@pytest.mark.slow
def test_an_outlet_that_hangs_delays_no_other(sessions, tmp_path):
    hangs, stop = Collected(), threading.Event()
    hangs.write = lambda picture: stop.wait(60)
    quick = Collected()
    session = sessions(
        parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True), Outlet(hangs), Outlet(quick)
    )
    until(lambda: len(quick.pictures) > 20, 60, "pictures beside an outlet that hangs")
    stop.set()
    assert session.check()


# Alignment, by construction.


@pytest.mark.parametrize("wish", [{}, {"smooth": "delayed"}, {"min_island": 0.1, "min_hole": 0.1}])
def test_every_picture_leaves_with_its_own_alpha(sessions, tmp_path, wish):
    kept = Collected()
    clip = parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True)
    sessions(clip, Outlet(kept), foreground="source", **wish)
    until(lambda: len(kept.pictures) > 40, 60, "pictures")
    for one in kept.pictures[5:]:
        row = one.bgra[88].astype(int)
        # The network sees the picture four times smaller: two of its pixels at either edge.
        inside = np.flatnonzero(row[:, 1] > 250)
        assert inside.size == keyed.BAR and np.ptp(inside) == keyed.BAR - 1
        alpha = row[:, 3]
        assert (alpha[inside[8:-8]] == 255).all()
        outside = np.r_[alpha[: max(0, inside[0] - 8)], alpha[inside[-1] + 9 :]]
        assert (outside == 0).all()


def test_times_grow_and_ages_are_those_of_the_frames(sessions, tmp_path):
    kept = Collected()
    session = sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True), Outlet(kept))
    until(lambda: len(kept.pictures) > 20, 60, "pictures")
    times = [one.time for one in kept.pictures]
    assert times == sorted(set(times))
    status = session.status()
    assert 0 < status["age_ms"]["p50"] <= status["age_ms"]["p95"] < 5000
    assert set(status["stages_ms"]) >= {"convert", "network", "edges", "colours", "compose"}


# Sources.


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


def test_a_stream_key_is_never_shown():
    from mattecast.live.outputs.targets import target

    assert target("rtmp://live.example/app/the-key", None).name == "rtmp://live.example/app"


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
    for wish in ({"size": "640x480"}, {"rate": Fraction(30)}):
        with pytest.raises(UsageError, match="come as they are"):
            parse("udp://239.0.0.1:5000", **wish)


def device(filters: str, attempts: tuple = ({},), wishes: dict | None = None) -> Input:
    """A camera of libav's own, which draws what its filters say."""
    return Input("camera", "drawn", filters, "lavfi", attempts, wishes or {})


@pytest.mark.parametrize(
    "wishes, said",
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
def test_a_camera_that_gives_something_else_than_was_asked_says_so(wishes, said):
    capture = Capture(device("testsrc=size=64x48:rate=25,realtime", ({},), wishes))
    capture.start()
    try:
        captured(capture, 2)
        assert capture.state == f"drawn: {said}"
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
    said = """
      vcodec=mjpeg  min s=1280x720 fps=5 max s=1280x720 fps=30.0003
      pixel_format=yuyv422  min s=640x480 fps=5 max s=640x480 fps=30
    Selected framerate (999.000000) is not supported by the device.
    Supported modes:
      1920x1080@[1.000000 29.970000]fps
      640x480@[60.000240 60.000240]fps
    """
    shown = "1920x1080 at 29.97, 1280x720 at 30, 640x480 at 60"
    assert format_modes(sizes_in(said)) == shown


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
        listed = {
            2: list(sizes),
            74: sizes.get(words[1], []),
            75: rates.get((words[2], words[3]), []),
        }[request & 0xFF]
        if index >= len(listed):
            raise OSError(22, "Invalid argument")
        if request & 0xFF == 2:
            words[11] = listed[index]
        elif request & 0xFF == 74:
            words[2], words[3], words[4] = 1, *listed[index]
        else:
            words[4], words[5], words[6] = 1, *listed[index]

    monkeypatch.setattr(fcntl, "ioctl", driver)
    assert modes(os.devnull) == [(1280, 720, 30), (640, 480, Fraction(30000, 1001))]


def captured(capture: Capture, count: int, seconds: float = 30) -> list:
    """The next pictures of a capture, as fast as they come."""
    found = []
    end = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        item = capture.frames.take(0.2)
        found += [item] if item else []
    assert len(found) >= count, capture.state
    return found


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
        parse(
            str(clips.make(tmp_path / "a.mp4", clips.Recipe(rate=rate, pts=range(int(2 * rate)))))
        )
    )
    capture.start()
    try:
        began = time.monotonic()
        assert capture.ended.wait(20), capture.state
        assert 1.6 < time.monotonic() - began < 5.0
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


class Relay:
    """A camera on the network: sends a clip to whoever connects, and can be unplugged."""

    def __init__(self, data: bytes, pace: float = 0.01) -> None:
        self.port, self._data, self._pace = free_port(), data, pace
        self._stop = threading.Event()
        self.stalled = threading.Event()
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    def plug(self) -> None:
        """Begin to listen."""
        self._stop.clear()
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._run, args=(self._socket,), daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Hang up, and listen no more."""
        self._stop.set()
        assert self._socket is not None and self._thread is not None
        self._socket.close()
        self._thread.join(5)

    def _run(self, server: socket.socket) -> None:
        server.settimeout(0.1)
        while not self._stop.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                continue
            with connection:
                self._feed(connection)

    def _feed(self, connection: socket.socket) -> None:
        connection.settimeout(1)
        for place in range(0, len(self._data), 4096):
            while self.stalled.is_set() and not self._stop.is_set():
                time.sleep(0.05)
            if self._stop.wait(self._pace):
                return
            try:
                connection.sendall(self._data[place : place + 4096])
            except OSError:
                return


def transport(size: tuple[int, int] = (96, 64), frames: int = 300, matrix: int = 5) -> bytes:
    """An MPEG transport stream as a network camera sends it. matrix: its colour tag (H.273)."""
    held = io.BytesIO()
    with av.open(held, "w", format="mpegts") as out:
        stream = out.add_stream(
            "libx264", rate=25, options={"preset": "ultrafast", "g": "5", "tune": "zerolatency"}
        )
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.colorspace = matrix
        rng = np.random.default_rng(1)
        for _ in range(frames):
            noise = rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        out.mux(stream.encode(None))
    return held.getvalue()


@pytest.fixture
def relay():
    """A relay that is unplugged in the end."""
    made: list[Relay] = []

    def run(data: bytes, **options) -> Relay:
        made.append(Relay(data, **options))
        return made[-1]

    yield run
    for one in made:
        if one._socket is not None:
            one.unplug()


@pytest.fixture
def reading():
    """Starts captures and closes them."""
    made: list[Capture] = []

    def run(text: str, **wishes) -> Capture:
        made.append(Capture(parse(text, **wishes)))
        made[-1].start()
        return made[-1]

    yield run
    for one in made:
        one.close()


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


def test_a_camera_that_hangs_is_said(relay):
    """No timeout ends the reading of a camera: its driver hangs, or it is a slow one."""
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


def test_a_machine_nobody_knows_is_said(reading):
    capture = reading("http://no.such.machine.invalid/1")
    until(lambda: "no machine 'no.such.machine.invalid'" in capture.state, 30, "that")


@pytest.mark.slow
def test_a_stalled_stream_is_opened_again(relay, reading):
    camera = relay(transport())
    camera.plug()
    capture = reading(f"tcp://127.0.0.1:{camera.port}")
    captured(capture, 5)
    camera.stalled.set()
    until(lambda: "no data for 5 s" in capture.state, 20, "that it has stalled")
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


def test_a_size_that_changes_in_mid_stream(relay, sessions):
    kept = Collected()
    camera = relay(transport((96, 64), 40) + transport((128, 96), 200))
    camera.plug()
    session = sessions(parse(f"tcp://127.0.0.1:{camera.port}"), Outlet(kept))
    until(lambda: kept.pictures and kept.pictures[-1].size == (128, 96), 60, "the new size")
    assert kept.pictures[0].size in ((96, 64), (128, 96)) and session.check()


def test_another_size_is_fitted_where_receivers_take_one(tmp_path, relay, sessions):
    """Pictures of another shape, in a pipe and in a recording: as large as fits, not stretched."""
    assert all(kind.one_size for kind in (Pipe, Y4m, Server, VirtualCamera))
    assert not Sender.one_size
    kept, take = Collected(), tmp_path / "take.mov"
    kept.one_size = True
    cameras = [relay(transport((96, 64))), relay(transport((64, 128)))]
    for camera in cameras:
        camera.plug()
    wide, tall = (parse(f"tcp://127.0.0.1:{camera.port}") for camera in cameras)
    recorder = Recorder(take, overwrite=False)
    session = sessions(wide, Outlet(kept), recorder, background="black")
    until(lambda: kept.pictures, 60, "the first picture")

    def narrow(bgr: np.ndarray) -> bool:
        """Noise within the 32 columns that 64 x 128 is there; nobody beside them."""
        assert bgr.shape == (64, 96, 3)
        across = bgr.max(axis=(0, 2))
        return bool(max(across[:28].max(), across[-28:].max()) <= 24 and across[36:60].min() > 80)

    assert not narrow(kept.pictures[0].bgra[..., :3])
    session.capture.switch(tall)
    until(lambda: narrow(kept.pictures[-1].bgra[..., :3]), 30, "the other shape")
    time.sleep(0.5)
    session.close()
    with av.open(str(take)) as found:
        assert narrow([frame.to_ndarray(format="bgr24") for frame in found.decode(video=0)][-1])


def test_colour_tags_that_change_in_mid_stream(relay, reading):
    camera = relay(transport(frames=40, matrix=5) + transport(matrix=1))
    camera.plug()
    capture = reading(f"tcp://127.0.0.1:{camera.port}")
    assert captured(capture, 1)[0].facts.colour.matrix == 5
    until(lambda: captured(capture, 1)[0].facts.colour.matrix == 1, 20, "the new matrix")


@pytest.mark.slow
def test_a_source_that_falls_silent_shows_nobody(relay, sessions):
    kept = Collected()
    camera = relay(transport())
    camera.plug()
    sessions(parse(f"tcp://127.0.0.1:{camera.port}"), Outlet(kept))
    until(lambda: len(kept.pictures) > 3, 60, "pictures")
    camera.stalled.set()
    until(lambda: not kept.pictures[-1].bgra.any(), 10, "an empty picture")


def test_a_rotated_source_comes_out_upright(tmp_path, sessions):
    kept = Collected()
    clip = clips.make(tmp_path / "turned.mp4", clips.Recipe(rotation=90, pts=range(60)))
    sessions(parse(str(clip), loop=True), Outlet(kept))
    until(lambda: kept.pictures, 60, "a picture")
    assert kept.pictures[0].size == (64, 96)


def test_squeezed_pixels_come_out_square(tmp_path, sessions):
    kept = Collected()
    clip = clips.make(tmp_path / "wide.mp4", clips.Recipe(sar=Fraction(4, 3), pts=range(60)))
    sessions(parse(str(clip), loop=True), Outlet(kept))
    until(lambda: kept.pictures, 60, "a picture")
    assert kept.pictures[0].size == (128, 64)


# Outlets.


def test_pictures_reach_a_listener_exactly_and_it_may_come_and_go():
    port = free_port()
    outlet = Outlet(Sender("there", lambda: ("127.0.0.1", port), CODINGS["raw"]))
    outlet.start()
    try:
        for turn in range(2):
            with socket.create_server(("127.0.0.1", port)) as server:
                assert _received(server, outlet, turn) >= 3
            until(lambda: not listening(port), 5, "the listener's end")
    finally:
        outlet.close()
    assert not outlet.failure


def _received(server: socket.socket, outlet: Outlet, turn: int) -> int:
    """Pictures decoded from one connection, each checked."""
    stop = threading.Event()

    def feed() -> None:
        index = 0
        while not stop.is_set():
            outlet.offer(picture(turn * 50 + index % 50))
            index += 1
            time.sleep(0.02)

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        server.settimeout(10)
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as file, av.open(file, "r", format="nut") as nut:
            count = 0
            for frame in nut.decode(video=0):
                shown = frame.to_ndarray()
                assert frame.format.name == "bgra" and shown.shape == (48, 64, 4)
                assert tuple(shown[0, 0, 1:]) == (100, 200, 128) and shown[-1, 0, 3] == 255
                assert shown[0, 0, 0] // 50 == turn
                count += 1
                if count == 5:
                    break
        return count
    finally:
        stop.set()
        feeder.join()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other kernels keep less")
def test_on_this_machine_the_kernel_takes_a_picture_whole_and_for_a_network_little():
    # To the kernel any other address is another machine's.
    for host, holds in (("127.0.0.1", True), ("127.0.0.2", False)):
        with socket.create_server((host, 0)) as never_reads:
            address = never_reads.getsockname()
            sender = Sender("there", lambda where=address: where, CODINGS["raw"])
            whole = Picture(np.zeros((360, 640, 4), np.uint8), 0.0)
            sender.open(whole)
            sender._socket.settimeout(0.5)
            if holds:
                sender.write(whole)
            else:
                with pytest.raises(TimeoutError):
                    sender.write(whole)
            sender.close()


@pytest.mark.parametrize("name", CODINGS)
def test_every_coding_carries_its_pictures_at_once(name):
    coding = CODINGS[name]
    written: list[int] = []

    class File:
        def write(self, data: bytes) -> int:
            written.append(len(data))
            return len(data)

    muxer = Muxer(File(), coding, (64, 48))
    before = 0
    for index in range(8):
        muxer.write(picture(index))
        assert sum(written) > before, f"picture {index} was kept back"
        before = sum(written)
        time.sleep(0.01)
    muxer.close()


def test_composites_for_outputs_without_alpha():
    shown = over_colour(picture(10), (0, 255, 0))
    assert tuple(shown[-1, 0]) == (10, 100, 200)
    assert np.abs(shown[0, 0].astype(int) - (5, 177, 100)).max() <= 1
    assert (
        over_colour(blank((8, 8), 0.0, opaque=False)).reshape(-1, 3).tolist() == [[64, 177, 0]] * 64
    )


def test_recording_beside_the_live_path(tmp_path, sessions):
    output = tmp_path / "take.mov"
    kept, recorder = Collected(), Recorder(output, overwrite=False)
    session = sessions(
        parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True), Outlet(kept), recorder
    )
    until(lambda: recorder.sent > 10, 90, "recorded frames")
    assert not output.exists()
    session.close()
    with av.open(str(output)) as movie:
        stream = movie.streams.video[0]
        frames = list(movie.decode(stream))
    assert len(frames) == recorder.sent and frames[0].format.name.startswith("yuva444p")
    assert (frames[0].width, frames[0].height) == keyed.SIZE
    times = [frame.time for frame in frames]
    assert times[0] == 0 and times == sorted(times) and times[-1] > 0.2
    assert not [one for one in os.listdir(tmp_path) if "part" in one]


def test_a_recording_is_not_written_over(tmp_path):
    (tmp_path / "take.mov").write_text("wanted")
    result = call(
        "live",
        keyed.clip(tmp_path / "bar.mkv", frames=3),
        "--obs",
        "off",
        "--record",
        tmp_path / "take.mov",
        "-o",
        "-",
    )
    result.refuses(1, "exists already", "--overwrite")


def piped(clip: Path, network: Path, *flags: str) -> subprocess.Popen[bytes]:
    """The command with its standard output a pipe of bytes."""
    arguments = (
        "live",
        clip,
        "-o",
        "-",
        "--model",
        network,
        "--network-size",
        160,
        "--latency",
        5000,
        "--quiet",
        *flags,
    )
    return subprocess.Popen(
        [sys.executable, "-m", "mattecast", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("format", ["nut", pytest.param("y4m", marks=pytest.mark.slow)])
def test_standard_output(tmp_path, network, format):
    worker = piped(keyed.clip(tmp_path / "bar.mkv", frames=150), network, "--format", format)
    data, said = worker.communicate(timeout=90)
    assert worker.returncode == 0, said
    with av.open(io.BytesIO(data), format={"y4m": "yuv4mpegpipe"}.get(format, format)) as found:
        frames = list(found.decode(video=0))
    # Nothing of a file is missed at its start, while the network loads.
    assert np.argmax(frames[0].to_ndarray(format="rgb24")[50, :, 0] > 128) < 2 * keyed.STEP
    assert len(frames) > 5 and frames[0].format.name == {"y4m": "yuv420p", "nut": "bgra"}[format]
    shown = frames[-1].to_ndarray(format="rgb24")
    green = np.abs(shown[5, 5].astype(int) - (0, 177, 64)).max() <= 4
    assert green == (format == "y4m")


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_without_a_word(tmp_path, network):
    worker = piped(keyed.clip(tmp_path / "bar.mkv"), network, "--loop")
    assert worker.stdout is not None and worker.stderr is not None
    assert worker.stdout.read(100000)
    worker.stdout.close()
    assert worker.wait(30) in (0, 1)
    assert b"Traceback" not in worker.stderr.read()
    worker.stderr.close()


@pytest.mark.parametrize(
    "sent, read, options",
    [
        ("udp://127.0.0.1:{}?pkt_size=1316", "udp://127.0.0.1:{}?timeout=20000000", {}),
        pytest.param(
            "rtmp://127.0.0.1:{}/app/key",
            "rtmp://127.0.0.1:{}/app/key",
            {"listen": "1"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "rtsp://127.0.0.1:{}/live",
            "rtsp://127.0.0.1:{}/live",
            {"rtsp_flags": "listen", "listen_timeout": "60"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=["udp", "rtmp", "rtsp"],
)
def test_a_stream_server_gets_a_composite(tmp_path, sessions, sent, read, options):
    """libav as the server, on this machine."""
    from mattecast.live.outputs.targets import target

    port = free_port()
    outlet = Outlet(target(sent.format(port), None))
    with av_in_background(read.format(port), options) as frames:
        sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True), outlet)
        until(lambda: len(frames) > 5, 90, "decoded frames")
    assert (frames[0].width, frames[0].height) == keyed.SIZE


def test_a_server_that_never_answers_hinders_nobody(tmp_path, sessions):
    """libav holds Python's lock while it connects: not in this process."""
    from mattecast.live.outputs.targets import target

    kept = Collected()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        stuck = Outlet(target(f"rtmp://127.0.0.1:{silent.getsockname()[1]}/app/key", None))
        sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True), stuck, Outlet(kept))
        silent.settimeout(30)
        with silent.accept()[0]:
            assert "key" not in " ".join(stuck.target._process.args)
            before = len(kept.pictures)
            until(lambda: len(kept.pictures) > before + 20, 10, "pictures beside it")
            until(lambda: "app: " in stuck.state, 20, "that it was given up")
        assert "live" not in stuck.state and "key" not in stuck.state


class av_in_background:
    """Decodes a URL on a thread; the frames so far."""

    def __init__(self, url: str, options: dict[str, str]) -> None:
        self._url, self._options = url, options
        self._frames, self._stop = [], threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> list:
        self._thread.start()
        time.sleep(0.3)
        return self._frames

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        try:
            with av.open(self._url, timeout=60, options=self._options) as container:
                for frame in container.decode(video=0):
                    self._frames.append(frame)
                    if self._stop.is_set():
                        return
        except av.error.FFmpegError:
            return


class Device:
    """A virtual camera device as pyvirtualcam's back-ends are; there is none on test machines."""

    sent: ClassVar[list] = []

    def __init__(self, **options) -> None:
        self.options = options

    def send(self, frame) -> None:
        Device.sent.append(np.array(frame))

    def close(self) -> None:
        """Nothing to close."""

    def device(self) -> str:
        return "test device"

    def native_fourcc(self):
        return None


def test_the_virtual_camera_gets_green_where_there_is_alpha(tmp_path, sessions, monkeypatch):
    pyvirtualcam = pytest.importorskip("pyvirtualcam")
    from pyvirtualcam import camera

    from mattecast.live.outputs.targets import VirtualCamera

    monkeypatch.setattr(camera, "BACKENDS", {"test": Device})
    assert pyvirtualcam.PixelFormat.BGR
    sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True), Outlet(VirtualCamera()))
    until(lambda: len(Device.sent) > 3, 60, "frames")
    shown = Device.sent[-1].reshape(keyed.SIZE[1], keyed.SIZE[0], 3)
    assert tuple(shown[5, 5]) == (64, 177, 0)


@pytest.mark.slow
def test_no_virtual_camera_is_said_and_ends_it(tmp_path, network):
    pytest.importorskip("pyvirtualcam")
    if Path("/dev/video0").exists():
        pytest.skip("there is a video device here")
    result = start(
        "live",
        keyed.clip(tmp_path / "bar.mkv"),
        "--loop",
        "--virtual-camera",
        "--model",
        network,
        stdin=subprocess.DEVNULL,
    )
    _, said = result.communicate(timeout=60)
    assert "virtual camera: cannot be opened" in said and "Traceback" not in said


# Colours.


@pytest.mark.parametrize(
    "pixels, colour",
    [
        ("yuv420p", (1, 1, 1, 1)),
        ("yuv420p", (1, 6, 6, 6)),
        ("yuv420p", (2, 1, 1, 1)),
        ("yuv422p", (2, 6, 6, 6)),
        ("yuv420p10le", (1, 1, 1, 1)),
    ],
)
def test_colours_are_those_the_source_is_tagged_with(tmp_path, sessions, pixels, colour):
    """range, matrix, primaries and transfer as cameras have them: each its own way to the same."""
    wanted = ((200, 40, 60), (40, 160, 90), (255, 255, 255), (0, 0, 0))
    clip = tmp_path / "flat.mkv"
    with av.open(str(clip), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 64, pixels
        context = stream.codec_context
        (context.color_range, context.colorspace, context.color_primaries, context.color_trc) = (
            colour
        )
        flat = np.repeat(np.repeat(np.array([wanted], np.uint8), 32, axis=1), 64, axis=0)
        for _ in range(20):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(flat), format="rgb24")
            made = frame.reformat(
                format=pixels,
                dst_colorspace={1: 1, 6: 5}[colour[1]],
                src_color_range=2,
                dst_color_range=colour[0],
                interpolation="BICUBIC",
            )
            out.mux(stream.encode(made))
        out.mux(stream.encode(None))
    session = sessions(parse(str(clip), loop=True))
    session.do("off")
    until(lambda: session.newest is not None and session.newest.opaque, 60, "a picture")
    shown = session.newest.bgra[32, 16::32, 2::-1].astype(int)
    # The quick conversion rounds down: by two and a bit.
    assert np.abs(shown - wanted).max() <= 3, shown


@pytest.mark.parametrize("colour", [(1, 1, 1, 1), (1, 6, 6, 6), (2, 6, 6, 6)])
def test_the_quick_guide_is_libswscales_gray(tmp_path, colour):
    """Full-range luma of the source, code for code, as the slow way gives it."""
    from av.video.reformatter import VideoReformatter

    from mattecast.live.matter import _planned
    from mattecast.matting.prepare import Convert

    recipe = clips.Recipe(colour=colour)
    capture = Capture(parse(str(clips.make(tmp_path / "a.mkv", recipe)), loop=True))
    capture.start()
    try:
        (item,) = captured(capture, 1)
    finally:
        capture.close()
    convert = Convert(item.facts, _planned(item.facts, Controls(Settings())), (48, 32))
    (frame,) = convert.push((item.frame, 0, 1))
    item.frame.colorspace = 5  # so that no matrix is changed on the way
    gray = VideoReformatter().reformat(item.frame, format="gray", dst_color_range=2, threads=1)
    assert np.abs(gray.to_ndarray().astype(int) - frame.guide).max() <= 1


def test_far_outside_all_is_empty_and_black(tmp_path, sessions):
    session = sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True))
    until(lambda: session.newest, 60, "a picture")
    bgra = session.newest.bgra
    empty = bgra[..., 3] == 0
    assert empty.mean() > 0.3 and not bgra[-16:].any()
    # Beside the patches of half alpha the source's own colour is kept.
    assert (bgra[keyed.PATCH_ROWS.start + 40, keyed.patch(0).start + 40, :3] > 0).any()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_ten_minutes_with_faults_stay_flat():
    script = Path(__file__).parents[2] / "scripts/bench/soak_live.py"
    soak = subprocess.run(
        [
            sys.executable,
            str(script),
            "--seconds",
            "600",
            "--every",
            "20",
            "--faults",
            "--flags",
            "--network-size 256",
        ],
        capture_output=True,
        text=True,
        timeout=900,
    )
    print(soak.stdout)
    assert soak.returncode == 0, soak.stdout[-2000:] + soak.stderr[-1000:]


# Backgrounds and switches while it runs.


def test_backgrounds_are_switched_while_it_runs(tmp_path, sessions):
    session = sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True))
    until(lambda: session.newest, 60, "a picture")
    still = clips.make(
        tmp_path / "still.png", clips.Recipe(codec="png", pixels="rgb24", options=(), pts=(0,))
    )
    video = clips.make(tmp_path / "behind.mp4")
    for background in ("blur", "bokeh:3", "#ff8000", str(still), str(video), "none"):
        session.do("background", background)
        until(lambda wanted=background != "none": session.newest.opaque == wanted, 20, background)
    assert session.newest.bgra[5, 5, 3] == 0
    with pytest.raises(UsageError, match="no such file"):
        session.do("background", "nothing.png")
    assert session.check()


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"light_wrap": 0.5},
        {"shadow": 1.0},
        {"linear_light": True},
        {"colour_match": 0.5},
        {"blend": "poisson"},
    ],
)
def test_a_composite_is_opaque_whatever_its_options(tmp_path, sessions, wish):
    kept = Collected()
    sessions(
        parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True),
        Outlet(kept),
        background="#404040",
        **wish,
    )
    until(lambda: len(kept.pictures) > 3, 60, "pictures")
    bgra = kept.pictures[-1].bgra
    behind = bgra[170:190, :, :3].astype(int)  # below the bar
    assert (bgra[..., 3] == 255).all() and np.abs(behind - 64).max() < 60
    assert (behind < 48).any() == ("shadow" in wish)


def test_masks_and_a_person_hold_for_a_camera(tmp_path, sessions):
    masks = {}
    for name, columns in (("garbage", slice(320, 640)), ("keep", slice(0, 32))):
        drawn = np.zeros((keyed.SIZE[1], keyed.SIZE[0]), np.uint8)
        drawn[200:, columns] = 255
        masks[name] = str(tmp_path / f"{name}.png")
        cv2.imwrite(masks[name], drawn)
    kept = Collected()
    middle = (keyed.patch(1).start + 20) / keyed.SIZE[0]  # of the half-transparent patch
    session = sessions(
        parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True),
        Outlet(kept),
        person=f"{middle},0.8",
        **masks,
    )
    until(lambda: len(kept.pictures) > 3, 60, "pictures")
    alpha = kept.pictures[-1].bgra[..., 3]
    assert not alpha[200:, 320:].any() and (alpha[200:, :32] == 255).all()
    assert (alpha[260, 240:310] > 100).all() and not alpha[:150].any()
    with pytest.raises(UsageError, match="no such file"):
        session.change(garbage=str(tmp_path / "none.png"))


def rising(path: Path, frames: int = 120) -> Path:
    """A video whose gray level grows by two a frame."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264rgb", rate=30, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *keyed.SIZE, "rgb24"
        for index in range(frames):
            level = np.full((keyed.SIZE[1], keyed.SIZE[0], 3), 2 * index, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def test_a_video_behind_plays_at_its_pace_and_through_other_changes(tmp_path, sessions):
    session = sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True))
    until(lambda: session.newest, 60, "a picture")
    session.do("background", str(rising(tmp_path / "rising.mkv")))
    until(lambda: session.newest.opaque, 20, "the first picture over the video")
    began, levels = time.monotonic(), []
    while time.monotonic() - began < 2:
        levels.append(int(session.newest.bgra[5, 5, 0]))
        if len(levels) % 5 == 0:
            session.do("choke", str(len(levels) % 10))
        time.sleep(0.05)
    # It starts at its beginning, goes on while the edge is moved, and takes its time.
    assert levels[0] < 60 and levels == sorted(levels) and len(set(levels)) > 4
    assert levels[-1] - levels[0] < 2 * 30 * 2 + 40


def test_keys(tmp_path, sessions):
    from mattecast.live.keys import HELP, press

    session = sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True))
    until(lambda: session.newest, 60, "a picture")
    assert "off" in press(session, " ") and "on" in press(session, " ")
    assert press(session, "b") == "background blur"
    assert press(session, "+") == "choke 0.5" and press(session, "-") == "choke 0"
    assert press(session, "s") == "smooth causal" and press(session, "?") == HELP
    press(session, "q")
    assert not session.check()


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_keys_of_a_terminal(tmp_path, network):
    import pty

    ours, theirs = pty.openpty()
    worker = start(
        "live",
        keyed.clip(tmp_path / "bar.mkv"),
        "--loop",
        "-o",
        f"tcp://127.0.0.1:{free_port()}",
        "--model",
        network,
        "--network-size",
        160,
        stdin=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while b"ms old" not in shown:
            shown += os.read(ours, 4096)
        os.write(ours, b"b q")
        assert worker.wait(30) == 0
        worker.communicate()
        while data := os.read(ours, 65536):
            shown += data
    except OSError:
        pass  # Linux says so where the other side of a terminal has gone
    finally:
        os.close(ours)
    assert b"background blur" in shown and b"matting is off" in shown and b"ending" in shown


def test_commands_and_json_by_the_line(tmp_path, network):
    worker = start(
        "live",
        keyed.clip(tmp_path / "bar.mkv"),
        "--loop",
        "-o",
        f"tcp://127.0.0.1:{free_port()}",
        "--commands",
        "--json",
        "--model",
        network,
        "--network-size",
        160,
        "--quiet",
        stdin=subprocess.PIPE,
    )
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write("background green\nkey +\nnonsense\n")
    worker.stdin.flush()
    lines: list[dict] = []
    for line in worker.stdout:
        lines.append(json.loads(line))
        if lines[-1]["background"] == "green" and lines[-1]["fps_out"] > 0:
            break
    worker.stdin.close()
    assert worker.wait(30) == 0
    assert lines[-1]["size"] == list(keyed.SIZE) and lines[-1]["choke"] == 0.5
    said = worker.stderr.read()
    assert "'nonsense' is no command" in said
    worker.stdout.close()
    worker.stderr.close()


@pytest.mark.slow
def test_a_stopped_process_goes_on_with_new_pictures(tmp_path, network):
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        worker = start(
            "live",
            keyed.clip(tmp_path / "bar.mkv"),
            "--loop",
            "-o",
            f"tcp://127.0.0.1:{port}",
            "--json",
            "--model",
            network,
            "--network-size",
            160,
            "--latency",
            400,
            stdin=subprocess.DEVNULL,
        )
        server.settimeout(60)
        connection, _ = server.accept()
        drained = threading.Thread(target=_drain, args=(connection,), daemon=True)
        drained.start()
        assert worker.stdout is not None
        _next(worker, lambda status: status["fps_out"] > 0)
        worker.send_signal(signal.SIGSTOP)
        time.sleep(3)
        worker.send_signal(signal.SIGCONT)
        time.sleep(1)
        status = _next(worker, lambda one: one["fps_out"] > 0 and one["age_ms"]["p95"] < 2000)
        assert status["source"].endswith("live")
        worker.send_signal(signal.SIGINT)
        worker.communicate(timeout=30)
        assert worker.returncode == 130
        connection.close()


def _drain(connection: socket.socket) -> None:
    try:
        while connection.recv(1 << 16):
            pass
    except OSError:
        return


def _next(worker, wanted: Callable[[dict], bool]) -> dict:
    """The next status that is as wanted, of at most a minute's."""
    for _ in range(60):
        status = json.loads(worker.stdout.readline())
        if wanted(status):
            return status
    raise AssertionError(status)


# OBS that is not there, or is something else.


def test_no_obs_is_said_at_once():
    with pytest.raises(ObsError, match="does not run, or its WebSocket server is off"):
        Client(Address(port=free_port()))


def test_a_machine_nobody_knows_is_not_called_another_program():
    with pytest.raises(ObsError, match="no machine of that name") as met:
        Client(Address("no.such.machine.invalid"))
    assert not met.value.fatal  # the network may come yet


def test_the_doctor_says_what_to_do_first():
    result = call("doctor", "--obs", f"127.0.0.1:{free_port()}")
    assert result.code == 1 and "Enable WebSocket server" in result.out


def served(talk: Callable[[socket.socket], None]) -> tuple[int, socket.socket]:
    """A server that says what `talk` says to each who connects."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        while True:
            try:
                connection, _ = server.accept()
                talk(connection)
            except OSError:
                return

    threading.Thread(target=run, daemon=True).start()
    return server.getsockname()[1], server


def handshake(connection: socket.socket) -> None:
    """Accept a WebSocket and say nothing more, as one that hangs does."""
    import base64
    import hashlib

    request = connection.recv(4096).decode()
    key = next(line.split(": ")[1] for line in request.splitlines() if "WebSocket-Key" in line)
    magic = (key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()
    accept = base64.b64encode(hashlib.sha1(magic).digest()).decode()
    connection.sendall(
        f"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
    HELD.append(connection)


def protocol_4(connection: socket.socket) -> None:
    """Accept a WebSocket and answer whatever is asked, as obs-websocket 4 does."""
    handshake(connection)
    connection.recv(4096)
    said = b'{"message-id": "1", "status": "ok", "obs-websocket-version": "4.9.1"}'
    connection.sendall(bytes([0x81, len(said)]) + said)


HELD: list[socket.socket] = []


@pytest.mark.parametrize(
    "talk, words, fatal",
    [
        (HELD.append, "hangs or is still starting", False),
        (handshake, "hangs or is still starting", False),
        (protocol_4, "does not speak obs-websocket 5", True),
        (lambda connection: connection.sendall(b"220 mail.example\r\n\r\n"), "is not OBS's", True),
    ],
    ids=["frozen", "frozen later", "old protocol", "another program"],
)
def test_what_is_not_obs_is_said_within_five_seconds(talk, words, fatal):
    port, server = served(talk)
    began = time.monotonic()
    try:
        with pytest.raises(ObsError, match=words) as raised:
            Client(Address(port=port), "secret")
        assert raised.value.fatal == fatal and "secret" not in str(raised.value)
        assert time.monotonic() - began < 5
    finally:
        server.close()
        while HELD:
            HELD.pop().close()


@pytest.mark.parametrize(
    "text, host, port",
    [
        ("", "127.0.0.1", 4455),
        ("studio", "studio", 4455),
        (":4466", "127.0.0.1", 4466),
        ("studio:1", "studio", 1),
    ],
)
def test_addresses(text, host, port):
    assert (address(text).host, address(text).port) == (host, port)


@pytest.mark.parametrize("text", ["a:b", "a:0", "a:70000"])
def test_addresses_that_are_none(text):
    with pytest.raises(ValueError, match="HOST:PORT"):
        address(text)


@pytest.mark.parametrize(
    "settings, port",
    [
        ({"input": "tcp://127.0.0.1:9700?listen=1"}, 9700),
        ({"input": "tcp://127.0.0.1:9700"}, None),
        ({"input": "rtmp://a:1?listen=1"}, None),
        ({}, None),
        ({"input": "tcp://127.0.0.1:9700?listen=1", "is_local_file": True}, None),
    ],
)
def test_only_our_own_kind_of_source_is_adopted(settings, port):
    assert listening_port(settings) == port


def test_where_passwords_come_from(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OBS_PASSWORD", raising=False)
    here = Address()
    assert Password(here, None)() == ""
    if sys.platform.startswith("linux"):
        own = tmp_path / "obs-studio"
        (own / "plugin_config" / "obs-websocket").mkdir(parents=True)
        (own / "global.ini").write_text(
            "[OBSWebSocket]\nServerEnabled=true\nServerPort=4455\nServerPassword=old\n"
        )
        assert Password(here, None)() == "old"
        (own / "plugin_config" / "obs-websocket" / "config.json").write_text(
            json.dumps(
                {
                    "server_enabled": True,
                    "server_port": 4455,
                    "auth_required": True,
                    "server_password": "new",
                }
            )
        )
        assert Password(here, None)() == "new" and Password(Address("far"), None)() == ""
    monkeypatch.setenv("OBS_PASSWORD", "environment")
    assert Password(here, None)() == "environment"
    (tmp_path / "secret").write_text("file\n")
    assert Password(here, tmp_path / "secret")() == "file"
    with pytest.raises(UsageError, match="no such file"):
        Password(here, tmp_path / "none")()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="each system has its own places")
def test_obs_is_found_on_the_port_it_is_set_to(tmp_path, monkeypatch):
    """What OBS before 5.5 has left behind counts no more."""
    port = free_port()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("OBS_PASSWORD", raising=False)
    assert "nothing listens at 127.0.0.1:4455" in call("doctor", "--obs").out
    own = tmp_path / "obs-studio"
    (own / "plugin_config" / "obs-websocket").mkdir(parents=True)
    (own / "global.ini").write_text("[OBSWebSocket]\nServerEnabled=false\nServerPort=4455\n")
    told = call("doctor", "--obs").out
    assert "error    its WebSocket server is off" in told
    (own / "plugin_config" / "obs-websocket" / "config.json").write_text(
        json.dumps({"server_enabled": True, "server_port": port})
    )
    told = call("doctor", "--obs").out
    assert f"nothing listens at 127.0.0.1:{port}" in told and "server is off" not in told
    for text in ("127.0.0.1:4455", "studio"):
        assert f"nothing listens at {text}" in call("doctor", "--obs", text).out


def test_no_password_at_the_prompt_is_a_plain_refusal(monkeypatch):
    from mattecast.commands import live
    from mattecast.live.obs import client

    def refuse(*_: object) -> None:
        raise client.PasswordError("needed")

    def control_d(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(client, "Client", refuse)
    monkeypatch.setattr("getpass.getpass", control_d)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.delenv("OBS_PASSWORD", raising=False)
    where = Address("far")
    with pytest.raises(UsageError, match="no password"):
        live._ask(where, Password(where, None))


def test_there_is_no_flag_for_a_password():
    assert "--obs-password " not in call("live", "--help").out.replace("\n", " ")


# The live.


def test_help():
    shown = call("live", "--help").out
    assert "exit codes:" in shown and all(len(line) <= 100 for line in shown.splitlines())


def test_list_and_script():
    assert call("live", "--list").code == 0
    script = Path(call("live", "--obs-script").out.strip())
    assert script.name == "mattecast_obs.py" and script.is_file()


@pytest.mark.parametrize(
    "flags, words",
    [
        (["--camera", "0", "clip.mp4"], "name one of them"),
        (["nothing.mp4"], "no such file"),
        (["-", "--smooth", "two-way"], "live knows off, causal, delayed"),
        (["-", "--latency", "0"], "range"),
        (["-", "-o", "file.mov"], "--record"),
        (["-", "--format", "nut"], "-o -"),
        (["-", "--obs", "a:b:c:d"], "HOST:PORT"),
        (["-", "--rate", "x", "-o", "-"], "frame rate"),
        (["-", "--record", "x.png", "-o", "-"], "live records movies"),
        (["-", "--for", "-1"], "not a positive"),
        (["-", "--for", "nan"], "not a positive"),
        (["-", "--media-port", "70000"], "no port"),
        (["-", "--name", ""], "needs one"),
        (["-", "--commands"], "both pictures and --commands"),
        (["-", "--control", "70000"], "no port"),
        (["-", "-o", "-", "--json"], "one thing only"),
        (["--obs", __file__], "name INPUT before"),
        (["--virtual-camera", __file__], "name INPUT before"),
        (["-", "-o", "-", "-o", "-"], "one thing only"),
        (["-", "-o", "-", "--garbage", "none.png"], "no such file"),
        (["-", "-o", "-", "--shadow", "2"], "shadow: 2.0 is out of range"),
    ],
)
def test_requests_that_make_no_sense(flags, words):
    call("live", *flags).refuses(2, words)


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_pictures_are_not_written_to_a_terminal():
    import pty

    ours, theirs = pty.openpty()
    worker = start("live", "-", "-o", "-", stdin=subprocess.DEVNULL, stdout=theirs)
    _, said = worker.communicate(timeout=60)
    os.close(theirs)
    os.close(ours)
    assert worker.returncode == 2 and said.count("\n") == 1 and "is a terminal" in said


def test_another_camera_that_is_not_there_ends_nothing(tmp_path, reading):
    capture = reading(str(keyed.clip(tmp_path / "bar.mkv")), loop=True)
    captured(capture, 3)
    (tmp_path / "bad.mp4").write_text("no video")
    capture.switch(parse(str(tmp_path / "bad.mp4")))
    until(lambda: "bad.mp4" in capture.state and "trying again" in capture.state, 10, "a refusal")
    capture.switch(parse(str(tmp_path / "bar.mkv"), loop=True))
    captured(capture, 3)
    assert capture.failure is None


def test_a_background_that_is_not_there_is_refused_at_the_start(tmp_path):
    call(
        "live", keyed.clip(tmp_path / "bar.mkv", frames=3), "-o", "-", "--background", "nothing.png"
    ).refuses(2, "no such file")


def test_a_failing_capture_raises_what_it_met(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"\0" * 100)
    capture = Capture(parse(str(tmp_path / "a.mp4")))
    capture.start()
    until(lambda: capture.failure, 10, "its failure")
    assert isinstance(capture.failure, MediaError)
    capture.close()
