"""The part of a clip that a run is asked for, as times on the clip's clock."""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil

from mattecast.errors import UsageError
from mattecast.media.facts import Facts
from mattecast.media.timecode import Timecode

_EXACT = re.compile(r"\d{1,18}/0*[1-9]\d{0,8}", re.ASCII)
_PLAIN = re.compile(r"\d{1,18}(/0*[1-9]\d{0,8}|\.\d{1,9})?", re.ASCII)
_CLOCK = re.compile(r"(\d{1,9}:){0,2}(\d{1,9}(\.\d{0,9})?|\.\d{1,9})", re.ASCII)


def time_range(
    text: str | None, facts: Facts, handles: int = 0
) -> tuple[Fraction | None, Fraction | None]:
    """'START..END' in seconds on the clip's clock; either side may be left out.

    handles: frames more on both sides, as far as the clip has them. None stands for an end of the
    clip. Raises UsageError for text that is no range of the clip.
    """
    if not text:
        return None, None
    first, dots, last = text.partition("..")
    if not dots:
        raise UsageError(f"range '{text}': expected START..END, such as 12.5..20 or 00:01:00:00..")
    start = parse_time(first, facts) if first.strip() else None
    end = parse_time(last, facts) if last.strip() else None
    if start is not None and end is not None and end <= start:
        raise UsageError(f"range '{text}': the end does not come after the start")
    length = facts.duration
    if start is not None and length is not None and start >= facts.start + length:
        raise UsageError(f"range '{text}': starts after the clip ends ({float(length):.2f} s)")
    start, more = _first_frame(start, facts), handles / facts.rate
    return (
        None if start is None else max(facts.start, start - more),
        None if end is None else end + more,
    )


def plain_range(text: str) -> tuple[Fraction, Fraction] | None:
    """The seconds of a range whose two ends are plain numbers, which alike ranges share; None for
    all other text."""
    first, _, last = (part.strip() for part in text.partition(".."))
    if _PLAIN.fullmatch(first) and _PLAIN.fullmatch(last):
        return Fraction(first), Fraction(last)
    return None


def length(facts: Facts, start: Fraction | None, end: Fraction | None) -> Fraction | None:
    """Seconds from start to end or to the end of the clip, on the clip's clock; None where neither
    end is known."""
    stated = None if facts.duration is None else facts.start + facts.duration
    last = min((each for each in (end, stated) if each is not None), default=None)
    return None if last is None else last - (facts.start if start is None else start)


def _first_frame(start: Fraction | None, facts: Facts) -> Fraction | None:
    """When the first frame of a range comes, where frames come at a constant rate: the output
    begins with it."""
    if start is None or facts.variable_rate:
        return start
    return facts.start + ceil((start - facts.start) * facts.rate) / facts.rate


def parse_time(text: str, facts: Facts) -> Fraction:
    """Seconds, N/D, [HH:]MM:SS[.s], or HH:MM:SS:FF timecode, as seconds on the clip's clock.

    Plain times count from the clip's first frame; a timecode is looked up on the clip's own
    timecode where it has one. Raises UsageError for anything else.
    """
    text = text.strip()
    if _EXACT.fullmatch(text):
        seconds = Fraction(text)
    elif _CLOCK.fullmatch(text):
        parts = reversed(text.split(":"))
        seconds = sum((Fraction(part) * 60**power for power, part in enumerate(parts)), Fraction(0))
    else:
        try:
            timecode = Timecode.parse(text, facts.rate / max(1, facts.fields))
        except ValueError as error:
            raise UsageError(
                f"time '{text}': expected seconds, [HH:]MM:SS.s, or timecode HH:MM:SS:FF"
            ) from error
        # At field rate a timecode still counts the frames of the file.
        fields = max(1, facts.fields)
        first = facts.timecode.frames // fields if facts.timecode else 0
        # Timecode counts frames, so the time is exact at the clip's own rate.
        seconds = Fraction(timecode.frames - first) * fields / facts.rate
    if seconds < 0:
        raise UsageError(f"time '{text}' lies before the clip's first frame")
    return facts.start + seconds
