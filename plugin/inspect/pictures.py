"""Findings from decoding: pixel format, colour and alpha, and what the structure left open."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain, islice, pairwise
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.stream import Stream
from av.video import VideoStream
from numpy.typing import NDArray

from mattecast.errors import MediaError
from mattecast.inspect import hosts, wording
from mattecast.inspect.finding import Finding, note, ok, warning
from mattecast.inspect.hosts import Shown
from mattecast.inspect.premultiplied import Alphas, judge
from mattecast.media import profile
from mattecast.media.container import has_known_codec, is_cover_art, is_picture_file, stated_end
from mattecast.media.host import Host, Kind
from mattecast.media.photograph import Photograph, kind_of
from mattecast.media.turn import Turn

# Pictures decoded to judge the alpha, spread over the clip.
LOOKS = 8
# No camera or host goes further, and a forged header must not cost gigabytes.
MAX_PIXELS = 16384 * 8640
# Packets read in search of one picture: a damaged clip must not cost its whole length.
PATIENCE = 64
# Packets whose times are looked at.
TIMES = 250
# Pictures are thinned to about this many pixels before they are judged.
JUDGED = 1 << 20
# FFmpeg's own decoders of these drop the alpha plane.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Moving pictures that screens show as sRGB.
_SRGB = {"apng", "gif"}
RANGES = {0: "range not stated", 1: "limited range", 2: "full range"}


def findings(path: Path, described: bool, host: Host | None = None) -> Iterator[Finding]:
    """All findings from decoding.

    described: whether the file's structure was read, so that codec, timing and sound are left out.
    host: the program that will read the clip, if its findings are asked for.

    Raises MediaError when the file is no video or none of its pictures decodes.
    """
    if kind := kind_of(path):
        yield from _photograph(path, kind, host)
        return
    # With the protocol named, no file name and no playlist reaches past this file.
    options = {"protocol_whitelist": "file"}
    try:
        with av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace") as clip:
            yield from _clip(path, clip, described, host)
    except (av.FFmpegError, ValueError, LookupError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        advice = "play it to see whether it is whole"
        raise MediaError(f"{path}: cannot be decoded: {reason}; {advice}") from failure


def _photograph(path: Path, kind: str, host: Host | None) -> Iterator[Finding]:
    """Findings on a picture file that libav does not read."""
    with Photograph(path, kind) as photograph:
        facts, frames = photograph.facts, photograph.frames()
        yield ok("container", kind)
        pace = "variable rate" if facts.variable_rate else wording.rate(facts.rate)
        yield ok("timing", f"{pace}, {facts.frames} pictures in {float(facts.duration or 0):.3f} s")
        first = next(frames)
        yield from _format(first, still=True)
        yield ok("colour", str(facts.colour))
        yield from (warning("file", line) for line in photograph.damage.lines())
        alphas = _judged(first, islice(frames, 0, None, max(1, facts.frames // LOOKS)))
        yield from _alpha(alphas)
        if host is not None:
            shown = Kind.of(kind.lower(), facts.frames == 1, first.format.name)
            verdict = alphas.verdict if alphas else None
            yield from hosts.findings(host, Shown(path, shown, verdict, facts.colour.transfer, ()))


def _clip(
    path: Path, clip: InputContainer, described: bool, host: Host | None
) -> Iterator[Finding]:
    stream = next((each for each in clip.streams.video if not is_cover_art(each)), None)
    if stream is None:
        raise MediaError(f"{path}: has no video; give a clip that holds pictures")
    if not has_known_codec(stream):
        raise MediaError(f"{path}: its video codec is unknown here; convert the clip to another")
    if stream.width * stream.height > MAX_PIXELS:
        raise MediaError(f"{path}: claims {stream.width}x{stream.height} pixels; not decoded")
    if not described:
        yield from _description(clip, stream)
    frames = _picture(path) if is_picture_file(clip) else _sampled_frames(clip, stream)
    first = next(frames, None)
    if first is None:
        raise MediaError(f"{path}: no picture of it decodes; play it to see whether it is whole")
    yield from _format(first, still=is_picture_file(clip))
    yield _colour(path, clip, first)
    alphas = _judged(first, frames)
    yield from _alpha(alphas)
    if host is not None:
        kind = Kind.of(stream.codec_context.name, is_picture_file(clip), first.format.name)
        sounds = tuple(
            each.codec_context.name for each in clip.streams.audio if has_known_codec(each)
        )
        verdict = alphas.verdict if alphas else None
        yield from hosts.findings(host, Shown(path, kind, verdict, int(first.color_trc), sounds))


def _description(clip: InputContainer, stream: VideoStream) -> Iterator[Finding]:
    codec = stream.codec_context
    yield ok("container", clip.format.long_name)
    yield ok("codec", f"{codec.name}, {stream.width}x{stream.height}")
    mode = stream.metadata.get("alpha_mode", stream.metadata.get("ALPHA_MODE"))
    if mode:
        yield ok("alpha mode", f"{mode} in the container")
    yield _timing(clip, stream)
    yield from _audio(clip, stream)


def _timing(clip: InputContainer, stream: VideoStream) -> Finding:
    times = [packet.pts for packet in islice(clip.demux(stream), TIMES) if packet.pts is not None]
    steps = {later - earlier for earlier, later in pairwise(sorted(times))}
    text = f"time base {stream.time_base}"
    if stream.average_rate:
        text = f"{wording.rate(stream.average_rate)} on average, {text}"
    # One tick of difference is what rounding to a coarse time base makes.
    if steps and max(steps) - min(steps) > 1:
        return note("timing", f"variable rate, {text}, {min(steps)} to {max(steps)} ticks a frame")
    return ok("timing", f"constant rate, {text}")


def _audio(clip: InputContainer, video: VideoStream) -> Iterator[Finding]:
    if not clip.streams.audio:
        yield note("audio", "none")
    for stream in clip.streams.audio:
        if not has_known_codec(stream):
            yield warning("audio", "a track of unknown codec")
            continue
        name, rate = stream.codec_context.name, stream.codec_context.sample_rate
        step = stream.codec_context.frame_size
        frame = Fraction(step if step > 1 else wording.AUDIO_FRAME, rate or 48000)
        yield wording.sync(f"{name} at {rate} Hz", _span(stream), _span(video), frame)


def _span(stream: Stream) -> tuple[Fraction, Fraction | None]:
    """(start, end) in seconds; the end is None where the container does not state it."""
    base = stream.time_base or Fraction(0)
    start = (stream.start_time or 0) * base
    if stream.duration is not None:
        return start, start + stream.duration * base
    return start, stated_end(stream)


def _picture(path: Path) -> Iterator[av.VideoFrame]:
    """The frame of a picture file, opened anew: libav does not go back in all of them."""
    with av.open(f"file:{path.absolute()}", options={"protocol_whitelist": "file"}) as clip:
        yield from islice(clip.decode(video=0), 1)


def _sampled_frames(clip: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """A frame from each of a few evenly spaced places that the clip can be sought to."""
    decoder = _decoder(stream)
    length = stream.duration or int((clip.duration or 0) / av.time_base / (stream.time_base or 1))
    for step in range(LOOKS if length else 1):
        try:
            clip.seek((stream.start_time or 0) + length * step // LOOKS, stream=stream)
            decoder.flush_buffers()
            packets = islice(clip.demux(stream), PATIENCE)
            yield next(frame for packet in packets for frame in decoder.decode(packet))
        except (StopIteration, av.FFmpegError):
            continue


def _decoder(stream: VideoStream) -> av.VideoCodecContext:
    name = ALPHA_DECODERS.get(stream.codec_context.name)
    decoder = av.CodecContext.create(name, "r") if name else stream.codec_context
    assert isinstance(decoder, av.VideoCodecContext)
    return decoder


def _format(frame: av.VideoFrame, *, still: bool) -> Iterator[Finding]:
    yield ok("pixel format", f"{frame.format.name}, {frame.width}x{frame.height}")
    if turn := Turn.of(frame, still=still):
        yield note("display matrix", f"{turn}, left to the player")


def _colour(path: Path, clip: InputContainer, frame: av.VideoFrame) -> Finding:
    described = profile.of_file(path.read_bytes()) if is_picture_file(clip) else None
    if described is not None:
        return ok("colour", f"ICC profile {described.name or 'without a name'}, {described.kind}")
    codes = int(frame.color_primaries), int(frame.color_trc), int(frame.colorspace)
    text = f"{wording.colour(codes)}, {RANGES.get(int(frame.color_range), 'unknown range')}"
    if not set(codes[:2]) <= {0, 2}:
        return ok("colour", text)
    if is_picture_file(clip) or clip.format.name in _SRGB:
        return ok("colour", f"{text}: shown as sRGB")
    return (warning if set(codes) <= {0, 2} else ok)("colour", text)


def _judged(first: av.VideoFrame, others: Iterator[av.VideoFrame]) -> Alphas | None:
    """What the pictures show about their alpha; None where they have none."""
    if not any(part.is_alpha for part in first.format.components):
        return None
    # One at a time: eight large pictures would fill the memory.
    return judge(_rgba(frame) for frame in chain([first], others))


def _alpha(alphas: Alphas | None) -> Iterator[Finding]:
    if alphas is None:
        yield note("alpha", wording.OPAQUE)
        return
    extent = f"{alphas.count} pictures, alpha {alphas.lowest} to {alphas.highest} of 255"
    if alphas.lowest >= 254:
        yield warning("alpha content", f"opaque everywhere in {extent}")
    elif alphas.highest <= 1:
        yield warning("alpha content", f"clear everywhere in {extent}")
    else:
        yield ok("alpha content", extent)
    level = {"straight": ok, "premultiplied": warning, "unclear": note}[alphas.verdict]
    yield level("alpha kind", f"{alphas.verdict}: {alphas.why}")


def _rgba(frame: av.VideoFrame) -> NDArray[np.uint8]:
    step = max(1, round((frame.width * frame.height / JUDGED) ** 0.5))
    # Pixels are skipped, not averaged: an average would mix colours across the edge.
    return frame.to_ndarray(format="rgba")[::step, ::step].astype(np.uint8, copy=False)
