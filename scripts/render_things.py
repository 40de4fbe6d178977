#!/usr/bin/env python3
"""Draw furniture as transparent pictures: things beside people that are not to be matted.

LIBRARY is one or more of Sweet Home 3D's libraries of furniture (.sh3f: OBJ models and a catalogue
of their names and sizes in one archive). Each thing as large as a piece of furniture is seen from
a few sides, in a light of its own; OUT is to be called `things` for `mattecast train` to lay them
behind people. People, doors, windows and what people wear or hold are left out. Without a screen
put xvfb-run before it. On Debian:

  apt install sweethome3d-furniture xvfb && pip install vtk
  xvfb-run scripts/render_things.py /usr/share/sweethome3d/furniture/*.sh3f --out data/things
"""

from __future__ import annotations

import argparse
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from told import told
from tqdm import tqdm

try:
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy
except ImportError as error:
    raise SystemExit(f"render_things.py: {error}: pip install vtk") from error

Bytes = NDArray[np.uint8]
SIDE = 400  # px of the square that a thing is drawn in
SAMPLES = 1.5  # times: drawn so much larger, then reduced
CATALOGUE = "PluginFurnitureCatalog.properties"
# cm: of the longest side, and the least of the middle one.
SIZES, THICK = (30, 400), 8
# Triangles: a few trees have millions.
MOST = 600_000
PEOPLE = r"(fe)?male|boys?|girls?|mannequin|doll|teddy bear|snowman|human|people|characters"
WORN = (
    r"hat|cap|helmet|glove|sneakers|slippers|bootie|mocassin|clothes|jacket|suit|dress|skirt|short|"
    r"trousers|(sun)?glasses|backpack|handbag|briefcase|suitcase|umbrella|headphones|watch|towel|"
    r"sleeping bag|fan"
)
HELD = r"guitar|racket|bat|book|phone|laptop|camera"
LEFT_OUT = re.compile(rf"\b({PEOPLE}|{WORN}|{HELD})\b", re.IGNORECASE)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("libraries", nargs="+", type=Path, metavar="LIBRARY")
    add("--out", required=True, type=Path, metavar="DIR", help="where the pictures go")
    add("--views", type=int, default=3, help="pictures of each thing (default: 3)")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    vtk.vtkObject.GlobalWarningDisplayOff()
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(True)
    window.SetSize(*[round(SIDE * SAMPLES)] * 2)
    with ExitStack() as stack:
        found = []
        for library in options.libraries:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            with zipfile.ZipFile(library) as archive:
                archive.extractall(folder)
            found += [(folder, entry) for entry in catalogue(folder) if wanted(entry)]
        count = 0
        for folder, entry in tqdm(found, unit="thing"):
            name = re.sub(r"\W+", "_", entry["id"])
            scene = load(window, folder / entry["model"].lstrip("/"))
            # Of its name alone, so that a thing always looks the same.
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            for view in range(options.views if scene else 0):
                cutout = seen(rng, window, scene, any_side=view == 0)
                if cutout is not None:
                    cv2.imwrite(str(options.out / f"{name}_{view}.png"), cutout)
                    count += 1
    print(f"{options.out}: {count} pictures of {len(found)} things")
    return 0


def catalogue(folder: Path) -> Iterator[dict[str, str]]:
    """What a library says of each of its things: id, name, model, width, depth, height and more."""
    entries: dict[str, dict[str, str]] = {}
    for line in (folder / CATALOGUE).read_text(encoding="latin-1").splitlines():
        if match := re.match(r"(\w+)#(\d+)=(.*)", line):
            entries.setdefault(match[2], {})[match[1]] = match[3].strip()
    return (entry for entry in entries.values() if "model" in entry)


def wanted(entry: dict[str, str]) -> bool:
    """Whether it is furniture in the widest sense: nothing that a person may be, wear or hold."""
    words = " ".join(entry.get(key, "") for key in ("name", "tags", "category"))
    if LEFT_OUT.search(words) or entry.get("doorOrWindow") == "true":
        return False
    sides = sorted(float(entry[key]) for key in ("width", "depth", "height"))
    return SIZES[0] <= sides[2] <= SIZES[1] and sides[1] > THICK


