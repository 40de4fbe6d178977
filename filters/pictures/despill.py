"""Removal of spill: the light that a green or blue wall throws on the person in front of it.

The wall's channel is limited to the larger of the two other channels, as keyers have long done (US
patent 4100569, Vlahos 1978): gray stays gray, and skin, whose largest channel is red, stays as it
is. The limit holds where the matte is soft and near its edge, and fades out inside the person, so
that clothes of the wall's colour keep their colour. All of this is linear in the picture's codes,
and the excess of green depends on chroma alone, so it is computed at the chroma's size, in the
source's own YUV or R'G'B' at any depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.composite import Plane
from mattecast.filters.pictures.upsampling import COLUMN_GAP, STRIP, column_runs

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

WALLS = {"green": 1, "blue": 2}  # the channel of each
# How far inside the person spill is removed, as a share of the picture's height.
REACH = 1 / 24
# A wall's channel exceeds the others by this much (8-bit levels) in at least this share of the
# background.
EXCESS, WALL_SHARE = 32, 0.5
# Alpha below this is background; the wall is judged where the background fills at least this share
# of the picture.
EMPTY, ENOUGH = 0.05, 0.05


@dataclass(slots=True)
class WallFinder:
    """Finds out whether a clip was shot before a green wall, a blue wall, or neither.

    A picture that shows too little of the background gets the answer of the picture before it.
    """

    _wall: str | None = None

    def find(self, picture: Bytes, alpha: Float) -> str | None:
        """'green', 'blue' or None for one picture.

        picture: (h, w, 3) uint8 RGB. alpha: (h, w) float32 in [0, 1].
        """
        background = picture[alpha < EMPTY].astype(np.int16)
        if len(background) >= ENOUGH * alpha.size:
            shares = {
                wall: np.mean(_excess(background, channel) >= EXCESS)
                for wall, channel in WALLS.items()
            }
            wall = max(shares, key=lambda each: shares[each])
            self._wall = wall if shares[wall] >= WALL_SHARE else None
        return self._wall


def _excess(colours: NDArray[np.int16], channel: int) -> NDArray[np.int16]:
    """How far one channel of colours (n, 3) exceeds the larger of the others: (n,)."""
    others = np.delete(colours, channel, axis=1).max(axis=1)
    return np.asarray(colours[:, channel] - others, np.int16)


def spill_weight(alpha: Float) -> Float:
    """How fully spill is removed at each place: (h, w) float32 in [0, 1].

    alpha: (h, w) float32 in [0, 1]. The weight is 1 at edges and where the person is thin or soft,
    0 far inside the person and far outside.
    """
    reach = max(1, round(REACH * alpha.shape[0]))
    inside = cv2.blur(alpha, (2 * reach + 1, 2 * reach + 1))
    near = cv2.dilate(alpha, np.ones((5, 5), np.uint8)) > 0
    # At a straight edge half of the window lies inside; the weight is 1 until two thirds do.
    weight = np.minimum((1 - inside) * np.float32(3), 1)
    return np.asarray(np.where(near, weight, 0), np.float32)


def despill(planes: list[Plane], weight: Float, wall: str, from_rgb: Float, top: int) -> None:
    """Limit the wall's channel, in place.

    planes: the picture's three colour planes, the last two of one size, in codes 0..top. weight:
    (h, w) float32 in [0, 1] of any size, see spill_weight. wall: a key of WALLS. from_rgb: (3, 4)
    float32 matrix from 8-bit (R, G, B, 1) to the planes' codes.
    """
    channel = WALLS[wall]
    whole = planes[0].shape == planes[1].shape
    height, width = planes[1].shape
    weight = np.asarray(cv2.resize(weight, (width, height), interpolation=cv2.INTER_LINEAR))
    excess = _excess_functions(from_rgb, channel, whole)
    step = from_rgb[:, channel]
    for top_row in range(0, height, STRIP):
        rows = slice(top_row, min(height, top_row + STRIP))
        for columns in column_runs((weight[rows] > 0).astype(np.uint8), COLUMN_GAP):
            area = rows, columns
            used = planes if whole else planes[1:]
            codes = np.stack([each[area] for each in used]).astype(np.float32)
            spill = _spill(codes, excess) * weight[area]
            for index in range(0 if whole else 1, 3):
                _subtract(planes[index][area], spill * step[index], top)
            if not whole:
                _subtract_from_luma(planes[0], planes[1].shape, area, spill * step[0], top)


def _excess_functions(from_rgb: Float, channel: int, whole: bool) -> Float:
    """By how much the channel exceeds each of the two others, as linear functions of codes.

    Returns (2, n + 1) float32, in 8-bit levels: factors for the codes of all planes (R'G'B') or of
    the last two (YUV), and in the last column a constant.
    """
    matrix = from_rgb[:, :3].astype(np.float64)
    back = np.linalg.inv(matrix)
    rows = np.stack([back[channel] - back[other] for other in range(3) if other != channel])
    constants = -rows @ from_rgb[:, 3].astype(np.float64)
    # Luma plays no part: in a gray of any brightness no channel exceeds the others.
    kept = rows if whole else rows[:, 1:]
    if not whole:
        constants = -rows[:, 1:] @ from_rgb[1:, 3].astype(np.float64)
    return np.asarray(np.column_stack([kept, constants]), np.float32)


def _spill(codes: Float, excess: Float) -> Float:
    """By how much the channel is to be lowered, (h, w) in 8-bit levels. codes: (n, h, w)."""
    over = [np.tensordot(row[:-1], codes, 1) + row[-1] for row in excess]
    return np.asarray(np.maximum(np.minimum(*over), 0), np.float32)


def _subtract(plane: NDArray[Any], change: Float, top: int) -> None:
    codes = plane - change
    codes += np.float32(0.5)
    plane[...] = np.clip(codes, 0, top, out=codes).astype(plane.dtype)


def _subtract_from_luma(
    luma: Plane, shape: tuple[int, ...], area: tuple[slice, slice], change: Float, top: int
) -> None:
    """Subtract a change of the chroma's size from the luma that it covers."""
    ratios = [-(-large // small) for large, small in zip(luma.shape, shape, strict=True)]
    rows, columns = (
        slice(side.start * ratio, side.stop * ratio)
        for side, ratio in zip(area, ratios, strict=True)
    )
    part = luma[rows, columns]  # where a side is odd, the last pixel of chroma covers less
    larger = change.repeat(ratios[0], axis=0).repeat(ratios[1], axis=1)
    _subtract(part, larger[: part.shape[0], : part.shape[1]], top)
