#!/usr/bin/env python3
"""Make the int8 file of a network by post-training quantisation: NAME.int8.onnx from NAME.onnx.

DIR holds training clips and pictures of people, never what the network is measured on: videos (but
NAME.alpha.*) are seen frame by frame from their start, photos (.jpg) as clips that stand still. The
ranges of all values are taken over these sequences, with the recurrent states as the network itself
leaves them. Beside its network the int8 file is what `--precision auto` runs on a CPU:

  pip install '.[quantise]'
  scripts/data/quantise.py --data DIR --out default.int8.onnx
  scripts/bench/evaluate.py CLIPS --model engines/weights/default.onnx --model default.int8.onnx

Method: NNCF's min-max ranges and fast bias correction (Nagel et al. 2019, arXiv 1906.04721), int8
weights for each channel. Each recurrent cell stays in float: errors would add up in it from frame
to frame, and OpenVINO 2026.4 cannot keep a quantised state inside. Keeping the first and the last
convolution too was tried on the first network: slower by 0.7 ms a frame, and no better.
"""

from __future__ import annotations

import argparse
import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.engines.library import find
from mattecast.engines.onnx_prepare import prepared
from mattecast.engines.openvino_graph import state_shapes
from mattecast.engines.spec import ModelSpec, network_size

if TYPE_CHECKING:
    import onnx

Picture = NDArray[np.uint8]
Values = dict[str, NDArray[Any]]
VIDEOS = {".mp4", ".mov", ".mkv", ".webm", ".avi"}
PHOTOS = {".jpg", ".jpeg"}


def main() -> int:
    options = parse()
    # Before NNCF is imported: it reports its use to its makers otherwise.
    os.environ.setdefault("NNCF_CI", "1")
    import nncf
    import onnx

    spec = find(options.model)
    model = prepared(spec, network_size(spec, 1920, 1080), "f32")
    samples = list(calibration(spec, model, options))
    random.Random(0).shuffle(samples)
    kept = floats(model.graph, spec, options.keep)
    print(f"{len(samples)} samples; {len(kept)} of {len(model.graph.node)} operations in float")
    quantised = nncf.quantize(
        model,
        nncf.Dataset(samples),
        subset_size=len(samples),
        fast_bias_correction=True,
        preset=nncf.QuantizationPreset.PERFORMANCE,
        ignored_scope=nncf.IgnoredScope(names=sorted(kept)),
    )
    part = options.out.with_name(f"{options.out.name}.part")
    onnx.save(quantised, part)
    os.replace(part, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")
    return 0


def parse() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    add = parser.add_argument
    add("--model", default="default", help="a name or the path of an ONNX file")
    add("--data", type=Path, required=True, metavar="DIR", help="training clips and photos")
    add("--out", type=Path, required=True, metavar="FILE", help="the int8 file")
    add("--frames", type=int, default=12, help="frames seen of each clip (default: 12)")
    add("--photos", type=int, default=60, help="photos seen, chosen at random (default: 60)")
    add("--samples", type=int, default=200, help="frames taken, evenly spread (default: 200)")
    add(
        "--keep",
        nargs="*",
        default=[],
        metavar="PART",
        help="operations with this in their names stay in float too",
    )
    return parser.parse_args()


def calibration(
    spec: ModelSpec, model: onnx.ModelProto, options: argparse.Namespace
) -> Iterator[Values]:
    """Inputs of the network as they come in a run: pictures, and the states left by those before.

    Of all frames seen, options.samples are given, evenly spread.
    """
    from onnxruntime import InferenceSession

    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs = [target for _, target, _ in spec.states]
    clips = list(sequences(spec, options))
    frames = sum(len(clip) for clip in clips)
    every, seen = max(1.0, frames / options.samples), 0
    for clip in clips:
        height, width, _ = clip[0].shape
        shapes = state_shapes(spec, (width, height))
        states: dict[str, Any] = {
            name: np.zeros(shape, np.float32) for name, shape in shapes.items()
        }
        for frame in clip:
            inputs = {spec.picture: frame[None], **states}
            if int(seen / every) != int((seen - 1) / every):
                yield inputs
            seen += 1
            results = session.run(outputs, inputs)
            states = {
                source: value for (source, _, _), value in zip(spec.states, results, strict=True)
            }


def sequences(spec: ModelSpec, options: argparse.Namespace) -> Iterator[list[Picture]]:
    """The first frames of each video, and photos, as lists of (h, w, 3) uint8 RGB pictures of the
    size the network sees them in."""
    files = sorted(path for path in options.data.rglob("*") if path.is_file())
    videos = [
        path for path in files if path.suffix.lower() in VIDEOS and ".alpha" not in path.suffixes
    ]
    photos = [path for path in files if path.suffix.lower() in PHOTOS]
    if not videos and not photos:
        raise SystemExit(f"{options.data}: no clips or photos found")
    for path in videos:
        with av.open(str(path)) as container:
            frames = container.decode(video=0)
            yield [
                shrunk(spec, frame.to_ndarray(format="rgb24"))
                for frame, _ in zip(frames, range(options.frames), strict=False)
            ]
    for path in random.Random(0).sample(photos, min(options.photos, len(photos))):
        picture = cv2.imread(str(path))
        if picture is not None:
            yield [shrunk(spec, picture[..., ::-1])] * 3


def shrunk(spec: ModelSpec, picture: NDArray[Any]) -> Picture:
    """The picture as a run would show it to the network."""
    height, width, _ = picture.shape
    size = network_size(spec, width, height)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def floats(graph: onnx.GraphProto, spec: ModelSpec, more: Sequence[str] = ()) -> set[str]:
    """Names of the operations that stay in float: each recurrent cell, which is what lies between a
    state and the same state of the next frame, and those with any of `more` in their names."""
    kept = {node.name for node in graph.node if any(part in node.name for part in more)}
    for source, target, _ in spec.states:
        kept |= below(graph, source) & above(graph, target)
    return kept


def below(graph: onnx.GraphProto, value: str) -> set[str]:
    """Operations that depend on this value."""
    known, found = {value}, set()
    for node in graph.node:  # ONNX keeps them in order of their dependencies
        if known.intersection(node.input):
            known.update(node.output)
            found.add(node.name)
    return found


def above(graph: onnx.GraphProto, value: str) -> set[str]:
    """Operations that this value depends on."""
    known, found = {value}, set()
    for node in reversed(graph.node):
        if known.intersection(node.output):
            known.update(node.input)
            found.add(node.name)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
