#!/usr/bin/env python3
"""The second paper's comparison (Figures 7 to 10): classical matting with trimaps of our own.

Without CLIPS: a drawn figure with hair and exact alpha, whose colours differ from the background's
or are the same; its trimap is that of a segmentation as coarse as a network's. With CLIPS: the
middle frame of every NAME.mp4 with NAME.alpha.mkv, its trimap from --model's matte, which is scored
as well, or with --model truth from the true outline made as coarse as that of the figures. Panels
show alpha, a green screen and a composite of every method; those of clips hold other people's
pictures and are written for --panels only.

  study_matting.py --write docs/studies
  study_matting.py --clips ../shared/eval/exact --most 6 --model default --panels /tmp/panels
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import study
from compose_steps import composed, foreground, gray, write
from numpy.typing import NDArray

import mattecast
from mattecast.commands.exits import exit_code
from mattecast.engines.papers import corpora
from mattecast.engines.training import metrics
from mattecast.filters.matting import solvers
from mattecast.filters.matting.trimap import UNKNOWN, trimap
from mattecast.matting.detail import fine

Bytes = NDArray[np.uint8]
Float = NDArray[np.float32]
GREEN = np.array([0, 177, 64], np.float32)
BAND = 8.0  # half width of the unknown band in pixels of a 480-line picture


@dataclass(frozen=True)
class Case:
    """A picture (h, w, 3) uint8 RGB, its true alpha and a coarse one, (h, w) float32."""

    name: str
    group: str
    picture: Bytes
    alpha: Float
    coarse: Float

    @property
    def known(self) -> Bytes:
        """The trimap of the coarse matte."""
        return trimap(self.coarse, BAND * self.alpha.shape[0] / 480)


def _solver(name: str) -> Callable[[Case], Float]:
    return lambda case: solvers.solve(case.picture, case.known, case.coarse, name)


METHODS: dict[str, Callable[[Case], Float]] = {
    "segmentation": lambda case: case.coarse,
    "Poisson": _solver("poisson"),
    "Bayesian": _solver("bayesian"),
    "KNN": _solver("knn"),
    "random walk": _solver("random-walk"),
    "shared": _solver("shared"),
    "global sampling": _solver("global"),
    "learning-based": _solver("learning-based"),
    "closed form": _solver("closed-form"),
    "ours (--detail fine)": lambda case: fine(case.picture, case.known, case.coarse),
}


def main() -> int:
    options = parse()
    cases = list(clips(options) if options.clips else drawn())
    mattes = {case.name: dict(solved(case)) for case in cases}
    text = document(cases, mattes, options)
    print(text)
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        page = f"matting-{Path(options.model).stem}" if options.clips else "matting"
        (options.write / f"{page}.md").write_text(text + "\n")
    panels = options.panels or (None if options.clips else options.write)
    if panels:
        panels.mkdir(parents=True, exist_ok=True)
        for case in cases:
            panel(case, mattes[case.name], panels / f"matting-{case.name}.png")
    return 0


def parse() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    add = parser.add_argument
    add("--clips", type=Path, metavar="DIR", help="clips with true alpha instead of drawn figures")
    add("--most", type=int, default=0, help="take so many clips only, evenly spread (default: all)")
    add(
        "--side",
        type=int,
        default=0,
        metavar="PX",
        help="reduce larger pictures of clips to this long side (default: as they are)",
    )
    add(
        "--model",
        default="default",
        metavar="NAME",
        help="whose mattes the trimaps of clips come from, or 'truth' (default: default)",
    )
    add("--panels", type=Path, metavar="DIR", help="write the panels here")
    add("--write", type=Path, metavar="DIR", help="write the page here, and the figures' panels")
    return parser.parse_args()


def drawn() -> Iterator[Case]:
    """A figure before a background of other colours, and before one of its own."""
    alpha = hairy(240, 320)
    rng = np.random.default_rng(0)
    for name, back in (("different", (60, 110, 190)), ("same", (186, 122, 96))):
        front = texture(rng, alpha.shape, (190, 120, 90), 26)
        behind = texture(rng, alpha.shape, back, 26)
        mixed = alpha[..., None] * front + (1 - alpha[..., None]) * behind
        picture = np.clip(mixed + rng.normal(0, 2, mixed.shape), 0, 255).astype(np.uint8)
        yield Case(name, f"{name} colours", picture, alpha, coarsened(alpha))


def coarsened(alpha: Float) -> Float:
    """An outline as a segmentation gives it: no hair, soft over several pixels of 240 lines."""
    solid = (alpha > 0.5).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(solid, (0, 0), alpha.shape[0] / 80), np.float32)


def hairy(height: int, width: int) -> Float:
    """The exact alpha of a head with loose hair on shoulders, (h, w) float32 in [0, 1]."""
    fine, rng = 4, np.random.default_rng(1)  # drawn four times as large, then averaged
    canvas = np.zeros((height * fine, width * fine), np.uint8)
    middle, top = width * fine // 2, int(0.36 * height * fine)
    reach = int(0.19 * height * fine)
    cv2.ellipse(canvas, (middle, top), (int(0.8 * reach), reach), 0, 0, 360, 255, -1)
    shoulders = (int(0.42 * height * fine), int(0.45 * height * fine))
    cv2.ellipse(canvas, (middle, height * fine), shoulders, 0, 0, 360, 255, -1)
    for angle in rng.uniform(-3.3, 0.2, 160):
        along = np.linspace(0.85, rng.uniform(1.1, 1.45), 12)
        bend = angle + rng.normal(0, 0.25) * (along - 0.85) + np.cumsum(rng.normal(0, 0.01, 12))
        points = np.stack(
            [middle + reach * along * np.cos(bend) * 0.85, top + reach * along * np.sin(bend)], 1
        )
        cv2.polylines(canvas, [points.astype(np.int32)], False, 255, int(rng.integers(1, 4)))
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


def texture(
    rng: np.random.Generator, shape: tuple[int, ...], colour: tuple[int, int, int], spread: float
) -> Float:
    """Smooth blotches around a colour, (h, w, 3) float32."""
    grid = rng.normal(0, spread, (7, 9, 3)).astype(np.float32)
    blotches = cv2.resize(grid, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    coloured: Float = np.clip(np.asarray(colour, np.float32) + blotches, 0, 255)
    return coloured.astype(np.float32)


def clips(options: argparse.Namespace) -> Iterator[Case]:
    """The middle frame of each clip, with a model's matte of it."""
    from evaluate import alphas, is_clip, pictures

    paths = sorted(path for path in options.clips.iterdir() if is_clip(path))
    for path in corpora.spread(paths, options.most):
        true = list(alphas(path.with_suffix(".alpha.mkv")))
        middle = len(true) // 2
        alpha, group = true[middle].astype(np.float32) / np.float32(255), path.stem.split("_")[0]
        if options.model == "truth":
            picture = next(islice(pictures(path), middle, None))
            coarse = coarsened(alpha)
        else:
            settings = mattecast.Settings(model=options.model, foreground="source", detail="fast")
            matted = next(islice(mattecast.mattes(path, settings), middle, None))
            picture, coarse = matted.foreground, matted.alpha
        yield Case(
            path.stem, group, *(reduced(each, options.side) for each in (picture, alpha, coarse))
        )


