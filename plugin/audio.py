"""Sound, carried beside the picture: copied where the container takes it, else kept losslessly."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from mattecast.formats import Format
from mattecast.plan import Plan

# Sound is written this far ahead of the picture (seconds), as players like it interleaved.
_LEAD = Fraction(1, 2)
# Sample bits by PyAV's sample format; float decoders (AAC, Opus) carry no more than 24.
_BITS = {"u8": 16, "s16": 16, "s32": 32, "flt": 24, "dbl": 32, "s64": 32}
_PCM_FORMAT = {16: "s16", 24: "s32", 32: "s32"}
# QuickTime's language table knows the bibliographic codes of ISO 639-2, not the terminologic ones.
_BIBLIOGRAPHIC = {
    "bod": "tib", "ces": "cze", "cym": "wel", "deu": "ger", "ell": "gre", "eus": "baq",
    "fas": "per", "fra": "fre", "hye": "arm", "isl": "ice", "kat": "geo", "mkd": "mac",
    "msa": "may", "mya": "bur", "nld": "dut", "ron": "rum", "slk": "slo", "sqi": "alb",
    "zho": "chi",
}  # fmt: skip


class Sound:
    """Every sound track of a source, on its way into one output.

    It reads the file a second time, on its own, so that neither stream waits for the other.
    """

    def __init__(self, source: Path, output: Any, format: Format, plan: Plan) -> None:
        self._plan = plan
        self.damaged = 0
        self._input = av.open(str(source), metadata_errors="replace")
        self._output = output
        self._tracks = {
            stream.index: _Track(stream, output, format)
            for stream in self._input.streams.audio
            if stream.codec_context is not None
        }
        if plan.start is not None:
            self._input.seek(int(plan.start * av.time_base))
        self._packets = self._read()
        self._waiting: Any = None

    def pump(self, until: Fraction) -> None:
        """Mux sound up to `until` seconds of the output, and a little more."""
        limit = until + self._plan.origin + _LEAD
        while (packet := self._peek()) is not None and _time(packet) <= limit:
            self._waiting = None
            self._mux(packet)

    def finish(self) -> None:
        """Mux what is left and flush the encoders."""
        while (packet := self._peek()) is not None:
            self._waiting = None
            self._mux(packet)
        for track in self._tracks.values():
            for encoded in track.flush():
                self._output.mux(encoded)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._input.close()

    @property
    def kept(self) -> list[str]:
        """One word a track: 'aac copied', 'opus as pcm_s24le'."""
        return [track.fate for track in self._tracks.values()]

    def _peek(self) -> Any:
        if self._waiting is None:
            self._waiting = next(self._packets, None)
        return self._waiting

    def _read(self) -> Iterator[Any]:
        streams = [self._input.streams[index] for index in self._tracks]
        if not streams:
            return
        packets = self._input.demux(*streams)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                self.damaged += 1
                return
            if packet is None:
                return
            if packet.dts is None or packet.size == 0 or packet.pts is None:
                continue
            if self._inside(packet):
                yield packet

    def _inside(self, packet: Any) -> bool:
        time = _time(packet)
        if self._plan.end is not None and time >= self._plan.end:
            return False
        lasts = (packet.duration or 0) * packet.time_base
        return self._plan.start is None or time + lasts > self._plan.start

    def _mux(self, packet: Any) -> None:
        try:
            for ready in self._tracks[packet.stream_index].take(packet, self._plan.origin):
                self._output.mux(ready)
        except av.error.InvalidDataError:
            self.damaged += 1


class _Track:
    """One track: its own output stream, and an encoder where copying will not do."""

    def __init__(self, stream: Any, output: Any, format: Format) -> None:
        self._stream = stream
        self._encode = not (stream.codec_context.name in format.copies or "*" in format.copies)
        if self._encode:
            self._target = self._encoder(stream, output, format)
            self.fate = f"{stream.codec_context.name} as {self._target.codec_context.name}"
        else:
            self._target = output.add_stream_from_template(stream)
            self.fate = f"{stream.codec_context.name} copied"
        for key in ("language", "title", "handler_name"):
            if key in stream.metadata:
                self._target.metadata[key] = stream.metadata[key]
        if format.container == "mov" and "language" in stream.metadata:
            code = stream.metadata["language"]
            self._target.metadata["language"] = _BIBLIOGRAPHIC.get(code, code)
        self._target.disposition = stream.disposition

    def _encoder(self, stream: Any, output: Any, format: Format) -> Any:
        source = stream.codec_context
        bits = _BITS.get(source.format.name.removesuffix("p"), 24)
        if format.audio_codec is None:
            target = output.add_stream("libopus", rate=48000, layout=source.layout.name)
            target.bit_rate = 96000 * source.layout.nb_channels
            sample_format = "flt"
        else:
            codec = format.audio_codec[bits]
            target = output.add_stream(codec, rate=source.sample_rate, layout=source.layout.name)
            sample_format = _PCM_FORMAT[bits]
            if codec == "alac":
                sample_format += "p"
        target.format = sample_format
        self._resampler = av.AudioResampler(sample_format, source.layout.name, target.rate)
        return target

    def take(self, packet: Any, origin: Fraction) -> Iterator[Any]:
        """Packets for the output out of one of the source, moved so that `origin` is zero."""
        if not self._encode:
            shift = round(origin / packet.time_base)
            packet.pts -= shift
            packet.dts -= shift
            packet.stream = self._target
            yield packet
            return
        for frame in packet.decode():
            frame.pts = None if frame.pts is None else frame.pts - round(origin / frame.time_base)
            for resampled in self._resampler.resample(frame):
                yield from self._target.encode(resampled)

    def flush(self) -> Iterator[Any]:
        """What decoder, resampler and encoder still hold."""
        if not self._encode:
            return
        for resampled in self._resampler.resample(None):
            yield from self._target.encode(resampled)
        yield from self._target.encode(None)


def _time(packet: Any) -> Fraction:
    return Fraction(packet.pts * packet.time_base)
