"""Smoothing over time at the network's size: flicker goes, movement stays.

A matte is pulled towards what its neighbours in time say of the same point only as far as the
picture there is the same: where it changed, the frame's own matte stands.
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

# Colour difference (8-bit levels, mean of 3 x 3 pixels of the half-size picture) at which two
# places are no longer the same.
SAME = 12.0
# The same where nothing is moved to match: a slow edge must count as a change.
STILL = 7.0
# How strongly the neighbour on either side pulls.
STRENGTH = 0.6
# How much is handed on where the picture differs little from its own mean over the last
# 1 / SETTLING frames: long memory takes slow flicker away, and nothing there can trail. The
# likeness is flat up to camera noise and falls steeply about UNMOVED levels.
HELD, UNMOVED, STEEP, SETTLING = 0.97, 6.0, 4, 0.4
# Frames seen ahead by the two-way filter.
WINDOW = 2
# Past and future that differ by this much do not know what is in between.
DISAGREEMENT = 0.5
# How far a person's motion and its trust reach beyond the edge, in parts of the long side: an edge
# moves with the person, and what is seen through it of the wall says nothing about its place.
REACH, NEAR = 1 / 24, 1 / 96
# What alpha of 0 counts for in means over the person: without any person near, all count alike.
NOBODY, ANYBODY = 1e-3, 0.02
# OpenCV's DIS crashes the process on sides of 24 and less beside long ones; 32 was seen to hold.
FLOW_LEAST = 64


class Smoother(Protocol):
    """Takes mattes in order and gives them back in order, some frames later."""

    def push(self, alpha: Float, picture: Bytes) -> list[Float]:
        """Take the next frame; return the mattes that are ready, oldest first.

        alpha: (h, w) float32 in [0, 1]. picture: (h, w, 3) uint8 of the same size.
        """
        ...

    def flush(self) -> list[Float]:
        """Return what is still held and forget everything, as after a cut."""
        ...


@dataclass(slots=True)
class Causal:
    """Motion-adaptive exponential smoothing: no delay, nothing from a place that has changed.

    The weight of the past falls with the picture's change since the last frame (temporal noise
    reduction as in Dubois and Sabri, IEEE Trans. Communications 1984), so nothing trails behind a
    moving hand.
    """

    strength: float = 0.5
    _alpha: Float | None = None
    _half: Bytes | None = None

    def push(self, alpha: Float, picture: Bytes) -> list[Float]:
        """See Smoother."""
        half, smoothed = _half(picture), alpha
        if self._alpha is not None and self._half is not None:
            weight = _sameness(half, self._half, alpha.shape, STILL)
            smoothed = _pulled(alpha, self._alpha, weight * np.float32(self.strength))
        self._alpha, self._half = smoothed, half
        return [smoothed]

    def flush(self) -> list[Float]:
        """See Smoother."""
        self._alpha = self._half = None
        return []


@dataclass(slots=True)
class Delayed:
    """One-frame delay: a frame that differs from two neighbours which agree takes their mean.

    Ke et al., "MODNet", AAAI 2022 (arXiv 2011.11961), section 3.4, here only where the picture
    stands still over the three frames.
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
                _sameness(self._halves[1], other, alpha.shape)
                for other in (self._halves[0], self._halves[2])
            )
        )
        agree = np.maximum(1 - np.abs(before - after) * np.float32(5), np.float32(0))
        pull = np.asarray(still * agree * np.float32(self.strength), np.float32)
        corrected = _pulled(now, (before + after) * np.float32(0.5), pull)
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

    half: the picture at half the matte's size. kept: how much of the frame before counts here.
    kept_before: how much of this one counts there. to_before, from_before: (h, w, 2) where in the
    frame before each pixel is found, and where in this one each pixel of that. Those kept are of
    the half's size.
    """

    alpha: Float
    half: Bytes
    kept: Float | None = None
    kept_before: Float | None = None
    to_before: Float | None = None
    from_before: Float | None = None


@dataclass(slots=True)
class TwoWay:
    """The mean over past and future along the picture's motion; `window` frames of delay.

    Each frame counts `strength` times as much as the next one nearer, and only as far as the moved
    picture matches all the way; where the picture stands still the past counts nearly in full.
    Motion is dense optical flow (DIS: Kroeger et al., ECCV 2016, arXiv 1603.03590), at edges the
    person's own. Memory is that of window + 1 small frames, whatever the clip's length.
    """

    strength: float = STRENGTH
    window: int = WINDOW
    _moments: deque[_Moment] = field(default_factory=deque)
    _past: _Mean | None = None
    _settled: Float | None = None
    _flow: cv2.DISOpticalFlow = field(default_factory=lambda: _finer_flow())

    def push(self, alpha: Float, picture: Bytes) -> list[Float]:
        """See Smoother."""
        moment = _Moment(alpha, _half(picture))
        if self._settled is None:
            self._settled = moment.half.astype(np.float32)
        else:
            self._link(self._moments[-1], moment, _still(moment.half, self._settled))
            cv2.accumulateWeighted(moment.half, self._settled, SETTLING)
        self._moments.append(moment)
        return [self._oldest()] if len(self._moments) > self.window else []

    def flush(self) -> list[Float]:
        """See Smoother."""
        rest = []
        while self._moments:
            rest.append(self._oldest())
        self._past = self._settled = None
        return rest

    def _link(self, before: _Moment, moment: _Moment, still: Float) -> None:
        """Find the motion between two frames, and how much they tell of each other."""
        person, person_before = _person(moment), _person(before)
        back = _person_motion(_motion(self._flow, moment.half, before.half), person)
        # What stands still is not moved at all: a mean moved again and again would blur.
        moving = (still < 0.5).astype(np.float32)
        back = np.asarray(cv2.multiply(back, cv2.merge([moving, moving])), np.float32)
        # The way forth is taken as the way back reversed: half the cost, and where that is wrong
        # (at what is being covered) the pictures do not match and nothing is trusted.
        there, forth = _places(back), _places(back, -1)
        trust = _person_trust(_likeness(moment.half, _moved(before.half, there)), person)
        trust_before = _likeness(before.half, _moved(moment.half, forth))
        trust_before = _person_trust(trust_before, person_before)
        # Wholly from the usual strength on, so that strength 0 is off.
        held = still * np.float32(HELD * min(1.0, self.strength / STRENGTH))
        moment.kept, moment.kept_before = (
            np.asarray(cv2.max(each * np.float32(self.strength), held), np.float32)
            for each in (trust, trust_before)
        )
        large = _motion_enlarged(back, moment.alpha.shape)
        moment.to_before, moment.from_before = _places(large), _places(large, -1)

    def _oldest(self) -> Float:
        """The smoothed matte of the oldest frame held, which leaves the window."""
        moment = self._moments.popleft()
        past, future = self._from_past(moment), self._from_future()
        if past and future:
            past, future = _agreeing(past, future)
        own = _Mean(moment.alpha, np.ones(moment.half.shape[:2], np.float32))
        self._past = own.joined(past) if past else own
        smoothed = self._past.joined(future) if future else self._past
        return np.clip(smoothed.mean, 0, 1)

    def _from_past(self, moment: _Moment) -> _Mean | None:
        """What the frames before say of a frame."""
        if self._past is None or moment.kept is None or moment.to_before is None:
            return None
        # Moved again and again, it would blur were it not interpolated so well.
        mean = _moved(self._past.mean, moment.to_before, cv2.INTER_CUBIC)
        return _Mean(mean, np.asarray(moment.kept * self._past.count, np.float32))

    def _from_future(self) -> _Mean | None:
        """What the frames held say of the one before them."""
        future: _Mean | None = None
        for moment in reversed(self._moments):
            own = _Mean(moment.alpha, np.ones(moment.half.shape[:2], np.float32))
            here = own.joined(future) if future else own
            assert moment.from_before is not None and moment.kept_before is not None
            count = np.asarray(moment.kept_before * here.count, np.float32)
            future = _Mean(_moved(here.mean, moment.from_before), count)
        return future


@dataclass(frozen=True, slots=True)
class _Mean:
    """A mean of mattes, and at half its size how many of them it stands for."""

    mean: Float
    count: Float

    def joined(self, other: _Mean) -> _Mean:
        """The mean of both."""
        count = np.asarray(self.count + other.count, np.float32)
        weight = _enlarged(np.asarray(other.count / count, np.float32), self.mean.shape)
        return _Mean(_pulled(self.mean, other.mean, weight), count)


def _agreeing(past: _Mean, future: _Mean) -> tuple[_Mean, _Mean]:
    """Past and future, each counting for less where they differ: something has changed that the
    picture did not show, and neither knows when."""
    size = past.count.shape[::-1]
    apart = cv2.resize(cv2.absdiff(past.mean, future.mean), size, interpolation=cv2.INTER_AREA)
    share = cv2.multiply(apart, apart, scale=1 / DISAGREEMENT**2)
    agree = cv2.exp(cv2.multiply(share, share, scale=-1.0))
    before, after = (
        _Mean(each.mean, np.asarray(cv2.multiply(each.count, agree), np.float32))
        for each in (past, future)
    )
    return before, after


def carried(values: Float, before: Bytes, now: Bytes) -> Float:
    """Values of one picture moved to the next, falling to 0 where the moved picture differs.

    values: (h, w) float32. before, now: (h, w, 3) uint8.
    """
    halves = _half(before), _half(now)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    back = _motion(flow, halves[1], halves[0])
    # Steep: over many frames, camera noise would wear a flatter likeness away.
    same = _likeness(halves[1], _moved(halves[0], _places(back)), SAME, STEEP)
    moved = _moved(values, _places(_motion_enlarged(back, values.shape)))
    return np.asarray(_enlarged(same, values.shape) * moved, np.float32)


SMOOTHERS: dict[str, type[Causal] | type[Delayed] | type[TwoWay]] = {
    "causal": Causal,
    "delayed": Delayed,
    "two-way": TwoWay,
}


def _pulled(alpha: Float, towards: Float, weight: Float) -> Float:
    change = cv2.multiply(weight, cv2.subtract(towards, alpha))
    return np.asarray(cv2.add(alpha, change), np.float32)


def _half(picture: Bytes) -> Bytes:
    """The picture at half its size: enough for motion, at a quarter of the cost."""
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _sameness(one: Bytes, other: Bytes, shape: tuple[int, ...], same: float = SAME) -> Float:
    """1 where two small pictures are alike, falling to 0 as colours differ; of the given shape."""
    return _enlarged(_likeness(one, other, same), shape)


def _likeness(one: Bytes, other: Bytes, same: float = SAME, power: int = 2) -> Float:
    """1 where two pictures are alike, falling to 0 as colours differ, the steeper the power."""
    red, green, blue = cv2.split(cv2.absdiff(one, other))
    change = cv2.blur(cv2.max(cv2.max(red, green), blue), (3, 3))
    return np.asarray(cv2.LUT(change, _fall(same, power)), np.float32)


@lru_cache(maxsize=8)
def _fall(same: float, power: int) -> Float:
    """How alike each of the 256 differences is."""
    fall = np.exp(-((np.arange(256) / same) ** power))
    return np.asarray(fall, np.float32)


def _still(half: Bytes, settled: Float) -> Float:
    """1 where a picture has not moved for a while."""
    mean = np.asarray(cv2.convertScaleAbs(settled), np.uint8)
    return _likeness(half, mean, UNMOVED, STEEP)


def _person(moment: _Moment) -> Float:
    """How much of each pixel's motion is the person's; alpha squared, at half its size."""
    size = moment.half.shape[1::-1]
    half = cv2.resize(moment.alpha, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.multiply(half, half), np.float32)  # half a person tells little


def _person_motion(flow: Float, person: Float) -> Float:
    """Motion whose every pixel moves as the person near it: a mean weighted by `person`.

    flow: (h, w, 2) float32. person: (h, w) float32 in [0, 1].
    """
    weight = person + np.float32(NOBODY)
    side = _side(person, REACH)
    weighted = cv2.blur(cv2.multiply(flow, cv2.merge([weight, weight])), side)
    share = cv2.blur(weight, side)
    return np.asarray(cv2.divide(weighted, cv2.merge([share, share])), np.float32)


def _person_trust(trust: Float, person: Float) -> Float:
    """Trust that an edge takes from the person beside it, where that is more than its own."""
    weight = person + np.float32(ANYBODY)
    side = _side(person, NEAR)
    beside = cv2.divide(cv2.blur(cv2.multiply(trust, weight), side), cv2.blur(weight, side))
    return np.asarray(cv2.max(trust, beside), np.float32)


def _side(image: Float, part: float) -> tuple[int, int]:
    """Sides of a square window that reaches some part of the long side."""
    reach = max(1, round(part * max(image.shape)))
    return 2 * reach + 1, 2 * reach + 1


def _finer_flow() -> cv2.DISOpticalFlow:
    """DIS flow as its quickest preset, one scale finer: at edges half the error, for 1 ms more."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    flow.setFinestScale(1)
    return flow


