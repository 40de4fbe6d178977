#!/usr/bin/env python3
"""Score mattes against the truth, several competitors side by side, as a Markdown table.

DIR holds NAME.mp4 (the clip) and NAME.alpha.mkv (its true alpha, gray, frame for frame); clips
group by what stands before the first underscore. A competitor is a stored matte or one of our
models. Without NAME.alpha.mkv only flicker can be measured.

  evaluate.py clips --matte stored:rvm                     # reads NAME.rvm.mkv
  evaluate.py clips --model small.onnx --model large.onnx --matte stored:rvm --json scores.json

With --stages every competitor's mattes go through what follows a network, one stage at a time: a
stored matte, reduced to the size our network works at, stands in for one.

With --robust DIR holds empty/, people/ and clips/ (see robust.py), and models are measured alone:
what they claim of pictures without people, and how well they cut out people of every kind.

  evaluate.py clips --stages --frames 24       # the default model, each stage on and off
  evaluate.py robust --robust --model run/network.onnx
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import robust

import mattecast
from mattecast import Settings
from mattecast.engines.training import metrics
from mattecast.filters.pictures.composite import to_bits
from mattecast.filters.pictures.upsampling import plain_resize
from mattecast.flow import StageTimes, run
from mattecast.job import Job
from mattecast.matting.guidance import Guidance
from mattecast.matting.network import load_network
from mattecast.matting.second_pass import SecondPass
from mattecast.matting.stages import stages
from mattecast.media.clip import Clip
from mattecast.media.formats import FORMATS
from mattecast.media.frame import Estimated, Frame
from mattecast.plan import plan

Picture = npt.NDArray[np.uint8]
Matte = Callable[[Path], Iterator[Picture]]
CLIPS = {".mp4", ".mov", ".mkv", ".webm", ".avi"}


@dataclass(frozen=True)
class Competitor:
    """Something that makes mattes. model: of ours, None for mattes stored beside the clips."""

    name: str
    matte: Matte
    model: str | None = None


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
    if arguments.robust:
        return broad(arguments)
    clips = sorted(each for each in arguments.dir.iterdir() if is_clip(each))
    if not clips:
        raise SystemExit(f"{arguments.dir}: no clips found, expected NAME.mp4")
    rows = []
    for one in arguments.mattes:
        for clip in clips:
            alone = iter([(one.name, one.matte(clip))])
            for title, predicted in staged(one, clip, arguments) if arguments.stages else alone:
                rows.append(score(title, predicted, clip, arguments.flicker, arguments.frames))
                print(f"{title} {clip.stem} {rows[-1].scores}", file=sys.stderr)
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return 0


def broad(arguments: argparse.Namespace) -> int:
    """Measure models on people and places of every kind."""
    if any(one.model is None for one in arguments.mattes):
        raise SystemExit("--robust shows pictures to networks: give --model, not --matte")
    results = [robust.measure(one.name, str(one.model), arguments.dir) for one in arguments.mattes]
    print(robust.tables(results))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(each) for each in results], indent=1) + "\n")
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
    add("--stages", action="store_true", help="each stage after the network on and off")
    add("--robust", action="store_true", help="DIR holds empty/, people/ and clips/: breadth")
    add("--frames", type=int, metavar="N", help="only the first frames of each clip")
    add("--json", type=Path, metavar="OUT", help="also write every clip's scores here")
    arguments = parser.parse_args()
    arguments.mattes = arguments.mattes or [own("")]
    return arguments


def is_clip(path: Path) -> bool:
    return path.suffix in CLIPS and "." not in path.stem


def stored(text: str) -> Competitor:
    """'stored:rvm' as a competitor that reads NAME.rvm.mkv."""
    kind, _, suffix = text.partition(":")
    if kind != "stored" or not suffix:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected stored:SUFFIX")
    return Competitor(suffix, lambda clip: alphas(clip.with_suffix(f".{suffix}.mkv")))


def own(model: str) -> Competitor:
    """A model of ours as a competitor; '' is the default model."""
    settings = mattecast.Settings(model=model) if model else mattecast.Settings()

    def matte(clip: Path) -> Iterator[Picture]:
        for matted in mattecast.mattes(clip, settings):
            yield np.round(matted.alpha * 255).astype(np.uint8)

    return Competitor(Path(model).stem or "default", matte, model or "default")


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


def score(
    name: str, matte: Iterator[Picture], clip: Path, flicker: bool, frames: int | None = None
) -> Row:
    """Score one competitor on one clip; ValueError when its frame count is not the truth's."""
    predicted, scores = list(islice(matte, frames)), {}
    truth = clip.with_suffix(".alpha.mkv")
    if truth.exists():
        true = list(islice(alphas(truth), frames))
        scores = asdict(metrics.score_clip(zip(predicted, true, strict=True)))
        errors = [metrics.mad(*pair) for pair in zip(predicted, true, strict=True)]
        scores["start"] = float(np.mean(errors[:5])) / max(float(np.mean(errors)), 1e-9)
    if flicker or not truth.exists():
        seen = islice(pictures(clip), frames)
        scores["flicker"] = metrics.flicker(zip(seen, predicted, strict=True))
    height, width = predicted[0].shape
    return Row(name, clip.stem, f"{width}x{height}", scores)


