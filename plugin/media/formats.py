"""The formats mattecast writes: a table with one row for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mattecast.errors import UsageError
from mattecast.media.pipe import is_pipe

if TYPE_CHECKING:
    from mattecast.media.facts import Facts

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

    about: a line for people. suffixes: of the file, or of each picture of a sequence; the first is
    the usual one.
    container: libavformat's name; None for numbered pictures. codec: libavcodec's name.
    alpha_pixels, opaque_pixels: the pixel format for a source's bits and its chroma sampling
    ('420', '422', '444', 'rgb'), with alpha and without; None where the format holds none.
    range: 'limited' converts full-range YUV, 'source' keeps the range of the source.
    options, container_options: of the encoder and of the muxer.
    width_step, least_side: widths are a multiple of the one, and no side is less than the other.
    copies: audio codecs that are copied ('*' for all). audio_codec: libavcodec's name of the codec
    for the other sound, by sample bits; None where the format holds no sound.
    premultiplied: by default. linear: whether colours are stored as linear light.
    matte_only: whether the alpha is written as a gray picture. timecode_track: whether timecode
    has a track of its own. archive: whether colours far from the person are kept. picture: whether
    screens show its untagged colours as sRGB. profiles: whether ICC profiles are written. fastest:
    frames a second at most. background: what stands behind the person where it has no alpha.
    streams: whether it can be written to standard output. untagged: whether it leaves out what its
    colours mean. bare: whether it is pictures one after the other, without times, sound and tags.
    """

    name: str
    about: str
    suffixes: tuple[str, ...]
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
    width_step: int = 1
    least_side: int = 1
    picture: bool = False
    profiles: bool = False
    fastest: Fraction | None = None
    background: str = "green"
    streams: bool = False
    untagged: bool = False
    bare: bool = False

    @property
    def suffix(self) -> str:
        """The usual suffix."""
        return self.suffixes[0]

    @property
    def is_sequence(self) -> bool:
        """Whether a clip becomes a folder of numbered pictures."""
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


def _y4m(bits: int, sampling: str) -> str:
    chroma = "444" if sampling == "rgb" else sampling
    return f"yuv{chroma}p" if bits <= 8 else f"yuv{chroma}p10le"


# Audio codecs that are copied as they are. A composite in .mp4 is for watching, and Chromium plays
# ALAC, AC-3 and E-AC-3 silent.
_COMMON_AUDIO = frozenset({"aac", "alac", "mp3", "ac3", "eac3"})
_MP4_AUDIO = frozenset({"aac", "mp3", "opus", "flac"})
_PCM_NUMBERS = ("s16", "s24", "s32", "f32", "f64")
_PCM_AUDIO = {f"pcm_{number}{order}" for number in _PCM_NUMBERS for order in ("le", "be")}
_MOV_AUDIO = _COMMON_AUDIO | _PCM_AUDIO | {"pcm_alaw", "pcm_mulaw"}
# Codecs of the other sound, by sample bits.
_PCM = {16: "pcm_s16le", 24: "pcm_s24le", 32: "pcm_s32le"}
_AAC, _OPUS, _FLAC = (dict.fromkeys(_PCM, codec) for codec in ("aac", "libopus", "flac"))
# Lossy codecs of sound, with the bits a second that each channel gets.
BIT_RATES = {"aac": 128_000, "libopus": 96_000}
# The index in front, so that players can start while loading; and the colour tags.
_MOV_OPTIONS = {"movflags": "+faststart+write_colr"}
_PRORES = {"alpha_bits": "16", "vendor": "apl0"}


def _mov(
    name: str,
    about: str,
    codec: str,
    *,
    alpha: str | None,
    opaque: str,
    options: Mapping[str, str] | None = None,
    matte_only: bool = False,
) -> Format:
    """A QuickTime format with one pixel format for alpha and one without."""
    return Format(
        name,
        about,
        suffixes=(".mov",),
        container="mov",
        codec=codec,
        alpha_pixels=_always(alpha) if alpha else None,
        opaque_pixels=_always(opaque),
        range="limited" if codec == "prores_ks" else "source",
        options=options or {},
        container_options=_MOV_OPTIONS,
        copies=frozenset() if matte_only else _MOV_AUDIO,
        audio_codec=None if matte_only else _PCM,
        matte_only=matte_only,
        timecode_track=True,
    )


