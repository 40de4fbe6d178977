"""Makes the extension known to Blender, and takes all of it back."""

import bpy
from bpy.app.handlers import persistent

from . import settings
from .operators import OPERATORS
from .panels import MENUS, PANELS
from .running import QUEUE, tick


@persistent
def after_load(*_):
    """Another file was opened: what runs belongs to the file that is closed."""
    if QUEUE.busy:
        QUEUE.cancel("cancelled, as another file was opened")


CLASSES = (
    settings.MattecastSettings,
    settings.MattecastPreferences,
    *OPERATORS,
    *PANELS,
)


def register() -> None:
    """Make operators, panels and settings known to Blender."""
    for each in CLASSES:
        bpy.utils.register_class(each)
    bpy.types.Scene.mattecast = bpy.props.PointerProperty(type=settings.MattecastSettings)
    for menu, draw in MENUS:
        if hasattr(bpy.types, menu):
            getattr(bpy.types, menu).append(draw)
    bpy.app.handlers.load_post.append(after_load)


def unregister() -> None:
    """End what runs, and take everything back."""
    QUEUE.end()
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
    bpy.app.handlers.load_post.remove(after_load)
    for menu, draw in MENUS:
        if hasattr(bpy.types, menu):
            getattr(bpy.types, menu).remove(draw)
    del bpy.types.Scene.mattecast
    for each in reversed(CLASSES):
        bpy.utils.unregister_class(each)
