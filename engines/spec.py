"""What a network file takes and gives, and where the files are."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mattecast.engines.catalogue import CATALOGUE
from mattecast.engines.engine import check_picture
from mattecast.engines.errors import EngineError
from mattecast.engines.store import sha256_of

# What the matte output holds: alpha itself, its logit, or one plane for each of two classes (the
# last is the person) as probabilities or logits.
Meaning = Literal["alpha", "logit", "classes", "class logits"]
# Pictures of at least these proportions are wide: 16:9, and what rounding makes of it.
WIDE = 1.7
# Most pixels of a small picture: standard definition, of any proportions.
SMALL = 500_000
# Times a picture's long side that a closer look may be: more would only be softer.
ENLARGED = 2


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What the host must know of a network file.

    path: its ONNX file. family: a name of mattecast.engines.onnx_ports. long_side: the long side it
        was trained for, in pixels; longer pictures are shrunk to it. wide_side: the same for wide
        pictures (see WIDE), or None. closer_side: that of a second look at small pictures (see
        closer_size), or None. multiple: both sides must be multiples of this. fixed: the one
        (width, height) it takes, or None.
    picture, alpha, foreground, plate: names of its inputs and outputs; foreground and plate may be
        None. The plate is the empty scene. Other outputs are not computed.
    states: (input, output, stride) of its recurrent states, zero before the first picture; a
        stride of 16 means a state of height / 16 by width / 16, None that the network's own
        output tells the shape.
    raw: the picture goes in as (1, h, w, 3) uint8. Otherwise it goes in as floats, less mean and
        divided by deviation (both in 0..255, RGB), channels last or first.
    ratio: name of an input that holds the factor a picture is shrunk by inside, or None.
    meaning, alpha_last: what the matte output holds, and whether its planes are its last axis.
    residual: the foreground output is a residual (h, w, 3); otherwise it is ignored.
    """

    name: str
    path: Path
    family: str = "mattecast"
    long_side: int = 512
    wide_side: int | None = None
    closer_side: int | None = None
    multiple: int = 32
    fixed: tuple[int, int] | None = None
    picture: str = "picture"
    alpha: str = "alpha"
    foreground: str | None = "foreground"
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
        """Where its int8 file would be: NAME.int8.onnx beside NAME.onnx, with the same ports."""
        return self.path.with_suffix(".int8.onnx")

    @property
    def outputs(self) -> frozenset[str]:
        """Names of the outputs that are used."""
        states = (target for _, target, _ in self.states)
        return frozenset(filter(None, (self.alpha, self.foreground, *states)))

    @property
    def sha256(self) -> str:
        """Of the file, and of the one beside it where exporters put large weights."""
        names = [f"{self.path.name}{end}" for end in ("", ".data", "_data")]
        found = [path for path in map(self.path.with_name, names) if path.is_file()]
        hashes = [sha256_of(path) for path in found]
        if len(hashes) == 1:
            return hashes[0]
        return hashlib.sha256("".join(hashes).encode()).hexdigest()

    def constants(self, size: tuple[int, int]) -> dict[str, float]:
        """Inputs that are one number for a picture size, to be written into the graph."""
        if self.ratio is None:
            return {}
        return {self.ratio: min(1.0, self.long_side / max(size))}

    def flags(self, size: tuple[int, int]) -> tuple[str, ...]:
        """What a built engine depends on beside the file: how pictures go in, what comes out."""
        family = f"{self.family} with foreground" if self.foreground else self.family
        if self.raw:
            return (family,)
        layout = "channels last" if self.channels_last else "channels first"
        constants = (f"{name} {value:.6g}" for name, value in self.constants(size).items())
        return (family, layout, f"mean {self.mean}", f"deviation {self.deviation}", *constants)


def embedded(name: str = "default") -> Path:
    """Where the weights that ship with mattecast are."""
    return Path(__file__).parent / "weights" / f"{name}.onnx"


def models_folder() -> Path:
    """The per-user folder of added and downloaded models: MATTECAST_MODELS, or the system's."""
    if named := os.environ.get("MATTECAST_MODELS"):
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_data_path("mattecast")) / "models"