def _mp4(
    name: str, about: str, codec: str, pixels: Callable[[int, str], str], options: Mapping[str, str]
) -> Format:
    """An MP4 format, which holds no alpha."""
    return Format(
        name,
        about,
        suffixes=(".mp4", ".m4v"),
        container="mp4",
        codec=codec,
        alpha_pixels=None,
        opaque_pixels=pixels,
        options=options,
        container_options=_MOV_OPTIONS,
        copies=_MP4_AUDIO,
        audio_codec=_AAC,
    )


def _picture(
    name: str,
    about: str,
    suffix: str,
    *,
    container: str | None,
    codec: str,
    pixels: str,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    fastest: Fraction | None = None,
) -> Format:
    """A picture of eight bits: with alpha, or JPEG."""
    jpeg = codec == "mjpeg"
    return Format(
        name,
        about,
        suffixes=(suffix, ".jpeg") if jpeg else (suffix,),
        container=container,
        codec=codec,
        alpha_pixels=None if jpeg else _always(pixels),
        opaque_pixels=_always(pixels),
        options=options or {},
        container_options=container_options or {},
        picture=True,
        profiles=jpeg,
        fastest=fastest,
        background="white",
    )


_PNG = Format(
    "png",
    "PNG pictures, straight RGBA, 8 or 16 bit",
    suffixes=(".png",),
    container=None,
    codec="png",
    alpha_pixels=_by_depth("rgba", "rgba64be"),
    opaque_pixels=_by_depth("rgb24", "rgb48be"),
    # Level 1 is five times faster than the default for a tenth more bytes.
    options={"compression_level": "1", "pred": "sub"},
    picture=True,
    profiles=True,
)
# RGB, because NUT does not say the matrix and the range of YUV.
_NUT = Format(
    "nut",
    "raw straight RGBA in NUT, 8 or 16 bit, with times and sound, for other programs",
    suffixes=(".nut",),
    container="nut",
    codec="rawvideo",
    alpha_pixels=_by_depth("rgba", "rgba64le"),
    opaque_pixels=_by_depth("rgb24", "rgb48le"),
    copies=_COMMON_AUDIO | _PCM_AUDIO | {"flac", "opus", "vorbis"},
    audio_codec=_PCM,
    streams=True,
    untagged=True,
)
_TABLE = (
    _mov(
        "prores",
        "ProRes 4444 with alpha, the editors' choice",
        "prores_ks",
        alpha="yuva444p10le",
        opaque="yuv444p10le",
        options={**_PRORES, "profile": "4444"},
    ),
    _mov(
        "prores-xq",
        "ProRes 4444 XQ with alpha, for grading",
        "prores_ks",
        alpha="yuva444p10le",
        opaque="yuv444p10le",
        options={**_PRORES, "profile": "4444xq"},
    ),
    Format(
        "webm",
        "VP9 with alpha, for web pages (8 bit)",
        suffixes=(".webm",),
        container="webm",
        codec="libvpx-vp9",
        alpha_pixels=_always("yuva420p"),
        opaque_pixels=_always("yuv420p"),
        options={
            "crf": "18",
            "b": "0",
            "row-mt": "1",
            "deadline": "good",
            "cpu-used": "5",
            "auto-alt-ref": "0",
        },
        copies=frozenset({"opus", "vorbis"}),
        audio_codec=_OPUS,
        streams=True,
    ),
    _PNG,
    replace(
        _PNG,
        name="apng",
        about="one moving PNG with alpha, 8 or 16 bit",
        suffixes=(".apng",),
        container="apng",
        codec="apng",
        container_options={"plays": "0"},
        profiles=False,
    ),
    _picture(
        "webp",
        "WebP with alpha, lossless, 8 bit; one moving file of a clip",
        ".webp",
        container="webp",
        codec="libwebp_anim",
        pixels="bgra",
        options={"lossless": "1", "compression_level": "2"},
        container_options={"loop": "0"},
    ),
    _picture(
        "gif",
        "one moving GIF: 256 colours a picture, alpha all or nothing at a half",
        ".gif",
        container="gif",
        codec="gif",
        pixels="bgra",
        container_options={"loop": "0"},
        # Browsers show pictures of less than 2/100 s for 10/100 s.
        fastest=Fraction(50),
    ),
    _picture(
        "jpeg",
        "JPEG pictures over a background",
        ".jpg",
        container=None,
        codec="mjpeg",
        pixels="yuvj444p",
        options={"flags": "+qscale", "global_quality": str(2 * 118), "huffman": "optimal"},
    ),
    Format(
        "exr",
        "OpenEXR pictures, premultiplied, linear light, half float",
        suffixes=(".exr",),
        container=None,
        codec="exr",
        alpha_pixels=_always("gbrapf32le"),
        opaque_pixels=_always("gbrpf32le"),
        options={"compression": "zip1", "format": "half"},
        premultiplied=True,
        linear=True,
    ),
    Format(
        "ffv1",
        "FFV1 in Matroska: lossless archive with alpha",
        suffixes=(".mkv",),
        container="matroska",
        codec="ffv1",
        alpha_pixels=_archive(True),
        opaque_pixels=_archive(False),
        # The encoder chooses how many slices: a number of ours does not fit all odd sizes.
        options={"level": "3", "slicecrc": "1", "coder": "1", "context": "0"},
        copies=frozenset({"*"}),
        audio_codec=_PCM,
        archive=True,
        streams=True,
    ),
    replace(
        _mov(
            "cineform",
            "CineForm RGBA 12 bit",
            "cfhd",
            alpha="gbrap12le",
            opaque="gbrp12le",
            options={"quality": "film3+"},
        ),
        width_step=16,
        least_side=32,
    ),
    _mov(
        "qtrle",
        "QuickTime Animation, lossless 8-bit RGBA",
        "qtrle",
        alpha="argb",
        opaque="rgb24",
    ),
    _mov(
        "matte",
        "the gray matte alone, ProRes 422",
        "prores_ks",
        alpha=None,
        opaque="yuv422p10le",
        options={**_PRORES, "profile": "standard"},
        matte_only=True,
    ),
    replace(
        _PNG,
        name="matte-png",
        about="the gray matte alone, PNG pictures, 8 or 16 bit",
        alpha_pixels=None,
        opaque_pixels=_by_depth("gray", "gray16be"),
        matte_only=True,
        profiles=False,
    ),
    _mp4(
        "h264",
        "H.264 over a background",
        "libx264",
        _always("yuv420p"),
        {"crf": "18", "preset": "veryfast"},
    ),
    _mp4(
        "hevc",
        "HEVC over a background, 8 or 10 bit as the source",
        "libx265",
        _by_depth("yuv420p", "yuv420p10le"),
        {"crf": "20", "preset": "fast", "x265-params": "log-level=none"},
    ),
    _NUT,
    replace(
        _NUT,
        name="rgba",
        about="the same pictures without any header",
        suffixes=(".rgba",),
        container="rawvideo",
        copies=frozenset(),
        audio_codec=None,
        bare=True,
    ),
    Format(
        "y4m",
        "YUV4MPEG2 over a background, for other programs",
        suffixes=(".y4m",),
        container="yuv4mpegpipe",
        codec="rawvideo",
        alpha_pixels=None,
        opaque_pixels=_y4m,
        range="limited",
        container_options={"strict": "-1"},  # for more than 8 bits
        streams=True,
        untagged=True,
        bare=True,
    ),
)
FORMATS: Mapping[str, Format] = {row.name: row for row in _TABLE}
# Two clips at once: the picture without alpha, and the matte.
FILL_KEY = "fill-key"
NAMES = (*FORMATS, FILL_KEY)

