"""The facts of a file, and what an output of it will keep or lose, as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

from mattecast.errors import UsageError
from mattecast.media.facts import Facts
from mattecast.media.formats import FILL_KEY, FORMATS, NAMES
from mattecast.media.source import open_source
from mattecast.plan import becomes_standard, plan
from mattecast.settings import Settings


def probe(path: str | Path, format: str = "prores") -> list[str]:
    """Facts of a source, then what `format` keeps and loses of it.

    Raises MediaError for a file that cannot be read, UsageError for an unknown format.
    """
    if format not in NAMES:
        raise UsageError(f"format '{format}' is not known: choose one of {', '.join(NAMES)}")
    row, settings = FORMATS["prores" if format == FILL_KEY else format], Settings()
    sdr = partial(becomes_standard, settings=settings, format=row)
    with open_source(path, sdr=sdr) as clip:
        facts = clip.facts
    output = plan(facts, settings, row)
    lines = [str(path), *_described(facts), f"as {format}:"]
    width, height = output.size
    lines.append(f"  {width}x{height} {output.pixels}, {output.colour}")
    lines.append(
        "  kept: every frame and timestamp"
        if not output.format.is_sequence
        else "  kept: every frame"
    )
    lines += [f"  lost: {loss}" for loss in output.losses] or ["  lost: nothing"]
    lines += [f"  note: {line}" for line in output.notes]
    return lines


def _described(facts: Facts) -> Iterator[str]:
    turned = f", {facts.turn}" if facts.turn else ""
    sar = "" if facts.sar == 1 else f", pixels {facts.sar.numerator}:{facts.sar.denominator}"
    size = f"{facts.width}x{facts.height}"
    yield f"  picture: {facts.codec} in {facts.container}, {size}{turned}{sar}"
    yield f"  format: {facts.pixel_format}, {facts.bits} bits, {facts.colour}"
    pace = "variable, on average " if facts.variable_rate else ""
    clock = f"clock {facts.time_base} s, starts at {_s(facts.start)}"
    yield f"  rate: {pace}{_rate(facts.rate)}, {clock}"
    length = "unknown" if facts.duration is None else _s(facts.duration)
    yield f"  length: {length}, {facts.frames or 'unknown'} frames"
    if len(facts.tracks) > 1:
        for number, video in enumerate(facts.tracks, 1):
            named = f", {video.title}" if video.title else ""
            taken = ", taken" if video.chosen else f", --track {number} takes it"
            yield f"  track {number}: {video.codec}, {video.width}x{video.height}{named}{taken}"
    for track in facts.audio:
        spoken = f", {track.language}" if track.language else ""
        yield f"  sound: {track.codec}, {track.rate} Hz, {track.layout}{spoken}"
    yield f"  timecode: {facts.timecode or 'none'}, chapters: {facts.chapters}"
    notes = [
        name
        for name, holds in (
            ("interlaced", facts.interlaced),
            ("has alpha of its own", facts.has_alpha),
        )
        if holds
    ]
    if notes:
        yield f"  notes: {', '.join(notes)}"


def _rate(rate: Fraction) -> str:
    exact = "" if rate.denominator == 1 else f" ({rate.numerator}/{rate.denominator})"
    return f"{float(rate):.3f}{exact} fps".replace(".000", "")


def _s(seconds: Fraction) -> str:
    return f"{float(seconds):.3f} s"
