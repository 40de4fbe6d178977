#!/usr/bin/env python3
"""Score mattes against the truth, several competitors side by side, as a Markdown table.

DIR holds NAME.mp4 (the clip) and NAME.alpha.mkv (its true alpha, gray, frame for frame); clips
group by what stands before the first underscore. A competitor is a stored matte or one of our
models. Without NAME.alpha.mkv only flicker can be measured.

  evaluate.py clips --matte stored:rvm                     # reads NAME.rvm.mkv
  evaluate.py clips --model small.onnx --model large.onnx --matte stored:rvm --json scores.json
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

import mattecast
from mattecast.engines.training import metrics

Picture = npt.NDArray[np.uint8]
Matte = Callable[[Path], Iterator[Picture]]
CLIPS = {".mp4", ".mov", ".mkv", ".webm", ".avi"}


@dataclass(frozen=True)
class Row:
    """One competitor on one clip; a score that could not be measured is absent."""

    matte: str
    clip: str
    size: str
    scores: dict[str, float]

    @property
    def group(self) -> str:
        return self.clip.split("_")[0]


def main() -> int:
    arguments = parse()
    clips = sorted(each for each in arguments.dir.iterdir() if is_clip(each))
    if not clips:
        raise SystemExit(f"{arguments.dir}: no clips found, expected NAME.mp4")
    rows = []
    for name, matte in arguments.mattes:
        for clip in clips:
            rows.append(score(name, matte, clip, arguments.flicker))
            print(f"{name} {clip.stem} {rows[-1].scores}", file=sys.stderr)
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


def parse() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    add = parser.add_argument
    add("dir", type=Path, metavar="DIR")
    add(
        "--matte",
        dest="mattes",
        action="append",
        type=stored,
        metavar="stored:SUFFIX",
        help="a matte beside the clip, NAME.SUFFIX.mkv (repeatable)",
    )
    add(
        "--model",
        dest="mattes",
        action="append",
        type=own,
        metavar="NAME_OR_PATH",
        help="a mattecast model (repeatable); without any competitor: the default one",
    )
    add("--flicker", action="store_true", help="also measure flicker where pictures stand still")
    add("--json", type=Path, metavar="OUT", help="also write every clip's scores here")
    arguments = parser.parse_args()
    arguments.mattes = arguments.mattes or [own("")]
    return arguments


def is_clip(path: Path) -> bool:
    return path.suffix in CLIPS and "." not in path.stem


def stored(text: str) -> tuple[str, Matte]:
    """'stored:rvm' as a named competitor that reads NAME.rvm.mkv."""
    kind, _, suffix = text.partition(":")
    if kind != "stored" or not suffix:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected stored:SUFFIX")
    return suffix, lambda clip: alphas(clip.with_suffix(f".{suffix}.mkv"))


def own(model: str) -> tuple[str, Matte]:
    """A model of ours as a named competitor; '' is the default model."""
    settings = mattecast.Settings(model=model) if model else mattecast.Settings()

    def matte(clip: Path) -> Iterator[Picture]:
        for matted in mattecast.mattes(clip, settings):
            yield np.round(matted.alpha * 255).astype(np.uint8)

    return Path(model).stem or "default", matte


def alphas(path: Path) -> Iterator[Picture]:
    """The alphas of a clip in order, `(H, W) uint8`: its alpha plane, else its gray picture."""
    with av.open(path) as container:
        for frame in container.decode(video=0):
            yield alpha(frame)


def alpha(frame: av.VideoFrame) -> Picture:
    """The alpha of a frame, `(H, W) uint8`: its alpha plane, else its gray picture."""
    if any(part.is_alpha for part in frame.format.components):
        return np.asarray(frame.to_ndarray(format="rgba")[..., 3], np.uint8)
    return np.asarray(frame.to_ndarray(format="gray"), np.uint8)


def pictures(path: Path) -> Iterator[Picture]:
    """The pictures of a clip in order, `(H, W, 3) uint8` RGB."""
    with av.open(path) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def score(name: str, matte: Matte, clip: Path, flicker: bool) -> Row:
    """Run one competitor on one clip; ValueError when its frame count is not the truth's."""
    predicted, scores = list(matte(clip)), {}
    truth = clip.with_suffix(".alpha.mkv")
    if truth.exists():
        scores = asdict(metrics.score_clip(zip(predicted, alphas(truth), strict=True)))
    if flicker or not truth.exists():
        scores["flicker"] = metrics.flicker(zip(pictures(clip), predicted, strict=True))
    height, width = predicted[0].shape
    return Row(name, clip.stem, f"{width}x{height}", scores)


def table(rows: list[Row]) -> str:
    """A Markdown table: for each group, then for all clips, one line per competitor."""
    titles = {
        "mad": "MAD",
        "mse": "MSE",
        "grad": "Grad",
        "conn": "Conn",
        "dtssd": "dtSSD",
        "iou": "IoU",
        "flicker": "flicker",
    }
    columns = [key for key in titles if any(key in row.scores for row in rows)]
    lines = [["group", "matte", "n", *(titles[key] for key in columns), "picture sizes"]]
    lines.append(["---"] * len(lines[0]))
    by_group = sorted(rows, key=lambda row: row.group)  # stable: competitors stay in order
    for group, members in groupby(by_group, lambda row: row.group):
        lines += summary(group, list(members), columns)
    if len({row.group for row in rows}) > 1:
        lines += summary("all", rows, columns)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def summary(group: str, rows: list[Row], columns: list[str]) -> Iterator[list[str]]:
    """One line per competitor: the mean over its clips of a group."""
    for matte in dict.fromkeys(row.matte for row in rows):
        mine = [row for row in rows if row.matte == matte]
        sizes = " ".join(dict.fromkeys(row.size for row in mine))
        means = (np.mean([row.scores.get(key, np.nan) for row in mine]) for key in columns)
        yield [group, matte, str(len(mine)), *(f"{each:.3f}" for each in means), sizes]


if __name__ == "__main__":
    raise SystemExit(main())
