"""Clips for engines, and how far two runs of one clip may differ."""

from __future__ import annotations

import cv2
import numpy as np


def pictures(count, seed=0, size=(96, 64)):
    """A bright blob that moves over a textured ground: `count` pictures (h, w, 3) uint8."""
    rng = np.random.default_rng(seed)
    width, height = size
    ground = rng.integers(30, 120, (height, width, 3)).astype(np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    for index in range(count):
        middle = width * (0.3 + 0.4 * abs(np.sin(index / 15)))
        blob = np.exp(-(((x - middle) / (width / 6)) ** 2 + ((y - height / 2) / (height / 3)) ** 2))
        noise = rng.normal(0, 3, ground.shape)
        colours = np.array([210.0, 160.0, 130.0])
        mixed = ground * (1 - blob[..., None]) + colours * blob[..., None] + noise
        yield np.uint8(np.clip(mixed, 0, 255))


def run(engine, clip):
    return [engine.step(picture).copy() for picture in clip]


def gate(ours, theirs):
    """(worst smoothed, mean) difference in units of 1/255, as the parity gates count it.

    Smoothed: the mean over 5x5 pixels, so that one pixel of an edge does not decide.
    """
    differences = [
        cv2.blur(np.abs(one - other), (5, 5)) for one, other in zip(ours, theirs, strict=True)
    ]
    return max(d.max() for d in differences) * 255, float(np.mean(differences)) * 255
