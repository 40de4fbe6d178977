"""A live source in a pipeline: each picture quickly, the newest first, as `mattecast live` does."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from mattecast.engines import Engine
from mattecast.flow import opencv_aside
from mattecast.hosts.gstreamer.rows import Rows, rows
from mattecast.live.capture import CLOCK, Captured
from mattecast.live.matter import Matting
from mattecast.live.picture import Picture, as_yuv
from mattecast.live.pipeline import Controls
from mattecast.live.threads import Latest, now
from mattecast.media.colour import BT709, LIMITED, Colour
from mattecast.media.facts import Facts
from mattecast.settings import Settings

# Where blue, green, red and alpha go in packed pictures, as cv2.mixChannels takes it.
_FROM_BGRA = {
    "bgra": [0, 0, 1, 1, 2, 2, 3, 3],
    "rgba": [0, 2, 1, 1, 2, 0, 3, 3],
    "argb": [0, 3, 1, 2, 2, 1, 3, 0],
}

# What codes of live pictures mean where they leave as YUV, see picture.as_yuv.
YUV = Colour(LIMITED, BT709, BT709, BT709)


class Feed:
    """The pictures of a pipeline, as a capture gives those of a camera. See matter.Pictures."""

    def __init__(self, facts: Facts) -> None:
        # The pixels stay as they are: the pipeline expects pictures of the size that it sent.
        self.facts = replace(facts, time_base=CLOCK, sar=Fraction(1))
        self.frames: Latest[Captured] = Latest()
        self.ready = threading.Event()
        self.interval = float(1 / facts.rate)


class Live:
    """Mattes pictures as they come, and leaves out those for which there is no time.

    pixels: libav's name of the pixel format that is given. budget: see Matting. deliver: is called
    with the pts of each frame that is ready and its picture; it gives whether more are wanted.
    """

    def __init__(
        self,
        facts: Facts,
        pixels: str,
        settings: Settings,
        budget: float,
        deliver: Callable[[int, Rows], bool],
    ) -> None:
        self._feed = Feed(facts)
        self._matting = Matting(self._feed, Controls(settings), budget, self._send)
        self._matting.check(Controls(settings))
        self._pixels, self._converter = pixels, VideoReformatter()
        self._deliver = deliver
        # For each picture under way when it came, in steps of CLOCK, and its own pts.
        self._coming: deque[tuple[int, int]] = deque()
        self._stopped = threading.Event()
        self._aside = ExitStack()
        self._aside.enter_context(opencv_aside())
        self._matting.start()

    @property
    def failure(self) -> BaseException | None:
        """The error that ended a thread, or None."""
        return self._matting.failure

    @property
    def engine(self) -> Engine | None:
        """The network in use, or None while the first one loads."""
        return self._matting.engine

    def change(self, settings: Settings) -> None:
        """Use other settings from the next picture on. Raises UsageError for wrong ones."""
        controls = Controls(settings)
        self._matting.check(controls)
        self._matting.controls = controls

    def push(self, picture: av.VideoFrame) -> bool:
        """Take the next picture, with a pts of any clock; gives False once the run has ended."""
        if self._stopped.is_set() or self.failure is not None:
            return False
        came = round(now() / CLOCK)
        assert picture.pts is not None
        self._coming.append((came, picture.pts))
        self._feed.frames.put(Captured(picture, self._feed.facts, float(came * CLOCK)))
        return True

    def finish(self) -> None:
        """No more pictures come: wait until those under way are delivered."""
        self._matting.finish(self._stopped)
        self.close()

    def stop(self) -> None:
        """Deliver nothing more; returns at once."""
        self._stopped.set()

    def close(self) -> None:
        """End the threads and release the network; safe to call twice."""
        self.stop()
        self._matting.close()
        self._aside.close()

    def _send(self, picture: Picture) -> None:
        came = round(picture.time / CLOCK)
        # Pictures before it were left out. A blank picture, for a silent source, has no pts.
        while self._coming and self._coming[0][0] < came:
            self._coming.popleft()
        if self._stopped.is_set() or not self._coming or self._coming[0][0] != came:
            return
        if not self._deliver(self._coming.popleft()[1], self._given(picture)):
            self.stop()

    def _given(self, picture: Picture) -> Rows:
        order = _FROM_BGRA.get(self._pixels)
        if order is None:
            return rows(as_yuv(picture, self._pixels, self._converter))
        if self._pixels == "bgra" and not self._feed.facts.has_alpha:
            return [picture.bgra.reshape(picture.bgra.shape[0], -1)]
        given = np.empty_like(picture.bgra)
        cv2.mixChannels([picture.bgra], [given], order)
        if picture.opaque:
            # Over a background all is opaque, whatever alpha the source has.
            given[..., order[-1]] = 255
        return [given.reshape(given.shape[0], -1)]
