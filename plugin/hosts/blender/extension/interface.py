"""Operators, panels and the timer: what the user sees of the extension in Blender."""

import textwrap
import time
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path

import bpy
from bpy.app.handlers import persistent
from bpy.props import BoolProperty, EnumProperty, StringProperty

from . import command, nodes, program, sequencer, settings, sources, strips
from .command import Piece, RequestError
from .program import ProgramError
from .work import Job, Queue

QUEUE = Queue()
# What the program said of itself when it was last checked: pairs of a level and a line.
CHECKED: list[tuple[str, str]] = []
# Seconds between two looks at the run.
TICK = 0.2
CATEGORY = "mattecast"
# Columns of text in a panel of the usual width.
COLUMNS = 42
_AREAS = ("SEQUENCE_EDITOR", "NODE_EDITOR", "VIEW_3D")
_ICONS = {"INFO": "CHECKMARK", "WARNING": "INFO", "ERROR": "ERROR"}


def ready(report) -> Path | None:
    """The program, or None after a report of why there is none."""
    try:
        return program.find(settings.named_program())
    except ProgramError as error:
        report({"ERROR"}, str(error))
        return None


def begin(found: Path, label: str, piece: Piece, look: command.Look, place) -> None:
    """Put one piece into the queue. Raises RequestError."""
    if label in QUEUE.labels():
        raise RequestError("being matted already")
    QUEUE.add(Job(label, command.command(found, piece, look, bpy.app.version), place))


def place_strip(found: Path, piece: Piece, origin: sequencer.Origin, made: command.Summary):
    """Place a strip's matte; where only one of the whole clip fits, the job that makes it."""
    try:
        return sequencer.place(origin, made)
    except sequencer.UnalignedError:
        whole = command.command(found, replace(piece, part=""), origin.look, bpy.app.version)
        origin = replace(origin, part=False)
        return Job(origin.strip, whole, partial(sequencer.place, origin))


def finish(operator, refused: list[str], wait: bool):
    """Report what was refused and start the queue; what an operator returns."""
    if refused:
        operator.report({"WARNING"}, "; ".join(refused))
    if not QUEUE.busy:
        operator.report({"ERROR"}, "; ".join(refused) or "nothing was selected to be matted")
        return {"CANCELLED"}
    # Without a window there is no timer: a script waits.
    if wait or bpy.app.background:
        return _wait(operator)
    if not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=0.0, persistent=True)
    return {"FINISHED"}


def _wait(operator):
    """Run all jobs now, and report each of them."""
    QUEUE.results.clear()
    while QUEUE.busy:
        QUEUE.step()
        time.sleep(TICK / 10)
    told = list(QUEUE.results)
    for level, line in told:
        operator.report({level}, line)
    return {"CANCELLED"} if told and all(level == "ERROR" for level, _ in told) else {"FINISHED"}


def tick() -> float | None:
    """Look at the run; Blender calls this again after so many seconds, never after None."""
    # While pictures are rendered, the file must not be changed.
    if any(map(bpy.app.is_job_running, ("RENDER", "OBJECT_BAKE"))):
        return TICK
    before = list(QUEUE.results)
    try:
        QUEUE.step()
    except Exception as error:  # a mistake of ours with one strip stops no other
        traceback.print_exc()
        QUEUE.results.append(("ERROR", f"{type(error).__name__}: {error}"))
    if list(QUEUE.results) != before:
        _show(*QUEUE.results[-1])
    redraw()
    return TICK if QUEUE.busy else None


def _show(level: str, line: str) -> None:
    """What became of a job: a step of undo, and a box where it failed."""
    window = bpy.context.window_manager.windows[0]
    with bpy.context.temp_override(window=window):
        if level != "ERROR":
            bpy.ops.ed.undo_push(message=f"mattecast: {line}"[:60])
            return

        def draw(menu, _context):
            for part in wrapped(line, 70):
                menu.layout.label(text=part)

        bpy.context.window_manager.popup_menu(draw, title="mattecast", icon="ERROR")


def redraw() -> None:
    """Draw what shows the progress."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type in _AREAS:
                area.tag_redraw()


def wrapped(text: str, columns: int = COLUMNS) -> list[str]:
    """A line cut into lines; paths are cut too."""
    return textwrap.wrap(text, columns) or [""]


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
        look = settings.look(chosen)
        piece, origin = sequencer.request(
            scene,
            strip,
            look,
            whole=chosen.range == "CLIP",
            handles=chosen.handles,
            replace=chosen.replace,
        )
        begin(found, strip.name, piece, look, partial(place_strip, found, piece, origin))
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
                look = settings.look(context.scene.mattecast)
                piece, origin = nodes.request(tree, node, look)
                begin(found, node.name, piece, look, partial(nodes.place, origin))
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
        look, refused = settings.look(context.scene.mattecast), []
        try:
            full = bpy.path.abspath(self.filepath)
            saved = bool(bpy.data.filepath)
            file = sources.existing(full, saved=saved, written=self.filepath)
            piece = nodes.piece_of(file, numbered=self.sequence)
            begin(found, file.name, piece, look, self._place(context, look, file))
        except (RequestError, OSError) as error:
            refused.append(f"{Path(self.filepath).name or 'the file'}: {error}")
        return finish(self, refused, self.wait)

    def _place(self, context, look, file):
        if self.kind == "PLANE":
            return partial(nodes.add_plane, context.scene.name, look)
        return partial(nodes.add_image, look, file)


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


@persistent
def after_load(*_):
    """Another file was opened: what runs belongs to the file that is closed."""
    if QUEUE.busy:
        QUEUE.cancel("cancelled, as another file was opened")


CLASSES = (
    settings.MattecastSettings,
    settings.MattecastPreferences,
    MATTECAST_OT_matte,
    MATTECAST_OT_matte_nodes,
    MATTECAST_OT_load,
    MATTECAST_OT_show_original,
    MATTECAST_OT_replace,
    MATTECAST_OT_cancel,
    MATTECAST_OT_clear,
    MATTECAST_OT_check,
    MATTECAST_PT_sequencer,
    MATTECAST_PT_nodes,
    MATTECAST_PT_view,
)
MENUS = (
    ("SEQUENCER_MT_strip", draw_menu),
    ("VIEW3D_MT_image_add", draw_add),
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
