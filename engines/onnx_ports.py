"""The ports of an ONNX file, and the family of networks that their names and shapes show.

A port is an input or an output. A family is a kind of network: mattecast's own, those of other
projects as their authors export them, and segmentation networks in general.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mattecast.engines.errors import EngineError
from mattecast.engines.openvino_core import read_network
from mattecast.engines.spec import Meaning, ModelSpec

Shape = tuple[int | None, ...]
Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]  # mean, deviation
# Of ImageNet's pictures, on which most segmentation networks were trained first.
_IMAGENET: Normalisation = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_MINUS_ONE_TO_ONE: Normalisation = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
_ZERO_TO_ONE: Normalisation = ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
# Operations through which a mask's values pass unchanged, and operations that end in 0..1.
_PASSING = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Convert", "Interpolate", "Identity"}
_BOUNDING = {"Sigmoid", "Softmax", "Clamp", "HardSigmoid"}


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output.

    shape: a side is None where any size goes. bounded: whether an output ends in a sigmoid, softmax
    or clip, so that it holds probabilities and not logits.
    """

    name: str
    shape: Shape
    type: str
    bounded: bool = False

    def __str__(self) -> str:
        sides = "x".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} ({sides} {self.type})"


@dataclass(frozen=True, slots=True)
class Ports:
    """All inputs and outputs of a network."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def __str__(self) -> str:
        sides = (", ".join(map(str, side)) or "nothing" for side in (self.inputs, self.outputs))
        return " -> ".join(sides)

    def has(self, inputs: set[str], outputs: set[str]) -> bool:
        """Whether the inputs are exactly these and the outputs include these."""
        return inputs == {port.name for port in self.inputs} and outputs <= {
            port.name for port in self.outputs
        }


def read_ports(path: Path) -> Ports:
    """The ports of an ONNX file; raises EngineError for another kind of file."""
    network = read_network(path)
    return Ports(
        tuple(_port(one, bounded=False) for one in network.inputs),
        tuple(_port(one, bounded=_is_bounded(one.get_node())) for one in network.outputs),
    )


def _port(output: Any, *, bounded: bool) -> Port:
    shape = tuple(None if side.is_dynamic else side.get_length() for side in output.partial_shape)
    return Port(output.any_name, shape, output.element_type.get_type_name(), bounded)


def _is_bounded(result: Any) -> bool:
    node = result.input_value(0).get_node()
    while node.get_type_name() in _PASSING:
        node = node.input_value(0).get_node()
    return node.get_type_name() in _BOUNDING


def recognise(path: Path, ports: Ports) -> ModelSpec:
    """The spec of a network with these ports; raises EngineError when it fits no family."""
    for family in FAMILIES:
        if spec := family.match(path, ports):
            return spec
    known = "; ".join(f"{family.name}: {family.ports}" for family in FAMILIES)
    raise EngineError(f"{path}: mattecast knows no such network. Found {ports}. Expected {known}")


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of network. ports: its inputs and outputs, for a message."""

    name: str
    ports: str
    match: Callable[[Path, Ports], ModelSpec | None]


def _mattecast(path: Path, ports: Ports) -> ModelSpec | None:
    if not ports.has({"picture", "r1", "r2", "r3"}, {"alpha", "r1o", "r2o", "r3o"}):
        return None
    return ModelSpec(path.name, path)


def _dlmn(path: Path, ports: Ports) -> ModelSpec | None:
    """DLMN-G (see mattecast.engines.papers), alone or with its refinement.

    Its state is the last four gray frames.
    """
    if not ports.has({"picture", "motion"}, {"alpha", "motiono"}):
        return None
    states: tuple[tuple[str, str, int | None], ...] = (("motion", "motiono", 1),)
    return ModelSpec(path.name, path, "dlmn", long_side=512, states=states)


def _rvm(path: Path, ports: Ports) -> ModelSpec | None:
    """Robust Video Matting (Lin et al. 2021, arXiv 2108.11515) as its authors export it."""
    states = tuple((f"r{n}i", f"r{n}o", None) for n in range(1, 5))
    inputs = {"src", "downsample_ratio", *(source for source, _, _ in states)}
    if not ports.has(inputs, {"pha", *(target for _, target, _ in states)}):
        return None
    return ModelSpec(
        path.name,
        path,
        "rvm",
        long_side=512,
        multiple=16,
        picture="src",
        alpha="pha",
        states=states,
        raw=False,
        channels_last=False,
        ratio="downsample_ratio",
        alpha_last=False,
    )


