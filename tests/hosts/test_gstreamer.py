"""The element of GStreamer in real pipelines of gst-launch-1.0 and of GStreamer's own Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import Recipe, make
from commands import call

from mattecast import Settings, mattes
from mattecast.hosts.gstreamer.formats import GIVEN, TAKEN
from mattecast.hosts.gstreamer.plugin import PLUGIN, python_of
from mattecast.hosts.gstreamer.properties import PROPERTIES

PIPELINES = Path(__file__).with_name("gstreamer_pipelines.py")
SYSTEM = "/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin"
QUICK = "mattecast detail=fast network-size=64"
SMALL = "video/x-raw,width=33,height=21,framerate=25/1"
MINOR = "{}.{}".format(*sys.version_info)


class GStreamer:
    """GStreamer with the element, in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            "HOME": str(home),
            "PATH": SYSTEM,
            "GST_REGISTRY": str(home / "registry"),
            **{name: value for name, value in os.environ.items() if name.startswith("MATTECAST")},
        }
        self.element = PLUGIN.build(home / ".gstreamer-1.0/plugins/python")

    def launch(self, pipeline: str) -> subprocess.CompletedProcess[str]:
        """What a pipeline of gst-launch-1.0 says."""
        return self.run(["gst-launch-1.0", "-q", *pipeline.split()])

    def play(self, pipeline: str) -> str:
        """A pipeline that plays to its end."""
        result = self.launch(pipeline)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def refusal(self, pipeline: str) -> str:
        """The line that says why a pipeline does not play."""
        result = self.launch(pipeline)
        assert result.returncode
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR: from")]
        # Others that may follow are of the source, whose pictures nobody takes any more.
        assert "Traceback" not in result.stderr and "mattecast0" in lines[0], result.stderr
        return lines[0]

    def inspect(self) -> str:
        """What gst-inspect-1.0 says of the element."""
        return self.run(["gst-inspect-1.0", "mattecast"]).stdout

    def python(self, name: str) -> Any:
        """What a pipeline of gstreamer_pipelines.py gives."""
        result = self.run(["/usr/bin/python3", str(PIPELINES), name])
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """What a program says in this environment."""
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=100, check=False
        )


@pytest.fixture(scope="session")
def gst(tmp_path_factory: pytest.TempPathFactory, folders: None) -> GStreamer:
    if shutil.which("gst-launch-1.0", path=SYSTEM) is None:
        pytest.skip("GStreamer is not installed: apt install gstreamer1.0-tools")
    gstreamer = GStreamer(tmp_path_factory.mktemp("gstreamer"))
    loader = re.search(
        r"Filename +(.+)",
        subprocess.run(
            ["gst-inspect-1.0", "python"],
            env=gstreamer.environment,
            capture_output=True,
            text=True,
            check=False,
        ).stdout,
    )
    if loader is None:
        pytest.skip("GStreamer has no Python: apt install gstreamer1.0-python3-plugin-loader")
    if python_of(Path(loader[1])) != MINOR:
        pytest.skip(f"GStreamer's Python is not {MINOR}, which these tests run on")
    return gstreamer


def alphas(path: Path, size: tuple[int, int]) -> np.ndarray:
    """(frames, height, width) uint8: the alpha of raw R, G, B, A pictures."""
    return np.fromfile(path, np.uint8).reshape(-1, size[1], size[0], 4)[..., 3]


def test_the_element_shows_its_properties(gst: GStreamer) -> None:
    said = gst.inspect()
    listed = set(re.findall(r"^  ([a-z-]+) +: ", said, re.M)) - {"name", "parent"}
    assert listed == {*PROPERTIES, "engine"}
    assert "mattecast contributors" in said and "MIT" in said
    assert re.search(r"choke +: move.*\n.*\n +Double. Range: +-100 - +100 Default: +0", said)


