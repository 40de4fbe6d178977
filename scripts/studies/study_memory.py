#!/usr/bin/env python3
"""What memory and moving clips are worth to the embedded network: short runs from one checkpoint.

Three runs go on from the same weights, which have seen single pictures only, each with as many
pictures: clips that move; the same clips standing still; single pictures, with which nothing is
remembered. Each is scored on clips NAME.mp4 with NAME.alpha.mkv at the network's own size, before
any filter.

  study_memory.py --data FOLDER --from run/last.pt --clips CLIPS --out runs/memory
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import study
import study_refinement
from numpy.typing import NDArray
from torch import nn

from mattecast.engines.training import scenes, systems
from mattecast.engines.training.fit import Settings
from mattecast.engines.training.metrics import Scores
from mattecast.engines.training.stages import Stage

FRAMES = 4  # of each clip that is trained on


@dataclass(frozen=True)
class Kind:
    """One run: frames a clip, how many of the clips stand still, whether frames are remembered."""

    title: str
    frames: int
    still: float
    remembers: bool


KINDS = {
    "moving": Kind("clips that move", FRAMES, scenes.Recipe().still, True),
    "still": Kind("clips without motion", FRAMES, 1.0, True),
    "single": Kind("no memory", 1, 0.0, False),
}


def main() -> int:
    options = parse()
    study.talk()
    rows = {
        kind.title: score(kind, train(name, kind, options), options) for name, kind in KINDS.items()
    }
    curves = {kind.title: options.out / name for name, kind in KINDS.items()}
    study.publish("memory", document(options, rows), curves, options)
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
    add("--from", type=Path, required=True, dest="start", metavar="CHECKPOINT")
    add("--clips", type=Path, required=True, help="clips with true alpha")
    add("--out", type=Path, required=True, help="folder of the runs; again, it goes on there")
    add("--size", type=int, default=160, help="side trained at (default: 160)")
    add("--scored", type=int, default=384, help="long side scored at (default: 384)")
    add("--steps", type=int, default=400, help="of each run (default: 400)")
    add("--batch", type=int, default=6, help="clips a batch (default: 6)")
    add("--rate", type=float, default=1e-3, help="largest learning rate (default: 0.001)")
    add("--frames", type=int, default=0, help="of each clip that are scored (default: all)")
    add("--workers", type=int, default=1)
    add("--threads", type=int, default=0)
    add("--device", default="auto")
    add("--write", type=Path, help="also write memory.md and .png into this folder")
    return parser.parse_args()


def train(name: str, kind: Kind, options: argparse.Namespace) -> Path:
    """The last checkpoint of a run, trained unless that was done."""
    out, side = options.out / name, (options.size, options.size)
    if not (out / "done").exists():
        clips = options.batch * FRAMES // kind.frames
        stage = Stage(name, options.steps, clips, kind.frames, (side,), freeze=True)
        study.finish(
            Settings(
                data=options.data,
                out=out,
                start=options.start,
                stages=(stage,),
                widths=systems.widths("heron", start=options.start),
                partial=tuple(options.partial),
                frozen=systems.SYSTEMS["heron"].frozen,
                recipe=scenes.Recipe(still=kind.still),
                rate=options.rate,
                warmup=min(100, options.steps // 10 + 1),
                average=0.99,
                check_every=max(1, options.steps // 2),
                log_every=max(1, options.steps // 20),
                workers=options.workers,
                threads=options.threads,
                device=options.device,
            )
        )
    checkpoint: Path = out / "last.pt"
    return checkpoint


def score(kind: Kind, checkpoint: Path, options: argparse.Namespace) -> dict[str, Scores]:
    """Mean scores by group of clips."""
    mattes = study_refinement.mattes if kind.remembers else alone
    return study_refinement.score(checkpoint, options.clips, mattes, options.scored, options.frames)


def alone(
    network: nn.Module, pictures: list[NDArray[np.uint8]], side: int
) -> Iterator[NDArray[np.float32]]:
    """Mattes of pictures of which none remembers another."""
    for picture in pictures:
        yield from study_refinement.mattes(network, [picture], side)


def document(options: argparse.Namespace, rows: dict[str, dict[str, Scores]]) -> str:
    titles = ("clips", "trained on", "MAD", "MSE", "Grad", "Conn", "dtSSD", "IoU")
    groups = next(iter(rows.values()))
    lines = [
        (group, title, *(f"{value:.3f}" for value in vars(scores[group]).values()))
        for group in groups
        for title, scores in rows.items()
    ]
    spent = ", ".join(
        f"{kind.title} {study.seconds(options.out / name):.0f} s" for name, kind in KINDS.items()
    )
    return (
        f"# Memory and motion\n\n{study.table(titles, lines)}\n\n"
        f"Schedule: {options.steps} steps of {options.batch * FRAMES} pictures of {options.size} "
        f"px each, from weights that had seen single pictures; scored at {options.scored} px on "
        f"{options.frames or 'all'} frames of each clip. CPU time: {spent}. "
        f"Machine: {study.machine()}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
