"""ModelSpec: what a network takes and gives, which sizes it sees, and how its matte is read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.engine import check_picture
from mattecast.engines.errors import EngineError
from mattecast.engines.store import sha256_of

# What the matte output holds: alpha itself, its logit, or one plane for each of two classes (the
# last is the person) as probabilities or logits.
Meaning = Literal["alpha", "logit", "classes", "class logits"]
# Pictures of at least this aspect ratio are wide: 16:9, and what rounding to whole pixels makes of
# it.
WIDE = 1.7
# Most pixels of a small picture, which is matted at two scales: standard definition, any shape.
SMALL_PICTURE = 500_000
# Most times that a picture is enlarged for the fine scale: more would only be softer.
MAX_ENLARGEMENT = 2


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A network file, its inputs and outputs, and the sizes it works at.

    path: its ONNX file. family: the name of a family in mattecast.engines.onnx_ports. long_side:
        the long side it was trained for, in pixels; larger pictures are shrunk to it. wide_side:
        the same for wide pictures (see WIDE), or None. fine_side: the long side of the fine scale
        for small pictures (see fine_size), or None. multiple: both sides must be multiples of
        this. fixed: the one (width, height) it takes, or None.
    picture, alpha, plate: names of its inputs and of its matte output; plate, the picture of the
        empty scene, may be None. Outputs that are not named here are not computed.
    states: (input, output, stride) of its recurrent states, which are zero before the first
        picture. A stride of 16 means a state of height / 16 by width / 16; None means that the
        network's own output has the shape.
    raw: pictures go in as (1, h, w, 3) uint8 RGB. Otherwise they go in as floats, less mean and
        divided by deviation (both in 0..255, RGB), with channels last or first.
    ratio: the name of an input that holds the factor pictures are shrunk by inside, or None.
    meaning, alpha_last: what the matte output holds, and whether its planes are its last axis.
    """

    name: str
    path: Path
    family: str = "mattecast"
    long_side: int = 512
    wide_side: int | None = None
    fine_side: int | None = None
    multiple: int = 32
    fixed: tuple[int, int] | None = None
    picture: str = "picture"
    alpha: str = "alpha"
    plate: str | None = None
    states: tuple[tuple[str, str, int | None], ...] = (
        ("r1", "r1o", 16),
        ("r2", "r2o", 8),
        ("r3", "r3o", 4),
    )
    raw: bool = True
    channels_last: bool = True
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (255.0, 255.0, 255.0)
    ratio: str | None = None
    meaning: Meaning = "alpha"
    alpha_last: bool = True

    @property
    def quantised(self) -> Path:
        """The place of its int8 file: NAME.int8.onnx beside NAME.onnx, with the same ports."""
        return self.path.with_suffix(".int8.onnx")

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the outputs that are used: alpha and the states."""
        return frozenset((self.alpha, *(target for _, target, _ in self.states)))

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, and of the file beside it where exporters put large weights."""
        names = [f"{self.path.name}{end}" for end in ("", ".data", "_data")]
        found = [path for path in map(self.path.with_name, names) if path.is_file()]
        hashes = [sha256_of(path) for path in found]
        if len(hashes) == 1:
            return hashes[0]
        return hashlib.sha256("".join(hashes).encode()).hexdigest()

    def constants(self, size: tuple[int, int]) -> dict[str, float]:
        """Inputs that hold one number for a picture size; back-ends write it into the graph."""
        if self.ratio is None:
            return {}
        return {self.ratio: min(1.0, self.long_side / max(size))}

    def flags(self, size: tuple[int, int]) -> tuple[str, ...]:
        """What a built engine depends on besides the file: how pictures go in."""
        if self.raw:
            return (self.family,)
        layout = "channels last" if self.channels_last else "channels first"
        constants = (f"{name} {value:.6g}" for name, value in self.constants(size).items())
        return (
            self.family,
            layout,
            f"mean {self.mean}",
            f"deviation {self.deviation}",
            *constants,
        )


def network_size(
    spec: ModelSpec, width: float, height: float, long_side: int | None = None
) -> tuple[int, int]:
    """The (width, height) the network sees for a picture that is displayed at width x height.

    long_side: the long side asked for, in pixels, instead of the model's own. The result is never
    larger than the picture (a network gains nothing from made-up pixels); both sides are rounded
    to the model's multiple.
    """
    if spec.fixed:
        return spec.fixed
    wide = max(width, height) >= WIDE * min(width, height)
    own = (wide and spec.wide_side) or spec.long_side
    return _proportional(spec, width, height, min(long_side or own, max(width, height)))


def fine_size(
    spec: ModelSpec, width: float, height: float, long_side: int | None = None
) -> tuple[int, int] | None:
    """The (width, height) of the fine scale for a picture that is displayed at width x height.

    The result is None where one scale is enough: for a model that has no fine side, where a long
    side is asked for, for large pictures (the network's time counts there, and a second scale
    brings nothing), and where the fine scale would be no larger than network_size.
    """
    if spec.fine_side is None or long_side or width * height > SMALL_PICTURE:
        return None
    longest = min(spec.fine_side, MAX_ENLARGEMENT * max(width, height))
    size = _proportional(spec, width, height, longest)
    return size if max(size) > max(network_size(spec, width, height)) else None


def _proportional(spec: ModelSpec, width: float, height: float, longest: float) -> tuple[int, int]:
    """(width, height) in proportion to a picture, in the model's multiples.

    longest: the long side, in pixels, before it is rounded.
    """
    scale = longest / max(width, height)
    first, second = (
        max(spec.multiple, round(side * scale / spec.multiple) * spec.multiple)
        for side in (width, height)
    )
    return first, second


def check_size(spec: ModelSpec, size: tuple[int, int]) -> None:
    """Raise ValueError unless the network takes pictures of size = (width, height)."""
    if spec.fixed and size != spec.fixed:
        raise ValueError(f"size {size}: {spec.name} takes {spec.fixed} only")
    if any(side % spec.multiple or side <= 0 for side in size):
        raise ValueError(f"size {size}: both sides must be multiples of {spec.multiple}")


def matte_of(
    spec: ModelSpec, output: NDArray[np.floating], size: tuple[int, int]
) -> NDArray[np.float32]:
    """The alpha, (h, w) float32 in [0, 1], of a matte output (1, ...) of any float type."""
    if spec.family == "mattecast":
        return np.asarray(output, np.float32).reshape(size[1], size[0])
    planes: NDArray[Any] = np.asarray(output[0], np.float32)
    if planes.ndim == 2:
        planes = planes[:, :, None]
    elif not spec.alpha_last:
        planes = np.moveaxis(planes, 0, -1)
    person = planes[:, :, -1]
    if spec.meaning == "class logits":
        person = person - planes[:, :, 0]
    if spec.meaning in ("logit", "class logits"):
        person = np.float32(1) / (1 + np.exp(-person))
    if person.shape != (size[1], size[0]):
        import cv2

        person = cv2.resize(person, size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(np.clip(person, 0, 1), np.float32)


def plate_for(
    spec: ModelSpec, size: tuple[int, int], plate: NDArray[np.uint8] | None
) -> NDArray[np.uint8]:
    """The plate, (h, w, 3) uint8 RGB, that a network needs, contiguous.

    Raises EngineError where there is none, ValueError for another shape or type.
    """
    if plate is None:
        raise EngineError(
            f"{spec.name} ({spec.family}) needs a picture of the empty scene: name one with "
            "--plate, or choose another model"
        )
    check_picture(plate, size)
    return np.ascontiguousarray(plate)
