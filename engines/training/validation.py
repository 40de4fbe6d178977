"""Which checkpoint to keep: decided by whole sources of the training data that are not trained on.

The clips and pictures that results are reported on are looked at once a candidate is chosen, for
whatever is chosen by them is fitted to them. A network is shown stills as they are, each three
times from zero state, and the first frames of clips.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mattecast.engines.training import metrics
from mattecast.engines.training.datasets import Bytes, Library

# Of the data that the embedded network is trained on: people at home, at work and in gyms, street
# fashion, phone clips; food, cities, landscapes, products and animals.
SOURCES = (
    # people
    *("chi_", "wpl_", "tw14_", "tw15_", "tmk_", "tw02_", "tw03_", "idg_", "dpi_", "rmb_"),
    *("ccp_092", "ccp_093", "vik_26", "humandet_m_1", "humandet_m_2", "humandet_m_3"),
    # clips
    *("jak_", "rnh_", "phl_", "vin_", "dhe_", "lp_d10_", "lp_d19_"),
    # nobody
    *("pprs_", "anipprs_", "figpprs_", "coco_", "anicoco_", "figcoco_", "nyc_", "stel_", "mkit_"),
    *("wp25_", "aniwp25_", "tlig_", "daily", "akr"),
)
LONG_SIDE = 320  # px: what checks while training are made at
EVERY = 2  # and one in so many of what is held out: a check is not to cost more than it tells
STEPS = 3  # of a still, from zero state
FRAMES = 8  # of a clip
CLAIMED, LOST = 0.05, 0.85  # a share of nobody's picture, and an IoU, that count as failures


@dataclass(frozen=True)
class Breadth:
    """What a network claims of pictures without people, and how well it cuts out people.

    claimed: mean alpha, in [0, 1]. fooled: share of the pictures whose mean alpha is above
    CLAIMED. iou, mad: mean over stills and clips, MAD times 1e3. worst: MAD of the worst tenth.
    lost: share of them with an IoU below LOST. score: one number to choose by, lower is better.
    """

    claimed: float
    fooled: float
    iou: float
    mad: float
    worst: float
    lost: float
    score: float


def breadth(
    network: nn.Module, library: Library, long_side: int = LONG_SIDE, every: int = 1
) -> Breadth:
    """Measure a network in eval mode on a library of what is held out, or on one in `every`."""
    shares = [
        float(np.mean(settled(network, library.backgrounds[place], long_side)))
        for place in range(0, len(library.backgrounds), every)
    ]
    pairs = list(judged(network, library, long_side, every))
    ious = [metrics.iou(*pair) for pair in pairs]
    mads = sorted((metrics.mad(*pair) for pair in pairs), reverse=True)
    worst = float(np.mean(mads[: max(1, len(mads) // 10)]))
    fooled = float(np.mean(np.array(shares) > CLAIMED)) if shares else 0.0
    claimed = float(np.mean(shares)) if shares else 0.0
    lost, mad = float(np.mean(np.array(ious) < LOST)), float(np.mean(mads))
    # A picture of nobody that is claimed is as bad as the same share of people missed.
    score = mad + 1e3 * claimed
    return Breadth(claimed, fooled, float(np.mean(ious)), mad, worst, lost, score)


def judged(
    network: nn.Module, library: Library, long_side: int, every: int = 1
) -> Iterator[tuple[NDArray[np.float32], Bytes]]:
    """(alpha, true alpha) of stills and of the last of each clip's first frames."""
    for one in [*library.stills[::every], *library.clips[::every]]:
        if one.pictures is None:
            continue
        if one.frames == 1:
            alpha, last = settled(network, one.pictures[0], long_side), 0
        else:
            last = min(FRAMES, one.frames) - 1
            alpha = run(network, one.pictures[: last + 1], long_side)
        height, width = one.pictures.shape[1:3]
        yield np.asarray(cv2.resize(alpha, (width, height)), np.float32), one.cutouts[last, ..., 3]


def settled(network: nn.Module, picture: Bytes, long_side: int) -> NDArray[np.float32]:
    """The alpha (h, w) of a still (H, W, 3) uint8 RGB after some steps, at the network's size."""
    return run(network, np.stack([picture] * STEPS), long_side)


@torch.no_grad()
def run(network: nn.Module, pictures: Bytes, long_side: int) -> NDArray[np.float32]:
    """The last alpha (h, w) float32 of frames (T, H, W, 3) uint8 RGB from zero state."""
    height, width = pictures.shape[1:3]
    scale = min(1.0, long_side / max(height, width))
    size = (max(32, round(side * scale / 32) * 32) for side in (width, height))
    w, h = size
    frames = [cv2.resize(each, (w, h), interpolation=cv2.INTER_AREA) for each in pictures]
    device = next(network.parameters()).device
    alpha: Any = network(torch.from_numpy(np.stack(frames))[None].to(device)).alpha
    return np.asarray(alpha[-1, 0].float().cpu().numpy(), np.float32)


def record(step: int, found: Breadth) -> dict[str, float]:
    """A line of a run's validation.jsonl."""
    return {"step": step} | {name: round(value, 5) for name, value in asdict(found).items()}
