"""What the studies share: data by name, one training run each, scores, tables and curves.

A run is a folder; run again with the same arguments, a study takes up what is there. Networks,
loop, losses and logs are those of mattecast.engines.training.
"""

import argparse
import fnmatch
import json
import logging
import os
import platform
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mattecast.engines.training import corpora, scenes, systems
from mattecast.engines.training.datasets import Library
from mattecast.engines.training.fit import Settings, fit
from mattecast.engines.training.stages import Stage

HELD_OUT = 6  # one picture in so many is not trained on; scores are of these
PUBLISHED = Path(__file__).parent.parent / "docs" / "studies" / "published.json"


@dataclass(frozen=True)
class Source:
    """A data set as named on the command line: CORPUS:PATH[:PATTERN]."""

    corpus: str
    path: Path
    pattern: str = "*"

    @classmethod
    def read(cls, text: str) -> "Source":
        corpus, _, rest = text.partition(":")
        path, _, pattern = rest.partition(":")
        if not path:
            raise argparse.ArgumentTypeError(f"got {text!r}, expected CORPUS:PATH[:PATTERN]")
        return cls(corpus, Path(path), pattern or "*")

    @property
    def name(self) -> str:
        """A short name for folders and tables."""
        stem = self.pattern.rstrip("*_") or self.path.name
        return re.sub(r"\W+", "-", f"{self.corpus}-{stem}" if self.corpus != "folder" else stem)

    def folder(self, out: Path, limit: int) -> Path:
        """Where training reads it from: a folder of one's own is linked to, pattern and limit
        applied; a corpus stays where it is."""
        if self.corpus != "folder":
            return self.path
        place = out / "data" / f"{self.name}-{limit}"
        if not place.exists():
            photos = [path for path in sorted(self.path.rglob("*.jpg"))
                      if fnmatch.fnmatch(path.name, self.pattern)
                      and path.with_suffix(".png").exists()]  # fmt: skip
            if not photos:
                raise SystemExit(f"{self.path}: no NAME.jpg with NAME.png called {self.pattern}")
            place.mkdir(parents=True)
            for photo in corpora.spread(photos, limit):
                for path in (photo, photo.with_suffix(".png")):
                    (place / path.name).symlink_to(path.resolve())
        return place


@dataclass(frozen=True)
class Plan:
    """What one run is: which network, from where, on what, for how long."""

    name: str
    widths: Any
    source: Source
    start: Path | None = None
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scores:
    """Of pictures that were not trained on, at the study's size. seconds: of training."""

    bce: float
    accuracy: float
    mad: float
    seconds: float
    steps: int


def common(parser: argparse.ArgumentParser) -> None:
    """The arguments every training study takes."""
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder of the runs; again, it goes on there")
    add("--size", type=int, default=256, help="side pictures are resized to (default: 256)")
    add("--steps", type=int, default=4000, help="of each run at most (default: 4000)")
    add("--batch", type=int, default=8, help="(default: 8)")
    add("--patience", type=int, default=8, help="checks without a better one (default: 8)")
    add("--check-every", type=int, default=100, help="steps (default: 100)")
    add("--limit", type=int, default=0, help="pictures of each set (default: all)")
    add("--width", type=int, default=64, help="channels of the first level (default: 64)")
    add("--threads", type=int, default=0)
    add("--device", default="auto")
    add("--write", type=Path, help="also write NAME.md and NAME.png into this folder")


def train(plan: Plan, options: argparse.Namespace) -> Path:
    """The best checkpoint of a run, trained unless that was done: Adam 1e-3, early stopping."""
    out = options.out / plan.name
    if not (out / "done").exists():
        started = time.monotonic()
        side = (options.size, options.size)
        settings = Settings(
            data=plan.source.folder(options.out, options.limit), out=out,
            corpus=plan.source.corpus, limit=options.limit, widths=plan.widths,
            start=plan.start, frozen=plan.frozen, rate=1e-3, constant=True, decay=0.0, average=0.0,
            stages=(Stage("study", options.steps, options.batch, 1, (side,)),),
            recipe=scenes.Recipe(whole=True), held_out=HELD_OUT, patience=options.patience,
            check_every=options.check_every, log_every=min(options.check_every, 10), workers=0,
            threads=options.threads, device=options.device,
        )  # fmt: skip
        ended = logged(settings)
        if ended.signal is not None:
            raise SystemExit(f"stopped in {plan.name}; the same command goes on from there")
        spent = time.monotonic() - started
        (out / "done").write_text(json.dumps({"seconds": spent}))
    best = out / "best.pt"
    return best if best.exists() else out / "last.pt"


