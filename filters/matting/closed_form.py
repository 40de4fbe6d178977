"""Closed-form matting of a trimap's unknown band, without building the matrix.

Method: Levin et al., "A Closed-Form Solution to Natural Image Matting" (IEEE TPAMI 2008), solved by
conjugate gradients. The matting Laplacian is applied only in windows that touch the band, as the
residual of each window's linear model of colours (He et al., "Fast Matting Using Large Kernel
Matting Laplacian Matrices", CVPR 2010), so time and memory grow with the band's length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.filters.matting.tiles import Area, solve_in_tiles
from mattecast.filters.matting.trimap import PERSON, UNKNOWN

Float = NDArray[np.float32]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Windows:
    """The windows that the Laplacian is summed over.

    reach: half of a window's side, in pixels. spacing: from the middle of a window to the middle of
    the next one. epsilon: the colour variance, in squares of 0..1, that counts as noise.
    """

    reach: int
    spacing: int
    epsilon: float

    @property
    def pixels(self) -> int:
        """The number of pixels of one window."""
        return (2 * self.reach + 1) ** 2

    def middles(self, length: int) -> NDArray[np.intp]:
        """The middles along a side of `length` pixels; the last window ends with the side."""
        last = length - 1 - self.reach
        return np.append(np.arange(self.reach, last, self.spacing), last)


# LEVIN: the paper's windows. EVERY_OTHER: a quarter of them, which loses nothing where a matte is
# nearly right. SPARSE: a ninth of them, but larger, as in the second paper above; they carry alpha
# further in one step.
LEVIN, EVERY_OTHER, SPARSE = Windows(1, 1, 1e-4), Windows(1, 2, 3e-4), Windows(2, 3, 3e-4)
# Weight of the first matte in the band: the Laplacian alone loses areas that no edge bounds.
PRIOR = 0.01
STEPS = 40
# Side of a tile and overlap of neighbouring tiles, in pixels.
TILE, OVERLAP = 512, 24


def closed_form(
    picture: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    alpha: Float,
    *,
    prior: float = PRIOR,
    steps: int = STEPS,
    windows: Windows = LEVIN,
) -> Float:
    """Solve alpha in the unknown band; elsewhere it is exactly 0 or 1.

    picture: (h, w, 3) uint8 RGB. trimap: (h, w) uint8. alpha: (h, w) float32, the first matte.
    prior: its weight. steps: of the conjugate gradients. Large pictures are solved tile by tile.
    Returns (h, w) float32 in [0, 1].
    """
    solid = (trimap == PERSON).astype(np.float32)
    start = np.where(trimap == UNKNOWN, alpha, solid).astype(np.float32)
    if max(trimap.shape) <= TILE:
        return np.clip(_solve(picture, trimap, start, prior, steps, windows), 0, 1)

    def solve(area: Area) -> Float:
        return _solve(picture[area], trimap[area], start[area], prior, steps, windows)

    return solve_in_tiles(trimap, alpha, solve, TILE, OVERLAP)


def _solve(
    picture: NDArray[np.uint8],
    trimap: NDArray[np.uint8],
    start: Float,
    prior: float,
    steps: int,
    windows: Windows,
) -> Float:
    """Solve (L + prior) x = prior start in the band; x = start elsewhere."""
    unknown = trimap == UNKNOWN
    # Arrays hold only the pixels of windows that touch the band, one behind the other.
    pixels, places = _touching(unknown, windows)
    index = np.empty(trimap.size, np.intp)
    index[pixels] = np.arange(pixels.size)
    colours = picture.reshape(-1, 3).take(pixels, axis=0).T.astype(np.float32, order="C")
    colours *= np.float32(1 / 255)
    laplacian = _laplacian(colours, index.take(places), windows)
    free, first = (each.ravel().take(pixels).astype(np.float32) for each in (unknown, start))

    def product(x: Float) -> Float:
        return free * laplacian(x) + np.float32(prior) * x

    guess = first * free
    fixed = first - guess
    right = np.float32(prior) * guess - free * laplacian(fixed)
    found = start.copy()
    found.ravel()[pixels] = fixed + _conjugate_gradients(product, right, guess, steps)
    return found


def _touching(band: NDArray[np.bool_], windows: Windows) -> tuple[Places, Places]:
    """Flat indices of the pixels of the band and of all windows that touch it.

    Returns those of all together, (p,), and those of each of the n windows, (pixels, n).
    """
    height, width = band.shape
    used = band.copy()
    if min(height, width) <= 2 * windows.reach:
        return np.flatnonzero(used), np.empty((windows.pixels, 0), np.intp)
    near = cv2.dilate(band.astype(np.uint8), np.ones((2 * windows.reach + 1,) * 2, np.uint8))
    rows, columns = (windows.middles(length) for length in band.shape)
    row, column = np.nonzero(near[np.ix_(rows, columns)])
    reach = np.arange(-windows.reach, windows.reach + 1)
    around = (reach[:, None] * width + reach).reshape(-1, 1)
    places = around + (rows.take(row) * width + columns.take(column))
    used.ravel()[places] = True
    return np.flatnonzero(used), places


def _conjugate_gradients(
    product: Callable[[Float], Float], right: Float, start: Float, steps: int
) -> Float:
    """Solve product(x) = right by at most `steps` steps from a first guess."""
    x = start.copy()
    residual = right - product(x)
    direction, size = residual.copy(), _dot(residual, residual)
    enough = 1e-6 * max(_dot(right, right), 1e-12)
    for _ in range(steps):
        if size <= enough:
            break
        step = product(direction)
        length = size / max(_dot(direction, step), 1e-20)
        x += np.float32(length) * direction
        residual -= np.float32(length) * step
        size, before = _dot(residual, residual), size
        direction = residual + np.float32(size / before) * direction
    return x


def _dot(one: Float, other: Float) -> float:
    return float(np.vdot(one, other))


def _laplacian(colours: Float, places: Places, windows: Windows) -> Callable[[Float], Float]:
    """The function that multiplies the matting Laplacian by a (p,) float32 vector.

    colours: (3, p) float32 in [0, 1]. places: (pixels, n), the indices of each window's pixels
    among them. The Laplacian is a mean over a window's pixels and over a pixel's windows.
    """
    pixels = np.float32(windows.pixels)
    centred = colours.take(places, axis=1)
    centred -= centred.mean(1, keepdims=True)
    covariance = np.einsum("ikn,jkn->ijn", centred, centred) / pixels
    inverse = _inverses(covariance, windows.epsilon / windows.pixels)
    # A window's values times these are the slopes of its linear model.
    slopes = np.einsum("ijn,jkn->ikn", inverse, centred) / pixels
    flat, share = places.ravel(), windows.spacing**2 / windows.pixels

    def product(x: Float) -> Float:
        values = x.take(places)
        values -= values.mean(0)
        values -= np.einsum("in,ikn->kn", np.einsum("ikn,kn->in", slopes, values), centred)
        return np.asarray(np.bincount(flat, values.ravel(), x.size) * share, np.float32)

    return product


def _inverses(covariance: Float, epsilon: float) -> Float:
    """The inverse of each window's colour covariance plus epsilon; both are (3, 3, n) float32.

    Cofactors in double precision: colours on a line have a determinant close to zero.
    """
    eye = np.eye(3)[..., None]
    a, b, c, d, e, f = (covariance.astype(np.float64) + epsilon * eye)[
        [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]
    ]
    aa, ab, ac = d * f - e * e, c * e - b * f, b * e - c * d
    bb, bc, cc = a * f - c * c, b * c - a * e, a * d - b * b
    scale = 1 / (a * aa + b * ab + c * ac)
    inverse = np.array([[aa, ab, ac], [ab, bb, bc], [ac, bc, cc]]) * scale
    return np.asarray(inverse, np.float32)
