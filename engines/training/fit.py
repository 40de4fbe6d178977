"""The training loop. It reads top to bottom: `fit(settings)` loads, resumes, trains, saves.

A batch is a function of (seed, step) alone, and a checkpoint holds everything else, so a run that
was stopped at any moment and started again ends where an unbroken one would have.
"""

import json
import logging
import math
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mattecast.engines.networks.heron import Heron, Widths
from mattecast.engines.papers import corpora
from mattecast.engines.training import criteria, scenes, systems, validation
from mattecast.engines.training.datasets import Library
from mattecast.engines.training.losses import Target, Weights, scaled
from mattecast.engines.training.mapped import Store
from mattecast.engines.training.optimiser import optimisers
from mattecast.engines.training.processes import Process, joined
from mattecast.engines.training.stages import STAGES, Size, Stage

log = logging.getLogger(__name__)
MUON = 13.0  # times AdamW's rate: what a step of it moves a weight is smaller by about that
# Why a run leaves its loop before the last step; the larger one counts.
STOPPED, ENDED = 1, 2
SHOWN = 4  # batches of the check in its montage
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Settings:
    """Everything a run depends on."""

    data: Path
    out: Path
    start: Path | None = None  # weights to begin from: a checkpoint or an exported .onnx
    stages: tuple[Stage, ...] = STAGES
    widths: Any = field(default_factory=Widths)  # of which network, see systems
    corpus: str = "folder"  # what lies in `data`, see corpora
    limit: int = 0  # at most so many people of a corpus
    frozen: tuple[str, ...] = ()  # beginnings of the names of what stays as it is, see hold
    constant: bool = False  # the same rate throughout, where a study asks for that
    seconds: float = 0.0  # after which a run ends, its rate fallen by then; 0: by steps alone
    patience: int = 0  # checks in a row without a better score that end the run; 0 goes on
    partial: tuple[str, ...] = ()  # see datasets.load
    recipe: scenes.Recipe = field(default_factory=scenes.Recipe)
    weights: Weights = field(default_factory=Weights)
    seed: int = 1
    rate: float = 1.5e-3  # AdamW's; Muon's is in proportion
    warmup: int = 300
    decay: float = 0.02
    average: float = 0.998  # of the exported weights, per step
    held_out: int = 25  # one in so many is for the check only
    validation: tuple[str, ...] = ()  # instead: sources for the check only, see Library.without
    claims: Path | None = None  # JSON of what a network took for people, see datasets.load
    store: Path | None = None  # where decoded pictures are kept, see mapped; None: in memory
    workers: int = 1
    threads: int = 0  # torch's own choice
    device: str = "auto"
    log_every: int = 50
    check_every: int = 500
    measure: str = "MAD"  # what a check calls better, see criteria.score
    save_every: float = 120.0  # seconds

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage(self, step: int) -> Stage:
        """The stage that `step` belongs to; the last one beyond the end."""
        for stage in self.stages:
            step -= stage.steps
            if step < 0:
                return stage
        return self.stages[-1]

    def slope_at(self, step: int, spent: float = 0.0) -> float:
        """Part of the largest rate: linear warm-up, then half a cosine down to 2 % by steps, or by
        the part of the time that is spent, whichever is further."""
        if self.constant:
            return self.stage(step).rate
        done = max(spent, step / max(1, self.steps))
        turn = 0.5 + 0.5 * math.cos(math.pi * min(1.0, done))
        slope = min(1.0, (step + 1) / max(1, self.warmup))
        return self.stage(step).rate * slope * (0.02 + 0.98 * turn)


def batch(
    library: Library, recipe: scenes.Recipe, *, seed: list[int], stage: Stage, size: Size
) -> Tensors:
    """picture, foreground (B, T, H, W, 3), alpha, valid (B, T, H, W), known (B,): all uint8."""
    samples = [
        scenes.draw(
            np.random.default_rng([*seed, i]), recipe, library, size=size, frames=stage.frames
        )
        for i in range(stage.batch)
    ]
    names = ("picture", "foreground", "alpha", "valid")
    tensors = {n: torch.from_numpy(np.stack([getattr(s, n) for s in samples])) for n in names}
    tensors["known"] = torch.tensor([s.known for s in samples], dtype=torch.uint8)
    return tensors


