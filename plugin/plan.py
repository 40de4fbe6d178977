"""The plan of a run, made before its first frame: sizes, pixel format, colours, timing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil
from pathlib import Path

from mattecast.errors import UsageError
from mattecast.losses import losses, notes
from mattecast.media import tags
from mattecast.media.colour import (
    BT709,
    HIGH_RANGE,
    JPEG_MATRIX,
    LINEAR,
    SRGB_TRANSFER,
    Colour,
)
from mattecast.media.facts import Facts
from mattecast.media.formats import (
    FILL_KEY,
    FORMATS,
    PRORES_QUALITY,
    Format,
    depth,
    pixel_format,
    sampling,
    with_lossless_audio,
)
from mattecast.media.host import Host
from mattecast.media.hosts import HOSTS
from mattecast.media.mastering import Mastering
from mattecast.media.pictures import is_pattern, is_still
from mattecast.media.timecode import Timecode
from mattecast.settings import Settings, parse_size
from mattecast.time_range import length, time_range

# The working pixel formats for the pixel formats of some encoders.
_WORKING_PIXELS = {
    "gbrapf32le": "gbrap16le",
    "gbrpf32le": "gbrp16le",
    "rgba64be": "gbrap16le",
    "rgb48be": "gbrp16le",
    "rgba64le": "gbrap16le",
    "rgb48le": "gbrp16le",
    "gray16be": "gray16le",
}
# No encoder here holds back more pictures to change their order.
_REORDERED = 8
# Encoders of 4:2:0 mp4 take even sizes only.
_EVEN_ONLY = ("h264", "hevc")


@dataclass(frozen=True, slots=True)
class Plan:
    """One output, decided in full from the facts of a source and the settings."""

    format: Format
    # The upright picture: (width, height), what is added to it for encoders that take even sizes
    # only, and the shape of a pixel.
    size: tuple[int, int]
    padding: tuple[int, int]
    sar: Fraction
    # The pixel format of the output and its colour tags.
    pixels: str
    colour: Colour
    # Whether colours are multiplied by alpha; the background, or None to keep alpha.
    premultiplied: bool
    background: str | None
    # The part of the source, in seconds on the clip's clock; None for the ends of the clip.
    start: Fraction | None
    end: Fraction | None
    # The clock of the output (seconds), its frames a second, and its first timecode.
    time_base: Fraction
    rate: Fraction
    timecode: Timecode | None
    # Whether sound is written; the encoder's options; what the output cannot keep, a line each.
    audio: bool
    options: Mapping[str, str]
    losses: tuple[str, ...] = ()
    # Whether frames are placed at a constant rate, not at their own times.
    constant: bool = False
    # Title, camera, date, place and the like, which go into the output.
    tags: Mapping[str, str] = field(default_factory=dict)
    # What an HDR clip says of its mastering.
    mastering: Mastering | None = None
    # Whether the source is a single picture.
    still: bool = False
    # What a person should know, though nothing is lost; a line each.
    notes: tuple[str, ...] = ()
    # Where the first of picture and sound that the output keeps begins, on the clip's clock.
    begins: Fraction = Fraction(0)
    # The number asked for of the first numbered picture; and the one that the source has at pts 0,
    # or None where the pictures are counted.
    number: int | None = None
    source_number: int | None = None
    # Pixel formats where they differ from `pixels`: with the depth and chroma sampling of the
    # source, if nothing else sets the source apart; and what the encoder is handed.
    source_pixels: str | None = None
    encoder_pixels: str | None = None
    # torch's name of the device that makes the composites; None for numpy.
    device: str | None = None

    @property
    def working_pixels(self) -> str:
        """The pixel format of the frames that the stages work on.

        It is the source's own chroma as long as possible, which is less to read and write. For EXR
        and PNG it is planes of native integers: EXR's floats are made at the end, and PNG's 16 bits
        are big-endian.
        """
        return self.source_pixels or _WORKING_PIXELS.get(self.pixels, self.pixels)

    @property
    def yuv(self) -> bool:
        """Whether pictures are worked on as luma and chroma."""
        return self.pixels.startswith("yuv")

    @property
    def origin(self) -> Fraction:
        """The time on the clip's clock that becomes zero in the output: the start of a range, else
        where the first of what is kept begins."""
        return self.begins if self.start is None else self.start


def plan(facts: Facts, settings: Settings, format: Format) -> Plan:
    """Decide everything about an output. Raises UsageError for settings that contradict."""
    settings, format = _for_host(settings, format)
    if settings.lossless_audio:
        format = with_lossless_audio(format)
    background = _background(settings, format)
    opaque = background is not None or format.matte_only
    start, end = time_range(settings.range, facts, settings.handles)
    size = (facts.width, facts.height)
    if settings.size:
        size = parse_size(settings.size, *size)
    _check_size(size, format)
    pixels = pixel_format(format, facts, bits=settings.depth, opaque=opaque)
    colour = _colour(facts.colour, format, pixels)
    even = facts.repeats or format.bare
    cfr = _slower(facts.rate, settings.cfr, format) or (facts.rate if even else None)
    premultiplied = not opaque and _premultiplied(settings, format, pixels)
    audio = bool(facts.audio and settings.audio and format.audio_codec is not None)
    mastering = facts.mastering if colour.is_hdr else None
    planned = Plan(
        format=format,
        size=size,
        padding=(size[0] % 2, size[1] % 2) if format.name in _EVEN_ONLY else (0, 0),
        sar=facts.sar * Fraction(size[1] * facts.width, size[0] * facts.height),
        pixels=pixels,
        colour=colour,
        premultiplied=premultiplied,
        background=background,
        start=start,
        end=end,
        time_base=1 / cfr if cfr else facts.time_base,
        rate=cfr or facts.rate,
        timecode=_timecode(facts, start),
        audio=audio,
        options=_options(
            facts, settings, format, hdr=colour.is_hdr, seconds=length(facts, start, end)
        ),
        notes=(*notes(facts, settings), *_unheeded(settings, colour)),
        tags={}
        if format.is_sequence or format.bare
        else tags.kept(facts.metadata, place=settings.place),
        begins=Fraction(0) if audio else facts.start,
        mastering=mastering,
        # Moving PNG and WebP are clips.
        still=is_still(facts.path) and facts.codec != "apng" and facts.frames <= 1,
        number=settings.start,
        source_number=None if cfr else _number(facts, start),
        constant=cfr is not None,
        source_pixels=None
        if opaque or premultiplied
        else _source_pixels(facts, settings, pixels, colour),
    )
    return replace(planned, losses=losses(facts, planned, settings))


def becomes_standard(facts: Facts, settings: Settings, format: Format) -> bool:
    """Whether an HDR source is tone-mapped: as the settings say, else for outputs of 8 bits and for
    a host that takes HDR for SDR."""
    settings, format = _for_host(settings, format)
    if not facts.colour.is_hdr or settings.sdr is not None:
        return facts.colour.is_hdr and bool(settings.sdr)
    opaque = _background(settings, format) is not None or format.matte_only
    pixels = pixel_format(format, facts, bits=settings.depth, opaque=opaque)
    deaf = any(row.hdr is False for row in _rows(settings))
    return not format.matte_only and (deaf or depth(pixels) == 8)


def _check_size(size: tuple[int, int], format: Format) -> None:
    """Raise UsageError for a size that the encoder refuses, with the nearest one that it takes."""
    width, height = size
    step, least = format.width_step, format.least_side
    if width % step == 0 and min(size) >= least:
        return
    scale = max(1.0, least / min(size))
    wide = max(least, round(width * scale / step) * step)
    tall = max(least, round(height * wide / width))
    raise UsageError(
        f"format {format.name} takes widths that are a multiple of {step} and sides from {least} "
        f"up, not {width}x{height}; --size {wide}x{tall} fits, and prores and ffv1 take any size"
    )


def _colour(source: Colour, format: Format, pixels: str) -> Colour:
    """The colour tags of an output in a pixel format."""
    limited = format.range == "limited"
    if source.transfer == LINEAR:
        pictures = format.picture or format.linear
        source = replace(source, transfer=SRGB_TRANSFER if pictures else BT709)
    if pixels.startswith("yuvj"):
        return replace(source.as_picture(), matrix=JPEG_MATRIX)
    if format.picture:
        colour = source.as_picture()
        if colour.profile is not None and format.name in ("webp", "gif"):
            colour = replace(colour, primaries=BT709)  # they cannot say other primaries
        return colour if format.profiles else replace(colour, profile=None)
    colour = source.as_yuv(limited=limited) if pixels.startswith("yuv") else source.as_rgb()
    return colour.as_prores() if format.codec == "prores_ks" else colour


def _slower(rate: Fraction, cfr: Fraction | None, format: Format) -> Fraction | None:
    """The constant rate of the output: the one asked for, or a whole part of the source's where
    that is too fast for the format. None keeps the source's own times."""
    if format.fastest is None or (cfr or rate) <= format.fastest:
        return cfr
    if cfr:
        raise UsageError(f"cfr {cfr}: format {format.name} holds {format.fastest} a second at most")
    return rate / ceil(rate / format.fastest)