def find(name: str) -> ModelSpec:
    """The spec of an embedded network, of one in the models folder, or of an ONNX file by path.

    Raises EngineError when there is none of that name, or it is no network we can run.
    """
    if name == "default":
        # Most video is wide: at 480 its network and enlargement together take less than a quarter
        # of RVM's time, at 1080p and at 720p.
        return ModelSpec(name, embedded(), wide_side=480, closer_side=640)
    stored = models_folder() / f"{name}.onnx"
    if os.sep not in name and stored.is_file():
        return described(stored, CATALOGUE[name].amendments if name in CATALOGUE else {})
    if Path(name).is_file():
        return described(Path(name))
    if name in CATALOGUE:
        raise EngineError(f"model '{name}' is not here yet: `mattecast models pull {name}`")
    raise EngineError(
        f"model '{name}': no file {name}; use 'default', the path of an ONNX file, or a name "
        "of `mattecast models list`"
    )


def described(path: Path, amendments: Mapping[str, object] | None = None) -> ModelSpec:
    """The spec of an ONNX file, from its inputs and outputs and the JSON file beside it, if any.

    model.json beside model.onnx may set any of mean, deviation, meaning, long_side and multiple,
    which no ONNX file tells; amendments do where there is none. Raises EngineError for a file that
    fits no family, and for a JSON file that says what cannot be.
    """
    from mattecast.engines.backends.openvino import read_ports
    from mattecast.engines.onnx_ports import recognise

    spec = recognise(path, read_ports(path))
    side = path.with_suffix(".json")
    said = _amendments(side) if side.is_file() else amendments or {}
    changes: dict[str, Any] = {key: _frozen(value) for key, value in said.items()}
    return replace(spec, **changes)


def _three(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and all(type(one) in (int, float) and math.isfinite(one) for one in value)
    )


def _whole(value: object) -> bool:
    return type(value) is int and value > 0


# What a JSON file beside a network may say: in words, and whether a value will do.
_AMENDABLE: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "mean": ("three numbers", _three),
    "deviation": ("three numbers above 0", lambda value: _three(value) and min(value) > 0),
    "meaning": (f"one of {', '.join(get_args(Meaning))}", lambda value: value in get_args(Meaning)),
    "long_side": ("a whole number above 0", _whole),
    "multiple": ("a whole number above 0", _whole),
}


def _amendments(side: Path) -> dict[str, object]:
    """What a JSON file says; raises EngineError where that is nothing a network can have."""
    try:
        said = json.loads(side.read_text())
    except (OSError, ValueError) as error:
        raise EngineError(f"{side}: not readable as JSON ({error})") from error
    if not isinstance(said, dict):
        raise EngineError(f"{side}: expected {{...}} with any of {', '.join(_AMENDABLE)}")
    for key, value in said.items():
        if key not in _AMENDABLE:
            raise EngineError(f"{side}: '{key}' is not one of {', '.join(_AMENDABLE)}")
        words, will_do = _AMENDABLE[key]
        if not will_do(value):
            raise EngineError(f"{side}: {key} is {json.dumps(value)}, expected {words}")
    return said


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def network_size(
    spec: ModelSpec, width: float, height: float, long_side: int | None = None
) -> tuple[int, int]:
    """The (width, height) the network sees for a picture that is shown at width x height.

    The long side is the model's own or the one asked for, never above the picture's (a network
    gains nothing from pixels made up); both sides are rounded to the model's multiple.
    """
    if spec.fixed:
        return spec.fixed
    wide = max(width, height) >= WIDE * min(width, height)
    own = (wide and spec.wide_side) or spec.long_side
    return _fitted(spec, width, height, min(long_side or own, max(width, height)))


def closer_size(
    spec: ModelSpec, width: float, height: float, long_side: int | None = None
) -> tuple[int, int] | None:
    """The (width, height) of the closer look at a picture that is shown at width x height.

    None where the model has none, where a long side is asked for, for large pictures, whose
    network's time matters and which lose nothing by it, and where it would see no more than
    network_size gives.
    """
    if spec.closer_side is None or long_side or width * height > SMALL:
        return None
    longest = min(spec.closer_side, ENLARGED * max(width, height))
    size = _fitted(spec, width, height, longest)
    return size if max(size) > max(network_size(spec, width, height)) else None


def _fitted(spec: ModelSpec, width: float, height: float, longest: float) -> tuple[int, int]:
    """Sides in proportion, in multiples of the model's own; longest: pixels of the long one."""
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
    """The (h, w) float32 alpha in [0, 1] that the matte output (1, ...) stands for."""
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
    """The plate a network needs, checked; raises EngineError without one."""
    if plate is None:
        raise EngineError(
            f"{spec.name} ({spec.family}) needs a picture of the empty scene: name one with "
            "--plate, or choose another model"
        )
    check_picture(plate, size)
    return np.ascontiguousarray(plate)