def test_a_clip_has_the_mattes_of_matte(gst: GStreamer, talk: Path, tmp_path: Path) -> None:
    """Frame by frame, decoded by GStreamer, in 8 and 10 bits."""
    settings = Settings(network_size=128, guidance="off")
    expected = np.stack([each.alpha for each in mattes(talk, settings)])
    with av.open(str(talk)) as clip:
        stream = clip.streams.video[0]
        size = stream.width, stream.height
    play = f"filesrc location={talk} ! decodebin ! mattecast network-size=128 ! video/x-raw,format="
    gst.play(
        f"{play}RGBA ! filesink location={tmp_path}/rgba "
        f"{play}A444_10LE ! filesink location={tmp_path}/deep"
    )
    given = alphas(tmp_path / "rgba", size)
    assert len(given) == len(expected)
    assert np.abs(given / 255 - expected).max() < 1.01 / 255
    deep = np.fromfile(tmp_path / "deep", "<u2").reshape(-1, 4, size[1], size[0])[:, 3]
    assert np.abs(deep / 1023 - expected).max() < 1.01 / 1023


@pytest.mark.slow
def test_every_pixel_format_in_odd_sizes(gst: GStreamer, tmp_path: Path) -> None:
    source = f"videotestsrc num-buffers=2 pattern=white ! {SMALL},format="
    shown = f"{QUICK} threads=1 foreground=source whole-picture=true ! video/x-raw,format=RGBA"
    gst.play(
        " ".join(
            f"{source}{name} ! {shown} ! filesink location={tmp_path}/{name}" for name in TAKEN
        )
    )
    for name in TAKEN:
        pictures = np.fromfile(tmp_path / name, np.uint8).reshape(2, 21, 33, 4)
        assert pictures[..., :3].min() > 250, name
    source = f"videotestsrc num-buffers=2 ! {SMALL} ! {QUICK} background=#ff0000 ! video/x-raw"
    gst.play(
        " ".join(
            f"{source},format={name} ! videoconvert ! video/x-raw,format=RGBA ! "
            f"filesink location={tmp_path}/{name}"
            for name in GIVEN
        )
    )
    for name in GIVEN:
        pictures = np.fromfile(tmp_path / name, np.uint8).reshape(2, 21, 33, 4)
        off = np.abs(pictures[:, 0, 0].astype(int) - (255, 0, 0, 255))
        assert off.max() <= 3, name


@pytest.mark.parametrize(
    ("element", "words"),
    [
        ("mattecast model=nowhere.onnx", "no file nowhere.onnx"),
        ("mattecast mode=sideways", "choose one of auto, live, recorded"),
        ("mattecast mode=live smooth=two-way", "mode=recorded"),
        (f"{QUICK} background=nowhere.png", "no such file"),
    ],
)
def test_errors_are_one_line(gst: GStreamer, element: str, words: str) -> None:
    line = gst.refusal(f"videotestsrc num-buffers=2 ! {SMALL} ! {element} ! fakesink")
    assert words in line and "mattecast: " in line


def test_interlaced_pictures_are_refused(gst: GStreamer) -> None:
    source = f"videotestsrc num-buffers=2 ! {SMALL},interlace-mode=interleaved"
    assert "deinterlace" in gst.refusal(f"{source} ! mattecast ! fakesink")


@pytest.mark.parametrize(
    ("line", "changed", "words"),
    [
        ("PYTHON", "PYTHON = (3, 7)", "runs on Python 3.7"),
        ("PACKAGES", "PACKAGES = {}", "hosts install gstreamer"),
    ],
)
def test_a_mattecast_that_cannot_be_loaded_is_told(
    gst: GStreamer, tmp_path: Path, line: str, changed: str, words: str
) -> None:
    other = GStreamer(tmp_path)
    text = re.sub(rf"^{line}\b.* = .*$", changed, other.element.read_text(), flags=re.M)
    other.element.write_text(text)
    source = f"videotestsrc num-buffers=2 ! {SMALL}"
    assert words in other.refusal(f"{source} ! mattecast background=blur ! fakesink")


def test_a_seek_begins_anew(gst: GStreamer) -> None:
    times = gst.python("seek")["times"]
    assert times == [2_000_000_000 + 40_000_000 * number for number in range(10)]


def test_another_size_in_mid_stream(gst: GStreamer) -> None:
    seen = gst.python("other_caps")
    assert seen["times"] == [40_000_000 * number for number in range(9)]
    assert seen["sizes"] == [64 * 48 * 4] * 4 + [50 * 31 * 4] * 5
    assert ["width=(int)64" in seen["caps"][0], "width=(int)50" in seen["caps"][1]] == [True, True]


