"""Every output format holds the same alpha and the same colours, as the format means them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import Recipe, make, picture, times
from commands import StandIn, call

from mattecast import Settings, UsageError, engines, matte, mattes
from mattecast.compositing.backgrounds import Flat, Still, Video
from mattecast.inspect.check import check
from mattecast.media.clip import Clip
from mattecast.media.colour import HLG, PQ, SRGB_TRANSFER, linear_light
from mattecast.media.formats import FORMATS
from mattecast.media.frame import components, upright
from mattecast.plan import plan

RECIPE = Recipe(size=(96, 64), pts=(0, 1, 2), pixels="yuv444p", colour=(1, 1, 1, 1))


class SoftDisc(StandIn):
    """A person that is a disc with a wide soft edge, a step to the right in each picture."""

    pictures = 0

    def step(self, picture: np.ndarray) -> np.ndarray:
        width, height = self.info.size
        y, x = np.mgrid[0:height, 0:width]
        distance = np.hypot(x / width - 0.4 - 0.02 * self.pictures, y / height - 0.5)
        self.pictures += 1
        return np.clip(1.1 - 3 * distance, 0, 1).astype(np.float32)

    def reset(self) -> None:
        self.pictures = 0


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[None]:
    """The network's place is taken by a known matte: what is tested is what files hold of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mattecast.engines.load", lambda spec, size, **wishes: SoftDisc(size))
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("formats") / "source.mp4", RECIPE)


@pytest.fixture(scope="module")
def alphas(source: Path) -> list[np.ndarray]:
    """The true alpha of each frame, (H, W) float32 in [0, 1]."""
    found = [matted.alpha.copy() for matted in mattes(source)]
    assert all(alpha.min() < 0.1 and alpha.max() > 0.9 for alpha in found)
    return found


def _frames(path: Path) -> list[av.VideoFrame]:
    """All frames of a clip; VP9's alpha needs the libvpx decoder."""
    with av.open(str(path)) as clip:
        stream = clip.streams.video[0]
        if stream.codec_context.name == "vp9":
            decoder = av.CodecContext.create("libvpx-vp9", "r")
            packets = [packet for packet in clip.demux(stream) if packet.size]
            return [frame for packet in packets for frame in decoder.decode(packet)]
        return list(clip.decode(stream))


def _floats(frame: av.VideoFrame) -> list[np.ndarray]:
    """The components of a frame of half or whole floats, each (H, W)."""
    return [
        np.frombuffer(memoryview(frame.planes[part.plane]), f"f{part.bits // 8}").reshape(
            frame.planes[part.plane].height, -1
        )[:, : part.width]
        for part in frame.format.components
    ]


def _shown(path: Path) -> np.ndarray:
    """The colours of a file's first picture, or of a folder's, (H, W, 3) in [0, 1]."""
    frame = _frames(sorted(path.iterdir())[0] if path.is_dir() else path)[0]
    if "f" not in frame.format.name:
        return np.asarray(frame.to_ndarray(format="rgb48le") / 65535)
    light = np.stack(_floats(frame)[:3], axis=2)
    return np.asarray(np.interp(light, linear_light(1), np.linspace(0, 1, 65536)))


