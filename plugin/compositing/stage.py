"""The last stage: matted frames become the pictures that are encoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import av

from mattecast.flow import Immediate
from mattecast.media.frame import Frame, Matted


class Composing(Protocol):
    """Makes the picture that is encoded of what the stages before it return."""

    def __call__(self, matted: Any, /) -> av.VideoFrame:
        """matted: a Matted, or an Estimated where pictures stay on a device."""
        ...

    def close(self) -> None:
        """Release files."""
        ...


@dataclass(frozen=True, slots=True)
class Composed:
    """A frame and the pictures to encode of it, one for each output.

    highest: the highest alpha of the frame, 0 to 1.
    """

    frame: Frame
    pictures: tuple[av.VideoFrame, ...]
    highest: float


class Compose(Immediate):
    """The stage that makes the pictures to encode."""

    name = "compose"

    def __init__(self, composers: Sequence[Composing]) -> None:
        self._composers = composers

    def push(self, matted: Any) -> list[Composed]:
        """See flow.Stage. matted: a Matted, or an Estimated where pictures stay on a device."""
        small = matted.alpha_small if isinstance(matted, Matted) else matted.alpha
        pictures = tuple(composer(matted) for composer in self._composers)
        return [Composed(matted.frame, pictures, float(small.max()))]
