"""What OBS shows of the clip of keyed.py: the bar, the patches, and the ground under them."""

from __future__ import annotations

import time

import keyed
import numpy as np
from obs_host import Host

from mattecast.live.obs.client import ObsError

GROUND = (40, 120, 200)
# The first start builds the network; machines that run tests are busy ones (seconds).
PATIENCE = 60


def columns(shot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(person, torn): which columns of the bar's rows are its white, and which are neither that
    nor the ground: black there is another picture's background under this picture's alpha."""
    rows = shot[keyed.ROWS.start + 20 : keyed.ROWS.stop - 20, :, :3].astype(int)
    white = (rows >= 250).all(axis=(0, 2))
    ground = (np.abs(rows - GROUND) <= 2).all(axis=(0, 2))
    return white, ~white & ~ground


def there(host: Host, scene: str = "Main") -> bool:
    """Whether the whole bar is seen, over the whole ground."""
    shot = host.shot(scene)
    white, torn = columns(shot)
    corner = np.abs(shot[2:12, 2:12, :3].astype(int) - GROUND).max()
    return bool(white.sum() >= keyed.BAR - 2 and not torn.any() and corner <= 2)


def gone(host: Host) -> bool:
    """Whether nothing but the ground is seen."""
    return bool(np.abs(host.shot()[..., :3].astype(int) - GROUND).max() <= 2)


def places(host: Host, count: int = 8) -> set[int]:
    """Where the bar stands in some shots, each of which must be whole."""
    found = set()
    for _ in range(count):
        white, torn = columns(host.shot())
        assert not torn.any(), np.flatnonzero(torn)
        found.add(int(np.argmax(white)))
        time.sleep(0.05)
    return found


def linear(codes: np.ndarray | list[int]) -> np.ndarray:
    """sRGB codes as linear light."""
    code = np.asarray(codes, float) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def blended(red: int, *, light: bool) -> np.ndarray:
    """What a patch of keyed.py over GROUND is, in sRGB codes."""
    alpha = np.clip((red / 255 - 0.02) / 0.96, 0, 1)
    front = [red, 0, 200]
    if not light:
        return alpha * np.array(front) + (1 - alpha) * np.array(GROUND)
    mixed = alpha * linear(front) + (1 - alpha) * linear(GROUND)
    return 255 * np.where(mixed <= 0.0031308, mixed * 12.92, 1.055 * mixed ** (1 / 2.4) - 0.055)


def patches(host: Host) -> list[np.ndarray]:
    """The colours of the three patches as OBS shows them."""
    shot = host.shot()[..., :3].astype(float)
    inside = slice(keyed.PATCH_ROWS.start + 20, keyed.PATCH_ROWS.stop - 20)
    return [
        shot[inside, keyed.patch(index).start + 20 : keyed.patch(index).stop - 20].mean(axis=(0, 1))
        for index in range(len(keyed.REDS))
    ]


def bar_seen(host: Host) -> bool:
    """Whether the source shows the bar, whatever is under or over it."""
    try:
        shot = host.shot("mattecast")
    except ObsError:  # a source without a picture has no size
        return False
    return bool(columns(shot)[0].sum() >= keyed.BAR - 2)
