"""A stand-in for the documented calls of Resolve's scripting API, as far as our scripts use them.

It is as strict as the documentation: an unknown method does not exist, a wrong type raises. The
numbers are what others measured with 18 to 21.1: GetEnd is not part of the item; GetLeftOffset
counts frames of the timeline; GetSourceEndFrame is part of the item; the end of AppendToTimeline
is part of the piece up to 18 and not since 19; what overlaps, or lies on a locked track, is not
appended. Timelines and clips are told as text, so that two states can be compared.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import av

from mattecast.media.grid import standard_rate

COLOURS = {"Orange", "Apricot", "Yellow", "Lime", "Olive", "Green", "Teal", "Navy", "Blue"}
LOOK = {"Pan": 0.0, "Tilt": 0.0, "ZoomX": 1.0, "ZoomY": 1.0, "CropLeft": 0.0}
_ids = itertools.count(1)


@dataclass
class Edition:
    """A version of Resolve: what it can do, and which calls fail in this test."""

    major: int = 21
    studio: bool = True
    fractions: bool = True  # AppendToTimeline takes parts of frames
    fails: set[str] = field(default_factory=set)


class Strict:
    """An object of the API. `allowed` names its methods; all else raises, as in Resolve."""

    def __init__(self, edition: Edition) -> None:
        self.edition, self.id = edition, f"id-{next(_ids)}"

    def GetUniqueId(self) -> str:
        return self.id


def wants(value: Any, *kinds: type) -> Any:
    """A value of one of these types; True is no number."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{value!r} is no {' or '.join(kind.__name__ for kind in kinds)}")
    return value


class Clip(Strict):
    """An item of the media pool: a real file, or none (a title, a compound clip)."""

    def __init__(self, edition: Edition, path: Path | None, **attributes: str) -> None:
        super().__init__(edition)
        self.properties = {"File Path": "", "FPS": "25", "Frames": "0", "Alpha mode": "None"}
        self.properties |= {"Data Level": "Auto", "Input Color Space": ""}
        self.properties |= {"Start TC": "00:00:00:00", "Type": "Compound", "Clip Name": "Compound"}
        if path is not None:
            self.properties |= _read(path)
        self.properties |= attributes

    @property
    def rate(self) -> Fraction:
        return standard_rate(Fraction(self.properties["FPS"]))

    def GetName(self) -> str:
        return self.properties["Clip Name"]

    def GetClipProperty(self, name: str) -> str:
        return self.properties.get(wants(name, str), "")

    def SetClipProperty(self, name: str, value: str) -> bool:
        if "SetClipProperty" in self.edition.fails or wants(name, str) not in self.properties:
            return False
        if name == "Alpha mode" and value not in ("None", "Straight", "Premultiplied"):
            return False
        self.properties[name] = wants(value, str)
        return True


def _read(path: Path) -> dict[str, str]:
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        rate = float(stream.average_rate)
        code = stream.metadata.get("timecode") or file.metadata.get("timecode") or "00:00:00:00"
        return {
            "File Path": str(path),
            "Clip Name": path.name,
            "FPS": f"{rate:.3f}".rstrip("0").rstrip("."),
            "Frames": str(stream.frames),
            "Start TC": code,
            "Type": "Video",
        }