class Batches(Dataset[Tensors]):
    """Batch number `step` of a run, made in a worker process; other ones in each of several GPUs'
    processes."""

    def __init__(self, settings: Settings, library: Library, index: int = 0) -> None:
        self.settings, self.library, self.index = settings, library, index

    def __getitem__(self, step: int) -> Tensors:
        cv2.setNumThreads(0)  # one core a worker
        stage = self.settings.stage(step)
        seed = [self.settings.seed, step]
        size = stage.sizes[int(np.random.default_rng(seed).integers(len(stage.sizes)))]
        seed += [self.index] * (self.index > 0)
        return batch(self.library, self.settings.recipe, seed=seed, stage=stage, size=size)


def undisturbed(_: int) -> None:
    """For worker processes: signals to the whole group are the trainer's to act on."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def to(device: torch.device, tensors: Tensors) -> Tensors:
    return {name: value.to(device, non_blocking=True) for name, value in tensors.items()}


def target(tensors: Tensors) -> Target:
    """The batch as float32, (B * T, C, H, W)."""
    frames = tensors["alpha"].shape[1]
    alpha, valid = (tensors[n].flatten(0, 1)[:, None] for n in ("alpha", "valid"))
    colours, picture = (
        tensors[n].flatten(0, 1).permute(0, 3, 1, 2) for n in ("foreground", "picture")
    )
    known = tensors["known"].float().repeat_interleave(frames)[:, None, None, None]
    return Target(scaled(alpha), scaled(colours), scaled(picture), valid.float(), known)


def smooth(average: Tensors, network: nn.Module, decay: float) -> None:
    """Moves the running average of weights (and of norm statistics) towards the network's."""
    floating = [(average[n], v) for n, v in network.state_dict().items() if v.is_floating_point()]
    torch._foreach_lerp_([a for a, _ in floating], [v for _, v in floating], 1 - decay)


def freeze(network: nn.Module, everywhere: bool, frozen: tuple[str, ...]) -> None:
    """Training mode, but for norms that keep their statistics: all of them, or those of what is
    frozen."""
    network.train()
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and (
            everywhere
            or not module.weight.requires_grad
            or systems.held(f"{name}.running_mean", frozen)
        ):
            module.eval()


