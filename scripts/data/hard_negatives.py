#!/usr/bin/env python3
"""Measure how much of pictures without people a network claims, for training to draw by.

Every NAME.jpg below DIR without a NAME.png beside it is a picture without people, as `mattecast
train` takes it. OUT becomes a JSON of {name: share of the picture, 0 to 1}, which `mattecast train
--claims OUT` draws half of its empty scenes by. To be made anew from a newer checkpoint of the same
run now and then, so that training goes on with what still goes wrong:

  hard_negatives.py DATA --out claims.json                         # of the default network
  hard_negatives.py DATA --model run/last.pt --out claims.json     # of a run's averaged weights
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2

from mattecast.commands.exits import exit_code
from mattecast.engines.training import datasets

# scripts/bench/robust.py runs a network on single pictures.
sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))
from robust import Alone, claimed


def main() -> int:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("data", type=Path, metavar="DIR")
    parser.add_argument("--model", default="", help="name, .onnx or a run's last.pt")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT.json")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        model = exported(options.model, Path(folder))
        with Alone(model, options.threads) as network:
            shares = {
                path.stem: round(claimed(network.still(datasets.colour(path))), 4)
                for path in empty(options.data)
            }
    part = options.out.with_suffix(".part")
    part.write_text(json.dumps(shares, indent=0))
    os.replace(part, options.out)
    fooled = sum(share > 0.05 for share in shares.values())
    print(f"{options.out}: {len(shares)} pictures, more than 5 % claimed in {fooled}")
    return 0


def exported(model: str, folder: Path) -> str:
    """The model itself, or a checkpoint's averaged weights as a file below `folder`."""
    if not model.endswith(".pt"):
        return model
    from mattecast.engines.training.release import release
    from mattecast.engines.training.systems import restore

    return str(release(restore(Path(model)), folder / "network.onnx"))


def empty(folder: Path) -> list[Path]:
    """The pictures without people below a folder, sorted."""
    photos = (path for path in folder.rglob("*") if path.suffix.lower() in datasets.PICTURES)
    found = sorted(path for path in photos if not path.with_suffix(".png").exists())
    if not found:
        raise ValueError(f"{folder}: no picture without people, expected NAME.jpg alone")
    return found


if __name__ == "__main__":
    cv2.setNumThreads(1)
    raise SystemExit(exit_code(main))
