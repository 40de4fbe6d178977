#!/usr/bin/env python3
"""Table 2 of the portrait study: its networks side by side on one set.

The simplified U-Net, U-Net, U-Net pre-trained on either of two other sets, and DeepLabV3+ on
MobileNetV2, all trained or fine-tuned on TARGET. Runs of study_transfer.py in the same --out are
taken over.

  study_models.py --out runs --source aisegment:AISEGMENT --source voc2012:VOC2012 \\
      --target ppm100:PPM-100
"""

import argparse
import logging
import sys
from pathlib import Path

import study
from study import Plan, Scores, Source

from mattecast.engines.networks.deeplab import DeepLabWidths
from mattecast.engines.networks.unet import SimpleWidths, UNetWidths
from mattecast.engines.training import systems
from mattecast.engines.training.release import release


def main() -> int:
    options = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    rows, curves, sizes = results(options)
    text = document(options, rows, sizes)
    print(text)
    if options.write:
        options.write.mkdir(parents=True, exist_ok=True)
        (options.write / "models.md").write_text(text + "\n")
        study.plot(curves, options.write / "models.png", "Networks of the portrait study")
    if options.release:
        options.release.mkdir(parents=True, exist_ok=True)
        for out in curves.values():
            best = next(path for path in (out / "best.pt", out / "last.pt") if path.exists())
            model = options.release / f"{out.name}.onnx"
            print(release(systems.restore(best), model, long_side=options.size))
    return 0


def parse() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--source", type=Source.read, action="append", required=True,
                        metavar="CORPUS:PATH", help="to pre-train on; repeatable")  # fmt: skip
    parser.add_argument("--target", type=Source.read, required=True, metavar="CORPUS:PATH")
    parser.add_argument("--release", type=Path, metavar="DIR", help="write the models here too")
    study.common(parser)
    return parser.parse_args()


def results(
    options: argparse.Namespace,
) -> tuple[dict[str, Scores], dict[str, Path], dict[str, int]]:
    """Scores, run folders and parameter counts of every row."""
    target, unet = options.target, UNetWidths(width=options.width)
    simple, deeplab = (
        study.narrowed(widths, options.width) for widths in (SimpleWidths(), DeepLabWidths())
    )
    plans = {
        "simplified U-Net": Plan(f"simple-{target.name}", simple, target),
        "U-Net": Plan(f"unet-{target.name}", unet, target),
    }
    for source in options.source:
        start = study.train(Plan(f"unet-{source.name}", unet, source), options)
        name = f"unet-{source.name}-to-{target.name}-frozen-3"  # as in study_transfer: none frozen
        plans[f"U-Net, pre-trained on {source.name}"] = Plan(name, unet, target, start)
    plans["DeepLabV3+, MobileNetV2"] = Plan(f"deeplab-{target.name}", deeplab, target)
    held = study.held_out(target, options)
    rows = {
        what: study.scored(plan, study.train(plan, options), held, options)
        for what, plan in plans.items()
    }
    sizes = {what: parameters(plan) for what, plan in plans.items()}
    return rows, {what: options.out / plan.name for what, plan in plans.items()}, sizes


def parameters(plan: Plan) -> int:
    return sum(value.numel() for value in systems.build(plan.widths).parameters())


def document(
    options: argparse.Namespace, rows: dict[str, Scores], sizes: dict[str, int]
) -> str:
    theirs = study.published("models")
    order = sorted(rows, key=lambda what: rows[what].bce)
    lines = study.table(
        (f"on {options.target.name}", "parameters", "BCE", "pixel accuracy", "MAD x 1000",
         "best at step", "seconds", "paper"),
        [(what, f"{sizes[what]:,}", f"{s.bce:.3f}", f"{s.accuracy:.3f}", f"{s.mad:.0f}", s.steps,
          f"{s.seconds:.0f}", theirs.get(what, "not at hand")) for what, s in rows.items()],
    )  # fmt: skip
    return (
        f"# The portrait study's networks (Table 2)\n\n{lines}\n\n"
        f"Best first: {', '.join(order)}.\n\nSchedule: {study.schedule(options)}. "
        f"Machine: {study.machine()}."
    )


if __name__ == "__main__":
    raise SystemExit(main())