@contextmanager
def stopping() -> Iterator[list[int]]:
    """A list that gets the signal's number at SIGTERM or SIGINT, so that the loop can save."""
    caught: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(n, lambda number, _: caught.append(number)) for n in numbers]
    try:
        yield caught
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@dataclass
class Run:
    """What changes while training: network, optimisers, average, step."""

    network: nn.Module  # with the `widths` that rebuild it
    optimisers: list[torch.optim.Optimizer]
    average: Tensors
    step: int = 0
    best: float = math.inf  # score of the checks
    stale: int = 0  # checks since
    spent: float = 0.0  # part of the settings' seconds, since this process began

    def improved(self, score: float) -> bool:
        """Note a check's score; whether it is the best so far."""
        better = score < self.best
        self.best, self.stale = min(score, self.best), 0 if better else self.stale + 1
        return better

    def save(self, path: Path, settings: Settings) -> None:
        """Writes the checkpoint whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "average": self.average,
            "step": self.step,
            "system": systems.name_of(self.network),
            "widths": asdict(self.network.widths),  # type: ignore[call-overload]
            "score": [self.best, self.stale],
            "settings": repr(settings),
        }
        torch.save(state, path.with_suffix(".part"))
        os.replace(path.with_suffix(".part"), path)

    def resume(self, path: Path, device: torch.device) -> None:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        there, here = systems.described(state, path), self.network.widths
        if there != here:
            raise ValueError(f"{path}: a run of another network is there, {there} and not {here}")
        self.network.load_state_dict(state["network"])
        for optimiser, stored in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(stored)
        self.average, self.step = state["average"], state["step"]
        self.best, self.stale = state.get("score", (math.inf, 0))


def begin(settings: Settings, device: torch.device) -> Run:
    """A fresh run, one from given weights, or the one that was stopped in `settings.out`."""
    torch.manual_seed(settings.seed)
    network = systems.build(settings.widths).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    systems.hold(network, settings.frozen)
    if settings.start is not None:
        systems.start(network, settings.start)
    if isinstance(network, Heron):
        chosen = optimisers(
            network,
            outer=("head", "coarse"),
            known=("encoder",) if settings.start else (),
            rate=settings.rate,
            decay=settings.decay,
            muon=settings.rate * MUON,
        )
    else:
        chosen = systems.adam(network, settings.rate, settings.decay)
    run = Run(network, chosen, {n: v.clone() for n, v in network.state_dict().items()})
    if (settings.out / "last.pt").exists():
        run.resume(settings.out / "last.pt", device)
        log.info("resumed at step %d", run.step)
    return run


def predict(network: nn.Module, tensors: Tensors) -> Any:
    """The network on a batch; in bfloat16 on a GPU and on CPUs that compute with it."""
    pictures = tensors["picture"]
    quick = pictures.is_cuda or torch.cpu._is_avx512_bf16_supported()
    with torch.autocast(pictures.device.type, torch.bfloat16, enabled=quick):
        return network(pictures)


def train_step(
    run: Run, settings: Settings, tensors: Tensors, shared: nn.Module | None = None
) -> float:
    """One update; returns the loss. shared: the network as several processes train it."""
    stage = settings.stage(run.step)
    for optimiser in run.optimisers:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * settings.slope_at(run.step, run.spent)
    freeze(run.network, stage.freeze, settings.frozen)
    out = predict(shared or run.network, tensors)
    value = criteria.loss(out, target(tensors), stage.frames, settings.weights)
    run.network.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
    for optimiser in run.optimisers:
        optimiser.step()
    run.step += 1
    smooth(run.average, run.network, min(settings.average, run.step / (run.step + 10)))
    return float(value.detach())


def averaged(run: Run) -> nn.Module:
    """A copy of the network with the averaged weights, for use."""
    network = systems.build(run.network.widths).to(next(run.network.parameters()).device)
    network.load_state_dict(run.average)
    return network.eval()


@torch.no_grad()
def check(run: Run, held: list[Tensors], measure: str, picture: Path) -> float:
    """Error of the averaged weights on the held-out samples, and a montage of the first."""
    network, total, count = averaged(run), 0.0, 0
    device, shown = next(network.parameters()).device, list[Tensor]()
    for tensors in held:
        there, samples = to(device, tensors), len(tensors["alpha"])
        out = predict(network, there)
        shown += [out.alpha] * (len(shown) < SHOWN)
        total += samples * criteria.score(out, target(there), measure)
        count += samples
    montage(held, shown, picture)
    return total / max(1, count)


def montage(held: list[Tensors], outs: list[Tensor], path: Path) -> None:
    """Rows of: pictures, predicted mattes, true mattes; the last frame of each sample."""
    rows = []
    for tensors, out in zip(held, outs, strict=False):
        size = tensors["alpha"].shape
        mattes = ((out.reshape(size) * 255).byte(), tensors["alpha"])
        strips = [np.hstack([np.dstack([a] * 3) for a in m[:, -1].cpu().numpy()]) for m in mattes]
        pictures = np.hstack(list(tensors["picture"][:, -1].cpu().numpy()))[..., ::-1]
        rows.append(np.vstack([pictures, *strips]))
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    cv2.imwrite(str(path), np.vstack(padded))


# Batches of eight short clips that a check of a run draws.
HELD_BATCHES = 12


def held_batches(settings: Settings, library: Library) -> list[Tensors]:
    """The same held-out set in every run: a few draws, or every picture where pictures are shown as
    they are."""
    if not library.stills and not library.clips:
        return []
    if settings.recipe.whole:
        ones = list(each_once(library, settings.recipe, settings.stages[-1].sizes[0]))
        return [joint(ones[first : first + 8]) for first in range(0, len(ones), 8)]
    stage = Stage("check", 0, 8, 2, ())
    sizes: tuple[Size, ...] = ((192, 256), (256, 192), (288, 512), (256, 256))
    return [
        batch(library, settings.recipe, seed=[999, i], stage=stage, size=sizes[i % len(sizes)])
        for i in range(HELD_BATCHES)
    ]


def each_once(library: Library, recipe: scenes.Recipe, size: Size) -> Iterator[Tensors]:
    """A batch of one sample for everybody in the library."""
    stage = Stage("check", 0, 1, 1, ())
    for index, one in enumerate([*library.stills, *library.clips]):
        alone = Library([one], [], library.backgrounds)
        yield batch(alone, recipe, seed=[999, index], stage=stage, size=size)


def joint(batches: list[Tensors]) -> Tensors:
    """Several batches of one size as one."""
    return {name: torch.cat([each[name] for each in batches]) for name in batches[0]}


@dataclass
class Pace:
    """Adds up between two log lines, in seconds and frames."""

    since: float = field(default_factory=time.monotonic)
    frames: int = 0
    loss: float = 0.0
    waited: float = 0.0  # for the workers: near 0 % means that augmentation keeps up

    def line(self, run: Run, settings: Settings) -> str:
        """The log line, always of this form."""
        seconds, steps = time.monotonic() - self.since, settings.log_every
        stage, rate = (
            settings.stage(run.step).name,
            settings.rate * settings.slope_at(run.step, run.spent),
        )
        return (
            f"step {run.step:6d} stage {stage} loss {self.loss / steps:.4f} "
            f"rate {rate:.2e} frames/s {self.frames / seconds:5.1f} "
            f"wait {self.waited / seconds:3.0%} "
            f"eta {(settings.steps - run.step) / steps * seconds / 60:5.1f} min"
        )


def timed(batches: Iterable[Tensors], pace: list[Pace]) -> Iterator[Tensors]:
    """The batches, the time spent waiting for them added to the latest pace."""
    asked = time.monotonic()
    for tensors in batches:
        pace[-1].waited += time.monotonic() - asked
        yield tensors
        asked = time.monotonic()


@dataclass(frozen=True)
class Ended:
    """How a run ended: its checkpoint, the signal that stopped it, whether this process wrote."""

    checkpoint: Path
    signal: int | None
    first: bool


def fit(settings: Settings) -> Ended:
    """Trains to the end of the settings' stages, or until a signal stops it."""
    settings.out.mkdir(parents=True, exist_ok=True)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with joined(settings.device) as process:
        stopped = _fit(settings, process)
    return Ended(settings.out / "last.pt", stopped, process.first)


