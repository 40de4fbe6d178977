"""Matting metrics on the scales papers print, and one that needs no truth.

An alpha is `(H, W) float32 in [0, 1]`, or `(H, W) uint8`, which is read as value / 255. Grad and
Conn are sums over the picture: they mean something only beside its size.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Alpha = npt.NDArray[Any]
Float = npt.NDArray[np.float32]

# Gradient metric of Rhemann et al., "A Perceptually Motivated Online Benchmark for Image Matting"
# (CVPR 2009): the Gaussian's spread, and the value under which its tail is cut.
SIGMA = 1.4
TAIL = 1e-2
# Connectivity metric of the same paper: level spacing, and the difference it forgives.
LEVELS = 10
FORGIVEN = 0.15


@dataclass(frozen=True)
class Scores:
    """Errors of a matte against its truth. 0 is perfect for all but `iou`, where 1 is."""

    mad: float  # mean |p - g| * 1e3
    mse: float  # mean (p - g)^2 * 1e3
    grad: float  # sum of squared differences of gradient amplitude / 1e3
    conn: float  # sum of differences of connectedness / 1e3
    dtssd: float  # root mean squared difference of the change since the last frame * 1e2
    iou: float  # overlap of the two masks at alpha 0.5, in [0, 1]


def mad(predicted: Alpha, true: Alpha) -> float:
    """Mean absolute difference of two alphas of one size, times 1e3."""
    predicted, true = _pair(predicted, true)
    return float(np.mean(np.abs(predicted - true), dtype=np.float64)) * 1e3


def mse(predicted: Alpha, true: Alpha) -> float:
    """Mean squared difference of two alphas of one size, times 1e3."""
    predicted, true = _pair(predicted, true)
    return float(np.mean(np.square(predicted - true), dtype=np.float64)) * 1e3


def grad(predicted: Alpha, true: Alpha) -> float:
    """Squared difference of edge strength, summed over the picture, divided by 1e3."""
    predicted, true = _pair(predicted, true)
    difference = _edges(predicted) - _edges(true)
    return float(np.sum(np.square(difference), dtype=np.float64)) / 1e3


def conn(predicted: Alpha, true: Alpha) -> float:
    """Difference of how firmly pixels hang on the common subject, summed, divided by 1e3."""
    predicted, true = _pair(predicted, true)
    held = _held(predicted, true)
    difference = _looseness(predicted - held) - _looseness(true - held)
    return float(np.sum(np.abs(difference), dtype=np.float64)) / 1e3


def dtssd(predicted: Alpha, predicted_before: Alpha, true: Alpha, true_before: Alpha) -> float:
    """Root mean squared difference of the two alphas' change since the last frame, times 1e2."""
    predicted, true = _pair(predicted, true)
    predicted_before, true_before = _pair(predicted_before, true_before)
    difference = (predicted - predicted_before) - (true - true_before)
    return math.sqrt(float(np.mean(np.square(difference), dtype=np.float64))) * 1e2


def iou(predicted: Alpha, true: Alpha) -> float:
    """Intersection over union of alpha >= 0.5; two empty masks agree fully."""
    predicted, true = (alpha >= 0.5 for alpha in _pair(predicted, true))
    union = np.count_nonzero(predicted | true)
    return np.count_nonzero(predicted & true) / union if union else 1.0


def foreground_mse(predicted: Alpha, true: Alpha, alpha: Alpha) -> float:
    """Mean squared difference of two `(H, W, 3)` foregrounds where true alpha > 0, times 1e3.

    Foregrounds are float32 in [0, 1] or uint8. nan where the alpha is empty.
    """
    predicted, true = _pair(predicted, true)
    inside = np.square(predicted - true)[alpha > 0]
    return float(np.mean(inside, dtype=np.float64)) * 1e3 if inside.size else math.nan


def score(predicted: Alpha, true: Alpha, before: tuple[Alpha, Alpha] | None = None) -> Scores:
    """Score one frame; `before` is (predicted, true) of the frame before, None for a first frame.

    Raises ValueError when two alphas differ in size. A first frame has dtSSD 0.
    """
    changed = dtssd(predicted, before[0], true, before[1]) if before else 0.0
    common = predicted, true
    return Scores(mad(*common), mse(*common), grad(*common), conn(*common), changed, iou(*common))