def reduced(plane: Any, side: int) -> Any:
    """A picture or matte with its long side at most `side` pixels; 0: as it is."""
    scale = side / max(plane.shape[:2])
    if not 0 < scale < 1:
        return plane
    size = (round(plane.shape[1] * scale), round(plane.shape[0] * scale))
    return cv2.resize(plane, size, interpolation=cv2.INTER_AREA)


def solved(case: Case) -> Iterator[tuple[str, tuple[Float, float]]]:
    """Every method's matte of a case and the CPU seconds it took; methods that cannot run here are
    left out, and said."""
    for name, method in METHODS.items():
        begun = time.process_time()
        try:
            matte = method(case)
        except ImportError as error:
            print(f"{name}: left out: {error}")
            continue
        yield name, (np.asarray(matte, np.float32), time.process_time() - begun)


Mattes = dict[str, dict[str, tuple[Float, float]]]


def accuracy(found: Float, case: Case) -> float:
    """Share of the unknown band within a tenth of the true alpha; of the whole picture where
    nothing is unknown."""
    unknown = case.known == UNKNOWN
    band = unknown if unknown.any() else np.ones_like(unknown)
    return float((np.abs(found - case.alpha) < 0.1)[band].mean())


def document(cases: list[Case], mattes: Mattes, options: argparse.Namespace) -> str:
    theirs, rows = study.published("matting"), []
    for group in dict.fromkeys(case.group for case in cases):
        members = [case for case in cases if case.group == group]
        for name in mattes[members[0].name]:
            found = [(mattes[case.name][name], case) for case in members]
            scores = [metrics.score(matte, case.alpha) for (matte, _), case in found]
            right = np.mean([accuracy(matte, case) for (matte, _), case in found])
            cost = np.median([seconds for (_, seconds), _ in found])
            mean = metrics.mean(scores)
            rows.append(
                (
                    group,
                    name,
                    len(members),
                    f"{right:.3f}",
                    f"{mean.mad:.2f}",
                    f"{mean.mse:.2f}",
                    f"{mean.grad:.2f}",
                    f"{mean.conn:.2f}",
                    f"{cost:.1f}",
                    theirs.get(f"{group}: {name}", "not at hand"),
                )
            )
    titles = (
        "group",
        "method",
        "n",
        "accuracy in the band",
        "MAD",
        "MSE",
        "Grad",
        "Conn",
        "CPU s",
        "paper",
    )
    made = "true outlines" if options.model == "truth" else f"mattes of '{options.model}'"
    large = f", reduced to {options.side} pixels where larger" if options.side else ""
    source = f"the middle frame of {len(cases)} clips{large}, trimaps from {made}"
    return (
        f"# Classical matting on our own trimaps (Figures 7 to 10)\n\n{study.table(titles, rows)}"
        f"\n\nOn {source if options.clips else 'drawn figures'}; accuracy is the share of the "
        "unknown band within 0.1 of the truth. "
        f"Machine: {study.machine()}."
    )


