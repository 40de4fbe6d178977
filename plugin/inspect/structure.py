"""Findings on a QuickTime or MP4 file: its boxes, its ProRes frame headers, and both compared."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from mattecast.errors import MediaError
from mattecast.inspect import prores, wording
from mattecast.inspect.finding import Finding, error, note, ok, warning
from mattecast.inspect.prores import Header
from mattecast.inspect.quicktime import Edit, Movie, Track
from mattecast.inspect.sample_descriptions import Picture
from mattecast.inspect.wording import Codes
from mattecast.media.timecode import Timecode

# Frame headers read, spread over the clip.
LOOKS = 8
# The colour codes RDD 36 gives a meaning, for primaries, transfer and matrix.
KNOWN_COLOUR = ({0, 1, 2, 5, 6, 9, 11, 12}, {0, 1, 2, 16, 18}, {0, 1, 2, 6, 9})
# Order codes of `fiel` with two fields that show the top one first (QuickTime File Format).
TOP_FIRST = {1, 9}


def findings(movie: Movie) -> Iterator[Finding]:
    """All findings on a file's structure; MediaError when it has no video track."""
    yield from _container(movie)
    video = next((track for track in movie.tracks if track.picture), None)
    if video is None or video.picture is None:
        raise MediaError(f"{movie.path}: has no video track; give a clip that holds pictures")
    headers = list(_headers(movie, video)) if video.tag in prores.TAGS else []
    good = [each for each in headers if isinstance(each, Header)]
    yield from (each for each in headers if isinstance(each, Finding))
    yield from _codec(video, video.picture, good)
    yield from _colour(video.picture, good)
    yield from _geometry(video.picture, good)
    yield from _timecode(movie, video)
    if not movie.fragmented:  # the times of a fragmented file lie in its fragments
        yield from _timing(video, good)
        for track in movie.tracks:
            yield from _edits(track)
        yield from _audio(movie, video)


def _container(movie: Movie) -> Iterator[Finding]:
    kinds = " ".join(track.handler.strip() for track in movie.tracks)
    yield ok("container", f"brand {movie.brand.strip()!r}, tracks: {kinds or 'none'}")
    if movie.missing:
        yield error("container", f"cut short: {movie.missing} bytes are missing at its end")
    if movie.fragmented:
        yield note("container", "fragmented: editors want it remuxed into one piece")
    elif movie.faststart:
        yield ok("faststart", "header before media")
    else:
        yield note("faststart", "header after media: remux with faststart to play while loading")


