"""Composites made on the device where the picture lies, as torch operations.

The network's small pictures go through the same stages as elsewhere. At full size this module does
what filters.pictures.upsampling, foreground and composite do, to within one code, on NV12 and P010
frames. It runs on every device that torch knows, so the tests need no GPU.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mattecast.compositing.backgrounds import Blur, background
from mattecast.filters.pictures.foreground import SHRINK, local_colours
from mattecast.filters.pictures.light import background_weight
from mattecast.filters.pictures.upsampling import (
    FLOOR,
    FULL,
    enlargement,
    linear_model,
    plain_resize,
)
from mattecast.matting.finish import small_guide
from mattecast.media.frame import Estimated, Frame
from mattecast.media.gpu import BITS, on_gpu, pixel_format_name, tensors
from mattecast.plan import Plan
from mattecast.settings import Settings


class GpuComposer:
    """Makes the composites of one run on the plan's device. Close it when done."""

    def __init__(self, plan: Plan, settings: Settings) -> None:
        assert plan.device is not None and plan.background is not None
        self._plan, self._device = plan, plan.device
        self._true_colours = settings.foreground == "estimate"
        self._background = background(plan.background, plan)
        # Planes of a picture or video behind, and what they were uploaded from.
        self._source: object = None
        self._uploaded: list[Tensor] = []

    def close(self) -> None:
        """Release the background's files."""
        self._background.close()

    @on_gpu()
    def __call__(self, estimated: Estimated) -> av.VideoFrame:
        """The picture to encode, tagged with its colours: the frame's own, written into."""
        picture = estimated.frame.picture
        bits = BITS[pixel_format_name(picture)]
        unit = 64 if bits == 10 else 1  # P010 has its ten bits uppermost
        with torch.inference_mode():
            luma, chroma = tensors(picture)
            planes = [each.float() / unit for each in (luma, chroma[..., 0], chroma[..., 1])]
            alpha = self._alpha(estimated, planes[0], bits)
            # Halves go up, as OpenCV has it: alpha 1 of 65535 already counts as soft.
            fewer = (functional.avg_pool2d(alpha[None], 2)[0] + 0.5).floor()
            shares = [alpha, fewer, fewer]
            if self._true_colours:
                planes = self._recovered(estimated, planes, shares, bits)
            behind = self._behind(estimated.frame, planes, shares)
            first, *others = (
                (base + (plane - base) * (share / FULL)).round() * unit
                for plane, base, share in zip(planes, behind, shares, strict=True)
            )
            luma.copy_(first)
            chroma.copy_(torch.stack(others, -1))
        if luma.is_cuda:
            # The encoder reads on a stream of its own.
            torch.cuda.current_stream(luma.device).synchronize()
        self._plan.colour.tag(picture)
        return picture

    def _alpha(self, estimated: Estimated, luma: Tensor, bits: int) -> Tensor:
        """(H, W) alpha along the picture's edges, whole numbers 0..65535: see filters.refine."""
        small, (height, width) = estimated.alpha, luma.shape
        if small.shape[0] >= height and small.shape[1] >= width:
            return self._up(plain_resize(small, (width, height)))
        guide = small_guide(estimated.frame, self._plan, bits)
        larger = enlargement(small.shape, (height, width))
        model = self._up(np.stack(linear_model(small, guide, float((1 << bits) - 1), larger)))
        slope, offset = _enlarged(model, (height, width))
        alpha: Tensor = (slope * luma + offset).round().clamp(0, FULL)
        return alpha

    def _recovered(
        self, estimated: Estimated, planes: list[Tensor], shares: list[Tensor], bits: int
    ) -> list[Tensor]:
        """The planes with the person's own colours under soft alpha: see filters.foreground."""
        alpha = np.clip((estimated.alpha - FLOOR) / np.float32(1 - 2 * FLOOR), 0, 1)
        colours = local_colours(estimated.frame.small, alpha)
        colours = colours.converted(self._plan.colour.from_rgb(bits))
        parts = np.dstack([colours.foreground, colours.foreground - colours.background])
        height, width = (side * SHRINK for side in parts.shape[:2])
        table = _enlarged(self._up(parts).permute(2, 0, 1), (height, width))
        recovered = []
        for index, (seen, share) in enumerate(zip(planes, shares, strict=True)):
            rows = torch.arange(seen.shape[0], device=seen.device) * height // seen.shape[0]
            columns = torch.arange(seen.shape[1], device=seen.device) * width // seen.shape[1]
            front, difference = table[index::3, rows[:, None], columns]
            soft = share / FULL
            code = (difference * soft + front - seen) * (1 - soft) + seen
            code = (code + 0.5).floor().clamp(0, (1 << bits) - 1)
            recovered.append(torch.where((share > 0) & (share < FULL), code, seen))
        return recovered

    def _behind(self, frame: Frame, planes: list[Tensor], shares: list[Tensor]) -> list[Tensor]:
        """The planes, or the single codes, of the background."""
        if isinstance(self._background, Blur):
            sigma = self._background.strength / 100
            return [
                _blurred(plane, share, sigma * plane.shape[0])
                for plane, share in zip(planes, shares, strict=True)
            ]
        time = max(Fraction(0), frame.pts * self._plan.time_base)
        source = self._background.planes(frame.picture, time)
        if source is not self._source:
            self._source = source
            self._uploaded = [self._up(np.asarray(each)) for each in source]
        return self._uploaded

    def _up(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device).float()


def _enlarged(planes: Tensor, shape: tuple[int, int]) -> Tensor:
    """(n, h, w) planes at (height, width), interpolated between the middles of pixels."""
    return functional.interpolate(planes[None], shape, mode="bilinear")[0]


def _blurred(plane: Tensor, share: Tensor, sigma: float) -> Tensor:
    """A plane blurred behind alpha of 0..65535: see filters.ambience."""
    height, width = plane.shape
    down, across = (_softening(side, sigma, plane.device) for side in (height, width))
    small, alpha = ((down[0] @ each @ across[0].T).round() for each in (plane, share))
    weight = background_weight(alpha / FULL)
    total, seen = (down[1] @ each @ across[1].T for each in (small * weight, weight))
    return _enlarged((total / seen).round()[None], (height, width))[0].round()


@lru_cache(maxsize=8)
def _softening(length: int, sigma: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """What OpenCV does to a line of pixels, as matrices: (few, length) to shrink it until sigma is
    about 4 pixels, (few, few) to blur it."""
    scale = max(1.0, sigma / 4)
    few = max(2, round(length / scale))
    shrink = cv2.resize(np.eye(length), (length, few), interpolation=cv2.INTER_AREA)
    bell = (1, round(sigma / scale * 8 + 1) | 1)  # as long as OpenCV makes it for floats
    blur = np.asarray(cv2.GaussianBlur(np.eye(few), bell, sigma / scale))
    first, second = (torch.from_numpy(each).float().to(device) for each in (shrink, blur))
    return first, second