def logged(settings: Settings) -> Any:
    """A run whose log also goes to its own folder, from where the curves are drawn."""
    settings.out.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(settings.out / "log.txt")
    log = logging.getLogger("mattecast.engines.training.fit")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    try:
        return fit(settings)
    finally:
        log.removeHandler(handler)
        handler.close()


def held_out(source: Source, options: argparse.Namespace) -> Library:
    """The part of a set that training never saw."""
    folder = source.folder(options.out, options.limit)
    return corpora.read(source.corpus, folder, limit=options.limit).split(HELD_OUT)[1]


@torch.no_grad()
def scored(plan: Plan, checkpoint: Path, held: Library, options: argparse.Namespace) -> Scores:
    """Binary cross-entropy and pixel accuracy, as the study reports, and MAD."""
    network, side = systems.restore(checkpoint), (options.size, options.size)
    rows = []
    for one in held.stills:
        assert one.pictures is not None
        picture, cutout = (
            cv2.resize(each[0], side, interpolation=cv2.INTER_AREA)
            for each in (one.pictures, one.cutouts)
        )
        rows.append(compare(network, picture, cutout[..., 3]))
    means = np.mean(rows, axis=0)
    done = json.loads((options.out / plan.name / "done").read_text())
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return Scores(*(float(mean) for mean in means), done["seconds"], state["step"])


def compare(network: nn.Module, picture: Any, alpha: Any) -> tuple[float, float, float]:
    """(cross-entropy, share of pixels on the right side of 1/2, MAD * 1e3) of one picture."""
    out = network(torch.from_numpy(picture)[None, None])
    truth = torch.from_numpy(np.asarray(alpha, np.float32) / 255)[None, None]
    entropy = functional.binary_cross_entropy_with_logits(out.logits, truth)
    right = ((out.alpha >= 0.5) == (truth >= 0.5)).float().mean()
    return float(entropy), float(right), float((out.alpha - truth).abs().mean()) * 1e3


def curve(out: Path) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """(step, loss) and (step, held-out MAD) of a run's log; a resumed run's last words count."""
    losses, scores = {}, {}
    for line in (out / "log.txt").read_text().splitlines():
        if found := re.match(r"step +(\d+) stage \S+ loss ([\d.]+)", line):
            losses[int(found[1])] = float(found[2])
        elif found := re.match(r"step +(\d+) held-out MAD ([\d.]+)", line):
            scores[int(found[1])] = float(found[2])
    return sorted(losses.items()), sorted(scores.items())


def plot(curves: dict[str, Path], path: Path, title: str) -> None:
    """Training loss and held-out error of several runs over their steps, as a PNG."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for name, out in curves.items():
        for axis, points in zip(axes, curve(out), strict=True):
            if points:
                axis.plot(*zip(*points, strict=True), label=name, linewidth=1.4)
    for axis, label in zip(axes, ("training loss", "held-out MAD x 1000"), strict=True):
        axis.set_xlabel("step")
        axis.set_title(label)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise SystemExit(f"curves need matplotlib: pip install 'mattecast[studies]' ({error})") \
            from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def published(study: str) -> dict[str, str]:
    """The paper's own figures of a study, row by row, where PUBLISHED has them."""
    if not PUBLISHED.exists():
        return {}
    rows: dict[str, str] = json.loads(PUBLISHED.read_text()).get(study, {})
    return rows


def table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def machine() -> str:
    """What this ran on, for the record."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return f"{name}, {os.cpu_count()} cores, torch {torch.__version__}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def schedule(options: argparse.Namespace) -> str:
    """One line that says how much was run."""
    return (
        f"{options.size} px, first level {options.width} channels, at most {options.steps} steps "
        f"of {options.batch} pictures a run, Adam 1e-3, early stopping after {options.patience} "
        f"checks; {options.limit or 'all'} pictures of each set, one in {HELD_OUT} held out"
    )


def narrowed(widths: Any, width: int) -> Any:
    """Widths with another first level: 64 is everybody's full size."""
    if hasattr(widths, "width"):
        return replace(widths, width=width)
    share = width / 64
    eight = max(8, round(256 * share) // 8 * 8)
    return replace(widths, share=share, aspp=eight, low=max(8, round(48 * share)))
