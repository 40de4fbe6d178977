"""What pictures are beyond their pixels: HDR metadata, Dolby Vision, 360 degrees, 3D, alpha."""

from __future__ import annotations

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest
from boxes import dolby_vision, insert, sphere, stereo
from clips import Recipe, make

from mattecast import Settings, matte
from mattecast.errors import MediaError
from mattecast.inspect.check import check
from mattecast.inspect.probe import probe
from mattecast.media.mastering import Mastering

pytestmark = pytest.mark.usefixtures("left_half")

_SCREEN = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
_LIGHT = "max-cll=1000,400"


def _hevc(path: Path, *params: str, audio: tuple[str, ...] = ()) -> Path:
    every = ":".join(("log-level=none", "hdr10=1", "repeat-headers=1", *params))
    recipe = Recipe(
        codec="libx265",
        pixels="yuv420p10le",
        colour=(1, 9, 9, 16),
        audio=audio,
        options=(("preset", "ultrafast"), ("x265-params", every)),
    )
    return make(path, recipe)


def _mastering(path: Path) -> Mastering | None:
    with av.open(str(path)) as clip:
        return Mastering.of(next(clip.decode(video=0)))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_mastering_metadata_goes_into_hevc(suffix: str, tmp_path: Path) -> None:
    source = _hevc(tmp_path / f"source{suffix}", f"master-display={_SCREEN}", _LIGHT)
    summary = matte(source, tmp_path / "out.mp4", Settings(format="hevc"))
    assert not any("HDR" in line for line in summary.losses)
    found = _mastering(tmp_path / "out.mp4")
    assert found is not None and found == _mastering(source)
    assert found.x265 == f"master-display={_SCREEN}:{_LIGHT}"
    assert found.screen is not None and found.screen[8:] == (Fraction(1, 200), Fraction(1000))


@pytest.mark.parametrize(
    "params", [(f"master-display={_SCREEN}", _LIGHT), (f"master-display={_SCREEN}",), (_LIGHT,)]
)
@pytest.mark.parametrize("audio", [(), ("pcm_s16le",)])
def test_mastering_metadata_goes_into_prores(
    params: tuple[str, ...], audio: tuple[str, ...], tmp_path: Path
) -> None:
    source = _hevc(tmp_path / "source.mkv", *params, audio=audio)
    summary = matte(source, tmp_path / "out.mov")
    assert not any("HDR" in line for line in summary.losses)
    found = _mastering(tmp_path / "out.mov")
    assert found is not None and found == _mastering(source)
    data = (tmp_path / "out.mov").read_bytes()
    assert b"glbl" not in data
    assert check(tmp_path / "out.mov").ok


def test_light_levels_alone_go_too(tmp_path: Path) -> None:
    source = _hevc(tmp_path / "source.mp4", _LIGHT)
    matte(source, tmp_path / "out.mp4", Settings(format="hevc"))
    assert _mastering(tmp_path / "out.mp4") == Mastering(None, (1000, 400))


def test_where_mastering_metadata_is_lost_it_is_said(tmp_path: Path) -> None:
    source = _hevc(tmp_path / "source.mp4", f"master-display={_SCREEN}", _LIGHT)
    line = "HDR mastering metadata (ST 2086, MaxCLL): prores and hevc keep it"
    assert line in matte(source, tmp_path / "out.mkv").losses
    # Tone-mapped pictures have no use for it.
    assert line not in matte(source, tmp_path / "out.webm").losses
    plain = _hevc(tmp_path / "plain.mp4")
    assert line not in matte(plain, tmp_path / "plain.mkv").losses


def test_dolby_vision_without_a_base_layer_is_refused(tmp_path: Path) -> None:
    source = insert(_hevc(tmp_path / "source.mp4"), dolby_vision(5, 0))
    with pytest.raises(MediaError, match="Dolby Vision of profile 5 is green and purple") as caught:
        matte(source, tmp_path / "out.mov")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.mov").exists()


@pytest.mark.parametrize(("profile", "compatible"), [(7, 6), (8, 1), (8, 4)])
def test_dolby_vision_with_a_base_layer_loses_the_rest_aloud(
    profile: int, compatible: int, tmp_path: Path
) -> None:
    source = insert(_hevc(tmp_path / "source.mp4"), dolby_vision(profile, compatible))
    losses = matte(source, tmp_path / "out.mov").losses
    line = f"Dolby Vision (profile {profile}): its metadata of each scene; the picture below it "
    assert f"{line}is kept" in losses


def test_spheres_and_stereo_pairs_are_said(tmp_path: Path) -> None:
    source = insert(insert(make(tmp_path / "source.mp4"), stereo(2)), sphere())
    losses = matte(source, tmp_path / "out.mov").losses
    assert losses == (
        "360 degrees (equirectangular): the output is not marked as such",
        "stereo 3D (side by side): the output is not marked as such",
    )
    flat = insert(make(tmp_path / "flat.mp4"), stereo(0))
    assert not matte(flat, tmp_path / "flat.mov").losses


def test_the_alpha_of_webm_is_said_like_any_other(tmp_path: Path) -> None:
    first = make(tmp_path / "first.mp4")
    matte(first, tmp_path / "source.webm")
    losses = matte(tmp_path / "source.webm", tmp_path / "out.mov").losses
    assert "the source's own alpha: replaced by the new matte" in losses
    assert "  notes: has alpha of its own" in probe(tmp_path / "source.webm")


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="needs ffprobe")
def test_ffprobe_sees_the_mastering_metadata_of_hevc(tmp_path: Path) -> None:
    source = _hevc(tmp_path / "source.mp4", f"master-display={_SCREEN}", _LIGHT)
    matte(source, tmp_path / "out.mp4", Settings(format="hevc"))
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-show_frames", "-read_intervals", "%+#1", "out.mp4"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "max_content=1000" in shown
    assert "red_x=34000/50000" in shown
    assert "max_luminance=10000000/10000" in shown
