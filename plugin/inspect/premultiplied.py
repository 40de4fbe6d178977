"""Is a clip straight or multiplied by its alpha? Its pictures are the only evidence.

Straight pictures keep full colours under soft alpha; premultiplied ones (over black) fade with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Verdict = Literal["straight", "premultiplied", "unclear"]

# Fewer soft pixels than this say nothing in either direction.
ENOUGH = 200
# A colour may pass its alpha by this much through rounding and compression alone.
SLACK = 0.06


@dataclass(frozen=True)
class Alphas:
    """What the pictures of a clip show about its alpha."""

    count: int  # pictures judged
    lowest: int  # of 255
    highest: int  # of 255
    verdict: Verdict
    why: str


def judge(pictures: Iterable[NDArray[np.uint8]]) -> Alphas:
    """Judge the alpha of one clip by its RGBA pictures, `(H, W, 4) uint8`; ValueError without."""
    evidence, range_ = [], []
    for picture in pictures:
        alpha = picture[..., 3]
        range_ += [int(alpha.min()), int(alpha.max())]
        evidence.append(_evidence(picture))
    if not range_:
        raise ValueError("no pictures to judge: got none, expected at least one")
    soft, faded, clear = (np.concatenate(part) for part in zip(*evidence, strict=True))
    return Alphas(len(evidence), min(range_), max(range_), *_verdict(soft, faded, clear))


def _evidence(
    picture: NDArray[np.uint8],
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.bool_]]:
    """Lists: soft pixels brighter than alpha, how soft pixels fade, clear pixels in colour."""
    values = np.asarray(picture.astype(np.float32) / 255, np.float32)
    bright, alpha = values[..., :3].max(axis=2), values[..., 3]
    soft = (alpha > 0.1) & (alpha < 0.7)
    inside = _nearby(bright, alpha > 0.95)
    known = soft & (inside > 0.2)  # in the dark both kinds look alike
    ratio = np.maximum(bright[known], 1 / 255) / inside[known]
    faded = np.asarray(np.log(ratio) / np.log(alpha[known]), np.float32)
    return bright[soft] > alpha[soft] + SLACK, faded, bright[alpha < 0.02] > 0.08


def _nearby(bright: NDArray[np.float32], solid: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean brightness of solid pixels around each pixel; 0 where there are none."""
    side = max(15, bright.shape[1] // 40 | 1)
    weight = solid.astype(np.float32)
    total, share = (cv2.blur(each, (side, side)) for each in (bright * weight, weight))
    return np.where(share > 0.02, total / np.maximum(share, 0.02), 0).astype(np.float32)


def _verdict(
    past: NDArray[np.bool_], faded: NDArray[np.float32], clear: NDArray[np.bool_]
) -> tuple[Verdict, str]:
    if past.size < ENOUGH:
        return "unclear", f"only {past.size} soft pixels to judge by"
    share = float(past.mean())
    says = f"{share:.0%} of soft pixels are brighter than their alpha"
    if faded.size >= ENOUGH:
        # Brightness follows alpha to this power: 0 where straight, 1 where premultiplied.
        power = float(np.median(faded))
        says += f", brightness fades with alpha to the power {power:.2f}"
        if power > 0.75 and share < 0.05:
            return "premultiplied", says
        if power < 0.25:
            return "straight", says
    if share > 0.1 or (clear.size >= ENOUGH and clear.mean() > 0.2):
        return "straight", says
    return "unclear", says