def _number(facts: Facts, start: Fraction | None) -> int | None:
    """The source's number of the picture at the output's pts 0."""
    if facts.first_number is None:
        return None
    return facts.first_number + round((start or 0) / facts.time_base)


def _source_pixels(facts: Facts, settings: Settings, pixels: str, colour: Colour) -> str | None:
    """See Plan.source_pixels."""
    own, unchanged = facts.colour, not facts.turn and not settings.size
    same = (own.matrix, own.range) == (colour.matrix, colour.range)
    if not pixels.startswith("yuva") or not unchanged or not same or facts.bits not in (8, 10, 12):
        return None
    return f"yuv{sampling(facts)}p{f'{facts.bits}le' if facts.bits > 8 else ''}"


def fill_and_key() -> tuple[Format, Format]:
    """The two formats of a fill-key run: the picture without alpha, and the matte."""
    return replace(FORMATS["prores"], name=FILL_KEY, alpha_pixels=None), FORMATS["matte"]


def sequence_name(output: Path, format: Format) -> tuple[Path, str]:
    """Folder and file-name pattern of a sequence: OUT/stem_%06d.png, or OUT as a pattern."""
    if is_pattern(output):
        return output.parent, output.name
    named = output.suffix.lower() in format.suffixes
    folder = output.with_suffix("") if named else output
    return folder, f"{folder.name}_%06d{format.suffix}"


