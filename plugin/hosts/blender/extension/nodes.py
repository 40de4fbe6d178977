"""Images and clips of nodes, and planes: what is matted of them, and where mattes go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from . import command, sequencer, sources, strip_time
from .command import Options, Piece, RequestError, Summary

# The property of a node that keeps what it showed before its matte.
KEY = "mattecast_original"
IMAGE_NODES = ("CompositorNodeImage", "ShaderNodeTexImage")
CLIP_NODES = ("CompositorNodeMovieClip",)
# What tells which picture of an image a node shows.
_TIMES = ("frame_duration", "frame_start", "frame_offset", "use_cyclic", "use_auto_refresh")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a matte belongs. tree: as `trees` names it; node: its name. file: what it showed."""

    tree: tuple[str, str]
    node: str
    file: Path
    options: Options


def trees() -> Iterator[tuple[tuple[str, str], Any]]:
    """All node trees, each with a name that outlives undo."""
    for scene in bpy.data.scenes:
        # Blender 5 has compositing trees as node groups.
        tree = None if hasattr(scene, "compositing_node_group") else scene.node_tree
        if tree is not None:
            yield ("scene", scene.name), tree
    for kind, owners in (("material", bpy.data.materials), ("world", bpy.data.worlds)):
        for owner in owners:
            if owner.node_tree is not None:
                yield (kind, owner.name), owner.node_tree
    for group in bpy.data.node_groups:
        yield ("group", group.name), group


def name_of(tree: Any) -> tuple[str, str]:
    """The name of a tree. Raises RequestError for a tree of another kind."""
    for name, other in trees():
        if other == tree:
            return name
    raise RequestError("belongs to a node tree that is not handled")


def request(tree: Any, node: Any, options: Options) -> tuple[Piece, Origin]:
    """What is matted of a node. Raises RequestError where it cannot be matted."""
    shown = _shown(node)
    if shown is None:
        raise RequestError("no image")
    if tree.library is not None:
        raise RequestError("belongs to a linked file, which cannot be changed here")
    file = file_of(shown)
    piece = piece_of(file, numbered=shown.source == "SEQUENCE")
    return piece, Origin(name_of(tree), node.name, file, options)


def _shown(node: Any) -> Any:
    if node.bl_idname in CLIP_NODES:
        return node.clip
    if node.bl_idname in IMAGE_NODES:
        return node.image
    raise RequestError("no node of an image, a movie or a movie clip")


def file_of(shown: Any) -> Path:
    """The file of an image or a clip. Raises RequestError where there is none."""
    if shown.source not in ("FILE", "MOVIE", "SEQUENCE"):
        raise RequestError(f"{shown.name} has no file: save the image first")
    if getattr(shown, "packed_file", None) is not None:
        raise RequestError(f"{shown.name} is packed into the .blend file: unpack it first")
    full = bpy.path.abspath(shown.filepath, library=shown.library)
    return sources.existing(full, saved=bool(bpy.data.filepath), written=shown.filepath)


def piece_of(file: Path, *, numbered: bool) -> Piece:
    """The whole of a movie, of a picture, or of numbered pictures.

    Raises RequestError where Blender cannot read it.
    """
    if numbered and (kind := sources.numbered(file)):
        return Piece(kind.pattern, pictures=True)
    if file.suffix.lower() in bpy.path.extensions_image:
        return Piece(file, pictures=True)
    try:
        clip = bpy.data.movieclips.load(str(file))
    except RuntimeError as error:
        raise RequestError(f"{file}: Blender cannot read it") from error
    try:
        rate = float(clip.fps)
    finally:
        bpy.data.movieclips.remove(clip)
    if rate <= 0:
        raise RequestError(f"{file}: Blender cannot read this movie")
    return Piece(file, rate=strip_time.exact_rate(rate))


def place(origin: Origin, made: Summary) -> str:
    """Give a node its matte; return a line for people.

    Raises RequestError where the node is gone or was changed: the matte stays on disk, and the next
    run takes it.
    """
    tree = dict(trees()).get(origin.tree)
    node = tree.nodes.get(origin.node) if tree is not None else None
    shown = _shown(node) if node is not None else None
    if node is None or shown is None or file_of(shown) != origin.file:
        raise RequestError(f"the node is gone or was changed; the matte is {made.output}")
    # A matte of a matte keeps the first original.
    original = node.get(KEY) or shown
    if node.bl_idname in CLIP_NODES:
        node.clip = _clip(made, shown)
    else:
        times = node.image_user if hasattr(node, "image_user") else node
        kept = {name: getattr(times, name) for name in _TIMES}
        node.image = image(made, origin.options, shown, origin.file)
        for name, value in kept.items():
            setattr(times, name, value)
    node[KEY] = original
    how = "was there already" if made.reused else f"{made.frames} frames"
    return f"{node.name}: matte loaded, {how}"


