"""The contract every back-end keeps: picture in, alpha out, recurrent state inside."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Estimate(NamedTuple):
    """What a network says of one picture; both arrays are valid until the engine's next step.

    alpha: (h, w) float32 in [0, 1]. foreground: (h, w, 3) float32 RGB residual, to be added to the
    picture in [0, 1] for the person's true colours, or None where it was not asked for or the
    network gives none.
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
    """A network loaded for one picture size. The thread that steps it owns it while it lives."""

    @property
    def info(self) -> EngineInfo:
        """Back-end, version, precision, device and why it was chosen."""
        ...

    def step(self, picture: NDArray[np.uint8]) -> Estimate:
        """Matte the next picture of the clip: (h, w, 3) uint8 RGB of exactly the engine's size.

        Raises ValueError for another shape or type, RuntimeError when another thread owns the
        engine or it is closed, EngineError when the back-end fails.
        """
        ...

    def reset(self) -> None:
        """Forget the clip so far: at a cut, after a seek. Same thread as step."""
        ...

    def close(self) -> None:
        """Release the back-end; safe to call twice, and from any thread once steps have ended."""
        ...


class CheckedEngine(ABC):
    """The door all back-ends share: right pictures, one thread, nothing after close."""

    def __init__(self, info: EngineInfo) -> None:
        self._info = info
        self._owner: threading.Thread | None = None
        self._closed = False

    @property
    def info(self) -> EngineInfo:
        """See Engine.info."""
        return self._info

    def step(self, picture: NDArray[np.uint8]) -> Estimate:
        """See Engine.step."""
        check_picture(picture, self._info.size)
        self._enter()
        return self._estimate(np.ascontiguousarray(picture))

    def reset(self) -> None:
        """See Engine.reset."""
        self._enter()
        self._forget()

    def close(self) -> None:
        """See Engine.close."""
        if not self._closed:
            self._closed = True
            self._release()

    def _enter(self) -> None:
        if self._closed:
            raise RuntimeError(f"the {self._info.backend} engine is closed: load another")
        current = threading.current_thread()
        if self._owner is None or not self._owner.is_alive():
            self._owner = current
        if self._owner is not current:
            raise RuntimeError(
                f"this engine belongs to thread '{self._owner.name}' and was called from "
                f"'{current.name}': load one engine for each thread"
            )

    @abstractmethod
    def _estimate(self, picture: NDArray[np.uint8]) -> Estimate:
        """One picture, checked and contiguous."""

    @abstractmethod
    def _forget(self) -> None:
        """Set the recurrent states to zero."""

    @abstractmethod
    def _release(self) -> None:
        """Let go of everything; called once."""


def check_picture(picture: NDArray[np.uint8], size: tuple[int, int]) -> None:
    """Raise ValueError unless picture is (height, width, 3) uint8 for size = (width, height)."""
    expected = (size[1], size[0], 3)
    if picture.shape != expected or picture.dtype != np.uint8:
        raise ValueError(
            f"picture is {picture.shape} {picture.dtype}: expected {expected} uint8 RGB"
        )
