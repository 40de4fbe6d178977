"""Strips of the Video Sequencer: what is matted of them, and how their mattes are placed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import bpy

from . import command, sources, strip_time, strips
from .command import Options, Piece, RequestError, Summary
from .strip_time import Content

# The property of a matte's strip: JSON with what it was made of.
KEY = "mattecast"
# Rises when the JSON changes so that older versions of the extension cannot use it.
SCHEMA = 1
_ADVICE = {
    "META": "a meta strip: open it (Tab) and select strips in it",
    "SCENE": "a scene strip: select strips in that scene, or render it first",
    "MOVIECLIP": "a movie clip strip: add its file as a movie strip",
    "COLOR": "a colour strip: there is nobody in it",
    "MASK": "a mask strip: there is nobody in it",
    "TEXT": "a text strip: there is nobody in it",
}
# Pictures by which a part may begin beside one: clocks of files are coarse.
_ALIGNED = 0.05
# Colour spaces of HDR clips, whose 8-bit mattes are standard ones.
_HDR = ("Rec.2100-PQ", "Rec.2100-HLG")


class UnalignedError(Exception):
    """A part of a clip is not the pictures that Blender counts: the clip's rate varies."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a matte belongs. scene, strip: names. file: of the strip. rate: of its pictures.

    matted: the pictures that are matted; part: whether they are a part of the clip. replace:
    whether the strip is hidden then.
    """

    scene: str
    strip: str
    file: Path
    rate: Fraction
    matted: range
    part: bool
    options: Options
    replace: bool


def facts(strip: Any) -> dict[str, Any]:
    """What a matte's strip was made of; {} for other strips.

    Raises RequestError for a strip of a newer version of the extension.
    """
    text = strip.get(KEY)
    try:
        record = json.loads(text) if text else {}
        schema = int(record.get("schema", 0)) if record else SCHEMA
    except (ValueError, TypeError, AttributeError):
        return {}
    if schema > SCHEMA:
        raise RequestError("made by a newer version of the extension mattecast: renew it")
    return dict(record)


def is_matte(strip: Any) -> bool:
    """Whether a strip is a matte, of any version of the extension."""
    return KEY in strip


def mattes_of(scene: Any, name: str) -> Iterator[Any]:
    """The strips that are mattes of the strip of this name."""
    for strip in strips.every(scene):
        if is_matte(strip):
            try:
                if facts(strip).get("original") == name:
                    yield strip
            except RequestError:
                continue


def request(
    scene: Any, strip: Any, options: Options, *, whole: bool, handles: int, replace: bool
) -> tuple[Piece, Origin]:
    """What is matted of a strip. Raises RequestError where it cannot be matted."""
    _refuse(scene, strip)
    file = file_of(scene, strip)
    if strip.type == "MOVIE" and not strip.fps:
        raise RequestError(f"{file}: Blender cannot read this movie")
    content = content_of(scene, strip)
    # What depends on where the content begins is right with the whole of it only.
    whole = whole or strips.is_retimed(strip) or strip.strobe > 1
    left, right = strips.get(strip, "left"), strips.get(strip, "right")
    used = content.used(left, right, handles)
    whole = whole or len(used) == content.pictures
    rate = rate_of(scene, strip)
    if strip.type == "IMAGE":
        names = [element.filename for element in strip.elements]
        used = range(len(names)) if whole else used
        piece = sources.pictures(names, file.parent, rate, used)
    else:
        part = "" if whole else strip_time.seconds(used, rate)
        piece = Piece(file, rate=rate, part=part, track=strip.stream_index)
    matted = range(content.pictures) if whole else used
    return piece, Origin(scene.name, strip.name, file, rate, matted, not whole, options, replace)


def _refuse(scene: Any, strip: Any) -> None:
    """Raise RequestError for a strip that cannot be matted."""
    if strip.type not in ("MOVIE", "IMAGE"):
        what = _ADVICE.get(strip.type, f"a strip of type {strip.type.title()}")
        raise RequestError(what)
    if is_matte(strip):
        raise RequestError("a matte already: select the strip that it was made of")
    if scene.library is not None:
        raise RequestError("belongs to a linked scene, which cannot be changed here")
    if strip.use_multiview:
        raise RequestError("stereoscopic, which is not handled: untick Use Multi-View")


def file_of(scene: Any, strip: Any) -> Path:
    """The file of a strip, of pictures the first one. Raises RequestError where it is gone."""
    name = strip.filepath if strip.type == "MOVIE" else _first_picture(strip)
    full = str(bpy.path.abspath(name, library=scene.library))
    return sources.existing(full, saved=bool(bpy.data.filepath), written=name)


def _first_picture(strip: Any) -> str:
    if not len(strip.elements):
        raise RequestError("no pictures")
    return os.path.join(str(strip.directory), str(strip.elements[0].filename))


def scene_rate(scene: Any) -> Fraction:
    """Frames of the timeline a second."""
    return Fraction(scene.render.fps) / Fraction(scene.render.fps_base).limit_denominator(10000)


def rate_of(scene: Any, strip: Any) -> Fraction:
    """The rate at which Blender counts the pictures of a strip."""
    return strip_time.exact_rate(strip.fps) if strip.type == "MOVIE" else scene_rate(scene)


def content_of(scene: Any, strip: Any) -> Content:
    """A strip's content in time."""
    length = strips.length(strip)
    if strip.type == "IMAGE":
        pictures, speed, hidden = len(strip.elements), Fraction(1), 0
    else:
        own = rate_of(scene, strip)
        hidden = strip.animation_offset_start
        counted = _pictures(strip) - hidden - strip.animation_offset_end
        speed = strip_time.speed(own, scene_rate(scene), counted, length)
        pictures = max(counted, 1)
    start = round(strips.get(strip, "start"))
    return Content(start, length, pictures, speed, hidden, strip.use_reverse_frames)


