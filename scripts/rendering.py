"""What the scripts that draw cut-outs with VTK share: light, and alpha from two backgrounds."""

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


def cutout(
    rng: Generator, window: Any, scene: Any, size: tuple[int, int], least: float
) -> Bytes | None:
    """What the window shows at (width, height), as (h, w, 4) uint8 BGRA, straight, without what is
    empty around it; None where it covers less than `least` of the picture."""
    window.SetSize(*(round(side * SAMPLES) for side in size))
    # Over black and over white: their difference is what the background shows through.
    black, white = (_drawn(window, scene, shade) for shade in (0.0, 1.0))
    alpha = np.clip(1 - (white - black).mean(2) / 255, 0, 1)
    alpha[alpha < 0.015] = 0
    black, alpha = (cv2.resize(x, size, interpolation=cv2.INTER_AREA) for x in (black, alpha))
    there = alpha > SEEN
    if there.mean() < least:
        return None
    colours = black / np.maximum(alpha[..., None], 1 / 255)
    bright = np.percentile(colours[there].max(1), 95)  # as a camera would expose it
    colours *= np.clip(rng.uniform(120, 250) / max(bright, 1), 0.7, 2.5)
    whole = np.dstack([colours[..., ::-1], alpha * 255])
    rows, columns = (np.flatnonzero(there.any(axis)) for axis in (1, 0))
    whole = whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.round(np.clip(whole, 0, 255)).astype(np.uint8)


def _drawn(window: Any, scene: Any, shade: float) -> NDArray[np.float32]:
    """The window over a gray background: (h, w, 3) float32 RGB, 0 to 255."""
    scene.SetBackground(shade, shade, shade)
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
    return np.asarray(pixels[::-1, :, :3], np.float32)