def score_clip(pairs: Iterable[tuple[Alpha, Alpha]]) -> Scores:
    """Mean scores over a clip's (predicted, true) alphas in order; ValueError without any."""
    scores, before = [], None
    for pair in pairs:
        scores.append(score(*pair, before=before))
        before = pair
    return mean(scores)


def mean(scores: Iterable[Scores]) -> Scores:
    """Mean of scores, field by field: of frames over a clip, or of clips over a set."""
    rows = [tuple(vars(each).values()) for each in scores]
    if not rows:
        raise ValueError("nothing to average: got no scores, expected at least one")
    return Scores(*(float(column) for column in np.mean(rows, axis=0)))


def flicker(frames: Iterable[tuple[npt.NDArray[np.uint8], Alpha]], window: int = 8) -> float:
    """Temporal standard deviation of alpha where the picture does not move, times 1e3.

    `frames` are (picture, alpha) in order, the picture `(H, W, 3) uint8`. The clip is cut into
    windows of frames; a pixel does not move while its blurred gray stays within 3 levels (camera
    noise) over the window. Mean over such pixels and windows; nan when everything moves.
    """
    spread, count, held = 0.0, 0, []
    for picture, alpha in frames:
        held.append((_gray(picture), _alpha(alpha)))
        if len(held) == window:
            noise = _still_noise(held)
            spread, count, held = spread + float(noise.sum()), count + noise.size, []
    return spread / count * 1e3 if count else math.nan


def _still_noise(held: list[tuple[Float, Float]]) -> Float:
    grays, alphas = (np.stack(part) for part in zip(*held, strict=True))
    still = np.ptp(grays, axis=0) <= 3.0
    return np.asarray(alphas.std(axis=0)[still], np.float32)


def _gray(picture: npt.NDArray[np.uint8]) -> Float:
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(gray, (0, 0), 1.5), np.float32)


def _alpha(alpha: Alpha) -> Float:
    if alpha.dtype == np.uint8:
        return alpha.astype(np.float32) / np.float32(255)
    return alpha.astype(np.float32, copy=False)


def _pair(predicted: Alpha, true: Alpha) -> tuple[Float, Float]:
    if predicted.shape != true.shape:
        raise ValueError(f"sizes differ: got {predicted.shape}, expected {true.shape} as the truth")
    return _alpha(predicted), _alpha(true)


def _edges(alpha: Float) -> Float:
    """Gradient amplitude of an alpha stretched to 0..1; `(H, W) float32`."""
    stretched = _stretched(alpha)
    smooth, slope = _kernels()
    border = cv2.BORDER_REPLICATE
    across = cv2.sepFilter2D(stretched, cv2.CV_32F, slope, smooth, borderType=border)
    down = cv2.sepFilter2D(stretched, cv2.CV_32F, smooth, slope, borderType=border)
    return np.hypot(across, down)


def _stretched(alpha: Float) -> Float:
    low, high = float(alpha.min()), float(alpha.max())
    # A flat alpha has no edges whatever its level.
    return (alpha - low) / (high - low) if high > low else np.zeros_like(alpha)


def _kernels() -> tuple[Float, Float]:
    """The Gaussian and its slope; their outer product, the two-dimensional filter, has norm 1."""
    half = math.ceil(SIGMA * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * SIGMA * TAIL)))
    x = np.arange(-half, half + 1, dtype=np.float64)
    smooth = np.exp(-(x**2) / (2 * SIGMA**2))
    return _unit(smooth), _unit(x * smooth)


def _unit(kernel: npt.NDArray[np.float64]) -> Float:
    return np.asarray(kernel / np.linalg.norm(kernel), np.float32)


def _held(predicted: Float, true: Float) -> Float:
    """Level up to which each pixel belongs to the largest part both alphas share, in 0, 0.1..1."""
    both = np.minimum(predicted, true)
    held = np.zeros_like(both)
    within = np.ones(both.shape, bool)
    for level in range(1, LEVELS + 1):
        # A pixel that has left the subject does not return at a higher level.
        within &= _largest(both >= level / LEVELS)
        held[within] = level / LEVELS
    return held


def _largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The largest 4-connected part of a mask; the first in reading order among equals."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=4)
    if len(stats) == 1:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])))


def _looseness(above: Float) -> Float:
    return above * (above >= FORGIVEN)