class Item(Strict):
    """An item of a timeline. first: seconds in the clip; length: frames of the timeline."""

    def __init__(
        self, timeline: Timeline, clip: Clip | None, start: int, length: int, first: Fraction
    ) -> None:
        super().__init__(timeline.edition)
        self.timeline, self.clip = timeline, clip
        self.start, self.length, self.first = start, length, first
        self.speed, self.kind, self.name, self.subframe = 100.0, "video", "", Fraction(0)
        self.colour, self.flags, self.look, self.grade = "", [], dict(LOOK), "none"

    def shows(self, record: int) -> int:
        """The frame of the clip that lies at a frame of the timeline."""
        assert self.clip and self.start <= record < self.start + self.length
        seconds = (record - self.start) / self.timeline.rate * Fraction(self.speed) / 100
        return floor((self.first + seconds) * self.clip.rate)

    def GetName(self) -> str:
        return self.name or (self.clip.GetName() if self.clip else "Title")

    def GetType(self) -> str:
        return self.kind

    def GetStart(self, subframe: bool = False) -> float:
        return self.start

    def GetEnd(self, subframe: bool = False) -> float:
        return self.start + self.length

    def GetDuration(self, subframe: bool = False) -> float:
        return self.length

    def GetLeftOffset(self, subframe: bool = False) -> float:
        left = self.first * self.timeline.rate
        return float(left) if wants(subframe, bool) else floor(left)

    def GetRightOffset(self, subframe: bool = False) -> float:
        frames = int(self.clip.properties["Frames"]) if self.clip else 0
        ratio = self.clip.rate / self.timeline.rate if self.clip else Fraction(1)
        whole = frames / ratio * 100 / Fraction(abs(self.speed))
        return float(whole - self.first * self.timeline.rate - self.length)

    def GetSourceStartFrame(self) -> int:
        if not self.clip:
            return 0
        first = self.first * self.clip.rate
        return floor(first) - (self.clip.rate != self.timeline.rate and first >= 1)

    def GetSourceEndFrame(self) -> int:
        if not self.clip:
            return 0
        ratio = self.clip.rate / self.timeline.rate * Fraction(self.speed) / 100
        return floor(self.first * self.clip.rate) + round(self.length * ratio) - 1

    def GetSpeed(self) -> dict[str, Any]:
        return {"Percentage": self.speed, "RippleTimeline": False}

    def GetMediaPoolItem(self) -> Clip | None:
        return self.clip

    def GetClipColor(self) -> str:
        return self.colour

    def SetClipColor(self, name: str) -> bool:
        self.colour = name if wants(name, str) in COLOURS else self.colour
        return name in COLOURS

    def GetFlagList(self) -> list[str]:
        return self.flags

    def GetProperty(self) -> dict[str, float]:
        return dict(self.look) if self.clip else {}

    def SetProperty(self, key: str, value: float) -> bool:
        known = wants(key, str) in self.look
        self.look |= {key: wants(value, int, float)} if known else {}
        return known

    def CopyGrades(self, items: list[Item]) -> bool:
        for item in wants(items, list):
            wants(item, Item).grade = self.grade
        return True


class Timeline(Strict):
    """A timeline. tracks: the items of each video track from the lowest."""

    def __init__(self, edition: Edition, rate: str = "25", start: int = 90000) -> None:
        super().__init__(edition)
        self.name_of_rate, self.begins = rate, start
        self.rate = standard_rate(Fraction(rate))
        self.tracks: list[list[Item]] = [[]]
        self.locked: set[int] = set()
        self.current: Item | None = None
        self.selected: list[Item] = []
        self.marks: dict[str, int] = {}

    def put(
        self, clip: Clip | None, *, at: int, length: int, first: Any = 0, track: int = 1
    ) -> Item:
        """Lay an item, as a user does. at: frames from the timeline's start; first: seconds."""
        while len(self.tracks) < track:
            self.tracks.append([])
        item = Item(self, clip, self.begins + at, length, Fraction(first))
        self.tracks[track - 1].append(item)
        self.current = self.current or item
        return item

    def state(self) -> str:
        """All that a user sees of the timeline, as text."""
        lines = [
            f"{track} {item.id} {item.start} {item.length} {item.first} {item.speed} {item.look}"
            f" {item.colour} {item.flags} {item.grade}"
            for track, items in enumerate(self.tracks, 1)
            for item in items
        ]
        return "\n".join([f"{len(self.tracks)} {self.locked} {self.marks}", *lines])

    def _track(self, kind: str, index: int) -> list[Item]:
        if wants(kind, str) != "video" or not 1 <= wants(index, int) <= len(self.tracks):
            raise ValueError(f"no {kind} track {index}")
        return self.tracks[index - 1]

    def GetStartFrame(self) -> int:
        return self.begins

    def GetSetting(self, name: str) -> str:
        return {"timelineFrameRate": self.name_of_rate}[name]

    def GetTrackCount(self, kind: str) -> int:
        assert kind == "video"
        return len(self.tracks)

    def GetItemListInTrack(self, kind: str, index: int) -> list[Item]:
        return self._track(kind, index)

    def GetIsTrackLocked(self, kind: str, index: int) -> bool:
        self._track(kind, index)
        return index in self.locked

    def GetCurrentVideoItem(self) -> Item | None:
        return self.current

    def GetSelectedClips(self) -> list[Item]:
        return self.selected

    def GetMarkInOut(self) -> dict[str, dict[str, int]]:
        return {"video": self.marks} if self.marks else {}

    def AddTrack(self, kind: str) -> bool:
        if "AddTrack" in self.edition.fails or kind != "video":
            return False
        self.tracks.append([])
        return True

    def DeleteTrack(self, kind: str, index: int) -> bool:
        self.tracks.remove(self._track(kind, index))
        return True

    def DeleteClips(self, items: list[Item], ripple: bool = False) -> bool:
        assert wants(ripple, bool) is False
        for item in wants(items, list):
            next(track for track in self.tracks if item in track).remove(item)
        return True


