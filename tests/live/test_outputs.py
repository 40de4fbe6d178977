"""Outputs: OBS's socket, recordings, standard output and virtual cameras."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import ClassVar

import av
import keyed
import numpy as np
import pytest
from commands import call, start
from pictures import Collected, picture
from sources import transport
from waiting import until

from mattecast.errors import UsageError
from mattecast.live.capture import parse
from mattecast.live.outputs.outlet import Outlet
from mattecast.live.outputs.recording import Recorder
from mattecast.live.outputs.sender import CODINGS, Muxer, Sender
from mattecast.live.outputs.targets import Pipe, VirtualCamera, Y4m
from mattecast.live.picture import Picture, blank, over_colour


def test_a_server_is_refused_without_its_stream_key():
    from mattecast.live.outputs.targets import target

    with pytest.raises(UsageError, match=r"pipe .* into `ffmpeg") as caught:
        target("rtmp://live.example/app/the-key", None)
    assert "the-key" not in str(caught.value)


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


def test_another_size_is_fitted_where_receivers_take_one(tmp_path, relay, sessions):
    """Pictures of another shape, in a pipe and in a recording: as large as fits, not stretched."""
    assert all(kind.one_size for kind in (Pipe, Y4m, VirtualCamera))
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
    until(lambda before=recorder.sent: recorder.sent > before + 5, 30, "recorded pictures")
    session.close()
    with av.open(str(take)) as found:
        assert narrow([frame.to_ndarray(format="bgr24") for frame in found.decode(video=0)][-1])


def test_pictures_reach_a_listener_exactly_and_it_may_come_and_go():
    address: list[tuple[str, int]] = []
    outlet = Outlet(Sender("there", lambda: address[0] if address else None, CODINGS["raw"]))
    outlet.start()
    try:
        for turn in range(2):
            with socket.create_server(("127.0.0.1", 0)) as server:
                address[:] = [server.getsockname()]
                assert _received(server, outlet, turn) >= 3
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
                seen = frame.to_ndarray()
                assert frame.format.name == "bgra" and seen.shape == (48, 64, 4)
                assert tuple(seen[0, 0, 1:]) == (100, 200, 128) and seen[-1, 0, 3] == 255
                assert seen[0, 0, 0] // 50 == turn
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
    seen = over_colour(picture(10), (0, 255, 0))
    assert tuple(seen[-1, 0]) == (10, 100, 200)
    assert np.abs(seen[0, 0].astype(int) - (5, 177, 100)).max() <= 1
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
    worker = piped(keyed.clip(tmp_path / "bar.mkv", frames=60), network, "--format", format)
    data, errors = worker.communicate(timeout=90)
    assert worker.returncode == 0, errors
    with av.open(io.BytesIO(data), format={"y4m": "yuv4mpegpipe"}.get(format, format)) as found:
        frames = list(found.decode(video=0))
    # Nothing of a file is missed at its start, while the network loads.
    assert np.argmax(frames[0].to_ndarray(format="rgb24")[50, :, 0] > 128) < 2 * keyed.STEP
    assert len(frames) > 5 and frames[0].format.name == {"y4m": "yuv420p", "nut": "bgra"}[format]
    seen = frames[-1].to_ndarray(format="rgb24")
    green = np.abs(seen[5, 5].astype(int) - (0, 177, 64)).max() <= 4
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
    seen = Device.sent[-1].reshape(keyed.SIZE[1], keyed.SIZE[0], 3)
    assert tuple(seen[5, 5]) == (64, 177, 0)


@pytest.mark.slow
def test_no_virtual_camera_is_reported_and_ends_it(tmp_path, network):
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
    _, errors = result.communicate(timeout=60)
    assert "virtual camera: cannot be opened" in errors and "Traceback" not in errors
