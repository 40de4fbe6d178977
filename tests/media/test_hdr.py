"""HDR clips as standard ones: what lands where, when it is done, and what stays HDR."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest
from clips import Recipe, make, planes
from commands import StandIn, call
from numpy.typing import NDArray

from mattecast import Settings, engines, matte
from mattecast.filters.pictures import tone
from mattecast.media.clip import Clip
from mattecast.media.tone import peak as tone_peak

pytestmark = pytest.mark.usefixtures("left_half")
TRANSFERS = {"pq": 16, "hlg": 18}
# Light in cd/m2, and the BT.709 code (0 to 1) that BT.1886 shows as bright, with white at 203.
# Below 92 cd/m2, the knee of the curve, nothing changes; 203 lands at 160, and 1000 at 203.
LANDS = {0: 0.0, 1: 0.109, 5: 0.214, 26: 0.425, 50: 0.558, 90: 0.713, 203: 0.903, 1000: 1.0}
WHOLE: dict[str, Any] = {"whole_picture": True, "foreground": "source", "detail": "fast"}
SKIN = np.array([1.0, 0.55, 0.38])  # linear BT.709


def codes_of(light: NDArray[np.float64], kind: str) -> NDArray[np.float64]:
    """(..., 3) codes of display light in cd/m2."""
    if kind == "pq":
        return tone.pq_codes(light)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    luminance = np.maximum(light @ np.array([0.2627, 0.678, 0.0593]) / 1000, 1e-9)
    scene = light / 1000 * luminance[..., None] ** (-0.2 / 1.2)
    return np.where(
        scene <= 1 / 12, (3 * scene) ** 0.5, a * np.log(12 * scene.clip(1 / 12) - b) + c
    )


def patches(path: Path, kind: str, light: NDArray[np.float64]) -> Path:
    """A lossless clip of (n, 3) light of BT.2020, in patches of 16 pixels."""
    rgb = np.repeat(codes_of(light, kind), 16, axis=0)[None].repeat(32, 0)
    picture = np.round(rgb * 65535).astype(np.uint16)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], 32, "yuv444p10le"
        tags = 1, 9, 9, TRANSFERS[kind]
        for number in range(2):
            frame = av.VideoFrame.from_ndarray(picture, "rgb48le").reformat(
                format="yuv444p10le", dst_colorspace=9, dst_color_range=1
            )
            for target in (frame, stream.codec_context):
                target.color_range, target.colorspace = tags[:2]
                target.color_primaries, target.color_trc = tags[2:]
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def shown(path: Path, count: int) -> NDArray[np.float64]:
    """The (count, 3) R'G'B' codes, 0 to 1, of the middles of patches."""
    with av.open(str(path)) as clip:
        frame = next(clip.decode(video=0))
    picture = frame.to_ndarray(format="rgb48le", src_colorspace=1, dst_color_range=2)
    return np.asarray(picture[16, 8 : 16 * count : 16] / 65535)


