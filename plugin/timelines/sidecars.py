"""Files beside an output that tell editors of it: one clip with its timecode, rate and alpha."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mattecast.errors import OutputError, UsageError
from mattecast.media.destinations import hidden_path, output_errors
from mattecast.media.facts import AudioTrack
from mattecast.media.pipe import is_pipe
from mattecast.media.source import open_source
from mattecast.media.timecode import Timecode
from mattecast.report import Summary
from mattecast.timelines.document import element
from mattecast.timelines.fcpxml_rules import time_text
from mattecast.timelines.links import absolute
from mattecast.timelines.otio import opentimelineio, reference_to
from mattecast.timelines.timeline import Matte, nominal, read_timecode

# The oldest FCPXML that names media as the newest does, which most editors read.
_VERSION = "1.10"


@dataclass(frozen=True, slots=True)
class _Clip:
    """An output: what a timeline says of it, the kind of its alpha, and its sound tracks."""

    matte: Matte
    alpha: str
    audio: Sequence[AudioTrack]

    @property
    def name(self) -> str:
        return self.matte.path.name

    @property
    def first(self) -> Timecode:
        """The timecode of the first frame; zero where there is none."""
        rate = self.matte.rate
        return self.matte.timecode or Timecode(0, max(1, round(rate)), False)

    @property
    def channels(self) -> int:
        return sum(track.channels for track in self.audio)


def check(outputs: Sequence[Path], kinds: Sequence[str], *, movie: bool, overwrite: bool) -> None:
    """Raise where the sidecars of outputs cannot be written, before anything is matted.

    movie: whether the outputs are movies, which these files can name.
    """
    if kinds and not movie:
        raise UsageError("sidecar: names one movie; numbered pictures and single ones have none")
    if kinds and any(map(is_pipe, outputs)):
        raise UsageError("sidecar: names a file; standard output has no name")
    if "otio" in kinds:
        opentimelineio()
    for path in _paths(outputs, kinds):
        if path.exists() and not overwrite:
            raise OutputError(f"{path}: exists already; --overwrite replaces it")
        if path.is_dir():
            raise OutputError(f"{path}: is a folder; move it away")


def write(summary: Summary, kinds: Sequence[str], *, overwrite: bool = True) -> None:
    """Write the sidecars of a run's outputs, each whole or not at all.

    overwrite: whether those that are there are written anew. Raises OutputError.
    """
    for output in summary.outputs:
        clip = _clip(output, summary) if kinds else None
        for kind in kinds:
            path = output.with_suffix(f".{kind}")
            if clip is None or (path.exists() and not overwrite):
                continue
            with output_errors(path):
                hidden = hidden_path(path)
                try:
                    hidden.write_text(_WRITERS[kind](clip), encoding="utf-8")
                    os.replace(hidden, path)
                finally:
                    hidden.unlink(missing_ok=True)


def _paths(outputs: Sequence[Path], kinds: Sequence[str]) -> list[Path]:
    return [output.with_suffix(f".{kind}") for output in outputs for kind in kinds]


def _clip(output: Path, summary: Summary) -> _Clip:
    timecode = read_timecode(summary.timecode, summary.rate)
    first = timecode.frames / summary.rate if timecode else Fraction(0)
    with open_source(output) as source:
        audio = source.facts.audio
    is_premultiplied = summary.alpha == "premultiplied"
    matte = Matte(
        *(output.absolute(), first, first, summary.frames, summary.rate, summary.size),
        *(is_premultiplied, timecode),
    )
    return _Clip(matte, summary.alpha, audio)


def _fcpxml(clip: _Clip) -> str:
    """A project with the clip in it."""
    matte, rate = clip.matte, clip.matte.rate
    width, height = map(str, matte.size)
    start, length = time_text(matte.first, rate), time_text(matte.duration, rate)
    drop = "DF" if clip.first.drop else "NDF"
    sound = {}
    if clip.audio:
        sound = {
            "hasAudio": "1",
            "audioSources": str(len(clip.audio)),
            "audioChannels": str(clip.channels),
            "audioRate": str(clip.audio[0].rate),
        }
    size = {"frameDuration": time_text(1 / rate, rate), "width": width, "height": height}
    asset = {"name": matte.path.stem, "start": start, "duration": length, "hasVideo": "1"}
    media = element("media-rep", {"kind": "original-media", "src": absolute(matte.path)})
    clip_text = element(
        "asset-clip",
        {
            "ref": "r2",
            "offset": start,
            "name": matte.path.stem,
            "start": start,
            "duration": length,
            "format": "r1",
            "tcFormat": drop,
        },
        element("note", {}, f"alpha: {clip.alpha}"),
    )
    sequence = element(
        "sequence",
        {
            "format": "r1",
            "duration": length,
            "tcStart": start,
            "tcFormat": drop,
            "audioLayout": _layout(clip.channels),
            "audioRate": "48k",
        },
        element("spine", {}, clip_text),
    )
    resources = element("format", {"id": "r1", **size}) + element(
        "asset", {"id": "r2", **asset, "format": "r1", **sound}, media
    )
    project = element("project", {"name": matte.path.stem}, sequence)
    event = element("event", {"name": "mattecast"}, project)
    whole = element("fcpxml", {"version": _VERSION}, element("resources", {}, resources) + event)
    lines = whole.replace("><", ">\n<")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{lines}\n'


def _layout(channels: int) -> str:
    return "surround" if channels > 2 else "mono" if channels == 1 else "stereo"


def _otio(clip: _Clip) -> str:
    """A timeline with the clip in it; its sound is on a track of its own."""
    otio = opentimelineio()
    schema, matte = otio.schema, clip.matte
    timeline = schema.Timeline(matte.path.stem)
    first = otio.opentime.RationalTime(clip.first.frames, float(matte.rate))
    timeline.global_start_time = first
    rate = f"{matte.rate.numerator}/{matte.rate.denominator}"
    timeline.metadata["mattecast"] = {"alpha": clip.alpha, "rate": rate}
    for kind in (schema.TrackKind.Video, *[schema.TrackKind.Audio] * bool(clip.audio)):
        reference = reference_to(matte, absolute(matte.path))
        reference.metadata["mattecast"] = {"alpha": clip.alpha}
        shown = schema.Clip(matte.path.stem, reference, reference.available_range)
        timeline.tracks.append(schema.Track(kind, [shown], kind=kind))
    return str(otio.adapters.write_to_string(timeline, "otio_json"))


def _edl(clip: _Clip) -> str:
    """A CMX 3600 list of one event. Such lists know neither rates nor alpha: notes say both."""
    first, last = clip.first, clip.first.plus(clip.matte.frames)
    rate = clip.matte.rate
    nominal_rate = nominal(round(rate), rate.denominator != 1)
    shown = f"{float(rate):.5g}" if nominal_rate == rate else f"{rate}"
    mode = "DROP FRAME" if first.drop else "NON-DROP FRAME"
    channels = "B" if clip.audio else "V"
    return (
        f"TITLE: {clip.matte.path.stem}\nFCM: {mode}\n\n"
        f"001  AX       {channels}     C        {first} {last} {first} {last}\n"
        f"* FROM CLIP NAME: {clip.name}\n"
        f"* SOURCE FILE: {clip.matte.path}\n"
        f"* COMMENT: {shown} FRAMES A SECOND\n"
        f"* COMMENT: ALPHA {clip.alpha.upper()}\n"
    )


_WRITERS = {"otio": _otio, "fcpxml": _fcpxml, "edl": _edl}
