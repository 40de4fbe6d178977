"""Breadth of a network: what it claims where nobody is, and how well it cuts out anybody.

A folder of three parts is measured: `empty/` holds pictures without people, `people/` stills with
their alpha (NAME.jpg, NAME.png), `clips/` clips with theirs (NAME.mp4, NAME.alpha.mp4). Pictures
are shown to the network three times from zero state, for its memory has settled by then. One ruined
picture is worth more than a little everywhere, so that the worst tenth and the share of failures
stand beside every mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mattecast import engines
from mattecast.engines.engine import Engine
from mattecast.engines.training import datasets, metrics

Picture = npt.NDArray[np.uint8]
Alpha = npt.NDArray[np.float32]
STEPS = 3  # of a still from zero state
# Shares of a picture without people above which a claim counts, and IoU below which a person does
# not.
CLAIMED, LOST = (0.01, 0.05, 0.25), (0.85, 0.5)
WORST = 0.1  # the part of all that "worst tenth" means


class Alone:
    """A network by itself: no pre-roll, no closer look, nothing after it but plain enlargement."""

    def __init__(self, model: str, threads: int | None = None) -> None:
        self._spec, self._threads = engines.find(model or "default"), threads
        self._engines: dict[tuple[int, int], Engine] = {}

    def __enter__(self) -> Alone:
        return self

    def __exit__(self, *_: object) -> None:
        for engine in self._engines.values():
            engine.close()

    def still(self, picture: Picture) -> Alpha:
        """The settled alpha (H, W) float32 in [0, 1] of a picture (H, W, 3) uint8 RGB."""
        return list(self.clip([picture] * STEPS))[-1]

    def clip(self, pictures: Iterable[Picture]) -> Iterator[Alpha]:
        """The alphas of a clip's pictures from zero state, each at the pictures' size."""
        engine: Engine | None = None
        for picture in pictures:
            height, width = picture.shape[:2]
            size = engines.network_size(self._spec, width, height)
            if engine is None:
                engine = self._engine(size)
            shown = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            alpha = engine.step(np.asarray(shown, np.uint8))
            yield np.asarray(cv2.resize(alpha, (width, height)), np.float32)

    def _engine(self, size: tuple[int, int]) -> Engine:
        if size not in self._engines:
            spec = self._spec
            self._engines[size] = engines.load(
                spec, size, backend="openvino", threads=self._threads
            )
        self._engines[size].reset()
        return self._engines[size]


def claimed(alpha: Alpha) -> float:
    """The share of a picture, in [0, 1], that a matte takes for people: its mean."""
    return float(np.mean(alpha))


@dataclass(frozen=True)
class Nobody:
    """A picture without people: its kind is what stands before the first underscore."""

    name: str
    share: float  # of the picture that is claimed, in [0, 1]

    @property
    def kind(self) -> str:
        return self.name.split("_")[0]


@dataclass(frozen=True)
class Somebody:
    """A still or a clip of people; of a clip the means over its frames."""

    name: str
    mad: float  # times 1e3
    iou: float  # in [0, 1]


@dataclass(frozen=True)
class Breadth:
    """A network on a folder of three parts."""

    matte: str
    empty: list[Nobody]
    people: list[Somebody]
    clips: list[Somebody]


def measure(name: str, model: str, folder: Path, threads: int | None = None) -> Breadth:
    """Measure a model on a folder; parts that are not there are empty. ValueError if none is."""
    with Alone(model, threads) as network:
        nobody = [
            Nobody(path.stem, claimed(network.still(datasets.colour(path))))
            for path in found(folder / "empty", ".jpg")
        ]
        people = [still(network, path) for path in found(folder / "people", ".jpg")]
        clips = [clip(network, path) for path in found(folder / "clips", ".mp4")]
    if not (nobody or people or clips):
        raise ValueError(f"{folder}: expected pictures in empty/ or people/, or clips in clips/")
    return Breadth(name, nobody, people, clips)


def found(folder: Path, suffix: str) -> list[Path]:
    """The files of a folder, sorted, without mattes (NAME.alpha.mp4)."""
    if not folder.is_dir():
        return []
    files = (path for path in folder.iterdir() if path.suffix == suffix)
    return sorted(path for path in files if "." not in path.stem)


def still(network: Alone, path: Path) -> Somebody:
    """A settled still against its alpha, NAME.png."""
    picture = datasets.colour(path)
    true = datasets.gray(path.with_suffix(".png"), picture.shape[:2])
    alpha = network.still(picture)
    return Somebody(path.stem, metrics.mad(alpha, true), metrics.iou(alpha, true))


def clip(network: Alone, path: Path) -> Somebody:
    """A clip against its alpha, NAME.alpha.mp4, at most as many frames as training takes."""
    pictures = datasets.clip_frames(path, "rgb24")
    true = datasets.clip_frames(path.with_suffix(".alpha.mp4"), "gray")
    pairs = list(zip(network.clip(pictures), true, strict=True))
    mads, ious = ([measured(*pair) for pair in pairs] for measured in (metrics.mad, metrics.iou))
    return Somebody(path.stem, float(np.mean(mads)), float(np.mean(ious)))


def worst_tenth(values: Iterable[float]) -> float:
    """The mean of the largest tenth, of at least one; nan of nothing."""
    ordered = sorted(values, reverse=True)
    return float(np.mean(ordered[: max(1, round(WORST * len(ordered)))])) if ordered else np.nan


def tables(results: list[Breadth]) -> str:
    """Markdown: what is claimed where nobody is, by kind too, and how people are cut out."""
    parts = [nobodies(results), somebodies(results, "people"), somebodies(results, "clips")]
    return "\n\n".join(part for part in parts if part)


def nobodies(results: list[Breadth]) -> str:
    """What is claimed of pictures without people: all of them, then kind by kind."""
    over = [f"over {limit:.0%}" for limit in CLAIMED]
    lines = [["empty", "matte", "n", "claimed", *over]]
    lines += [["all", each.matte, *shares(each.empty)] for each in results if each.empty]
    for kind in dict.fromkeys(one.kind for each in results for one in each.empty):
        for each in results:
            mine = [one for one in each.empty if one.kind == kind]
            lines.append([kind, each.matte, *shares(mine)])
    return markdown(lines)


def shares(pictures: list[Nobody]) -> list[str]:
    """n, the mean share claimed, and the shares of the pictures above each limit."""
    claims = np.array([one.share for one in pictures])
    over = [np.mean(claims > limit) for limit in CLAIMED]
    return [str(len(claims)), *(f"{value:.1%}" for value in (claims.mean(), *over))]


def somebodies(results: list[Breadth], part: str) -> str:
    """How well people are cut out: means, medians, the worst tenth and the worst one, failures."""
    below = [f"IoU below {limit}" for limit in LOST]
    lines = [[part, "matte", "n", "MAD", "median", "worst tenth", "worst", "IoU", "median", *below]]
    for each in results:
        ones: list[Somebody] = getattr(each, part)
        if not ones:
            continue
        mads, ious = (np.array([getattr(one, key) for one in ones]) for key in ("mad", "iou"))
        worst = max(ones, key=lambda one: one.mad)
        values = [
            *(f"{value:.2f}" for value in (mads.mean(), np.median(mads), worst_tenth(mads))),
            f"{worst.name} {worst.mad:.0f}",
            *(f"{value:.4f}" for value in (ious.mean(), np.median(ious))),
            *(f"{np.mean(ious < limit):.1%}" for limit in LOST),
        ]
        lines.append(["all", each.matte, str(len(ones)), *values])
    return markdown(lines)


def markdown(lines: list[list[str]]) -> str:
    """A table from its head and rows; nothing without rows."""
    if len(lines) < 2:
        return ""
    rule = ["---"] * len(lines[0])
    return "\n".join(f"| {' | '.join(line)} |" for line in [lines[0], rule, *lines[1:]])