# The format of standard output.
PIPED = "nut"

# A suffix belongs to the first format that has it.
_BY_SUFFIX = {suffix: row.name for row in reversed(_TABLE) for suffix in row.suffixes}


def guess(output: Path | None) -> str:
    """The format that belongs to the suffix of a file name; ProRes 4444 where there is no suffix.

    Raises UsageError for a suffix that no format has.
    """
    suffix = output.suffix.lower() if output else ""
    if not suffix:
        return "prores"
    if suffix not in _BY_SUFFIX:
        known = " ".join(sorted(_BY_SUFFIX))
        raise UsageError(f"{output}: no format is known for '{suffix}'; use {known}, or --format")
    return _BY_SUFFIX[suffix]


def with_lossless_audio(format: Format) -> Format:
    """The same format with sound that loses nothing. Raises UsageError where there is none."""
    if format.audio_codec is None or format.audio_codec[24] not in BIT_RATES:
        return format
    if format.container != "mp4":
        raise UsageError(
            f"format {format.name} holds no lossless sound: leave --lossless-audio out"
        )
    return replace(format, copies=_COMMON_AUDIO | _MP4_AUDIO, audio_codec=_FLAC)


def resolved(name: str | None, output: Path | None) -> str:
    """The format of an output: the one asked for, or the one of its suffix.

    The matte becomes PNG where the output is named so. Raises UsageError for an output whose suffix
    belongs to another format.
    """
    if is_pipe(output):
        return _streamed(name or PIPED)
    if name is None:
        return guess(output)
    suffix = output.suffix.lower() if output else ""
    if name == "matte" and suffix in FORMATS["matte-png"].suffixes:
        return "matte-png"
    row = FORMATS["prores" if name == FILL_KEY else name]
    # A folder of pictures may have any name that is not one of another kind of file.
    fits = suffix in ("", *row.suffixes) or (row.is_sequence and suffix not in _BY_SUFFIX)
    if not fits:
        known = " or ".join(row.suffixes)
        raise UsageError(
            f"{output}: format {name} is {known}, not {suffix}; change the name or --format"
        )
    return name


