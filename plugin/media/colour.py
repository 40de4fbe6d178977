"""What the codes of a picture mean: range, matrix, primaries and transfer (ITU-T H.273)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import av
import numpy as np
from av.video.reformatter import ColorRange
from numpy.typing import NDArray

from mattecast.media.profile import Profile

LIMITED, FULL = int(ColorRange.MPEG), int(ColorRange.JPEG)
UNSPECIFIED = 2  # the H.273 code of matrix, primaries and transfer alike
_RGB_MATRIX = 0
JPEG_MATRIX = 5
BT709, BT601, BT2020 = 1, 6, 9
LINEAR, SRGB_TRANSFER, PQ, HLG = 8, 13, 16, 18
HIGH_RANGE = {PQ: "PQ", HLG: "HLG"}
# Transfers of video in standard range, which screens show as they show sRGB.
_VIDEO_TRANSFERS = {1, 6, 7, 11, 12, 14, 15}
_GAMMAS = {4, 5}  # 2.2 and 2.8
_WIDE = {BT2020, 11, 12}  # primaries: the last two are P3's
_STANDARD_PRIMARIES = {1, 5, 6, 7}

_PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020", 11: "dci-p3", 12: "display-p3"}
_TRANSFERS = {
    1: "bt709",
    4: "gamma22",
    5: "gamma28",
    6: "smpte170m",
    8: "linear",
    13: "srgb",
    14: "bt2020-10",
    15: "bt2020-12",
    16: "pq",
    18: "hlg",
}
_MATRICES = {
    0: "rgb",
    1: "bt709",
    4: "fcc",
    5: "bt470bg",
    6: "smpte170m",
    7: "smpte240m",
    9: "bt2020nc",
    10: "bt2020c",
}
# Luma weights (red, blue) of each matrix; green is the rest.
_LUMA = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}


@dataclass(frozen=True, slots=True)
class Colour:
    """The four tags of a picture, as H.273 numbers (range: 1 limited, 2 full).

    profile: the ICC profile of a picture file, which may say more than primaries and transfer do.
    """

    range: int
    matrix: int
    primaries: int
    transfer: int
    assumed: bool = False
    profile: Profile | None = None

    @classmethod
    def of(
        cls, frame: av.VideoFrame, *, still: bool = False, profile: Profile | None = None
    ) -> Colour:
        """The tags of a decoded frame; for missing tags, what players assume.

        Untagged YUV is BT.709 from 720 lines up and BT.601 below; untagged range is limited. A
        still and a JPEG have BT.601's matrix (JFIF 1.02) with the primaries and the curve of sRGB.
        still: whether the frame is a picture file. profile: what that file has.
        """
        rgb = frame.format.is_rgb or frame.format.name.startswith("pal")
        # Gray pictures are full range by convention, as libswscale reads them.
        full = frame.color_range == FULL or rgb or frame.format.name.startswith(("yuvj", "gray"))
        matrix = int(frame.colorspace)
        large = (frame.height >= 720 or frame.width > 1024) and not still
        guess = BT709 if rgb or large else BT601
        assumed = not rgb and matrix in (UNSPECIFIED, _RGB_MATRIX)
        if rgb:
            matrix = _RGB_MATRIX
        elif assumed:
            matrix = guess
        primaries, transfer = int(frame.color_primaries), int(frame.color_trc)
        unknown = (UNSPECIFIED, 0)
        if still or (matrix == JPEG_MATRIX and frame.format.name.startswith("yuvj")):
            primaries = BT709 if primaries in unknown else primaries
            transfer = SRGB_TRANSFER if transfer in unknown else transfer
        if frame.format.name.removesuffix("le").removesuffix("be").endswith(("f16", "f32")):
            transfer = LINEAR
        elif transfer == LINEAR:
            # DPX of many programs says so of any codes.
            transfer = SRGB_TRANSFER
        if profile is not None:
            primaries, transfer = profile.primaries() or BT709, SRGB_TRANSFER
        default = BT2020 if matrix == BT2020 else (guess if matrix == _RGB_MATRIX else matrix)
        return cls(
            range=FULL if full else LIMITED,
            matrix=matrix,
            primaries=default if primaries in unknown else primaries,
            transfer=_default_transfer(rgb, default) if transfer in unknown else transfer,
            assumed=assumed,
            profile=profile,
        )

    def as_yuv(self, *, limited: bool) -> Colour:
        """The tags after conversion to YUV: RGB becomes BT.709; `limited` forces that range."""
        matrix = BT709 if self.matrix == _RGB_MATRIX else self.matrix
        range = LIMITED if limited else self.range
        return replace(self, matrix=matrix, range=range, profile=None)

    def as_prores(self) -> Colour:
        """The same colours in the codes a ProRes header knows (SMPTE RDD 36): editors show every
        curve of standard range as BT.709's, and both BT.601 matrices are one."""
        alike = _VIDEO_TRANSFERS | _GAMMAS | {SRGB_TRANSFER}
        return replace(
            self,
            matrix=BT601 if self.matrix == 5 else self.matrix,
            transfer=1 if self.transfer in alike else self.transfer,
        )

    def as_rgb(self) -> Colour:
        """The tags after conversion to full-range RGB."""
        return replace(self, matrix=_RGB_MATRIX, range=FULL, profile=None)

    @property
    def is_wide(self) -> bool:
        """Whether the primaries are P3's or BT.2020's."""
        return self.primaries in _WIDE

    def as_picture(self) -> Colour:
        """The tags of a picture file: the curves of video become sRGB's, as screens show them, and
        so do BT.601's primaries, which are nearly BT.709's. Others stay."""
        standard = self.primaries in _STANDARD_PRIMARIES
        # The gamma of a picture file is meant; screens show videos of any as they show BT.709.
        alike = _VIDEO_TRANSFERS if self.matrix == _RGB_MATRIX else _VIDEO_TRANSFERS | _GAMMAS
        return replace(
            self.as_rgb(),
            primaries=BT709 if standard else self.primaries,
            transfer=SRGB_TRANSFER if self.transfer in alike else self.transfer,
            profile=self.profile if self._has_own_profile() else None,
        )

    def _has_own_profile(self) -> bool:
        """Whether a profile describes RGB that is not sRGB. One of gray or CMYK ends where a
        picture becomes RGB."""
        profile = self.profile
        return profile is not None and profile.kind == "RGB" and profile.primaries() != BT709

    @property
    def is_rgb(self) -> bool:
        """Whether pictures are R'G'B'."""
        return self.matrix == _RGB_MATRIX

    def differs_visibly(self, other: Colour) -> bool:
        """Whether the same R', G', B' are a visibly different colour under the other tags.

        Editors treat the standard curves as one, and BT.601's primaries are nearly BT.709's.
        """
        wide = self.primaries != other.primaries and {self.primaries, other.primaries} & _WIDE
        return bool(wide) or self.differs_in_range(other)

    def differs_in_range(self, other: Colour) -> bool:
        """Whether one of the two has a high dynamic range, in which white is no full code."""
        return self.transfer != other.transfer and bool(
            {self.transfer, other.transfer} & HIGH_RANGE.keys()
        )

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer is one of high dynamic range: PQ or HLG."""
        return self.transfer in HIGH_RANGE

    @property
    def swscale_matrix(self) -> int:
        """libswscale's number of this matrix (its tables hold BT.709, 601, 240M and 2020)."""
        return {1: 1, 4: 4, 7: 7, 9: 9, 10: 9}.get(self.matrix, 5)

    def luma_weights(self) -> tuple[float, float, float]:
        """Weights of R', G', B' in this matrix's luma; BT.709's for RGB."""
        red, blue = _LUMA.get(self.matrix, _LUMA[1])
        return red, 1.0 - red - blue, blue

    def luma_units(self, bits: int) -> tuple[float, float]:
        """(scale, offset): luma in [0, 1] x scale + offset is its code at `bits` bits."""
        step = 1 << (bits - 8)
        return (219.0 * step, 16.0 * step) if self.range == LIMITED else ((1 << bits) - 1.0, 0.0)

    def from_rgb(self, bits: int) -> NDArray[np.float32]:
        """(3, 4) float32: 8-bit full-range (R, G, B, 1) to this colour's codes at `bits` bits."""
        scale, offset = self.luma_units(bits)
        if self.matrix == _RGB_MATRIX:
            return np.eye(3, 4, dtype=np.float32) * np.float32(((1 << bits) - 1) / 255)
        red, green, blue = self.luma_weights()
        luma = np.array([red, green, blue])
        chroma = [(np.eye(3)[2] - luma) / (2 - 2 * blue), (np.eye(3)[0] - luma) / (2 - 2 * red)]
        span = scale * 224 / 219 if self.range == LIMITED else scale
        middle = float(1 << (bits - 1))
        rows = [[*luma * scale / 255, offset], *([*row * span / 255, middle] for row in chroma)]
        return np.array(rows, np.float32)

    def black(self, bits: int) -> tuple[int, int, int]:
        """The codes of black in this range: Y, Cb, Cr at `bits` bits; (0, 0, 0) for RGB."""
        if self.matrix == _RGB_MATRIX:
            return 0, 0, 0
        return (16 << (bits - 8) if self.range == LIMITED else 0, 1 << (bits - 1), 1 << (bits - 1))

    def __str__(self) -> str:
        parts = [
            _MATRICES.get(self.matrix, f"matrix {self.matrix}"),
            _PRIMARIES.get(self.primaries, f"primaries {self.primaries}"),
            _TRANSFERS.get(self.transfer, f"transfer {self.transfer}"),
            "full" if self.range == FULL else "limited",
        ]
        profile = f" (ICC profile {self.profile.name})" if self.profile else ""
        assumed = " (matrix assumed: untagged)" if self.assumed else ""
        return "/".join(parts) + profile + assumed

    def tag(self, target: av.VideoFrame | av.VideoCodecContext) -> None:
        """Write the tags on a frame (ProRes puts these in its header) or on a codec context."""
        target.color_range = self.range
        target.colorspace = self.matrix
        # A profile and tags beside it would be two answers to one question.
        target.color_primaries = UNSPECIFIED if self.profile else self.primaries
        target.color_trc = UNSPECIFIED if self.profile else self.transfer