def _for_host(settings: Settings, format: Format) -> tuple[Settings, Format]:
    """The settings and the format with what the host wants of them: bits of PNG, and sound."""
    if settings.host is None:
        return settings, format
    host = HOSTS[settings.host]
    if settings.depth is None and format.codec == "png":
        settings = replace(settings, depth=host.depth)
    return settings, host.adapted(format)


def _premultiplied(settings: Settings, format: Format, pixels: str) -> bool:
    if settings.host is not None and format.alpha_pixels is not None:
        return HOSTS[settings.host].multiplied(format, pixels, settings.premultiplied)
    return format.premultiplied if settings.premultiplied is None else settings.premultiplied


def _rows(settings: Settings) -> tuple[Host, ...]:
    """The host's versions; none where no host was named."""
    return HOSTS[settings.host].rows() if settings.host else ()


def _unheeded(settings: Settings, colour: Colour) -> tuple[str, ...]:
    """A line for each version of the host that takes high dynamic range for SDR."""
    if not colour.is_hdr:
        return ()
    deaf = (row.title for row in _rows(settings) if row.hdr is False)
    return tuple(f"colours: {title} takes {HIGH_RANGE[colour.transfer]} for SDR" for title in deaf)


def _background(settings: Settings, format: Format) -> str | None:
    if settings.background not in (None, "none"):
        if format.matte_only:
            raise UsageError(f"format {format.name} has no background: leave --background out")
        return settings.background
    if format.alpha_pixels is None and not format.matte_only and format.name != FILL_KEY:
        if settings.background == "none":
            raise UsageError(f"format {format.name} holds no alpha: name a background")
        if settings.host is not None:  # it is to lay the person over something itself
            raise UsageError(
                f"for {settings.host}: {format.name} holds no alpha; leave --format and the suffix "
                f"out, which makes {HOSTS[settings.host].formats[0]}, or name a --background"
            )
        return format.background
    return None


def _options(
    facts: Facts, settings: Settings, format: Format, *, hdr: bool, seconds: Fraction | None
) -> Mapping[str, str]:
    """The encoder's options for the quality and depth asked for, for HDR, and for short clips.

    seconds: how long the output is, where that is known.
    """
    if format.codec == "libx265":
        own = [format.options["x265-params"]]
        own += [facts.mastering.x265] if facts.mastering and hdr else []
        # Of fewer pictures than it reorders, x265 gives none a decode time.
        few = seconds is not None and seconds * facts.rate <= _REORDERED
        own += ["bframes=0"] if few else []
        return {**format.options, "x265-params": ":".join(own)}
    if format.codec == "prores_ks":
        return {**format.options, **PRORES_QUALITY[settings.quality]}
    if format.linear and (settings.depth or facts.bits) == 32:
        return {**format.options, "format": "float"}
    return format.options


def _timecode(facts: Facts, start: Fraction | None) -> Timecode | None:
    if facts.timecode is None or start is None:
        return facts.timecode
    return facts.timecode.plus(round((start - facts.start) * facts.rate))
