"""HDR pictures as a standard display shows them: tone mapping from PQ and HLG to BT.709.

The light of the display is found first (BT.2100, tables 4 and 5; HLG for a display of 1000 cd/m2).
Its luminance goes through the EETF of Report BT.2390 (section 5.4.1), which leaves all but the
highlights alone and brings the source's peak to diffuse white, 203 cd/m2 (Report BT.2408). All
three colours are scaled alike, so hue and saturation stay. Colours outside BT.709 are brought
towards gray of the same luminance until they fit. The result is coded for a display of BT.1886.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Light = NDArray[np.float64]

WHITE = 203.0  # diffuse white in cd/m2
HLG_PEAK = 1000.0  # cd/m2, of the nominal display of HLG
_GAMMA = 2.4  # BT.1886
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
_LUMINANCE_2020 = np.array([0.2627, 0.6780, 0.0593])
_LUMINANCE_709 = np.array([0.2126, 0.7152, 0.0722])
# Linear BT.2020 to linear BT.709 (Report BT.2407, section 2).
_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]]
)


def pq_light(codes: Light) -> Light:
    """Display light in cd/m2 of PQ codes in [0, 1] (SMPTE ST 2084)."""
    root = np.clip(codes, 0, 1) ** (1 / _M2)
    return np.asarray((np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1) * 10000)


def pq_codes(light: Light) -> Light:
    """PQ codes in [0, 1] of light in cd/m2."""
    power = (np.clip(light, 0, 10000) / 10000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)


def hlg_light(codes: Light) -> Light:
    """Display light in cd/m2 of (..., 3) HLG codes in [0, 1], on a display of 1000 cd/m2."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    codes = np.clip(codes, 0, 1)
    scene = np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12)
    luminance = scene @ _LUMINANCE_2020
    return np.asarray(HLG_PEAK * scene * luminance[..., None] ** 0.2)


def compressed(luminance: Light, peak: float) -> Light:
    """Luminance in cd/m2 up to `peak`, with its highlights brought below diffuse white: the EETF of
    BT.2390 for a display that goes from 0 to WHITE."""
    top = float(pq_codes(np.array(peak)))
    source = np.clip(pq_codes(luminance) / top, 0, 1)
    most = float(pq_codes(np.array(WHITE))) / top
    knee = max(0.0, 1.5 * most - 0.5)
    t = np.clip((source - knee) / max(1 - knee, 1e-9), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * most
    )
    return pq_light(np.where(source < knee, source, spline) * top)


def standard_codes(light: Light, peak: float) -> Light:
    """(..., 3) codes in [0, 1] of BT.709, from (..., 3) linear light of BT.2020 in cd/m2.

    peak: the brightest light of the source in cd/m2; light above it is cut. Where it is no brighter
    than diffuse white, nothing is compressed.
    """
    luminance = light @ _LUMINANCE_2020
    scale = compressed(luminance, max(peak, WHITE)) / np.maximum(luminance, 1e-6) / WHITE
    return np.asarray(_inside(light * scale[..., None] @ _TO_709.T) ** (1 / _GAMMA))


def _inside(colours: Light) -> Light:
    """Linear (..., 3) BT.709 colours moved towards gray of their own luminance, into [0, 1]."""
    gray = np.clip(colours @ _LUMINANCE_709, 0, 1)[..., None]
    away = colours - gray
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(away > 0, (1 - gray) / away, np.where(away < 0, -gray / away, np.inf))
    share = np.clip(room.min(-1, keepdims=True), 0, 1)
    return np.asarray(np.clip(gray + share * away, 0, 1))


def table(transfer: str, peak: float, size: int) -> Light:
    """(size, size, size, 3) codes of BT.709 for R', G', B' of BT.2020 on a grid over [0, 1].

    transfer: 'pq' or 'hlg'. The first axis is red.
    """
    line = np.linspace(0, 1, size)
    grid = np.stack(np.meshgrid(line, line, line, indexing="ij"), -1)
    light = pq_light(grid) if transfer == "pq" else hlg_light(grid)
    return standard_codes(light, peak if transfer == "pq" else HLG_PEAK)
