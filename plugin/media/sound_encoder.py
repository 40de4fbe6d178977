"""The encoder of one sound track: decoded sound of any kind in, packets of one kind out."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import av
from av import AudioFrame, AudioResampler
from av.container import OutputContainer

from mattecast.errors import UsageError
from mattecast.media.channels import nearest, part, placed
from mattecast.media.formats import BIT_RATES, Format
from mattecast.media.sound_kind import Kind

# The sample formats of encoders, by sample bits.
_WHOLE = {16: "s16", 24: "s32", 32: "s32"}
_SAMPLES = {"aac": "fltp", "libopus": "flt"}


class SoundEncoder:
    """Encodes one track. Where the sound changes its kind in mid-stream, a new resampler brings it
    to the kind that the track has.

    Raises UsageError for sound that the codec of the format cannot hold.
    """

    def __init__(self, output: OutputContainer, format: Format, kind: Kind) -> None:
        assert format.audio_codec is not None
        self._codec = format.audio_codec[kind.bits]
        layout = nearest(placed(kind.layout, self._codec), self._codec)
        if layout is None:
            raise UsageError(
                f"{kind.channels} channels of sound do not fit into {format.name}, whose "
                f"{self.name} holds 8: choose --format prores or ffv1, or --no-audio"
            )
        rate = _sample_rate(self._codec, kind.rate)
        added = output.add_stream(self._codec, rate=rate, layout=layout)
        assert isinstance(added, av.AudioStream)
        self.stream, self._layout = added, layout
        added.format = _SAMPLES.get(self._codec, _WHOLE[kind.bits])
        if self._codec in BIT_RATES:
            added.bit_rate = BIT_RATES[self._codec] * added.layout.nb_channels
        self._kind: Kind | None = None
        self._resampler: AudioResampler | None = None
        self._due: int | None = None  # the number of the next sample
        # Layouts that were mixed into the track's: what a person should hear of.
        self.mixed: list[str] = []

    @property
    def name(self) -> str:
        """What the codec is called."""
        return self._codec.removeprefix("lib")

    @property
    def outcome(self) -> str:
        """What became of the sound: 'aac', or 'aac (5.1, mixed from 7.1.4)'."""
        if not self.mixed:
            return self.name
        return f"{self.name} ({self._layout}, from {' and '.join(self.mixed)})"

    def encode(self, frame: AudioFrame) -> Iterator[av.Packet[av.AudioStream]]:
        """The packets that are ready when one more frame of decoded sound is there."""
        kind = Kind.of(frame)
        if kind != self._kind:
            yield from self._drain()
            self._change(kind)
        assert self._resampler is not None
        if self._placed != kind.layout:
            frame = part(frame, 0, self._placed)
        for resampled in self._resampler.resample(frame):
            yield from self._encode(resampled)

    def flush(self) -> Iterator[av.Packet[av.AudioStream]]:
        """The packets of the sound that the resampler and the encoder still hold."""
        yield from self._drain()
        yield from self.stream.encode(None)

    def _drain(self) -> Iterator[av.Packet[av.AudioStream]]:
        if self._resampler is not None:
            for resampled in self._resampler.resample(None):
                yield from self._encode(resampled)

    def _encode(self, sound: AudioFrame) -> Iterator[av.Packet[av.AudioStream]]:
        """Encode sound of the track's own kind. Its times count its samples, since those of several
        resamplers would overlap by their rounding; a pause stays."""
        clock = Fraction(1, self.stream.rate)
        begin = round((sound.pts or 0) * (sound.time_base or clock) / clock)
        if self._due is None or begin - self._due > self.stream.rate:
            self._due = begin
        sound.pts, sound.time_base = self._due, clock
        self._due += sound.samples
        yield from self.stream.encode(sound)

    def _change(self, kind: Kind) -> None:
        self._kind, self._placed = kind, placed(kind.layout, self._codec)
        if self._placed != self._layout and self._placed not in self.mixed:
            self.mixed.append(self._placed)
        target = self.stream.format.name
        self._resampler = AudioResampler(target, self._layout, self.stream.rate)


def _sample_rate(codec: str, rate: int) -> int:
    """The lowest sample rate of a codec that keeps all of a source's, or its highest."""
    rates = av.Codec(codec, "w").audio_rates
    if not rates:
        return rate
    if codec == "libopus":
        return max(rates)  # Opus is decoded at 48 kHz, whatever it was made from
    return min((each for each in rates if each >= rate), default=max(rates))