def _pictures(strip: Any) -> int:
    """How many pictures Blender counts in a movie."""
    clip = bpy.data.movieclips.load(bpy.path.abspath(strip.filepath))
    try:
        return int(clip.frame_duration)
    finally:
        bpy.data.movieclips.remove(clip)


def place(origin: Origin, made: Summary) -> str:
    """Put a matte above its strip; return a line for people.

    Raises RequestError where the strip is gone or was changed: the matte stays on disk, and the
    next run takes it. Raises UnalignedError where only a matte of the whole clip can be placed.
    """
    scene = bpy.data.scenes.get(origin.scene)
    strip = strips.every(scene).get(origin.strip) if scene and scene.sequence_editor else None
    if strip is None or strip.type not in ("MOVIE", "IMAGE"):
        raise RequestError(f"the strip is gone; the matte is {made.output}")
    if file_of(scene, strip) != origin.file:
        raise RequestError(f"the strip has another file now; the matte is {made.output}")
    content = content_of(scene, strip)
    if origin.part:
        _check_covered(strip, content, origin, made)
    older = next(mattes_of(scene, strip.name), None)
    try:
        matte = older or strips.duplicate(scene, strip)
    except RuntimeError as error:
        raise RequestError(f"cannot be placed ({error}); the matte is {made.output}") from error
    try:
        line = _point_at(scene, strip, matte, origin, made, content)
    except (RuntimeError, OSError, RequestError) as error:
        if older is None:
            strips.siblings(scene, matte).remove(matte)
        raise RequestError(f"cannot be placed ({error}); the matte is {made.output}") from error
    strip.mute = strip.mute or origin.replace
    return line


def _check_covered(strip: Any, content: Content, origin: Origin, made: Summary) -> None:
    """Whether a matte of a part has all pictures that a strip shows.

    Raises UnalignedError where the part is not what Blender counts, RequestError where the strip
    shows more now.
    """
    off = abs(made.start * origin.rate - origin.matted.start)
    if strip.type == "MOVIE" and (off > _ALIGNED or made.frames < len(origin.matted)):
        raise UnalignedError
    ends = strips.get(strip, "left"), strips.get(strip, "right") - 1
    if not all(content.picture(frame) in origin.matted for frame in ends):
        raise RequestError("the strip became longer meanwhile: press Matte again")


