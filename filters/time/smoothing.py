"""Smoothing of mattes over time at the network's size: flicker is removed, movement stays.

A matte moves towards the mattes of neighbouring frames at the same point, but only as far as the
picture is the same there. Where the picture has changed, the frame's own matte stays.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Picture = TypeVar("Picture", NDArray[np.float32], NDArray[np.uint8])

# Colour difference (8-bit levels, mean of 3 x 3 pixels of the half-size picture) at which the
# similarity of two places has fallen to 1 / e.
SAME = 12.0
# The same for smoothing without motion: there a slow edge must count as a change.
STILL = 7.0
# Weight of the next frame on either side.
STRENGTH = 0.6
# Where the picture stands still, STILL_WEIGHT is the weight of the frame before: a long memory
# removes slow flicker, and nothing can trail there. A picture stands still where it differs little
# from its mean over the last 1 / SETTLING frames: the similarity (with power STEEP) is flat up to
# camera noise and falls steeply at UNMOVED levels.
STILL_WEIGHT, UNMOVED, STEEP, SETTLING = 0.97, 6.0, 4, 0.4
# Frames that the two-way filter sees ahead.
WINDOW = 2
# Difference of the means of past and future at which both count little.
DISAGREEMENT = 0.5
# How far the person's motion and its similarity reach beyond the edge, as shares of the long side:
# an edge moves with the person, and the wall seen through soft alpha does not show where it is.
REACH, NEAR = 1 / 24, 1 / 96
# Weight of pixels with alpha 0 in means over the person's motion and similarity: where no person is
# near, all pixels count alike.
EMPTY_MOTION_WEIGHT, EMPTY_TRUST_WEIGHT = 1e-3, 0.02
# Least side for OpenCV's DIS flow: it crashes the process on sides of 24 and less beside long ones;
# a side of 32 worked.
MIN_FLOW_SIDE = 64


class Smoother(Protocol):
    """Takes mattes in order and returns them smoothed, in order, some frames later."""

    def push(self, alpha: Float, picture: Bytes) -> list[Float]:
        """Take the next frame; return the mattes that are ready, the oldest first.

        alpha: (h, w) float32 in [0, 1]. picture: (h, w, 3) uint8 RGB of the same size.
        """
        ...

    def flush(self) -> list[Float]:
        """Return the mattes that are still held, and forget everything, as at a cut."""
        ...


@dataclass(slots=True)
class Causal:
    """Motion-adaptive exponential smoothing without delay.

    The weight of the past falls as the picture changes (temporal noise reduction as in Dubois and
    Sabri, IEEE Trans. Communications 1984), so nothing trails behind a moving hand. strength: the
    weight of the past where nothing changes, 0 to 1.
    """

    strength: float = 0.5
    _alpha: Float | None = None
    _half: Bytes | None = None

    def push(self, alpha: Float, picture: Bytes) -> list[Float]:
        """See Smoother."""
        half, smoothed = _half(picture), alpha
        if self._alpha is not None and self._half is not None:
            weight = _enlarged_similarity(half, self._half, alpha.shape, STILL)
            smoothed = _mixed(alpha, self._alpha, weight * np.float32(self.strength))
        self._alpha, self._half = smoothed, half
        return [smoothed]

    def flush(self) -> list[Float]:
        """See Smoother."""
        self._alpha = self._half = None
        return []


@dataclass(slots=True)
class Delayed:
    """Smoothing with one frame of delay: a frame unlike two equal neighbours takes their mean.

    Method: "One-frame delay" of Ke et al., "MODNet", AAAI 2022 (arXiv 2011.11961), section 3.4;
    here only where the picture stands still over the three frames. strength: 0 to 1.
    """

    strength: float = 0.8
    _alphas: deque[Float] = field(default_factory=deque)
    _halves: deque[Bytes] = field(default_factory=deque)

    def push(self, alpha: Float, picture: Bytes) -> list[Float]:
        """See Smoother."""
        self._alphas.append(alpha)
        self._halves.append(_half(picture))
        if len(self._alphas) < 3:
            return list(self._alphas)[:1] if len(self._alphas) == 2 else []
        before, now, after = self._alphas
        still = cv2.min(
            *(
                _enlarged_similarity(self._halves[1], other, alpha.shape)
                for other in (self._halves[0], self._halves[2])
            )
        )
        agree = np.maximum(1 - np.abs(before - after) * np.float32(5), np.float32(0))
        weight = np.asarray(still * agree * np.float32(self.strength), np.float32)
        corrected = _mixed(now, (before + after) * np.float32(0.5), weight)
        self._alphas.popleft()
        self._halves.popleft()
        return [corrected]

    def flush(self) -> list[Float]:
        """See Smoother."""
        last = list(self._alphas)[-1:]
        self._alphas.clear()
        self._halves.clear()
        return last


@dataclass(slots=True)
class _Moment:
    """One frame in the window; the last four fields are None on a first frame.

    half: the picture at half the matte's size. weight_of_before: how much the frame before counts
    here. weight_in_before: how much this frame counts there. Both are (h/2, w/2). to_before,
    from_before: (h, w, 2), the position in the frame before of each pixel of this one, and the
    position in this frame of each pixel of the one before.
    """

    alpha: Float
    half: Bytes
    weight_of_before: Float | None = None
    weight_in_before: Float | None = None
    to_before: Float | None = None
    from_before: Float | None = None


@dataclass(slots=True)
class TwoWay:
    """The mean over past and future along the picture's motion, with `window` frames of delay.

    Each frame counts `strength` times as much as the next nearer one, and only as far as the moved
    pictures match all the way; where the picture stands still the past counts nearly in full.
    Motion is dense optical flow (DIS: Kroeger et al., ECCV 2016, arXiv 1603.03590); at edges it is
    the person's motion. Memory holds window + 1 small frames, whatever the clip's length.
    """

    strength: float = STRENGTH
    window: int = WINDOW
    _moments: deque[_Moment] = field(default_factory=deque)
    _past: _Mean | None = None
    _settled: Float | None = None
    _flow: cv2.DISOpticalFlow = field(default_factory=lambda: _flow_of_finer_scale())

    def push(self, alpha: Float, picture: Bytes) -> list[Float]:
        """See Smoother."""
        moment = _Moment(alpha, _half(picture))
        if self._settled is None:
            self._settled = moment.half.astype(np.float32)
        else:
            self._link(self._moments[-1], moment, _still(moment.half, self._settled))
            cv2.accumulateWeighted(moment.half, self._settled, SETTLING)
        self._moments.append(moment)
        return [self._release_oldest()] if len(self._moments) > self.window else []

    def flush(self) -> list[Float]:
        """See Smoother."""
        rest = []
        while self._moments:
            rest.append(self._release_oldest())
        self._past = self._settled = None
        return rest

    def _link(self, before: _Moment, moment: _Moment, still: Float) -> None:
        """Find the motion between two frames, and how much each counts for the other."""
        person, person_before = _person(moment), _person(before)
        back = _person_motion(_motion(self._flow, moment.half, before.half), person)
        # Still places are not moved at all: a mean that is interpolated in each frame would blur.
        moving = (still < 0.5).astype(np.float32)
        back = np.asarray(cv2.multiply(back, cv2.merge([moving, moving])), np.float32)
        # The forward motion is taken as the backward motion reversed, at half the cost. Where that
        # is wrong (at places being covered) the pictures do not match and the weight is 0.
        positions_before, positions_after = _source_positions(back), _source_positions(back, -1)
        trust = _similarity(moment.half, _warped(before.half, positions_before))
        trust_before = _similarity(before.half, _warped(moment.half, positions_after))
        # The full weight is used from the usual strength on, so that strength 0 is off.
        still_weight = still * np.float32(STILL_WEIGHT * min(1.0, self.strength / STRENGTH))
        moment.weight_of_before, moment.weight_in_before = (
            np.asarray(cv2.max(each * np.float32(self.strength), still_weight), np.float32)
            for each in (_person_trust(trust, person), _person_trust(trust_before, person_before))
        )
        large = _enlarged_motion(back, moment.alpha.shape)
        moment.to_before = _source_positions(large)
        moment.from_before = _source_positions(large, -1)

    def _release_oldest(self) -> Float:
        """Take the oldest frame out of the window and return its smoothed matte."""
        moment = self._moments.popleft()
        past, future = self._from_past(moment), self._from_future()
        if past and future:
            past, future = _weakened_by_disagreement(past, future)
        own = _Mean(moment.alpha, np.ones(moment.half.shape[:2], np.float32))
        self._past = own.merged_with(past) if past else own
        smoothed = self._past.merged_with(future) if future else self._past
        return np.clip(smoothed.mean, 0, 1)

    def _from_past(self, moment: _Moment) -> _Mean | None:
        """The mean of the frames before, moved to a frame."""
        if self._past is None or moment.weight_of_before is None or moment.to_before is None:
            return None
        # This mean is interpolated in each frame; bilinear interpolation would blur it.
        mean = _warped(self._past.mean, moment.to_before, cv2.INTER_CUBIC)
        return _Mean(mean, np.asarray(moment.weight_of_before * self._past.count, np.float32))

    def _from_future(self) -> _Mean | None:
        """The mean of the frames in the window, moved to the frame before them."""
        future: _Mean | None = None
        for moment in reversed(self._moments):
            own = _Mean(moment.alpha, np.ones(moment.half.shape[:2], np.float32))
            here = own.merged_with(future) if future else own
            assert moment.from_before is not None and moment.weight_in_before is not None
            count = np.asarray(moment.weight_in_before * here.count, np.float32)
            future = _Mean(_warped(here.mean, moment.from_before), count)
        return future


@dataclass(frozen=True, slots=True)
class _Mean:
    """A mean of mattes, (h, w), and how many mattes it stands for at each place, (h/2, w/2)."""

    mean: Float
    count: Float

    def merged_with(self, other: _Mean) -> _Mean:
        """The mean of both, each weighted by its count."""
        count = np.asarray(self.count + other.count, np.float32)
        weight = _enlarged(np.asarray(other.count / count, np.float32), self.mean.shape)
        return _Mean(_mixed(self.mean, other.mean, weight), count)


def _weakened_by_disagreement(past: _Mean, future: _Mean) -> tuple[_Mean, _Mean]:
    """Past and future with lower counts where they differ.

    There something changed that the picture did not show, and nobody knows in which frame.
    """
    size = past.count.shape[::-1]
    apart = cv2.resize(cv2.absdiff(past.mean, future.mean), size, interpolation=cv2.INTER_AREA)
    share = cv2.multiply(apart, apart, scale=1 / DISAGREEMENT**2)
    agree = cv2.exp(cv2.multiply(share, share, scale=-1.0))
    before, after = (
        _Mean(each.mean, np.asarray(cv2.multiply(each.count, agree), np.float32))
        for each in (past, future)
    )
    return before, after


def propagate(values: Float, before: Bytes, now: Bytes) -> Float:
    """Values of one picture moved to the next, falling to 0 where the moved picture differs.

    values: (h, w) float32. before, now: (h, w, 3) uint8 RGB. Returns (h, w) float32.
    """
    halves = _half(before), _half(now)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    back = _motion(flow, halves[1], halves[0])
    # Steep: camera noise would lower a flatter similarity to 0 over many frames.
    similarity = _similarity(halves[1], _warped(halves[0], _source_positions(back)), SAME, STEEP)
    moved = _warped(values, _source_positions(_enlarged_motion(back, values.shape)))
    return np.asarray(_enlarged(similarity, values.shape) * moved, np.float32)


SMOOTHERS: dict[str, type[Causal] | type[Delayed] | type[TwoWay]] = {
    "causal": Causal,
    "delayed": Delayed,
    "two-way": TwoWay,
}


def _mixed(alpha: Float, target: Float, weight: Float) -> Float:
    """alpha + weight (target - alpha)."""
    change = cv2.multiply(weight, cv2.subtract(target, alpha))
    return np.asarray(cv2.add(alpha, change), np.float32)


def _half(picture: Bytes) -> Bytes:
    """The picture at half its size, which is enough for motion at a quarter of the cost."""
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _enlarged_similarity(
    one: Bytes, other: Bytes, shape: tuple[int, ...], same: float = SAME
) -> Float:
    """The similarity of two small pictures, enlarged to the given shape."""
    return _enlarged(_similarity(one, other, same), shape)


def _similarity(one: Bytes, other: Bytes, same: float = SAME, power: int = 2) -> Float:
    """exp(-(difference / same) ** power) at each place: 1 where two pictures are equal.

    one, other: (h, w, 3) uint8. Returns (h, w) float32 in [0, 1].
    """
    red, green, blue = cv2.split(cv2.absdiff(one, other))
    change = cv2.blur(cv2.max(cv2.max(red, green), blue), (3, 3))
    return np.asarray(cv2.LUT(change, _similarity_table(same, power)), np.float32)


@lru_cache(maxsize=8)
def _similarity_table(same: float, power: int) -> Float:
    """The similarity of each of the 256 differences."""
    return np.asarray(np.exp(-((np.arange(256) / same) ** power)), np.float32)


def _still(half: Bytes, settled: Float) -> Float:
    """How still each place is: 1 where the picture equals its mean over the last frames."""
    mean = np.asarray(cv2.convertScaleAbs(settled), np.uint8)
    return _similarity(half, mean, UNMOVED, STEEP)


def _person(moment: _Moment) -> Float:
    """The weight of the person in each pixel, at half the matte's size.

    It is alpha squared, because soft alpha says little about the person.
    """
    size = moment.half.shape[1::-1]
    half = cv2.resize(moment.alpha, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.multiply(half, half), np.float32)


def _person_motion(flow: Float, person: Float) -> Float:
    """Motion in which each pixel moves as the person near it: a mean weighted by `person`.

    flow: (h, w, 2) float32. person: (h, w) float32 in [0, 1].
    """
    weight = person + np.float32(EMPTY_MOTION_WEIGHT)
    side = _window_sides(person, REACH)
    weighted = cv2.blur(cv2.multiply(flow, cv2.merge([weight, weight])), side)
    share = cv2.blur(weight, side)
    return np.asarray(cv2.divide(weighted, cv2.merge([share, share])), np.float32)


def _person_trust(trust: Float, person: Float) -> Float:
    """A similarity that is raised, at edges, to the mean similarity of the person beside them.

    trust, person: (h, w) float32 in [0, 1].
    """
    weight = person + np.float32(EMPTY_TRUST_WEIGHT)
    side = _window_sides(person, NEAR)
    nearby = cv2.divide(cv2.blur(cv2.multiply(trust, weight), side), cv2.blur(weight, side))
    return np.asarray(cv2.max(trust, nearby), np.float32)


def _window_sides(image: Float, share: float) -> tuple[int, int]:
    """The sides of a square window that reaches a share of the long side in each direction."""
    reach = max(1, round(share * max(image.shape)))
    return 2 * reach + 1, 2 * reach + 1


def _flow_of_finer_scale() -> cv2.DISOpticalFlow:
    """DIS flow in its quickest preset, one scale finer: half the error at edges, for 1 ms more."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow.setFinestScale(1)
    return flow