@dataclass(frozen=True)
class Stage:
    """One way from a network's mattes to full-size ones.

    warm: with pre-roll and cuts. plain: enlarged without looking at the picture.
    """

    name: str
    settings: Settings
    warm: bool = True
    plain: bool = False


# Colours change no alpha: they are measured by the tests.
OFF = Settings(smooth="off", foreground="source", detail="fast", min_island=0)
USUAL = replace(OFF, smooth="two-way", detail="medium")
STAGES = (
    Stage("network alone", OFF, warm=False, plain=True),
    Stage("+ cuts, pre-roll", OFF, plain=True),
    Stage("+ edges", OFF),
    Stage("+ edges, causal", replace(OFF, smooth="causal")),
    Stage("+ edges, delayed", replace(OFF, smooth="delayed")),
    Stage("+ edges, two-way", replace(OFF, smooth="two-way")),
    Stage("+ edges, medium detail", replace(OFF, detail="medium")),
    Stage("+ edges, medium detail, two-way", USUAL),
    Stage("+ the same, islands", replace(USUAL, min_island=None)),
)


def staged(
    one: Competitor, clip: Path, arguments: argparse.Namespace
) -> Iterator[tuple[str, Iterator[Picture]]]:
    """A competitor's mattes of a clip after each stage; stored mattes have no pre-roll to skip."""
    with Clip(clip) as source:
        facts, ours = source.facts, plan(source.facts, Settings(), FORMATS["prores"])
    settings = Settings(model=one.model or "default")
    engine, guidance = load_network(facts, Guidance(), settings)
    job = Job(facts, ours, settings, guidance, engine, engine.info.size)
    mattes: dict[bool, list[tuple[npt.NDArray[np.float32], bool]]] = {}
    for warm in (True, False) if one.model else (True,):
        if one.model is None:
            frames = islice(prepared(clip, job), arguments.frames)
            mattes[warm] = list(reduced(frames, one.matte(clip), job.network_size))
            continue
        unlike = replace(job, settings=replace(settings, cuts=warm))
        again = SecondPass(job, partial(Clip, clip), lambda: engine) if warm else None
        seeing = stages(unlike, again)
        frames = islice(prepared(clip, job), arguments.frames)
        seen = run(frames, seeing.shots + seeing.network, StageTimes())
        mattes[warm] = [(each.alpha, each.first) for each in seen]
    engine.close()
    for stage in STAGES:
        if stage.warm in mattes:
            known = zip(prepared(clip, job), mattes[stage.warm], strict=False)
            estimates = (Estimated(frame, *matte) for frame, matte in known)
            yield f"{one.name}: {stage.name}", finished(estimates, stage, job)


def prepared(clip: Path, job: Job) -> Iterator[Frame]:
    """The frames of a clip as a run prepares them."""
    with Clip(clip) as source:
        yield from run(source.frames(), stages(job).prepare, StageTimes())


def reduced(
    frames: Iterator[Frame], mattes: Iterator[Picture], size: tuple[int, int]
) -> Iterator[tuple[npt.NDArray[np.float32], bool]]:
    """Stored mattes at a network's size, as if it had made them; all of one shot."""
    for number, (_, matte) in enumerate(zip(frames, mattes, strict=False)):
        small = cv2.resize(matte.astype(np.float32) / 255, size, interpolation=cv2.INTER_AREA)
        yield np.asarray(small, np.float32), number == 0


def finished(estimates: Iterator[Estimated], stage: Stage, job: Job) -> Iterator[Picture]:
    """Mattes of 8 bits after a stage."""
    if stage.plain:
        for estimated in estimates:
            yield np.asarray(to_bits(plain_resize(estimated.alpha, job.plan.size), 8), np.uint8)
        return
    every = stages(replace(job, settings=stage.settings, engine=None))
    for matted in run(estimates, every.small + every.full, StageTimes()):
        yield np.asarray(to_bits(matted.alpha16, 8), np.uint8)


def table(rows: list[Row]) -> str:
    """A Markdown table: for each group, then for all clips, one line per competitor."""
    titles = {
        "mad": "MAD",
        "mse": "MSE",
        "grad": "Grad",
        "conn": "Conn",
        "dtssd": "dtSSD",
        "iou": "IoU",
        "start": "first 5 / all",
        "flicker": "flicker",
    }
    columns = [key for key in titles if any(key in row.scores for row in rows)]
    beside = ["worst MAD", "worst tenth"] if "mad" in columns else []
    names = [titles[key] for key in columns]
    lines = [["group", "matte", "n", *names, *beside, "picture sizes"]]
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
        means = [float(np.mean([row.scores.get(key, np.nan) for row in mine])) for key in columns]
        if "mad" in columns:  # one ruined clip is worth more than a tenth of a mean
            mads = [row.scores.get("mad", np.nan) for row in mine]
            means += [max(mads), robust.worst_tenth(mads)]
        yield [group, matte, str(len(mine)), *(f"{each:.3f}" for each in means), sizes]


if __name__ == "__main__":
    raise SystemExit(main())