class Folder(Strict):
    """A bin."""

    def __init__(self, edition: Edition, name: str) -> None:
        super().__init__(edition)
        self.name, self.clips, self.folders = name, [], []

    def GetName(self) -> str:
        return self.name

    def GetClipList(self) -> list[Clip]:
        return self.clips

    def GetSubFolderList(self) -> list[Folder]:
        return self.folders


class Pool(Strict):
    """The media pool."""

    def __init__(self, project: Project) -> None:
        super().__init__(project.edition)
        self.project = project
        self.root = self.current = Folder(project.edition, "Master")

    def GetRootFolder(self) -> Folder:
        return self.root

    def GetCurrentFolder(self) -> Folder:
        return self.current

    def SetCurrentFolder(self, folder: Folder) -> bool:
        self.current = wants(folder, Folder)
        return True

    def AddSubFolder(self, folder: Folder, name: str) -> Folder:
        made = Folder(self.edition, wants(name, str))
        wants(folder, Folder).folders.append(made)
        self.current = made  # as Resolve does
        return made

    def DeleteFolders(self, folders: list[Folder]) -> bool:
        for folder in wants(folders, list):
            self.root.folders.remove(folder)
        return True

    def ImportMedia(self, paths: list[str]) -> list[Clip] | None:
        names = [wants(path, str) for path in wants(paths, list)]
        if "ImportMedia" in self.edition.fails:
            return None
        made = [Clip(self.edition, Path(name)) for name in names if Path(name).is_file()]
        self.current.clips += made
        return made

    def DeleteClips(self, clips: list[Clip]) -> bool:
        for clip in wants(clips, list):
            next(each for each in self.root.folders if clip in each.clips).clips.remove(clip)
        return True

    def AppendToTimeline(self, infos: list[dict[str, Any]]) -> list[Item] | None:
        appended = [self._append(**wants(info, dict)) for info in wants(infos, list)]
        return appended if all(appended) else None

    def _append(
        self,
        *,
        mediaPoolItem: Clip,
        startFrame: float,
        endFrame: float,
        mediaType: int,
        trackIndex: int,
        recordFrame: float,
    ) -> Item | None:
        clip, timeline = wants(mediaPoolItem, Clip), self.project.timeline
        whole = isinstance(startFrame, int) and isinstance(endFrame, int)
        if "AppendToTimeline" in self.edition.fails or not (whole or self.edition.fractions):
            return None
        assert wants(mediaType, int) == 1
        end = wants(endFrame, int, float) + (1 if self.edition.major < 19 else 0)
        first = Fraction(wants(startFrame, int, float)).limit_denominator(10**6)
        frames = Fraction(end).limit_denominator(10**6) - first
        length = round(frames / clip.rate * timeline.rate)
        start = wants(recordFrame, int)
        track = timeline.tracks[wants(trackIndex, int) - 1]
        overlaps = any(
            one.start < start + length and start < one.start + one.length for one in track
        )
        outside = first < 0 or first + frames > int(clip.properties["Frames"]) + 1
        if overlaps or outside or length < 1 or trackIndex in timeline.locked:
            return None
        item = Item(timeline, clip, start, length, first / clip.rate)
        track.append(item)
        return item


class Project(Strict):
    """A project with one timeline that is open."""

    def __init__(self, edition: Edition, timeline: Timeline) -> None:
        super().__init__(edition)
        self.timeline, self.pool = timeline, Pool(self)

    def GetCurrentTimeline(self) -> Timeline | None:
        return self.timeline

    def SetCurrentTimeline(self, timeline: Timeline) -> bool:
        self.timeline = wants(timeline, Timeline)
        return True

    def GetMediaPool(self) -> Pool:
        return self.pool


class Application(Strict):
    """Resolve itself, and its project manager."""

    def __init__(self, timeline: Timeline) -> None:
        super().__init__(timeline.edition)
        self.project: Project | None = Project(timeline.edition, timeline)

    def GetProjectManager(self) -> Application:
        return self

    def GetCurrentProject(self) -> Project | None:
        return self.project

    def state(self) -> str:
        """The timeline and the media pool, as text."""
        assert self.project
        pool = self.project.pool
        bins = [(each.name, [clip.id for clip in each.clips]) for each in pool.root.folders]
        return f"{self.project.timeline.state()}\n{bins} {pool.current.name}"


