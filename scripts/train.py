"""Trains the default matting network, or fine-tunes it on a folder of your own.

    python scripts/train.py --data FOLDER --out RUN                  from scratch
    python scripts/train.py --data FOLDER --out RUN --from default   from the embedded weights

The same command again resumes a run that was stopped (Ctrl-C saves). What the folder holds is
described at the top of mattecast/engines/training/datasets.py.
"""

import argparse
import logging
import sys
from pathlib import Path

from mattecast.engines import weights
from mattecast.engines.training.fit import Settings, Stage, fit


def stage(text: str) -> Stage:
    """name:steps:batch:frames:HxW,HxW[:rate[:freeze]] to a Stage."""
    name, steps, batch, frames, sizes, *rest = text.split(":")
    pairs = [size.split("x") for size in sizes.split(",")]
    return Stage(
        name, int(steps), int(batch), int(frames), tuple((int(h), int(w)) for h, w in pairs),
        rate=float(rest[0]) if rest else 1.0, freeze=rest[1:] == ["freeze"],
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of training material")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log")
    parser.add_argument("--from", dest="start", help="'default', a checkpoint or an exported .onnx")
    parser.add_argument("--stage", type=stage, action="append", dest="stages", metavar="STAGE",
                        help=stage.__doc__ + " (repeatable; default: three built-in stages)")
    parser.add_argument("--partial", action="append", default=[], metavar="PREFIX",
                        help="file names whose bystanders are not in the alpha (repeatable)")
    parser.add_argument("--rate", type=float, default=Settings.rate)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--workers", type=int, default=Settings.workers)
    parser.add_argument("--threads", type=int, default=Settings.threads)
    parser.add_argument("--device", default=Settings.device)
    return parser.parse_args()


def main() -> int:
    chosen = vars(arguments())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    if chosen["start"] == "default":
        chosen["start"] = Path(weights.__file__).parent / "default.onnx"
    elif chosen["start"]:
        chosen["start"] = Path(chosen["start"])
    chosen["partial"] = tuple(chosen["partial"])
    if chosen["stages"]:
        chosen["stages"] = tuple(chosen["stages"])
    else:
        del chosen["stages"]
    print(fit(Settings(**chosen)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
