"""The header of a ProRes frame, as laid out by SMPTE RDD 36."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

# Bytes worth reading of a sample: its size, its mark, the header and both matrices.
HEADER_BYTES = 8 + 20 + 64 + 64
CHROMA = {2: "4:2:2", 3: "4:4:4"}
SCAN = {0: "progressive", 1: "interlaced, top field first", 2: "interlaced, bottom field first"}
ALPHA_BITS = {0: 0, 1: 8, 2: 16}
ASPECT = {1: "square pixels", 2: "4:3", 3: "16:9"}
RATES = {
    1: Fraction(24000, 1001),
    2: Fraction(24),
    3: Fraction(25),
    4: Fraction(30000, 1001),
    5: Fraction(30),
    6: Fraction(50),
    7: Fraction(60000, 1001),
    8: Fraction(60),
    9: Fraction(100),
    10: Fraction(120000, 1001),
    11: Fraction(120),
}
# Codec tag: (name, chroma format a frame under it must have).
TAGS = {
    "apco": ("ProRes 422 Proxy", 2),
    "apcs": ("ProRes 422 LT", 2),
    "apcn": ("ProRes 422", 2),
    "apch": ("ProRes 422 HQ", 2),
    "ap4h": ("ProRes 4444", 3),
    "ap4x": ("ProRes 4444 XQ", 3),
}


@dataclass(frozen=True)
class Header:
    """The header of one frame; codes are as stored, see the tables of this module."""

    size: int  # bytes of the whole frame
    header_size: int
    version: int
    creator: str
    width: int
    height: int
    chroma: int
    scan: int
    aspect: int  # 0: not stated
    rate: int  # 0: not stated
    colour: tuple[int, int, int]  # H.273 primaries, transfer, matrix
    alpha: int
    matrices: tuple[bool, bool]  # luma, chroma

    @property
    def alpha_bits(self) -> int:
        """Bits of alpha: 0, 8 or 16."""
        return ALPHA_BITS.get(self.alpha, 0)


def header(sample: bytes) -> Header:
    """Read the header at the start of a sample; ValueError when it is not a ProRes frame's."""
    if len(sample) < 28:
        raise ValueError(f"holds {len(sample)} bytes, too few for a ProRes header")
    size, mark, header_size, version, creator, width, height = struct.unpack_from(
        ">I4sHH4sHH", sample
    )
    shape, codes, primaries, transfer, matrix, alpha, _, matrices = sample[20:28]
    if mark != b"icpf":
        raise ValueError(f"is not a ProRes frame: got mark {mark!r}, expected b'icpf'")
    return Header(
        size,
        header_size,
        version,
        creator.decode("latin-1"),
        width,
        height,
        chroma=shape >> 6,
        scan=shape >> 2 & 3,
        aspect=codes >> 4,
        rate=codes & 15,
        colour=(primaries, transfer, matrix),
        alpha=alpha & 15,
        matrices=(bool(matrices & 2), bool(matrices & 1)),
    )


def faults(found: Header) -> list[str]:
    """Everything in a header that RDD 36 does not allow, as short sentences."""
    needed = 20 + 64 * sum(found.matrices)
    checks = [
        (found.header_size < needed, f"header is {found.header_size} bytes, its parts {needed}"),
        (found.version > 1, f"version {found.version} does not exist"),
        (found.chroma not in CHROMA, f"chroma format {found.chroma} does not exist"),
        (found.scan not in SCAN, f"interlace mode {found.scan} does not exist"),
        (found.alpha not in ALPHA_BITS, f"alpha type {found.alpha} does not exist"),
        (found.rate not in (0, *RATES), f"frame-rate code {found.rate} does not exist"),
        (found.aspect not in (0, *ASPECT), f"aspect code {found.aspect} does not exist"),
        (not (found.width and found.height), f"picture is {found.width}x{found.height}"),
    ]
    return [text for wrong, text in checks if wrong]
