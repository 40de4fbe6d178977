"""Strips of the Video Sequencer by names that all versions of Blender share.

Blender 5.0 renamed `sequences` to `strips`, 5.3 the properties of a strip's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy

# What a property is called here, from Blender 5.3 on, and before.
_NAMES = {
    "start": ("content_start", "frame_start"),
    "left": ("left_handle", "frame_final_start"),
    "right": ("right_handle", "frame_final_end"),
    "after": ("right_handle_offset", "frame_offset_end"),
}
# The highest channel of Blender.
HIGHEST = 128


def get(strip: Any, name: str) -> Any:
    """A strip's time: 'start' of its content, 'left' and 'right' of what is seen.

    'after' is what its content has after 'right'.
    """
    new, old = _NAMES[name]
    return getattr(strip, new if hasattr(strip, new) else old)


def put(strip: Any, name: str, value: float) -> None:
    """Set a strip's time; see get()."""
    new, old = _NAMES[name]
    setattr(strip, new if hasattr(strip, new) else old, value)


def length(strip: Any) -> int:
    """The length of a strip's content in timeline frames.

    Blender's own property counts pictures up to 5.2, which a clip of another rate has more or less
    of.
    """
    frames: float = get(strip, "right") + get(strip, "after") - get(strip, "start")
    return round(frames)


def is_retimed(strip: Any) -> bool:
    """Whether a strip has keys of retiming; Blender 4.2 has them for movies only."""
    return len(getattr(strip, "retiming_keys", ())) > 0


def scene_of(context: Any) -> Any:
    """The scene that the Video Sequencer shows; Blender 5 has one of its own for it."""
    return getattr(context, "sequencer_scene", None) or context.scene


def every(scene: Any) -> Any:
    """All strips of a scene, those in meta strips too."""
    editor = scene.sequence_editor
    if editor is None:
        return ()
    return editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all


def children(owner: Any) -> Any:
    """The strips directly in a sequence editor or a meta strip."""
    return owner.strips if hasattr(owner, "strips") else owner.sequences


def selected(scene: Any) -> list[Any]:
    """The selected strips of the level that is open, from left to right."""
    editor = scene.sequence_editor
    if editor is None:
        return []
    level = editor.meta_stack[-1] if len(editor.meta_stack) else editor
    chosen = [strip for strip in children(level) if strip.select]
    return sorted(chosen, key=lambda strip: (get(strip, "left"), strip.channel))


def siblings(scene: Any, strip: Any) -> Any:
    """The strips beside a strip."""
    return children(strip.parent_meta() or scene.sequence_editor)


def free_channel(scene: Any, strip: Any, channel: int) -> int:
    """The lowest channel above this one that is free as long as a strip lasts."""
    left, right = get(strip, "left"), get(strip, "right")
    taken = {
        other.channel
        for other in siblings(scene, strip)
        if other != strip and get(other, "left") < right and left < get(other, "right")
    }
    free = (each for each in range(channel + 1, HIGHEST + 1) if each not in taken)
    return next(free, HIGHEST)


def duplicate(scene: Any, strip: Any) -> Any:
    """A copy of a strip with all that it has: retiming, transform, modifiers, animation.

    The selection, and the meta strip that is open, stay as they were.
    """
    editor, name = scene.sequence_editor, strip.name
    level = editor.meta_stack[-1] if len(editor.meta_stack) else None
    chosen, active = [each.name for each in every(scene) if each.select], editor.active_strip
    active_name, locked = active.name if active else None, strip.lock
    before = {each.name for each in every(scene)}
    try:
        editor.display_stack(strip.parent_meta())
        strip.lock = False
        for each in every(scene):
            each.select = each.name == name
        with _in_sequencer(scene):
            bpy.ops.sequencer.duplicate()
        made = next((each for each in every(scene) if each.name not in before), None)
        if made is None:
            raise RuntimeError("Blender has not copied the strip")
        made.lock = False
    finally:
        every(scene)[name].lock = locked
        for each in every(scene):
            each.select = each.name in chosen
        editor.display_stack(level)
        editor.active_strip = every(scene).get(active_name) if active_name else None
    return made


@contextmanager
def _in_sequencer(scene: Any) -> Iterator[None]:
    """The context that operators of strips ask for: an area that shows the scene's sequencer."""
    window, area = _area()
    workspace, kind, shown = window.workspace, area.type, window.scene
    # Blender 5 has a scene of its own for sequencers.
    owner, name = (window, "scene")
    if hasattr(workspace, "sequencer_scene"):
        owner, name, shown = workspace, "sequencer_scene", workspace.sequencer_scene
    if kind != "SEQUENCE_EDITOR":
        area.type = "SEQUENCE_EDITOR"
    if shown != scene:
        setattr(owner, name, scene)
    try:
        # Blender 5 crashes when an area has no region in such a context.
        region = next(each for each in area.regions if each.type == "WINDOW")
        with bpy.context.temp_override(window=window, area=area, region=region):
            yield
    finally:
        if shown != scene:
            setattr(owner, name, shown)
        if kind != "SEQUENCE_EDITOR":
            area.type = kind


def _area() -> tuple[Any, Any]:
    """A window and an area of it: one with a sequencer, or else the largest one."""
    windows = list(bpy.context.window_manager.windows)
    areas = [(window, area) for window in windows for area in window.screen.areas]
    for window, area in areas:
        if area.type == "SEQUENCE_EDITOR":
            return window, area
    return max(areas, key=lambda pair: pair[1].width * pair[1].height)
