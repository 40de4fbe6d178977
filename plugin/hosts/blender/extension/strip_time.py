"""Which pictures of its clip a strip shows, and where a matte of some of them has to stand.

Blender shows at timeline frame t the picture (t - start) * speed of a strip, rounded; a reversed
strip counts from the end of its content (end - 1 - t). Before the first and after the last picture
it holds these. The start of a content is a whole frame.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

# Rates that containers have; Blender tells rates as 32-bit floats.
_NTSC = [Fraction(each * 1000, 1001) for each in (24, 30, 48, 60, 120)]
# Pictures before the first one that is needed at which a matte may begin, at most; then it begins
# with the clip.
_LONGEST_SEARCH = 2000


def exact_rate(rate: float) -> Fraction:
    """The rate that Blender's float stands for: 29.97003 is 30000/1001."""
    for exact in (*_NTSC, Fraction(round(rate))):
        if abs(rate - exact) < 1e-5 * rate:
            return exact
    return Fraction(rate).limit_denominator(1001)


@dataclass(frozen=True, slots=True)
class Content:
    """A strip's content, as far as time goes.

    start, length: of the content, in timeline frames. pictures: number of pictures. speed: pictures
    for each timeline frame. hidden: pictures of the file before the first one of the content.
    reverse: played backwards.
    """

    start: int
    length: int
    pictures: int
    speed: Fraction
    hidden: int = 0
    reverse: bool = False

    def picture(self, frame: int) -> int:
        """The picture of the file at this timeline frame."""
        index = _rounded(self._since(frame), self.speed)[0]
        return self.hidden + min(max(index, 0), self.pictures - 1)

    def used(self, left: int, right: int, handles: int) -> range:
        """The pictures of the file to matte where timeline frames left to right are shown.

        right: exclusive. handles: pictures more on both sides, as far as the content has them.
        There may be more before them: a matte of another rate than the timeline's begins at a
        picture from which all of its frames are rounded as those of the original are.
        """
        shown = sorted((self.picture(left), self.picture(right - 1)))
        earliest = max(shown[0] - self.hidden - handles, 0)
        last = min(shown[1] - self.hidden + handles, self.pictures - 1)
        since = [self._since(frame) for frame in range(left, right)]
        inside = [each for each in since if 0 <= each * self.speed <= self.pictures - 1]
        candidates = range(earliest, max(earliest - _LONGEST_SEARCH, 0), -1)
        first = next((each for each in candidates if self._agree(inside, each)), 0)
        return range(self.hidden + first, self.hidden + last + 1)

    def start_of(self, first: int, length: int) -> int:
        """The content start of a matte whose first picture is the file's picture `first`.

        length: of the matte's content, in timeline frames.
        """
        shift = self._shift(first - self.hidden)
        return self.start + (self.length - shift - length if self.reverse else shift)

    def _since(self, frame: int) -> int:
        return self.start + self.length - 1 - frame if self.reverse else frame - self.start

    def _shift(self, first: int) -> int:
        """Whole frames of the timeline until the content's picture `first`."""
        return round(first / self.speed)

    def _agree(self, since: Iterable[int], first: int) -> bool:
        """Whether a matte from the picture `first` on is rounded as the original is."""
        shift, speed = self._shift(first), self.speed
        return all(
            _rounded(each, speed) == tuple(first + index for index in _rounded(each - shift, speed))
            for each in since
        )


def _rounded(since: int, speed: Fraction) -> tuple[int, int]:
    """The picture so many frames after the first: exact, and in Blender's 32-bit floats."""
    half = Fraction(1, 2)
    return math.floor(since * speed + half), math.floor(_single(since * _single(speed)) + 0.5)


def _single(value: float | Fraction) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


def speed(rate: Fraction, scene_rate: Fraction, pictures: int, length: int) -> Fraction:
    """Pictures for each timeline frame: 1, or the clip's own rate by the scene's.

    Blender does not tell which: it shows in the length of the content, in timeline frames.
    """
    own = rate / scene_rate
    return own if abs(pictures / own - length) < abs(pictures - length) else Fraction(1)


def seconds(pictures: range, rate: Fraction) -> str:
    """These pictures as `--range` takes them: '1001/24000..3003/24000'."""
    return "..".join(_fraction(index / rate) for index in (pictures.start, pictures.stop))


def _fraction(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"
