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
# How strongly neighbours pull, and how much of the past is handed on from frame to frame.
STRENGTH = 0.8
HANDED_ON = 0.5
# How much is handed on where the picture differs by less than UNMOVED levels from its own mean over
# the last 1 / SETTLING frames: long memory takes slow flicker away, and nothing there can trail.
# Tuned on training clips and on training stills under a slow camera, where UNMOVED of 8 begins to
# trail (MAD x0.93 of unsmoothed against x0.91) for flicker of x0.50 against x0.52.
HELD, UNMOVED, SETTLING = 0.97, 5.0, 0.4
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

    half: the picture at half the matte's size; trust, trust_back and still have that size too.
    predicted: the smoothed past, moved to here. trust, trust_back: where that holds, and where
    this frame moved to the one before does. still: where the picture has not moved for a while.
    from_before: (h, w, 2) where in this frame each pixel of the one before is found.
    """

    alpha: Float
    half: Bytes
    predicted: Float | None = None
    trust: Float | None = None
    trust_back: Float | None = None
    still: Float | None = None
    from_before: Float | None = None


@dataclass(slots=True)
class TwoWay:
    """Past and future together, moved along the picture's motion; `window` frames of delay.

    The past is a mean with a memory: short where the picture moves, long where it has stood still.
    The future is smoothed backward over the window. Both follow dense optical flow (DIS: Kroeger
    et al., ECCV 2016, arXiv 1603.03590) and count where the moved picture matches. Memory is that
    of window + 1 small frames, whatever the clip's length.
    """

    strength: float = STRENGTH
    window: int = WINDOW
    _moments: deque[_Moment] = field(default_factory=deque)
    _past: Float | None = None
    _count: Float | None = None
    _settled: Float | None = None
    _flow: cv2.DISOpticalFlow = field(
        default_factory=lambda: cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    )

    def push(self, alpha: Float, picture: Bytes) -> list[Float]:
        """See Smoother."""
        moment = _Moment(alpha, _half(picture))
        if self._past is None or self._settled is None:
            self._past, self._count = alpha, np.ones(moment.half.shape[:2], np.float32)
            self._settled = moment.half.astype(np.float32)
        else:
            self._link(self._moments[-1], moment, self._past)
            cv2.accumulateWeighted(moment.half, self._settled, SETTLING)
            self._remember(moment)
        self._moments.append(moment)
        return [self._oldest()] if len(self._moments) > self.window else []

    def flush(self) -> list[Float]:
        """See Smoother."""
        rest = []
        while self._moments:
            rest.append(self._oldest())
        self._past = self._count = self._settled = None
        return rest

    def _full(self) -> np.float32:
        """How fully the past counts where nothing moves: wholly from the usual strength on."""
        return np.float32(min(1.0, self.strength / STRENGTH))

    def _remember(self, moment: _Moment) -> None:
        """Take a matte into the mean of the past: `count` is how many it stands for."""
        assert moment.predicted is not None and moment.trust is not None
        assert moment.still is not None and self._count is not None
        kept = cv2.max(moment.trust * np.float32(HANDED_ON), moment.still * np.float32(HELD))
        self._count = np.asarray(1 + self._full() * kept * self._count, np.float32)
        weight = np.asarray(1 - 1 / self._count, np.float32)
        weight = _enlarged(weight, moment.alpha.shape)
        self._past = _pulled(moment.alpha, moment.predicted, weight)

    def _link(self, before: _Moment, moment: _Moment, past: Float) -> None:
        """Find the motion between two frames and what it carries over."""
        shape = moment.alpha.shape
        assert self._settled is not None
        settled = np.asarray(cv2.convertScaleAbs(self._settled), np.uint8)
        still = _likeness(moment.half, settled, UNMOVED)
        # What stands still is not moved at all: a mean moved again and again would blur.
        back = _motion(self._flow, moment.half, before.half)
        back *= (still < 0.5)[..., None]
        # The way forth is taken as the way back reversed: half the cost, and where that is wrong
        # (at what is being covered) the pictures do not match and nothing is trusted.
        there, forth = _moved(before.half, _places(back)), _moved(moment.half, _places(-back))
        moment.trust = _likeness(moment.half, there)
        moment.trust_back = _likeness(before.half, forth)
        moment.still = still
        large = _motion_enlarged(back, shape)
        moment.predicted = _moved(past, _places(large))
        moment.from_before = _places(-large)

    def _oldest(self) -> Float:
        """The smoothed matte of the oldest frame held, which leaves the window."""
        future, trust_back = self._future()
        moment = self._moments.popleft()
        past, trust, still = moment.predicted, moment.trust, moment.still
        if past is None or trust is None:
            past, trust = future, trust_back
        if future is None or trust_back is None:
            future, trust_back = past, trust
        if past is None or future is None or trust is None or trust_back is None:
            return moment.alpha
        if still is None:
            still = np.zeros_like(trust)
        # Where the picture stands still the past is the mean of many, the future one of a few.
        ahead = trust_back * (1 - np.float32(HELD) * still)
        strength = np.float32(self.strength)
        # There a matte has no say of its own: the mean of many of one picture knows better.
        most = cv2.max(trust, trust_back) * (strength + (self._full() - strength) * still)
        shape = moment.alpha.shape
        share, pull, certain = (
            _enlarged(np.asarray(each, np.float32), shape)
            for each in (ahead / (trust + ahead + np.float32(1e-6)), most, still)
        )
        apart = past - future
        pull *= cv2.max(1 - apart * apart * np.float32(1 / DISAGREEMENT**2), certain)
        return np.clip(_pulled(moment.alpha, past - share * apart, pull), 0, 1)

    def _future(self) -> tuple[Float | None, Float | None]:
        """The frames after the oldest, smoothed backward and moved to it, and where that holds."""
        later = list(self._moments)[1:]
        if not later:
            return None, None
        future = later[-1].alpha
        for here, after in zip(later[-2::-1], later[:0:-1], strict=True):
            assert after.from_before is not None and after.trust_back is not None
            pull = _enlarged(after.trust_back, here.alpha.shape) * np.float32(HANDED_ON)
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
    moved = _moved(values, _places(_motion_enlarged(back, values.shape)))
    return np.asarray(same * moved, np.float32)


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
    return _enlarged(_likeness(one, other, same), shape)


def _likeness(one: Bytes, other: Bytes, same: float = SAME) -> Float:
    """1 where two pictures are alike, falling to 0 as colours differ."""
    red, green, blue = cv2.split(cv2.absdiff(one, other))
    change = cv2.blur(cv2.max(cv2.max(red, green), blue), (3, 3)).astype(np.float32)
    return np.asarray(cv2.exp(change * change * np.float32(-1 / same**2)), np.float32)


def _enlarged(values: Float, shape: tuple[int, ...]) -> Float:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), np.float32)


def _places(flow: Float) -> Float:
    """Where each pixel was, (h, w, 2) as (x, y), from how far it moved."""
    return np.asarray(cv2.add(flow, _grid(*flow.shape[:2])), np.float32)


@lru_cache(maxsize=4)
def _grid(height: int, width: int) -> Float:
    across, down = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return np.dstack(np.meshgrid(across, down))


def _motion_enlarged(flow: Float, shape: tuple[int, ...]) -> Float:
    """The motion of a half-size picture as that of one of the given shape."""
    ratio = np.array([shape[1] / flow.shape[1], shape[0] / flow.shape[0]], np.float32)
    return _enlarged(flow * ratio, shape)


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
