"""What mattecast writes: one row a format, with the facts each container and codec asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mattecast.errors import UsageError

if TYPE_CHECKING:
    from mattecast.media.facts import Facts

Holds = Literal["alpha", "opaque", "matte"]

# prores_ks with a fixed quantiser is 3 to 5 times faster than its rate control and visually
# lossless; a step is 118 in libavcodec's units. Measured PSNR on a noisy 1080p frame in brackets.
PRORES_QUALITY: Mapping[str, Mapping[str, str]] = {
    "fast": {"flags": "+qscale", "global_quality": str(4 * 118)},  # 53 dB
    "high": {"flags": "+qscale", "global_quality": str(2 * 118)},  # 59 dB
    "max": {},  # 66 dB, by rate control
}


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of output.

    suffix: of the file, or of each picture of a sequence. container: libavformat's name; None
    writes numbered pictures. alpha_pixels, opaque_pixels: bits of the source and its chroma
    sampling ('420', '422', '444', 'rgb') to pixel format; None where it cannot hold that.
    range: 'limited' converts full-range YUV, 'source' keeps it. copies: audio codecs the container
    takes as they are ('*' for all); audio_codec: lossless codec for the others, by sample bits.
    archive: keep the colours of the whole picture.
    """

    name: str
    about: str
    suffix: str
    container: str | None
    codec: str
    alpha_pixels: Callable[[int, str], str] | None
    opaque_pixels: Callable[[int, str], str]
    range: Literal["limited", "source"] = "source"
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    copies: frozenset[str] = frozenset()
    audio_codec: Mapping[int, str] | None = None
    premultiplied: bool = False
    linear: bool = False
    matte_only: bool = False
    timecode_track: bool = False
    archive: bool = False

    @property
    def is_sequence(self) -> bool:
        """Whether it is a folder of numbered pictures."""
        return self.container is None


def _always(pixel_format: str) -> Callable[[int, str], str]:
    return lambda bits, sampling: pixel_format


def _by_depth(eight: str, deep: str) -> Callable[[int, str], str]:
    return lambda bits, sampling: eight if bits <= 8 else deep


def _archive(alpha: bool) -> Callable[[int, str], str]:
    def choose(bits: int, sampling: str) -> str:
        if sampling == "rgb":
            depth = 10 if bits <= 10 else 12 if bits <= 12 else 16
            return f"gbr{'a' if alpha else ''}p{depth}le"
        # At least 10 bits: 8-bit codes fit losslessly and alpha gains two bits.
        return f"yuv{'a' if alpha else ''}{sampling}p{10 if bits <= 10 else 16}le"

    return choose


_MOV_AUDIO = frozenset(
    {
        "aac",
        "alac",
        "mp3",
        "ac3",
        "eac3",
        "pcm_s16le",
        "pcm_s16be",
        "pcm_s24le",
        "pcm_s24be",
        "pcm_s32le",
        "pcm_s32be",
        "pcm_f32le",
        "pcm_f32be",
        "pcm_f64le",
        "pcm_f64be",
        "pcm_alaw",
        "pcm_mulaw",
    }
)
_PCM = {16: "pcm_s16le", 24: "pcm_s24le", 32: "pcm_s32le"}
_ALAC = {16: "alac", 24: "alac", 32: "alac"}
_MOV_OPTIONS = {"movflags": "+faststart+write_colr"}
_PRORES = {"alpha_bits": "16", "vendor": "apl0"}
_MP4_AUDIO = frozenset(
    {
        "aac",
        "alac",
        "mp3",
        "ac3",
        "eac3",
        "opus",
        "flac",
    }
)


def _prores(name: str, about: str, profile: str) -> Format:
    return Format(
        name,
        about,
        ".mov",
        "mov",
        "prores_ks",
        _always("yuva444p10le"),
        _always("yuv444p10le"),
        range="limited",
        options={**_PRORES, "profile": profile},
        container_options=_MOV_OPTIONS,
        copies=_MOV_AUDIO,
        audio_codec=_PCM,
        timecode_track=True,
    )


