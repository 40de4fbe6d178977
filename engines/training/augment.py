"""What a camera does to a picture: geometry, light, colour, noise, blur, compression.

Pictures are (H, W, 3) uint8 RGB, cut-outs (H, W, 4) uint8 RGBA; matrices are (3, 3) float64 and
map pixels of the source to pixels of the frame. Everything random comes from the generator passed
in, so that a sample is a function of its seed. All work is on uint8 at the target size: two CPU
cores must augment faster than they train.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from mattecast.engines.training.datasets import Bytes, to_bytes

Matrix = NDArray[np.float64]
Field = NDArray[np.float32]
# Gaussian noise in steps of 1 / 32, drawn once: views into it are as random and much quicker.
NOISE = np.random.default_rng(0).normal(0, 32, (704, 704, 3)).round().astype(np.int16)


def scaling(x: float, y: float) -> Matrix:
    return np.diag([x, y, 1.0])


def shifting(x: float, y: float) -> Matrix:
    return np.array([[1.0, 0, x], [0, 1.0, y], [0, 0, 1.0]])


def turning(degrees: float) -> Matrix:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def about(x: float, y: float, matrix: Matrix) -> Matrix:
    """The same map with (x, y) as its fixed centre."""
    return shifting(x, y) @ matrix @ shifting(-x, -y)


def motion(rng: Generator, frames: int, size: tuple[int, int], strength: float) -> list[Matrix]:
    """A smooth path of small shifts, turns and zooms within the frame, sometimes with a pause."""
    height, width = size
    limits = np.array([0.02 * width, 0.012 * height, 1.0, 0.012]) * strength
    speed = rng.normal(size=4) * limits
    change = rng.normal(size=(frames, 4)) * limits * 0.35
    speeds = speed + np.cumsum(change, 0) * (rng.random() < 0.5)
    if rng.random() < 0.4:
        begin = int(rng.integers(0, frames))
        speeds[begin : begin + int(rng.integers(1, frames + 1))] = 0
    places = np.cumsum(speeds, 0)
    places -= places[frames // 2]
    return [
        shifting(x, y) @ about(width / 2, height / 2, turning(turn) @ scaling(np.exp(z), np.exp(z)))
        for x, y, turn, z in places
    ]


def wobble(rng: Generator, frames: int, size: tuple[int, int]) -> list[Field]:
    """Smooth swaying displacements, (H, W, 2) float32 px: limbs and clothes do not move rigidly."""
    height, width = size
    grids = rng.normal(0, 0.012 * max(size), (2, 4, 4, 2)).astype(np.float32)
    fields = [cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) for grid in grids]
    phase, pace = rng.uniform(0, 6.28), rng.uniform(0.1, 0.6)
    turns = [phase + pace * t for t in range(frames)]
    return [np.float32(np.cos(a)) * fields[0] + np.float32(np.sin(a)) * fields[1] for a in turns]


def shrunk(picture: Bytes, matrix: Matrix) -> tuple[Bytes, Matrix]:
    """Reduces the source ahead of a warp that would skip pixels, and the matrix to match."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:2, :2]))))
    if scale > 0.67:
        return picture, matrix
    height, width = picture.shape[:2]
    size = (max(1, round(width * scale * 1.2)), max(1, round(height * scale * 1.2)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    x, y = width / size[0], height / size[1]
    # Pixel centres: source = (small + 1/2) * ratio - 1/2.
    return np.asarray(small, np.uint8), matrix @ shifting(x / 2 - 0.5, y / 2 - 0.5) @ scaling(x, y)


def warp(
    picture: Bytes,
    matrix: Matrix,
    size: tuple[int, int],
    *,
    border: int,
    field: Field | None = None,
) -> Bytes:
    """The picture (H, W, C) seen through `matrix` in a frame of `size` (height, width)."""
    height, width = size
    if field is None:
        moved = cv2.warpAffine(
            picture, matrix[:2], (width, height), flags=cv2.INTER_LINEAR, borderMode=border
        )
        return np.asarray(moved, np.uint8)
    back = np.linalg.inv(matrix)[:2].astype(np.float32)
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    xs += field[..., 0]
    ys += field[..., 1]
    x = back[0, 0] * xs + back[0, 1] * ys + back[0, 2]
    y = back[1, 0] * xs + back[1, 1] * ys + back[1, 2]
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=border), np.uint8)


@dataclass(frozen=True)
class Look:
    """Light and colour: one curve a channel, then saturation."""

    curves: Bytes  # (256, 1, 3)
    saturation: float

    def on(self, picture: Bytes) -> Bytes:
        """The (H, W, 3) uint8 RGB picture in this light."""
        lit = cv2.LUT(picture, self.curves)
        if self.saturation == 1.0:
            return np.asarray(lit, np.uint8)
        s = self.saturation
        mix = np.tile(np.array([0.299, 0.587, 0.114]) * (1 - s), (3, 1)) + np.eye(3) * s
        return np.asarray(cv2.transform(lit, mix), np.uint8)


def look(rng: Generator, strength: float) -> Look:
    """Random exposure, gamma, contrast, white balance and saturation; sometimes dark or gray."""
    x = np.linspace(0, 1, 256)[:, None]
    exposure = np.exp(rng.normal(0, 0.22 * strength))
    if rng.random() < 0.08 * strength:
        exposure *= rng.uniform(0.15, 0.5)
    balance = np.exp(rng.normal(0, 0.07 * strength, 3))
    y = np.clip(x ** np.exp(rng.normal(0, 0.2 * strength)) * exposure * balance, 0, 1.15)
    contrast = np.exp(rng.normal(0, 0.15 * strength))
    y = (y - 0.45) * contrast + 0.45 + rng.normal(0, 0.03 * strength)
    saturation = float(np.exp(rng.normal(0, 0.2))) if rng.random() < 0.4 * strength else 1.0
    if rng.random() < 0.05 * strength:
        saturation = 0.0
    return Look(to_bytes(np.clip(y, 0, 1) * 255)[:, None, :], saturation)


def noisy(rng: Generator, picture: Bytes, sigma: float) -> Bytes:
    """The picture with Gaussian noise of `sigma` levels (of 255)."""
    height, width = picture.shape[:2]
    y, x = rng.integers(0, 704 - height + 1), rng.integers(0, 704 - width + 1)
    grain = NOISE[y : y + height, x : x + width] * np.int16(round(sigma * 8)) >> 8
    return np.clip(picture.astype(np.int16) + grain, 0, 255).astype(np.uint8)


def compressed(picture: Bytes, quality: int) -> Bytes:
    """The picture after JPEG at `quality`: blocks and smeared colour, as in cheap video."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def blurred(picture: Bytes, sigma: float) -> Bytes:
    """Out of focus: Gaussian blur of `sigma` px."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def streaked(picture: Bytes, length: int, degrees: float) -> Bytes:
    """Motion blur along a line of `length` px."""
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1
    centre = (length / 2 - 0.5, length / 2 - 0.5)
    kernel = np.asarray(
        cv2.warpAffine(kernel, cv2.getRotationMatrix2D(centre, degrees, 1), (length, length)),
        np.float32,
    )
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.uint8)