# Since which version a method is there.
SINCE = {
    "GetSelectedClips": 21,
    "GetType": 21,
    "GetSpeed": 21,
    "GetMarkInOut": 19,
    "GetSourceStartFrame": 19,
    "GetSourceEndFrame": 19,
}


def has(thing: Strict, name: str) -> bool:
    """Whether a version of Resolve has a method."""
    known = name[:1].isupper() and hasattr(type(thing), name)
    return known and thing.edition.major >= SINCE.get(name, 0)


class Handle:
    """An object as a script in Python sees it: unknown methods raise."""

    def __init__(self, thing: Strict) -> None:
        self._thing = thing

    def __getattr__(self, name: str) -> Any:
        if not has(self._thing, name):
            raise AttributeError(name)
        return lambda *args: out(getattr(self._thing, name)(*map(into, args)))


def out(value: Any) -> Any:
    """What a call gives, as a script in Python gets it."""
    if isinstance(value, Strict):
        return Handle(value)
    return [out(each) for each in value] if isinstance(value, list) else value


def into(value: Any) -> Any:
    """What a script in Python gives, with the stand-in's own objects."""
    if isinstance(value, Handle):
        return value._thing
    if isinstance(value, dict):
        return {key: into(each) for key, each in value.items()}
    return [into(each) for each in value] if isinstance(value, list) else value


class Lua:
    """Runs the script in Lua, in LuaJIT, as an edition of Resolve does."""

    def __init__(self, app: Application) -> None:
        from lupa import luajit21

        self.app, self.said = app, []
        self.lua = luajit21.LuaRuntime(unpack_returned_tuples=True)
        self._things: dict[str, Strict] = {}
        self._proxy = self.lua.execute(_PROXY)(self._call, self._has)
        world = self.lua.globals()
        world.resolve = self._given(app)
        world.print = lambda *words: self.said.append(" ".join(map(str, words)))
        world.bmd = self.lua.table_from({"wait": _wait, "writefile": self._writefile})
        if not app.edition.studio and app.edition.major >= 21:
            self.lua.execute(_FREE)

    def run(self, script: Path) -> list[str]:
        """What the script prints."""
        self.said.clear()
        self.lua.execute(script.read_text(encoding="utf-8"))
        return list(self.said)

    def _has(self, key: str, name: str) -> bool:
        return has(self._things[key], name)

    def _call(self, key: str, name: str, *arguments: Any) -> Any:
        taken = [self._taken(each) for each in arguments]
        return self._given(getattr(self._things[key], name)(*taken))

    def _given(self, value: Any) -> Any:
        if isinstance(value, Strict):
            self._things[value.id] = value
            return self._proxy(value.id)
        if isinstance(value, list):
            return self.lua.table_from([self._given(each) for each in value])
        if isinstance(value, dict):
            return self.lua.table_from({key: self._given(each) for key, each in value.items()})
        return value

    def _taken(self, value: Any) -> Any:
        if type(value).__name__ != "_LuaTable":
            return value
        if value["id"]:
            return self._things[value["id"]]
        keys = list(value.keys())
        if keys == list(range(1, len(keys) + 1)):
            return [self._taken(value[key]) for key in keys]
        return {key: self._taken(value[key]) for key in keys}

    def _writefile(self, path: str, table: Any) -> bool:
        """Fusion's writer of tables."""
        if "writefile" in self.app.edition.fails:
            return False
        lines = "".join(f'\t{key} = "{value}",\n' for key, value in table.items())
        Path(path).write_text(f"{{\n{lines}}}", encoding="utf-8")
        return True


def _wait(seconds: float) -> None:
    import time

    time.sleep(seconds / 4)


_PROXY = """
return function(call, has)
  local made = {}
  return function(key)
    made[key] = made[key] or setmetatable({ id = key }, {
      __index = function(_, name)
        if has(key, name) then
          return function(self, ...)
            assert(self and self.id == key, name .. " is called with a colon")
            return call(key, name, ...)
          end
        end
      end,
    })
    return made[key]
  end
end
"""

# What the free edition of 21.1 takes from scripts, as its users found.
_FREE = """
io, require, package, debug, ffi, jit = nil, nil, nil, nil, nil, nil
os = { clock = os.clock, date = os.date, difftime = os.difftime, time = os.time }
"""
