"""SMPTE timecode: text to frame number and back, drop-frame included (SMPTE ST 12-1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_PATTERN = re.compile(r"^(\d{1,2}):(\d{2}):(\d{2})([:;.,])(\d{2,3})$")


@dataclass(frozen=True, slots=True)
class Timecode:
    """A count of frames since 00:00:00:00, with what is needed to print it.

    frames: frame number; base: frames a nominal second (30 for 29.97); drop: drop-frame counting.
    """

    frames: int
    base: int
    drop: bool

    @classmethod
    def parse(cls, text: str, rate: Fraction) -> Timecode:
        """Read 'HH:MM:SS:FF' (';' before FF means drop-frame) at `rate` frames a second.

        Raises ValueError when the text is not a timecode or names a frame the rate does not have.
        """
        match = _PATTERN.match(text.strip())
        base = round(rate)
        if not match or base < 1:
            raise ValueError(f"'{text}' is not a timecode: expected HH:MM:SS:FF")
        hours, minutes, seconds, frame = (int(match[group]) for group in (1, 2, 3, 5))
        drop = match[4] in ";," and _can_drop(rate)
        total_minutes = hours * 60 + minutes
        skipped = drop and total_minutes % 10 and seconds == 0 and frame < _dropped(base)
        if minutes > 59 or seconds > 59 or frame >= base or skipped:
            raise ValueError(f"timecode '{text}' does not exist at {float(rate):.5g} fps")
        count = (total_minutes * 60 + seconds) * base + frame
        if drop:
            count -= _dropped(base) * (total_minutes - total_minutes // 10)
        return cls(count, base, drop)

    def plus(self, frames: int) -> Timecode:
        """The timecode `frames` later, wrapping at 24 hours."""
        day = 24 * 60 * 60 * self.base
        if self.drop:
            day -= _dropped(self.base) * (24 * 60 - 24 * 6)
        return Timecode((self.frames + frames) % day, self.base, self.drop)

    def __str__(self) -> str:
        count = self.frames
        if self.drop:
            step = _dropped(self.base)
            per_minute = 60 * self.base - step
            per_ten = 10 * 60 * self.base - 9 * step
            tens, rest = divmod(count, per_ten)
            # The first minute of ten drops nothing, so it is `step` frames longer than the others.
            count += 9 * step * tens + step * max(0, (rest - step) // per_minute)
        seconds, frame = divmod(count, self.base)
        minutes, second = divmod(seconds, 60)
        hour, minute = divmod(minutes, 60)
        return f"{hour:02d}:{minute:02d}:{second:02d}{';' if self.drop else ':'}{frame:02d}"


def _dropped(base: int) -> int:
    return base // 15  # 2 numbers a minute at 29.97, 4 at 59.94


def _can_drop(rate: Fraction) -> bool:
    """Whether drop-frame is defined: at a nominal 30 or 60, which files also write as 2997/100 or
    as 30 itself."""
    return round(rate) > 0 and round(rate) % 30 == 0
