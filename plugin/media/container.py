"""Media files as libavformat opens them: the container, and the stream of pictures in it."""

from __future__ import annotations

import os
import stat
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Disposition, Stream

from mattecast.errors import MediaError
from mattecast.media import dump
from mattecast.media.pipe import Raw, StandardInput

# libavformat's clock for streams whose header names none (seconds).
_DEFAULT_CLOCK = Fraction(1, 90000)
# Frames a second; a rate outside this comes of a broken header or of a few frames far apart.
_PLAUSIBLE = Fraction(1, 60), 1000
_DEFAULT_RATE = Fraction(25)
# Kinds of files that libav shows as video: pictures, text as terminals show it, and playlists.
_NO_CLIPS = frozenset({"image2", "ico", "tty", "bin", "xbin", "adf", "idf", "hls", "concat"})
# libavformat's AVFMT_TS_DISCONT, which MPEG's streams and a few others have.
_TS_DISCONT = 0x0200


def open_media(path: Path, hwaccel: HWAccel | None = None) -> InputContainer:
    """Open a regular file for reading. Raises MediaError for all else, and where libav fails."""
    try:
        facts = os.stat(path)
    except OSError as error:
        raise MediaError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    if not stat.S_ISREG(facts.st_mode):
        raise MediaError(f"{path}: not a regular file; name a video file")
    if facts.st_size == 0:
        raise MediaError(f"{path}: the file is empty")
    try:
        # Absolute, because libav takes what stands before a colon in a plain name for a protocol.
        container = av.open(os.path.abspath(path), metadata_errors="replace", hwaccel=hwaccel)
        _forget_maps(container)
        return container
    except PermissionError as error:
        raise MediaError(f"{path}: no permission to read it") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{path}: cannot be read as video ({reason.lower()}); "
            "it may be damaged, cut off, or of another kind"
        ) from error


def ends_before_its_index(path: Path, stream: av.VideoStream) -> bool:
    """Whether a file is shorter than its own index says."""
    index = stream.index_entries
    return bool(len(index)) and index[-1].pos + index[-1].size > os.path.getsize(path)


def is_cut_off(path: Path) -> bool:
    """Whether a movie lacks its end, without decoding it. Raises MediaError where libav fails."""
    with open_media(path) as container:
        stream = container.streams.video[0]
        if ends_before_its_index(path, stream):
            return True
        if container.duration is None or "matroska" not in container.format.name:
            return False
        length = Fraction(container.duration, av.time_base)
        try:
            container.seek(container.duration)
            times = [
                each.pts * each.time_base for each in container.demux() if each.pts is not None
            ]
        except (av.error.FFmpegError, OSError):
            return True
        return length - max(times, default=Fraction(0)) > 3 / frame_rate(stream)


def open_pipe(
    file: StandardInput, name: Path, raw: Raw | None, rate: Fraction | None
) -> InputContainer:
    """Open standard input for reading. Raises MediaError where libav fails.

    name: what messages call it. raw: its pictures, where they have no header. rate: frames a second
    of raw pictures and of picture files; None for 25.
    """
    options = {} if rate is None else {"framerate": str(rate)}
    if raw is not None:
        options |= {"pixel_format": raw.pixels, "video_size": f"{raw.width}x{raw.height}"}
    form = None if raw is None else "rawvideo"
    try:
        container = av.open(file, "r", form, options, metadata_errors="replace")
        _forget_maps(container)
        return container
    except (av.error.FFmpegError, OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise MediaError(
            f"{name}: cannot be read as video ({reason}); NUT, Matroska, MPEG-TS, y4m and others "
            "come through a pipe, and raw pictures with --raw"
        ) from error


def _forget_maps(container: InputContainer) -> None:
    """Take sound whose channels lie in an order of their own for channels without names.

    libavutil keeps such an order in a map, AV_CHANNEL_ORDER_CUSTOM. PyAV frees the map twice, which
    ends the process.
    """
    if not container.streams.audio:
        return
    printed = dump.streams(container)
    for stream in container.streams.audio:
        count = dump.mapped_channels(printed.get(stream.index, ""))
        if count and has_known_codec(stream):
            stream.codec_context.layout = f"{count} channels"


def is_picture_file(container: InputContainer) -> bool:
    """Whether a container is a picture file, whose packets are whole files."""
    return container.format.name == "image2" or container.format.name.endswith("_pipe")


def picture_stream(
    container: InputContainer, path: Path, track: int | None = None
) -> av.VideoStream:
    """The stream to matte. Raises MediaError where there is none.

    track: its number among the video tracks, from 1; None for the one that the file marks as its
    default, else the first.
    """
    tracks = video_tracks(container)
    if not tracks:
        kinds = sorted({kind_of(stream) for stream in container.streams})
        content = f"only {' and '.join(kinds)}" if kinds else "no streams at all"
        raise MediaError(f"{path}: holds no video ({content})")
    if track is not None and not 1 <= track <= len(tracks):
        count = "1 video track" if len(tracks) == 1 else f"{len(tracks)} video tracks"
        raise MediaError(f"{path}: has no video track {track}, but {count}; probe lists them")
    marked = [stream for stream in tracks if stream.disposition & Disposition.default]
    stream = (marked or tracks)[0] if track is None else tracks[track - 1]
    if not has_known_codec(stream):
        raise MediaError(f"{path}: its video codec is not known to this FFmpeg build")
    return stream


def video_tracks(container: InputContainer) -> list[av.VideoStream]:
    """The video streams that are no cover art."""
    return [stream for stream in container.streams.video if not is_cover_art(stream)]


def holds_clip(path: Path) -> bool:
    """Whether libav finds a clip in a file: moving pictures, not a still, text or a playlist."""
    try:
        with open_media(path) as container:
            name = container.format.name
            picture_stream(container, path)
            return name not in _NO_CLIPS and not name.endswith("_pipe")
    except MediaError:
        return False


def may_jump(container: InputContainer) -> bool:
    """Whether the clock of the container's format may be set anew in mid-file."""
    return bool(container.format.flags & _TS_DISCONT)


def is_cover_art(stream: Stream) -> bool:
    """Whether a video stream is the picture of an album, say."""
    return bool(stream.disposition & Disposition.attached_pic)


def has_known_codec(stream: Stream) -> bool:
    """Whether this FFmpeg build decodes the stream's codec."""
    # PyAV's own types leave out that the context of an unknown codec is None.
    return getattr(stream, "codec_context", None) is not None


def kind_of(stream: Stream) -> str:
    """What a person calls a stream: video, audio, subtitle, data, cover art."""
    return "cover art" if is_cover_art(stream) else stream.type


def stated_end(stream: Stream) -> Fraction | None:
    """When a stream ends (seconds), as Matroska states it: in a tag, '00:00:02.400000000'."""
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return (int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds)
    except ValueError:
        return None


def time_base(stream: Stream) -> Fraction:
    """Seconds of one unit of the stream's timestamps."""
    return Fraction(stream.time_base or _DEFAULT_CLOCK)


def frame_rate(stream: Stream) -> Fraction:
    """Frames a second: the first plausible of the container's estimates, else 25."""
    return next(iter(plausible_rates(stream)), _DEFAULT_RATE)


def plausible_rates(stream: Stream) -> list[Fraction]:
    """The container's estimates of the frame rate that can be, the best one first."""
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    return [Fraction(rate) for rate in rates if rate and _PLAUSIBLE[0] <= rate <= _PLAUSIBLE[1]]


def frame_step(rate: Fraction, time_base: Fraction) -> int:
    """How many units of a clock one frame lasts: at least one."""
    return max(1, round(1 / (rate * time_base)))
