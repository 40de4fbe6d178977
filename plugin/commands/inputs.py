"""What the names on the command line stand for: files, folders, patterns; and what is left out."""

from __future__ import annotations

import glob
import mimetypes
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mattecast.errors import UsageError
from mattecast.media.container import holds_clip
from mattecast.media.pictures import SUFFIXES, is_pattern
from mattecast.output_names import is_output

# What is a clip by its name, so that a damaged one is reported. Other files are looked into.
_VIDEO_NAMES = (
    ".mp4 .m4v .mov .qt .mkv .mk3d .webm .avi .divx .mpg .mpeg .mpe .m1v .m2v .mpv .vob .vro .evo "
    ".ts .mts .m2ts .m2t .tp .trp .mod .tod .dv .dif .mxf .gif .apng .wmv .asf .wtv .dvr-ms .flv "
    ".f4v .3gp .3g2 .ogv .ogm .rm .rmvb .y4m .nut .ivf .h264 .264 .h265 .265 .hevc .mjpeg .mjpg "
    ".insv .360"
)
_VIDEO_SUFFIXES = frozenset(_VIDEO_NAMES.split())
# A camera's small copies of its clips and its thumbnails.
_PROXIES = frozenset({".lrv", ".lrf", ".thm"})
# Python's own table, not the machine's: there a .mts of a camcorder is a 3D model.
_KINDS = mimetypes.MimeTypes(filenames=())
_NAMED = 3  # names that a line lists before it counts the rest


@dataclass(slots=True)
class Inputs:
    """The inputs of a run, each once, and a line on what each folder holds beside them."""

    paths: list[Path] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, names: Iterable[str], *, stills: bool = False) -> Inputs:
        """The inputs that names stand for. Raises UsageError for names that stand for none.

        A name with *, ? or [ ] that no file has is a pattern, which most shells replace and those
        of Windows leave. A folder of videos stands for its videos. A folder of pictures stands for
        one clip, or with `stills` for each of its pictures.
        """
        inputs = cls()
        for name in names:
            for path in _matching(name):
                inputs._add(path, stills)
        return inputs

    def _add(self, path: Path, stills: bool) -> None:
        try:
            entries = sorted(each for each in path.iterdir() if not each.name.startswith("."))
        except OSError:
            entries = []  # not a folder that can be read; opening it as a clip reports why
        own = [each for each in entries if is_output(each)]
        rest = [each for each in entries if each not in own]
        pictures = [each for each in rest if each.suffix.lower() in SUFFIXES and each.is_file()]
        videos = [each for each in rest if each not in pictures and _is_clip(each)]
        taken = videos + pictures * stills or [path]
        known = {os.path.abspath(each) for each in self.paths}
        self.paths += [each for each in taken if os.path.abspath(each) not in known]
        if videos:
            proxies = [each for each in rest if each.suffix.lower() in _PROXIES]
            left = {"picture": [] if stills else pictures, "small copy": proxies, "output": own}
            self._note(path, left)

    def _note(self, folder: Path, left: dict[str, list[Path]]) -> None:
        """Say what of a folder of videos is passed over, by kind."""
        counts = [_counted(kind, len(paths)) for kind, paths in left.items() if paths]
        names = [path.name for paths in left.values() for path in paths]
        if names:
            listed = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
            advice = "; --stills takes the pictures too" if left["picture"] else ""
            self.passed_over.append(
                f"{folder}: passed over {' and '.join(counts)} ({listed}){advice}"
            )


def _counted(kind: str, count: int) -> str:
    plural = {"small copy": "small copies", "output": "earlier outputs"}.get(kind, f"{kind}s")
    single = "earlier output" if kind == "output" else kind
    return f"{count} {single if count == 1 else plural}"


def _matching(name: str) -> list[Path]:
    """The paths that one name stands for, before folders are looked into."""
    if not name:
        raise UsageError("the name of an input is empty")
    if os.path.lexists(name) or is_pattern(name) or not glob.has_magic(name):
        return [Path(name)]
    found = [Path(each) for each in sorted(glob.glob(name, recursive=True))]
    if not found:
        raise UsageError(f"{name}: no such file, and no file's name fits it as a pattern")
    return found


def _is_clip(path: Path) -> bool:
    """Whether a file of a folder is a clip, by its name or by what it holds."""
    suffix = path.suffix.lower()
    if suffix in _VIDEO_SUFFIXES:
        return True
    kind = _KINDS.guess_type(f"name{suffix}")[0]
    if suffix in _PROXIES or (kind and not kind.startswith("video/")) or not path.is_file():
        return False
    return holds_clip(path)


def own_names(sources: list[Path], names: list[str]) -> list[str]:
    """Names of outputs, made unlike: clip.mov beside clip.mp4 gives clip.mov.matte.mov.

    names: what each source's output would be called alone, such as clip.matte.mov. Where whole
    names are alike too, that of the source's folder comes first. File systems that take small and
    capital letters for one would write both outputs into one file, so such names are alike.
    """
    for longer in (
        lambda path: path.name,
        lambda path: f"{path.resolve().parent.name}_{path.name}",
    ):
        alike = Counter(each.casefold() for each in names)
        names = [
            f"{longer(source).replace('%', '_')}{name[name.rindex('.matte') :]}"
            if alike[name.casefold()] > 1
            else name
            for source, name in zip(sources, names, strict=True)
        ]
    return names
