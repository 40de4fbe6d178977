"""Tags of phones, languages of tracks, and streams that no output keeps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest
from clips import Recipe, make

from mattecast import Settings, matte
from mattecast.commands.matte import summary_lines
from mattecast.media.languages import iso639_2
from mattecast.media.tags import kept

pytestmark = pytest.mark.usefixtures("left_half")

APPLE = {
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 15 Pro",
    "com.apple.quicktime.software": "17.2.1",
    "com.apple.quicktime.creationdate": "2024-01-12T09:52:12+0100",
    "com.apple.quicktime.location.ISO6709": "+48.1372+011.5755+519.000/",
}
ANDROID = {"com.android.version": "14", "com.android.capture.fps": "30.0", "title": "Talk"}
CAMERA = {"firmware": "HD9.01.01.72.00", "artist": "A. N. Other", "comment": "take 2"}
MADE = {"creation_time": "2024-01-12T08:52:12.000000Z"}


@pytest.mark.parametrize("tags", [APPLE, ANDROID, CAMERA, {"title": "Talk", "artist": "Other"}])
@pytest.mark.parametrize("out", ["out.mov", "out.mp4", "out.mkv"])
def test_what_cameras_write_stays_under_its_own_keys(
    tags: dict[str, str], out: str, tmp_path: Path
) -> None:
    source = _tagged(tmp_path / "source.mov", tags | MADE)
    summary = matte(source, tmp_path / out)
    found = _tags(tmp_path / out)
    if out == "out.mkv":  # Matroska has tags in capitals
        found = {key.lower(): value for key, value in found.items()}
        tags = {key.lower(): value for key, value in tags.items()}
    assert found.items() >= (tags | MADE).items()
    assert not any(word in line for line in summary.losses for word in ("tags", "place"))


def test_tags_come_back_from_matroska(tmp_path: Path) -> None:
    source = _tagged(tmp_path / "source.mov", APPLE | ANDROID)
    matte(source, tmp_path / "archive.mkv")
    matte(tmp_path / "archive.mkv", tmp_path / "out.mov")
    assert _tags(tmp_path / "out.mov").items() >= (APPLE | ANDROID).items()


def test_the_place_is_kept_and_said_or_left_out(tmp_path: Path) -> None:
    source = _tagged(tmp_path / "source.mov", APPLE)
    summary = matte(source, tmp_path / "with.mov")
    assert summary.place == APPLE["com.apple.quicktime.location.ISO6709"]
    line = "  place kept: +48.1372+011.5755+519.000/ (--no-place leaves it out)"
    assert line in list(summary_lines(summary))
    summary = matte(source, tmp_path / "without.mov", Settings(place=False))
    assert summary.place is None
    assert "place: left out as asked" in summary.losses
    assert b"+48.1" not in (tmp_path / "without.mov").read_bytes()
    assert _tags(tmp_path / "without.mov")["com.apple.quicktime.make"] == "Apple"


def test_the_place_of_androids_is_a_place(tmp_path: Path) -> None:
    source = _tagged(tmp_path / "source.mp4", {"location": "+48.1372+011.5755/"}, keys=False)
    assert matte(source, tmp_path / "out.mov").place == "+48.1372+011.5755/"
    assert _tags(tmp_path / "out.mov")["location"] == "+48.1372+011.5755/"
    matte(source, tmp_path / "without.mp4", Settings(place=False))
    assert b"+48.1" not in (tmp_path / "without.mp4").read_bytes()
    assert b"loci" not in (tmp_path / "without.mp4").read_bytes()


def test_numbered_pictures_say_what_they_cannot_hold(tmp_path: Path) -> None:
    summary = matte(_tagged(tmp_path / "s.mov", APPLE), tmp_path / "out", Settings(format="png"))
    names = "make, model, software, creationdate, location"
    assert f"tags: numbered pictures hold none ({names})" in summary.losses
    assert summary.place is None


def test_tags_of_the_old_file_are_not_taken_over() -> None:
    assert kept({"major_brand": "qt  ", "uid": "1", "MINOR_VERSION": "0"}, place=True) == {}


@pytest.mark.parametrize(
    ("tag", "bibliographic", "terminologic"),
    [
        ("de", "ger", "deu"),
        ("deu", "ger", "deu"),
        ("ger", "ger", "deu"),
        ("pt-BR", "por", "por"),
        ("zh-Hans-CN", "chi", "zho"),
        ("EN_us", "eng", "eng"),
        ("cmn-Hant", "chi", "zho"),
        ("haw", "haw", "haw"),
        ("und", "und", "und"),
        ("x-none", "und", "und"),
        ("", "und", "und"),
    ],
)
def test_language_tags_become_iso_639_2(tag: str, bibliographic: str, terminologic: str) -> None:
    assert iso639_2(tag, "matroska") == bibliographic
    assert iso639_2(tag, "mp4") == terminologic


def test_languages_of_quicktime_can_be_read_back(tmp_path: Path) -> None:
    tags = ("en", "fr", "de", "sv", "cs", "sk", "ro", "hr", "nl", "ja")
    source = make(tmp_path / "source.mkv", Recipe(audio=("aac",) * len(tags), languages=tags))
    matte(source, tmp_path / "out.mov")
    with av.open(str(tmp_path / "out.mov")) as clip:
        found = [track.metadata.get("language") for track in clip.streams.audio]
    assert found == ["eng", "fra", "ger", "sve", "ces", "slk", "ron", "hr ", "dut", "jpn"]


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        ("out.mov", ["ger", "por", "chi"]),
        ("out.mp4", ["deu", "por", "zho"]),
        ("out.mkv", ["ger", "por", "chi"]),
    ],
)
def test_languages_arrive_and_their_regions_too(
    out: str, expected: list[str], tmp_path: Path
) -> None:
    tags = ("de", "pt-BR", "zh-Hans-CN")
    recipe = Recipe(audio=("aac",) * 3, languages=tags)
    matte(make(tmp_path / "source.mkv", recipe), tmp_path / out)
    with av.open(str(tmp_path / out)) as clip:
        found = [track.metadata for track in clip.streams.audio]
    assert [track["language"] for track in found] == expected
    titles = [track.get("title", track.get("name")) for track in found]
    assert titles == [None, "pt-BR", "zh-Hans-CN"]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_text_of_chapters_is_no_loss(suffix: str, tmp_path: Path) -> None:
    source = make(tmp_path / f"source{suffix}", Recipe(chapters=True))
    with av.open(str(source)) as clip:
        assert [stream.type for stream in clip.streams] == ["video", "data"]
    assert not matte(source, tmp_path / "out.mov").losses


def test_streams_of_one_kind_are_said_in_one_line(tmp_path: Path) -> None:
    source = _with_texts(tmp_path / "source.mp4", 3)
    losses = matte(source, tmp_path / "one.mov").losses
    assert losses == ("3 subtitle streams (mov_text)",)
    # The tracks that iPhones write beside the picture: only the four letters differ.
    data = source.read_bytes().replace(b"tx3g", b"mebx").replace(b"sbtl", b"meta")
    source.write_bytes(data)
    losses = matte(source, tmp_path / "two.mov").losses
    assert losses == ("3 data streams (mebx)",)


def test_printing_a_file_changes_no_logging_level(tmp_path: Path) -> None:
    before = av.logging.get_level()
    matte(make(tmp_path / "source.mp4", Recipe(chapters=True)), tmp_path / "out.mov")
    assert av.logging.get_level() == before


def _tagged(path: Path, tags: dict[str, str], *, keys: bool = True) -> Path:
    options = (("movflags", "use_metadata_tags"),) if keys else ()
    return make(path, Recipe(tags=tuple(tags.items()), container_options=options))


def _tags(path: Path) -> dict[str, str]:
    with av.open(str(path)) as clip:
        return dict(clip.metadata)


def _with_texts(path: Path, count: int) -> Path:
    """A clip with subtitle tracks beside the picture."""
    with av.open(str(make(path.with_name("picture.mp4")))) as clip, av.open(str(path), "w") as out:
        picture = out.add_stream_from_template(clip.streams.video[0])
        texts = [out.add_mux_stream("mov_text") for _ in range(count)]
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                packet.stream = picture
                out.mux(packet)
        for text in texts:
            packet = av.Packet(b"\0\2hi")
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = 0
            packet.duration = 200
            out.mux(packet)
    return path