def _rgb(frame: av.VideoFrame) -> np.ndarray:
    """(H, W, 3) in [0, 1] of an 8-bit 4:4:4 BT.709 limited-range frame, by the formula."""
    luma, blue, red = (plane.astype(float) for plane in components(frame))
    y, cb, cr = (luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224
    green = y - (0.2126 * 1.5748 * cr + 0.0722 * 1.8556 * cb) / 0.7152
    return np.clip(np.stack([y + 1.5748 * cr, green, y + 1.8556 * cb], axis=2), 0, 1)


@pytest.mark.parametrize(
    ("format", "suffix", "bits", "tolerance"),
    [
        ("prores", ".mov", 12, 0.75 / 1023),
        ("prores-xq", ".mov", 12, 0.75 / 1023),
        ("ffv1", ".mkv", 10, 1 / 1023),
        ("qtrle", ".mov", 8, 0.5 / 255),
        # Both code alpha lossily; the early matte of these tests is noise, the hardest there is.
        ("cineform", ".mov", 12, 12 / 1023),
        ("webm", ".webm", 8, 40 / 255),
    ],
)
def test_the_file_holds_the_alpha(
    format: str,
    suffix: str,
    bits: int,
    tolerance: float,
    source: Path,
    tmp_path: Path,
    alphas: list[np.ndarray],
) -> None:
    out = tmp_path / f"out{suffix}"
    summary = matte(source, out, Settings(format=format))
    assert summary.frames == 3 and times(out) == times(source)
    for frame, alpha in zip(_frames(out), alphas, strict=True):
        held = components(frame)[-1].astype(np.float32) / ((1 << bits) - 1)
        assert np.abs(held - alpha).max() <= tolerance + 1e-6


def test_prores_is_clean_by_our_own_checker(source: Path, tmp_path: Path) -> None:
    recipe = Recipe(timecode="10:00:00:00", audio=("pcm_s16le",), pts=tuple(range(25)))
    matte(make(tmp_path / "source.mov", recipe), tmp_path / "out.mov")
    report = check(tmp_path / "out.mov")
    assert report.ok
    assert not [finding for finding in report.findings if finding.level in ("error", "warning")]


@pytest.mark.parametrize("depth", [8, 16])
def test_png_is_straight_rgba(
    depth: int, source: Path, tmp_path: Path, alphas: list[np.ndarray]
) -> None:
    matte(source, tmp_path / "out", Settings(format="png", depth=depth, foreground="source"))
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == [f"out_{n:06d}.png" for n in range(3)]
    scale = (1 << depth) - 1
    read = cv2.cvtColor(cv2.imread(str(files[1]), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    assert np.abs(read[:, :, 3] / scale - alphas[1]).max() <= 1 / 255
    wanted = _rgb(picture(RECIPE, 1))
    visible = alphas[1] > 0
    assert np.abs(read[:, :, :3] / scale - wanted)[visible].max(initial=0) <= 1 / 255


@pytest.mark.parametrize("bits", [16, 32])
def test_exr_is_premultiplied_linear_light(
    bits: int, source: Path, tmp_path: Path, alphas: list[np.ndarray]
) -> None:
    matte(source, tmp_path / "out", Settings(format="exr", depth=bits, foreground="source"))
    planes = _floats(_frames(tmp_path / "out" / "out_000001.exr")[0])
    assert np.abs(planes[3] - alphas[1]).max() < 1e-3
    light = linear_light(1)[np.round(_rgb(picture(RECIPE, 1)) * 65535).astype(int)]
    for index in range(3):
        assert np.abs(planes[index] - light[:, :, index] * alphas[1]).max() < 0.004


@pytest.mark.parametrize("transfer", [1, 13, 16, 18, 8])
def test_linear_light_grows_from_zero(transfer: int) -> None:
    table = linear_light(transfer)
    assert table[0] == 0 and (np.diff(table) >= 0).all()
    top = {16: 10000 / 203, 18: 12.0}.get(transfer, 1.0)
    assert table[-1] == pytest.approx(top, rel=1e-3)


def test_premultiplied_prores(source: Path, tmp_path: Path, alphas: list[np.ndarray]) -> None:
    matte(source, tmp_path / "out.mov", Settings(premultiplied=True, quality="max"))
    luma = components(_frames(tmp_path / "out.mov")[0])[0] / 4.0
    straight = components(picture(RECIPE, 0))[0] * 4.0
    assert np.abs(luma - (64 + (straight - 64) * alphas[0])).mean() <= 1.5


def test_matte_alone_is_gray_alpha(source: Path, tmp_path: Path, alphas: list[np.ndarray]) -> None:
    matte(source, tmp_path / "out.mov", Settings(format="matte", quality="max"))
    luma, *chroma = (plane.astype(float) for plane in components(_frames(tmp_path / "out.mov")[0]))
    assert np.abs((luma - 64) / 876 - alphas[0]).mean() < 0.02
    assert all(np.abs(plane - 512).max() <= 2 for plane in chroma)


def test_fill_and_key_are_two_clips_of_the_same_times(source: Path, tmp_path: Path) -> None:
    settings = Settings(format="fill-key", foreground="source")
    summary = matte(source, tmp_path / "shot.mov", settings)
    assert [path.name for path in summary.outputs] == ["shot.fill.mov", "shot.key.mov"]
    assert times(summary.outputs[0]) == times(summary.outputs[1]) == times(source)
    luma = components(_frames(summary.outputs[0])[0])[0] / 4.0
    assert np.abs(luma - components(picture(RECIPE, 0))[0] * 4.0).mean() < 2


@pytest.mark.parametrize("format", ["h264", "hevc"])
def test_composite_over_a_colour(
    format: str, source: Path, tmp_path: Path, alphas: list[np.ndarray]
) -> None:
    settings = Settings(format=format, background="#c83c1e")
    matte(source, tmp_path / "out.mp4", settings)
    assert times(tmp_path / "out.mp4") == times(source)
    luma = components(_frames(tmp_path / "out.mp4")[0])[0].astype(float)
    behind = 16 + 219 * (0.2126 * 200 + 0.7152 * 60 + 0.0722 * 30) / 255
    before = components(picture(RECIPE, 0))[0].astype(float)
    assert np.abs(luma - (behind + (before - behind) * alphas[0])).mean() < 4


@pytest.mark.parametrize(
    ("size", "sar"), [((96, 64), 1), ((48, 64), 2), ((96, 32), Fraction(1, 2))]
)
@pytest.mark.parametrize(("behind_size", "behind_sar"), [((96, 64), 1), ((48, 64), 2)])
def test_a_background_keeps_its_aspect_ratio(
    size: tuple[int, int],
    sar: Fraction,
    behind_size: tuple[int, int],
    behind_sar: Fraction,
    tmp_path: Path,
) -> None:
    """All of them are shown as 96x64: whatever their pixels, nothing is cut off."""
    clip, behind = (
        Recipe(size=one, sar=Fraction(shape), pts=(0, 1))
        for one, shape in ((size, sar), (behind_size, behind_sar))
    )
    source, video = make(tmp_path / "clip.mp4", clip), make(tmp_path / "behind.mp4", behind)
    (luma,) = _luma_behind(source, video, 1, "h264")
    whole = cv2.resize(components(picture(behind, 0))[0], size, interpolation=cv2.INTER_AREA)
    assert np.abs(luma.astype(float) - whole).mean() < 2


def test_a_background_lying_on_its_side_keeps_its_ten_bits(source: Path, tmp_path: Path) -> None:
    lying = Recipe(size=(64, 96), pixels="yuv420p10le", rotation=90, pts=(0, 1))
    video = make(tmp_path / "lying.mp4", lying)
    (luma,) = _luma_behind(source, video, 1, "prores")
    with Clip(video) as clip:
        turned = upright(next(clip.frames()), clip.facts.turn)
    np.testing.assert_array_equal(luma, components(turned)[0])
    assert (luma % 4).any()


OPAQUE = [
    ("prores", ".mov", None),
    ("png", "", 8),
    ("png", "", 16),
    ("exr", "", 32),
    ("ffv1", ".mkv", None),
    ("qtrle", ".mov", None),
    ("cineform", ".mov", None),
]


@pytest.mark.parametrize(("format", "suffix", "depth"), OPAQUE)
@pytest.mark.parametrize("wish", ["#c83c1e", "picture"])
def test_a_composite_is_the_same_in_every_format(
    wish: str,
    format: str,
    suffix: str,
    depth: int | None,
    source: Path,
    tmp_path: Path,
    alphas: list[np.ndarray],
) -> None:
    if wish == "picture":
        wish = str(tmp_path / "behind.png")
        cv2.imwrite(wish, np.full((64, 96, 3), (30, 60, 200), np.uint8))
    out = tmp_path / f"out{suffix}"
    settings = Settings(format=format, depth=depth, background=wish, foreground="source")
    matte(source, out, settings)
    seen, person = _shown(out), _rgb(picture(RECIPE, 0))
    alpha = alphas[0][..., None]
    expected = alpha * person + (1 - alpha) * np.array([200, 60, 30]) / 255
    assert np.abs(seen - expected).mean() < 2 / 255


@pytest.mark.parametrize(
    "wish",
    [
        {"linear_light": True},
        {"light_wrap": 1.0, "shadow": 0.5},
        {"colour_match": 0.5},
        {"blend": "poisson"},
    ],
)
def test_the_options_of_a_composite_do_the_same_at_16_bits(
    wish: dict[str, object], source: Path, tmp_path: Path
) -> None:
    pictures = []
    for depth in (8, 16):
        settings = Settings(format="png", depth=depth, background="#c83c1e", **wish)  # type: ignore[arg-type]
        matte(source, tmp_path / str(depth), settings)
        pictures.append(_shown(tmp_path / str(depth)))
    assert np.abs(pictures[0] - pictures[1]).mean() < 1 / 255


@pytest.mark.parametrize(
    ("format", "suffix", "depth", "codes"),
    [("png", "", 8, 1), ("png", "", 16, 1), ("ffv1", ".mkv", None, 2), ("qtrle", ".mov", None, 1)],
)
def test_premultiplied_colours_are_the_straight_ones_times_alpha(
    format: str, suffix: str, depth: int | None, codes: int, source: Path, tmp_path: Path
) -> None:
    """To one code of 255; of YUV, whose rounding adds up in R'G'B', to two."""
    held = []
    for premultiplied in (False, True):
        out = tmp_path / f"{premultiplied}{suffix}"
        matte(
            source,
            out,
            Settings(format=format, depth=depth, premultiplied=premultiplied, whole_picture=True),
        )
        file = sorted(out.iterdir())[0] if out.is_dir() else out
        held.append(_frames(file)[0].to_ndarray(format="rgba64le") / 65535)
    straight, multiplied = held
    np.testing.assert_array_equal(straight[..., 3], multiplied[..., 3])
    expected = straight[..., :3] * straight[..., 3:]
    assert np.abs(multiplied[..., :3] - expected).max() <= codes / 255


def test_odd_sizes_are_padded_for_mp4(tmp_path: Path) -> None:
    recipe = Recipe(size=(97, 65), pixels="yuv444p", pts=(0, 1))
    clip = make(tmp_path / "source.mp4", recipe)
    matte(clip, tmp_path / "out.mp4", Settings(background="blur"))
    assert _frames(tmp_path / "out.mp4")[0].width == 98


def test_backgrounds_are_fitted_and_looped(source: Path, tmp_path: Path) -> None:
    still = tmp_path / "still.png"
    cv2.imwrite(str(still), np.full((50, 200, 3), (30, 60, 200), np.uint8))
    short = make(tmp_path / "short.mp4", Recipe(size=(64, 96), pts=(0,)))
    for wish in (str(still), str(short), "blur", "blur:5", "white", "#123"):
        settings = Settings(background=wish, overwrite=True)
        assert matte(source, tmp_path / "out.mp4", settings).frames == 3


def _luma_behind(source: Path, video: Path, frames: int, format: str) -> list[np.ndarray]:
    """Luma of what a clip is shown before, at its first frames' times."""
    with Clip(source) as clip:
        behind = Video(video, plan(clip.facts, Settings(background=str(video)), FORMATS[format]))
        shown = [behind.planes(None, Fraction(n, 25))[0].copy() for n in range(frames)]  # type: ignore[arg-type]
        behind.close()
    return shown


@pytest.mark.parametrize("transfer", [14, PQ, HLG])
def test_a_picture_behind_a_high_range_clip_is_as_bright_as_on_a_screen(
    transfer: int, tmp_path: Path
) -> None:
    """White is 203 cd/m2 (BT.2408) in PQ and HLG, and the full code in standard range."""
    high = Recipe(pixels="yuv420p10le", colour=(1, 9, 9, transfer), pts=(0, 1))
    source, behind = make(tmp_path / "high.mp4", high), tmp_path / "behind.png"
    levels = np.repeat(np.array([255, 188, 128], np.uint8), 32)
    cv2.imwrite(str(behind), np.dstack([np.tile(levels, (64, 1))] * 3))
    with Clip(source) as clip:
        ours = plan(clip.facts, Settings(background=str(behind)), FORMATS["hevc"])
        still = Still(behind, ours).planes(None, Fraction(0))  # type: ignore[arg-type]
        flat = Flat("white", ours).planes(None, Fraction(0))  # type: ignore[arg-type]
    codes = np.array([still[0][32, column] for column in (16, 48, 80)])
    assert abs(codes[0] - flat[0]) <= 1
    assert all(np.abs(plane.astype(int) - 512).max() <= 1 for plane in still[1:])
    signal = np.clip((codes - 64) / 876, 0, 1)
    light = linear_light(transfer)[np.round(signal * 65535).astype(int)]
    true = linear_light(SRGB_TRANSFER)[np.array([255, 188, 128]) * 257]
    if transfer == HLG:  # of the scene, to a screen of 1000 cd/m2
        light = (light / 12) ** 1.2 * 1000 / 203
    if transfer == 14:  # all who edit take the two curves for one
        assert np.abs(codes - (64 + 876 * np.array([1, 188 / 255, 128 / 255]))).max() < 1.5
    else:
        np.testing.assert_allclose(light, true, rtol=0.04)


def test_wide_primaries_are_not_taken_for_others(tmp_path: Path) -> None:
    """Full red of BT.709 is within BT.2020, not its red."""
    wide = Recipe(pixels="yuv444p10le", colour=(1, 9, 9, 14), pts=(0, 1))
    source, behind = make(tmp_path / "wide.mp4", wide), tmp_path / "red.png"
    cv2.imwrite(str(behind), np.full((64, 96, 3), (0, 0, 255), np.uint8))
    with Clip(source) as clip:
        ours = plan(clip.facts, Settings(format="png", depth=16), FORMATS["png"])
        still = Still(behind, ours).planes(None, Fraction(0))  # type: ignore[arg-type]
    codes = np.array([plane[32, 48] / 65535 for plane in still[:3]])
    light = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)  # sRGB
    np.testing.assert_allclose(light, [0.6274, 0.0691, 0.0164], atol=0.02)  # BT.2087


def test_a_video_background_keeps_its_own_pace(source: Path, tmp_path: Path) -> None:
    """A 12.5 fps background under a 25 fps clip changes every second frame, and starts again."""
    slow = make(tmp_path / "slow.mp4", Recipe(rate=Fraction(25, 2), pts=(0, 1)))
    shown = [luma.mean() for luma in _luma_behind(source, slow, 6, "h264")]
    assert shown[0] == shown[1] == shown[4] == shown[5] != shown[2] == shown[3]


@pytest.mark.parametrize("format", sorted({*FORMATS} - {"cineform", "hevc", "webp"}))
@pytest.mark.parametrize("size", [(17, 19), (31, 479), (854, 33)])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p"])
def test_every_format_takes_odd_sizes(
    format: str, size: tuple[int, int], pixels: str, tmp_path: Path, left_half: None
) -> None:
    recipe = Recipe(codec="ffv1", pixels=pixels, size=size, options=(), pts=(0, 1))
    clip = make(tmp_path / "clip.mkv", recipe)
    suffix = FORMATS[format].suffix if not FORMATS[format].is_sequence else ""
    settings = Settings(format=format, detail="fast")
    matte(clip, tmp_path / f"out{suffix}", settings)
    out = next((tmp_path / "out").iterdir()) if not suffix else tmp_path / f"out{suffix}"
    raw = {"pixel_format": "rgba", "video_size": f"{size[0]}x{size[1]}"}
    bare = format == "rgba"
    with av.open(str(out), "r", "rawvideo" if bare else None, raw if bare else {}) as written:
        frame = next(written.decode(video=0))
    even = 2 if format == "h264" else 1
    assert (frame.width, frame.height) == tuple(-(-side // even) * even for side in size)


@pytest.mark.parametrize(
    ("size", "fits"),
    [((854, 480), "848x477"), ((17, 19), "32x36"), ((48, 20), "80x33"), ((1366, 768), "1360x765")],
)
def test_sizes_that_cineform_refuses_are_named_early(
    size: tuple[int, int], fits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "load", lambda *_, **__: pytest.fail("the network was loaded"))
    clip = make(tmp_path / "clip.mkv", Recipe(codec="ffv1", size=size, options=(), pts=(0, 1)))
    result = call("matte", clip, "-o", tmp_path / "out.mov", "--format", "cineform")
    result.refuses(2, f"{size[0]}x{size[1]}", f"--size {fits}", "prores")
    monkeypatch.undo()
    monkeypatch.setattr(engines, "load", lambda spec, size, **_: StandIn(size))
    result = call("matte", clip, "-o", tmp_path / "out.mov", "--format", "cineform", "--size", fits)
    assert result.code == 0 and fits in result.err, result.err
    assert len(times(tmp_path / "out.mov")) == 2


@pytest.mark.parametrize(
    ("out", "settings"),
    [
        ("out.mp4", {"background": "none"}),
        ("out.mov", {"format": "matte", "background": "green"}),
        ("out.mov", {"background": "#12345"}),
        ("out.mov", {"background": "no such thing"}),
        ("out.mov", {"background": "blur:99"}),
        ("out.xyz", {}),
        ("out.mov", {"range": "5"}),
        ("out.mov", {"range": "3..2"}),
        ("out.mov", {"size": "big"}),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    out: str, settings: dict[str, str], source: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        matte(source, tmp_path / out, Settings(**settings))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_hevc_is_tagged_as_quicktime_wants_it(source: Path, tmp_path: Path) -> None:
    matte(source, tmp_path / "out.mp4", Settings(format="hevc", detail="fast"))
    with av.open(str(tmp_path / "out.mp4")) as clip:
        assert clip.streams.video[0].codec_context.codec_tag == "hvc1"


def test_hevc_of_two_frames(tmp_path: Path) -> None:
    few = make(tmp_path / "few.mp4", Recipe(pts=(0, 1)))
    matte(few, tmp_path / "out.mp4", Settings(format="hevc", detail="fast"))
    assert len(times(tmp_path / "out.mp4")) == 2
    part = Settings(format="hevc", detail="fast", range="0.04..0.12")
    matte(make(tmp_path / "talk.mp4"), tmp_path / "part.mp4", part)
    assert len(times(tmp_path / "part.mp4")) == 2
