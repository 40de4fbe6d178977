#!/usr/bin/env python3
"""DLMN-G and its refinement: losses while training, and mattes before and after, against the truth.

Three runs, each from the one before: the soft segmentation (DeepLabV3+), DLMN-G on it, SSRN on
that. Each is scored on clips NAME.mp4 with NAME.alpha.mkv. A checkpoint becomes a model with
--release.

  study_refinement.py --data FOLDER --clips ../shared/eval/exact --out runs/refinement
  study_refinement.py ... --size 96 --width 32 --steps 90,60,60 --frames 4     # minutes on a CPU
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import study
import torch
from numpy.typing import NDArray
from torch import nn

from mattecast.commands.exits import exit_code
from mattecast.engines.papers.losses import Adversarial
from mattecast.engines.training import metrics, systems
from mattecast.engines.training.fit import Settings
from mattecast.engines.training.stages import Stage

Mattes = Callable[[nn.Module, list[NDArray[np.uint8]], int], Iterator[NDArray[np.float32]]]
NAMES = {"deeplab": "soft segmentation", "dlmn": "DLMN-G", "ssrn": "DLMN-G + SSRN"}


def main() -> int:
    options = parse()
    study.talk()
    start, checkpoints = None, {}
    for name, widths in sizes(options.width).items():
        start = checkpoints[name] = train(name, widths, start, options)
    text = document(
        options,
        {
            name: score(path, options.clips, mattes, options.size, options.frames)
            for name, path in checkpoints.items()
        },
    )
    curves = {NAMES[name]: options.out / name for name in checkpoints}
    study.publish("refinement", text, curves, options)
    study.release_all(checkpoints, options)
    return 0


def parse() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of training material")
    add(
        "--partial",
        action="append",
        default=[],
        metavar="PREFIX",
        help="file names whose bystanders are not in the alpha (repeatable)",
    )
    add("--clips", type=Path, required=True, help="clips with true alpha")
    add("--out", type=Path, required=True, help="folder of the runs; again, it goes on there")
    add("--size", type=study.side, default=512, help="side trained at (default: 512)")
    add("--width", type=int, default=256, help="DLMN-G's feature maps (default: 256)")
    add(
        "--steps",
        type=steps,
        default="20000",
        metavar="N[,N,N]",
        help="of each run, or of segmentation, DLMN-G and SSRN (default: 20000)",
    )
    add("--batch", type=int, default=4, help="clips a batch (default: 4)")
    add("--frames", type=int, default=0, help="of each clip that are scored (default: all)")
    add("--check-every", type=int, default=0, help="steps (default: a third of a run)")
    add("--workers", type=int, default=0)
    add("--threads", type=int, default=0)
    add("--device", default="auto")
    add("--write", type=Path, help="also write refinement.md and .png into this folder")
    add("--release", type=Path, metavar="DIR", help="also write the networks as models here")
    return parser.parse_args()


def steps(text: str) -> dict[str, int]:
    """Steps of each network as given on the command line."""
    counts = text.split(",")
    if len(counts) not in (1, len(NAMES)) or not all(each.isdecimal() for each in counts):
        raise argparse.ArgumentTypeError(
            f"got {text!r}, expected steps, one number or one each for {', '.join(NAMES.values())}"
        )
    return dict(zip(NAMES, map(int, counts * (len(NAMES) // len(counts))), strict=True))


def sizes(width: int) -> dict[str, Any]:
    """The three networks; 256 is the papers' full size."""
    share = width / 256
    deeplab = systems.widths("deeplab", max(0.25, share))
    dlmn = replace(systems.SYSTEMS["dlmn"].at(share), segmentation=deeplab)
    return {
        "deeplab": deeplab,
        "dlmn": dlmn,
        "ssrn": replace(systems.SYSTEMS["ssrn"].at(share), base=dlmn),
    }


def train(name: str, widths: Any, start: Path | None, options: argparse.Namespace) -> Path:
    """The last checkpoint of a run, trained unless that was done."""
    out, side = options.out / name, (options.size, options.size)
    count = options.steps[name]
    if not (out / "done").exists():
        frames = 1 if name == "deeplab" else 3
        settings = Settings(
            data=options.data,
            out=out,
            start=start,
            widths=widths,
            weights=Adversarial(),
            stages=(Stage(name, count, options.batch, frames, (side,)),),
            partial=tuple(options.partial),
            rate=1e-3,
            warmup=min(300, count // 10 + 1),
            average=0.9 if count < 1000 else 0.998,
            workers=options.workers,
            check_every=options.check_every or max(1, count // 3),
            log_every=max(1, count // 20),
            threads=options.threads,
            device=options.device,
        )
        study.finish(settings)
    checkpoint: Path = out / "last.pt"
    return checkpoint


def score(
    checkpoint: Path, clips: Path, make: Mattes, side: int, most: int
) -> dict[str, metrics.Scores]:
    """Mean scores of a network by group of clips, at the clips' own size.

    make: as `mattes`, called with the network, a clip's pictures and `side`. most: frames of each
    clip; 0 means all.
    """
    from evaluate import alphas, is_clip, pictures

    network = systems.restore(checkpoint)
    groups: dict[str, list[Any]] = {}
    for path in sorted(each for each in clips.iterdir() if is_clip(each)):
        true = list(islice(alphas(path.with_suffix(".alpha.mkv")), most or None))
        found = make(network, list(islice(pictures(path), most or None)), side)
        scores = metrics.score_clip(zip(found, true, strict=True))
        groups.setdefault(path.stem.split("_")[0], []).append(scores)
    means = {group: metrics.mean(rows) for group, rows in groups.items()}
    return {**means, "all": metrics.mean(one for rows in groups.values() for one in rows)}


@torch.no_grad()
def mattes(
    network: nn.Module, pictures: list[NDArray[np.uint8]], side: int
) -> Iterator[NDArray[np.float32]]:
    """Mattes (H, W) float32 of a clip, found at about `side` pixels on the long side."""
    height, width = pictures[0].shape[:2]
    scale = side / max(height, width)
    size = tuple(max(32, round(each * scale / 32) * 32) for each in (width, height))
    small = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for picture in pictures]
    alpha = network(torch.from_numpy(np.stack(small))[None]).alpha[:, 0].numpy()
    for each in alpha:
        whole = cv2.resize(each, (width, height), interpolation=cv2.INTER_LINEAR)
        yield np.clip(whole, 0, 1)


def document(options: argparse.Namespace, scores: dict[str, dict[str, metrics.Scores]]) -> str:
    rows = [
        (group, NAMES[name], *(f"{value:.2f}" for value in vars(groups[group]).values()))
        for group in scores["ssrn"]
        for name, groups in scores.items()
    ]
    titles = ("clips", "matte", "MAD", "MSE", "Grad", "Conn", "dtSSD", "IoU")
    before, after = (scores[name]["all"].mad for name in ("dlmn", "ssrn"))
    runs = ", ".join(
        f"{NAMES[name]} {options.steps[name]} steps in {study.seconds(options.out / name):.0f} s"
        for name in scores
    )
    return (
        f"# DLMN-G and its refinement\n\n{study.table(titles, rows)}\n\n"
        f"The refinement changes the MAD of all clips from {before:.2f} to {after:.2f}.\n\n"
        f"Schedule: {options.size} px, DLMN-G of {options.width} maps, {options.batch} clips a "
        f"step; {runs} of CPU time. Scored on {options.frames or 'all'} frames of each clip. "
        f"Machine: {study.machine()}."
    )


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
