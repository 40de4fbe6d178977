"""Host programs show what `--for HOST` writes for them as we mean it.

Large programs, installed by hand, then `pytest -m slow tests/hosts`:

    apt-get install ffmpeg melt xvfb blender chromium gstreamer1.0-tools gstreamer1.0-libav \
        gstreamer1.0-plugins-base gstreamer1.0-plugins-good
    python3.11 -m venv bpy-4.5 && bpy-4.5/bin/pip install 'bpy==4.5.*'   # 4.2 to 5.0; 5.3: 3.13
    export MATTECAST_BPY=bpy-4.5/bin/python:bpy-5.0/bin/python
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from obs_host import Host, missing
from people import FRAMES, first_picture, over, person, source, written
from waiting import until

from mattecast import Settings
from mattecast.media.formats import FORMATS

pytestmark = pytest.mark.slow

SIZES = (640, 360), (853, 479)
COLOURS = {"white": (1.0, 1.0, 1.0), "teal": (0.1, 0.5, 0.45)}
# A host's whole start and render take about 15 s on a shared core.
PATIENCE = 300
BPYS = [Path(each) for each in os.environ.get("MATTECAST_BPY", "").split(os.pathsep) if each]


@pytest.fixture(scope="module", params=SIZES, ids=str)
def talk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source(tmp_path_factory.mktemp("hosts") / "talk.mov", *request.param)


def made_for(host: str, talk: Path, folder: Path, format: str | None = None) -> Path:
    """What a run writes for a host, with the alpha known; of a folder, its first picture."""
    settings = Settings(host=host, format=format)
    chosen = FORMATS[settings.resolved_format(None)]
    name = "made" if chosen.is_sequence else f"made{chosen.suffix}"
    return first_picture(written(talk, folder / name, settings))


def size_of(path: Path) -> tuple[int, int]:
    with av.open(path) as container:
        return container.streams.video[0].width, container.streams.video[0].height


def hexadecimal(colour: str) -> str:
    """'ffffff' for white."""
    return bytes(round(part * 255) for part in COLOURS[colour]).hex()


def run(*command: str | Path) -> str:
    """What a host program prints; a skip when it is not installed."""
    if not shutil.which(str(command[0])):
        pytest.skip(f"{command[0]} is not installed; see the top of {__file__}")
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def picture(path: Path) -> NDArray[np.float64]:
    """The first picture, (H, W, 3) in [0, 255]."""
    with av.open(path) as container:
        frame = next(container.decode(video=0))
    # Eight bits stay as they are: libswscale makes 0xFF00 of 0xFF.
    deep = max(component.bits for component in frame.format.components) > 8
    codes = frame.to_ndarray(format="rgb48le" if deep else "rgb24").astype(np.float64)
    return codes / 257 if deep else codes


def assert_as_meant(path: Path, colour: str = "white") -> None:
    """The picture is our composite, see assert_near."""
    shown = picture(path)
    height, width = shown.shape[:2]
    rgba = person(width, height)
    assert_near(shown, over(rgba, COLOURS[colour]), rgba)


def assert_near(
    shown: NDArray[np.float64], meant: NDArray[np.float64], rgba: NDArray[np.float64]
) -> None:
    """Two pictures are within 1.5/255 in the mean of soft edges, and within 1/255 in all."""
    difference = np.abs(shown - meant).mean(axis=2)
    soft = (rgba[..., 3] > 0.02) & (rgba[..., 3] < 0.98)
    edges, whole, worst = difference[soft].mean(), difference.mean(), difference.max()
    text = f"soft edges {edges:.2f}/255, mean {whole:.2f}/255, worst {worst:.1f}/255"
    print(text)
    # Sharp edges cost ProRes up to 2, VP9's 4:2:0 up to 15; a lost alpha is a hundred off.
    assert edges < 1.5 and whole < 1 and worst < 20, text


def test_ffprobe_reads_the_same(talk: Path, tmp_path: Path) -> None:
    clip = made_for("premiere", talk, tmp_path)
    told = json.loads(run("ffprobe", "-v", "error", "-of", "json", "-show_streams", clip))
    video = told["streams"][0]
    expected = {
        "codec_name": "prores",
        "profile": "4444",
        "codec_tag_string": "ap4h",
        "pix_fmt": "yuva444p12le",
        "color_range": "tv",
        "color_space": "bt709",
        "color_transfer": "bt709",
        "color_primaries": "bt709",
        "field_order": "progressive",
        "sample_aspect_ratio": "1:1",
        "r_frame_rate": "24000/1001",
        "nb_frames": str(FRAMES),
    }
    assert {key: video.get(key) for key in expected} == expected
    assert video["tags"]["timecode"] == "01:00:00:00"
    assert told["streams"][1]["codec_tag_string"] == "tmcd"


@pytest.mark.parametrize("colour", COLOURS)
def test_ffmpeg_overlay(talk: Path, tmp_path: Path, colour: str) -> None:
    clip, shown = made_for("ffmpeg", talk, tmp_path), tmp_path / "shown.png"
    width, height = size_of(clip)
    name = "#" + hexadecimal(colour)
    ground = f"color={name}:size={width}x{height}:rate=24000/1001,format=gbrp"
    graph = "[0][1]overlay=format=gbrp:alpha=straight,format=rgb24"
    sources = ("-f", "lavfi", "-i", ground, "-i", clip)
    run("ffmpeg", "-v", "error", *sources, "-filter_complex", graph, "-frames:v", "1", shown)
    assert_as_meant(shown, colour)


BLENDER = """
import bpy
scene = bpy.context.scene
render, editor = scene.render, scene.sequence_editor_create()
strips = editor.strips if hasattr(editor, "strips") else editor.sequences
render.resolution_x, render.resolution_y, render.resolution_percentage = {width}, {height}, 100
render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGB"
render.image_settings.color_depth = "16"
render.filepath, render.use_sequencer = {shown!r}, True
# The default, Filmic or AgX, is a look: it changes white itself.
scene.view_settings.view_transform = "Standard"
last = dict(length=3) if bpy.app.version >= (5, 0) else dict(frame_end=4)
ground = strips.new_effect(name="ground", type="COLOR", channel=1, frame_start=1, **last)
ground.color = {colour}
add = strips.new_image if {clip!r}.endswith(".png") else strips.new_movie
add(name="clip", filepath={clip!r}, channel=2, frame_start=1).blend_type = "ALPHA_OVER"
scene.frame_set(1)
bpy.ops.render.render(write_still=True)
"""


def blender_script(clip: Path, shown: Path, colour: str) -> str:
    width, height = size_of(clip)
    names = {"shown": str(shown), "clip": str(clip), "colour": COLOURS[colour]}
    return BLENDER.format(**names, width=width, height=height)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("format", [None, "png"])
@pytest.mark.parametrize("python", BPYS or [None], ids=str)
def test_every_blender_shows_what_is_made_for_blender(
    talk: Path, tmp_path: Path, python: Path | None, format: str | None, colour: str
) -> None:
    if python is None:
        pytest.skip(f"MATTECAST_BPY names no Python with bpy; see the top of {__file__}")
    clip, shown = made_for("blender", talk, tmp_path, format), tmp_path / "shown.png"
    run(python, "-c", blender_script(clip, shown, colour))
    assert_as_meant(shown, colour)


@pytest.mark.parametrize("python", BPYS or [None], ids=str)
def test_each_blender_shows_what_is_made_for_its_version(
    talk: Path, tmp_path: Path, python: Path | None
) -> None:
    if python is None:
        pytest.skip(f"MATTECAST_BPY names no Python with bpy; see the top of {__file__}")
    version = run(python, "-c", "import bpy; print('version', *bpy.app.version[:2])")
    major, minor = (int(part) for part in version.split("version")[1].split()[:2])
    host = "blender-5" if (major, minor) >= (4, 4) else "blender-4.2"
    clip, shown = made_for(host, talk, tmp_path), tmp_path / "shown.png"
    run(python, "-c", blender_script(clip, shown, "teal"))
    assert_as_meant(shown, "teal")


def test_blender_of_the_distribution(talk: Path, tmp_path: Path) -> None:
    clip, shown = made_for("blender", talk, tmp_path), tmp_path / "shown.png"
    script = tmp_path / "show.py"
    script.write_text(blender_script(clip, shown, "teal"))
    options = ("--background", "--factory-startup", "--python-exit-code", "1")
    run("blender", *options, "--python", script)
    assert_as_meant(shown, "teal")


PROFILE = """description=as the clip
frame_rate_num=24000
frame_rate_den=1001
width={width}
height={height}
progressive=1
sample_aspect_num=1
sample_aspect_den=1
display_aspect_num={width}
display_aspect_den={height}
colorspace=709
"""


@pytest.mark.parametrize("transition", ["affine", "qtblend"])
@pytest.mark.parametrize("colour", COLOURS)
def test_mlt(talk: Path, tmp_path: Path, transition: str, colour: str) -> None:
    clip, shown = made_for("mlt", talk, tmp_path), tmp_path / "shown.mkv"
    width, height = size_of(clip)
    profile = tmp_path / "profile"
    profile.write_text(PROFILE.format(width=width, height=height))
    last = f"out={FRAMES - 1}"
    ground = "color:#" + hexadecimal(colour)
    mix = ("-transition", transition, "in=0", last, "a_track=0", "b_track=1")
    file = (f"avformat:{shown}", "vcodec=ffv1", "pix_fmt=bgr0", "an=1", "real_time=-1")
    # qtblend needs an X server.
    screen = ("xvfb-run", "-a", "melt", "-profile", profile)
    run(*screen, ground, last, "-track", clip, last, *mix, "-consumer", *file)
    assert_as_meant(shown, colour)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("format", [None, "webm"])
def test_gstreamer_compositor(talk: Path, tmp_path: Path, colour: str, format: str | None) -> None:
    clip, shown = made_for("gstreamer", talk, tmp_path, format), tmp_path / "shown.png"
    width, height = size_of(clip)
    size = f"video/x-raw,width={width},height={height}"
    ground = int("ff" + hexadecimal(colour), 16)
    pipeline = (
        f"compositor name=c sink_0::zorder=0 sink_1::zorder=1 ! {size} ! videoconvert ! "
        f"video/x-raw,format=RGB ! pngenc snapshot=true ! filesink location={shown} "
        f"videotestsrc pattern=solid-color foreground-color={ground} num-buffers=3 ! "
        f"{size},framerate=24000/1001 ! c.sink_0 "
        f"filesrc location={clip} ! decodebin ! videoconvert ! c.sink_1"
    )
    run("gst-launch-1.0", "-q", *pipeline.split())
    assert_as_meant(shown, colour)


CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "chromium"
)
PAGE = """<html><body style="margin:0;background:#{colour}">
<{element} src="{clip}" muted preload="auto" style="display:block"></body></html>
"""


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("format", [None, "webp", "apng", "png"])
def test_chromium(talk: Path, tmp_path: Path, format: str | None, colour: str) -> None:
    clip, shown = made_for("web", talk, tmp_path, format), tmp_path / "shown.png"
    page, element = tmp_path / "page.html", "img" if format else "video"
    relative = clip.relative_to(tmp_path)
    page.write_text(PAGE.format(element=element, colour=hexadecimal(colour), clip=relative))
    width, height = size_of(clip)
    # A window without a screen has 500 pixels at the least.
    window = f"--window-size={max(width, 500)},{height}"
    options = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", window)
    files = ("--allow-file-access-from-files", "--timeout=5000", f"--screenshot={shown}")
    run(CHROMIUM, *options, *files, f"--user-data-dir={tmp_path / 'home'}", page.as_uri())
    rgba = person(width, height)
    assert_near(picture(shown)[:height, :width], over(rgba, COLOURS[colour]), rgba)


def linear(codes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear light of sRGB codes in [0, 1]."""
    return np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)