def _enlarged(values: Float, shape: tuple[int, ...]) -> Float:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _source_positions(flow: Float, sign: int = 1) -> Float:
    """The position that each pixel came from, (h, w, 2) as (x, y).

    flow: (h, w, 2). sign: 1, or -1 for the position that it moves to with the same motion.
    """
    grid = _grid(*flow.shape[:2])
    return np.asarray(cv2.add(grid, flow) if sign > 0 else cv2.subtract(grid, flow), np.float32)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> Float:
    across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return np.dstack(np.meshgrid(across, down))


def _enlarged_motion(flow: Float, shape: tuple[int, ...]) -> Float:
    """The motion of a half-size picture, enlarged to a picture of the given shape."""
    across, down = shape[1] / flow.shape[1], shape[0] / flow.shape[0]
    ratios = np.array([across, down, 0, 0])  # a scalar of four factors, one for each channel
    return _enlarged(np.asarray(cv2.multiply(flow, ratios), np.float32), shape)


def _motion(flow: cv2.DISOpticalFlow, now: Bytes, before: Bytes) -> Float:
    """The offset from each pixel of `now` to its place in `before`: (h, w, 2) as (x, y)."""
    height, width = now.shape[:2]
    gray, gray_before = (
        cv2.copyMakeBorder(
            cv2.cvtColor(each, cv2.COLOR_RGB2GRAY),
            *(0, max(0, MIN_FLOW_SIDE - height), 0, max(0, MIN_FLOW_SIDE - width)),
            borderType=cv2.BORDER_REPLICATE,
        )
        for each in (now, before)
    )
    nothing = np.zeros((*gray.shape, 2), np.float32)
    return np.asarray(flow.calc(gray, gray_before, nothing), np.float32)[:height, :width]


def _warped(image: Picture, positions: Float, interpolation: int = cv2.INTER_LINEAR) -> Picture:
    """An image read at the given positions, (h, w, 2) as (x, y)."""
    remap: Any = cv2.remap  # whose stub does not know that a second map may be None
    border = cv2.BORDER_REPLICATE
    warped: Picture = remap(image, positions, None, interpolation, borderMode=border)
    return warped
