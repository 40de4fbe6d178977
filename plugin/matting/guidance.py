"""What a person says about a clip: masks, a clean plate, whom to keep, corrections.

One file holds it: CLIP.mattecast.json beside the clip, or the file that --guidance names. Every
entry may be left out. Times are seconds from the clip's first frame. Places are parts of the
picture (0 to 1, from the upper left corner). Paths are relative to the file. Masks are gray
pictures, white inside:

    {"garbage": [{"keys": [{"time": 0, "polygon": [[0, 0], [0.2, 0], [0.2, 1], [0, 1]]}]}],
     "keep":    [{"keys": [{"time": 0, "mask": "chair.png"}, {"time": 4.5, "mask": "later.png"}]}],
     "plate": "empty_set.png",
     "person": [{"time": 0, "point": [0.4, 0.5]}, {"time": 7, "box": [0.3, 0.2, 0.5, 0.9]}],
     "corrections": [{"time": 0, "mask": "first.png"}, {"time": 9, "trimap": "known.png"}]}

A correction's mask is the whole matte of its frame. A correction's trimap says only what is sure,
in black and white, and leaves the gray to the network. A correction acts on the frames after it and
before it, up to the next correction or cut on either side. Between two corrections, the one gives
way to the other. Something drawn up to ten seconds before a --range is followed into the range.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.errors import UsageError
from mattecast.filters.pictures.masks import Keyframe
from mattecast.settings import Settings

SUFFIX = ".mattecast.json"
_KNOWN = {"garbage", "keep", "plate", "person", "corrections"}
Box = tuple[float, float, float, float]
# A trimap's gray that is this near to black or white is sure.
_SURE = 0.05


@dataclass(frozen=True, slots=True)
class Guidance:
    """One clip's guidance, read and checked.

    garbage, keep: shapes, each with its keyframes in order of time. plate: (H, W, 3) uint8 RGB.
    person: whom to follow from a time on. corrections: (H, W) float32 mattes in [0, 1] drawn by
    hand, nan where the person says nothing. first: corrections of the run's first frame.
    """

    garbage: tuple[tuple[Keyframe, ...], ...] = ()
    keep: tuple[tuple[Keyframe, ...], ...] = ()
    plate: NDArray[np.uint8] | None = None
    person: tuple[tuple[Fraction, Box], ...] = ()
    corrections: tuple[tuple[Fraction, NDArray[np.float32]], ...] = ()
    first: tuple[NDArray[np.float32], ...] = ()

    @property
    def drawn(self) -> bool:
        """Whether whole mattes were drawn by hand."""
        return bool(self.corrections or self.first)

    @property
    def before(self) -> bool:
        """Whether any of it changes the network's own matte."""
        return bool(self.plate is not None or self.person or self.corrections or self.first)

    def plate_at(self, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """The plate at (width, height), or None where there is none."""
        return None if self.plate is None else resized(self.plate, size)


def find(source: Path, settings: Settings) -> Guidance:
    """The guidance of a run: the settings' own, on top of the guidance file's.

    The file is the one that the settings name, or the one beside the source. Raises UsageError for
    files that cannot be read.
    """
    beside = source.parent / (source.stem + SUFFIX)
    named = settings.guidance or (str(beside) if beside.is_file() else "off")
    guidance = Guidance() if named == "off" else read(Path(named))
    added: dict[str, Any] = {
        "garbage": [_still(settings.garbage)] if settings.garbage else [],
        "keep": [_still(settings.keep)] if settings.keep else [],
        "corrections": _first(settings),
        "person": [_pointed(settings.person)] if settings.person else [],
        "plate": settings.plate,
    }
    asked = _checked(added, Path(), "the guidance asked for")
    return Guidance(
        garbage=guidance.garbage + asked.garbage,
        keep=guidance.keep + asked.keep,
        plate=guidance.plate if asked.plate is None else asked.plate,
        person=asked.person or guidance.person,
        corrections=guidance.corrections,
        first=tuple(drawn for _, drawn in asked.corrections),
    )


def _first(settings: Settings) -> list[dict[str, Any]]:
    """The corrections of the first frame, as entries of a guidance file."""
    drawn = {"mask": settings.first_mask, "trimap": settings.trimap}
    return [{kind: path} for kind, path in drawn.items() if path]


def _still(picture: str) -> dict[str, Any]:
    return {"keys": [{"mask": picture}]}


def _pointed(text: str) -> dict[str, Any]:
    """'X,Y' or 'X,Y@SECONDS'."""
    place, _, time = text.partition("@")
    return {"point": place.split(","), "time": time or 0}


def read(path: Path) -> Guidance:
    """Read a guidance file. Raises UsageError that says what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except ValueError as error:
        raise UsageError(f"{path}: is not JSON ({error})") from error
    return _checked(content, path.parent, str(path))


def _checked(content: Any, folder: Path, where: str) -> Guidance:
    try:
        return _guidance(content, folder)
    except OSError as error:
        named = error.filename or "a file"
        raise UsageError(f"{where}: {named}: {(error.strerror or '').lower()}") from error
    except KeyError as error:
        raise UsageError(f"{where}: an entry lacks {error}") from error
    except (ValueError, TypeError, AttributeError, ZeroDivisionError, cv2.error) as error:
        raise UsageError(f"{where}: {error}") from error


def _guidance(content: Any, folder: Path) -> Guidance:
    unknown = sorted(set(content) - _KNOWN)
    if unknown:
        raise ValueError(f"'{unknown[0]}' is not known, only {', '.join(sorted(_KNOWN))}")
    plate = content.get("plate")
    return Guidance(
        garbage=tuple(_shape(each, folder) for each in content.get("garbage", ())),
        keep=tuple(_shape(each, folder) for each in content.get("keep", ())),
        plate=_picture(folder / plate)[..., ::-1] if plate else None,
        person=tuple(sorted((_time(each), _box(each)) for each in content.get("person", ()))),
        corrections=tuple(
            (_time(each), _drawn(each, folder))
            for each in sorted(content.get("corrections", ()), key=_time)
        ),
    )


def _drawn(entry: Any, folder: Path) -> NDArray[np.float32]:
    """A matte drawn by hand, (H, W) float32 in [0, 1]; of a trimap, nan where it is gray."""
    if "trimap" not in entry:
        return _mask(folder / entry["mask"]).astype(np.float32) / np.float32(255)
    share = _mask(folder / entry["trimap"]).astype(np.float32) / np.float32(255)
    known = (share <= _SURE) | (share >= 1 - _SURE)
    return np.where(known, np.round(share), np.float32(np.nan)).astype(np.float32)


def _shape(entry: Any, folder: Path) -> tuple[Keyframe, ...]:
    keys = sorted((_key(each, folder) for each in entry["keys"]), key=lambda key: key.time)
    if not keys:
        raise ValueError("a mask has no keys, expected at least one")
    return tuple(keys)


def _key(entry: Any, folder: Path) -> Keyframe:
    if "mask" in entry:
        return Keyframe(_time(entry), picture=_mask(folder / entry["mask"]))
    polygon = np.asarray(entry["polygon"], np.float64)
    if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3:
        raise ValueError(f"a polygon is {polygon.shape}, expected three or more [x, y]")
    if not np.isfinite(polygon).all():
        raise ValueError("a polygon has a corner that is no number")
    return Keyframe(_time(entry), polygon=polygon)


def _time(entry: Any) -> Fraction:
    return Fraction(str(entry.get("time", 0)))


def _box(entry: Any) -> Box:
    place = [float(each) for each in entry["box" if "box" in entry else "point"]]
    if len(place) not in (2, 4) or not all(0 <= each <= 1 for each in place):
        raise ValueError(
            f"a person's place is {place}, expected point [x, y] or box "
            "[left, top, right, bottom], each from 0 to 1"
        )
    left, top, right, bottom = (place * 2)[:4]
    return left, top, right, bottom


def _picture(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError(f"{path.name} is no picture that can be read")
    return np.asarray(picture, np.uint8)


def _mask(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(_picture(path), cv2.COLOR_BGR2GRAY), np.uint8)


def resized(picture: Any, size: tuple[int, int]) -> Any:
    """A picture at (width, height), each pixel the mean of what it covers."""
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
