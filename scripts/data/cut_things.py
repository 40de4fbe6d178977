#!/usr/bin/env python3
"""Cut out of pictures without people what a network takes for people, as things for training.

Its mistakes are cut out by its own matte: an animal, a statue, a flower or a coat with a soft
outline, which `mattecast train` lays behind and beside people from a folder called `things`. CLAIMS
is what hard_negatives.py wrote; pictures claimed from 3 to 75 % are taken, where the network is
sure enough to have drawn an outline.

  cut_things.py DATA --claims claims.json --out data/things
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import cv2
import numpy as np

from mattecast.commands.exits import exit_code
from mattecast.engines.training import datasets, validation

# scripts/bench/robust.py runs a network on single pictures.
sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))
from hard_negatives import empty
from robust import Alone, Alpha

LEAST, MOST = 0.03, 0.75  # of the picture
UNSURE = 0.35  # of what is claimed, that may be soft


def main() -> int:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("data", type=Path, metavar="DIR")
    parser.add_argument("--claims", type=Path, required=True, metavar="CLAIMS.json")
    parser.add_argument("--model", default="", help="the network that made them")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    claims = json.loads(options.claims.read_text())
    options.out.mkdir(parents=True, exist_ok=True)
    count = 0
    with Alone(options.model, options.threads) as network:
        for path in empty(options.data):
            held = path.stem.startswith(validation.SOURCES)
            if held or not LEAST <= claims.get(path.stem, 0) <= MOST:
                continue
            picture = datasets.colour(path)
            alpha = network.still(picture)
            if sure(alpha):
                cut = datasets.cut(picture, np.round(alpha * 255).astype(np.uint8))
                written = cv2.cvtColor(trimmed(cut), cv2.COLOR_RGBA2BGRA)
                cv2.imwrite(str(options.out / f"{path.stem}.png"), written)
                count += 1
    print(f"{options.out}: {count} things")
    return 0


def sure(alpha: Alpha) -> bool:
    """Whether a matte has an outline rather than a haze."""
    some = alpha > 0.1
    return float(np.mean(alpha[some] < 0.9)) < UNSURE if some.any() else False


def trimmed(cutout: datasets.Bytes) -> datasets.Bytes:
    """The cut-out (h, w, 4) without what is empty around it."""
    rows, columns = (np.flatnonzero((cutout[..., 3] > 12).any(axis)) for axis in (1, 0))
    return cutout[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


if __name__ == "__main__":
    cv2.setNumThreads(1)
    raise SystemExit(exit_code(main))
