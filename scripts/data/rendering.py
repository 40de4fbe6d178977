"""What the scripts that draw cut-outs with VTK share: light, and what is seen."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import vtk
from numpy.random import Generator
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

Bytes = NDArray[np.uint8]
Float = NDArray[np.float64]
SAMPLES = 1.5  # times: drawn so much larger, then reduced
MARGIN = 4  # px of nothing around what the window's edge does not cut, which so can be told
SEEN = 0.08  # alpha from which on something is taken to be there


def offscreen() -> Any:
    """A window that needs no screen but an X server, as xvfb-run gives."""
    vtk.vtkObject.GlobalWarningDisplayOff()
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(True)
    return window


def cleared(window: Any) -> None:
    """Take all that was drawn before out of a window."""
    for old in list(window.GetRenderers()):
        window.RemoveRenderer(old)


def direction(around: float, up: float) -> Float:
    """A unit vector from degrees around the vertical, 0 before the thing, and above its foot."""
    a, b = np.radians([around, up])
    return np.array([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)])


def lit(rng: Generator, scene: Any, middle: Float, away: float, around: float) -> None:
    """A weak light from the camera, and one to three others, warm or cold, on its side.

    away: how far from the middle those are. around: where the camera is, in degrees.
    """
    scene.AutomaticLightCreationOff()
    scene.SetTwoSidedLighting(True)
    scene.RemoveAllLights()
    head = vtk.vtkLight()
    head.SetLightTypeToHeadlight()
    head.SetIntensity(rng.uniform(0.15, 0.45))
    scene.AddLight(head)
    for number in range(int(rng.integers(1, 4))):
        light = vtk.vtkLight()
        place = middle + away * direction(around + rng.uniform(-90, 90), rng.uniform(10, 80))
        light.SetPosition(*place)
        light.SetFocalPoint(*middle)
        light.SetIntensity(rng.uniform(0.4, 1.0) / (1 + 0.5 * number))
        warmth = rng.uniform(-0.12, 0.12)
        light.SetColor(1 + min(0, warmth), 1 - 0.4 * abs(warmth), 1 - max(0, warmth))
        scene.AddLight(light)


def shot(window: Any, scene: Any, size: tuple[int, int]) -> NDArray[np.float32]:
    """What the window shows at (width, height): (h, w, 4) float32 RGBA, premultiplied, 0 to 255."""
    window.SetSize(*(round(side * SAMPLES) for side in size))
    if scene.GetUseDepthPeeling():  # which adds up alpha as it should be
        drawn = _drawn(window, scene, 0.0)
    else:  # over black and over white: their difference is what the background shows through
        drawn, white = (_drawn(window, scene, shade) for shade in (0.0, 1.0))
        drawn[..., 3] = np.clip(255 - (white - drawn)[..., :3].mean(2), 0, 255)
    drawn[..., 3] *= drawn[..., 3] >= 0.015 * 255
    return np.asarray(cv2.resize(drawn, size, interpolation=cv2.INTER_AREA), np.float32)


def cutouts(rng: Generator, shots: list[NDArray[np.float32]], least: float) -> list[Bytes]:
    """Shots of one moving thing as (h, w, 4) uint8 BGRA, straight, without what is empty around all
    of them; nothing where the first covers less than `least` of the picture."""
    alpha = np.stack([each[..., 3] for each in shots]) / 255
    there = alpha > SEEN
    if there[0].mean() < least:
        return []
    colours = np.stack([each[..., 2::-1] for each in shots]) / np.maximum(alpha[..., None], 1 / 255)
    bright = np.percentile(colours[0][there[0]].max(1), 95)  # as a camera would expose it
    colours *= np.clip(rng.uniform(120, 250) / max(bright, 1), 0.7, 2.5)
    whole = np.concatenate([colours, alpha[..., None] * 255], 3)
    rows, columns = (np.flatnonzero(there.any((0, axis))) for axis in (2, 1))
    top, left = (max(0, first[0] - MARGIN) for first in (rows, columns))
    whole = whole[:, top : rows[-1] + 1 + MARGIN, left : columns[-1] + 1 + MARGIN]
    return list(np.round(np.clip(whole, 0, 255)).astype(np.uint8))


def _drawn(window: Any, scene: Any, shade: float) -> NDArray[np.float32]:
    """The window over a gray background: (h, w, 4) float32 RGBA, 0 to 255."""
    scene.SetBackground(shade, shade, shade)
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.SetInputBufferTypeToRGBA()
    grab.ReadFrontBufferOff()
    grab.ShouldRerenderOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 4)
    return np.asarray(pixels[::-1], np.float32)
