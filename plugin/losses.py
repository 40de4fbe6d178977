"""What the output of a run will not have of its source, and what a person should know; as lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING

from mattecast.media import tags
from mattecast.media.colour import BT709, FULL, LINEAR, SRGB_TRANSFER, Colour
from mattecast.media.facts import Facts
from mattecast.media.formats import BIT_RATES, Format, depth
from mattecast.media.grid import standard_rate
from mattecast.media.managed import is_managed
from mattecast.media.pictures import is_still
from mattecast.settings import Settings

if TYPE_CHECKING:
    from mattecast.plan import Plan


# What programs take untagged R'G'B' for.
_SCREEN = Colour(FULL, 0, BT709, SRGB_TRANSFER)


def losses(facts: Facts, plan: Plan, settings: Settings) -> tuple[str, ...]:
    """What the source has and the planned output will not have, a line each."""
    return tuple(
        chain(
            _light(facts, plan),
            _colours(facts.colour, plan),
            _sound(facts, settings, plan.format),
            _times(facts, settings, plan),
            _lines_of_the_picture(facts),
            _high_dynamic_range(facts, plan),
            _rest(facts, settings, plan.format),
        )
    )


def notes(facts: Facts, settings: Settings) -> tuple[str, ...]:
    """What a person should know, though nothing is lost, a line each."""
    if not facts.variable_rate or settings.cfr:
        return ()
    average = f"{float(facts.rate):.4g} frames/s on average"
    return (f"variable rate, {average}: kept; --cfr {_words(facts.rate)} makes it constant",)


def _words(rate: Fraction) -> str:
    """The standard rate nearest to a rate, as --cfr takes it."""
    rate = standard_rate(rate)
    return f"{float(rate):.5g}" if rate.denominator in (1, 2) else str(rate)


def _light(facts: Facts, plan: Plan) -> Iterator[str]:
    """Light above white, and depth."""
    if facts.colour.transfer == LINEAR and not plan.format.linear:
        yield "light above white (1.0): becomes white; EXR keeps it"
    floats = plan.format.linear and plan.options["format"] == "float"
    bits = 32 if floats else depth(plan.pixels)
    if facts.bits > bits and not plan.format.matte_only:
        yield f"depth: {facts.bits} bits become {bits}"


def _colours(source: Colour, plan: Plan) -> Iterator[str]:
    """A profile that an output cannot hold, and primaries that it cannot say."""
    profile, format = source.profile, plan.format
    if format.matte_only:
        return
    if profile is not None and is_managed(source, plan.colour):
        yield f"ICC profile {profile.name}: colours are converted to sRGB and end at its border"
    elif profile is not None and profile.primaries() is None and plan.colour.profile is None:
        yield f"ICC profile {profile.name or profile.kind}: colours are taken as sRGB"
    elif format.untagged and (plan.yuv or plan.colour.differs_visibly(_SCREEN)):
        yield f"colour tags: {format.suffix} has none; its codes are {plan.colour}"
    elif format.name in ("webp", "gif") and plan.colour.is_wide:
        yield f"wide primaries: {format.suffix} cannot say them, so colours look paler; PNG can"


def _sound(facts: Facts, settings: Settings, format: Format) -> Iterator[str]:
    if format.is_sequence and (facts.audio or facts.variable_rate):
        yield "sound and timing: numbered pictures hold neither"
    elif (format.picture or format.bare) and facts.audio:
        yield f"sound: {format.suffix} holds none"
    elif not settings.audio and facts.audio:
        yield "sound: left out as asked"
    elif format.matte_only and facts.audio:
        yield "sound: the matte clip carries none"
    elif any(track.codec not in format.copies for track in facts.audio):
        yield from _lossy_sound(format)


def _lossy_sound(format: Format) -> Iterator[str]:
    assert format.audio_codec is not None
    codec = format.audio_codec[24]
    if codec == "libopus":
        yield f"sound: re-encoded as Opus, all that {format.suffix} takes"
    elif codec in BIT_RATES:
        yield "sound: re-encoded as AAC, which players of .mp4 know; --lossless-audio keeps it"


def _times(facts: Facts, settings: Settings, plan: Plan) -> Iterator[str]:
    """Times that the container rounds, rates that it does not hold, and timecode."""
    format, odd = plan.format, 1 / facts.time_base % 1000 != 0
    if format.container in ("matroska", "webm") and odd:
        yield "timestamps: rounded to the 1 ms that Matroska and WebM hold"
    if format.fastest and facts.rate > format.fastest and not settings.cfr:
        yield f"rate: {float(facts.rate):g} frames a second become {float(plan.rate):g}"
    if format.name == "gif" and not is_still(facts.path):
        yield "times: rounded to the 1/100 s that GIF holds"
    if format.name == "webp" and not is_still(facts.path) and odd:
        yield "times: rounded to the 1 ms that WebP holds"
    if format.bare and facts.variable_rate and not settings.cfr:
        yield f"times: {format.suffix} holds none: {float(plan.rate):.4g} frames a second instead"
    tagged = not (format.timecode_track or format.is_sequence or format.picture or format.bare)
    if facts.timecode and tagged:
        yield f"timecode track: kept as a tag only ({format.suffix})"
    if facts.timecode and format.bare:
        yield f"timecode: {format.suffix} holds none"
    if format.name == "rgba" and plan.sar != 1:
        yield f"shape of a pixel: {format.suffix} holds none; it is {plan.sar}"


def _lines_of_the_picture(facts: Facts) -> Iterator[str]:
    """Interlaced lines, lines that are no picture, and odd turns."""
    if facts.vbi:
        yield f"VBI: the {facts.vbi} lines above the picture are cut off"
    if facts.interlaced and facts.fields == 0:
        yield "interlacing: matted whole and marked progressive; --deinterlace makes pictures of it"
    if facts.interlaced and facts.fields == 1:
        yield "interlacing: one picture of two fields; --deinterlace field makes one of each"
    if not facts.turn.exact:
        quarters, angle = facts.turn.quarters, f"{facts.turn.angle:g} degrees"
        turned = f"turned by {90 * quarters} degrees" if quarters else "left as it is"
        yield f"display matrix: {turned}, the quarter turn nearest to its {angle}"


def _high_dynamic_range(facts: Facts, plan: Plan) -> Iterator[str]:
    if facts.tone_mapped:
        yield "high dynamic range: tone-mapped to BT.709; --no-sdr leaves it as it is"
    for kind in facts.dynamic:
        yield f"{kind}: its metadata of each scene; the picture below it is kept"
    carried = plan.format.codec in ("libx265", "prores_ks") and not plan.format.matte_only
    if facts.mastering and plan.colour.is_hdr and not carried:
        yield "HDR mastering metadata (ST 2086, MaxCLL): prores and hevc keep it"


def _rest(facts: Facts, settings: Settings, format: Format) -> Iterator[str]:
    """Views, alpha, tags and other streams."""
    yield from (f"{view}: the output is not marked as such" for view in facts.views)
    if facts.has_alpha:
        yield "the source's own alpha: replaced by the new matte"
    bare = format.is_sequence or format.bare
    if bare and (lost := tags.kept(facts.metadata, place=True)):
        holder = "numbered pictures hold" if format.is_sequence else f"{format.suffix} holds"
        yield f"tags: {holder} none ({tags.named_briefly(lost)})"
    elif not settings.place and tags.place_in(facts.metadata):
        yield "place: left out as asked"
    for kind, count in Counter(facts.others).items():
        yield kind if count == 1 else f"{count} {kind.replace(' stream', ' streams')}"
