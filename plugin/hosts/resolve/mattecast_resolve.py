"""Mattes clips of the current timeline with mattecast and lays the mattes above them.

For DaVinci Resolve Studio: Workspace, Scripts, Edit, mattecast; or from a terminal, while Studio
runs and lets scripts in (Preferences, General, External scripting: Local):

    python "Matte (Python, Studio).py" selected | colour | track

The script in Lua beside this one does the same in both editions. What is matted, and where it goes,
the program decides: see there for the files that both use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

FOLDER = "@FOLDER@"  # the folder of the files
START = ["@START@"]  # what answers one request

BIN = "mattecast"  # the bin of the media pool that takes the mattes
POLL = 0.25  # seconds between two looks at the answer
LINE = 5  # seconds between two lines of progress
PATIENCE = 30  # seconds until the first answer
SILENCE = 60  # seconds without a sign of life that mean that the program has ended
LOOK = (
    *("Pan", "Tilt", "ZoomX", "ZoomY", "ZoomGang", "RotationAngle", "AnchorPointX"),
    *("AnchorPointY", "Pitch", "Yaw", "FlipX", "FlipY", "CropLeft", "CropRight", "CropTop"),
    *("CropBottom", "CropSoftness", "CropRetain", "Distortion", "Scaling", "ResizeFilter"),
)
ATTRIBUTES = (
    *("Input Color Space", "Input Gamma", "Data Level", "PAR", "H-FLIP", "V-FLIP"),
    "Input Sizing Preset",
)


class Stop(Exception):
    """Ends the script with one line."""


def say(line: str) -> None:
    """A line for the console."""
    print("mattecast: " + line)


def attempt(thing: Any, method: str, *arguments: Any) -> Any:
    """The result of a method that not every version of Resolve has; None where it has none."""
    try:
        return getattr(thing, method)(*arguments)
    except Exception:
        return None


def need(result: Any, line: str) -> Any:
    """What a method must give; the line ends the script where it does not."""
    if not result:
        raise Stop(line)
    return result


# The files.


def write(name: str, value: Any) -> None:
    """Write a file of the folder, as the script in Lua does."""
    text = json.dumps(value)  # in ASCII
    packed = "".join(c if c.isalnum() else f"%{ord(c):02X}" for c in text)
    path = os.path.join(FOLDER, name)
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write('{ mattecast = "' + packed + '." }\n')
    except OSError as error:
        raise Stop(f"cannot write {path}: {error.strerror}") from error


def read() -> dict[str, Any] | None:
    """The newest answer; None where there is none."""
    try:
        with open(os.path.join(FOLDER, "answer.json"), encoding="ascii") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def start() -> subprocess.Popen[bytes]:
    """Start the program, without the Python and the libraries of Resolve."""
    foreign = ("PYTHONHOME", "LD_LIBRARY_PATH")
    clean = {name: value for name, value in os.environ.items() if name not in foreign}
    hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)
    null = subprocess.DEVNULL
    try:
        return subprocess.Popen(
            START, stdin=null, stdout=null, stderr=null, env=clean, creationflags=hidden
        )
    except OSError as error:
        raise Stop(
            f"{START[0]} cannot be started ({error.strerror}); "
            "run mattecast hosts install resolve again"
        ) from error


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """Write the request and wait until it is answered; progress goes to the console."""
    write("request.lua", request)
    program = start()
    try:
        return heard(request["ticket"], program)
    finally:
        with suppress(subprocess.TimeoutExpired):
            program.wait(5)


def heard(ticket: str, program: subprocess.Popen[bytes]) -> dict[str, Any]:
    """The last answer to a request."""
    since, beat, shown, due = time.monotonic(), None, None, 0.0
    while time.monotonic() - since < (PATIENCE if beat is None else SILENCE):
        time.sleep(POLL)
        answer = read()
        if answer is None or answer["ticket"] != ticket:
            if program.poll():
                break
            continue
        if answer["state"] != "working":
            return answer
        if answer["beat"] != beat:
            since, beat = time.monotonic(), answer["beat"]
        if answer["message"] != shown and time.monotonic() >= due:
            shown, due = answer["message"], time.monotonic() + LINE
            say(shown)
    if beat is not None:
        raise Stop("the program has stopped answering; the timeline is as it was")
    raise Stop("the program did not start; run `mattecast hosts install resolve` again")


# What Resolve knows.


def resolved() -> Any:
    """The application: a global inside Resolve; from a terminal, by Resolve's module."""
    app = globals().get("resolve")
    if app is None:
        try:
            import DaVinciResolveScript  # type: ignore[import-not-found]
        except ImportError as error:
            raise Stop("Resolve's module DaVinciResolveScript is not on PYTHONPATH") from error
        app = DaVinciResolveScript.scriptapp("Resolve")
    return need(app, "DaVinci Resolve Studio is not running, or lets no script in")


