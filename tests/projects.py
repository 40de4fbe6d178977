"""Timelines for tests: one cut in each format, and clips whose frames are numbered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from clips import times

# Luma of frame n of a numbered clip: steps that neither a codec nor a matte can mix up.
_DARKEST, _STEP = 24, 4
SIZE = (96, 64)


@dataclass(frozen=True)
class Cut:
    """One clip of a timeline, in frames: where it lies, what it shows, how long it is."""

    at: int
    source: int
    length: int
    name: str = "talk"


@dataclass(frozen=True)
class Cutting:
    """A timeline of one source. first: the timeline's first frame. media_first: timecode of the
    source's first frame. drop: drop-frame timecode."""

    media: Path
    rate: Fraction
    cuts: tuple[Cut, ...]
    first: int
    media_first: int
    media_frames: int
    drop: bool = False

    @property
    def frame(self) -> Fraction:
        return 1 / self.rate


def numbered(path: Path, rate: Fraction, frames: int, timecode: str | None) -> Path:
    """A clip whose frame n has a luma that says n."""
    with av.open(str(path), "w") as out:
        options = {"preset": "ultrafast", "qp": "0"}
        stream = out.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / rate
        if timecode:
            stream.metadata["timecode"] = timecode
        for index in range(frames):
            picture = np.full((SIZE[1] * 3 // 2, SIZE[0]), 128, np.uint8)
            picture[: SIZE[1]] = _DARKEST + _STEP * index
            frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
            frame.pts, frame.time_base = index, 1 / rate
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def numbers(path: Path) -> list[int]:
    """The numbers that the frames of a numbered clip, or of its matte, say."""
    with av.open(str(path)) as clip:
        lumas = [np.frombuffer(memoryview(f.planes[0]), "u1") for f in _as_gray(clip)]
    return [round((float(each[: SIZE[0] // 4].mean()) - _DARKEST) / _STEP) for each in lumas]


def _as_gray(clip):
    for frame in clip.decode(video=0):
        yield frame.reformat(format="yuv420p" if "p" in frame.format.name else None)


def constant(path: Path, rate: Fraction) -> bool:
    """Whether a clip's frames come at exactly this rate."""
    stamps = times(path)
    return all(
        abs(stamp - stamps[0] - index / rate) < Fraction(1, 100_000)
        for index, stamp in enumerate(stamps)
    )


def time(value: Fraction) -> str:
    """As FCPXML has it."""
    return f"{value.numerator}/{value.denominator}s" if value.denominator > 1 else f"{value}s"


def fcpxml(cutting: Cutting, version: str = "1.10", inside: str = "", extra: str = "") -> str:
    """The cut as FCPXML. inside: children of each clip. extra: more resources."""
    frame, drop = cutting.frame, "DF" if cutting.drop else "NDF"
    media_start = cutting.media_first * frame
    end = max(cut.at + cut.length for cut in cutting.cuts)
    items, at = [], 0
    for cut in cutting.cuts:
        if cut.at > at:
            items.append(
                f'<gap name="Gap" offset="{time((cutting.first + at) * frame)}" '
                f'start="3600s" duration="{time((cut.at - at) * frame)}"/>'
            )
        items.append(
            f'<asset-clip ref="r2" offset="{time((cutting.first + cut.at) * frame)}" '
            f'name="{cut.name}" start="{time(media_start + cut.source * frame)}" '
            f'duration="{time(cut.length * frame)}" tcFormat="{drop}" '
            f'audioRole="dialogue">{inside}</asset-clip>'
        )
        at = cut.at + cut.length
    clips = "\n            ".join(items)
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE fcpxml>

<fcpxml version="{version}">
  <resources>
    <format id="r1" frameDuration="{time(frame)}" width="{SIZE[0]}" height="{SIZE[1]}"/>
    <asset id="r2" name="talk" start="{time(media_start)}"
      duration="{time(cutting.media_frames * frame)}" hasVideo="1" hasAudio="1" format="r1"
      audioSources="1" audioChannels="2" audioRate="48000">
      <media-rep kind="original-media" src="{cutting.media.as_uri()}"/>
    </asset>{extra}
  </resources>
  <library>
    <event name="day 1">
      <project name="cut &amp; dried">
        <sequence format="r1" duration="{time(end * frame)}" tcStart="{time(cutting.first * frame)}"
          tcFormat="{drop}" audioLayout="stereo" audioRate="48k">
          <spine>
            {clips}
          </spine>
        </sequence>
      </project>
    </event>
  </library>
</fcpxml>
"""


def xmeml(cutting: Cutting, items: str = "") -> str:
    """The cut as Premiere writes it: pictures on V1, their sound on A1. items: more on V1."""
    base = round(cutting.rate)
    ntsc = "FALSE" if cutting.rate == base else "TRUE"
    rate = f"<rate><timebase>{base}</timebase><ntsc>{ntsc}</ntsc></rate>"
    file = (
        f'<file id="file-1"><name>talk.mov</name><pathurl>{cutting.media.as_uri()}</pathurl>{rate}'
        f"<duration>{cutting.media_frames}</duration><media><video/><audio/></media></file>"
    )
    tracks = {"video": "", "audio": ""}
    for index, cut in enumerate(cutting.cuts):
        for kind in tracks:
            ticks = round(cut.source * cutting.frame * 254016000000)
            tracks[kind] += f"""
          <clipitem id="clipitem-{kind}-{index}">
            <masterclipid>masterclip-1</masterclipid>
            <name>{cut.name}</name>
            <duration>{cutting.media_frames}</duration>
            {rate}
            <start>{cut.at}</start>
            <end>{cut.at + cut.length}</end>
            <in>{cut.source}</in>
            <out>{cut.source + cut.length}</out>
            <pproTicksIn>{ticks}</pproTicksIn>
            <alphatype>none</alphatype>
            {file}
            <link><linkclipref>clipitem-audio-{index}</linkclipref></link>
          </clipitem>"""
            file = '<file id="file-1"/>'
    drop = "DF" if cutting.drop else "NDF"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE xmeml>
<xmeml version="4">
  <sequence id="sequence-1">
    <name>cut &amp; dried</name>
    {rate}
    <timecode>{rate}<frame>{cutting.first}</frame><displayformat>{drop}</displayformat></timecode>
    <media>
      <video>
        <format><samplecharacteristics>{rate}</samplecharacteristics></format>
        <track>{tracks["video"]}{items}
          <enabled>TRUE</enabled>
        </track>
      </video>
      <audio>
        <track>{tracks["audio"]}
        </track>
      </audio>
    </media>
    <marker><name>&#65; mark</name><in>3</in><out>-1</out></marker>
  </sequence>
</xmeml>
"""


def otio(cutting: Cutting) -> str:
    """The cut as OTIO, as Resolve writes it."""
    rate = float(cutting.rate)

    def moment(value: int) -> dict:
        return {"OTIO_SCHEMA": "RationalTime.1", "rate": rate, "value": float(value)}

    def span(start: int, length: int) -> dict:
        return {
            "OTIO_SCHEMA": "TimeRange.1",
            "start_time": moment(start),
            "duration": moment(length),
        }

    def clip(cut: Cut) -> dict:
        reference = {
            "OTIO_SCHEMA": "ExternalReference.1",
            "target_url": str(cutting.media),
            "available_range": span(cutting.media_first, cutting.media_frames),
            "metadata": {"camera": "A"},
        }
        return {
            "OTIO_SCHEMA": "Clip.2",
            "name": cut.name,
            "source_range": span(cutting.media_first + cut.source, cut.length),
            "media_references": {"DEFAULT_MEDIA": reference},
            "active_media_reference_key": "DEFAULT_MEDIA",
            "metadata": {"note": "best take"},
            "markers": [],
            "effects": [],
            "enabled": True,
        }

    def track(kind: str) -> dict:
        children, at = [], 0
        for cut in cutting.cuts:
            if cut.at > at:
                children.append({"OTIO_SCHEMA": "Gap.1", "source_range": span(0, cut.at - at)})
            children.append(clip(cut))
            at = cut.at + cut.length
        return {"OTIO_SCHEMA": "Track.1", "name": kind, "kind": kind, "children": children}

    stack = {"OTIO_SCHEMA": "Stack.1", "children": [track("Video"), track("Audio")]}
    return json.dumps(
        {
            "OTIO_SCHEMA": "Timeline.1",
            "name": "cut",
            "global_start_time": moment(cutting.first),
            "tracks": stack,
            "metadata": {"show": "news"},
        },
        indent=4,
    )
