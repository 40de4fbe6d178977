"""What the studies share: data by name, one training run each, scores, tables and curves.

A run is a folder; run again with the same arguments, a study takes up what is there. Networks,
loop, losses and logs are those of mattecast.engines.training.
"""

import argparse
import fnmatch
import json
import logging
import math
import os
import platform
import re
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mattecast.engines.errors import MattecastError
from mattecast.engines.papers import corpora
from mattecast.engines.training import scenes, systems
from mattecast.engines.training.datasets import Library
from mattecast.engines.training.fit import Settings, each_once, fit
from mattecast.engines.training.losses import scaled
from mattecast.engines.training.release import release
from mattecast.engines.training.stages import Stage

BCE, MAD = 0, 2  # columns of Scores.pictures
HELD_OUT = 6  # one picture in so many is not trained on
WHOLE = scenes.Recipe(whole=True)  # pictures as they are, as the papers show them
# scripts/bench/evaluate.py reads clips and their mattes.
sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))
PUBLISHED = Path(__file__).parents[2] / "docs" / "studies" / "published.json"


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
            photos = [
                path
                for path in sorted(self.path.rglob("*.jpg"))
                if fnmatch.fnmatch(path.name, self.pattern) and path.with_suffix(".png").exists()
            ]
            if not photos:
                raise SystemExit(f"{self.path}: no NAME.jpg with NAME.png called {self.pattern}")
            place.mkdir(parents=True)
            for photo in corpora.spread(photos, limit):
                for path in (photo, photo.with_suffix(".png")):
                    (place / path.name).symlink_to(path.resolve())
        return place


@dataclass(frozen=True)
class Plan:
    """What one run is: which network, from the end of which other run, on what."""

    name: str
    widths: Any
    source: Source
    start: "Plan | None" = None
    frozen: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """How many it trains."""
        network = systems.build(self.widths)
        systems.hold(network, self.frozen)
        return sum(each.numel() for each in network.parameters() if each.requires_grad)


@dataclass(frozen=True)
class Scores:
    """Of pictures that were not trained on, at the study's size.

    pictures: (n, 3), of each its cross-entropy, the share of its pixels on the right side of 1/2,
    and its MAD * 1e3. seconds: CPU time of training; step: at which it was best.
    """

    pictures: NDArray[np.float64]
    seconds: float
    step: int


def parser(about: str | None) -> argparse.ArgumentParser:
    """The arguments that the portrait study's comparisons share."""
    plain = argparse.RawDescriptionHelpFormatter
    shared = argparse.ArgumentParser(description=about, formatter_class=plain)
    add = shared.add_argument
    add(
        "--target",
        type=Source.read,
        required=True,
        metavar="CORPUS:PATH",
        help="trained or fine-tuned on, and scored",
    )
    add("--out", type=Path, required=True, help="folder of the runs; again, it goes on there")
    add("--size", type=side, default=256, help="side pictures are resized to (default: 256)")
    add("--steps", type=int, default=4000, help="of each run at most (default: 4000)")
    add("--batch", type=int, default=8, help="(default: 8)")
    add("--patience", type=int, default=8, help="checks without a better one (default: 8)")
    add("--check-every", type=int, default=100, help="steps (default: 100)")
    add("--limit", type=int, default=0, help="pictures of each set (default: all)")
    add(
        "--held-out",
        type=int,
        default=HELD_OUT,
        metavar="N",
        help="of the target, one picture in N is not trained on but scored (default: 6)",
    )
    add("--width", type=int, default=64, help="channels of the first level (default: 64)")
    add(
        "--workers",
        type=int,
        default=0,
        help="processes that read and draw pictures, each with up to 2 GB of them in memory "
        "(default: none of its own)",
    )
    add("--threads", type=int, default=0)
    add("--device", default="auto")
    add("--write", type=Path, help="also write NAME.md and NAME.png into this folder")
    return shared


def side(text: str) -> int:
    """The side of pictures as given on the command line."""
    if not text.isdecimal() or int(text) % 32 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a multiple of 32")
    return int(text)


def compare(name: str, title: str, plans: dict[str, Plan], options: argparse.Namespace) -> None:
    """Train what is not trained yet, score every plan on the target, and publish the table."""
    talk()
    held = held_out(options.target, options)
    rows = {what: scored(plan, train(plan, options), held, options) for what, plan in plans.items()}
    text = document(title, plans, rows, options, published(name))
    publish(name, text, {what: options.out / plan.name for what, plan in plans.items()}, options)


