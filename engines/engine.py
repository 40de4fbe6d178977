"""The engine protocol: picture in, alpha out, recurrent states inside."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What really runs, which may differ from what was asked for. size: (width, height)."""

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
        """Model, back-end, version, precision, device, size, and why these were chosen."""
        ...

    def step(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Matte the next picture of the clip, (h, w, 3) uint8 RGB of exactly the engine's size.

        Returns alpha, (h, w) float32 in [0, 1], which is valid until the engine's next step. Raises
        ValueError for another shape or type, RuntimeError when another thread owns the engine or
        the engine is closed, EngineError when the back-end fails.
        """
        ...

    def reset(self) -> None:
        """Set the recurrent states to zero, at a cut or after a seek; same thread as step."""
        ...

    def close(self) -> None:
        """Release the back-end. May be called twice, and from any thread once no step runs."""
        ...


class CheckedEngine(ABC):
    """What all back-ends share: it checks picture, thread and closed state before each call."""

    def __init__(self, info: EngineInfo) -> None:
        self._info = info
        self._owner: threading.Thread | None = None
        self._closed = False

    @property
    def info(self) -> EngineInfo:
        """See Engine.info."""
        return self._info

    def step(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See Engine.step."""
        check_picture(picture, self._info.size)
        self._check_owner()
        return self._infer(np.ascontiguousarray(picture))

    def reset(self) -> None:
        """See Engine.reset."""
        self._check_owner()
        self._zero_states()

    def close(self) -> None:
        """See Engine.close."""
        if not self._closed:
            self._closed = True
            self._release()

    def _check_owner(self) -> None:
        """Raise RuntimeError when the engine is closed or belongs to another living thread."""
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
    def _infer(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Alpha of one picture, which has been checked and is contiguous."""

    @abstractmethod
    def _zero_states(self) -> None:
        """Set the recurrent states to zero."""

    @abstractmethod
    def _release(self) -> None:
        """Release all that the back-end holds; called once."""


def check_picture(picture: NDArray[np.uint8], size: tuple[int, int]) -> None:
    """Raise ValueError unless picture is (height, width, 3) uint8 for size = (width, height)."""
    expected = (size[1], size[0], 3)
    if picture.shape != expected or picture.dtype != np.uint8:
        raise ValueError(
            f"picture is {picture.shape} {picture.dtype}: expected {expected} uint8 RGB"
        )
