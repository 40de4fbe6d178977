"""What the user sees: panels in the sidebars, entries of menus, the preferences."""

import bpy

from . import program, settings, strips
from .operators import CHECKED
from .program import ProgramError
from .running import QUEUE, wrapped

CATEGORY = "mattecast"
_ICONS = {"INFO": "CHECKMARK", "WARNING": "INFO", "ERROR": "ERROR"}


def draw_settings(layout, chosen, *, sequencer_too: bool) -> None:
    """The settings of a scene."""
    layout.use_property_split, layout.use_property_decorate = True, False
    if chosen.schema > settings.SCHEMA:
        draw_lines(layout, "WARNING", "a newer version of this extension set this scene up")
    layout.prop(chosen, "format")
    layout.prop(chosen, "background")
    if chosen.background == "COLOUR":
        layout.prop(chosen, "colour")
    if chosen.background == "FILE":
        layout.prop(chosen, "file")
    edge = layout.column(align=True)
    for name in ("detail", "choke", "feather"):
        edge.prop(chosen, name)
    smooth = layout.column(align=True)
    smooth.prop(chosen, "smoothing")
    if chosen.smoothing != "off":
        smooth.prop(chosen, "strength")
    if sequencer_too:
        used = layout.column(align=True)
        used.prop(chosen, "range")
        if chosen.range == "STRIP":
            used.prop(chosen, "handles")
    layout.prop(chosen, "folder")
    layout.prop(chosen, "more")


def draw_lines(layout, level: str, text: str) -> None:
    """A message of any length."""
    column = layout.column(align=True)
    for number, part in enumerate(wrapped(text)):
        column.label(text=part, icon="BLANK1" if number else _ICONS[level])


def draw_progress(layout) -> None:
    """The bar, Cancel, and what became of the jobs before."""
    if QUEUE.busy:
        layout.progress(factor=QUEUE.share, text=f"{round(100 * QUEUE.share)} %")
        for part in wrapped(QUEUE.status):
            layout.label(text=part)
        layout.operator("mattecast.cancel", icon="CANCEL")
    if QUEUE.results:
        box = layout.box()
        for level, line in list(QUEUE.results)[-3:]:
            draw_lines(box, level, line)
        box.operator("mattecast.clear", icon="X")


def draw_preferences(preferences) -> None:
    """The preferences: the program, whether it runs, how it is installed."""
    layout = preferences.layout
    row = layout.row()
    row.prop(preferences, "program")
    row.operator("mattecast.check", icon="FILE_REFRESH")
    try:
        found = program.find(settings.named_program())
        layout.label(text=f"Uses {found}", icon="CHECKMARK")
    except ProgramError:
        box = layout.box()
        box.label(text="The program mattecast was not found.", icon="ERROR")
        for line in program.HELP:
            box.label(text=line)
        return
    for level, line in CHECKED:
        for number, part in enumerate(wrapped(line, 90)):
            layout.label(text=part, icon="BLANK1" if number else _ICONS[level])


class MATTECAST_PT_sequencer(bpy.types.Panel):
    bl_label = "mattecast"
    bl_space_type, bl_region_type, bl_category = "SEQUENCE_EDITOR", "UI", CATEGORY

    @classmethod
    def poll(cls, context):
        return strips.scene_of(context) is not None

    def draw(self, context):
        chosen = strips.scene_of(context).mattecast
        layout = self.layout
        layout.operator("mattecast.matte", icon="OUTLINER_OB_ARMATURE")
        layout.prop(chosen, "replace")
        row = layout.row(align=True)
        row.operator("mattecast.replace", icon="HIDE_ON")
        row.operator("mattecast.show_original", icon="HIDE_OFF")
        draw_progress(layout)
        draw_settings(layout, chosen, sequencer_too=True)


class MATTECAST_PT_nodes(bpy.types.Panel):
    bl_label = "mattecast"
    bl_space_type, bl_region_type, bl_category = "NODE_EDITOR", "UI", CATEGORY

    @classmethod
    def poll(cls, context):
        return context.space_data.tree_type in ("CompositorNodeTree", "ShaderNodeTree")

    def draw(self, context):
        layout = self.layout
        layout.operator("mattecast.matte_nodes", icon="NODE")
        layout.operator("mattecast.show_original", icon="HIDE_OFF")
        draw_progress(layout)
        draw_settings(layout, context.scene.mattecast, sequencer_too=False)


class MATTECAST_PT_view(bpy.types.Panel):
    bl_label = "mattecast"
    bl_space_type, bl_region_type, bl_category = "VIEW_3D", "UI", CATEGORY
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context):
        layout = self.layout
        layout.operator("mattecast.load", text="Matte and Load as Plane", icon="MESH_PLANE")
        draw_progress(layout)
        draw_settings(layout, context.scene.mattecast, sequencer_too=False)


def draw_menu(self, _context):
    """Strip menu of the sequencer."""
    self.layout.separator()
    self.layout.operator("mattecast.matte")
    self.layout.operator("mattecast.show_original")


def draw_add(self, _context):
    """Add, Image of the 3D view."""
    self.layout.operator("mattecast.load", text="Matte and Load as Plane", icon="MESH_PLANE")


PANELS = (MATTECAST_PT_sequencer, MATTECAST_PT_nodes, MATTECAST_PT_view)
MENUS = (
    ("SEQUENCER_MT_strip", draw_menu),
    ("VIEW3D_MT_image_add", draw_add),
)
