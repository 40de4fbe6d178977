"""The matting equation, on planes of any depth: C = B + alpha (F - B)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.upsampling import FLOOR, RADIUS

Plane: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
# Rows computed at once: so few that they stay in a core's cache.
_ROWS = 64
_DEPTH = {np.dtype(np.uint8): cv2.CV_8U, np.dtype(np.uint16): cv2.CV_16U}


def over(foreground: Plane, background: Plane | int, alpha16: NDArray[np.uint16]) -> Plane:
    """Blend one plane over another, or over one code, rounded to the nearest code.

    foreground: (h, w) uint8 or uint16, straight. background: the same, or one code. alpha16: (h, w)
    uint16, 0..65535. The equation is linear, so codes of luma, chroma and R'G'B' (with an offset of
    black, or signed) blend as the colours do that they stand for.
    """
    base: Any = float(background) if isinstance(background, int) else background
    difference = cv2.subtract(foreground, base, dtype=cv2.CV_32F)
    cv2.multiply(difference, alpha16, dst=difference, scale=1 / 65535, dtype=cv2.CV_32F)
    blended = cv2.add(difference, base, dtype=_DEPTH[foreground.dtype])
    typed: Plane = np.asarray(blended, foreground.dtype)  # type: ignore[assignment]
    return typed


def to_bits(alpha16: NDArray[np.uint16], bits: int, out: Plane | None = None) -> Plane:
    """(h, w) uint16 alpha as codes 0 .. 2**bits - 1, uint8 up to 8 bits, else uint16.

    out: where to write the codes, (h, w) of any integer type that holds them.
    """
    if out is None:
        out = np.empty(alpha16.shape, np.uint8 if bits <= 8 else np.uint16)
    if bits in (8, 16):
        out[:] = alpha16 if bits == 16 else cv2.convertScaleAbs(alpha16, alpha=255 / 65535)
        return out
    for top in range(0, alpha16.shape[0], _ROWS):
        rows = alpha16[top : top + _ROWS]
        # alpha x (2**bits - 1) / 65535, rounded, by shifts.
        codes = np.right_shift(rows, bits, dtype=np.uint16)
        np.subtract(rows, codes, out=codes)
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
    # For 4:2:2 linear and area interpolation give the same mean, linear in a quarter of the time.
    half_width = shape[0] == alpha16.shape[0] and 2 * shape[1] == alpha16.shape[1]
    interpolation = cv2.INTER_LINEAR if half_width else cv2.INTER_AREA
    smaller = cv2.resize(alpha16, (shape[1], shape[0]), interpolation=interpolation)
    return np.asarray(smaller, np.uint16)


def fill_empty_blocks(
    planes: Sequence[Plane] | Sequence[NDArray[np.uint32]],
    codes: tuple[int, ...],
    alpha: NDArray[np.float32],
    margin: int,
) -> None:
    """Fill planes, in place, with flat codes where alpha is 0 within a margin.

    planes: full-size (H, W) components first, then chroma of full or half size; or one plane of
    whole pixels. codes: the flat code of each plane. alpha: the small (h, w) float32 matte. margin:
    in pixels of the full size. Whole blocks of 16 x 16 pixels are filled, so that an encoder's
    block is either picture or flat.
    """
    height, width = planes[0].shape
    blocks = _occupied(alpha, -(-height // 16), -(-width // 16), (height, width), margin)
    changes = np.flatnonzero((blocks[1:] != blocks[:-1]).any(axis=1)) + 1
    bands = [0, *changes.tolist(), len(blocks)]
    # Neighbouring rows of blocks are mostly equal: one fill serves all of them.
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
    """(rows, columns) bool: which 16 x 16 blocks hold alpha, or lie within the margin of some."""
    # The guided filter carries alpha over two of its windows, which must not be filled.
    reach = [
        2 * RADIUS + 3 + round(margin * small / full)
        for small, full in zip(alpha.shape, shape, strict=True)
    ]
    present = np.where(alpha > FLOOR / 2, np.uint8(255), np.uint8(0))
    present = cv2.dilate(present, np.ones((2 * reach[0] + 1, 2 * reach[1] + 1), np.uint8))
    return np.asarray(cv2.resize(present, (columns, rows), interpolation=cv2.INTER_AREA) > 0)
