"""Gradient-domain blending of a person into a background: stills, and video without flicker.

Method: Perez et al., "Poisson Image Editing" (ACM SIGGRAPH 2003). The person keeps the gradients of
the picture, and along the outline of a mask the values of the new background are met. What is added
to the person is a membrane: harmonic inside the mask, and along the outline the new background less
the old one (their equation 5). So the light of the new background changes the person, and a very
different background tints the whole person: a person from before a white wall becomes black before
a night. Here alpha draws the outline, so a seam cannot show, and a share of the membrane is enough:
`tint` 1 is the method as published, 0 changes nothing.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.pictures.composite import Plane

Float = NDArray[np.float32]
Bytes = NDArray[np.uint8]

# Alpha below which a pixel shows the background alone, and how far from the person such a pixel
# belongs to the outline, in pixels of the small pictures that the membrane is computed on.
EMPTY, NEAR = 0.01, 2
# Long side of those pictures in pixels: a membrane is smooth, and can be enlarged without loss.
SIDE = 96
# Relaxations at each scale of the pyramid, and their over-relaxation factor; together they leave an
# error of less than one 8-bit level (see the tests).
SWEEPS, OVER_RELAXATION = 25, 1.7
FIXED_WEIGHT = 1e3  # weight of the outline's values against smoothness
# Share of the last frame's membrane that stays: it averages the outline's noise over about seven
# frames, and follows changing light within half a second.
PERSISTENCE = 0.85
# Mean change of the outline's values, as a share of the range, that is a cut.
CUT = 0.15


def clone(picture: Bytes, background: Bytes, alpha: Float, tint: float = 1.0) -> Bytes:
    """The person of a still with the light of another background, by OpenCV's seamlessClone.

    picture, background: (h, w, 3) uint8 of one size, any channel order. alpha: (h, w) float32 in
    [0, 1]. tint: the share of the cloning's change, 0 to 1. Returns (h, w, 3) uint8, to be blended
    over the background with alpha, because the pixels around the person show the old background.
    """
    mask = person_mask(alpha)
    if tint == 0 or not mask.any() or mask.all():
        return picture
    pads = _pads(mask)
    padded = [
        cv2.copyMakeBorder(each, *pads, cv2.BORDER_REFLECT) for each in (picture, background, mask)
    ]
    left, top, width, height = cv2.boundingRect(padded[2])
    centre = (left + width // 2, top + height // 2)
    whole = cv2.seamlessClone(padded[0], padded[1], padded[2], centre, cv2.NORMAL_CLONE)
    area = np.s_[pads[0] : pads[0] + mask.shape[0], pads[2] : pads[2] + mask.shape[1]]
    return np.asarray(cv2.addWeighted(whole[area], tint, picture, 1 - tint, 0), np.uint8)


def _pads(mask: Bytes) -> tuple[int, int, int, int]:
    """How many pixels to add above, below, left and right before cloning.

    Where the picture's border cuts the person there is no outline. There the whole picture is
    mirrored, so that the border is an axis of symmetry, which no change of the membrane crosses.
    On the other sides a few pixels keep the mask away from the border, as seamlessClone demands.
    """
    height, width = mask.shape
    sides = ((mask[0], height), (mask[-1], height), (mask[:, 0], width), (mask[:, -1], width))
    above, below, left, right = (length if side.any() else 2 + NEAR for side, length in sides)
    return above, below, left, right


def person_mask(alpha: Float) -> Bytes:
    """(h, w) uint8 mask, 255 on the person and NEAR pixels beyond, on the old background."""
    person = (alpha >= EMPTY).astype(np.uint8) * np.uint8(255)
    return np.asarray(cv2.dilate(person, np.ones((2 * NEAR + 1,) * 2, np.uint8)), np.uint8)


class Membrane:
    """The membrane of each frame of a clip, which is added to the person.

    Call reset at cuts; a cut that changes the light is also detected. persistence: the share of the
    last membrane that stays.
    """

    def __init__(self, persistence: float = PERSISTENCE) -> None:
        self._persistence = persistence
        self._last: Float | None = None
        self._light: Float | None = None

    def reset(self) -> None:
        """Forget the frames so far."""
        self._last = self._light = None

    def step(self, picture: Float, background: Float, alpha: Float, peak: float = 255.0) -> Float:
        """The membrane of the next frame, (h, w, c) float32, in the codes of the pictures.

        picture, background: (h, w, c) float32 small pictures (see membrane_size) in any linear
        code, whose highest is `peak`. alpha: (h, w) float32 in [0, 1].
        """
        difference = background - picture
        rim = outline(alpha)
        light = difference[rim].mean(axis=0) if rim.any() else None
        if light is None:
            # The old background is not visible: the last membrane stays.
            return np.zeros_like(picture) if self._last is None else self._last
        if self._light is not None and np.abs(light - self._light).max() > CUT * peak:
            self._last = None
        self._light = light
        found = solve(difference, rim, self._last)
        if self._last is not None:
            found = found + np.float32(self._persistence) * (self._last - found)
        self._last = found
        return found


def outline(alpha: Float) -> NDArray[np.bool_]:
    """(h, w) bool: the pixels beside the person that show the old background."""
    return (person_mask(alpha) > 0) & (alpha < EMPTY)


def solve(values: Float, rim: NDArray[np.bool_], start: Float | None = None) -> Float:
    """The (h, w, c) float32 membrane m with m = values on the rim and nabla^2 m = 0 elsewhere.

    Across the picture's border its gradient is 0. The solver is successive over-relaxation from a
    coarse scale to the finest; with `start`, a guess such as the last frame's membrane, it works at
    the finest scale only.
    """
    weight = rim.astype(np.float32) * np.float32(FIXED_WEIGHT)
    levels = [(weight, values * weight[..., None])]
    while min(levels[-1][0].shape) > 4:
        levels.append(tuple(4 * _halved(each) for each in levels[-1]))  # type: ignore[arg-type]
    found: Float = np.zeros_like(levels[-1][1])
    if start is not None:
        levels, found = levels[:1], start
    for weight, pull in reversed(levels):
        size = (weight.shape[1], weight.shape[0])
        found = _channels(cv2.resize(found, size, interpolation=cv2.INTER_LINEAR), found)
        found = relax(found, weight, pull)
    return found


def relax(found: Float, weight: Float, pull: Float, sweeps: int = SWEEPS) -> Float:
    """Relax `found` (h, w, c) towards the solution m of weight m - nabla^2 m = pull.

    weight: (h, w) float32. pull: (h, w, c) float32. Returns (h, w, c) float32.
    """
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32)
    # The black and the white fields of a chessboard by turns: all neighbours of a field have the
    # other colour.
    black = np.indices(weight.shape).sum(axis=0) % 2 == 0
    turns = [
        np.where(field, np.float32(OVER_RELAXATION), 0).astype(np.float32)[..., None]
        for field in (black, ~black)
    ]
    own = (4 + weight)[..., None]
    turns = [field / own for field in turns]
    for step in range(2 * sweeps):
        around = cv2.filter2D(found, cv2.CV_32F, cross, borderType=cv2.BORDER_REPLICATE)
        residual = _channels(around, found) + pull - own * found
        found = found + turns[step % 2] * residual
    return found


def _halved(plane: Float) -> Float:
    size = (max(1, plane.shape[1] // 2), max(1, plane.shape[0] // 2))
    return _channels(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), plane)


def _channels(plane: NDArray[np.generic], like: Float) -> Float:
    """Restore the last axis, which OpenCV drops when there is a single channel."""
    shaped = plane.reshape(*plane.shape[:2], *like.shape[2:])
    return np.asarray(shaped, np.float32)


def apply_membrane(plane: Plane, membrane: Float, top: int, tint: float = 1.0) -> None:
    """Add one component of a membrane, (h, w) float32, to a plane of codes 0..top, in place.

    The membrane is enlarged to the plane's size. tint: the share of its change, 0 to 1. Sums are
    clipped to 0..top before the share is taken, so that dark places keep their structure.
    """
    size = (plane.shape[1], plane.shape[0])
    old = plane.astype(np.float32)
    new = np.clip(old + cv2.resize(membrane, size, interpolation=cv2.INTER_LINEAR), 0, top)
    plane[:] = np.round(old + np.float32(tint) * (new - old))


def reduce_plane(plane: Plane | int, size: tuple[int, int]) -> Float:
    """A plane, or a plane of one flat code, at a small (width, height), as float32."""
    if isinstance(plane, int):
        return np.full(size[::-1], plane, np.float32)
    kind: type[np.unsignedinteger[Any]] = np.uint16 if plane.itemsize == 2 else np.uint8
    native = np.asarray(plane, kind)  # PNG's 16 bits are big-endian
    return np.asarray(cv2.resize(native, size, interpolation=cv2.INTER_AREA), np.float32)


def reduce_alpha(alpha: Float, size: tuple[int, int]) -> Float:
    """(h, w) float32 alpha at a small (width, height)."""
    return np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.float32)


def membrane_size(width: int, height: int) -> tuple[int, int]:
    """The small (width, height) at which membranes for a picture of this size are computed."""
    scale = min(1.0, SIDE / max(width, height))
    return max(1, math.ceil(width * scale)), max(1, math.ceil(height * scale))