def _clip(made: Summary, shown: Any) -> Any:
    clip = bpy.data.movieclips.load(str(_first(made, None)))
    clip.name = f"{shown.name} matte"
    clip.frame_start, clip.frame_offset = shown.frame_start, shown.frame_offset
    return clip


def image(made: Summary, options: Options, shown: Any, file: Path | None) -> Any:
    """A matte as an image of Blender.

    shown: the image it is made of, None where there is none. file: of that image, whose number
    among numbered pictures is kept.
    """
    loaded = bpy.data.images.load(str(_first(made, file)), check_existing=True)
    loaded.filepath = sequencer.written(_first(made, file))
    if made.output.is_dir():
        loaded.source = "SEQUENCE"
    loaded.alpha_mode = "PREMUL" if command.premultiplied(options, bpy.app.version) else "STRAIGHT"
    if shown is not None:
        loaded.name = f"{shown.name} matte"
    return loaded


def add_image(options: Options, file: Path, made: Summary) -> str:
    """Load a matte as an image that is kept without users too; return a line for people."""
    loaded = image(made, options, None, file)
    loaded.use_fake_user = True
    return f"{loaded.name}: image loaded, {made.frames} frames"


def _first(made: Summary, file: Path | None) -> Path:
    """The file that stands for a matte: of pictures, the one with the number of the original."""
    folder, names = sequencer.listed(made.output)
    if made.output.is_file():
        return made.output
    if not names:
        raise RequestError(f"{folder}: the matte has no pictures")
    wanted = _number(file.name) if file else None
    same = [name for name in names if _number(name) == wanted]
    return folder / (same or names)[0]


def _number(name: str) -> int | None:
    digits = os.path.splitext(name)[0]
    tail = digits[len(digits.rstrip("0123456789")) :]
    return int(tail) if tail else None


def toggle_original(chosen: list[Any]) -> int:
    """Swap what nodes show and what they showed before their mattes; return how many."""
    swapped = 0
    for node in chosen:
        other = node.get(KEY)
        if other is None or node.bl_idname not in (*IMAGE_NODES, *CLIP_NODES):
            continue
        name = "clip" if node.bl_idname in CLIP_NODES else "image"
        times = node.image_user if hasattr(node, "image_user") else node
        kept = {each: getattr(times, each) for each in _TIMES if hasattr(times, each)}
        node[KEY] = getattr(node, name)
        setattr(node, name, other)
        for each, value in kept.items():
            setattr(times, each, value)
        swapped += 1
    return swapped


def add_plane(scene: str, options: Options, made: Summary) -> str:
    """Add a plane with a matte as its material; return a line for people."""
    if scene not in bpy.data.scenes:
        raise RequestError(f"the scene {scene} is gone; the matte is {made.output}")
    folder, names = sequencer.listed(made.output)
    before = set(bpy.data.objects)
    window = bpy.context.window_manager.windows[0]
    views = [area for area in window.screen.areas if area.type == "VIEW_3D"]
    context = {"window": window, "scene": bpy.data.scenes[scene]}
    with bpy.context.temp_override(**context, **({"area": views[0]} if views else {})):
        bpy.ops.image.import_as_mesh_planes(
            files=[{"name": name} for name in names],
            directory=str(folder) + os.sep,
            image_sequence=len(names) > 1,
            shader="SHADELESS",
            relative=False,
        )
    (plane,) = set(bpy.data.objects) - before
    premultiplied = command.premultiplied(options, bpy.app.version)
    for slot in plane.material_slots:
        for node in slot.material.node_tree.nodes:
            if node.bl_idname == "ShaderNodeTexImage":
                node.image.alpha_mode = "PREMUL" if premultiplied else "STRAIGHT"
                node.image.filepath = sequencer.written(Path(node.image.filepath))
    return f"{plane.name}: plane added, {made.frames} frames"
