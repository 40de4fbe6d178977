"""The contract every back-end keeps: picture in, alpha out, recurrent state inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Estimate(NamedTuple):
    """What a network says of one picture; both arrays are valid until the engine's next step.

    alpha: (h, w) float32 in [0, 1]. foreground: (h, w, 3) float32 RGB residual, to be added to the
    picture in [0, 1] for the person's true colours, or None where the network gives none.
    """

    alpha: NDArray[np.float32]
    foreground: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What runs, said truthfully: never what was asked for, always what was got."""

    model: str
    backend: str
    version: str
    precision: str
    device: str
    size: tuple[int, int]
    why: str

    def __str__(self) -> str:
        width, height = self.size
        return (
            f"{self.model} at {width}x{height} on {self.backend} {self.version} "
            f"({self.device}, {self.precision}): {self.why}"
        )


class Engine(Protocol):
    """A network loaded for one picture size. Use from one thread."""

    @property
    def info(self) -> EngineInfo:
        """Back-end, version, precision, device and why it was chosen."""
        ...

    def step(self, picture: NDArray[np.uint8]) -> Estimate:
        """Matte the next picture of the clip: (h, w, 3) uint8 RGB of exactly the engine's size.

        Raises ValueError for another shape or type, EngineError when the back-end fails.
        """
        ...

    def reset(self) -> None:
        """Forget the clip so far: at a cut, after a seek."""
        ...

    def close(self) -> None:
        """Release the back-end; safe to call twice."""
        ...


def check_picture(picture: NDArray[np.uint8], size: tuple[int, int]) -> None:
    """Raise ValueError unless picture is (height, width, 3) uint8 for size = (width, height)."""
    expected = (size[1], size[0], 3)
    if picture.shape != expected or picture.dtype != np.uint8:
        raise ValueError(
            f"picture is {picture.shape} {picture.dtype}: expected {expected} uint8 RGB"
        )
