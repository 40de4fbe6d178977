"""The sizes and rates of a camera on Linux, from its driver (linux/videodev2.h)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from fractions import Fraction

# Requests and the layouts of their structures.
_ENUM_FORMATS, _FORMAT = 0xC0405602, struct.Struct("III32sII12x")
_ENUM_SIZES, _SIZE = 0xC02C564A, struct.Struct("III6I8x")
_ENUM_RATES, _RATE = 0xC034564B, struct.Struct("IIIII6I8x")
_CAPTURE, _DISCRETE = 1, 1


def modes(device: str) -> list[tuple[int, int, Fraction]]:
    """(width, height, highest rate) of a camera's sizes, largest first; a rate of 0 is unknown.

    Raises OSError when the device cannot be opened.
    """
    number = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    try:
        best: dict[tuple[int, int], Fraction] = {}
        for pixels in _formats(number):
            for size in _sizes(number, pixels):
                best[size] = max(best.get(size, Fraction(0)), _fastest(number, pixels, size))
    finally:
        os.close(number)
    return [(*size, best[size]) for size in sorted(best, key=lambda one: -one[0] * one[1])]


def _formats(number: int) -> Iterator[int]:
    for answer in _enumerate(number, _ENUM_FORMATS, _FORMAT, (_CAPTURE, 0, b"", 0, 0)):
        yield answer[4]


def _sizes(number: int, pixels: int) -> Iterator[tuple[int, int]]:
    for answer in _enumerate(number, _ENUM_SIZES, _SIZE, (pixels, 0, *[0] * 6)):
        if answer[2] == _DISCRETE:
            yield answer[3], answer[4]
        else:
            # A range of sizes: the least and the most width with a step, then those of height.
            yield answer[3], answer[6]
            yield answer[4], answer[7]
            return


def _fastest(number: int, pixels: int, size: tuple[int, int]) -> Fraction:
    """The highest rate of a size. The driver gives intervals, as fractions of a second."""
    rates = [
        Fraction(answer[6], answer[5])
        for answer in _enumerate(number, _ENUM_RATES, _RATE, (pixels, *size, 0, *[0] * 6))
        if answer[5]
    ]
    return max(rates, default=Fraction(0))


def _enumerate(
    number: int, request: int, layout: struct.Struct, rest: tuple[object, ...]
) -> Iterator[tuple[int, ...]]:
    """The driver's answers for the indices 0, 1, 2 ... until it has no more."""
    import fcntl  # not on Windows

    for index in range(256):
        held = bytearray(layout.pack(index, *rest))
        try:
            fcntl.ioctl(number, request, held)
        except OSError:
            return
        yield layout.unpack(held)
