#!/usr/bin/env python3
"""Draw what runs of training learned: loss and validation against pictures seen, as one PNG.

Each RUN is a folder that `mattecast train --validate` wrote; its log, where it was kept, is given
beside it. Panels: the loss of the log, what is claimed where nobody is, and IoU and MAD of people.

  curves.py control=run/control:run/control.log anew=run/anew -o curves.png
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mattecast.commands.exits import exit_code

Picture = npt.NDArray[np.uint8]
LOSS = re.compile(r"step +(\d+) stage \S+ loss ([\d.]+)")
PANELS = (
    ("loss", "training loss"),
    ("fooled", "nobody: pictures claimed over 5 %"),
    ("iou", "people: IoU"),
    ("mad", "people: MAD"),
)
COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189))  # RGB
WIDTH, HEIGHT, MARGIN = 420, 260, 44  # px of a panel, and of its rim
FONT, SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.42


@dataclass(frozen=True)
class Curve:
    """A run's points of one quantity, in order of steps."""

    run: str
    steps: list[float]
    values: list[float]


def main() -> int:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("runs", nargs="+", metavar="NAME=RUN[:LOG]")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PNG")
    options = parser.parse_args()
    curves = {key: [curve(text, key) for text in options.runs] for key, _ in PANELS}
    panels = [panel(title, curves[key]) for key, title in PANELS]
    rows = [np.hstack(panels[first : first + 2]) for first in range(0, len(panels), 2)]
    if not cv2.imwrite(str(options.output), np.vstack(rows)[..., ::-1]):
        raise ValueError(f"{options.output}: cannot be written")
    return 0


def curve(text: str, key: str) -> Curve:
    """The points of one quantity of a run given as NAME=RUN[:LOG]."""
    name, _, places = text.partition("=")
    run, _, log = places.partition(":")
    if not places:
        raise ValueError(f"{text}: expected NAME=RUN[:LOG]")
    points = list(logged(Path(log)) if key == "loss" and log else noted(Path(run), key))
    ordered = sorted(dict(points).items())  # what was done twice after a stop counts once
    return Curve(name, [step for step, _ in ordered], [value for _, value in ordered])


def logged(log: Path) -> Iterator[tuple[float, float]]:
    """(step, loss) of a log's lines."""
    for found in LOSS.finditer(log.read_text()):
        yield float(found[1]), float(found[2])


def noted(run: Path, key: str) -> Iterator[tuple[float, float]]:
    """(step, value) of a run's validation; nothing where it has none."""
    path = run / "validation.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        found = json.loads(line)
        if key in found:
            yield float(found["step"]), float(found[key])


def panel(title: str, curves: list[Curve]) -> Picture:
    """One quantity of all runs, (HEIGHT, WIDTH, 3) uint8 RGB."""
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    cv2.putText(picture, title, (MARGIN, 18), FONT, SIZE, (0, 0, 0), 1, cv2.LINE_AA)
    values = [value for each in curves for value in each.values]
    if not values:
        return picture
    last = max(step for each in curves for step in each.steps)
    low, high = min(values), max(values)
    high += (high == low) * 1e-9
    right, bottom = WIDTH - 12, HEIGHT - 28
    cv2.rectangle(picture, (MARGIN, 28), (right, bottom), (200, 200, 200), 1)
    for text, place in (
        (f"{high:.3g}", (2, 36)),
        (f"{low:.3g}", (2, bottom)),
        (f"{last:.0f} steps", (right - 80, HEIGHT - 10)),
    ):
        cv2.putText(picture, text, place, FONT, SIZE, (90, 90, 90), 1, cv2.LINE_AA)
    for index, each in enumerate(curves):
        colour = COLOURS[index % len(COLOURS)]
        x = MARGIN + np.array(each.steps) / last * (right - MARGIN)
        y = bottom - (np.array(each.values) - low) / (high - low) * (bottom - 28)
        points = np.stack([x, y], 1).round().astype(np.int32)
        cv2.polylines(picture, [points], False, colour, 1, cv2.LINE_AA)
        place = (MARGIN + 6 + 90 * index, HEIGHT - 10)
        cv2.putText(picture, each.run, place, FONT, SIZE, colour, 1, cv2.LINE_AA)
    return picture


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