def _default_transfer(rgb: bool, primaries: int) -> int:
    if rgb:
        return SRGB_TRANSFER
    return {BT601: 6, 5: 6, BT2020: 14}.get(primaries, 1)


def linear_light(transfer: int, size: int = 65536) -> NDArray[np.float32]:
    """A table from code (0..size-1) to linear light, for the transfer functions EXR users meet.

    (size,) float32. SDR curves map 1.0 to 1.0; PQ (SMPTE ST 2084) maps 203 cd/m2, diffuse white
    of BT.2408, to 1.0; HLG (BT.2100) yields scene light with its peak at 12. Other transfers are
    read as sRGB.
    """
    code = np.linspace(0.0, 1.0, size)
    if transfer == PQ:
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        root = code ** (1 / m2)
        light = (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) * 10000 / 203
    elif transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code * code / 3, (np.exp((code - c) / a) + b) / 12) * 12
    elif transfer in (1, 6, 14, 15):
        # BT.709, BT.601 and BT.2020 share one curve.
        alpha, beta = 1.09929682680944, 0.018053968510807
        curve = ((code + alpha - 1) / alpha) ** (1 / 0.45)
        light = np.where(code < 4.5 * beta, code / 4.5, curve)
    elif transfer in (4, 5):
        light = code ** (2.2 if transfer == 4 else 2.8)
    elif transfer == 8:
        light = code
    else:
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)
