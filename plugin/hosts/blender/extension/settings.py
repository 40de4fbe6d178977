"""What the user sets: in the scene how mattes look, in the preferences where the program is."""

import bpy
from bpy.props import (
    BoolProperty,
    EnumProperty,
    FloatProperty,
    FloatVectorProperty,
    IntProperty,
    StringProperty,
)

from . import command
from .command import Options

# Rises when the meaning of a setting changes.
SCHEMA = 1
RANGES = (
    ("STRIP", "Strip", "What the strip shows, and the handles"),
    ("CLIP", "Whole Clip", "The whole file, so that the matte's handles can be moved freely"),
)


class MattecastSettings(bpy.types.PropertyGroup):
    """How mattes of a scene look."""

    schema: IntProperty(default=0, options={"HIDDEN"})
    format: EnumProperty(name="Format", items=command.FORMATS, default="AUTO")
    background: EnumProperty(name="Background", items=command.BACKGROUNDS, default="NONE")
    colour: FloatVectorProperty(
        name="Colour", subtype="COLOR_GAMMA", size=3, min=0, max=1, default=(0, 1, 0)
    )
    file: StringProperty(name="File", subtype="FILE_PATH", description="Picture or movie")
    choke: FloatProperty(
        name="Edge Inwards", soft_min=-5, soft_max=5, subtype="PIXEL", description="In pixels"
    )
    feather: FloatProperty(
        name="Soften", min=0, soft_max=10, subtype="PIXEL", description="Soften the edge (pixels)"
    )
    detail: EnumProperty(name="Edges", items=command.DETAILS, default="medium")
    smoothing: EnumProperty(name="Smoothing", items=command.SMOOTHINGS, default="two-way")
    strength: FloatProperty(name="Strength", min=0, max=1, default=1, subtype="FACTOR")
    range: EnumProperty(name="Range", items=RANGES, default="STRIP")
    handles: IntProperty(
        name="Handles", min=0, soft_max=100, default=12, description="Frames more on both sides"
    )
    replace: BoolProperty(
        name="Replace Original", description="Hide the original strip when its matte is in place"
    )
    folder: StringProperty(
        name="Folder",
        subtype="DIR_PATH",
        description=f"Where mattes go; empty: a folder '{command.FOLDER}' beside the clip",
    )
    more: StringProperty(
        name="More Options", description="Options of 'mattecast matte', such as --despill green"
    )


def options_of(settings: MattecastSettings) -> Options:
    """The settings as a command line needs them.

    A choice that only a newer version of the extension has reads as '': the default is taken.
    """
    codes = bytes(round(255 * part) for part in settings.colour)
    return Options(
        format=settings.format or "AUTO",
        background=settings.background or "NONE",
        colour=f"#{codes.hex()}",
        file=bpy.path.abspath(settings.file),
        choke=round(settings.choke, 4),
        feather=round(settings.feather, 4),
        smoothing=settings.smoothing or "two-way",
        strength=round(settings.strength, 4),
        detail=settings.detail or "medium",
        folder=bpy.path.abspath(settings.folder),
        more=settings.more,
    )


class MattecastPreferences(bpy.types.AddonPreferences):
    """Where the program is."""

    bl_idname = __package__

    program: StringProperty(
        name="Program",
        subtype="FILE_PATH",
        description="The program mattecast, or an environment that has it; empty: looked for",
    )

    def draw(self, _context):
        """The preferences of the extension."""
        from . import panels

        panels.draw_preferences(self)


def named_program() -> str:
    """The program that the preferences name, or ''."""
    addon = bpy.context.preferences.addons.get(__package__)
    named = addon.preferences.program if addon and addon.preferences else ""
    return bpy.path.abspath(named) if named else ""
