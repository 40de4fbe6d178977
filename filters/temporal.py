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
# How strongly neighbours pull, and how much of it is handed on from frame to frame: chosen on
# degraded training mattes and on RVM's mattes of the development set, for dtSSD at no loss of MAD.
STRENGTH = 0.8
HANDED_ON = 0.4
# How much is handed on where the picture differs by less than UNMOVED levels without being moved:
# long memory takes slow flicker away, and nothing there can trail.
HELD, UNMOVED = 0.7, 4.0
# Frames seen ahead by the two-way filter; a second one lowers dtSSD by less than 1 % more.
WINDOW = 1
# Past and future that differ by this much do not know what is in between.
DISAGREEMENT = 0.8
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

    strength: float = STRENGTH
    _alphas: deque[Float] = field(default_factory=deque)
    _halves: deque[Bytes] = field(default_factory=deque)

    def push(self, alpha: Float, picture: Bytes) -> list[Float]:
        """See Smoother."""
        self._alphas.append(alpha)
        self._halves.append(_half(picture))
        if len(self._alphas) < 3:
            return list(self._alphas)[:1] if len(self._alphas) == 2 else []
        before, now, after = self._alphas
        still = cv2.min(*(_sameness(self._halves[1], other, alpha.shape)
                          for other in (self._halves[0], self._halves[2])))  # fmt: skip
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
    """One frame in the window; the fields about the frame before are None on a first frame.

    predicted: the smoothed past, moved to here. trust, trust_back: where that holds, and where
    this frame moved to the one before does. from_before: (h, w, 2) where in this frame each pixel
    of the one before is found.
    """

    alpha: Float
    half: Bytes
    predicted: Float | None = None
    trust: Float | None = None
    trust_back: Float | None = None
    from_before: Float | None = None


@dataclass(slots=True)
class TwoWay:
    """Past and future together, moved along the picture's motion; `window` frames of delay.

    The past is smoothed forward without end, the future backward over the window; both follow
    dense optical flow (DIS: Kroeger et al., ECCV 2016, arXiv 1603.03590) and count where the moved
    picture matches. Memory is that of window + 1 small frames, whatever the clip's length.
    """

    strength: float = STRENGTH
    window: int = WINDOW
    _moments: deque[_Moment] = field(default_factory=deque)
    _past: Float | None = None
    _flow: cv2.DISOpticalFlow = field(
        default_factory=lambda: cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    )

    def push(self, alpha: Float, picture: Bytes) -> list[Float]:
        """See Smoother."""
        moment = _Moment(alpha, _half(picture))
        smoothed = alpha
        if self._past is not None:
            self._link(self._moments[-1], moment, self._past)
            assert moment.predicted is not None and moment.trust is not None
            smoothed = _pulled(alpha, moment.predicted, self._memory(moment, self._moments[-1]))
        self._past = smoothed
        self._moments.append(moment)
        return [self._oldest()] if len(self._moments) > self.window else []

    def flush(self) -> list[Float]:
        """See Smoother."""
        rest = []
        while self._moments:
            rest.append(self._oldest())
        self._past = None
        return rest

    def _memory(self, moment: _Moment, before: _Moment) -> Float:
        """How much of the past goes on into the future: more where nothing has moved at all."""
        assert moment.trust is not None
        still = _sameness(moment.half, before.half, moment.alpha.shape, UNMOVED)
        held = np.float32(HANDED_ON) + np.float32(HELD - HANDED_ON) * still
        return np.asarray(moment.trust * held * np.float32(self.strength), np.float32)

    def _link(self, before: _Moment, moment: _Moment, past: Float) -> None:
        """Find the motion between two frames and what it carries over."""
        shape = moment.alpha.shape
        back = _motion(self._flow, moment.half, before.half)
        # The way forth is taken as the way back reversed: half the cost, and where that is wrong
        # (at what is being covered) the pictures do not match and nothing is trusted.
        moment.trust = _sameness(moment.half, _moved(before.half, _places(back)), shape)
        moment.trust_back = _sameness(before.half, _moved(moment.half, _places(-back)), shape)
        large = _enlarged(back, shape)
        moment.predicted = _moved(past, _places(large))
        moment.from_before = _places(-large)

    def _oldest(self) -> Float:
        """The smoothed matte of the oldest frame held, which leaves the window."""
        future, trust_back = self._future()
        moment = self._moments.popleft()
        past, trust = moment.predicted, moment.trust
        if past is None or trust is None:
            past, trust = future, trust_back
        if future is None or trust_back is None:
            future, trust_back = past, trust
        if past is None or future is None or trust is None or trust_back is None:
            return moment.alpha
        share = trust_back / (trust + trust_back + np.float32(1e-6))
        apart = past - future
        agree = 1 - apart * apart * np.float32(1 / DISAGREEMENT**2)
        trusted = cv2.max(trust, trust_back) * np.maximum(agree, np.float32(0))
        pull = np.asarray(trusted * np.float32(self.strength), np.float32)
        return np.clip(_pulled(moment.alpha, past - share * apart, pull), 0, 1)

    def _future(self) -> tuple[Float | None, Float | None]:
        """The frames after the oldest, smoothed backward and moved to it, and where that holds."""
        later = list(self._moments)[1:]
        if not later:
            return None, None
        future = later[-1].alpha
        for here, after in zip(later[-2::-1], later[:0:-1], strict=True):
            assert after.from_before is not None and after.trust_back is not None
            pull = after.trust_back * np.float32(self.strength * HANDED_ON)
            future = _pulled(here.alpha, _moved(future, after.from_before), pull)
        assert later[0].from_before is not None
        return _moved(future, later[0].from_before), later[0].trust_back