def _enlarged(values: Float, shape: tuple[int, ...]) -> Float:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _places(flow: Float, way: int = 1) -> Float:
    """Where each pixel was, (h, w, 2) as (x, y), from how far it moved; way -1: where it will be,
    if it goes on alike."""
    grid = _grid(*flow.shape[:2])
    return np.asarray(cv2.add(grid, flow) if way > 0 else cv2.subtract(grid, flow), np.float32)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> Float:
    across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return np.dstack(np.meshgrid(across, down))


def _motion_enlarged(flow: Float, shape: tuple[int, ...]) -> Float:
    """The motion of a half-size picture as that of one of the given shape."""
    across, down = shape[1] / flow.shape[1], shape[0] / flow.shape[0]
    ratios = np.array([across, down, 0, 0])  # as OpenCV takes a factor for each channel
    return _enlarged(np.asarray(cv2.multiply(flow, ratios), np.float32), shape)


def _motion(flow: cv2.DISOpticalFlow, now: Bytes, before: Bytes) -> Float:
    """How far each pixel of `now` lies from its place in `before`: (h, w, 2) as (x, y)."""
    height, width = now.shape[:2]
    gray, gray_before = (
        cv2.copyMakeBorder(
            cv2.cvtColor(each, cv2.COLOR_RGB2GRAY),
            *(0, max(0, FLOW_LEAST - height), 0, max(0, FLOW_LEAST - width)),
            borderType=cv2.BORDER_REPLICATE,
        )
        for each in (now, before)
    )
    nothing = np.zeros((*gray.shape, 2), np.float32)
    return np.asarray(flow.calc(gray, gray_before, nothing), np.float32)[:height, :width]


def _moved(image: Picture, places: Float, how: int = cv2.INTER_LINEAR) -> Picture:
    """An image taken from the given places; what is moved again and again blurs unless `how` is
    cubic."""
    remap: Any = cv2.remap  # whose stub does not know that a second map may be None
    moved: Picture = remap(image, places, None, how, borderMode=cv2.BORDER_REPLICATE)
    return moved