@pytest.mark.parametrize("kind", TRANSFERS)
def test_light_lands_where_the_curve_says(kind: str, tmp_path: Path) -> None:
    light = np.array(list(LANDS), float)[:, None].repeat(3, 1)
    source = patches(tmp_path / "in.mkv", kind, light)
    for name in ("out.mp4", "out.mov"):
        settings = Settings(**WHOLE, format="qtrle" if name == "out.mov" else "h264", keep=None)
        summary = matte(source, tmp_path / name, settings)
        assert any("tone-mapped to BT.709" in loss for loss in summary.losses)
    codes = shown(tmp_path / "out.mov", len(LANDS))
    np.testing.assert_allclose(codes, np.array([*LANDS.values()])[:, None].repeat(3, 1), atol=0.012)
    with av.open(str(tmp_path / "out.mp4")) as out:
        frame = next(out.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
        assert frame.color_range == 1


@pytest.mark.parametrize("kind", TRANSFERS)
def test_skin_keeps_its_hue(kind: str, tmp_path: Path) -> None:
    """From shade to twice diffuse white; what is above BT.709's range loses saturation only."""
    brightness = np.array([10.0, 40, 80, 150, 203, 400])
    light = brightness[:, None] * SKIN @ np.linalg.inv(tone._TO_709).T
    source = patches(tmp_path / "in.mkv", kind, light)
    matte(source, tmp_path / "out.mov", Settings(**WHOLE, format="qtrle"))
    found = shown(tmp_path / "out.mov", len(brightness)) ** 2.4
    # In linear light a colour less saturated is nearer to gray on a straight line: the ratio of the
    # distances between its channels is its hue.
    hue = (found[:, 1] - found[:, 2]) / (found[:, 0] - found[:, 2])
    assert np.abs(60 * (hue - (SKIN[1] - SKIN[2]) / (SKIN[0] - SKIN[2]))).max() < 2.5  # degrees
    # Shade and middle tones are as bright as they were.
    np.testing.assert_allclose(found[:3] * 203, brightness[:3, None] * SKIN, rtol=0.06)


@pytest.mark.parametrize(
    ("output", "flags", "mapped"),
    [
        ("out.mp4", (), True),
        ("out.webm", (), True),
        ("out.mp4", ("--no-sdr",), False),
        ("out.mov", (), False),
        ("out.mov", ("--sdr",), True),
        ("a.mkv", (), False),
        ("pictures", ("--format", "png"), False),
        ("pictures", ("--format", "png", "--depth", "8"), True),
    ],
)
def test_eight_bits_are_standard_unless_asked_otherwise(
    output: str, flags: tuple[str, ...], mapped: bool, tmp_path: Path
) -> None:
    source = patches(tmp_path / "in.mkv", "hlg", np.full((4, 3), 100.0))
    result = call("matte", source, "-o", tmp_path / output, *flags)
    assert result.code == 0 and ("tone-mapped" in result.err) == mapped, result.err
    path = next((tmp_path / output).iterdir()) if output == "pictures" else tmp_path / output
    if path.suffix in (".mov", ".mp4"):
        with av.open(str(path)) as out:
            assert next(out.decode(video=0)).color_trc == (1 if mapped else 18)


def test_standard_clips_stay_as_they_are(tmp_path: Path) -> None:
    source = make(tmp_path / "in.mp4", Recipe(pixels="yuv444p"))
    for name, sdr in (("a.mkv", None), ("b.mkv", True)):
        matte(source, tmp_path / name, Settings(**WHOLE, sdr=sdr))
    for one, other in zip(planes(tmp_path / "a.mkv"), planes(tmp_path / "b.mkv"), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("stated", "peak"),
    [
        ("", 1000),
        ("max-cll=2345,400", 2345),
        (
            "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(40000000,50)",
            4000,
        ),
    ],
)
def test_the_peak_is_what_the_clip_states(stated: str, peak: int, tmp_path: Path) -> None:
    parameters = ":".join(["log-level=none", *[stated] * bool(stated)])
    recipe = Recipe(
        codec="libx265",
        pixels="yuv420p10le",
        colour=(1, 9, 9, 16),
        options=(("x265-params", parameters),),
    )
    with Clip(make(tmp_path / "in.mp4", recipe)) as clip:
        assert tone_peak(clip.facts.mastering) == peak


def test_a_peak_no_brighter_than_white_compresses_nothing() -> None:
    light = np.array([1.0, 50, 100, 203])
    np.testing.assert_allclose(tone.compressed(light, 203), light, rtol=1e-3)
    rising = tone.compressed(np.linspace(0, 4000, 999), 4000)
    assert (np.diff(rising) > 0).all() and rising[-1] == pytest.approx(203, rel=1e-3)


class Watching(StandIn):
    """A network that keeps what it is shown."""

    seen: ClassVar[list[NDArray[np.uint8]]] = []

    def step(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen.append(picture)
        return super().step(picture)


@pytest.mark.parametrize("kind", TRANSFERS)
def test_networks_see_standard_pictures_of_clips_that_stay_hdr(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "load", lambda spec, size, **_: Watching(size))
    monkeypatch.setattr(Watching, "seen", [])
    source = patches(tmp_path / "in.mkv", kind, np.full((6, 3), 50.0))
    matte(source, tmp_path / "out.mov")
    assert len(Watching.seen) >= 2
    for picture in Watching.seen:
        assert np.abs(picture / 255 - LANDS[50]).max() < 0.02
