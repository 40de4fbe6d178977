"""`mattecast check --for HOST` says what a host program will do with a clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from commands import call

from mattecast.inspect.check import check
from mattecast.inspect.finding import Finding
from mattecast.media.hosts import HOSTS

WIDTH, HEIGHT, FRAMES = 160, 96, 3
BT709, PQ = 1, 16


def _disc(multiplied: bool) -> np.ndarray:
    """A bright disc with a wide soft edge, (H, W, 4) uint16."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    distance = np.hypot(columns - WIDTH / 2, rows - HEIGHT / 2)
    alpha = np.clip((40 - distance) / 16 + 0.5, 0, 1)
    colour = np.ones(3) * np.array([0.85, 0.65, 0.55]) * (alpha > 0)[..., None]
    colour = colour * alpha[..., None] if multiplied else colour
    return np.round(np.dstack([colour, alpha]) * 65535).astype(np.uint16)


def _clip(
    path: Path,
    codec: str,
    pixels: str,
    *,
    multiplied: bool = False,
    sound: str | None = None,
    transfer: int = BT709,
) -> Path:
    with av.open(path, "w") as out:
        stream = out.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        context = stream.codec_context
        context.color_primaries = context.colorspace = BT709
        context.color_trc = transfer
        audio = out.add_stream(sound, rate=48000, layout="stereo") if sound else None
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(_disc(multiplied), format="rgba64le")
            frame = frame.reformat(format=pixels, dst_colorspace=BT709)
            frame.color_trc = transfer
            frame.pts, frame.time_base = index, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if audio is not None:
            heard = av.AudioFrame.from_ndarray(
                np.zeros((2, 1024), np.float32), format="fltp", layout="stereo"
            )
            heard.sample_rate, heard.pts, heard.time_base = 48000, 0, Fraction(1, 48000)
            resampled = av.AudioResampler(audio.format.name, "stereo", 48000).resample(heard)
            for each in resampled:
                out.mux(audio.encode(each))
            out.mux(audio.encode(None))
    return path


def _found(path: Path, host: str) -> list[Finding]:
    """The findings about the host alone."""
    titles = {row.title for row in HOSTS[host].rows()} | {"a right one"}
    return [each for each in check(path, host).findings if each.what in titles]


DEEP, EIGHT = ("prores_ks", "yuva444p10le", "a.mov"), ("qtrle", "argb", "a.mov")


@pytest.mark.parametrize(
    ("kind", "multiplied", "host", "level", "detail"),
    [
        (DEEP, False, "blender-4.2", "ok", "right (measured with"),
        (DEEP, True, "blender-4.2", "error", "takes premultiplied colours in prores movies"),
        (DEEP, False, "blender-5", "error", "takes straight colours in prores movies"),
        (DEEP, True, "blender-5", "ok", "right (measured with"),
        (EIGHT, False, "blender-5", "ok", "right (measured with"),
        (EIGHT, True, "blender-5", "error", "takes premultiplied colours in qtrle movies of 8"),
        (DEEP, False, "kdenlive", "error", "shows prores movies of 12 bits without alpha"),
        (EIGHT, False, "kdenlive", "ok", "right (not tried itself"),
        (EIGHT, False, "caspar", "error", "takes straight colours in qtrle movies of 8 bits"),
        (EIGHT, False, "web", "error", "does not open qtrle movies"),
        (EIGHT, False, "obs", "note", "right, but tick Apply alpha in linear space"),
        (
            DEEP,
            True,
            "resolve",
            "note",
            "right, but set Clip Attributes, Video, Alpha Mode to premul",
        ),
        (DEEP, False, "avid", "note", "right, but import it, since linked clips lose alpha"),
        (("libvpx-vp9", "yuva420p", "a.webm"), False, "premiere", "error", "does not open vp9"),
        (("ffv1", "yuva444p10le", "a.mkv"), False, "resolve", "warning", "how it reads ffv1 mov"),
        (("libvpx-vp9", "yuva420p", "a.webm"), False, "blender-4.2", "error", "shows vp9 movies"),
        (("libvpx-vp9", "yuva420p", "a.webm"), False, "web", "ok", "right (measured with Chromium"),
        (("qtrle", "rgb24", "a.mov"), False, "obs", "error", "shows it opaque: the clip has no al"),
        (("libx264", "yuv420p", "a.mp4"), False, "web", "error", "shows it opaque: the clip has"),
        (("qtrle", "rgb24", "a.mov"), False, "avid", "note", "right as the fill or the key"),
    ],
)
def test_what_a_host_does_with_a_clip(
    kind: tuple[str, str, str],
    multiplied: bool,
    host: str,
    level: str,
    detail: str,
    tmp_path: Path,
) -> None:
    codec, pixels, name = kind
    found = _found(_clip(tmp_path / name, codec, pixels, multiplied=multiplied), host)
    assert (found[0].level, found[0].detail[: len(detail)]) == (level, detail)
    assert [each.what for each in found[1:]] == (["a right one"] if level == "error" else [])


def test_a_clip_for_every_version_has_to_be_right_in_all(tmp_path: Path) -> None:
    found = _found(_clip(tmp_path / "a.mov", *DEEP[:2]), "blender")
    assert [each.level for each in found] == ["ok", "error", "error", "note"]
    assert found[3].detail == "mattecast matte INPUT -o a-blender.mov --for blender"


@pytest.mark.parametrize(
    ("host", "sound", "level", "detail"),
    [
        ("resolve", "aac", "warning", "plays aac silently on Linux"),
        ("fcp", "aac", "note", "whether it plays aac is not known"),
        ("premiere", "aac", None, ""),
        ("resolve", "pcm_s24le", None, ""),
        ("blender", "aac", None, ""),
        ("web", "alac", "error", "plays alac silently"),
    ],
)
def test_sound_that_a_host_does_not_play_is_named(
    host: str, sound: str, level: str | None, detail: str, tmp_path: Path
) -> None:
    path = _clip(tmp_path / "a.mov", "qtrle", "argb", sound=sound)
    heard = [each for each in _found(path, host) if sound in each.detail]
    assert [(each.level, each.detail) for each in heard] == ([(level, detail)] if level else [])


def test_a_transfer_that_a_host_does_not_heed_is_an_error(tmp_path: Path) -> None:
    path = _clip(tmp_path / "a.mov", *DEEP[:2], transfer=PQ)
    found = _found(path, "blender-4.2")
    assert [each.detail for each in found if "PQ" in each.detail] == [
        "takes PQ for SDR: wrong colours"
    ]


def test_the_command_ends_with_1_when_the_clip_will_look_wrong(tmp_path: Path) -> None:
    path = _clip(tmp_path / "a.mov", *DEEP[:2])
    assert call("check", path, "--for", "blender-5").code == 1
    assert call("check", path, "--for", "blender-4.2").code == 0
    unknown = call("check", path, "--for", "powerpoint")
    assert unknown.code == 2 and "for 'powerpoint' is not known" in unknown.err