def media(item: Any) -> dict[str, Any]:
    """The file and the clip attributes of an item; nothing for items without a file."""
    clip = attempt(item, "GetMediaPoolItem")
    if not clip:
        return {}
    named = {"path": "File Path", "rate": "FPS", "frames": "Frames"}
    return {key: attempt(clip, "GetClipProperty", name) for key, name in named.items()}


def facts(item: Any, track: int) -> dict[str, Any]:
    """All that the program must know of an item of the timeline."""
    speed = attempt(item, "GetSpeed")
    left, right = attempt(item, "GetLeftOffset", True), attempt(item, "GetRightOffset", True)
    return {
        "name": item.GetName(),
        "track": track,
        "start": item.GetStart(),
        "length": item.GetDuration(),
        "left": attempt(item, "GetLeftOffset") if left is None else left,
        "right": attempt(item, "GetRightOffset") if right is None else right,
        "source_start": attempt(item, "GetSourceStartFrame"),
        "source_end": attempt(item, "GetSourceEndFrame"),
        "speed": speed.get("Percentage") if isinstance(speed, dict) else None,
        "kind": attempt(item, "GetType"),
        "media": media(item),
    }


def items(timeline: Any) -> list[tuple[Any, int]]:
    """All items of the video tracks, each with the number of its track."""
    return [
        (item, track)
        for track in range(1, timeline.GetTrackCount("video") + 1)
        for item in timeline.GetItemListInTrack("video", track) or []
    ]


def tracks(timeline: Any) -> list[dict[str, Any]]:
    """The video tracks: whether each is locked, and what lies where."""
    found: list[dict[str, Any]] = [
        {"locked": bool(attempt(timeline, "GetIsTrackLocked", "video", track)), "places": []}
        for track in range(1, timeline.GetTrackCount("video") + 1)
    ]
    for item, track in items(timeline):
        place = [item.GetStart(), item.GetEnd(), media(item).get("path") or ""]
        found[track - 1]["places"].append(place)
    return found


def at_playhead(timeline: Any) -> tuple[Any, int]:
    """The item under the playhead, and its track."""
    item = need(timeline.GetCurrentVideoItem(), "there is no clip under the playhead")
    for other, track in items(timeline):
        if other.GetUniqueId() == item.GetUniqueId():
            return other, track
    raise Stop("the clip under the playhead lies on no video track")


def marks_of(item: Any) -> set[str]:
    """The clip colour and the flags of an item."""
    colour = attempt(item, "GetClipColor")
    flags = {"flag " + flag for flag in attempt(item, "GetFlagList") or []}
    return flags | ({"clip colour " + colour} if colour else set())


def where(timeline: Any, test: Callable[[Any, int], bool]) -> list[tuple[Any, int]]:
    """The items with a clip of the media pool for which a test holds."""
    return [
        (item, track)
        for item, track in items(timeline)
        if attempt(item, "GetMediaPoolItem") and test(item, track)
    ]


def selected(timeline: Any) -> list[tuple[Any, int]]:
    """What is selected, where Resolve tells it (21 and later); else the clip under the playhead."""
    wanted = {item.GetUniqueId() for item in attempt(timeline, "GetSelectedClips") or []}
    if not wanted:
        return [at_playhead(timeline)]
    found = where(timeline, lambda item, _: item.GetUniqueId() in wanted)
    return list(need(found, "none of the selected clips is a video clip with a file"))


