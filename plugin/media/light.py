"""Linear light of float pictures (EXR, Radiance HDR), and the codes that screens show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.errors import MediaError
from mattecast.media.colour import linear_light
from mattecast.media.facts import Facts
from mattecast.media.fit import Inside, place
from mattecast.media.frame import ALPHA_MAX, components, take_times
from mattecast.media.turn import Turn

if TYPE_CHECKING:
    from mattecast.plan import Plan

Floats = NDArray[np.float32]


class Light:
    """Turns float pictures into upright pictures of codes at the size of a plan's output.

    Light from 0 to 1 becomes the plan's transfer. What is brighter becomes white and what is
    negative black: nothing in between is changed, as in the plain view of compositors.
    """

    def __init__(self, facts: Facts, plan: Plan) -> None:
        self._path = facts.path
        self._room, self._size = (facts.width, facts.height), plan.size
        self._codes = Codes(plan.colour.transfer)

    def __call__(self, decoded: av.VideoFrame) -> tuple[Floats, av.VideoFrame, Inside]:
        """Light (3, H, W) R, G, B at the output's size, its codes, and where the picture lies."""
        if any(plane.line_size < 0 for plane in decoded.planes):
            raise MediaError(f"{self._path}: is stored bottom up; make an EXR picture of it first")
        turn = Turn.of(decoded, still=True)
        planes = [np.ascontiguousarray(turn.upright(plane)) for plane in _planes(decoded)]
        light, inside = self._fitted(planes)
        coded = av.VideoFrame(*self._size, "gbrp16le")
        for plane, codes in zip(components(coded), self._codes(light), strict=True):
            plane[:] = codes
        take_times(coded, decoded)
        return light, coded, inside

    def _fitted(self, planes: list[Floats]) -> tuple[Floats, Inside]:
        """Planes whole and centred in black ones of the output's size."""
        height, width = planes[0].shape
        left, top, wide, high = place(self._room, (width, height))
        inside = (
            top / self._room[1],
            (top + high) / self._room[1],
            left / self._room[0],
            (left + wide) / self._room[0],
        )
        first, last = (round(share * self._size[1]) for share in inside[:2])
        begin, end = (round(share * self._size[0]) for share in inside[2:])
        light = np.zeros((3, *self._size[::-1]), np.float32)
        method = cv2.INTER_AREA if end - begin < width else cv2.INTER_LINEAR
        for plane, target in zip(planes, light, strict=True):
            scaled = cv2.resize(plane, (end - begin, last - first), interpolation=method)
            target[first:last, begin:end] = scaled
        return light, inside


class Codes:
    """Codes of 16 bits of linear light, by a transfer function.

    A table over half floats gives them, which are exact to 3/10000 of white.
    """

    def __init__(self, transfer: int) -> None:
        halves = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
        light = np.nan_to_num(np.clip(halves, 0, 1))
        codes = np.interp(light, linear_light(transfer), np.linspace(0, ALPHA_MAX, 65536))
        self._table = np.round(codes).astype(np.uint16)

    def __call__(self, light: Floats) -> NDArray[np.uint16]:
        """Codes of light of any shape."""
        with np.errstate(over="ignore"):  # beyond half floats lies infinity, which is white
            return self._table[light.astype(np.float16).view(np.uint16)]


def _planes(decoded: av.VideoFrame) -> list[NDArray[np.float32]]:
    """R, G and B of a float picture, (h, w) each; three times the same of gray."""
    name = decoded.format.name
    kind = np.dtype(np.float16 if "f16" in name else np.float32)
    kind = kind.newbyteorder(">") if name.endswith("be") else kind
    colours = [part for part in decoded.format.components if not part.is_alpha]
    planes = []
    for number, part in enumerate(colours):
        rows = np.frombuffer(memoryview(decoded.planes[part.plane]), kind)
        rows = rows.reshape(decoded.planes[part.plane].height, -1)
        if len(decoded.planes) < len(colours):  # packed
            step = len(decoded.format.components)
            rows = rows[:, number : decoded.width * step : step]
        planes.append(rows[:, : decoded.width].astype(np.float32))
    return planes if len(planes) == 3 else planes[:1] * 3
