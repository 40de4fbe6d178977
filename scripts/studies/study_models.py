#!/usr/bin/env python3
"""Table 2 of the portrait study: its networks side by side on one set.

The simplified U-Net, U-Net, U-Net pre-trained on either of two other sets, and DeepLabV3+ on
MobileNetV2, all trained or fine-tuned on TARGET. Runs of study_transfer.py in the same --out are
taken over.

  study_models.py --out runs --source aisegment:AISEGMENT --source voc2012:VOC2012 \\
      --target ppm100:PPM-100
"""

import argparse
from pathlib import Path

import study
from study import Plan, Source

from mattecast.commands.exits import exit_code
from mattecast.engines.training import systems


def main() -> int:
    parser = study.parser(__doc__)
    parser.add_argument(
        "--source",
        type=Source.read,
        action="append",
        required=True,
        metavar="CORPUS:PATH",
        help="to pre-train on; repeatable",
    )
    parser.add_argument("--release", type=Path, metavar="DIR", help="write the models here too")
    options = parser.parse_args()
    plans = networks(options)
    study.compare("models", "The portrait study's networks (Table 2)", plans, options)
    best = {plan.name: study.best(options.out / plan.name) for plan in plans.values()}
    study.release_all(best, options)
    return 0


def networks(options: argparse.Namespace) -> dict[str, Plan]:
    """The rows of the table."""
    target = options.target
    simple, unet, deeplab = (
        systems.widths(name, options.width / 64) for name in ("unet-simple", "unet", "deeplab")
    )
    plans = {
        "simplified U-Net": Plan(f"simple-{target.name}", simple, target),
        "U-Net": Plan(f"unet-{target.name}", unet, target),
    }
    for source in options.source:
        before = Plan(f"unet-{source.name}", unet, source)
        name = f"unet-{source.name}-to-{target.name}-frozen-3"  # as in study_transfer: none frozen
        plans[f"U-Net, pre-trained on {source.name}"] = Plan(name, unet, target, before)
    plans["DeepLabV3+, MobileNetV2"] = Plan(f"deeplab-{target.name}", deeplab, target)
    return plans


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
