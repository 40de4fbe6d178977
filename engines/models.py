"""The networks mattecast knows: where their file is, and what shape of picture they take."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from mattecast.engines.errors import EngineError


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What the host must know of a network file.

    path: its ONNX file. long_side: the long side it was trained for, in pixels. multiple: both
    sides must be multiples of this. picture, alpha, foreground: names of its input and outputs.
    states: (input, output, stride) of its recurrent states, zero before the first picture; a
        stride of 16 means a state of height / 16 by width / 16.
    """

    name: str
    path: Path
    long_side: int = 512
    multiple: int = 32
    picture: str = "picture"
    alpha: str = "alpha"
    foreground: str = "foreground"
    states: tuple[tuple[str, str, int], ...] = (
        ("r1", "r1o", 16),
        ("r2", "r2o", 8),
        ("r3", "r3o", 4),
    )


def find(name: str) -> ModelSpec:
    """The spec of an embedded network, or of an ONNX file of the same family by its path.

    Raises EngineError when there is none of that name.
    """
    if name == "default":
        path = Path(str(resources.files("mattecast.engines.weights") / "default.onnx"))
    else:
        path = Path(name)
    if not path.is_file():
        raise EngineError(
            f"model '{name}': no file {path}; use 'default' or the path of a mattecast ONNX file"
        )
    return ModelSpec(name=name if name == "default" else path.name, path=path)


def network_size(
    spec: ModelSpec, width: float, height: float, long_side: int | None = None
) -> tuple[int, int]:
    """The (width, height) the network sees for a picture that is shown at width x height.

    The long side is the model's own or the one asked for, never above the picture's (a network
    gains nothing from pixels made up); both sides are rounded to the model's multiple.
    """
    longest = min(long_side or spec.long_side, max(width, height))
    scale = longest / max(width, height)
    sides = (
        max(spec.multiple, round(side * scale / spec.multiple) * spec.multiple)
        for side in (width, height)
    )
    first, second = sides
    return first, second