FORMATS: Mapping[str, Format] = {
    row.name: row
    for row in (
        _prores("prores", "ProRes 4444 with alpha, the editors' choice", "4444"),
        _prores("prores-xq", "ProRes 4444 XQ with alpha, for grading", "4444xq"),
        Format(
            "webm",
            "VP9 with alpha, for web pages (8 bit)",
            ".webm",
            "webm",
            "libvpx-vp9",
            _always("yuva420p"),
            _always("yuv420p"),
            options={
                "crf": "18",
                "b": "0",
                "row-mt": "1",
                "deadline": "good",
                "cpu-used": "5",
                "auto-alt-ref": "0",
            },
            copies=frozenset({"opus", "vorbis"}),
            audio_codec=None,
        ),
        Format(
            "png",
            "PNG pictures, straight RGBA, 8 or 16 bit",
            ".png",
            None,
            "png",
            _by_depth("rgba", "rgba64be"),
            _by_depth("rgb24", "rgb48be"),
            # Level 1 is five times faster than the default for a tenth more bytes.
            options={"compression_level": "1", "pred": "sub"},
        ),
        Format(
            "exr",
            "OpenEXR pictures, premultiplied, linear light, half float",
            ".exr",
            None,
            "exr",
            _always("gbrapf32le"),
            _always("gbrpf32le"),
            options={"compression": "zip1", "format": "half"},
            premultiplied=True,
            linear=True,
        ),
        Format(
            "ffv1",
            "FFV1 in Matroska: lossless archive with alpha",
            ".mkv",
            "matroska",
            "ffv1",
            _archive(True),
            _archive(False),
            options={"level": "3", "slices": "4", "slicecrc": "1", "coder": "1", "context": "0"},
            copies=frozenset({"*"}),
            audio_codec=_PCM,
            archive=True,
        ),
        Format(
            "cineform",
            "CineForm RGBA 12 bit",
            ".mov",
            "mov",
            "cfhd",
            _always("gbrap12le"),
            _always("gbrp12le"),
            options={"quality": "film3+"},
            container_options=_MOV_OPTIONS,
            copies=_MOV_AUDIO,
            audio_codec=_PCM,
            timecode_track=True,
        ),
        Format(
            "qtrle",
            "QuickTime Animation, lossless 8-bit RGBA",
            ".mov",
            "mov",
            "qtrle",
            _always("argb"),
            _always("rgb24"),
            container_options=_MOV_OPTIONS,
            copies=_MOV_AUDIO,
            audio_codec=_PCM,
            timecode_track=True,
        ),
        Format(
            "matte",
            "the gray matte alone, ProRes 422",
            ".mov",
            "mov",
            "prores_ks",
            None,
            _always("yuv422p10le"),
            range="limited",
            options={**_PRORES, "profile": "standard"},
            container_options=_MOV_OPTIONS,
            matte_only=True,
            timecode_track=True,
        ),
        Format(
            "h264",
            "H.264 over a background",
            ".mp4",
            "mp4",
            "libx264",
            None,
            _always("yuv420p"),
            options={"crf": "18", "preset": "veryfast"},
            container_options={"movflags": "+faststart+write_colr"},
            copies=_MP4_AUDIO,
            audio_codec=_ALAC,
        ),
        Format(
            "hevc",
            "HEVC over a background, 8 or 10 bit as the source",
            ".mp4",
            "mp4",
            "libx265",
            None,
            _by_depth("yuv420p", "yuv420p10le"),
            options={"crf": "20", "preset": "fast", "x265-params": "log-level=none"},
            container_options={"movflags": "+faststart+write_colr"},
            copies=_MP4_AUDIO,
            audio_codec=_ALAC,
        ),
    )
}
# Two clips in one go: the picture without alpha, and the matte.
FILL_KEY = "fill-key"
NAMES = (*FORMATS, FILL_KEY)

_BY_SUFFIX = {
    ".mov": "prores",
    ".webm": "webm",
    ".mkv": "ffv1",
    ".mp4": "h264",
    ".m4v": "h264",
    ".png": "png",
    ".exr": "exr",
    ".apng": "png",
}


def guess(output: Path | None) -> str:
    """The format a file name asks for: by its suffix, ProRes 4444 when there is none.

    Raises UsageError for a suffix nothing is written to.
    """
    suffix = output.suffix.lower() if output else ""
    if not suffix:
        return "prores"
    if suffix not in _BY_SUFFIX:
        known = " ".join(sorted(_BY_SUFFIX))
        raise UsageError(f"{output}: no format is known for '{suffix}'; use {known}, or --format")
    return _BY_SUFFIX[suffix]


def sampling(facts: Facts) -> str:
    """The chroma sampling of a source: '420', '422', '444' or 'rgb'; sideways 4:2:2 needs 4:4:4."""
    name = facts.pixel_format
    if name.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "pal", "0rgb", "x2")):
        return "rgb"
    if "422" in name or name.startswith(("yuyv", "uyvy", "nv16", "p21", "y21")):
        return "444" if facts.rotation % 180 else "422"
    if "420" in name or name.startswith(("nv12", "nv21", "p01")):
        return "420"
    return "444"


def pixel_format(format: Format, facts: Facts, *, bits: int | None, opaque: bool) -> str:
    """The pixel format a run works and encodes in. bits: depth asked for, the source's if None."""
    choose = format.opaque_pixels if opaque or format.alpha_pixels is None else format.alpha_pixels
    return choose(bits or facts.bits, sampling(facts))
