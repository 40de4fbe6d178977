"""Which kind of network an ONNX file holds, told by the names and shapes of its ports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mattecast.engines.errors import EngineError
from mattecast.engines.spec import Meaning, ModelSpec

Shape = tuple[int | None, ...]
# Means and deviations of ImageNet's pictures, which most segmentation networks start from.
_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
_HALF = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
_UNIT = ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output. shape: None where any size goes. bounded: an output that ends in a
    sigmoid, softmax or clip, so that it is a probability and not a logit."""

    name: str
    shape: Shape
    type: str
    bounded: bool = False

    def __str__(self) -> str:
        sides = "x".join("?" if side is None else str(side) for side in self.shape)
        return f"{self.name} ({sides} {self.type})"


@dataclass(frozen=True, slots=True)
class Ports:
    """All that goes into a network and comes out of it."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def __str__(self) -> str:
        sides = (", ".join(map(str, side)) or "nothing" for side in (self.inputs, self.outputs))
        return " -> ".join(sides)

    def has(self, inputs: set[str], outputs: set[str]) -> bool:
        """Whether its inputs are these exactly, and its outputs these at least."""
        return inputs == {port.name for port in self.inputs} and outputs <= {
            port.name for port in self.outputs
        }


def recognise(path: Path, ports: Ports) -> ModelSpec:
    """The spec of a network with these ports; raises EngineError when it fits no family."""
    for family in FAMILIES:
        if spec := family.match(path, ports):
            return spec
    known = "; ".join(f"{family.name}: {family.shape}" for family in FAMILIES)
    raise EngineError(f"{path}: no network that mattecast knows. Found {ports}. Expected {known}")


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of network. shape: what it takes and gives, for people."""

    name: str
    shape: str
    match: Callable[[Path, Ports], ModelSpec | None]


def _mattecast(path: Path, ports: Ports) -> ModelSpec | None:
    if not ports.has({"picture", "r1", "r2", "r3"}, {"alpha", "r1o", "r2o", "r3o"}):
        return None
    foreground = "foreground" if any(p.name == "foreground" for p in ports.outputs) else None
    return ModelSpec(path.name, path, foreground=foreground)


def _dlmn(path: Path, ports: Ports) -> ModelSpec | None:
    """DLMN-G, alone or with its refinement; its state is the last four gray frames."""
    if not ports.has({"picture", "motion"}, {"alpha", "motiono"}):
        return None
    states: tuple[tuple[str, str, int | None], ...] = (("motion", "motiono", 1),)
    return ModelSpec(path.name, path, "dlmn", long_side=512, states=states)


def _rvm(path: Path, ports: Ports) -> ModelSpec | None:
    """Lin et al. 2021, arXiv 2108.11515, as its authors export it."""
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
        foreground=None,
        states=states,
        raw=False,
        channels_last=False,
        ratio="downsample_ratio",
        alpha_last=False,
    )


def _background_matting(path: Path, ports: Ports) -> ModelSpec | None:
    """Lin et al. 2020, arXiv 2012.07810: a picture and the same scene without the person."""
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
        foreground=None,
        plate="bgr",
        states=(),
        raw=False,
        channels_last=False,
        alpha_last=False,
    )


def _modnet(path: Path, ports: Ports) -> ModelSpec | None:
    """Ke et al. 2020, arXiv 2011.11961, as its authors export it; trained on 512 short sides."""
    if not ports.has({"input"}, {"output"}) or not ports.outputs[0].bounded:
        return None
    spec = _one_picture(path, ports, "modnet", _HALF)
    if spec is None or spec.channels_last or spec.meaning != "alpha":
        return None
    return spec


def _segmentation(path: Path, ports: Ports) -> ModelSpec | None:
    """Channels last is TensorFlow's habit, whose networks take pictures in 0..1."""
    spec = _one_picture(path, ports, "segmentation", _IMAGENET)
    if spec is None or not spec.channels_last:
        return spec
    return _one_picture(path, ports, "segmentation", _UNIT)


Normalisation = tuple[tuple[float, float, float], tuple[float, float, float]]


def _one_picture(
    path: Path, ports: Ports, family: str, normalisation: Normalisation
) -> ModelSpec | None:
    """One picture in, one mask out; further outputs, as of deep supervision, are ignored."""
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
            foreground=None,
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
    """(1 or 2 planes, whether they are the last axis) of a mask of this shape, else None."""
    if len(shape) == 3 and shape[0] in (1, None):
        return 1, True
    if len(shape) != 4:
        return None
    for count, last in ((shape[1], False), (shape[3], True)):
        if count in (1, 2):
            return count, last
    return None


def _fixed(sides: Shape) -> tuple[int, int] | None:
    """(width, height) of (height, width), or None where either is free."""
    height, width = sides
    return (width, height) if width and height else None


FAMILIES = (
    Family("mattecast", "picture, r1, r2, r3 -> alpha, r1o, r2o, r3o", _mattecast),
    Family("dlmn", "picture, motion -> alpha, foreground, motiono", _dlmn),
    Family("rvm", "src, r1i..r4i, downsample_ratio -> pha, r1o..r4o", _rvm),
    Family("background-matting", "src, bgr -> pha", _background_matting),
    Family("modnet", "input (?x3x?x?) -> output (?x1x?x?) through a sigmoid", _modnet),
    Family("segmentation", "one picture of 3 channels -> one mask of 1 or 2 planes", _segmentation),
)