def _headers(movie: Movie, video: Track) -> Iterator[Header | Finding]:
    """The headers of a few frames across the clip, or a finding for one that cannot be read."""
    size = movie.path.stat().st_size
    count = video.samples.count
    with open(movie.path, "rb") as file:
        for index in sorted({count * step // LOOKS for step in range(LOOKS)} if count else ()):
            try:
                offset, length = video.samples.locate(index)
                if offset + length > size:
                    raise ValueError("lies beyond the end of the file")
                file.seek(offset)
                found = prores.header(file.read(min(length, prores.HEADER_BYTES)))
                if found.size > length:
                    raise ValueError(f"claims {found.size} bytes, its sample has {length}")
            except ValueError as failure:
                yield error("frame", f"frame {index} {failure}")
            else:
                yield found


def _codec(video: Track, picture: Picture, headers: list[Header]) -> Iterator[Finding]:
    size = f"{picture.width}x{picture.height}"
    if video.tag not in prores.TAGS:
        yield ok("codec", f"tag {video.tag!r}, {size}, depth {picture.depth}")
        return
    name, chroma = prores.TAGS[video.tag]
    yield ok("codec", f"{video.tag} {name}, {size}")
    if not headers:
        yield warning("frame header", "none could be read")
        return
    first = headers[0]
    yield ok("frame header", f"written by {first.creator!r}, {prores.CHROMA.get(first.chroma)}")
    for fault in prores.faults(first):
        yield error("frame header", fault)
    if first.chroma != chroma:
        yield error("codec", f"tag {video.tag!r} promises {prores.CHROMA[chroma]}, frames differ")
    if (first.width, first.height) != (picture.width, picture.height):
        yield error("frame header", f"picture is {first.width}x{first.height}, track says {size}")
    yield from _version(first)
    yield from _alpha(video.tag, picture.depth, first)
    yield from _constancy(headers)


def _version(first: Header) -> Iterator[Finding]:
    if first.version > 0 or (first.chroma == 2 and not first.alpha):
        yield ok("header version", str(first.version))
    elif first.alpha:
        reason = "alpha needs 1: Final Cut, Resolve and Premiere show this clip opaque"
        yield error("header version", f"0, but {reason}; write it again with FFmpeg 7 or newer")
    else:
        yield warning("header version", "0, but 4:4:4 needs 1")


def _alpha(tag: str, depth: int, first: Header) -> Iterator[Finding]:
    if not first.alpha:
        yield note("alpha", wording.OPAQUE)
        return
    yield ok("alpha", f"{first.alpha_bits} bits in the frames")
    if prores.TAGS[tag][1] != 3:
        yield error("alpha", f"under tag {tag!r}, which has none: hosts drop it; use ap4h or ap4x")
    if depth != 32:
        yield warning("depth", f"{depth} bits in the track, 32 says alpha: some hosts read opaque")


def _constancy(headers: list[Header]) -> Iterator[Finding]:
    kinds = {(each.version, each.width, each.height, each.alpha, each.colour) for each in headers}
    if len(kinds) > 1:
        yield error("frame header", "version, size, alpha or colour change within the clip")


def _colour(picture: Picture, headers: list[Header]) -> Iterator[Finding]:
    codes = picture.colour.codes if picture.colour else None
    if picture.colour is None:
        if headers:  # other codecs carry colour in their own streams
            yield warning("colr", "absent: hosts guess the colours; write nclc")
    elif codes is None:
        yield note("colr", f"an ICC profile ({picture.colour.kind}); editors read nclc")
    else:
        yield ok("colr", f"{picture.colour.kind} {wording.colour(codes)}")
    if headers:
        yield from _header_colour(headers[0].colour, codes)


def _header_colour(codes: Codes, track: Codes | None) -> Iterator[Finding]:
    text = wording.colour(codes)
    if any(code not in known for code, known in zip(codes, KNOWN_COLOUR, strict=True)):
        advice = "; write 1, the same curve" if codes[1] in (6, 14, 15) else ""
        yield warning("header colour", f"{text}: ProRes does not define these{advice}")
    elif set(codes) <= {0, 2}:
        yield warning("header colour", f"{text}: hosts that read the frames guess the colours")
    else:
        yield ok("header colour", text)
    if track and track != codes:
        yield warning("colour", f"colr says {track}, frames say {codes}: hosts will differ")


def _geometry(picture: Picture, headers: list[Header]) -> Iterator[Finding]:
    scan = headers[0].scan if headers else None
    yield from _fields(picture.fields, scan)
    if picture.aspect is None:
        yield note("pasp", "absent: pixels are taken as square")
    else:
        yield ok("pasp", f"{picture.aspect.numerator}:{picture.aspect.denominator}")
    if headers and headers[0].aspect in prores.ASPECT:
        yield ok("header aspect", prores.ASPECT[headers[0].aspect])
    if picture.aperture:
        yield note("clap", f"clean aperture {picture.aperture}")


def _fields(fields: tuple[int, int] | None, scan: int | None) -> Iterator[Finding]:
    track_scan = None
    if fields is None and scan is not None:
        yield note("fiel", "absent: hosts guess progressive or interlaced")
    elif fields is not None:
        count, order = fields
        track_scan = 0 if count == 1 else 1 if order in TOP_FIRST else 2
        yield ok("fiel", prores.SCAN[track_scan])
    if scan in prores.SCAN:
        disagree = track_scan is not None and track_scan != scan
        level = warning if disagree else ok
        yield level("scan", f"frames are {prores.SCAN[scan]}{', fiel differs' if disagree else ''}")


def _rate(video: Track) -> Fraction | None:
    """Frames a second where every frame lasts the same; the last one may differ."""
    steps = video.steps
    kept = steps[:-1] if len(steps) > 1 and steps[-1, 0] == 1 else steps
    lengths = np.unique(kept[:, 1])
    return Fraction(video.timescale, int(lengths[0])) if lengths.size == 1 and lengths[0] else None


def _gaps(video: Track) -> tuple[Fraction, int] | None:
    """Frames a second and how many are left out, where most frames last one step and the others
    last whole steps; the last frame may differ."""
    steps = video.steps[:-1] if len(video.steps) > 1 and video.steps[-1, 0] == 1 else video.steps
    counts, lengths = steps[:, 0].astype(int), steps[:, 1].astype(int)
    step = int(np.gcd.reduce(lengths)) if len(lengths) else 0
    if not step or 2 * counts[lengths == step].sum() <= counts.sum():
        return None
    return Fraction(video.timescale, step), int((counts * (lengths // step - 1)).sum())


def _average(video: Track) -> str:
    low, high = video.steps[:, 1].min(), video.steps[:, 1].max()
    length = float(video.end - video.start)
    mean = f"{video.samples.count / length:.3f} frames/s on average, " if length > 0 else ""
    return f"{mean}{low} to {high} ticks a frame"


def _timing(video: Track, headers: list[Header]) -> Iterator[Finding]:
    rate = _rate(video)
    base = f"time base 1/{video.timescale}, {video.samples.count} frames"
    if rate:
        yield ok("timing", f"constant {wording.rate(rate)}, {base}")
        near = [each for each in prores.RATES.values() if 0 < abs(rate / each - 1) < 1e-3]
        if near and rate not in prores.RATES.values():
            yield warning("timing", f"close to {wording.rate(near[0])} but not it: it will drift")
    elif gaps := _gaps(video):
        text = f"variable rate: {wording.rate(gaps[0])}, {gaps[1]} of them left out"
        yield note("timing", f"{text}, {base}")
    elif len(video.steps):
        yield note("timing", f"variable rate, {_average(video)}, {base}")
    code = prores.RATES.get(headers[0].rate) if headers else None
    if code and rate and code != rate:
        yield warning("header rate", f"{code}, but the track runs at {wording.rate(rate)}")


def _timecode(movie: Movie, video: Track) -> Iterator[Finding]:
    track = next((each for each in movie.tracks if each.counter), None)
    if track is None or track.counter is None:
        yield note("timecode", "none")
        return
    counter, rate = track.counter, _rate(video)
    drop = "drop-frame" if counter.drop else "non-drop"
    try:
        start = Timecode(_first_count(movie, track), counter.base, counter.drop)
        yield ok("timecode", f"{start}, {drop}, {wording.rate(counter.rate)}")
    except ValueError as failure:
        yield error("timecode", f"its first {failure}")
    if rate and counter.rate != rate:
        yield warning("timecode", f"counts {counter.rate} frames/s, the video runs at {rate}")
    if counter.base != round(counter.rate):
        yield warning("timecode", f"numbers {counter.base} frames a second at {counter.rate}")
    if counter.drop and counter.base % 30:
        yield warning("timecode", "is drop-frame at a rate that drops none")
    elif counter.drop and counter.rate == counter.base:
        yield note("timecode", f"is drop-frame at exactly {counter.rate}: it drifts from the clock")
    if track.ident not in video.references.get("tmcd", ()):
        yield warning("timecode", "its track is not tied to the video: editors may not see it")


def _first_count(movie: Movie, track: Track) -> int:
    offset, size = track.samples.locate(0)
    if size != 4 or offset + 4 > movie.path.stat().st_size:
        raise ValueError(f"sample of {size} bytes at {offset} is not in the file")
    with open(movie.path, "rb") as file:
        file.seek(offset)
        return int.from_bytes(file.read(4), "big")


def _edits(track: Track) -> Iterator[Finding]:
    if track.edits and not _is_trivial(track.edits):
        text = ", ".join(_edit(edit) for edit in track.edits[:4])
        more = f" and {len(track.edits) - 4} more" if len(track.edits) > 4 else ""
        yield note("edit list", f"{track.handler} track {track.ident}: {text}{more}")


def _is_trivial(edits: tuple[Edit, ...]) -> bool:
    return len(edits) == 1 and edits[0].start == 0


def _edit(edit: Edit) -> str:
    if edit.start is None:
        return f"{float(edit.length):.3f} s empty"
    return f"{float(edit.length):.3f} s from {float(edit.start):.3f} s"


def _audio(movie: Movie, video: Track) -> Iterator[Finding]:
    tracks = [track for track in movie.tracks if track.handler == "soun"]
    if not tracks:
        yield note("audio", "none")
    for track in tracks:
        step = int(track.steps[0, 1]) if len(track.steps) else 1
        frame = Fraction(step if step > 1 else wording.AUDIO_FRAME, track.timescale)
        name = f"{track.tag.strip()} at {track.timescale} Hz"
        yield wording.sync(name, (track.start, track.end), (video.start, video.end), frame)
