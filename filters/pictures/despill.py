"""Light that a green or blue wall throws on the person in front of it, taken away again.

The wall's channel is limited to the larger of the two others, as keyers have long done (US patent
4100569, Vlahos 1978): what is gray stays gray, and skin, whose red leads, stays as it is. The
limit holds where the matte is soft and near its edge, and fades out within the person, so that
clothes of the wall's own colour keep it there. Everything is linear in the picture's codes, and
how far green leads depends on chroma alone, so it is worked out at the chroma's size, in the
source's own YUV or R'G'B' at any depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.composite import Plane
from mattecast.filters.pictures.upsampling import APART, STRIP, spans

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

WALLS = {"green": 1, "blue": 2}  # the channel of each
# How far into the person spill is looked for, in parts of the picture's height.
REACH = 1 / 24
# A wall's channel leads by this much (8-bit levels), in at least this part of the background.
LEAD, WALL_SHARE = 32, 0.5
# Alpha below this is background, to tell the wall by; and how much of the picture that must be.
EMPTY, ENOUGH = 0.05, 0.05


@dataclass(slots=True)
class WallFinder:
    """Tells green walls from blue ones and from rooms.

    Remembers the last answer over pictures that show too little behind the person.
    """

    _wall: str | None = None

    def find(self, picture: Bytes, alpha: Float) -> str | None:
        """'green', 'blue' or None. picture: (h, w, 3) uint8 RGB. alpha: (h, w) in [0, 1]."""
        behind = picture[alpha < EMPTY].astype(np.int16)
        if len(behind) >= ENOUGH * alpha.size:
            leads = {
                wall: np.mean(_lead(behind, channel) >= LEAD) for wall, channel in WALLS.items()
            }
            wall = max(leads, key=lambda each: leads[each])
            self._wall = wall if leads[wall] >= WALL_SHARE else None
        return self._wall


def _lead(colours: NDArray[np.int16], channel: int) -> NDArray[np.int16]:
    """How far one channel exceeds the larger of the others: (n,)."""
    others = np.delete(colours, channel, axis=1).max(axis=1)
    return np.asarray(colours[:, channel] - others, np.int16)


def spilled(alpha: Float) -> Float:
    """Where spill is taken away, and how fully: (h, w) float32 in [0, 1], 1 at edges and in all
    that is thin or soft, 0 far inside the person and far outside."""
    reach = max(1, round(REACH * alpha.shape[0]))
    inside = cv2.blur(alpha, (2 * reach + 1, 2 * reach + 1))
    near = cv2.dilate(alpha, np.ones((5, 5), np.uint8)) > 0
    # At a straight edge half the window lies inside: full until two thirds do.
    weight = np.minimum((1 - inside) * np.float32(3), 1)
    return np.asarray(np.where(near, weight, 0), np.float32)


def despill(planes: list[Plane], weight: Float, wall: str, from_rgb: Float, top: int) -> None:
    """Limit the wall's channel, in place.

    planes: the picture's three colour planes, the last two of one size, in codes 0 to top.
    weight: (h, w) float32 in [0, 1] at any size, see `spilled`. from_rgb: (3, 4) float32, 8-bit
    R, G, B, 1 to the planes' codes.
    """
    channel = WALLS[wall]
    whole = planes[0].shape == planes[1].shape
    height, width = planes[1].shape
    weight = np.asarray(cv2.resize(weight, (width, height), interpolation=cv2.INTER_LINEAR))
    leads = _leads(from_rgb, channel, whole)
    step = from_rgb[:, channel]
    for top_row in range(0, height, STRIP):
        rows = slice(top_row, min(height, top_row + STRIP))
        for columns in spans((weight[rows] > 0).astype(np.uint8), APART):
            area = rows, columns
            used = planes if whole else planes[1:]
            seen = np.stack([each[area] for each in used]).astype(np.float32)
            spill = _spill(seen, leads) * weight[area]
            for place in range(0 if whole else 1, 3):
                _subtract(planes[place][area], spill * step[place], top)
            if not whole:
                _subtract_larger(planes[0], planes[1].shape, area, spill * step[0], top)


def _leads(from_rgb: Float, channel: int, whole: bool) -> Float:
    """(2, n + 1): by how much (8-bit levels) the channel exceeds each other one, as a linear
    function of the codes of all planes or, of YUV, the last two; the last column added."""
    matrix = from_rgb[:, :3].astype(np.float64)
    back = np.linalg.inv(matrix)
    rows = np.stack([back[channel] - back[other] for other in range(3) if other != channel])
    constants = -rows @ from_rgb[:, 3].astype(np.float64)
    # Luma plays no part: a gray of any brightness leads by nothing.
    kept = rows if whole else rows[:, 1:]
    if not whole:
        constants = -rows[:, 1:] @ from_rgb[1:, 3].astype(np.float64)
    return np.asarray(np.column_stack([kept, constants]), np.float32)


def _spill(codes: Float, leads: Float) -> Float:
    """How much of the channel is too much, (h, w) in 8-bit levels. codes: (n, h, w)."""
    over = [np.tensordot(row[:-1], codes, 1) + row[-1] for row in leads]
    return np.asarray(np.maximum(np.minimum(*over), 0), np.float32)


def _subtract(plane: NDArray[Any], change: Float, top: int) -> None:
    codes = plane - change
    codes += np.float32(0.5)
    plane[...] = np.clip(codes, 0, top, out=codes).astype(plane.dtype)


def _subtract_larger(
    luma: Plane, shape: tuple[int, ...], area: tuple[slice, slice], change: Float, top: int
) -> None:
    """Subtract a change of chroma's size from the luma that it covers."""
    ratios = [-(-large // small) for large, small in zip(luma.shape, shape, strict=True)]
    rows, columns = (
        slice(side.start * ratio, side.stop * ratio)
        for side, ratio in zip(area, ratios, strict=True)
    )
    part = luma[rows, columns]  # an odd side ends within the last pixel of chroma
    larger = change.repeat(ratios[0], axis=0).repeat(ratios[1], axis=1)
    _subtract(part, larger[: part.shape[0], : part.shape[1]], top)
