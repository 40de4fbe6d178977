"""What the user can do: matte strips, nodes and files, show originals, cancel, check."""

from functools import partial
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from . import nodes, program, sequencer, settings, sources, strips
from .command import RequestError
from .program import ProgramError
from .running import QUEUE, begin, finish, place_strip, ready

# What the program said of itself when it was last checked: pairs of a level and a line.
CHECKED: list[tuple[str, str]] = []


class MATTECAST_OT_matte(bpy.types.Operator):
    """Cut the people out of the selected strips, on the channel above"""

    bl_idname = "mattecast.matte"
    bl_label = "Matte"
    bl_options = {"REGISTER"}

    wait: BoolProperty(options={"SKIP_SAVE", "HIDDEN"}, description="Return when all is done")

    @classmethod
    def poll(cls, context):
        return strips.scene_of(context).sequence_editor is not None

    def execute(self, context):
        scene = strips.scene_of(context)
        found = ready(self.report)
        if found is None:
            return {"CANCELLED"}
        chosen, refused = strips.selected(scene), []
        pictured = [strip for strip in chosen if strip.type != "SOUND"]
        for strip in pictured:
            try:
                self._begin(found, scene, strip)
            except (RequestError, OSError) as error:
                refused.append(f"{strip.name}: {error}")
        return finish(self, refused, self.wait)

    def _begin(self, found, scene, strip):
        chosen = scene.mattecast
        options = settings.options_of(chosen)
        piece, origin = sequencer.request(
            scene,
            strip,
            options,
            whole=chosen.range == "CLIP",
            handles=chosen.handles,
            replace=chosen.replace,
        )
        begin(found, strip.name, piece, options, partial(place_strip, found, piece, origin))
        chosen.schema = max(chosen.schema, settings.SCHEMA)


class MATTECAST_OT_matte_nodes(bpy.types.Operator):
    """Cut the people out of the images of the selected nodes, which then show the result"""

    bl_idname = "mattecast.matte_nodes"
    bl_label = "Matte and Load"
    bl_options = {"REGISTER"}

    wait: BoolProperty(options={"SKIP_SAVE", "HIDDEN"})

    @classmethod
    def poll(cls, context):
        return bool(_selected_nodes(context))

    def execute(self, context):
        found = ready(self.report)
        if found is None:
            return {"CANCELLED"}
        refused = []
        for tree, node in _selected_nodes(context):
            try:
                options = settings.options_of(context.scene.mattecast)
                piece, origin = nodes.request(tree, node, options)
                begin(found, node.name, piece, options, partial(nodes.place, origin))
            except (RequestError, OSError) as error:
                refused.append(f"{node.name}: {error}")
        return finish(self, refused, self.wait)


def _selected_nodes(context):
    """The selected nodes with images, each with its tree."""
    space = context.space_data
    tree = space.edit_tree if space is not None and space.type == "NODE_EDITOR" else None
    known = (*nodes.IMAGE_NODES, *nodes.CLIP_NODES)
    return [
        (tree, node)
        for node in (tree.nodes if tree else ())
        if node.select
        if node.bl_idname in known
    ]


class MATTECAST_OT_load(bpy.types.Operator):
    """Cut the people out of a movie, a picture or numbered pictures, and load the result"""

    bl_idname = "mattecast.load"
    bl_label = "Matte and Load"
    bl_options = {"REGISTER"}

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    kind: EnumProperty(
        name="As",
        items=(
            ("PLANE", "Plane", "A plane with the matte as its material"),
            ("IMAGE", "Image", "An image, for nodes and materials"),
        ),
    )
    sequence: BoolProperty(
        name="Numbered Pictures", description="All pictures that are numbered as this one is"
    )
    filter_movie: BoolProperty(default=True, options={"HIDDEN"})
    filter_image: BoolProperty(default=True, options={"HIDDEN"})
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})
    wait: BoolProperty(options={"SKIP_SAVE", "HIDDEN"})

    def invoke(self, context, _event):
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context):
        found = ready(self.report)
        if found is None:
            return {"CANCELLED"}
        options, refused = settings.options_of(context.scene.mattecast), []
        try:
            full = bpy.path.abspath(self.filepath)
            saved = bool(bpy.data.filepath)
            file = sources.existing(full, saved=saved, written=self.filepath)
            piece = nodes.piece_of(file, numbered=self.sequence)
            begin(found, file.name, piece, options, self._place(context, options, file))
        except (RequestError, OSError) as error:
            refused.append(f"{Path(self.filepath).name or 'the file'}: {error}")
        return finish(self, refused, self.wait)

    def _place(self, context, options, file):
        if self.kind == "PLANE":
            return partial(nodes.add_plane, context.scene.name, options)
        return partial(nodes.add_image, options, file)


class MATTECAST_OT_show_original(bpy.types.Operator):
    """Show the originals instead of their mattes; again: the mattes"""

    bl_idname = "mattecast.show_original"
    bl_label = "Show Original"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        if pairs := _selected_nodes(context):
            if not nodes.toggle_original([node for _, node in pairs]):
                self.report({"WARNING"}, "no selected node has a matte")
                return {"CANCELLED"}
            return {"FINISHED"}
        scene = strips.scene_of(context)
        originals, mattes = sequencer.toggle_original(scene, strips.selected(scene))
        if not originals + mattes:
            self.report({"WARNING"}, "there is no matte in this scene")
            return {"CANCELLED"}
        self.report(
            {"INFO"}, f"{originals} originals shown" if originals else f"{mattes} mattes shown"
        )
        return {"FINISHED"}


class MATTECAST_OT_replace(bpy.types.Operator):
    """Hide the originals of the selected mattes"""

    bl_idname = "mattecast.replace"
    bl_label = "Replace"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context):
        scene = strips.scene_of(context)
        if not sequencer.replace(scene, strips.selected(scene)):
            self.report({"WARNING"}, "no selected strip is a matte or has one")
            return {"CANCELLED"}
        return {"FINISHED"}


class MATTECAST_OT_cancel(bpy.types.Operator):
    """End the run and drop what waits; nothing half-made stays"""

    bl_idname = "mattecast.cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context):
        return QUEUE.busy

    def execute(self, _context):
        QUEUE.cancel()
        return {"FINISHED"}


class MATTECAST_OT_clear(bpy.types.Operator):
    """Clear the messages"""

    bl_idname = "mattecast.clear"
    bl_label = "Clear Messages"

    def execute(self, _context):
        QUEUE.results.clear()
        return {"FINISHED"}


class MATTECAST_OT_check(bpy.types.Operator):
    """Start the program, and show what it says of itself"""

    bl_idname = "mattecast.check"
    bl_label = "Check"

    def execute(self, _context):
        CHECKED.clear()
        try:
            found = program.find(settings.named_program())
            version, wrong = program.check(found)
        except ProgramError as error:
            CHECKED.append(("ERROR", str(error)))
            self.report({"ERROR"}, str(error))
            return {"CANCELLED"}
        CHECKED.append(("INFO", f"mattecast {version}: {found}"))
        CHECKED.extend(("ERROR", line) for line in wrong)
        self.report({"WARNING" if wrong else "INFO"}, "; ".join(line for _, line in CHECKED))
        return {"FINISHED"}


OPERATORS = (
    MATTECAST_OT_matte,
    MATTECAST_OT_matte_nodes,
    MATTECAST_OT_load,
    MATTECAST_OT_show_original,
    MATTECAST_OT_replace,
    MATTECAST_OT_cancel,
    MATTECAST_OT_clear,
    MATTECAST_OT_check,
)