def talk() -> None:
    """Show the log on stderr."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)


def publish(name: str, text: str, curves: dict[str, Path], options: argparse.Namespace) -> None:
    """Print a study's page; with --write, also store it and the curves of its runs."""
    print(text)
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        (options.write / f"{name}.md").write_text(text + "\n")
        plot(curves, options.write / f"{name}.png", text.splitlines()[0].removeprefix("# "))


def release_all(checkpoints: dict[str, Path], options: argparse.Namespace) -> None:
    """With --release, write the networks as models."""
    if options.release:
        options.release.mkdir(parents=True, exist_ok=True)
        for name, path in checkpoints.items():
            model = options.release / f"{name}.onnx"
            print(release(systems.restore(path), model, long_side=options.size))


def document(
    title: str,
    plans: dict[str, Plan],
    rows: dict[str, Scores],
    options: argparse.Namespace,
    theirs: dict[str, str],
) -> str:
    """The page of a comparison; theirs: what the paper reports of a row."""
    titles = (
        f"on {options.target.name}",
        "trained parameters",
        "BCE",
        "pixel accuracy",
        "MAD x 1000",
        "best at step",
        "CPU s",
        "paper",
    )
    lines = []
    for what, scores in rows.items():
        entropy, right, mad = scores.pictures.mean(0)
        lines.append(
            (
                what,
                f"{plans[what].parameters:,}",
                f"{entropy:.3f}",
                f"{right:.3f}",
                f"{mad:.0f}",
                scores.step,
                f"{scores.seconds:.0f}",
                theirs.get(what, "not at hand"),
            )
        )
    count = len(next(iter(rows.values())).pictures)
    return (
        f"# {title}\n\n{table(titles, lines)}\n\nBest first, each with how much worse it is than "
        f"the one before:\n\n- by BCE: {order(rows, BCE)}\n- by MAD: {order(rows, MAD)}\n\n"
        f"± is the standard error of that difference over the {count} held-out pictures; every row "
        f"is one run, so what another seed would change is not in it.\n\n"
        f"Schedule: {schedule(options)}. Machine: {machine()}."
    )


def order(rows: dict[str, Scores], measure: int) -> str:
    """Names of the rows by a column of their pictures, each with its distance from the one before,
    to three digits."""
    names = sorted(rows, key=lambda what: float(rows[what].pictures[:, measure].mean()))
    words = names[:1]
    for better, worse in pairwise(names):
        gap = rows[worse].pictures[:, measure] - rows[better].pictures[:, measure]
        error = gap.std() / math.sqrt(max(1, len(gap) - 1))
        words.append(f"{worse} (+{gap.mean():.3g} ± {error:.2g})")
    return "; ".join(words)


def train(plan: Plan, options: argparse.Namespace) -> Path:
    """The best checkpoint of a run, trained unless that was done: Adam 1e-3, early stopping."""
    out = options.out / plan.name
    start = train(plan.start, options) if plan.start else None
    if not (out / "done").exists():
        side = (options.size, options.size)
        settings = Settings(
            data=plan.source.folder(options.out, options.limit),
            out=out,
            corpus=plan.source.corpus,
            limit=options.limit,
            widths=plan.widths,
            start=start,
            frozen=plan.frozen,
            rate=1e-3,
            constant=True,
            decay=0.0,
            average=0.0,
            stages=(Stage("study", options.steps, options.batch, 1, (side,)),),
            recipe=WHOLE,
            held_out=every(plan.source, options),
            patience=options.patience,
            check_every=options.check_every,
            measure="BCE",
            log_every=min(options.check_every, 10),
            workers=options.workers,
            threads=options.threads,
            device=options.device,
        )
        finish(settings)
    return best(out)


def best(out: Path) -> Path:
    """The checkpoint of a run that counts: the best that early stopping kept, else the last."""
    return next(path for path in (out / "best.pt", out / "last.pt") if path.exists())