def colour(timeline: Any) -> list[tuple[Any, int]]:
    """Every clip that has the clip colour, or a flag, of the clip under the playhead."""
    marks = marks_of(at_playhead(timeline)[0])
    need(marks, "the clip under the playhead has neither a clip colour nor a flag")
    return where(timeline, lambda item, _: bool(marks & marks_of(item)))


def whole_track(timeline: Any) -> list[tuple[Any, int]]:
    """The clips of the playhead's track, between the in and out marks if there are."""
    wanted = at_playhead(timeline)[1]
    marks = (attempt(timeline, "GetMarkInOut") or {}).get("video") or {}
    zero = timeline.GetStartFrame()
    first, last = marks.get("in"), marks.get("out")

    def test(item: Any, track: int) -> bool:
        early = first is not None and item.GetEnd() <= zero + first
        late = last is not None and item.GetStart() > zero + last
        return track == wanted and not early and not late

    return list(need(where(timeline, test), "there is no clip with a file between in and out"))


CHOOSE = {"selected": selected, "colour": colour, "track": whole_track}


# The timeline.


class Layer:
    """Lays mattes, and takes all of them away again when one cannot be laid."""

    def __init__(self, project: Any, timeline: Any) -> None:
        self.project, self.timeline = project, timeline
        self.pool = project.GetMediaPool()
        self.undo: list[Callable[[], Any]] = []

    def lay_all(self, chosen: list[tuple[Any, int]], places: list[dict[str, Any]]) -> None:
        """Lay all mattes, or none; the bin and the timeline that are open stay so."""
        shown, current = self.project.GetCurrentTimeline(), self.pool.GetCurrentFolder()
        try:
            need(self.project.SetCurrentTimeline(self.timeline), "the timeline is gone")
            folder = self.folder()
            for place in places:
                self.lay(folder, chosen[place["clip"] - 1][0], place)
        except BaseException:
            for step in reversed(self.undo):
                with suppress(Exception):
                    step()
            raise
        finally:
            self.pool.SetCurrentFolder(current)
            if shown and shown.GetUniqueId() != self.timeline.GetUniqueId():
                self.project.SetCurrentTimeline(shown)

    def folder(self) -> Any:
        """The bin for mattes."""
        root = self.pool.GetRootFolder()
        for folder in root.GetSubFolderList() or []:
            if folder.GetName() == BIN:
                return folder
        made = need(self.pool.AddSubFolder(root, BIN), f"the bin {BIN} could not be made")
        self.undo.append(lambda: self.pool.DeleteFolders([made]))
        return made

    def imported(self, folder: Any, path: str) -> Any:
        """The matte in the media pool: the one of an earlier run, or imported."""
        for clip in folder.GetClipList() or []:
            if clip.GetClipProperty("File Path") == path:
                return clip
        need(self.pool.SetCurrentFolder(folder), f"the bin {BIN} could not be opened")
        clips = attempt(self.pool, "ImportMedia", [path])
        clips = clips or attempt(self.pool, "ImportMedia", [{"FilePath": path}])
        clip = need(clips, f"{path} could not be imported")[0]
        self.undo.append(lambda: self.pool.DeleteClips([clip]))
        return clip

    def appended(self, clip: Any, place: dict[str, Any]) -> tuple[Any, bool]:
        """The piece where it was asked for, and whether parts of a frame had to be left out.

        The end belonged to the range up to Resolve 18, and does not since 19; not every version
        takes parts of frames. So each piece is looked at, and taken away where it lies wrong.
        """
        first, last = place["first"], place["last"]
        for exact in (True, False):
            start = first if exact else int(first + 1e-6)
            end = last if exact else int(last + 0.5)
            for shift in (0, -1, 1):
                made = self.pool.AppendToTimeline(
                    [
                        {
                            "mediaPoolItem": clip,
                            "startFrame": start,
                            "endFrame": end + shift,
                            "mediaType": 1,
                            "trackIndex": place["track"],
                            "recordFrame": place["record"],
                        }
                    ]
                )
                item = made[0] if made else None
                if item and (item.GetStart(), item.GetDuration()) == (
                    place["record"],
                    place["length"],
                ):
                    return item, start != first
                if item:
                    self.timeline.DeleteClips([item], False)
        raise Stop(f"Resolve did not take {place['path']} on track {place['track']}")

    def without_track(self, number: int) -> Callable[[], Any]:
        """What deletes a track again."""
        return lambda: self.timeline.DeleteTrack("video", number)

    def lay(self, folder: Any, item: Any, place: dict[str, Any]) -> None:
        """Lay one matte above its clip, with the same size, place, crop and grade."""
        clip, alpha = self.imported(folder, place["path"]), place["alpha"]
        straight = clip.GetClipProperty("Alpha mode") == alpha
        if not (straight or attempt(clip, "SetClipProperty", "Alpha mode", alpha)):
            say(f"set Clip Attributes, Alpha Mode of {clip.GetName()} to {alpha}")
        while self.timeline.GetTrackCount("video") < place["track"]:
            need(self.timeline.AddTrack("video"), "a video track could not be added")
            self.undo.append(self.without_track(self.timeline.GetTrackCount("video")))
        matte, off = self.appended(clip, place)
        self.undo.append(lambda: self.timeline.DeleteClips([matte], False))
        if off:
            say(f"{item.GetName()}: the matte may be off by less than a frame of the clip")
        copy_look(item, matte)
        if place["colour"]:
            attempt(matte, "SetClipColor", place["colour"])


