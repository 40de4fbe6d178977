"""Guidance at work: the stages that change mattes as a person asks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.masks import apply_garbage_mask, apply_keep_mask, mask_at
from mattecast.filters.pictures.plate import correct_by_plate
from mattecast.filters.time.correction import Correction
from mattecast.filters.time.person import PersonTracker
from mattecast.flow import Immediate
from mattecast.matting.corrections import WARM, ClipAgain, Coming, foresee
from mattecast.matting.guidance import Guidance, resized
from mattecast.media.frame import Estimated, Matted

_LOG = logging.getLogger("mattecast")
# How long before the run's first frame (seconds) something drawn may lie that is followed into it:
# the network has to see all that lies between.
LEAD = 10


class Guide(Immediate):
    """The stage before smoothing: plate, chosen person and corrections, at the network's size.

    clock: gives the time of a pts in seconds from the clip's first frame. interval: seconds from
    one frame to the next, nearly. again: the clip once more; without, corrections act forwards
    only, and none acts from before the run's first frame.
    """

    name = "guidance"

    def __init__(
        self,
        guidance: Guidance,
        clock: Callable[[int], Fraction],
        interval: Fraction,
        again: ClipAgain | None,
    ) -> None:
        self._hand, self._clock = Hand(guidance, again, interval), clock
        self._begun = False

    def push(self, estimated: Estimated) -> list[Estimated]:
        """See flow.Stage."""
        time = self._clock(estimated.frame.pts)
        first = estimated.first if self._begun else self._hand.begin(time)
        self._begun = True
        alpha = self._hand.step(replace(estimated, first=first), time)
        return [replace(estimated, alpha=alpha)]


class Hand:
    """Lays what was drawn by hand on one matte after the other. again, interval: see Guide."""

    def __init__(self, guidance: Guidance, again: ClipAgain | None, interval: Fraction) -> None:
        self._guidance, self._again, self._interval = guidance, again, interval
        self._persons, self._left = list(guidance.person), list(guidance.corrections)
        self._plate: NDArray[np.uint8] | None = None
        self._tracker, self._correction = PersonTracker(), Correction()
        # Since when the last correction (or the run) acts, and what the next correction changes.
        self._since: Fraction | None = None
        self._coming: Coming | None = None
        self._asked = False

    def begin(self, start: Fraction) -> bool:
        """Follow what was drawn before the run's first frame into that frame.

        Return whether a shot begins with it, as far as that can be seen.
        """
        persons, early = (
            [time for time, _ in each if time <= start - self._interval]
            for each in (self._persons, self._left)
        )
        if early and (self._again is None or early[-1] < start - LEAD):
            _LOG.warning("corrections before the range are left out, the last at %.2f s", early[-1])
            self._left, early = self._left[len(early) :], []
        self._left = self._left[max(0, len(early) - 1) :]
        near = [time for time in (*persons[-1:], *early[-1:]) if time >= start - LEAD]
        first = self._followed(min(near), start) if near else True
        self._left[:0] = [(start, drawn) for drawn in self._guidance.first]
        return first

    def _followed(self, since: Fraction, start: Fraction) -> bool:
        """See every frame from one time to another; return whether a shot begins at the latter."""
        if self._again is not None:
            first = max(Fraction(0), since - WARM * self._interval)
            with closing(self._again.estimates(first)) as frames:
                for time, estimated in frames:
                    if time >= start:
                        return estimated.first
                    self.step(estimated, time, leading=True)
        return True

    def step(
        self, estimated: Estimated, time: Fraction, *, leading: bool = False
    ) -> NDArray[np.float32]:
        """The matte of the next frame, whose time it is, as it is wanted. leading: whether the run
        has not begun."""
        alpha, wanted = self._plated(estimated), None
        while self._persons and self._persons[0][0] <= time:
            self._tracker.choose(self._persons.pop(0)[1], alpha.shape)
        alpha = self._tracker.step(alpha)
        if estimated.first:
            self._correction.reset()
        while self._left and self._left[0][0] <= time:
            wanted = _wanted(self._left.pop(0)[1], alpha if wanted is None else wanted)
        if wanted is not None or self._since is None:
            self._since, self._asked = time, False
        if not self._asked and not leading:
            self._coming, self._asked = self._foreseen(self._since), True
        coming, share = None, 0.0
        if self._coming is not None and wanted is None:
            coming, share = self._coming.at(time), self._coming.share(time, self._since)
        return self._correction.step(alpha, estimated.frame.small, wanted, coming, share)

    def _plated(self, estimated: Estimated) -> NDArray[np.float32]:
        """A network's matte with what the clean plate says, where there is one."""
        alpha = estimated.alpha
        if self._guidance.plate is None:
            return alpha
        if self._plate is None:
            self._plate = self._guidance.plate_at((alpha.shape[1], alpha.shape[0]))
        assert self._plate is not None
        return correct_by_plate(alpha, estimated.frame.small, self._plate)

    def _foreseen(self, since: Fraction) -> Coming | None:
        """What the next correction changes in the frames before it."""
        if not self._left or self._again is None:
            return None
        when, drawn = self._left[0]

        def change(estimated: Estimated) -> NDArray[np.float32]:
            alpha = self._plated(estimated)
            return np.asarray(_wanted(drawn, alpha) - alpha, np.float32)

        return foresee(self._again, change, when, since, self._interval)


def _wanted(drawn: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """The matte that a drawing asks for, at the size of the network's."""
    small = resized(drawn, (alpha.shape[1], alpha.shape[0]))
    return np.asarray(np.where(np.isnan(small), alpha, small), np.float32)


class Mask(Immediate):
    """The stage at full size: what is kept becomes solid, then what is garbage goes, exactly."""

    name = "masks"

    def __init__(self, guidance: Guidance, clock: Callable[[int], Fraction]) -> None:
        self._guidance, self._clock = guidance, clock

    def push(self, matted: Matted) -> list[Matted]:
        """See flow.Stage."""
        height, width = matted.alpha16.shape
        time, alpha16, small = self._clock(matted.pts), matted.alpha16, matted.alpha_small
        for keys in self._guidance.keep:
            drawn = mask_at(keys, time, (width, height))
            alpha16 = apply_keep_mask(alpha16, drawn)
            around = cv2.dilate(drawn, np.ones((5, 5), np.uint8))
            inside = resized(around, small.shape[::-1]).astype(np.float32) / np.float32(255)
            small = np.maximum(small, inside)
        for keys in self._guidance.garbage:
            alpha16 = apply_garbage_mask(alpha16, mask_at(keys, time, (width, height)))
        return [replace(matted, alpha16=alpha16, alpha_small=small)]
