"""A second, closer look at small pictures: edges from near, what is a person from the whole.

A network that sees a small picture enlarged follows hair, arms and fingers closer, but in so large
a view a tree trunk passes for a person and a shoulder for furniture. So it looks twice, and the
closer matte may differ from the other only near that one's edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.engines.engine import CheckedEngine, Engine, EngineInfo, Estimate
from mattecast.engines.spec import ModelSpec, closer_size, network_size

# How far from the first look's edges the closer one counts, as a share of the long side. On 50
# made-up scenes of held-out people MAD is 23.1 with the first look alone, 35.9 with the closer one
# alone, and 23.6, 24.2 and 25.0 with both and 5, 9 and 15 pixels of 640; on the development clips
# 5.30, 8.74, and 4.86, 4.89 and 4.98.
REACH = 5 / 640


def looks(
    load: Callable[[tuple[int, int]], Engine],
    spec: ModelSpec,
    width: float,
    height: float,
    long_side: int | None = None,
) -> Engine:
    """The network for a file of pictures that are shown at width x height: one look, or two where
    closer_size has one. load: the network's engine for a (width, height).
    """
    whole = load(network_size(spec, width, height, long_side))
    closer = closer_size(spec, width, height, long_side)
    if closer is None:
        return whole
    try:
        return CloserEngine(load(closer), whole)
    except BaseException:
        whole.close()
        raise


class CloserEngine(CheckedEngine):
    """Two engines as one of the closer one's size, which it owns.

    near: sees the picture as it comes. whole: sees it reduced, as the network would without this.
    """

    def __init__(self, near: Engine, whole: Engine) -> None:
        super().__init__(near.info)
        self._near, self._whole = near, whole
        reach = max(1, round(REACH * max(whole.info.size)))
        self._window = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)

    @property
    def info(self) -> EngineInfo:
        """That of the closer look, and the other's size."""
        near, (width, height) = self._near.info, self._whole.info.size
        return replace(near, why=f"{near.why}; a closer look than the one at {width}x{height}")

    def _estimate(self, picture: NDArray[np.uint8]) -> Estimate:
        size = self._whole.info.size
        reduced = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        whole = self._whole.step(reduced).alpha
        near = self._near.step(picture)
        shape = near.alpha.shape[::-1]
        least, most = (
            cv2.resize(bound(whole, self._window), shape, interpolation=cv2.INTER_LINEAR)
            for bound in (cv2.erode, cv2.dilate)
        )
        return Estimate(np.clip(near.alpha, least, most), near.foreground)

    def _forget(self) -> None:
        self._near.reset()
        self._whole.reset()

    def _release(self) -> None:
        self._near.close()
        self._whole.close()
