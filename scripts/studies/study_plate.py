#!/usr/bin/env python3
"""What a clean plate is worth: mattes with and without one, against the truth.

DIR is a folder of training material (see `mattecast train --help`); people and backgrounds that are
held out of training are put together before a camera that stands still. The plate is the same
view a little brighter or darker, with noise of its own, as a camera takes it minutes later.

  study_plate.py ../shared/data --scenes 60
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mattecast import engines
from mattecast.engines.training import augment, datasets, metrics, scenes
from mattecast.filters.pictures.plate import correct_by_plate

Bytes = NDArray[np.uint8]
SIZE = (224, 384)
FRAMES = 6


@dataclass(frozen=True)
class Scene:
    """pictures (T, H, W, 3), their alpha (T, H, W), the view without people (H, W, 3): uint8."""

    pictures: Bytes
    alpha: Bytes
    plate: Bytes


def main() -> int:
    options = parse()
    held = datasets.load(options.dir).split(25)[1]
    engine = engines.load(options.model, SIZE[::-1])
    rows = [score(engine, scene) for scene in drawn(held, options.scenes)]
    without, with_it = np.mean(rows, axis=0)
    helped = np.mean([one[1][0] < one[0][0] for one in rows])
    print("| | MAD | IoU |\n|---|---|---|")
    for title, (mad, iou) in (("network alone", without), ("with the plate", with_it)):
        print(f"| {title} | {mad:.2f} | {iou:.3f} |")
    print(f"\n{len(rows)} scenes of {FRAMES} frames; lower MAD in {helped:.0%} of them.")
    return 0


def parse() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("dir", type=Path, metavar="DIR")
    parser.add_argument("--model", default="default")
    parser.add_argument("--scenes", type=int, default=60)
    return parser.parse_args()


def drawn(held: datasets.Library, count: int) -> Iterator[Scene]:
    """Scenes that depend on their number alone."""
    recipe, still = scenes.Recipe(), [np.eye(3)] * FRAMES
    for number in range(count):
        rng = np.random.default_rng([25, number])
        behind = scenes.backdrop(rng, recipe, held, SIZE, still)
        path = augment.motion(rng, FRAMES, SIZE, 1.0)
        person = scenes.layer(rng, recipe, scenes.pick(rng, held, 0.0), SIZE, path)
        pictures = scenes.blend(person.colours, person.alpha, behind)
        noisy = np.stack([augment.noisy(rng, picture, 3.0) for picture in pictures])
        light = np.clip(behind[0] * rng.uniform(0.93, 1.07, 3), 0, 255).astype(np.uint8)
        yield Scene(noisy, person.alpha, augment.noisy(rng, light, 3.0))


def score(engine: engines.Engine, scene: Scene) -> list[tuple[float, float]]:
    """(MAD, IoU) of a scene's mattes without and with its plate."""
    engine.reset()
    alone = [engine.step(picture).copy() for picture in scene.pictures]
    plated = [
        correct_by_plate(alpha, picture, scene.plate)
        for alpha, picture in zip(alone, scene.pictures, strict=True)
    ]
    truth = scene.alpha.astype(np.float32) / 255
    return [
        (
            float(np.mean([metrics.mad(a, t) for a, t in zip(mattes, truth, strict=True)])),
            float(np.mean([metrics.iou(a, t) for a, t in zip(mattes, truth, strict=True)])),
        )
        for mattes in (alone, plated)
    ]


if __name__ == "__main__":
    raise SystemExit(main())
