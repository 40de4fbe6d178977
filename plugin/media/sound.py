"""Sound, carried beside the picture: copied where the container takes it, else encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from typing import TypeAlias

import av
import av.error
from av.container import OutputContainer

from mattecast.media.channels import part
from mattecast.media.clip import LONGEST_FRAME
from mattecast.media.clock import Clock
from mattecast.media.container import has_known_codec, open_media
from mattecast.media.feed import Feed
from mattecast.media.formats import Format
from mattecast.media.languages import iso639_2
from mattecast.media.sound_encoder import SoundEncoder
from mattecast.media.sound_kind import Kind, kinds_in, largest
from mattecast.media.source import Description
from mattecast.plan import Plan

# Sound is written this far ahead of the picture (seconds): players want both interleaved.
_LEAD = Fraction(1, 2)
# Gaps between sounds up to here (seconds) are the rounding of Matroska's clock.
_GAP = Fraction(1, 200)
# How far before a range reading begins (seconds). Seeking looks for a key frame of the picture, and
# sound of the same time may lie before it in the file.
_RUN_UP = Fraction(2)
# The step of Matroska's clock (seconds).
_ROUNDING = Fraction(1, 1000)
# Sound that begins this much too early (seconds) overlaps what came before, as at a splice.
_OVERLAP = Fraction(1, 2)

Packet: TypeAlias = "av.Packet[av.AudioStream]"


class Sound:
    """Carries every sound track of a source into one output.

    It opens a file once more, so that neither sound nor picture waits for the other. A pipe's feed
    keeps the sound that comes beside the pictures.
    """

    def __init__(self, source: Description, output: OutputContainer, plan: Plan) -> None:
        self._plan, self._damage = plan, source.damage
        # Packets have times on the file's own clock.
        zero = source.facts.zero
        self._origin = zero + plan.origin
        self._start = None if plan.start is None else zero + plan.start
        self._end = None if plan.end is None else zero + plan.end
        self._output = output
        self._input = source.feed or open_media(source.path)
        audio = self._input.tracks if isinstance(self._input, Feed) else self._input.streams.audio
        tracks = list(audio)
        usable = [stream for stream in tracks if _usable(stream)]
        kinds = self._kinds(source, usable)
        length = None if self._end is None else self._end - self._origin
        self._tracks = {
            stream.index: _Track(stream, output, plan.format, kinds[stream.index], length)
            for stream in usable
        }
        self._lost = ["a track of unknown kind left out"] * (len(tracks) - len(usable))
        # Where the run-up takes in the beginning, there is nothing to look for.
        if plan.start is not None and plan.start > _RUN_UP and source.facts.seekable:
            self._seek(zero + plan.start - _RUN_UP)
        self._packets = self._read(self._demuxed())
        self._waiting: Packet | None = None

    def _seek(self, time: Fraction) -> None:
        """Go to a time of a file; a pipe cannot, and says so in its facts."""
        assert not isinstance(self._input, Feed)
        # Where that fails, reading from the start gives the same packets later.
        with suppress(av.error.FFmpegError, OSError, OverflowError):
            self._input.seek(int(time * av.time_base))

    def _kinds(self, source: Description, usable: list[av.AudioStream]) -> dict[int, set[Kind]]:
        """The kinds of sound of some tracks, by their index; of a pipe, those announced."""
        if isinstance(self._input, Feed):
            return {stream.index: {Kind.of(stream.codec_context)} for stream in usable}
        end = self._end if source.facts.seekable else None
        return kinds_in(source.path, self._input, usable, end)

    def _demuxed(self) -> Iterator[Packet | None]:
        """The packets of all tracks; None where a pipe has brought no further one so far."""
        if isinstance(self._input, Feed):
            return self._input.sound(self._tracks)
        streams = tuple(track.source for track in self._tracks.values())
        return Clock(self._input).packets(*streams) if streams else iter(())

    def pump(self, until: Fraction) -> None:
        """Mux sound up to `until` seconds of the output, and a little more."""
        limit = until + self._origin + _LEAD
        while (packet := self._peek()) is not None and _time(packet) <= limit:
            self._waiting = None
            self._take(packet)

    def finish(self) -> None:
        """Mux what is left and flush the encoders."""
        while (packet := self._peek()) is not None:
            self._waiting = None
            self._take(packet)
        for track in self._tracks.values():
            self._mux(track.flush(self._origin))

    def close(self) -> None:
        """Close the file; safe to call twice."""
        if not isinstance(self._input, Feed):
            self._input.close()

    @property
    def kept(self) -> list[str]:
        """A few words for each track: 'aac copied', 'opus as pcm_s24le'."""
        return [track.outcome for track in self._tracks.values()] + self._lost

    def _peek(self) -> Packet | None:
        if self._waiting is None:
            self._waiting = next(self._packets, None)
        return self._waiting

    def _read(self, packets: Iterator[Packet | None]) -> Iterator[Packet | None]:
        times: dict[int, Fraction] = {}
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                self._damage.ended_early = True
                return
            if packet is None:
                yield None
                continue
            if packet.dts is None or packet.size == 0 or packet.pts is None:
                continue
            last = times.get(packet.stream_index, _time(packet))
            if abs(_time(packet) - last) > LONGEST_FRAME:
                self._damage.sound += 1
            elif self._inside(packet):
                times[packet.stream_index] = _time(packet)
                yield packet

    def _inside(self, packet: Packet) -> bool:
        time = _time(packet)
        if self._end is not None and time >= self._end:
            return False
        lasts = (packet.duration or 0) * packet.time_base
        return self._start is None or time + lasts > self._start

    def _take(self, packet: Packet) -> None:
        self._mux(self._tracks[packet.stream_index].take(packet, self._origin))

    def _mux(self, packets: Iterator[Packet]) -> None:
        """Write the packets of one track; damaged ones are counted and left out."""
        try:
            ready = list(packets)
        except (av.error.FFmpegError, ValueError):
            self._damage.sound += 1
            return
        for packet in ready:
            # These two errors mean that the packet is wrong: its data, or its time.
            try:
                self._output.mux(packet)
            except (av.error.InvalidDataError, av.error.ArgumentError):
                self._damage.sound += 1


def _usable(stream: av.AudioStream) -> bool:
    """Whether its codec is known and its header says how it sounds."""
    if not has_known_codec(stream):
        return False
    context = stream.codec_context
    return bool(context.format and context.sample_rate and context.layout.nb_channels)


class _Track:
    """One track: its own output stream, and an encoder where copying will not do.

    kinds: those of its sound, where it changes in mid-stream; else the one of its header. length:
    of a range in seconds; sound that is encoded ends with it.
    """

    def __init__(
        self,
        stream: av.AudioStream,
        output: OutputContainer,
        format: Format,
        kinds: set[Kind],
        length: Fraction | None,
    ) -> None:
        self.source, self._length = stream, length
        self._due: Fraction | None = None  # the time of the sample after the last one
        self._kind: Kind | None = None  # of the last frame
        # Only an edit list hides what begins before zero. Other muxers make all else later, but
        # for what the codec itself hides.
        self._hides = format.container in ("mov", "mp4")
        self._earliest = -_opus_delay(stream) - _ROUNDING
        self._encoder: SoundEncoder | None = None
        codec = stream.codec_context.codec.canonical_name
        # A container describes all the packets of a track at once.
        if len(kinds) == 1 and not format.copies.isdisjoint({codec, "*"}):
            self._target = output.add_stream_from_template(stream)
        else:
            self._encoder = SoundEncoder(output, format, largest(kinds))
            self._target = self._encoder.stream
        self._describe(format)

    def _describe(self, format: Format) -> None:
        """Take the source's language, title and disposition over."""
        own, target = self.source.metadata, self._target.metadata
        target.update({key: own[key] for key in ("title", "handler_name") if key in own})
        if "name" in own:  # QuickTime's title of a track
            target.setdefault("title", own["name"])
        if language := own.get("language"):
            target["language"] = iso639_2(language, format.container or "")
            if len(language) > 3:
                target.setdefault("title", language)  # the region or script, which the code lacks
        self._target.disposition = self.source.disposition

    @property
    def outcome(self) -> str:
        """What became of it: 'aac copied', 'opus as pcm_s24le'."""
        codec = self.source.codec_context.codec.canonical_name
        return f"{codec} as {self._encoder.outcome}" if self._encoder else f"{codec} copied"

    def take(self, packet: Packet, origin: Fraction) -> Iterator[Packet]:
        """The packets of the output for one of the source, moved so that `origin` is zero."""
        if self._encoder is None:
            shift = round(origin / packet.time_base)
            assert packet.pts is not None and packet.dts is not None  # see Sound._read
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = self._target
            if self._follows(packet):
                yield packet
            return
        yield from self._encoded(packet.decode(), origin)

    def _encoded(self, frames: Iterable[av.AudioFrame], origin: Fraction) -> Iterator[Packet]:
        assert self._encoder is not None
        for frame in self._gapless(frames):
            if frame.pts is not None:
                frame.pts -= round(origin / _clock(frame))
            for heard in _within(frame, self._length):
                yield from self._encoder.encode(heard)

    def _follows(self, packet: Packet) -> bool:
        """Whether a packet to be copied begins where the output can hold it: not before its zero,
        and not amid the one before, as after a splice."""
        begin, lasts = _time(packet), (packet.duration or 0) * packet.time_base
        if not self._hides and begin < self._earliest:
            return False
        if self._due is not None and lasts / 2 < self._due - begin < _OVERLAP:
            return False
        self._due = begin + lasts
        return True

    def _gapless(self, frames: Iterable[av.AudioFrame]) -> Iterator[av.AudioFrame]:
        """The frames, with silence where some are missing, and without what two of them both hold.
        PCM has no times of its own: else all sound after a gap would come too early."""
        for frame in frames:
            if frame.pts is not None:
                time = frame.pts * _clock(frame)
                end = time + Fraction(frame.samples, frame.sample_rate)
                gap = Fraction(0) if self._due is None else time - self._due
                # Where the sound changes, another encoder began; its times are exact.
                least = _GAP if Kind.of(frame) == self._kind else Fraction(0)
                if least < gap < LONGEST_FRAME:
                    yield from _silence(frame, gap)
                elif least < -gap < _OVERLAP:
                    late = round(-gap * frame.sample_rate)
                    if late >= frame.samples:
                        self._kind = None  # the next frame is cut too, be it by ever so little
                        continue
                    frame = part(frame, late, frame.layout.name)
                self._kind, self._due = Kind.of(frame), end
            yield frame

    def flush(self, origin: Fraction) -> Iterator[Packet]:
        """The packets of the sound that the decoder and the encoder still hold."""
        if self._encoder is not None:
            yield from self._encoded(self._left(), origin)
            yield from self._encoder.flush()

    def _left(self) -> Iterator[av.AudioFrame]:
        """The frames that the decoder still holds, which have no times of their own."""
        for frame in self.source.codec_context.decode(None):
            frame.time_base = self.source.time_base
            if self._due is not None:
                frame.pts = round(self._due / _clock(frame))
            yield frame


