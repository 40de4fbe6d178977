"""A person whose straight colours and alpha are known, and clips of it as a run writes them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from mattecast import Matted, Settings, flow
from mattecast.compositing.composer import Composer
from mattecast.matting.prepare import Convert, OwnTimes
from mattecast.media import clip as media
from mattecast.media.formats import FORMATS
from mattecast.media.writer import open_writer
from mattecast.plan import plan

FRAMES = 5
RATE = Fraction(24000, 1001)
BT709, LIMITED = 1, 1
SOUND_RATE, SAMPLES = 48000, 1024


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


def over(rgba: NDArray[np.float64], colour: tuple[float, float, float]) -> NDArray[np.float64]:
    """Our own composite over a colour in [0, 1], (H, W, 3) in [0, 255]."""
    alpha = rgba[..., 3:]
    return (rgba[..., :3] * alpha + (1 - alpha) * np.array(colour)) * 255


def source(path: Path, width: int, height: int, sound: str | None = None) -> Path:
    """The person's straight colours as a lossless 10-bit clip with timecode, and a tone."""
    rgb = np.round(person(width, height)[..., :3] * 65535).astype(np.uint16)
    colour = av.VideoFrame.from_ndarray(rgb, format="rgb48le")
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=RATE, options={"qp": "0"})
        video.width, video.height, video.pix_fmt = width, height, "yuv444p10le"
        video.metadata["timecode"] = "01:00:00:00"
        context = video.codec_context
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED
        audio = container.add_stream(sound, rate=SOUND_RATE, layout="stereo") if sound else None
        for index in range(FRAMES):
            yuv = colour.reformat(
                format="yuv444p10le", dst_colorspace=BT709, dst_color_range=LIMITED
            )
            yuv.color_primaries = yuv.color_trc = yuv.colorspace = BT709
            yuv.pts, yuv.time_base = index, 1 / RATE
            container.mux(video.encode(yuv))
        container.mux(video.encode(None))
        if audio is not None:
            for index in range(round(FRAMES / RATE * SOUND_RATE / SAMPLES)):
                tone = np.full((2, SAMPLES), 0.25, np.float32)
                heard = av.AudioFrame.from_ndarray(tone, format="fltp", layout="stereo")
                heard.sample_rate, heard.pts = SOUND_RATE, index * SAMPLES
                heard.time_base = Fraction(1, SOUND_RATE)
                container.mux(audio.encode(heard))
            container.mux(audio.encode(None))
    return path


def written(source: Path, output: Path, settings: Settings) -> Path:
    """A clip of the person as a run writes it, with the alpha known instead of estimated."""
    with media.Clip(source) as opened:
        size = opened.facts.width, opened.facts.height
        alpha = person(*size)[..., 3].astype(np.float32)
        ours = plan(opened.facts, settings, FORMATS[settings.resolved_format(output)])
        prepare = [OwnTimes(opened.facts, ours), Convert(opened.facts, ours, (96, 64))]
        writer = open_writer(opened, output, ours, overwrite=False, threads=2)
        compose = Composer(ours, settings)
        for frame in flow.run(opened.frames(), prepare, flow.StageTimes()):
            matted = Matted(frame, np.round(alpha * 65535).astype(np.uint16), alpha)
            writer.write(compose(matted), frame.pts, frame.duration)
        writer.finish()
        compose.close()
    return writer.output


def first_picture(path: Path) -> Path:
    """The file itself, or the first picture of a folder of pictures."""
    return sorted(path.iterdir())[0] if path.is_dir() else path
