"""Each row of the table of hosts gives an output as the row says, read back from the file."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest
from clips import Recipe, make
from people import first_picture, person, source, written

from mattecast import Settings, UsageError
from mattecast.inspect.check import check
from mattecast.media.formats import FILL_KEY, FORMATS
from mattecast.media.hosts import HOSTS
from mattecast.media.source import open_source
from mattecast.plan import becomes_standard, plan
from mattecast.run import matte

PAGE = Path(__file__).parents[2].joinpath("docs/hosts.md").read_text(encoding="utf-8")
SIZE = 160, 96
DECODERS = {"vp9": "libvpx-vp9"}  # FFmpeg's own decoder drops the alpha

# What every host is given without another word: codec, pixel format as decoded, whether colours are
# premultiplied, and the sound of an AAC source. "(pictures)": a folder of them, which has no sound.
GIVEN = {
    "blender": ("qtrle", "argb", False, "aac"),
    "blender-4.2": ("prores", "yuva444p12le", False, "aac"),
    "blender-4.5": ("prores", "yuva444p12le", True, "aac"),
    "blender-5": ("prores", "yuva444p12le", True, "aac"),
    "resolve": ("prores", "yuva444p12le", False, "pcm_s24le"),
    "premiere": ("prores", "yuva444p12le", False, "pcm_s24le"),
    "after-effects": ("prores", "yuva444p12le", False, "pcm_s24le"),
    "fcp": ("prores", "yuva444p12le", False, "pcm_s24le"),
    "vegas": ("prores", "yuva444p12le", False, "pcm_s24le"),
    "vmix": ("png", "rgba", False, None),
    "obs": ("prores", "yuva444p12le", False, "aac"),
    "kdenlive": ("qtrle", "argb", False, "aac"),
    "shotcut": ("qtrle", "argb", False, "aac"),
    "mlt": ("qtrle", "argb", False, "aac"),
    "caspar": ("prores", "yuva444p12le", True, "aac"),
    "nuke": ("exr", "gbrapf16le", True, None),
    "fusion": ("exr", "gbrapf16le", True, None),
    "ffmpeg": ("prores", "yuva444p12le", False, "aac"),
    "gstreamer": ("prores", "yuva444p12le", False, "aac"),
    "web": ("vp9", "yuva420p", False, "opus"),
    "safari": ("prores", "yuva444p12le", False, "pcm_s24le"),
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return source(tmp_path_factory.mktemp("source") / "talk.mov", *SIZE, sound="aac")


def _read(path: Path) -> tuple[str, str, str | None, np.ndarray]:
    """(codec, pixel format, sound, RGBA in [0, 1] of the first picture) as FFmpeg reads them."""
    with av.open(first_picture(path)) as container:
        stream = container.streams.video[0]
        sound = container.streams.audio
        heard = sound[0].codec_context.name if sound else None
        name = stream.codec_context.name
        decoder = av.CodecContext.create(DECODERS[name], "r") if name in DECODERS else stream
        packets = container.demux(stream)
        frame = next(frame for packet in packets for frame in decoder.decode(packet))
    rgba = frame.to_ndarray(format="gbrapf32le" if name == "exr" else "rgba64le")
    scale = 1 if name == "exr" else 65535
    return name, frame.format.name, heard, rgba.astype(float) / scale


def _is_premultiplied(rgba: np.ndarray, linear: bool) -> bool:
    """By the known colours: which of the two kinds they are nearer to, by far."""
    known = person(*SIZE)
    alpha = known[..., 3:]
    soft = (alpha[..., 0] > 0.2) & (alpha[..., 0] < 0.8)
    colour = known[..., :3]
    if linear:  # EXR holds linear light; BT.709's curve, inverted
        colour = np.where(colour < 0.081, colour / 4.5, ((colour + 0.099) / 1.099) ** (1 / 0.45))
    straight = np.abs(rgba[..., :3] - colour)[soft].mean()
    multiplied = np.abs(rgba[..., :3] - colour * alpha)[soft].mean()
    assert min(straight, multiplied) < 0.02 and max(straight, multiplied) > 0.1
    return bool(multiplied < straight)


def test_the_page_names_every_host_with_its_output_and_colours() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| `([\w-]+)`[^|]* \| (\w+)", PAGE, re.MULTILINE)
    said = {name: (format, colours) for names, format, colours in rows for name in _names(names)}
    table = {name: (FORMATS[HOSTS[name].formats[0]], GIVEN[name][2]) for name in GIVEN}
    assert {name: said[name] for name in GIVEN} == {
        name: (format.name, "premultiplied" if multiplied else "straight")
        for name, (format, multiplied) in table.items()
    }
    assert said["avid"] == (FILL_KEY, "two")


def _names(cell: str) -> list[str]:
    return re.findall(r"`([\w.-]+)`", cell)


def test_the_table_here_names_every_host() -> None:
    assert set(HOSTS) == {*GIVEN, "avid"}  # fill-key has a test of its own


@pytest.mark.parametrize("name", GIVEN)
def test_a_host_is_given_what_its_row_says(name: str, clip: Path, tmp_path: Path) -> None:
    settings = Settings(host=name)
    format = FORMATS[settings.resolved_format(None)]
    output = tmp_path / ("talk" if format.is_sequence else f"talk{format.suffix}")
    codec, pixels, sound, rgba = _read(written(clip, output, settings))
    multiplied = _is_premultiplied(rgba, format.linear)
    assert (codec, pixels, multiplied, sound) == GIVEN[name]


@pytest.mark.parametrize("name", GIVEN)
def test_check_finds_what_a_host_is_given_right_for_it(
    name: str, clip: Path, tmp_path: Path
) -> None:
    settings = Settings(host=name)
    format = FORMATS[settings.resolved_format(None)]
    output = tmp_path / ("talk" if format.is_sequence else f"talk{format.suffix}")
    report = check(written(clip, output, settings), name)
    titles = {row.title for row in HOSTS[name].rows()}
    found = [each for each in report.findings if each.what in titles]
    assert report.ok and {each.what for each in found} == titles, report.lines()
    assert all(each.detail.startswith("right") for each in found), report.lines()


def test_every_format_of_a_row_is_one_that_its_host_takes() -> None:
    for host in HOSTS.values():
        for name in host.formats:
            if name != FILL_KEY:
                format = FORMATS[name]
                assert format.alpha_pixels is not None
                for bits in (8, 10):
                    host.multiplied(format, format.alpha_pixels(bits, "420"), None)


@pytest.mark.parametrize(
    ("output", "host", "format"),
    [
        (None, "blender", "qtrle"),
        ("a.mov", "blender", "qtrle"),
        ("a.png", "blender", "png"),
        ("a.mov", "obs", "prores"),
        ("a.webm", "obs", "webm"),
        ("a.mkv", "gstreamer", "ffv1"),
        ("a.mov", "avid", FILL_KEY),
        ("a.exr", "resolve", "exr"),
        ("a.mp4", "premiere", "h264"),
        ("a.apng", "safari", "apng"),
        ("shot.v2", "vmix", "png"),
    ],
)
def test_the_suffix_chooses_among_the_formats_of_a_host(
    output: str | None, host: str, format: str
) -> None:
    path = Path(output) if output else None
    assert Settings(host=host).resolved_format(path) == format


@pytest.mark.parametrize(
    ("settings", "output", "message"),
    [
        (
            Settings(host="blender", format="prores"),
            "a.mov",
            "for blender: Blender 4.4, 4.5 takes straight colours in prores movies of 10 bits "
            "for premultiplied ones: bright edges; leave --format and the suffix out, which makes "
            "qtrle, or leave --for out",
        ),
        (
            Settings(host="blender-5", premultiplied=False),
            "a.mov",
            "for blender-5: Blender 5 takes straight colours in prores movies of 10 "
            "bits for premultiplied ones: bright edges; leave --premultiplied out, or leave --for "
            "out",
        ),
        (
            Settings(host="premiere"),
            "a.webm",
            "for premiere: Premiere Pro does not open vp9 movies of 8 bits; leave --format and the "
            "suffix out, which makes prores, or leave --for out",
        ),
        (
            Settings(host="premiere"),
            "a.mp4",
            "for premiere: h264 holds no alpha; leave --format and the suffix out, which makes "
            "prores, or name a --background",
        ),
    ],
)
def test_what_contradicts_the_host_is_refused_in_one_line(
    settings: Settings, output: str, message: str, clip: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        written(clip, tmp_path / output, settings)
    assert str(caught.value) == message and not list(tmp_path.iterdir())


def test_what_the_user_says_wins_where_the_host_takes_it(clip: Path, tmp_path: Path) -> None:
    stated = Settings(host="blender-5", format="qtrle", depth=8)
    assert _read(written(clip, tmp_path / "a.mov", stated))[0] == "qtrle"
    multiplied = Settings(host="resolve", premultiplied=True)
    rgba = _read(written(clip, tmp_path / "b.mov", multiplied))[3]
    assert _is_premultiplied(rgba, False)


def test_a_run_names_its_output_after_the_host_and_says_the_step(
    clip: Path, tmp_path: Path
) -> None:
    summary = matte(clip, tmp_path / "out", Settings(host="vegas", detail="fast"))
    assert summary.outputs == (tmp_path / "out.mov",)
    assert summary.step == (
        "in VEGAS Pro: a track above another; opaque until Properties, Media, Alpha channel is set "
        "to straight"
    )
    assert summary.audio == ("aac as pcm_s24le",)


def test_avid_is_given_a_fill_and_a_key(clip: Path, tmp_path: Path) -> None:
    summary = matte(clip, tmp_path / "out", Settings(host="avid", detail="fast"))
    assert [path.name for path in summary.outputs] == ["out.fill.mov", "out.key.mov"]
    assert summary.audio == ("aac as pcm_s24le",)
    assert check(summary.outputs[0], "avid").ok


@pytest.mark.parametrize(
    ("host", "sdr", "standard", "notes"),
    [
        ("blender-4.2", None, True, ()),
        ("blender-4.2", False, False, ("colours: Blender to 4.3 takes PQ for SDR",)),
        ("mlt", False, False, ("colours: MLT takes PQ for SDR",)),
        ("resolve", None, False, ()),
    ],
)
def test_hdr_becomes_standard_for_a_host_that_does_not_heed_it(
    host: str, sdr: bool | None, standard: bool, notes: tuple[str, ...], tmp_path: Path
) -> None:
    path = make(tmp_path / "hdr.mkv", Recipe(pixels="yuv420p10le", colour=(1, 9, 9, 16)))
    settings = Settings(host=host, sdr=sdr)
    format = FORMATS[settings.resolved_format(None)]
    with open_source(path, sdr=lambda facts: becomes_standard(facts, settings, format)) as clip:
        assert clip.facts.tone_mapped == standard
        assert plan(clip.facts, settings, format).notes == notes
