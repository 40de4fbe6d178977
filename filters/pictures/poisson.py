"""Gradient-domain blending, for stills as published and for video steadily, with its tint held.

Perez et al., "Poisson Image Editing" (ACM SIGGRAPH 2003): a person's gradients are kept and the
new background's values are met along the outline of a mask. What is added to the person is then a
membrane: harmonic inside, and new less old background along the outline (their equation 5). So
light that changes behind a person changes on the person, and a background that differs much tints
the whole of him, which is what users of the method complain of: whoever stood before a white wall
and comes before a night loses that whole difference, and is black. As the person's outline is
alpha's to draw here, no seam needs the whole of it: the person is mixed with what Perez makes of
him, by a share called tint. 1 is Perez's own solution, 0 changes nothing.
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

# Alpha below which a place shows the background alone, and how far from the person it counts as
# the outline, in pixels of the small pictures the membrane is found on.
EMPTY, NEAR = 0.01, 2
# Long side of those pictures: a membrane is smooth, and is enlarged without a loss.
SIDE = 96
# Relaxations at each scale of the pyramid, and by how much each goes beyond; together they leave
# less than a level of error (see the tests).
SWEEPS, BEYOND = 25, 1.7
FIRM = 1e3  # weight of the outline's values against smoothness
# Share of the last frame's membrane that stays: noise of the outline is averaged over about seven
# frames, while light that changes is followed within half a second.
STEADY = 0.85
# Mean change of the outline's values, in parts of the range, that is a cut and not a change.
CUT = 0.15


def clone(picture: Bytes, background: Bytes, alpha: Float, tint: float = 1.0) -> Bytes:
    """A still's person as OpenCV's seamlessClone puts it on another background, with a rim.

    picture, background: (h, w, 3) uint8 of one size, any channel order. alpha: (h, w) float32 in
    [0, 1]. tint: share of what the cloning changes. Returns (h, w, 3) uint8, to be laid over the
    background by its alpha: the rim shows what was behind the person before.
    """
    mask = outline(alpha)
    if tint == 0 or not mask.any() or mask.all():
        return picture
    pads = _pads(mask)
    wide = [
        cv2.copyMakeBorder(each, *pads, cv2.BORDER_REFLECT) for each in (picture, background, mask)
    ]
    left, top, width, height = cv2.boundingRect(wide[2])
    centre = (left + width // 2, top + height // 2)
    whole = cv2.seamlessClone(wide[0], wide[1], wide[2], centre, cv2.NORMAL_CLONE)
    area = np.s_[pads[0] : pads[0] + mask.shape[0], pads[2] : pads[2] + mask.shape[1]]
    return np.asarray(cv2.addWeighted(whole[area], tint, picture, 1 - tint, 0), np.uint8)


def _pads(mask: Bytes) -> tuple[int, int, int, int]:
    """What to add above, below, left and right before cloning.

    Where the picture's border cuts the person there is no outline to meet: mirrored, the person
    goes on there, and the border becomes an axis of symmetry, which nothing passes. Elsewhere a
    few pixels keep the mask off the border, as seamlessClone wants.
    """
    height, width = mask.shape
    sides = ((mask[0], height), (mask[-1], height), (mask[:, 0], width), (mask[:, -1], width))
    above, below, left, right = (length if side.any() else 2 + NEAR for side, length in sides)
    return above, below, left, right


def outline(alpha: Float) -> Bytes:
    """(h, w) uint8 mask, 255 on the person and a little beyond, where the old background begins."""
    person = (alpha >= EMPTY).astype(np.uint8) * np.uint8(255)
    return np.asarray(cv2.dilate(person, np.ones((2 * NEAR + 1,) * 2, np.uint8)), np.uint8)


class Membrane:
    """What to add to a person, frame by frame, so that he stands in the new background's light.

    Call reset at cuts that are known; others are noticed.
    """

    def __init__(self, steady: float = STEADY) -> None:
        self._steady = steady
        self._last: Float | None = None
        self._light: Float | None = None

    def reset(self) -> None:
        """Forget the frames before."""
        self._last = self._light = None

    def step(self, picture: Float, background: Float, alpha: Float, peak: float = 255.0) -> Float:
        """The membrane of the next frame, (h, w, c) float32, in the codes of the pictures.

        picture, background: (h, w, c) float32 small pictures (see small_size), any linear code
        with its highest at `peak`. alpha: (h, w) float32 in [0, 1].
        """
        difference = background - picture
        rim = ring(alpha)
        light = difference[rim].mean(axis=0) if rim.any() else None
        if light is None:
            # Nothing of the old background is to be seen: what was, stays.
            return np.zeros_like(picture) if self._last is None else self._last
        if self._light is not None and np.abs(light - self._light).max() > CUT * peak:
            self._last = None
        self._light = light
        found = solve(difference, rim, self._last)
        if self._last is not None:
            found = found + np.float32(self._steady) * (self._last - found)
        self._last = found
        return found


def ring(alpha: Float) -> NDArray[np.bool_]:
    """(h, w) bool: where the old background is seen beside the person."""
    return (outline(alpha) > 0) & (alpha < EMPTY)


def solve(values: Float, rim: NDArray[np.bool_], start: Float | None = None) -> Float:
    """The (h, w, c) membrane m with m = values on the rim and, elsewhere, nabla^2 m = 0.

    Nothing passes the picture's border. Relaxed (successive over-relaxation) from coarse to fine;
    start: a guess, such as the last frame's.
    """
    weight = rim.astype(np.float32) * np.float32(FIRM)
    levels = [(weight, values * weight[..., None])]
    while min(levels[-1][0].shape) > 4:
        levels.append(tuple(4 * _halved(each) for each in levels[-1]))  # type: ignore[arg-type]
    found: Float = np.zeros_like(levels[-1][1])
    if start is not None:
        levels, found = levels[:1], start
    for weight, pull in reversed(levels):
        size = (weight.shape[1], weight.shape[0])
        found = _channels(cv2.resize(found, size, interpolation=cv2.INTER_LINEAR), found)
        found = relaxed(found, weight, pull)
    return found


def relaxed(found: Float, weight: Float, pull: Float, sweeps: int = SWEEPS) -> Float:
    """`found` (h, w, c) nearer to weight m - nabla^2 m = pull, the same shape."""
    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32)
    # By turns the black and the white fields of a chessboard, whose neighbours are all the other's.
    black = np.indices(weight.shape).sum(axis=0) % 2 == 0
    turns = [
        np.where(field, np.float32(BEYOND), 0).astype(np.float32)[..., None]
        for field in (black, ~black)
    ]
    own = (4 + weight)[..., None]
    turns = [field / own for field in turns]
    for step in range(2 * sweeps):
        around = cv2.filter2D(found, cv2.CV_32F, cross, borderType=cv2.BORDER_REPLICATE)
        rest = _channels(around, found) + pull - own * found
        found = found + turns[step % 2] * rest
    return found


def _halved(plane: Float) -> Float:
    size = (max(1, plane.shape[1] // 2), max(1, plane.shape[0] // 2))
    return _channels(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), plane)


def _channels(plane: NDArray[np.generic], like: Float) -> Float:
    """OpenCV drops a single channel; this puts it back."""
    shaped = plane.reshape(*plane.shape[:2], *like.shape[2:])
    return np.asarray(shaped, np.float32)


def apply(plane: Plane, membrane: Float, top: int, tint: float = 1.0) -> None:
    """Add one component of a membrane (h, w), enlarged, to a plane of codes 0 .. top, in place.

    tint: share of what that changes. What falls below black counts as black before it is shared,
    so that dark places stay darker copies of themselves.
    """
    size = (plane.shape[1], plane.shape[0])
    old = plane.astype(np.float32)
    new = np.clip(old + cv2.resize(membrane, size, interpolation=cv2.INTER_LINEAR), 0, top)
    plane[:] = np.round(old + np.float32(tint) * (new - old))


def reduced(plane: Plane | int, size: tuple[int, int]) -> Float:
    """A plane, or one flat code, at a small (width, height), float32."""
    if isinstance(plane, int):
        return np.full(size[::-1], plane, np.float32)
    kind: type[np.unsignedinteger[Any]] = np.uint16 if plane.itemsize == 2 else np.uint8
    native = np.asarray(plane, kind)  # PNG's 16 bits are big-endian
    return np.asarray(cv2.resize(native, size, interpolation=cv2.INTER_AREA), np.float32)


def reduced_alpha(alpha: Float, size: tuple[int, int]) -> Float:
    """(h, w) float32 alpha at a small (width, height)."""
    return np.asarray(cv2.resize(alpha, size, interpolation=cv2.INTER_AREA), np.float32)


def small_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) that membranes of a picture of that size are found at."""
    scale = min(1.0, SIDE / max(width, height))
    return max(1, math.ceil(width * scale)), max(1, math.ceil(height * scale))
