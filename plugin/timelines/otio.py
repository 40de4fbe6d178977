"""OpenTimelineIO's JSON (.otio): read, and written with mattes on a track above."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from mattecast.errors import MediaError, UsageError
from mattecast.timelines.links import file_of, is_relative
from mattecast.timelines.timeline import Found, Matte, Use, nominal, timecode

_ZERO = Fraction(0)
# Values of times that are no whole numbers are read to this many parts of a frame.
_PARTS = 100_000


@dataclass(slots=True)
class _Place:
    """Where a use stands: its track, and its index there."""

    track: Any
    index: int


def opentimelineio() -> Any:
    """The package OpenTimelineIO. Raises UsageError where it is missing."""
    try:
        return importlib.import_module("opentimelineio")
    except ImportError as error:
        raise UsageError('OTIO needs OpenTimelineIO: pip install "mattecast[timeline]"') from error


class Otio:
    """A timeline in OTIO. Raises UsageError without OpenTimelineIO, and MediaError for a file that
    it cannot read."""

    counts_from_zero = False

    def __init__(self, path: Path) -> None:
        self._otio = opentimelineio()
        self.path, self.found = path, Found()
        self._root = self._read_file(path)
        timelines = list(self._timelines(self._root))
        if not timelines:
            raise MediaError(f"{path}: holds no timeline")
        for number, timeline in enumerate(timelines, 1):
            if len(timelines) > 1:
                self.found.project = timeline.name or f"timeline {number}"
            self._read_timeline(timeline)

    # Reading.

    def _read_file(self, path: Path) -> Any:
        try:
            return self._otio.adapters.read_from_file(str(path), "otio_json")
        except self._otio.exceptions.UnsupportedSchemaError as error:
            raise MediaError(
                f"{path}: was saved by a newer version of OpenTimelineIO; pip install --upgrade "
                "opentimelineio"
            ) from error
        except Exception as error:  # the package has many kinds of its own
            raise MediaError(f"{path}: cannot be read as OTIO ({error})") from error

    def _timelines(self, thing: Any) -> Iterator[Any]:
        schema = self._otio.schema
        if isinstance(thing, schema.Timeline):
            yield thing
        elif isinstance(thing, schema.SerializableCollection):
            for child in thing:
                yield from self._timelines(child)

    def _read_timeline(self, timeline: Any) -> None:
        links = (getattr(clip.media_reference, "target_url", "") for clip in timeline.find_clips())
        self.found.relative |= any(is_relative(link or "") for link in links)
        number = 0
        for track in timeline.tracks:
            is_track = isinstance(track, self._otio.schema.Track)
            if is_track and track.kind != self._otio.schema.TrackKind.Video:
                continue
            number += 1
            if is_track and track.source_range is None:
                self._read_track(timeline, track, f"V{number}")
            else:
                self.found.left.append(f"track V{number} is a nested or trimmed one: left as it is")

    def _read_track(self, timeline: Any, track: Any, name: str) -> None:
        children = list(track)
        start = timeline.global_start_time
        at = _fraction(start) if start is not None else _ZERO
        for index, child in enumerate(children):
            if isinstance(child, self._otio.schema.Transition):
                continue
            try:
                length = _fraction(child.trimmed_range().duration)
            except self._otio.exceptions.OTIOError:
                self.found.left.append(f"track {name} holds clips without a length: left as it is")
                return
            if not isinstance(child, self._otio.schema.Gap):
                rate = start.rate if start is not None else child.trimmed_range().duration.rate
                self._read_clip(track, children, index, name, _shown(at, rate))
            at += length

    def _read_clip(self, track: Any, children: list[Any], index: int, name: str, at: str) -> None:
        clip, schema = children[index], self._otio.schema
        reference = clip.media_reference if isinstance(clip, schema.Clip) else None
        if isinstance(reference, schema.GeneratorReference):
            self.found.empty["generator"] += 1
            return
        why = self._why_left(clip, reference)
        media = self._file(reference) if why is None else None
        if why or media is None:
            self.found.leave(clip.name, at, name, why or "has no media file")
            return
        shown, available = clip.trimmed_range(), clip.media_reference.available_range
        begin = _fraction(shown.start_time)
        self.found.uses.append(
            Use(
                name=clip.name,
                track=name,
                at=at,
                media=media,
                begin=begin,
                end=begin + _fraction(shown.duration),
                first=_fraction(available.start_time) if available is not None else None,
                before=self._overlap(children, index - 1, "in_offset"),
                after=self._overlap(children, index + 1, "out_offset"),
                rate=exact_rate(reference.rate)
                if isinstance(reference, schema.ImageSequenceReference)
                else None,
                project=self.found.project,
                place=_Place(track, index),
            )
        )

    def _why_left(self, clip: Any, reference: Any) -> str | None:
        schema = self._otio.schema
        if not isinstance(clip, schema.Clip):
            return "is a nested timeline; matte it in a timeline of its own"
        if not clip.enabled:
            return "is switched off"
        for effect in clip.effects:
            if isinstance(effect, schema.FreezeFrame):
                return "is a freeze frame"
            if isinstance(effect, schema.LinearTimeWarp):
                if effect.time_scalar != 1:
                    return f"is retimed to {100 * effect.time_scalar:g} %"
            elif isinstance(effect, schema.TimeEffect):
                return "is retimed"
        step = getattr(reference, "frame_step", 1)
        if step != 1:
            return f"skips pictures of its sequence (frame_step {step})"
        if isinstance(reference, schema.MissingReference) or reference is None:
            return "has no media file"
        return None

    def _file(self, reference: Any) -> Path | None:
        """The media file, or the pattern of numbered pictures."""
        if isinstance(reference, self._otio.schema.ImageSequenceReference):
            digits = reference.frame_zero_padding
            number = f"%0{digits}d" if digits else "%d"
            base = reference.target_url_base
            link = f"{base}{'' if base.endswith('/') or not base else '/'}"
            folder = file_of(link or ".", self.path.parent)
            self.found.relative |= not link or is_relative(link)
            name = f"{reference.name_prefix}{number}{reference.name_suffix}"
            return folder / name if folder is not None else None
        return file_of(getattr(reference, "target_url", "") or "", self.path.parent)

    def _overlap(self, children: list[Any], index: int, side: str) -> Fraction:
        """How much more of a clip the transition at an index shows."""
        beside = children[index] if 0 <= index < len(children) else None
        if not isinstance(beside, self._otio.schema.Transition):
            return _ZERO
        return _fraction(getattr(beside, side))

    # Writing.

    def with_mattes(
        self, mattes: Mapping[int, Matte], *, replace: bool, link: Callable[[Path], str]
    ) -> bytes:
        """See Timeline."""
        rows: dict[int, tuple[Any, dict[int, Any]]] = {}
        for number, matte in mattes.items():
            use = self.found.uses[number]
            place: _Place = use.place
            clip = place.track[place.index]
            if replace:
                self._show(clip, use, matte, link)
                continue
            copy = deepcopy(clip)
            copy.name = f"{clip.name} matte"
            del copy.markers[:]
            self._show(copy, use, matte, link)
            rows.setdefault(id(place.track), (place.track, {}))[1][place.index] = copy
        for track, clips in rows.values():
            stack = track.parent()
            stack.insert(stack.index(track) + 1, self._track(track, clips))
        text = self._otio.adapters.write_to_string(self._root, "otio_json")
        return str(text).encode()

    def _show(self, clip: Any, use: Use, matte: Matte, link: Callable[[Path], str]) -> None:
        """Let a clip show a matte in place of its own media."""
        shown = clip.trimmed_range()
        old = clip.media_reference
        references = clip.media_references()
        rate = shown.start_time.rate
        references[clip.active_media_reference_key] = reference_to(
            matte, link(matte.path), old, _rate_beside(rate, matte.rate)
        )
        clip.set_media_references(references, clip.active_media_reference_key)
        clip.source_range = self._otio.opentime.TimeRange(
            self._otio.opentime.RationalTime(float(matte.begin * exact_rate(rate)), rate),
            shown.duration,
        )

    def _track(self, below: Any, clips: dict[int, Any]) -> Any:
        """A track of mattes, with gaps where there is none and the transitions between them."""
        schema = self._otio.schema
        track = schema.Track(name=f"{below.name or 'Video'} matte", kind=schema.TrackKind.Video)
        for index in range(max(clips) + 2):
            child = below[index] if index < len(below) else None
            if index in clips:
                track.append(clips[index])
            elif isinstance(child, schema.Transition):
                if index - 1 in clips or index + 1 in clips:
                    track.append(deepcopy(child))
            elif child is not None and (
                index < max(clips) or isinstance(track[-1], schema.Transition)
            ):
                self._add_gap(track, child.trimmed_range().duration)
        return track

    def _add_gap(self, track: Any, duration: Any) -> None:
        if len(track) and isinstance(track[-1], self._otio.schema.Gap):
            duration = track.pop().duration() + duration
        track.append(self._otio.schema.Gap(duration=duration))


def reference_to(matte: Matte, link: str, old: Any = None, rate: float | None = None) -> Any:
    """What names a matte's file in a clip.

    old: what named the source, whose way of writing paths is kept. rate: in which the matte's
    frames are counted; None for its own.
    """
    otio = opentimelineio()
    before = getattr(old, "target_url", "") or getattr(old, "target_url_base", "") or "file:"
    if link.startswith("file:") and not before.startswith("file:"):
        link = os.path.abspath(matte.path)
    rate = float(matte.rate) if rate is None else rate
    exact = exact_rate(rate)
    time = otio.opentime.RationalTime
    reference = otio.schema.ExternalReference(
        target_url=link,
        available_range=otio.opentime.TimeRange(
            time(float(matte.first * exact), rate), time(float(matte.duration * exact), rate)
        ),
    )
    reference.name = matte.path.name
    kind = "premultiplied" if matte.premultiplied else "straight"
    reference.metadata["mattecast"] = {"alpha": kind}
    return reference


def _rate_beside(shown: float, rate: Fraction) -> float:
    """The rate to count a matte's frames in, beside a clip that counts its own in `shown`.

    23.976 is not 24000/1001: beside other numbers, times of day would be frames apart. So a rate
    that is written short stays as it is.
    """
    exact = exact_rate(shown)
    return shown if exact == rate or float(exact) != shown else float(rate)


def exact_rate(rate: float) -> Fraction:
    """A rate that OTIO holds as a float: 23.976 and its like are 24000/1001."""
    for base in (24, 30, 48, 60, 120):
        if abs(rate - base * 1000 / 1001) < 0.005:
            return nominal(base, True)
    return Fraction(rate).limit_denominator(1001)


def _fraction(time: Any) -> Fraction:
    """A RationalTime as exact seconds."""
    return Fraction(time.value).limit_denominator(_PARTS) / exact_rate(time.rate)


def _shown(time: Fraction, rate: float) -> str:
    """A time as timecode, or as seconds where the rate is none of pictures."""
    exact = exact_rate(rate)
    return timecode(round(time * exact), exact) if 1 < exact <= 120 else f"{float(time):.3f} s"
