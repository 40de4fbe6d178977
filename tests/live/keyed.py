"""A network whose matte is known, since its alpha is the picture's red; and a clip for it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from waiting import until

from mattecast.live.capture import parse
from mattecast.live.pipeline import Controls
from mattecast.live.session import Session
from mattecast.settings import Settings

SIZE = (640, 352)
# The bar is this wide, starts here, moves by this much a frame, and fills these rows (pixels).
BAR, STEP, ROWS = 64, 16, slice(16, 160)
# Patches of half-transparent red on blue: alpha 0.25, 0.5, 0.75 and their places.
REDS = (64, 128, 192)
PATCH_ROWS = slice(200, 320)


def patch(index: int) -> slice:
    """Columns of the patch of REDS[index]."""
    return slice(40 + 180 * index, 140 + 180 * index)


def network(folder: Path) -> Path:
    """An ONNX network that gives the red channel as its matte, at the clip's own size."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    red = np.array([1, 0, 0], np.float32).reshape(1, 3, 1, 1)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "red"], ["plane"]),
            helper.make_node("Clip", ["plane", "least", "most"], ["mask"]),
        ],
        "red",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 1, "h", "w"])],
        [
            numpy_helper.from_array(red, "red"),
            numpy_helper.from_array(np.float32(0), "least"),
            numpy_helper.from_array(np.float32(1), "most"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = folder / "red.onnx"
    onnx.save(model, path)
    path.with_suffix(".json").write_text(
        json.dumps(
            {
                "mean": [0, 0, 0],
                "deviation": [255, 255, 255],
                "meaning": "alpha",
                "long_side": SIZE[0],
                "multiple": 32,
            }
        )
    )
    return path


def frame(index: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8 RGB: a white bar that moves over black, and patches that stand."""
    picture = np.zeros((size[1], size[0], 3), np.uint8)
    left = index * STEP % (size[0] - BAR)
    picture[ROWS, left : left + BAR] = 255
    for place, red in enumerate(REDS):
        picture[PATCH_ROWS, patch(place)] = (red, 0, 200)
    return picture


def clip(
    path: Path, *, frames: int = 36, rate: Fraction | int = 30, size: tuple[int, int] = SIZE
) -> Path:
    """The clip, without loss of colours; in one loop the bar crosses the picture once."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264rgb", rate=rate, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "rgb24"
        for index in range(frames):
            picture = av.VideoFrame.from_ndarray(frame(index, size), format="rgb24")
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


@contextmanager
def session(folder: Path) -> Iterator[Session]:
    """A live session over the clip, without an output, that has made its first picture."""
    controls = Controls(Settings(model=str(network(folder)), network_size=160, smooth="off"))
    source = parse(str(clip(folder / "bar.mkv", rate=Fraction(30))), loop=True)
    made = Session(source, controls, 5.0, [])
    made.start()
    try:
        until(lambda: made.newest, 30, "a picture")
        yield made
    finally:
        made.close()
