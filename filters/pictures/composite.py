"""The matting equation, on planes of any depth: C = B + alpha (F - B)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.upsampling import FLOOR, RADIUS

Plane: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
# Rows worked on at once: few enough that they stay in a core's cache.
_ROWS = 64
_DEPTH = {np.dtype(np.uint8): cv2.CV_8U, np.dtype(np.uint16): cv2.CV_16U}


def over(foreground: Plane, background: Plane | int, alpha16: NDArray[np.uint16]) -> Plane:
    """Blend one plane over another, or over one code, exactly to the nearest code.

    foreground: (h, w) uint8 or uint16, straight. background: the same, or a scalar code.
    alpha16: (h, w) uint16, 0..65535. Holds for luma, chroma and R'G'B' alike: the equation is
    linear, so any affine code (offset black, signed chroma) blends as its colours do.
    """
    base: Any = float(background) if isinstance(background, int) else background
    difference = cv2.subtract(foreground, base, dtype=cv2.CV_32F)
    cv2.multiply(difference, alpha16, dst=difference, scale=1 / 65535, dtype=cv2.CV_32F)
    blended = cv2.add(difference, base, dtype=_DEPTH[foreground.dtype])
    typed: Plane = np.asarray(blended, foreground.dtype)  # type: ignore[assignment]
    return typed


def to_bits(alpha16: NDArray[np.uint16], bits: int, out: Plane | None = None) -> Plane:
    """(h, w) uint16 alpha as codes 0 .. 2**bits - 1, uint8 up to 8 bits; written to `out` if given.

    out: (h, w) of any integer type that holds them.
    """
    if out is None:
        out = np.empty(alpha16.shape, np.uint8 if bits <= 8 else np.uint16)
    if bits in (8, 16):
        out[:] = alpha16 if bits == 16 else cv2.convertScaleAbs(alpha16, alpha=255 / 65535)
        return out
    for top in range(0, alpha16.shape[0], _ROWS):
        some = alpha16[top : top + _ROWS]
        # alpha x (2**bits - 1) / 65535 rounded, in shifts.
        codes = np.right_shift(some, bits, dtype=np.uint16)
        np.subtract(some, codes, out=codes)
        codes += np.uint16(1 << (15 - bits))
        np.right_shift(codes, 16 - bits, out=out[top : top + _ROWS], casting="unsafe")
    return out


def to_luma(alpha16: NDArray[np.uint16], scale: float, offset: float) -> NDArray[np.uint16]:
    """(h, w) uint16 alpha as luma codes alpha x scale + offset."""
    luma = cv2.addWeighted(alpha16, scale / 65535, alpha16, 0.0, offset, dtype=cv2.CV_16U)
    return np.asarray(luma, np.uint16)


def at_chroma_size(alpha16: NDArray[np.uint16], shape: tuple[int, int]) -> NDArray[np.uint16]:
    """Alpha averaged onto a chroma plane of (height, width) shape; unchanged at the same shape."""
    if alpha16.shape == shape:
        return alpha16
    # Of two pixels in a row (4:2:2) both mean the same; linear takes a quarter of the time.
    beside = shape[0] == alpha16.shape[0] and 2 * shape[1] == alpha16.shape[1]
    how = cv2.INTER_LINEAR if beside else cv2.INTER_AREA
    smaller = cv2.resize(alpha16, (shape[1], shape[0]), interpolation=how)
    return np.asarray(smaller, np.uint16)


def keep_near(
    planes: Sequence[Plane] | Sequence[NDArray[np.uint32]],
    codes: tuple[int, ...],
    alpha: NDArray[np.float32],
    margin: int,
) -> None:
    """Fill planes, in place, with flat codes wherever alpha is 0 and stays so for `margin` pixels.

    planes: components, full-size (H, W) first, chroma of half that too; or one of whole pixels.
    alpha: the small (h, w) float32 matte. Whole blocks of 16 x 16 pixels are filled: a coding block
    then is either picture or flat.
    """
    height, width = planes[0].shape
    blocks = _occupied(alpha, -(-height // 16), -(-width // 16), (height, width), margin)
    changes = np.flatnonzero((blocks[1:] != blocks[:-1]).any(axis=1)) + 1
    bands = [0, *changes.tolist(), len(blocks)]
    # Neighbouring lines of blocks mostly look alike: one fill serves them all.
    lines = np.pad(blocks[bands[:-1]], ((0, 0), (1, 1)), constant_values=True)
    line, edges = (each.tolist() for each in np.nonzero(lines[:, 1:] != lines[:, :-1]))
    for place, first, last in zip(line[::2], edges[::2], edges[1::2], strict=True):
        for plane, code in zip(planes, codes, strict=True):
            rows, columns = (
                16 if side == full else 8
                for side, full in zip(plane.shape, planes[0].shape, strict=True)
            )
            plane[
                rows * bands[place] : rows * bands[place + 1], columns * first : columns * last
            ] = code


def _occupied(
    alpha: NDArray[np.float32], rows: int, columns: int, shape: tuple[int, int], margin: int
) -> NDArray[np.bool_]:
    """(rows, columns) bool: which 16 x 16 blocks hold any alpha or come within the margin of it."""
    # Refinement carries alpha over two windows of its filter; nothing of that may be filled.
    reach = [
        2 * RADIUS + 3 + round(margin * small / full)
        for small, full in zip(alpha.shape, shape, strict=True)
    ]
    seen = np.where(alpha > FLOOR / 2, np.uint8(255), np.uint8(0))
    seen = cv2.dilate(seen, np.ones((2 * reach[0] + 1, 2 * reach[1] + 1), np.uint8))
    return np.asarray(cv2.resize(seen, (columns, rows), interpolation=cv2.INTER_AREA) > 0)
