"""What a clip holds: sizes, rate, clock, colours, sound and timecode, read once at its opening."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.stream import Stream

from mattecast.errors import MediaError
from mattecast.media import dump, profile
from mattecast.media.colour import Colour
from mattecast.media.container import (
    frame_rate,
    has_known_codec,
    is_picture_file,
    kind_of,
    stated_end,
    time_base,
    video_tracks,
)
from mattecast.media.grid import Pace
from mattecast.media.mastering import Mastering, side_data
from mattecast.media.timecode import Timecode
from mattecast.media.turn import Turn

# Shapes of a pixel; the widest in use is 2:1 of anamorphic lenses.
_SQUEEZED = Fraction(1, 10), 10
# The most samples that AAC encoders put before the sound. Only MP4 and QuickTime say how many.
_AAC_DELAY = 2112
# Sound that leads the picture by more (seconds) runs on a clock of its own.
_LONGEST_LEAD = 3600
# Of an MP4 file that is one picture.
_PICTURE_BRANDS = {"avif", "mif1"}


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """One sound track as the container declares it."""

    index: int
    codec: str
    rate: int
    channels: int
    layout: str
    language: str | None


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """One video track as the container declares it. chosen: whether it is the one that is read."""

    codec: str
    width: int
    height: int
    title: str | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """What a clip holds. Sizes and SAR are upright, after its turn is applied.

    turn: what makes a decoded frame upright. rate: frames a second.
    time_base, start, duration: seconds; duration None where the file does not say. The clip's clock
    begins where its picture or its sound does, whichever comes first; zero is that moment on the
    file's own clock, and start is the first frame's time on the clip's. frames: the container's own
    count, 0 where it has none. others: kinds of streams that no output keeps. chapters: how many
    there are. seekable: whether the file finds a time; else its clock may be set anew in mid-file.
    repeats: whether a picture left out means the one before.
    first_number: of numbered pictures. fields: pictures made of each interlaced frame; 0 where
    frames stay as they are. vbi: lines cut off above the picture. tone_mapped: whether HDR became
    standard. still: whether frames are picture files. tracks: the video tracks. mastering: of HDR.
    dynamic: what Dolby Vision and HDR10+ add to the picture. views: '360 degrees (...)' and
    'stereo 3D (...)', where the pictures are such.
    """

    path: Path
    container: str
    codec: str
    pixel_format: str
    bits: int
    width: int
    height: int
    sar: Fraction
    turn: Turn
    interlaced: bool
    rate: Fraction
    variable_rate: bool
    time_base: Fraction
    start: Fraction
    duration: Fraction | None
    frames: int
    colour: Colour
    has_alpha: bool
    timecode: Timecode | None
    audio: tuple[AudioTrack, ...]
    others: tuple[str, ...]
    chapters: int
    metadata: Mapping[str, str] = field(default_factory=dict)
    tracks: tuple[VideoTrack, ...] = ()
    mastering: Mastering | None = None
    dynamic: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    zero: Fraction = Fraction(0)
    first_number: int | None = None
    fields: int = 0
    vbi: int = 0
    tone_mapped: bool = False
    still: bool = False
    seekable: bool = True
    repeats: bool = False


def read_facts(
    path: Path,
    container: InputContainer,
    stream: av.VideoStream,
    first: av.VideoFrame,
    pace: Pace | None = None,
    *,
    headless: bool = False,
) -> Facts:
    """The facts of an opened container, its picture stream, and the first frame of that stream.

    pace: how the clip's times run; None for what the container says. headless: whether pictures
    before the first one are lost; the sound beside them is left out too.
    """
    still = is_picture_file(container)
    turn = Turn.of(first, still=still)
    sar = Fraction(stream.sample_aspect_ratio or 1)
    sar = sar if _SQUEEZED[0] <= sar <= _SQUEEZED[1] else Fraction(1)
    width, height = turn.size(first.width, first.height)
    # The format of a frame on a GPU only says that the frame is there.
    pixels = first.sw_format or first.format
    pace = pace or Pace(None, frame_rate(stream))
    grid, rate, base = pace.grid, pace.rate, time_base(stream)
    begin = (first.pts or 0) * base
    if grid is not None:
        base, begin = grid.time_base(base), grid.time(begin)
    printed = dump.streams(container)
    lead = Fraction(0) if headless else round(_lead(container, begin, 1 / rate) / base) * base
    return Facts(
        path=path,
        container=container.format.name,
        codec=stream.codec_context.name,
        pixel_format=pixels.name,
        bits=max(component.bits for component in pixels.components),
        width=width,
        height=height,
        sar=1 / sar if turn.sideways else sar,
        turn=turn,
        interlaced=first.interlaced_frame,
        rate=rate,
        variable_rate=grid is None,
        time_base=base,
        start=lead,
        duration=_duration(container, stream, first) if pace.seekable else None,
        frames=stream.frames,
        colour=_colour(path, container, first),
        has_alpha=_has_alpha(stream, pixels),
        timecode=_timecode(container, stream, rate),
        audio=tuple(_audio_track(track) for track in container.streams.audio),
        others=_other_streams(container, stream, printed),
        chapters=len(container.chapters()),
        metadata=dict(container.metadata),
        tracks=tuple(_video_track(track, stream) for track in video_tracks(container)),
        # Of photographs no side data is looked at: see Turn.of.
        mastering=None if still else Mastering.of(first),
        dynamic=() if still else _dynamic(path, first, printed[stream.index]),
        views=dump.views(printed[stream.index]),
        zero=begin - lead,
        still=still,
        seekable=pace.seekable,
        # AVI leaves a picture out to show the one before again.
        repeats=container.format.name == "avi" and grid is not None,
    )


def _lead(container: InputContainer, begin: Fraction, frame: Fraction) -> Fraction:
    """How long before the picture the first sound begins (seconds); 0 where the picture is first.

    begin: of the picture. frame: how long one lasts. Sound that leads by less than a frame, or by
    no more than the delay of its own encoder, leaves the picture first.
    """
    leads = [_track_lead(track, begin, frame) for track in container.streams.audio]
    return max(leads, default=Fraction(0))


def _track_lead(track: av.AudioStream, begin: Fraction, frame: Fraction) -> Fraction:
    if track.start_time is None or not has_known_codec(track):
        return Fraction(0)
    context = track.codec_context
    if context.name == "aac" and context.sample_rate:
        frame = max(frame, Fraction(_AAC_DELAY, context.sample_rate))
    lead = begin - track.start_time * time_base(track)
    return lead if frame <= lead <= _LONGEST_LEAD else Fraction(0)


def _colour(path: Path, container: InputContainer, first: av.VideoFrame) -> Colour:
    """The colours of a clip, or of a picture file with the profile that it has."""
    if is_picture_file(container):
        own = profile.of_file(path.read_bytes()) if path.is_file() else None  # not of a pipe
        return Colour.of(first, still=True, profile=own)
    return Colour.of(first, still=container.metadata.get("major_brand") in _PICTURE_BRANDS)


def _is_variable(stream: av.VideoStream) -> bool:
    """Whether the container's two estimates of the rate disagree, or no single step fits."""
    average, base = stream.average_rate, stream.base_rate
    if not average or not base:
        return False
    return abs(Fraction(average) / Fraction(base) - 1) > Fraction(1, 500)