def _point_at(
    scene: Any, strip: Any, matte: Any, origin: Origin, made: Summary, content: Content
) -> str:
    """Give a strip the file of a matte, so that it shows what its original shows; a line."""
    left, right = strips.get(strip, "left"), strips.get(strip, "right")
    channel = matte.channel if matte.channel > strip.channel else 0
    # Blender moves strips that overlap others, so times are set where nothing else is.
    highest = max(each.channel for each in strips.siblings(scene, strip))
    matte.channel = min(highest + 1, strips.HIGHEST)
    # Proxies and fields are of the original's file; a matte has one track.
    matte.use_proxy = matte.use_deinterlace = False
    if strip.type == "MOVIE":
        _set_movie(matte, origin, made)
    else:
        _set_pictures(matte, made)
    if origin.part:
        strips.put(matte, "start", content.start_of(origin.matted.start, strips.length(matte)))
    if not strips.is_retimed(strip):
        strips.put(matte, "left", left)
        strips.put(matte, "right", right)
    matte.alpha_mode = "PREMUL" if _premultiplied(origin.options) else "STRAIGHT"
    if origin.options.has_alpha:
        matte.blend_type = "ALPHA_OVER"
    _scale(strip, matte, made)
    matte.channel = channel or strips.free_channel(scene, matte, strip.channel)
    matte.name = f"{strip.name} matte"
    matte.mute = False
    record = {"schema": SCHEMA, "original": strip.name, "file": str(origin.file)}
    matte[KEY] = json.dumps(record)
    how = "was there already" if made.reused else f"{made.frames} frames"
    return f"{strip.name}: matte on channel {matte.channel}, {how}"


def _premultiplied(options: Options) -> bool:
    return command.premultiplied(options, bpy.app.version)


def _set_movie(matte: Any, origin: Origin, made: Summary) -> None:
    if origin.part:
        matte.animation_offset_start = matte.animation_offset_end = 0
    matte.stream_index = 0
    matte.filepath = written(made.output)
    if matte.colorspace_settings.name in _HDR and origin.options.format != "PRORES":
        matte.colorspace_settings.name = "sRGB"
    if not matte.fps:
        raise RequestError("Blender cannot read the matte")


def _set_pictures(matte: Any, made: Summary) -> None:
    """Give a strip the pictures of a folder, or one picture."""
    folder, names = listed(made.output)
    while len(matte.elements) > len(names):
        matte.elements.pop(index=len(matte.elements) - 1)
    while len(matte.elements) < len(names):
        matte.elements.append(names[0])
    matte.directory = written(folder)
    for element, name in zip(matte.elements, names, strict=True):
        element.filename = name


def listed(output: Path) -> tuple[Path, list[str]]:
    """The folder of a matte of pictures, and the names of the pictures in their order."""
    if output.is_file():
        return output.parent, [output.name]
    return output, sorted((each.name for each in output.glob("*.png")), key=_by_number)


def _by_number(name: str) -> tuple[int, str]:
    return len(name), name  # 10.png after 9.png


def written(path: Path) -> str:
    """A path as the .blend file has it: relative where that is saved, and the user wants so."""
    relative = bpy.context.preferences.filepaths.use_relative_paths and bpy.data.filepath
    if not relative:
        return str(path)
    try:
        return str(bpy.path.relpath(str(path)))
    except ValueError:  # another drive of Windows
        return str(path)


def _scale(strip: Any, matte: Any, made: Summary) -> None:
    """Show a matte of another size as large as its original."""
    element = strip.elements[0]
    width, height = element.orig_width, element.orig_height
    if width and height and matte != strip and (width, height) != made.size:
        matte.transform.scale_x = strip.transform.scale_x * width / made.size[0]
        matte.transform.scale_y = strip.transform.scale_y * height / made.size[1]


def toggle_original(scene: Any, chosen: list[Any]) -> tuple[int, int]:
    """Show the originals of mattes instead of the mattes, or the other way round.

    chosen: mattes or originals; with neither, all mattes of the scene. Returns how many originals
    and how many mattes are shown now.
    """
    pairs = list(_pairs(scene, chosen)) or list(_pairs(scene, list(strips.every(scene))))
    original_shown = any(not matte.mute for _, matte in pairs)
    for original, matte in pairs:
        original.mute, matte.mute = not original_shown, original_shown
    return (len(pairs), 0) if original_shown else (0, len(pairs))


def replace(scene: Any, chosen: list[Any]) -> int:
    """Hide the originals of mattes, and show the mattes; return how many."""
    pairs = list(_pairs(scene, chosen))
    for original, matte in pairs:
        original.mute, matte.mute = True, False
    return len(pairs)


def _pairs(scene: Any, chosen: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Each original with its matte, once."""
    names = {strip.name for strip in chosen}
    for matte in strips.every(scene):
        try:
            name = facts(matte).get("original")
        except RequestError:
            continue
        original = strips.every(scene).get(name) if name else None
        if original is not None and names & {matte.name, name}:
            yield original, matte
