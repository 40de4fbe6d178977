"""Runs in a Python that has bpy: installs the extension, does what a request asks, prints JSON.

Arguments: the zip, the program, a folder, and the name of a function below. The folder holds what
`test_blender.py` made for it.
"""

import json
import os
import sys
import traceback
import warnings
from pathlib import Path

import bpy

# Blender 5.3 calls the names of before old.
warnings.simplefilter("ignore", DeprecationWarning)
ZIP, PROGRAM, FOLDER, NAME = sys.argv[1:]
HERE = Path(FOLDER)
MODULE = "bl_ext.user_default.mattecast"
GROUND = (0.1, 0.5, 0.45)


def main():
    bpy.ops.wm.read_homefile(app_template="Video_Editing", use_factory_startup=True)
    bpy.ops.extensions.package_install_files(
        filepath=ZIP, repo="user_default", enable_on_install=True
    )
    bpy.context.preferences.addons[MODULE].preferences.program = PROGRAM
    print("\nREPORT", json.dumps(globals()[NAME]()))


def scene(fps=24, size=(64, 48)):
    """The scene, set up to render the sequencer as it is."""
    made = bpy.context.scene
    workspace = bpy.context.window_manager.windows[0].workspace
    if hasattr(workspace, "sequencer_scene"):
        workspace.sequencer_scene = made
    render = made.render
    render.fps, render.use_sequencer = fps, True
    render.resolution_x, render.resolution_y, render.resolution_percentage = *size, 100
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "IMAGE"
    render.image_settings.file_format, render.image_settings.color_mode = "PNG", "RGB"
    made.view_settings.view_transform = "Standard"
    editor = made.sequence_editor_create()
    for strip in list(strips(made)):
        (editor.strips if hasattr(editor, "strips") else editor.sequences).remove(strip)
    made.mattecast.more = f"--keep '{HERE / 'white.png'}' --foreground source --detail fast"
    made.mattecast.handles = 2
    return made


def strips(made):
    editor = made.sequence_editor
    return editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all


def top(made):
    editor = made.sequence_editor
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def sequencer():
    """A context in which operators of strips run."""
    window = bpy.context.window_manager.windows[0]
    area = [each for each in window.screen.areas if each.type == "SEQUENCE_EDITOR"][-1]
    region = next(each for each in area.regions if each.type == "WINDOW")
    return bpy.context.temp_override(window=window, area=area, region=region)


def movie(made, name, channel=2, synced=True):
    """A movie strip; synced: played at its own rate, as the menu adds it."""
    path = str(HERE / name)
    # The operator of 5.3 crashes without a window.
    if not synced or bpy.app.version >= (5, 3):
        return top(made).new_movie(name=name, filepath=path, channel=channel, frame_start=1)
    more = {"move_strips": False} if bpy.app.version >= (5, 0) else {}
    with sequencer():
        bpy.ops.sequencer.movie_strip_add(
            filepath=path,
            frame_start=1,
            channel=channel,
            sound=False,
            adjust_playback_rate=True,
            use_framerate=False,
            **more,
        )
    return made.sequence_editor.active_strip


def trim(strip, left, right):
    strip.frame_final_start, strip.frame_final_end = left, right


def select(made, *chosen):
    for strip in strips(made):
        strip.select = strip in chosen
    made.sequence_editor.active_strip = chosen[0] if chosen else None


def matte(made, *chosen):
    """Press Matte; the error, or ''."""
    select(made, *chosen)
    try:
        bpy.ops.mattecast.matte()
    except RuntimeError as error:
        return str(error).strip().removeprefix("Error: ")
    return ""


def matte_of(made, strip):
    return next(each for each in strips(made) if each.name == f"{strip.name} matte")