def _duration(
    container: InputContainer, stream: av.VideoStream, first: av.VideoFrame
) -> Fraction | None:
    """How long the pictures last from the first one that can be decoded (seconds)."""
    if stream.duration:
        lost = (first.pts or 0) - (stream.start_time or 0)
        return max(1, stream.duration - max(0, lost)) * time_base(stream)
    begin, end = (first.pts or 0) * time_base(stream), stated_end(stream)
    if end is not None and end > begin:
        return end - begin
    if container.duration:
        return Fraction(container.duration, av.time_base)
    return None


def _timecode(container: InputContainer, stream: av.VideoStream, rate: Fraction) -> Timecode | None:
    """The start timecode: from the video track, a tmcd track, or the container's tags."""
    tags = [stream.metadata, *(other.metadata for other in container.streams), container.metadata]
    for tag in tags:
        text = {key.lower(): value for key, value in tag.items()}.get("timecode")
        if text:
            try:
                return Timecode.parse(text, rate)
            except ValueError:
                continue
    return None


def _has_alpha(stream: av.VideoStream, pixels: av.VideoFormat) -> bool:
    """Whether the picture has alpha of its own.

    libavcodec leaves out that of VP8 and VP9, and puts the black of CMYK JPEGs where alpha is.
    """
    if any(part.is_alpha for part in pixels.components):
        return stream.codec_context.name != "mjpeg"
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    return tags.get("alpha_mode", "0") == "1"


def _dynamic(path: Path, first: av.VideoFrame, printed: str) -> tuple[str, ...]:
    """What changes the look of the picture from scene to scene, in words.

    Raises MediaError for Dolby Vision whose base layer shows nothing without it.
    """
    found = []
    vision = dump.dolby_vision(printed)
    if vision and (vision[0] == 5 or (vision[0] >= 9 and vision[1] == 0)):
        raise MediaError(
            f"{path}: Dolby Vision of profile {vision[0]} is green and purple without Dolby's "
            "decoder; export it as HDR10, HLG or SDR, or as profile 8"
        )
    if vision:
        found.append(f"Dolby Vision (profile {vision[0]})")
    elif side_data(first, Type.DOVI_RPU_BUFFER):
        found.append("Dolby Vision")
    if side_data(first, Type.DYNAMIC_HDR_PLUS):
        found.append("HDR10+")
    return tuple(found)


def _video_track(track: av.VideoStream, chosen: av.VideoStream) -> VideoTrack:
    context = track.codec_context if has_known_codec(track) else None
    return VideoTrack(
        codec=context.codec.canonical_name if context else "unknown",
        width=context.width if context else 0,
        height=context.height if context else 0,
        title=track.metadata.get("title", track.metadata.get("name")),
        chosen=track.index == chosen.index,
    )


def _audio_track(stream: av.AudioStream) -> AudioTrack:
    context = stream.codec_context if has_known_codec(stream) else None
    return AudioTrack(
        index=stream.index,
        codec=context.codec.canonical_name if context else "unknown",
        rate=context.sample_rate if context else 0,
        channels=context.layout.nb_channels if context else 0,
        layout=context.layout.name if context else "",
        language=stream.metadata.get("language"),
    )


def _other_streams(
    container: InputContainer, picture: Stream, printed: Mapping[int, str]
) -> tuple[str, ...]:
    """The streams that are neither the picture, sound nor timecode, in words: none is kept."""
    return tuple(
        _described(stream, printed.get(stream.index, ""))
        for stream in container.streams
        if stream.index != picture.index
        and stream.type != "audio"
        and not (stream.type == "data" and "timecode" in stream.metadata)
        and not dump.is_chapter_text(printed.get(stream.index, ""))
    )


def _described(stream: Stream, printed: str) -> str:
    """A stream in a few words: 'data stream (mebx)'."""
    name = dump.codec(printed)
    return f"{kind_of(stream)} stream ({name})" if name else f"{kind_of(stream)} stream"
