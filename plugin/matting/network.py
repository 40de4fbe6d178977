"""The network over a clip, shot by shot.

The network remembers nothing across a cut, and no shot begins with an empty memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from mattecast import engines
from mattecast.engines import Engine
from mattecast.filters.time.cuts import AHEAD
from mattecast.flow import Immediate, all_the_cores, half_the_cores
from mattecast.matting.guidance import Guidance
from mattecast.matting.shots import ShotFrame, Small, of_one_shot
from mattecast.media.facts import Facts
from mattecast.media.frame import Estimated, Frame
from mattecast.settings import Settings

# Gives the pictures after a frame, of whatever shots, as the network sees them.
Following: TypeAlias = Callable[[Frame], Iterable[Small]]
# A picture that is this many times larger than the network's costs as much to decode, filter and
# encode as the network takes: about 1.1 million pixels, more than 720 lines and less than 1080. On
# 2 cores, one core for the network makes 1080p 5 % quicker; both cores make 1200x1080 18 % quicker
# and 512x384 30 %.
_LARGE = 9


def load_network(facts: Facts, guidance: Guidance, settings: Settings) -> tuple[Engine, Guidance]:
    """The engine that the settings ask for, and the guidance that is left for later stages.

    A network that takes a clean plate has used the plate of the guidance. Raises EngineError.
    """
    spec = engines.find(settings.model)
    # The network sees pictures as they are shown: with square pixels.
    shown = (float(facts.width * facts.sar), float(facts.height), settings.network_size)
    size = engines.network_size(spec, *shown)
    load = partial(
        engines.load,
        spec,
        backend=settings.backend,
        precision=settings.precision,
        device=settings.device,
        fallback=settings.fallback,
        plate=guidance.plate_at(size) if spec.plate else None,
        threads=settings.threads or _threads(facts, size),
    )
    engine = (
        load(size) if settings.detail == "fast" else engines.two_scale_engine(load, spec, *shown)
    )
    return engine, replace(guidance, plate=None) if spec.plate else guidance


def _threads(facts: Facts, size: tuple[int, int]) -> int:
    """The network's threads at a size: half the cores where the other stages have as much to do."""
    large = facts.width * facts.height > _LARGE * math.prod(size)
    return half_the_cores() if large else all_the_cores()


class Network(Immediate):
    """The stage that asks the network for the matte of each frame.

    preroll: gives the pictures of a shot, from its first frame on, that the network sees before
    that frame counts. standard: makes a picture of the clip one of standard range, which networks
    have learned from.
    """

    name = "network"

    def __init__(
        self,
        engine: Engine,
        preroll: Callable[[ShotFrame], list[Small]],
        standard: Callable[[Small], Small] = lambda picture: picture,
    ) -> None:
        self._engine, self._preroll, self._standard = engine, preroll, standard

    def push(self, item: ShotFrame) -> list[Estimated]:
        """See flow.Stage."""
        if item.first:
            warm(self._engine, [self._standard(each) for each in self._preroll(item)])
        alpha = np.array(self._engine.step(self._standard(item.frame.small)))
        return [Estimated(item.frame, alpha, item.first)]


class Preroll:
    """The pictures that the network sees before the first frame of a shot counts.

    following: gives the pictures after a frame, of whatever shots. cuts: whether there are shots.
    """

    def __init__(self, following: Following, *, cuts: bool) -> None:
        self._following, self._cuts = following, cuts

    def __call__(self, item: ShotFrame) -> list[Small]:
        """The pictures of the shot, the first frame's first."""
        # Where fewer pictures follow than the cut detector waits for, the clip holds no more.
        more = len(item.after) == AHEAD
        pictures = [item.frame.small, *(self._following(item.frame) if more else item.after)]
        return of_one_shot(pictures) if self._cuts else pictures


def warm(engine: Engine, pictures: list[Small]) -> None:
    """Clear the recurrent state, then show the network a shot's first pictures backwards.

    So the network knows the shot's people before the first frame counts. It sees a single picture
    once here, and once more when the picture counts.
    """
    engine.reset()
    for picture in pictures[:0:-1] or pictures:
        engine.step(picture)
