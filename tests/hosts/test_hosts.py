"""Other programs show a ProRes 4444 clip of ours over white as we mean it.

Large programs, installed by hand: `apt-get install ffmpeg blender melt`, then `pytest -m slow`.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from mattecast import Matted, Settings, flow
from mattecast.compositing.composer import Composer
from mattecast.matting.prepare import Convert, OwnTimes
from mattecast.media import clip as media
from mattecast.media.formats import FORMATS
from mattecast.media.writer import open_writer
from mattecast.plan import plan

pytestmark = pytest.mark.slow

FRAMES = 5
SIZES = (640, 360), (853, 479)
RATE = Fraction(24000, 1001)
BT709, LIMITED = 1, 1
# Blender's whole start and render take about 15 s on a shared core.
PATIENCE = 300

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Clip:
    path: Path
    width: int
    height: int


def person(width: int, height: int) -> NDArray[np.float64]:
    """Head and shoulders with soft edges and a fading veil, (H, W, 4) in [0, 1], straight."""
    rows, columns = np.indices((height, width)) / height
    middle = width / height / 2
    head = (0.16 - np.hypot(columns - middle, (rows - 0.3) * 0.85)) / 0.03
    body = (0.42 - np.hypot(columns - middle, (rows - 1.02) * 0.8)) / 0.06
    veil = np.clip(columns / (2 * middle), 0, 1) * (rows < 0.12)
    alpha = np.maximum.reduce([np.clip(head + 0.5, 0, 1), np.clip(body + 0.5, 0, 1), veil])
    skin, cloth = np.array([0.82, 0.6, 0.5]), np.array([0.15, 0.3, 0.55])
    colour = np.where((rows < 0.5)[..., None], skin, cloth) * (0.75 + 0.25 * rows[..., None])
    return np.dstack([colour, alpha])


def over_white(rgba: NDArray[np.float64]) -> NDArray[np.float64]:
    """Our own composite, (H, W, 3) in [0, 255]."""
    colour, alpha = rgba[..., :3], rgba[..., 3:]
    return (colour * alpha + 1 - alpha) * 255


def source(path: Path, width: int, height: int) -> Path:
    """The person's straight colours as a lossless 10-bit clip with timecode."""
    rgb = np.round(person(width, height)[..., :3] * 65535).astype(np.uint16)
    colour = av.VideoFrame.from_ndarray(rgb, format="rgb48le")
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"qp": "0"})
        video.width, video.height, video.pix_fmt = width, height, "yuv444p10le"
        video.metadata["timecode"] = "01:00:00:00"
        context = video.codec_context
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED
        for index in range(FRAMES):
            yuv = colour.reformat(
                format="yuv444p10le", dst_colorspace=BT709, dst_color_range=LIMITED
            )
            yuv.color_primaries = yuv.color_trc = yuv.colorspace = BT709
            yuv.pts, yuv.time_base = index, 1 / RATE
            container.mux(video.encode(yuv))
        container.mux(video.encode(None))
    return path


@pytest.fixture(scope="module", params=SIZES, ids=str)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """The clip as a run writes it, with the alpha known instead of estimated."""
    folder = tmp_path_factory.mktemp("hosts")
    width, height = request.param
    alpha = person(width, height)[..., 3].astype(np.float32)
    with media.Clip(source(folder / "source.mov", width, height)) as opened:
        ours = plan(opened.facts, Settings(), FORMATS["prores"])
        prepare = [OwnTimes(opened.facts, ours), Convert(opened.facts, ours, (96, 64))]
        writer = open_writer(opened, folder / "person.mov", ours, overwrite=False, threads=2)
        compose = Composer(ours)
        for frame in flow.run(opened.frames(), prepare, flow.StageTimes()):
            matted = Matted(frame, np.round(alpha * 65535).astype(np.uint16), alpha)
            writer.write(compose(matted), frame.pts, frame.duration)
        writer.finish()
    return Clip(folder / "person.mov", width, height)


def run(*command: str | Path) -> str:
    """What a host program prints; a skip when it is not installed."""
    if not shutil.which(str(command[0])):
        pytest.skip(f"{command[0]} is not installed: apt-get install ffmpeg blender melt")
    done = subprocess.run(
        [str(each) for each in command], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def picture(path: Path) -> Picture:
    with av.open(path) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24").astype(np.uint8)


def assert_as_meant(path: Path) -> None:
    """The picture is our composite: within 1/255 in the mean, and nowhere far off."""
    shown = picture(path)
    height, width = shown.shape[:2]
    difference = np.abs(shown - over_white(person(width, height)))
    text = f"mean {difference.mean():.3f}/255, worst {difference.max():.1f}/255"
    # ProRes itself costs up to 2 at sharp edges; a lost alpha is a hundred off.
    assert difference.mean() < 1 and difference.max() < 5, text
    print(text)


def test_ffprobe_reads_the_same(clip: Clip) -> None:
    told = json.loads(run("ffprobe", "-v", "error", "-of", "json", "-show_streams", clip.path))
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


def test_ffmpeg_overlay(clip: Clip, tmp_path: Path) -> None:
    shown = tmp_path / "shown.png"
    white = f"color=white:size={clip.width}x{clip.height}:rate=24000/1001,format=gbrp"
    graph = "[0][1]overlay=format=gbrp:alpha=straight,format=rgb24"
    sources = ("-f", "lavfi", "-i", white, "-i", clip.path)
    run("ffmpeg", "-v", "error", *sources, "-filter_complex", graph, "-frames:v", "1", shown)
    assert_as_meant(shown)


BLENDER = """
import bpy
scene = bpy.context.scene
render, strips = scene.render, scene.sequence_editor_create().sequences
render.resolution_x, render.resolution_y, render.resolution_percentage = {width}, {height}, 100
render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGB"
render.filepath, render.use_sequencer = {shown!r}, True
# The default, Filmic, is a look: it changes white itself.
scene.view_settings.view_transform = "Standard"
white = strips.new_effect("white", "COLOR", 1, frame_start=1, frame_end=3)
white.color = 1, 1, 1
strips.new_movie("clip", {clip!r}, 2, 1).blend_type = "ALPHA_OVER"
scene.frame_set(1)
bpy.ops.render.render(write_still=True)
"""


def test_blender_sequencer(clip: Clip, tmp_path: Path) -> None:
    shown = tmp_path / "shown.png"
    script = tmp_path / "show.py"
    names = {"shown": str(shown), "clip": str(clip.path)}
    script.write_text(BLENDER.format(**names, width=clip.width, height=clip.height))
    options = ("--background", "--factory-startup", "--python-exit-code", "1")
    run("blender", *options, "--python", script)
    assert_as_meant(shown)


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


def test_mlt_affine(clip: Clip, tmp_path: Path) -> None:
    shown = tmp_path / "shown.mkv"
    profile = tmp_path / "profile"
    profile.write_text(PROFILE.format(width=clip.width, height=clip.height))
    last = str(FRAMES - 1)
    tracks = ("color:white", f"out={last}", "-track", clip.path, "-transition", "affine", "in=0")
    # MLT's own `composite` and `qtblend` drop ProRes alpha; `affine` is the one that keeps it.
    file = (f"avformat:{shown}", "vcodec=ffv1", "pix_fmt=bgr0", "an=1", "real_time=-1")
    run("melt", "-profile", profile, *tracks, f"out={last}", "-consumer", *file)
    assert_as_meant(shown)