def gray(made, frame, strip, other):
    """The gray value in the middle where one strip is shown and the other is not."""
    strip.mute, other.mute = False, True
    made.frame_set(frame)
    return picture(made)[48 // 2 * 64 + 32]


def picture(made):
    """The first channel of all pixels of the rendered picture, 0 to 255."""
    made.render.filepath = str(HERE / "shown.png")
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(made.render.filepath)
    values = [255 * value for value in image.pixels[:][0::4]]
    bpy.data.images.remove(image)
    return values


def compared(made, strip):
    """Matte a strip; what it and its matte show at each frame."""
    error = matte(made, strip)
    if error:
        return {"error": error}
    made_matte = matte_of(made, strip)
    frames = range(strip.frame_final_start, strip.frame_final_end)
    return {
        "pairs": [
            (gray(made, each, strip, made_matte), gray(made, each, made_matte, strip))
            for each in frames
        ],
        "channels": (strip.channel, made_matte.channel),
        "ends": (made_matte.frame_final_start, made_matte.frame_final_end)
        == (frames.start, frames.stop),
        "file": getattr(made_matte, "filepath", ""),
    }


def same_rate():
    made = scene(30)
    strip = movie(made, "numbers 30 ö.mov")
    trim(strip, 15, 35)
    strip.transform.offset_x, strip.crop.min_x = 3, 2
    return compared(made, strip)


def other_rate():
    made = scene(24)
    strip = movie(made, "numbers 30 ö.mov")
    trim(strip, 15, 35)
    return compared(made, strip)


def ntsc_in_25():
    made = scene(25)
    strip = movie(made, "numbers 29.97.mov")
    trim(strip, 9, 40)
    return compared(made, strip)


def frame_by_frame():
    made = scene(24)
    strip = movie(made, "numbers 30 ö.mov", synced=False)
    trim(strip, 15, 35)
    return compared(made, strip)


def reversed_strip():
    made = scene(24)
    strip = movie(made, "numbers 30 ö.mov")
    strip.use_reverse_frames = True
    trim(strip, 15, 35)
    return compared(made, strip)


def strobe():
    made = scene(30)
    strip = movie(made, "numbers 30 ö.mov")
    strip.strobe = 3
    trim(strip, 15, 35)
    return compared(made, strip)


def retimed():
    made = scene(30)
    strip = movie(made, "numbers 30 ö.mov")
    trim(strip, 10, 50)
    select(made, strip)
    with sequencer():
        bpy.ops.sequencer.retiming_segment_speed_set(speed=150)
    return compared(made, strip)


def cut_off():
    made = scene(24)
    strip = movie(made, "numbers 30 ö.mov")
    strip.animation_offset_start, strip.animation_offset_end = 10, 5
    trim(strip, 8, 25)
    return compared(made, strip)


def held_ends():
    made = scene(30)
    strip = movie(made, "numbers 30 ö.mov")
    trim(strip, -3, 70)
    return compared(made, strip)


def variable_rate():
    made = scene(24)
    strip = movie(made, "variable.mov")
    trim(strip, 10, 40)
    return compared(made, strip)


def pictures():
    made = scene(24)
    folder = HERE / "pictures"
    names = sorted(each.name for each in folder.glob("*.png"))[3:18]
    strip = top(made).new_image(
        name="pictures", filepath=str(folder / names[0]), channel=2, frame_start=5
    )
    for name in names[1:]:
        strip.elements.append(name)
    trim(strip, 8, 15)
    return compared(made, strip)


def one_picture():
    made = scene(24)
    name = str(sorted((HERE / "pictures").glob("*.png"))[5])
    strip = top(made).new_image(name="picture", filepath=name, channel=2, frame_start=5)
    trim(strip, 8, 12)
    return compared(made, strip)


def in_meta_strip():
    made = scene(24)
    strip = movie(made, "numbers 30 ö.mov")
    name, meta = strip.name, top(made).new_meta(name="meta", channel=5, frame_start=1)
    strip.move_to_meta(meta)
    made.sequence_editor.display_stack(meta)
    strip = strips(made)[name]
    trim(strip, 15, 25)
    told = compared(made, strip)
    return {**told, "inside": len(meta.strips if hasattr(meta, "strips") else meta.sequences)}


def deep():
    """ProRes, whose alpha differs between versions."""
    made = scene(30)
    strip = movie(made, "numbers 30 ö.mov")
    made.mattecast.format = "PRORES"
    trim(strip, 15, 25)
    return compared(made, strip)


def refusals():
    """What each bad request says, and whether all strips stayed as they were."""
    made = scene(24)
    length = {"length": 20} if bpy.app.version >= (5, 0) else {"frame_end": 21}
    colour = top(made).new_effect(name="wall", type="COLOR", channel=1, frame_start=1, **length)
    other = top(made).new_scene(
        name="other", scene=bpy.data.scenes.new("other"), channel=2, frame_start=1
    )
    meta = top(made).new_meta(name="meta", channel=3, frame_start=1)
    files = {"gone": str(HERE / "gone.mov"), "relative": "//clip.mov", "text": __file__}
    bad = [
        top(made).new_movie(name=name, filepath=file, channel=4 + index, frame_start=1)
        for index, (name, file) in enumerate(files.items())
    ]
    clip = movie(made, "numbers 30 ö.mov", channel=9)
    before = state(made)
    said = {each.name: matte(made, each) for each in (colour, other, meta, *bad)}
    said["nothing"] = matte(made)
    made.mattecast.format = "H264"
    said["h264"] = matte(made, clip)
    made.mattecast.format, made.mattecast.more = "AUTO", "--nonsense"
    said["option"] = matte(made, clip)
    preferences = bpy.context.preferences.addons[MODULE].preferences
    preferences.program = str(HERE / "nowhere")
    said["program"] = matte(made, clip)
    return {"said": said, "unchanged": before == state(made)}


def state(made):
    return [
        (each.name, each.channel, each.frame_final_start, each.frame_final_end, each.mute)
        for each in strips(made)
    ]


def several_and_again():
    """Three strips in one go, again, originals shown, hidden, and a matte of a newer version."""
    made = scene(30)
    chosen = [movie(made, "numbers 30 ö.mov", each) for each in (2, 3)]
    for strip, (left, right) in zip(chosen, ((1, 11), (21, 31)), strict=True):
        trim(strip, left, right)
    made.mattecast.replace = True
    told = {"error": matte(made, *chosen), "count": len(strips(made))}
    mattes = [matte_of(made, strip) for strip in chosen]
    told["channels"] = [each.channel for each in mattes]
    told["replaced"] = [each.mute for each in (*chosen, *mattes)]
    told["selected"] = sorted(each.name for each in strips(made) if each.select) == sorted(
        each.name for each in chosen
    )
    bpy.ops.mattecast.show_original()
    told["original"] = [each.mute for each in (*chosen, *mattes)]
    made.mattecast.choke = 1
    told["again"] = matte(made, *chosen)
    told["count again"] = len(strips(made))
    told["of a matte"] = matte(made, mattes[0])
    mattes[0]["mattecast"] = json.dumps({"schema": 99, "original": chosen[0].name})
    file = mattes[0].filepath
    told["newer"] = matte(made, chosen[0])
    told["newer is left"] = mattes[0].filepath == file and len(strips(made)) == 5
    return told


def composite():
    """A real clip over a colour, rendered, saved, opened again and rendered again."""
    made = scene(30, (640, 480))
    made.mattecast.more = "--detail fast"
    length = {"length": 40} if bpy.app.version >= (5, 0) else {"frame_end": 41}
    ground = top(made).new_effect(name="wall", type="COLOR", channel=1, frame_start=1, **length)
    ground.color = GROUND
    strip = movie(made, "signing.mp4")
    trim(strip, 21, 31)
    made.mattecast.replace = True
    blend = str(HERE / "file.blend")
    bpy.ops.wm.save_as_mainfile(filepath=blend)
    told = {"error": matte(made, strip)}
    shown = matte_of(made, strip)
    told["file"], told["start"] = bpy.path.abspath(shown.filepath), shown.frame_start
    told["relative"] = shown.filepath.startswith("//")
    made.frame_set(25)
    made.render.image_settings.color_depth = "16"
    made.render.filepath = str(HERE / "before.png")
    bpy.ops.render.render(write_still=True)
    bpy.ops.wm.save_as_mainfile(filepath=blend)
    bpy.ops.wm.open_mainfile(filepath=blend)
    bpy.context.scene.render.filepath = str(HERE / "after.png")
    bpy.ops.render.render(write_still=True)
    return told


def images():
    """Nodes of a material, and planes."""
    made = scene(24)
    material = bpy.data.materials.new("material")
    material.use_nodes = True
    tree = material.node_tree
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.load(str(HERE / "numbers 30 ö.mov"))
    node.image_user.frame_duration, node.image_user.frame_offset = 50, 3
    empty = tree.nodes.new("ShaderNodeTexImage")
    for each in tree.nodes:
        each.select = each in (node, empty)
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda each: each.width * each.height)
    area.ui_type = "ShaderNodeTree"
    space = area.spaces.active
    space.pin, space.node_tree = True, tree
    told = {}
    with bpy.context.temp_override(window=window, area=area, space_data=space):
        bpy.ops.mattecast.matte_nodes()
        told["node"] = (node.image.name, node.image.source, node.image.alpha_mode)
        told["times"] = (node.image_user.frame_duration, node.image_user.frame_offset)
        bpy.ops.mattecast.show_original()
        told["original"] = node.image.name
    del made
    bpy.ops.wm.read_homefile(app_template="", use_factory_startup=True)
    bpy.context.preferences.addons[MODULE].preferences.program = PROGRAM
    bpy.context.scene.mattecast.more = "--detail fast"
    picture = str(sorted((HERE / "pictures").glob("*.png"))[0])
    bpy.ops.mattecast.load(filepath=picture, kind="PLANE", sequence=True)
    plane = next(each for each in bpy.data.objects if each.type == "MESH" and each.name != "Cube")
    used = [
        each
        for slot in plane.material_slots
        for each in slot.material.node_tree.nodes
        if each.type == "TEX_IMAGE"
    ]
    told["plane"] = (used[0].image.source, used[0].image_user.frame_duration)
    try:
        bpy.ops.mattecast.load(filepath=str(HERE / "gone.mov"), kind="IMAGE")
    except RuntimeError as error:
        told["gone"] = str(error)
    return told


try:
    main()
except Exception:
    traceback.print_exc()
# Blender 4.5 may wait for ever for a thread of its own when Python ends.
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
