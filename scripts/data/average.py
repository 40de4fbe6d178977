#!/usr/bin/env python3
"""Make one network of several training runs: the mean of their weights, as NAME.onnx.

Each run must have begun from another of them, or all from the same weights (`--from`), which may
be one of them:

  mattecast train --data DATA --out one
  mattecast train --data DATA --out two --from one/last.pt --rate 0.001
  scripts/data/average.py one/last.pt two/last.pt --out network.onnx
  scripts/data/average.py default.onnx two/last.pt --shares 0.3 0.7 --out network.onnx
  scripts/data/average.py default.onnx two/last.pt --shares 0 1 --parts merge4 head --out out.onnx
  scripts/bench/evaluate.py CLIPS --model one/network.onnx --model network.onnx
"""

import argparse
from pathlib import Path

from mattecast.commands.exits import exit_code
from mattecast.engines.training.average import mean
from mattecast.engines.training.release import release


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN/last.pt")
    parser.add_argument(
        "--shares",
        nargs="+",
        type=float,
        metavar="SHARE",
        help="how much each counts (default: all alike)",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        default=[""],
        metavar="NAME",
        help="beginnings of the names of what is averaged; all else is as in the "
        "first (default: all is averaged)",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="NAME.onnx")
    options = parser.parse_args()
    if options.out.exists():
        raise ValueError(f"{options.out}: is there already")
    release(mean(options.runs, options.shares, tuple(options.parts)), options.out)
    print(f"{options.out}: the mean of {len(options.runs)} runs")
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