def panel(case: Case, mattes: dict[str, tuple[Float, float]], path: Path) -> None:
    """A row for the truth and one a method: alpha, green screen, composite over a bright room,
    both with the person's own colours as the matte gives them."""
    width = case.alpha.shape[1]
    slope = np.linspace(90, 235, width, dtype=np.float32)[None, :, None]
    room = np.broadcast_to(slope * np.array([1, 0.95, 0.8], np.float32), case.picture.shape)
    rows = [labelled("picture, trimap", [case.picture, np.dstack([case.known] * 3)])]
    for name, alpha in {"truth": case.alpha, **{n: m for n, (m, _) in mattes.items()}}.items():
        front = foreground(case.picture, alpha)
        rows.append(
            labelled(
                name,
                [
                    np.dstack([gray(alpha)] * 3),
                    *(
                        composed(front, alpha, back)
                        for back in (np.broadcast_to(GREEN, room.shape), room)
                    ),
                ],
            )
        )
    write(path, columns(rows))


def columns(rows: list[Bytes]) -> Bytes:
    """Rows of cells, laid out in two columns."""
    wide = max(row.shape[1] for row in rows)
    even = [
        np.pad(row, ((0, 0), (0, wide - row.shape[1]), (0, 0)), constant_values=255) for row in rows
    ]
    half = -(-len(even) // 2)
    even += [np.full_like(even[0], 255)] * (2 * half - len(even))
    return np.hstack([np.vstack(even[:half]), np.vstack(even[half:])])


def labelled(name: str, cells: list[Bytes]) -> Bytes:
    """Cells side by side at 200 pixels' width under their name, (h, w, 3) uint8."""
    height, width = cells[0].shape[:2]
    size = (200, round(200 * height / width))
    small = [cv2.resize(cell, size, interpolation=cv2.INTER_AREA) for cell in cells]
    title = np.full((16, 200 * len(cells), 3), 255, np.uint8)
    cv2.putText(title, name, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return np.asarray(np.vstack([title, np.hstack(small)]), np.uint8)


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
