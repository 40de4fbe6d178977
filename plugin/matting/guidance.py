"""What a person tells a run about its clip: masks, a clean plate, whom to keep, corrections.

It stands in one file, CLIP.mattecast.json beside the clip or named by --guidance; every entry may
be left out. Times are seconds from the clip's first frame, places are parts of the picture (0 to 1,
from the upper left corner), paths are relative to the file. Masks are gray pictures, white inside:

    {"garbage": [{"keys": [{"time": 0, "polygon": [[0, 0], [0.2, 0], [0.2, 1], [0, 1]]}]}],
     "keep":    [{"keys": [{"time": 0, "mask": "chair.png"}, {"time": 4.5, "mask": "later.png"}]}],
     "plate": "empty_set.png",
     "person": [{"time": 0, "point": [0.4, 0.5]}, {"time": 7, "box": [0.3, 0.2, 0.5, 0.9]}],
     "corrections": [{"time": 0, "mask": "first.png"}, {"time": 9, "trimap": "known.png"}]}

A correction's mask is the whole matte of its frame; a trimap only says what is sure, in black and
white, and leaves the gray to the network. It acts on what follows and on what came before, up to
the next correction or cut on either side; between two, the one gives way to the other. What was
drawn up to ten seconds before a --range is followed into it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.errors import UsageError
from mattecast.filters.pictures.masks import Key, held, mask_at, without
from mattecast.filters.pictures.plate import with_plate
from mattecast.filters.time.correction import Correction
from mattecast.filters.time.person import Follower
from mattecast.flow import StageTimes
from mattecast.matting.corrections import WARM, Coming, Look, foresee
from mattecast.media.frame import Estimated, Matted
from mattecast.plan import Plan
from mattecast.settings import Settings

SUFFIX = ".mattecast.json"
_KNOWN = {"garbage", "keep", "plate", "person", "corrections"}
Box = tuple[float, float, float, float]
# How long before the run's first frame (seconds) something drawn may lie that is followed into it:
# the network has to see all that lies between.
LEAD = 10
_LOG = logging.getLogger("mattecast")
# How near to black or white a trimap's gray says something sure.
_SURE = 0.05


@dataclass(frozen=True, slots=True)
class Guidance:
    """One clip's guidance, read and checked.

    garbage, keep: shapes, each its keys in order of time. plate: (H, W, 3) uint8 RGB. person: whom
    to follow from a time on. corrections: (H, W) float32 mattes in [0, 1] drawn by hand, nan where
    nothing is said. first: the same, of the first frame of the run.
    """

    garbage: tuple[tuple[Key, ...], ...] = ()
    keep: tuple[tuple[Key, ...], ...] = ()
    plate: NDArray[np.uint8] | None = None
    person: tuple[tuple[Fraction, Box], ...] = ()
    corrections: tuple[tuple[Fraction, NDArray[np.float32]], ...] = ()
    first: tuple[NDArray[np.float32], ...] = ()

    @property
    def before(self) -> bool:
        """Whether anything of it works on the network's own matte."""
        return bool(self.plate is not None or self.person or self.corrections or self.first)

    def plate_at(self, size: tuple[int, int]) -> NDArray[np.uint8] | None:
        """The plate at (width, height), or None where there is none."""
        return None if self.plate is None else _resized(self.plate, size)


def find(source: Path, settings: Settings) -> Guidance:
    """What the settings ask for, on top of the file named there or beside the source.

    Raises UsageError for files that cannot be read.
    """
    beside = source.parent / (source.stem + SUFFIX)
    wish = settings.guidance or (str(beside) if beside.is_file() else "off")
    guidance = Guidance() if wish == "off" else read(Path(wish))
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
    """What was drawn on the first frame."""
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
        raise UsageError(f"{path}: is no JSON ({error})") from error
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


def _shape(entry: Any, folder: Path) -> tuple[Key, ...]:
    keys = sorted((_key(each, folder) for each in entry["keys"]), key=lambda key: key.time)
    if not keys:
        raise ValueError("a mask has no keys, expected at least one")
    return tuple(keys)


def _key(entry: Any, folder: Path) -> Key:
    if "mask" in entry:
        return Key(_time(entry), picture=_mask(folder / entry["mask"]))
    polygon = np.asarray(entry["polygon"], np.float64)
    if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3:
        raise ValueError(f"a polygon is {polygon.shape}, expected three or more [x, y]")
    if not np.isfinite(polygon).all():
        raise ValueError("a polygon has a corner that is no number")
    return Key(_time(entry), polygon=polygon)


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


@dataclass(frozen=True, slots=True)
class Clock:
    """Times of frames as a guidance file counts them. start: of the clip's first frame."""

    plan: Plan
    start: Fraction

    def __call__(self, pts: int) -> Fraction:
        """Seconds from the clip's first frame."""
        return pts * self.plan.time_base + self.plan.origin - self.start


def guide(
    estimates: Iterable[Estimated],
    guidance: Guidance,
    clock: Clock,
    times: StageTimes,
    look: Look | None = None,
) -> Iterator[Estimated]:
    """The stage before smoothing: plate, chosen person, corrections, at the network's size.

    look: how to see the clip once more; without, corrections act forwards only, and none from
    before the run's first frame.
    """
    hand = Hand(guidance, look, 1 / clock.plan.rate)
    for number, estimated in enumerate(estimates):
        with times.measure("guidance"):
            time = clock(estimated.frame.pts)
            first = estimated.first if number else hand.begin(time)
            alpha = hand.step(replace(estimated, first=first), time)
        yield replace(estimated, alpha=alpha)