def _streamed(name: str) -> str:
    """The format of standard output. Raises UsageError for one that needs a file."""
    if name == FILL_KEY or not FORMATS[name].streams:
        known = ", ".join(row.name for row in _TABLE if row.streams)
        raise UsageError(f"-o -: format {name} {_needs(name)}; standard output takes {known}")
    return name


def _needs(name: str) -> str:
    """Why a format cannot be a stream."""
    if name == FILL_KEY:
        return "makes two files"
    if FORMATS[name].is_sequence:
        return "makes a file for each picture"
    movie = FORMATS[name].container in ("mov", "mp4")
    return "needs a file, whose beginning is written last" if movie else "needs a file"


def sampling(facts: Facts) -> str:
    """The chroma sampling of a source: '420', '422', '444' or 'rgb'.

    4:2:2 that is turned by 90 degrees becomes 4:4:4.
    """
    name = facts.pixel_format
    if name.startswith(("rgb", "bgr", "gbr", "argb", "abgr", "pal", "0rgb", "x2")):
        return "rgb"
    if "422" in name or name.startswith(("yuyv", "uyvy", "nv16", "p21", "y21")):
        return "444" if facts.turn.sideways else "422"
    if "420" in name or name.startswith(("nv12", "nv21", "p01")):
        return "420"
    return "444"


def pixel_format(format: Format, facts: Facts, *, bits: int | None, opaque: bool) -> str:
    """The pixel format of an output. bits: the depth asked for, or None for that of the source."""
    choose = format.opaque_pixels if opaque or format.alpha_pixels is None else format.alpha_pixels
    return choose(bits or facts.bits, sampling(facts))


def depth(pixels: str) -> int:
    """The depth of a pixel format that is written; 16 for floats."""
    if any(each in pixels for each in ("16", "64", "48", "f32")):
        return 16
    return 10 if "10" in pixels else 12 if "12" in pixels else 8
