#!/usr/bin/env python3
"""Table 1 of the portrait study: which layers to freeze when a U-Net is fine-tuned on another set.

Pre-trained on SOURCE, then fine-tuned on TARGET with all but the last layer, the first two, the
first, or none frozen; and trained on TARGET alone for comparison. A layer is a level of the U-Net:
its convolutions between two poolings.

  study_transfer.py --out runs --source aisegment:AISEGMENT --target ppm100:PPM-100
  study_transfer.py --out runs --source 'folder:data:ccp_*' --target 'folder:data:vik_*' \\
      --size 64 --width 8 --steps 100 --limit 120          # minutes on a CPU
"""

import study
from study import Plan, Source

from mattecast.commands.exits import exit_code
from mattecast.engines.training import systems

FREEZING = {
    "all but the last layer": ("down.", "bottom.", "up."),
    "first two layers": ("down.0.", "down.1."),
    "first layer": ("down.0.",),
    "none": (),
}


def main() -> int:
    parser = study.parser(__doc__)
    parser.add_argument(
        "--source", type=Source.read, required=True, metavar="CORPUS:PATH", help="to pre-train on"
    )
    options = parser.parse_args()
    source, target = options.source, options.target
    unet = systems.widths("unet", options.width / 64)
    before = Plan(f"unet-{source.name}", unet, source)
    plans = {
        f"frozen: {what}": Plan(
            f"unet-{source.name}-to-{target.name}-frozen-{index}", unet, target, before, frozen
        )
        for index, (what, frozen) in enumerate(FREEZING.items())
    }
    plans["no pre-training"] = Plan(f"unet-{target.name}", unet, target)
    study.compare("transfer", "Freezing layers in fine-tuning (Table 1)", plans, options)
    return 0


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