def load(window: Any, model: Path) -> Any:
    """An OBJ model alone in a window: its renderer, or None where there is nothing to be seen."""
    for old in list(window.GetRenderers()):
        window.RemoveRenderer(old)
    reader = vtk.vtkOBJImporter()
    reader.SetFileName(str(model))
    head = model.read_text(errors="replace").splitlines()[:200]
    for material in (line.split(None, 1)[1] for line in head if line.startswith("mtllib ")):
        reader.SetFileNameMTL(str(model.parent / material.strip()))
    reader.SetTexturePath(str(model.parent))
    reader.SetRenderWindow(window)
    reader.Update()
    scene = reader.GetRenderer()
    triangles = 0
    for actor in scene.GetActors():
        surface = actor.GetProperty()
        surface.SetInterpolationToPhong()
        surface.BackfaceCullingOff()
        # What no light reaches is not black in a room.
        surface.SetAmbient(1)
        surface.SetAmbientColor(*np.multiply(surface.GetDiffuseColor(), 0.35))
        triangles += actor.GetMapper().GetInput().GetNumberOfCells()
    if not 0 < triangles < MOST:
        return None
    scene.AutomaticLightCreationOff()
    scene.SetTwoSidedLighting(True)
    shade = vtk.vtkSSAOPass()  # darker where surfaces meet
    radius = extent(scene)[1]
    shade.SetRadius(0.25 * radius)
    shade.SetBias(0.004 * radius)
    shade.SetKernelSize(20)
    shade.BlurOn()
    shade.SetDelegatePass(vtk.vtkRenderStepsPass())
    scene.SetPass(shade)
    return scene


def extent(scene: Any) -> tuple[NDArray[np.float64], float]:
    """The middle of what a scene shows, and its radius."""
    bounds = np.reshape(scene.ComputeVisiblePropBounds(), (3, 2))
    return bounds.mean(1), float(np.linalg.norm(np.diff(bounds))) / 2


def seen(rng: Generator, window: Any, scene: Any, *, any_side: bool) -> Bytes | None:
    """The thing from a random place, mostly from before it, as (h, w, 4) uint8 BGRA, straight; None
    where hardly anything of it is seen."""
    middle, radius = extent(scene)
    around = rng.uniform(-180, 180) if any_side else rng.normal(0, 45)
    angle = rng.uniform(20, 45)
    camera = scene.GetActiveCamera()
    camera.SetViewAngle(angle)
    away = direction(around, rng.uniform(-5, 28)) * radius / np.sin(np.radians(angle / 2))
    camera.SetPosition(*(middle + away))
    camera.SetFocalPoint(*middle)
    camera.SetViewUp(0, 1, 0)
    scene.ResetCameraClippingRange()
    lit(rng, scene, middle, radius, around)
    # Over black and over white: their difference is what the background shows through.
    black, white = (drawn(window, scene, shade) for shade in (0.0, 1.0))
    alpha = np.clip(1 - (white - black).mean(2) / 255, 0, 1)
    alpha[alpha < 0.015] = 0
    shape = (SIDE, SIDE)
    black, alpha = (cv2.resize(x, shape, interpolation=cv2.INTER_AREA) for x in (black, alpha))
    if (alpha > 0.08).mean() < 0.02:
        return None
    colours = black / np.maximum(alpha[..., None], 1 / 255)
    bright = np.percentile(colours[alpha > 0.08].max(1), 95)  # as a camera would expose it
    colours *= np.clip(rng.uniform(120, 250) / max(bright, 1), 0.7, 2.5)
    cutout = np.dstack([colours[..., ::-1], alpha * 255])
    rows, columns = (np.flatnonzero((alpha > 0.08).any(axis)) for axis in (1, 0))
    cutout = cutout[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.round(np.clip(cutout, 0, 255)).astype(np.uint8)


def direction(around: float, up: float) -> NDArray[np.float64]:
    """A unit vector from degrees around the vertical, 0 before the thing, and above its foot."""
    a, b = np.radians([around, up])
    return np.array([np.sin(a) * np.cos(b), np.sin(b), np.cos(a) * np.cos(b)])


def lit(rng: Generator, scene: Any, middle: Any, radius: float, around: float) -> None:
    """A weak light from the camera, and one to three others, warm or cold, on its side."""
    scene.RemoveAllLights()
    head = vtk.vtkLight()
    head.SetLightTypeToHeadlight()
    head.SetIntensity(rng.uniform(0.15, 0.45))
    scene.AddLight(head)
    for number in range(int(rng.integers(1, 4))):
        light = vtk.vtkLight()
        place = middle + 6 * radius * direction(around + rng.uniform(-90, 90), rng.uniform(10, 80))
        light.SetPosition(*place)
        light.SetFocalPoint(*middle)
        light.SetIntensity(rng.uniform(0.4, 1.0) / (1 + 0.5 * number))
        warmth = rng.uniform(-0.12, 0.12)
        light.SetColor(1 + min(0, warmth), 1 - 0.4 * abs(warmth), 1 - max(0, warmth))
        scene.AddLight(light)


def drawn(window: Any, scene: Any, shade: float) -> NDArray[np.float32]:
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


if __name__ == "__main__":
    raise SystemExit(told(main))
