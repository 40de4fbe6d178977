"""The queue of runs, and the timer that looks at it while Blender stays usable."""

import textwrap
import time
import traceback
from dataclasses import replace
from functools import partial
from pathlib import Path

import bpy

from . import command, program, sequencer, settings
from .command import Piece, RequestError
from .program import ProgramError
from .work import Job, Queue

QUEUE = Queue()
# Seconds between two looks at the run.
TICK = 0.2
# Columns of text in a panel of the usual width.
COLUMNS = 42
_AREAS = ("SEQUENCE_EDITOR", "NODE_EDITOR", "VIEW_3D")


def ready(report) -> Path | None:
    """The program, or None after a report of why there is none."""
    try:
        return program.find(settings.named_program())
    except ProgramError as error:
        report({"ERROR"}, str(error))
        return None


def begin(found: Path, label: str, piece: Piece, options: command.Options, place) -> None:
    """Put one piece into the queue. Raises RequestError."""
    if label in QUEUE.labels():
        raise RequestError("being matted already")
    QUEUE.add(Job(label, command.command(found, piece, options, bpy.app.version), place))


def place_strip(found: Path, piece: Piece, origin: sequencer.Origin, made: command.Summary):
    """Place a strip's matte; where only one of the whole clip fits, the job that makes it."""
    try:
        return sequencer.place(origin, made)
    except sequencer.UnalignedError:
        whole = command.command(found, replace(piece, part=""), origin.options, bpy.app.version)
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
    results = list(QUEUE.results)
    for level, line in results:
        operator.report({level}, line)
    return (
        {"CANCELLED"} if results and all(level == "ERROR" for level, _ in results) else {"FINISHED"}
    )


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