def test_strides_times_and_metas(gst: GStreamer) -> None:
    seen = gst.python("strides")
    assert seen["times"] == [7_000_000_000] and seen["metas"] == [[1, 2, 3, 4]]
    picture = np.array(seen["picture"], np.uint8).reshape(22, 34, 4)
    # Luma 90 of limited range is this gray.
    assert np.abs(picture[..., :3].astype(int) - 86).max() <= 1


def test_events_and_changes_keep_their_places(gst: GStreamer) -> None:
    seen = gst.python("events")
    assert seen["times"] == [40_000_000 * number for number in range(30)]
    assert seen["place"] == 10
    assert [corner[3] for corner in seen["corners"]] == [0] * 20 + [255] * 10
    assert seen["corners"][-1] == [16, 32, 48, 255]


@pytest.mark.slow
def test_a_live_source(gst: GStreamer) -> None:
    seen = gst.python("live")
    frame = 1_000_000_000 / 15
    # One frame of the source, our own 200 ms, and the next picture that smoothing waits for.
    assert seen["live"] and abs(seen["latency"] - (2 * frame + 200_000_000)) < 10
    assert seen["times"] == sorted(seen["times"]) and len(seen["times"]) > 5
    assert seen["times"][-1] - seen["times"][0] > 1_000_000_000


@pytest.mark.slow
def test_prores_and_pictures_of_gstreamer(gst: GStreamer, talk: Path, tmp_path: Path) -> None:
    source = f"filesrc location={talk} ! decodebin ! {QUICK}"
    gst.play(f"{source} ! avenc_prores_ks profile=4 ! qtmux ! filesink location={tmp_path}/a.mov")
    with av.open(str(tmp_path / "a.mov")) as clip:
        frames = list(clip.decode(video=0))
    assert len(frames) == 8 and "yuva444p" in frames[0].format.name
    gst.play(f"{source} ! pngenc ! multifilesink location={tmp_path}/%02d.png")
    assert len(list(tmp_path.glob("*.png"))) == 8


@pytest.mark.slow
def test_the_python_example_of_the_page(gst: GStreamer, tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs/gstreamer.md"
    clip = Recipe(options=(("preset", "ultrafast"), ("bf", "2")))  # decoders give the first late
    talk = make(tmp_path / "talk.mp4", clip)
    lines = page.read_text().partition("From Python")[2].partition("## ")[0].splitlines()
    code = "\n".join(line[4:] for line in lines if line.startswith("    "))
    code = code.replace("talk.mp4", str(talk)).replace("mattecast !", f"{QUICK} !")
    printed = gst.run(["/usr/bin/python3", "-c", code]).stdout.split("\n")[:-1]
    assert len(printed) == 8
    times = [float(line.split()[0]) for line in printed]
    assert times == pytest.approx([number / 25 for number in range(8)])


@pytest.mark.slow
def test_the_check_runs_a_pipeline(
    gst: GStreamer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GST_REGISTRY", str(tmp_path / "registry"))
    assert call("hosts", "check", "gstreamer").code == 1
    assert call("hosts", "install", "gstreamer").code == 0
    result = call("hosts", "check", "gstreamer")
    assert result.code == 0 and "4 pictures were matted" in result.out
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt install" in call("hosts", "check", "gstreamer").out


def test_a_loader_on_the_blacklist_is_told(
    gst: GStreamer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GST_REGISTRY", str(tmp_path / "registry"))
    # GStreamer remembers a loader whose Python did not start.
    broken = {**os.environ, "PYTHONHOME": str(tmp_path), "PATH": SYSTEM}
    subprocess.run(["gst-inspect-1.0", "python"], env=broken, capture_output=True, check=False)
    result = call("hosts", "check", "gstreamer")
    assert result.code == 1 and "blacklist" in result.out and "registry" in result.out


def test_the_python_of_a_loader(tmp_path: Path) -> None:
    for content, version in (
        (b"\0libpython3.11.so.1.0\0", "3.11"),
        (b"\0/opt/Python.framework/Versions/3.13/Python\0", "3.13"),
        (b"\0python312.dll\0", "3.12"),
        (b"nothing", None),
    ):
        (tmp_path / "loader").write_bytes(content)
        assert python_of(tmp_path / "loader") == version