def _opus_delay(stream: av.AudioStream) -> Fraction:
    """How much of an Opus stream's beginning players leave out (seconds): the pre-skip of its
    header (RFC 7845, section 5.1); 0 for other codecs."""
    header = stream.codec_context.extradata or b""
    opus = header.startswith(b"OpusHead") and len(header) >= 12
    return Fraction(int.from_bytes(header[10:12], "little"), 48000) if opus else Fraction(0)


def _within(frame: av.AudioFrame, length: Fraction | None) -> Iterator[av.AudioFrame]:
    """What a frame holds from time zero to `length` seconds, as one frame or none."""
    begin = (frame.pts or 0) * _clock(frame)
    first, last = max(0, -round(begin * frame.sample_rate)), frame.samples
    if length is not None:
        last = min(last, round((length - begin) * frame.sample_rate))
    if (first, last) == (0, frame.samples):
        yield frame
    elif first < last:
        yield part(frame, first, frame.layout.name, last)


def _silence(after: av.AudioFrame, seconds: Fraction) -> Iterator[av.AudioFrame]:
    """Silence that ends where `after` begins, in the same sample format and layout: frames of a
    second at most, since a pause may be long."""
    assert after.pts is not None
    samples, rate = round(seconds * after.sample_rate), after.sample_rate
    for first in range(0, samples, rate):
        count = min(rate, samples - first)
        silence = av.AudioFrame(after.format.name, after.layout.name, count)
        # PyAV finds more planes than there are where there are eight or more.
        for plane in silence.planes[: after.layout.nb_channels if after.format.is_planar else 1]:
            # Eight-bit samples are the only ones that count from the middle.
            level = b"\x80" if after.format.name.startswith("u8") else b"\0"
            plane.update(level * plane.buffer_size)
        silence.sample_rate, silence.time_base = rate, after.time_base
        silence.pts = after.pts - round(Fraction(samples - first, rate) / _clock(after))
        yield silence


def _clock(frame: av.AudioFrame) -> Fraction:
    """Seconds of one unit of a frame's pts."""
    return frame.time_base or Fraction(1, frame.sample_rate)


def _time(packet: Packet) -> Fraction:
    assert packet.pts is not None  # see Sound._read
    return packet.pts * packet.time_base