def copy_look(item: Any, matte: Any) -> None:
    """Give a matte the size, the place, the crop, the grade and the attributes of its clip."""
    clip, own = item.GetMediaPoolItem(), matte.GetMediaPoolItem()
    for name in ATTRIBUTES:
        value = attempt(clip, "GetClipProperty", name)
        if value and value != attempt(own, "GetClipProperty", name):
            attempt(own, "SetClipProperty", name, value)
    look = attempt(item, "GetProperty") or attempt(item, "GetProperties") or {}
    for key in LOOK:
        if look.get(key) is not None:
            attempt(matte, "SetProperty", key, look[key])
    attempt(item, "CopyGrades", [matte])


def unchanged(chosen: tuple[Any, int], before: dict[str, Any]) -> bool:
    """Whether an item is still what it was when the program was asked."""
    try:
        now = facts(*chosen)
    except Exception:
        return False
    return all(now[key] == before[key] for key in ("start", "length", "left", "media"))


def run(what: str) -> None:
    """Matte what is chosen. Raises Stop with a line where that cannot be."""
    project = need(resolved().GetProjectManager().GetCurrentProject(), "no project is open")
    timeline = need(project.GetCurrentTimeline(), "no timeline is open")
    chosen = CHOOSE[what](timeline)
    before = [facts(item, track) for item, track in chosen]
    answer = answered(
        {
            "form": 1,
            "ticket": f"{os.getpid()}-{time.time_ns()}",
            "clips": before,
            "tracks": tracks(timeline),
            "rate": timeline.GetSetting("timelineFrameRate"),
        }
    )
    for line in answer["lines"]:
        say(line)
    if answer["state"] != "done":
        raise Stop(answer["message"])
    for place in answer["places"]:
        number = place["clip"] - 1
        if not unchanged(chosen[number], before[number]):
            name = before[number]["name"]
            raise Stop(f"{name} was changed meanwhile; run this again: the mattes are kept")
    if answer["places"]:
        Layer(project, timeline).lay_all(chosen, answer["places"])
    say(answer["message"])


def main(arguments: list[str]) -> int:
    """Run the script; the exit code says whether it did its work."""
    what = arguments[0] if arguments else "selected"
    try:
        if what not in CHOOSE:
            raise Stop(f"'{what}': selected, colour and track are what can be matted")
        run(what)
    except Stop as stop:
        say(str(stop))
        return 1
    except KeyboardInterrupt:
        answer = read() or {}
        write("cancel.lua", {"ticket": answer.get("ticket")})
        say("cancelled; the timeline is as it was")
        return 130
    return 0


if __name__ == "__main__":
    if "resolve" in globals():  # inside Resolve, which has arguments of its own
        main([])
    else:
        sys.exit(main(sys.argv[1:]))
