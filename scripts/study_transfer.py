#!/usr/bin/env python3
"""Table 1 of the portrait study: which layers to freeze when a U-Net is fine-tuned on another set.

Pre-trained on SOURCE, then fine-tuned on TARGET with all but the last layer, the first two, the
first, or none frozen; and trained on TARGET alone for comparison. A layer is a level of the U-Net:
its convolutions between two poolings.

  study_transfer.py --out runs --source aisegment:AISEGMENT --target ppm100:PPM-100
  study_transfer.py --out runs --source 'folder:data:ccp_*' --target 'folder:data:vik_*' \\
      --size 64 --width 8 --steps 100 --limit 120          # minutes on a CPU
"""

import argparse
import logging
import sys
from pathlib import Path

import study
from study import Plan, Scores, Source

from mattecast.engines.networks.unet import UNetWidths

FREEZING = {
    "all but the last layer": ("down.", "bottom.", "up."),
    "first two layers": ("down.0.", "down.1."),
    "first layer": ("down.0.",),
    "none": (),
}


def main() -> int:
    options = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    rows, curves = results(options)
    text = document(options, rows)
    print(text)
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        (options.write / "transfer.md").write_text(text + "\n")
        study.plot(curves, options.write / "transfer.png", "Fine-tuning with frozen layers")
    return 0


def parse() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--source", type=Source.read, required=True, metavar="CORPUS:PATH")
    parser.add_argument("--target", type=Source.read, required=True, metavar="CORPUS:PATH")
    study.common(parser)
    return parser.parse_args()


def results(options: argparse.Namespace) -> tuple[dict[str, Scores], dict[str, Path]]:
    """Scores and run folders of every row."""
    widths = UNetWidths(width=options.width)
    before = Plan(f"unet-{options.source.name}", widths, options.source)
    start = study.train(before, options)
    plans = {
        f"frozen: {what}": Plan(
            f"unet-{options.source.name}-to-{options.target.name}-frozen-{index}",
            widths, options.target, start, frozen,
        )
        for index, (what, frozen) in enumerate(FREEZING.items())
    }  # fmt: skip
    plans["no pre-training"] = Plan(f"unet-{options.target.name}", widths, options.target)
    held = study.held_out(options.target, options)
    rows = {
        what: study.scored(plan, study.train(plan, options), held, options)
        for what, plan in plans.items()
    }
    return rows, {what: options.out / plan.name for what, plan in plans.items()}


def document(options: argparse.Namespace, rows: dict[str, Scores]) -> str:
    theirs = study.published("transfer")
    order = sorted(rows, key=lambda what: rows[what].bce)
    lines = study.table(
        ("U-Net, " + options.source.name + " to " + options.target.name, "BCE", "pixel accuracy",
         "MAD x 1000", "best at step", "seconds", "paper"),
        [(what, f"{s.bce:.3f}", f"{s.accuracy:.3f}", f"{s.mad:.0f}", s.steps, f"{s.seconds:.0f}",
          theirs.get(what, "not at hand")) for what, s in rows.items()],
    )  # fmt: skip
    return (
        f"# Freezing layers in fine-tuning (Table 1)\n\n{lines}\n\n"
        f"Best first: {', '.join(order)}.\n\nSchedule: {study.schedule(options)}. "
        f"Machine: {study.machine()}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