def over_in_light(rgba: NDArray[np.float64], colour: str) -> NDArray[np.float64]:
    """Our own composite in linear light, as OBS blends, in [0, 255]."""
    alpha, ground = rgba[..., 3:], linear(np.array(COLOURS[colour]))
    light = linear(rgba[..., :3]) * alpha + (1 - alpha) * ground
    low = light <= 0.0031308
    return np.where(low, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255


@pytest.mark.parametrize(("format", "ticked"), [(None, False), ("qtrle", True)])
def test_obs_media_source(talk: Path, tmp_path: Path, format: str | None, ticked: bool) -> None:
    if why := missing():
        pytest.skip(why)
    clip = made_for("obs", talk, tmp_path, format)
    width, height = size_of(clip)
    rgba = person(width, height)
    home = tmp_path / "obs"
    home.mkdir()
    host = Host(home, size=(width, height))
    try:
        host.start()
        host.add_colour(tuple(round(part * 255) for part in COLOURS["teal"]))
        host.ask(
            "CreateInput",
            sceneName="Main",
            inputName="talk",
            inputKind="ffmpeg_source",
            inputSettings={
                "local_file": str(clip),
                "looping": True,
                "clear_on_media_end": False,
                "linear_alpha": ticked,
            },
        )
        meant = over_in_light(rgba, "teal")
        middle = height * 3 // 4, width // 2  # inside the body
        until(lambda: abs(host.shot()[middle][:3] - meant[middle]).max() < 6, 20, "the person")
        assert_near(host.shot()[..., :3].astype(np.float64), meant, rgba)
    finally:
        host.end()
