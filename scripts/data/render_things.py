#!/usr/bin/env python3
"""Draw furniture as transparent pictures: things beside people that are not to be matted.

LIBRARY is one or more of Sweet Home 3D's libraries of furniture (.sh3f: OBJ models and a catalogue
of their names and sizes in one archive). Each thing as large as a piece of furniture is seen from
a few sides, in a light of its own; OUT is to be called `things` for `mattecast train` to lay them
behind people. People, doors, windows and what people wear or hold are left out. Without a screen
put xvfb-run before it. On Debian:

  apt install sweethome3d-furniture xvfb && pip install vtk
  xvfb-run scripts/data/render_things.py /usr/share/sweethome3d/furniture/*.sh3f --out data/things
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
from tqdm import tqdm

from mattecast.commands.exits import exit_code

try:
    import vtk
    from rendering import Bytes, Float, cleared, cutouts, direction, lit, offscreen, shot
except ImportError as error:
    raise SystemExit(f"render_things.py: {error}: pip install vtk") from error

SIDE = 400  # px of the square that a thing is drawn in
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
    window = offscreen()
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
                for picture in seen(rng, window, scene, any_side=view == 0):
                    cv2.imwrite(str(options.out / f"{name}_{view}.png"), picture)
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
    cleared(window)
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
    shade = vtk.vtkSSAOPass()  # darker where surfaces meet
    radius = extent(scene)[1]
    shade.SetRadius(0.25 * radius)
    shade.SetBias(0.004 * radius)
    shade.SetKernelSize(20)
    shade.BlurOn()
    shade.SetDelegatePass(vtk.vtkRenderStepsPass())
    scene.SetPass(shade)
    return scene


def extent(scene: Any) -> tuple[Float, float]:
    """The middle of what a scene shows, and its radius."""
    bounds = np.reshape(scene.ComputeVisiblePropBounds(), (3, 2))
    return bounds.mean(1), float(np.linalg.norm(np.diff(bounds))) / 2


def seen(rng: Generator, window: Any, scene: Any, *, any_side: bool) -> list[Bytes]:
    """The thing from a random place, mostly from before it, as (h, w, 4) uint8 BGRA, straight;
    nothing where hardly anything of it is seen."""
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
    lit(rng, scene, middle, 6 * radius, around)
    return cutouts(rng, [shot(window, scene, (SIDE, SIDE))], 0.02)


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
