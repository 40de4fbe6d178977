"""Smoothing over time at the network's size: islands and flicker go."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mattecast.filters.time.islands import IslandFilter
from mattecast.filters.time.smoothing import SMOOTHERS, Smoother
from mattecast.flow import Stage
from mattecast.media.frame import Estimated
from mattecast.settings import Settings

# The smallest island that stays in files, in percent of the picture, where the settings say
# nothing. Chair backs at the frame's side have up to 1.5 %, and no true matte of ours loses
# anything (MAD falls by 1 %).
ISLAND = 2.0


def smoothing(settings: Settings, *, live: bool, drawn: bool) -> list[Stage[Any, Any]]:
    """The stages over time that the settings ask for.

    live: removes no islands unless asked, since that waits for the next picture. drawn: mattes were
    drawn by hand. These are meant, however far from people and however small they are.
    """
    default = 0.0 if live or drawn else ISLAND
    island = default if settings.min_island is None else settings.min_island
    found: list[Stage[Any, Any]] = []
    if island or settings.min_hole:
        found.append(Smooth("islands", IslandFilter(island / 100, settings.min_hole / 100)))
    kind, _, strength = settings.smooth.partition(":")
    if kind != "off":
        smoother = SMOOTHERS[kind](strength=float(strength)) if strength else SMOOTHERS[kind]()
        found.append(Smooth("smooth", smoother))
    return found


class Smooth:
    """The stage that runs a smoother within each shot: frames wait as long as their mattes do."""

    def __init__(self, name: str, smoother: Smoother) -> None:
        self.name = name
        self._smoother, self._held = smoother, deque[Estimated]()

    def push(self, estimated: Estimated) -> list[Estimated]:
        """See flow.Stage. The first frame of a shot ends the shot before it."""
        before = self.flush() if estimated.first else []
        self._held.append(estimated)
        return before + self._ready(self._smoother.push(estimated.alpha, estimated.frame.small))

    def flush(self) -> list[Estimated]:
        """See flow.Stage. The smoother forgets everything, as after a cut."""
        return self._ready(self._smoother.flush())

    def _ready(self, alphas: list[NDArray[np.float32]]) -> list[Estimated]:
        return [replace(self._held.popleft(), alpha=alpha) for alpha in alphas]
