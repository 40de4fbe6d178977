#!/usr/bin/env python3
"""From a photograph to a composite in the five steps of the background-matting paper, each saved.

  (4-1) soft segmentation: the network's matte S of the picture I, at the network's own size
  (4-2) trimap: surely person, surely not, and the band between, from S eroded and dilated
  (4-3) alpha: solved in the band, so that I = alpha F + (1 - alpha) B holds with smooth F and B
  (4-4) foreground: F where alpha is soft, since I shows half the old background there
  (4-5) composite: C = alpha F + (1 - alpha) B' over another background B'

After "Deep Residual Network for High-Resolution Background Matting" (El Abdellaoui and Kachbal,
Studies in Informatics and Control 30(3), 2021).

  compose_steps.py photo.jpg --background beach.jpg --out steps
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast import engines
from mattecast.commands.exits import exit_code
from mattecast.filters.matting import solvers
from mattecast.filters.matting.closed_form import closed_form
from mattecast.filters.matting.trimap import trimap
from mattecast.filters.pictures.foreground import local_colours, recover_colours

Bytes = NDArray[np.uint8]
Float = NDArray[np.float32]
BAND = 8.0  # half width of the unknown band in pixels of a 480-line picture


def main() -> int:
    options = parse()
    picture, behind = read(options.photo), read(options.background)
    soft = segmentation(picture, options.model)
    known = trimap(soft, BAND * picture.shape[0] / 480)
    alpha = solved(picture, known, soft, options.solver)
    front = foreground(picture, alpha)
    composite = composed(front, alpha, covering(behind, picture.shape[:2]))
    steps = {
        "4-1-segmentation": gray(soft),
        "4-2-trimap": known,
        "4-3-alpha": gray(alpha),
        "4-4-foreground": np.dstack([front, gray(alpha)]),
        "4-5-composite": composite,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    for name, step in steps.items():
        print(write(options.out / f"{name}.png", step))
    return 0


def parse() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    add = parser.add_argument
    add("photo", type=Path)
    add("--background", type=Path, required=True)
    add("--out", type=Path, required=True, help="folder for the five pictures")
    add("--model", default="default", help="network of step 4-1 (default: the embedded one)")
    add(
        "--solver",
        default="fine",
        choices=("fine", *solvers.SOLVERS),
        help="of step 4-3: ours, or one of PyMatting (default: fine)",
    )
    return parser.parse_args()


def read(path: Path) -> Bytes:
    """A picture as (h, w, 3) uint8 RGB."""
    stored = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if stored is None:
        raise SystemExit(f"{path}: not a picture that can be read")
    return np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), np.uint8)


def segmentation(picture: Bytes, model: str) -> Float:
    """(4-1) The network's matte at the picture's size, (h, w) float32 in [0, 1]."""
    height, width = picture.shape[:2]
    spec = engines.find(model)
    size = engines.network_size(spec, width, height)
    engine = engines.load(spec, size)
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    soft = engine.step(np.ascontiguousarray(small))
    engine.close()
    return np.clip(cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)


def solved(picture: Bytes, known: Bytes, soft: Float, solver: str) -> Float:
    """(4-3) Alpha (h, w) float32: exact in what is known, solved in the band."""
    if solver == "fine":
        return closed_form(picture, known, soft)
    return solvers.solve(picture, known, soft, solver)


def foreground(picture: Bytes, alpha: Float) -> Bytes:
    """(4-4) The person's own colours, (h, w, 3) uint8 RGB; the picture where alpha is 0 or 1."""
    planes: list[Any] = [np.ascontiguousarray(picture[..., channel]) for channel in range(3)]
    colours = local_colours(picture.astype(np.float32), alpha)
    recover_colours(planes, np.round(alpha * 65535).astype(np.uint16), colours, 255)
    return np.dstack(planes)


def covering(behind: Bytes, size: tuple[int, int]) -> Bytes:
    """A background scaled to cover (height, width) and cut at its middle."""
    scale = max(size[0] / behind.shape[0], size[1] / behind.shape[1])
    large = (
        max(size[1], round(behind.shape[1] * scale)),
        max(size[0], round(behind.shape[0] * scale)),
    )
    whole = cv2.resize(behind, large, interpolation=cv2.INTER_AREA)
    top, left = (whole.shape[0] - size[0]) // 2, (whole.shape[1] - size[1]) // 2
    return np.asarray(whole[top : top + size[0], left : left + size[1]], np.uint8)


def composed(front: Bytes, alpha: Float, behind: Bytes | Float) -> Bytes:
    """(4-5) The matting equation, (h, w, 3) uint8."""
    share = alpha[..., None]
    return np.round(share * front + (1 - share) * behind).astype(np.uint8)


def gray(alpha: Float) -> Bytes:
    return np.round(alpha * 255).astype(np.uint8)


def write(path: Path, picture: Bytes) -> Path:
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    stored = cv2.cvtColor(picture, order[picture.shape[2]]) if picture.ndim == 3 else picture
    if not cv2.imwrite(str(path), stored):
        raise SystemExit(f"{path}: cannot be written")
    return path


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
