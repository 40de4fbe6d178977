"""What was wrong with a source: counted while it is read, reported once at the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

# How many breaks of the clock are told apart.
_TOLD = 5


@dataclass(slots=True)
class Damage:
    """What had to be skipped or guessed while reading; zero everywhere for a sound file.

    undecodable, sound: packets. missing, corrupt, retimed, resized: frames. headless: pictures
    before the first key frame, which need one that the file lacks. broke_off: whether a pipe ended
    before its end. breaks: where the file's clock was set anew, in seconds; zero is the clip's
    first frame on the same clock.
    """

    undecodable: int = 0
    headless: int = 0
    missing: int = 0
    corrupt: int = 0
    retimed: int = 0
    resized: int = 0
    sound: int = 0
    ended_early: bool = False
    broke_off: bool = False
    breaks: list[Fraction] = field(default_factory=list)
    zero: Fraction = Fraction(0)

    def lines(self) -> list[str]:
        """One line for each kind of damage met."""
        kinds = (
            (self.undecodable, "picture packet", "could not be decoded: skipped"),
            (self.missing, "frame", "missing: the others keep their times"),
            (self.corrupt, "frame", "damaged: kept as decoded"),
            (self.retimed, "frame", "without a time of its own: given one"),
            (self.resized, "frame", "of another size: fitted into that of the first"),
            (self.sound, "sound packet", "damaged: left out"),
        )
        lines = [
            f"{count} {noun}{'s' * (count > 1)} {outcome}"
            for count, noun, outcome in kinds
            if count
        ]
        if self.headless:
            pictures = "picture" if self.headless == 1 else f"{self.headless} pictures"
            lines.insert(
                0, f"the file begins between key frames: its first {pictures} cannot be decoded"
            )
        if self.breaks:
            times = ", ".join(f"{float(each - self.zero):.3f}" for each in self.breaks[:_TOLD])
            more = f" and {len(self.breaks) - _TOLD} more" if len(self.breaks) > _TOLD else ""
            lines.append(f"the clock is set anew at {times} s{more}: joined there, sound too")
        if self.broke_off:
            lines.append("the stream broke off before its end; what came was used")
        if self.ended_early:
            lines.append("the file ends before its own index says; what is there was used")
        return lines