class Hand:
    """What was drawn by hand, laid on one matte after the other.

    look, interval: see `guide`; interval is seconds from one frame to the next, nearly.
    """

    def __init__(
        self, guidance: Guidance, look: Look | None = None, interval: Fraction = Fraction(0)
    ) -> None:
        self._guidance, self._look, self._interval = guidance, look, interval
        self._persons, self._left = list(guidance.person), list(guidance.corrections)
        self._plate: NDArray[np.uint8] | None = None
        self._follower, self._correction = Follower(), Correction()
        # Since when the last correction (or the run) goes on, and what the next one changes.
        self._since: Fraction | None = None
        self._coming: Coming | None = None
        self._looked = False

    def begin(self, start: Fraction) -> bool:
        """Follow what was drawn before the run's first frame into it; gives whether a shot begins
        there, as far as one can see."""
        persons, early = (
            [time for time, _ in each if time <= start - self._interval]
            for each in (self._persons, self._left)
        )
        if early and (self._look is None or early[-1] < start - LEAD):
            _LOG.warning("corrections before the range are left out, the last at %.2f s", early[-1])
            self._left, early = self._left[len(early) :], []
        self._left = self._left[max(0, len(early) - 1) :]
        near = [time for time in (*persons[-1:], *early[-1:]) if time >= start - LEAD]
        first = self._followed(min(near), start) if near else True
        self._left[:0] = [(start, drawn) for drawn in self._guidance.first]
        return first

    def _followed(self, since: Fraction, start: Fraction) -> bool:
        """Whether a shot begins at a time, everything seen since another."""
        if self._look is not None:
            first = max(Fraction(0), since - WARM * self._interval)
            with closing(self._look.frames(first)) as frames:
                for time, estimated in frames:
                    if time >= start:
                        return estimated.first
                    self.step(estimated, time, leading=True)
        return True

    def step(
        self, estimated: Estimated, time: Fraction, *, leading: bool = False
    ) -> NDArray[np.float32]:
        """The matte of the next frame, whose time it is, as it is wanted. leading: whether the run
        has not begun."""
        alpha, wanted = self._plated(estimated), None
        while self._persons and self._persons[0][0] <= time:
            self._follower.choose(self._persons.pop(0)[1], alpha.shape)
        alpha = self._follower.step(alpha)
        if estimated.first:
            self._correction.forget()
        while self._left and self._left[0][0] <= time:
            wanted = _wanted(self._left.pop(0)[1], alpha if wanted is None else wanted)
        if wanted is not None or self._since is None:
            self._since, self._looked = time, False
        if not self._looked and not leading:
            self._coming, self._looked = self._foreseen(self._since), True
        coming, share = None, 0.0
        if self._coming is not None and wanted is None:
            coming, share = self._coming.at(time), self._coming.share(time, self._since)
        return self._correction.step(alpha, estimated.frame.small, wanted, coming, share)

    def _plated(self, estimated: Estimated) -> NDArray[np.float32]:
        """A network's matte with what the clean plate says, where there is one."""
        alpha = estimated.alpha
        if self._guidance.plate is None:
            return alpha
        if self._plate is None:
            self._plate = self._guidance.plate_at((alpha.shape[1], alpha.shape[0]))
        assert self._plate is not None
        return with_plate(alpha, estimated.frame.small, self._plate)

    def _foreseen(self, since: Fraction) -> Coming | None:
        """What the next correction changes in the frames before it."""
        if not self._left or self._look is None:
            return None
        when, drawn = self._left[0]

        def change(estimated: Estimated) -> NDArray[np.float32]:
            alpha = self._plated(estimated)
            return np.asarray(_wanted(drawn, alpha) - alpha, np.float32)

        return foresee(self._look, change, when, since, self._interval)


def _wanted(drawn: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """The matte that a drawing asks for, at the size of the network's."""
    small = _resized(drawn, (alpha.shape[1], alpha.shape[0]))
    return np.asarray(np.where(np.isnan(small), alpha, small), np.float32)


def _resized(picture: Any, size: tuple[int, int]) -> Any:
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def mask(
    mattes: Iterable[Matted], guidance: Guidance, clock: Clock, times: StageTimes
) -> Iterator[Matted]:
    """The stage at full size: what is kept is solid, then what is garbage is gone, exactly."""
    for matted in mattes:
        with times.measure("guidance"):
            height, width = matted.alpha16.shape
            time, alpha16, small = clock(matted.pts), matted.alpha16, matted.alpha_small
            for keys in guidance.keep:
                drawn = mask_at(keys, time, (width, height))
                alpha16 = held(alpha16, drawn)
                around = cv2.dilate(drawn, np.ones((5, 5), np.uint8))
                inside = _resized(around, small.shape[::-1]).astype(np.float32) / np.float32(255)
                small = np.maximum(small, inside)
            for keys in guidance.garbage:
                alpha16 = without(alpha16, mask_at(keys, time, (width, height)))
            masked = replace(matted, alpha16=alpha16, alpha_small=small)
        yield masked
