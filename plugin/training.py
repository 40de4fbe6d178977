"""The command `train`: trains the embedded network, or fine-tunes it on pictures of one's own.

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
    NAME.mp4 + NAME.alpha.mp4     a clip and its alpha, same frames
    NAME.jpg alone                a background; there must be no people in it

examples:
  mattecast train --data my_pairs --out run --from default     fine-tune on a studio of your own
  mattecast train --data pictures --out run                    from scratch; again resumes it
  mattecast matte talk.mp4 -o talk.mov --model run/network.onnx"""

# Name, steps, clips a batch, frames a clip, sizes, part of the learning rate: enough to learn a
# new room and camera, too little to forget people.
FINE_TUNING = "studio:1500:4:4:224x384,256x384,256x256,384x256:0.15:freeze"


def add_train(parser: argparse.ArgumentParser) -> None:
    """`mattecast train ...`"""
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of pairs, cut-outs, clips, backgrounds")
    add("--out", type=Path, required=True,
        help="the run: checkpoint, pictures of held-out mattes, network.onnx")  # fmt: skip
    add("--from", dest="start", metavar="WEIGHTS",
        help="'default', a checkpoint, or a network.onnx (default: from scratch)")  # fmt: skip
    add("--stage", type=_stage, action="append", dest="stages", metavar="STAGE",
        help="name:steps:batch:frames:HxW,HxW[:rate[:freeze]], repeatable; freeze keeps the norms' "
        "statistics (default: three stages from scratch, one for fine-tuning)")  # fmt: skip
    add("--partial", action="append", default=[], metavar="PREFIX",
        help="start of the names of pairs with people not in the alpha; repeatable")  # fmt: skip
    add("--rate", type=float, default=1.5e-3, help="largest learning rate (default: 0.0015)")
    add("--seed", type=int, default=1)
    add("--workers", type=int, default=1, help="processes that draw samples (default: 1)")
    add("--threads", type=int, default=0, help="of torch on a CPU (default: torch's choice)")
    add("--device", default="auto", help="cpu, cuda, cuda:1 (default: auto)")


def run(options: argparse.Namespace) -> int:
    """Train, and export what came out; Ctrl-C saves, and the same command goes on."""
    try:
        from mattecast.engines.training.export import export, read_checkpoint
        from mattecast.engines.training.fit import Settings, fit
        from mattecast.engines.training.stages import STAGES
    except ModuleNotFoundError as error:
        raise EngineError(
            f"training needs {error.name}, which is not installed: pip install 'mattecast[train]'"
        ) from error
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    stages = tuple(options.stages or ([_stage(FINE_TUNING)] if options.start else STAGES))
    try:
        ended = fit(Settings(
            data=options.data, out=options.out, start=_weights(options.start), stages=stages,
            partial=tuple(options.partial), rate=options.rate, seed=options.seed,
            workers=options.workers, threads=options.threads, device=options.device,
        ))  # fmt: skip
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    if ended.signal is not None:
        signal.raise_signal(ended.signal)  # now that all is saved: the command's own way to stop
    if ended.first:
        network = ended.checkpoint.with_name("network.onnx")
        export(read_checkpoint(ended.checkpoint), network)
        print(network)
    return 0


def _weights(name: str | None) -> Path | None:
    if name is None:
        return None
    if name == "default":
        from mattecast.engines import weights

        return Path(weights.__file__).with_name("default.onnx")
    if not Path(name).is_file():
        raise UsageError(f"--from {name}: no such file; 'default' means the embedded network")
    return Path(name)


def _stage(text: str) -> Stage:
    from mattecast.engines.training.stages import Stage

    try:
        return Stage.read(text)
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not name:steps:batch:frames:HxW,HxW[:rate[:freeze]]"
        ) from error