def carried(values: Float, before: Bytes, now: Bytes) -> Float:
    """Values of one picture moved to the next, falling to 0 where the moved picture differs.

    values: (h, w) float32. before, now: (h, w, 3) uint8.
    """
    halves = _half(before), _half(now)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    back = _motion(flow, halves[1], halves[0])
    same = _sameness(halves[1], _moved(halves[0], _places(back)), values.shape)
    return np.asarray(same * _moved(values, _places(_enlarged(back, values.shape))), np.float32)


SMOOTHERS: dict[str, type[Causal] | type[Delayed] | type[TwoWay]] = {
    "causal": Causal, "delayed": Delayed, "two-way": TwoWay,
}  # fmt: skip


def _pulled(alpha: Float, towards: Float, weight: Float) -> Float:
    change = cv2.multiply(weight, cv2.subtract(towards, alpha))
    return np.asarray(cv2.add(alpha, change), np.float32)


def _half(picture: Bytes) -> Bytes:
    """The picture at half its size: enough for motion, at a quarter of the cost."""
    size = (picture.shape[1] // 2, picture.shape[0] // 2)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _sameness(one: Bytes, other: Bytes, shape: tuple[int, ...], same: float = SAME) -> Float:
    """1 where two small pictures are alike, falling to 0 as colours differ; of the given shape."""
    red, green, blue = cv2.split(cv2.absdiff(one, other))
    change = cv2.blur(cv2.max(cv2.max(red, green), blue), (3, 3)).astype(np.float32)
    likeness = cv2.exp(change * change * np.float32(-1 / same**2))
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(likeness, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _places(flow: Float) -> Float:
    """Where each pixel was, (h, w, 2) as (x, y), from how far it moved."""
    return np.asarray(cv2.add(flow, _grid(*flow.shape[:2])), np.float32)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> Float:
    across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return np.dstack(np.meshgrid(across, down))


def _enlarged(flow: Float, shape: tuple[int, ...]) -> Float:
    """The motion of a half-size picture as that of one of the given shape."""
    ratio = np.array([shape[1] / flow.shape[1], shape[0] / flow.shape[0]], np.float32)
    large = cv2.resize(flow * ratio, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.float32)


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


def _moved(image: Picture, places: Float) -> Picture:
    remap: Any = cv2.remap  # whose stub does not know that a second map may be None
    moved: Picture = remap(
        image, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return moved