def material(settings: Settings) -> tuple[Library, Library]:
    """What is trained on, and what is held out."""
    everything = corpora.read(
        settings.corpus,
        settings.data,
        limit=settings.limit,
        incomplete=settings.partial,
        claims=json.loads(settings.claims.read_text()) if settings.claims else None,
        store=Store(settings.store) if settings.store else None,
    )
    if settings.validation:
        return everything.without(settings.validation)
    return everything.split(settings.held_out)


def validate(run: Run, settings: Settings, kept: Library) -> None:
    """Note what the averaged weights make of the sources that are held out."""
    found = validation.breadth(averaged(run), kept, every=validation.EVERY)
    line = validation.record(run.step, found)
    log.info("step %6d validation %s", run.step, line)
    with (settings.out / "validation.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")


def _fit(settings: Settings, process: Process) -> int | None:
    library, kept = material(settings)
    held = []
    if process.first:
        log.info("training on %s; held out %s", library, kept)
        held = held_batches(settings, kept)

    run, checkpoint = begin(settings, process.device), settings.out / "last.pt"
    shared = process.shared(run.network)
    batches = DataLoader(
        Batches(settings, library, process.index),
        batch_size=None,
        sampler=range(run.step, settings.steps),
        num_workers=settings.workers,
        prefetch_factor=6 if settings.workers else None,
        worker_init_fn=undisturbed,
    )
    began = saved = time.monotonic()
    pace = [Pace()]
    with stopping() as caught:
        for tensors in timed(batches, pace):
            pace[-1].loss += train_step(run, settings, to(process.device, tensors), shared)
            pace[-1].frames += tensors["alpha"].shape[0] * tensors["alpha"].shape[1] * process.count
            if process.first:
                if run.step % settings.log_every == 0:
                    log.info("%s", pace[-1].line(run, settings))
                    pace.append(Pace())
                if held and run.step % settings.check_every == 0:
                    score = check(run, held, settings.measure, settings.out / "held-out.png")
                    log.info("step %6d held-out %s %.2f", run.step, settings.measure, score)
                    if run.improved(score) and settings.patience:
                        run.save(settings.out / "best.pt", settings)
                    if settings.validation:
                        validate(run, settings, kept)
            if settings.seconds:  # one clock for all processes, whose rates have to be the same
                spent = (time.monotonic() - began) / settings.seconds
                run.spent = process.largest(round(spent * 1e4)) / 1e4
            done = run.spent >= 1 or 0 < settings.patience <= run.stale
            ending = process.largest(ENDED if done else STOPPED if caught else 0)
            if process.first and (ending or time.monotonic() - saved > settings.save_every):
                run.save(checkpoint, settings)
                saved = time.monotonic()
            if ending == ENDED:
                why = "out of time" if run.spent >= 1 else f"no better for {run.stale} checks"
                log.info("step %6d %s: done", run.step, why)
                return None
            if ending == STOPPED:
                log.info("stopped at step %d; the same command goes on from there", run.step)
                return caught[0] if caught else signal.SIGTERM
    if process.first:
        run.save(checkpoint, settings)
    return None