def _background_matting(path: Path, ports: Ports) -> ModelSpec | None:
    """Background Matting V2 (Lin et al. 2020, arXiv 2012.07810).

    It takes a picture and the same scene without the person.
    """
    if not ports.has({"src", "bgr"}, {"pha"}):
        return None
    fixed = _fixed(ports.inputs[0].shape[2:])
    return ModelSpec(
        path.name,
        path,
        "background-matting",
        long_side=1280,
        multiple=1 if fixed else 16,
        fixed=fixed,
        picture="src",
        alpha="pha",
        plate="bgr",
        states=(),
        raw=False,
        channels_last=False,
        alpha_last=False,
    )


def _modnet(path: Path, ports: Ports) -> ModelSpec | None:
    """MODNet (Ke et al. 2020, arXiv 2011.11961) as its authors export it.

    It was trained on pictures whose short side is 512.
    """
    if not ports.has({"input"}, {"output"}) or not ports.outputs[0].bounded:
        return None
    spec = _single_picture(path, ports, "modnet", _MINUS_ONE_TO_ONE)
    if spec is None or spec.channels_last or spec.meaning != "alpha":
        return None
    return spec


def _segmentation(path: Path, ports: Ports) -> ModelSpec | None:
    """A segmentation network. Channels last means TensorFlow, whose networks take 0..1."""
    spec = _single_picture(path, ports, "segmentation", _IMAGENET)
    if spec is None or not spec.channels_last:
        return spec
    return _single_picture(path, ports, "segmentation", _ZERO_TO_ONE)


def _single_picture(
    path: Path, ports: Ports, family: str, normalisation: Normalisation
) -> ModelSpec | None:
    """One picture in, one mask out; further outputs (of deep supervision) are ignored."""
    if len(ports.inputs) != 1 or len(ports.inputs[0].shape) != 4:
        return None
    picture = ports.inputs[0]
    if 3 not in (picture.shape[1], picture.shape[3]):
        return None
    channels_last = picture.shape[1] != 3
    fixed = _fixed(picture.shape[1:3] if channels_last else picture.shape[2:])
    for mask in ports.outputs:
        planes = _planes(mask.shape)
        if planes is None:
            continue
        count, alpha_last = planes
        return ModelSpec(
            path.name,
            path,
            family,
            long_side=896 if family == "modnet" else 512,
            multiple=1 if fixed else 32,
            fixed=fixed,
            picture=picture.name,
            alpha=mask.name,
            states=(),
            raw=False,
            channels_last=channels_last,
            mean=normalisation[0],
            deviation=normalisation[1],
            meaning=_meaning(count, mask.bounded),
            alpha_last=alpha_last,
        )
    return None


def _meaning(planes: int, bounded: bool) -> Meaning:
    if planes == 2:
        return "classes" if bounded else "class logits"
    return "alpha" if bounded else "logit"


def _planes(shape: Shape) -> tuple[int, bool] | None:
    """How many planes (1 or 2) a mask has and whether they are its last axis; None for no mask."""
    if len(shape) == 3 and shape[0] in (1, None):
        return 1, True
    if len(shape) != 4:
        return None
    for count, last in ((shape[1], False), (shape[3], True)):
        if count in (1, 2):
            return count, last
    return None


def _fixed(sides: Shape) -> tuple[int, int] | None:
    """(width, height) of (height, width) sides, or None where either is free."""
    height, width = sides
    return (width, height) if width and height else None


FAMILIES = (
    Family("mattecast", "picture, r1, r2, r3 -> alpha, r1o, r2o, r3o", _mattecast),
    Family("dlmn", "picture, motion -> alpha, motiono", _dlmn),
    Family("rvm", "src, r1i..r4i, downsample_ratio -> pha, r1o..r4o", _rvm),
    Family("background-matting", "src, bgr -> pha", _background_matting),
    Family("modnet", "input (?x3x?x?) -> output (?x1x?x?) through a sigmoid", _modnet),
    Family("segmentation", "one picture of 3 channels -> one mask of 1 or 2 planes", _segmentation),
)
