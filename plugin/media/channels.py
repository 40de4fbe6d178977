"""Channel layouts: what the channels of a sound are, and the nearest layout that a codec has."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

from av import AudioFrame, AudioLayout, AudioResampler
from av.error import FFmpegError

# The layouts of lossy codecs. Opus: RFC 7845, section 5.1.1.2, without 5.0 and 6.1, whose channels
# FFmpeg 8.1 swaps when it encodes them. AAC: ISO/IEC 14496-3, table 1.19, the channel
# configurations that every player knows.
LAYOUTS = {
    "libopus": ("mono", "stereo", "3.0", "quad", "5.1", "7.1"),
    "aac": ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1"),
}
# Codecs of eight channels at most.
_EIGHT = {*LAYOUTS, "flac"}
# What channels are taken for that no one has named, by their count. Three are not FFmpeg's 2.1,
# whose third channel players leave out.
_DEFAULTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "6.1", "7.1")
# Surround at the sides and at the back are the same channels to all but the largest layouts.
_BACK = {"SL": "BL", "SR": "BR"}


def placed(name: str, codec: str) -> str:
    """The layout that sound of layout `name` is taken for, with the same number of channels.

    It differs from `name` where the source does not say what its channels are, and where they are
    such that nothing can be mixed from them. codec: libavcodec's name of the encoder.
    """
    count, fixed = AudioLayout(name).nb_channels, codec in _EIGHT
    if count > len(_DEFAULTS) or (is_named(name) and (not fixed or _mixes(name, "stereo"))):
        return name
    for known in LAYOUTS.get(codec, ()):
        if AudioLayout(known).nb_channels == count:
            return known
    return _DEFAULTS[count - 1]


def nearest(name: str, codec: str) -> str | None:
    """The layout of an encoder that keeps most of layout `name`; None where it holds no such sound.

    It has every channel of the source where there is such a layout, else the sound is mixed.
    """
    known = LAYOUTS.get(codec)
    # Nobody knows how to mix channels that have no names.
    mixes = known and is_named(name) and _mixes(name, known[-1])
    if codec in _EIGHT and AudioLayout(name).nb_channels > 8 and not mixes:
        return None
    if known is None or name in known:
        return name
    own = _channels(name)
    same = [each for each in known if _at_the_back(own) == _at_the_back(_channels(each))]
    whole = [each for each in known if own <= _channels(each)]
    # A mix leaves the low frequencies out where the target has no channel for them.
    deep = [each for each in known if "LFE" in _channels(each) or "LFE" not in own]
    large = [each for each in deep if len(_channels(each)) >= len(own)] or deep
    mixed = max(large, key=lambda each: (len(own & _channels(each)), -len(_channels(each))))
    return [*same, *whole, mixed][0]


def part(frame: AudioFrame, first: int, layout: str, last: int | None = None) -> AudioFrame:
    """The samples of a frame from number `first` to before `last`, under a layout of as many
    channels."""
    last = frame.samples if last is None else last
    rest = AudioFrame(frame.format.name, layout, last - first)
    channels = frame.layout.nb_channels
    # PyAV finds more planes than there are where there are eight or more.
    count, together = (channels, 1) if frame.format.is_planar else (1, channels)
    step = frame.format.bytes * together
    for target, source in zip(rest.planes[:count], frame.planes[:count], strict=True):
        target.update(bytes(source)[first * step : last * step])
    rest.sample_rate, rest.time_base = frame.sample_rate, frame.time_base
    if frame.pts is not None:
        clock = frame.time_base or Fraction(1, frame.sample_rate)
        rest.pts = frame.pts + round(Fraction(first, frame.sample_rate) / clock)
    return rest


def is_named(name: str) -> bool:
    """Whether a layout says what its channels are."""
    return name != f"{AudioLayout(name).nb_channels} channels"


@cache
def _mixes(source: str, target: str) -> bool:
    """Whether libswresample knows how to mix one layout into the other."""
    silence = AudioFrame("s16", source, 64)
    silence.sample_rate = 48000
    try:
        AudioResampler("s16", target).resample(silence)
    except FFmpegError:
        return False
    return True


def _channels(name: str) -> set[str]:
    return {channel.name for channel in AudioLayout(name).channels}


def _at_the_back(channels: set[str]) -> set[str]:
    if channels & {*_BACK.values()}:
        return channels
    return {_BACK.get(channel, channel) for channel in channels}