def finish(settings: Settings) -> None:
    """Train a run to its end, which a file `done` with its CPU seconds marks; Ctrl-C leaves it to
    be gone on with. Its log also goes to its folder, from where the curves are drawn."""
    settings.out.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(settings.out / "log.txt")
    log = logging.getLogger("mattecast.engines.training.fit")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    begun, so_far = time.process_time(), settings.out / "seconds"
    try:
        ended = fit(settings)
    finally:
        log.removeHandler(handler)
        handler.close()
        before = float(so_far.read_text()) if so_far.exists() else 0.0
        so_far.write_text(str(before + time.process_time() - begun))
    if ended.signal is not None:
        raise SystemExit(f"stopped in {settings.out.name}; the same command goes on from there")
    so_far.rename(settings.out / "done")


def seconds(out: Path) -> float:
    """CPU seconds that a finished run took."""
    return float((out / "done").read_text())


def every(source: Source, options: argparse.Namespace) -> int:
    """One picture in so many of a set is held out: as asked for of the one that is scored."""
    return int(options.held_out) if source == options.target else HELD_OUT


def held_out(source: Source, options: argparse.Namespace) -> Library:
    """The part of a set that training never saw. Raises MattecastError where there is none."""
    folder = source.folder(options.out, options.limit)
    library = corpora.read(source.corpus, folder, limit=options.limit)
    held = library.split(every(source, options))[1]
    if not held.stills and not held.clips:
        raise MattecastError(
            f"{source.path}: {library}, of which none is held out to be scored: "
            "more are needed, or a lower --held-out"
        )
    return held


@torch.no_grad()
def scored(plan: Plan, checkpoint: Path, held: Library, options: argparse.Namespace) -> Scores:
    """Binary cross-entropy and pixel accuracy, as the study reports, and MAD, of every picture, as
    the checks of training show it."""
    network = systems.restore(checkpoint)
    shown = each_once(held, WHOLE, (options.size, options.size))
    rows = [judge(network, one["picture"], one["alpha"]) for one in shown]
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return Scores(np.array(rows), seconds(options.out / plan.name), state["step"])


def judge(network: nn.Module, picture: Tensor, alpha: Tensor) -> tuple[float, float, float]:
    """(cross-entropy, share of pixels on the right side of 1/2, MAD * 1e3) of one picture
    (1, 1, h, w, 3) and its alpha (1, 1, h, w), uint8."""
    out, truth = network(picture), scaled(alpha)
    entropy = functional.binary_cross_entropy_with_logits(out.logits, truth)
    right = ((out.alpha >= 0.5) == (truth >= 0.5)).float().mean()
    return float(entropy), float(right), float((out.alpha - truth).abs().mean()) * 1e3


def curve(out: Path) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
    """(step, loss) and (step, held-out error) of a run's log; a resumed run's last words count."""
    losses, scores = {}, {}
    for line in (out / "log.txt").read_text().splitlines():
        if found := re.match(r"step +(\d+) stage \S+ loss ([\d.]+)", line):
            losses[int(found[1])] = float(found[2])
        elif found := re.match(r"step +(\d+) held-out \w+ ([\d.]+)", line):
            scores[int(found[1])] = float(found[2])
    return sorted(losses.items()), sorted(scores.items())


def plot(curves: dict[str, Path], path: Path, title: str) -> None:
    """Training loss and held-out error of several runs over their steps, as a PNG."""
    pyplot = _pyplot()
    points = {name: curve(out) for name, out in curves.items()}
    titles = ("training loss", "held-out error x 1000")  # a short run may have no checks
    shown = [index for index in range(2) if any(each[index] for each in points.values())]
    size = (5.5 * len(shown), 4.2)
    figure, (axes,) = pyplot.subplots(
        1, len(shown), figsize=size, layout="constrained", squeeze=False
    )
    for axis, index in zip(axes, shown, strict=True):
        for name, each in points.items():
            if each[index]:
                axis.plot(*zip(*each[index], strict=True), label=name, linewidth=1.4)
        axis.set_xlabel("step")
        axis.set_title(titles[index])
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _pyplot() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise SystemExit(
            f"curves need matplotlib: pip install 'mattecast[studies]' ({error})"
        ) from error
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
        f"checks of the held-out BCE, {options.check_every} steps apart; "
        f"{options.limit or 'all'} pictures of each set, one in {HELD_OUT} held out, of "
        f"{options.target.name} one in {options.held_out}"
    )
