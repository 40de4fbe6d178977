"""Training data from a folder into memory: people with soft alpha, clips of them, backgrounds, and
things that are no part of people.

Every file below the folder is taken by what it is, wherever it lies:

    NAME.jpg + NAME.png           a picture and its alpha (gray)
    NAME.png with transparency    a cut-out: no background of its own
    things/NAME.png, the same     a thing that is nobody's: laid behind people
    NAME.mp4 + NAME.alpha.mp4     a clip and its alpha, same frames
    NAME.mov with transparency    a moving cut-out, as mattecast writes them
    NAME.jpg alone                a background; there must be no people in it
"""

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from functools import partial as bound
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from mattecast.engines.training.mapped import Store
from mattecast.engines.training.ondemand import chosen

Bytes = NDArray[np.uint8]
PICTURES = (".jpg", ".jpeg")
THINGS = "things"  # the folder of cut-outs that are no people
CLIP_FRAMES = 64  # longer clips are cut off here: neighbours teach little and fill the memory
LONGEST = 512  # px; larger pictures and clips are reduced to this long side


@dataclass(frozen=True)
class Subject:
    """One or more people in one picture (one frame) or clip (several).

    pictures: (N, H, W, 3) uint8 RGB as photographed, or None for a cut-out. cutouts: (N, H, W, 4)
    uint8 RGBA, straight alpha over estimated foreground colours. box: left, top, right, bottom px
    of the first frame's matte. touches: whether the matte of any frame is cut off by the left, top,
    right, bottom edge. complete: whether everybody in the picture is in the matte.
    """

    name: str
    pictures: Bytes | None
    cutouts: Bytes
    box: tuple[int, int, int, int]
    touches: tuple[bool, bool, bool, bool]
    complete: bool = True

    @property
    def frames(self) -> int:
        return len(self.cutouts)

    @property
    def nbytes(self) -> int:
        """Of its pictures, in memory."""
        return self.cutouts.nbytes + (0 if self.pictures is None else self.pictures.nbytes)

    @property
    def weight(self) -> float:
        """How often to draw it: portraits cut by the lower edge are what a webcam shows, and long
        clips have more to show than short ones."""
        left, top, right, bottom = self.box
        portrait = self.touches[3] and bottom - top < 1.6 * (right - left)
        return self.frames * (2.0 if portrait or self.pictures is None else 1.0)


def running(weights: Sequence[float]) -> NDArray[np.float64]:
    """Running sums of weights as parts of their sum, the last one above all of [0, 1)."""
    sums = np.cumsum(np.asarray(weights, np.float64))
    sums /= max(sums[-1], 1e-12) if len(sums) else 1.0
    sums[-1:] = 1.0
    return sums


@dataclass(frozen=True)
class Library:
    """All training material, in memory or where corpora reads it from on demand.

    places, claims: for each background its name and the share of it, in [0, 1], that a network took
    for people; either may be empty where it is not known.
    """

    stills: list[Subject] = field(default_factory=list)
    clips: list[Subject] = field(default_factory=list)
    backgrounds: Sequence[Bytes] = field(default_factory=list)  # (H, W, 3) uint8 RGB
    things: Sequence[Bytes] = field(default_factory=list)  # (H, W, 4) uint8 RGBA, straight
    places: Sequence[str] = ()
    claims: Sequence[float] = ()

    @cached_property
    def still_sums(self) -> NDArray[np.float64]:
        """Running sums, up to 1, of how often to draw each still."""
        return running([subject.weight for subject in self.stills])

    @cached_property
    def clip_sums(self) -> NDArray[np.float64]:
        """The same of clips."""
        return running([subject.weight for subject in self.clips])

    @cached_property
    def claim_sums(self) -> NDArray[np.float64]:
        """The same of backgrounds, by what a network claimed there."""
        return running(self.claims)

    def __str__(self) -> str:
        counts = len(self.stills), len(self.clips), len(self.things), len(self.backgrounds)
        return "{} stills, {} clips, {} things, {} backgrounds".format(*counts)

    def split(self, every: int) -> tuple["Library", "Library"]:
        """(training, held out): about one in `every` is held out, chosen by name, so for ever."""
        clips = sorted(self.clips, key=lambda s: zlib.crc32(s.name.encode()))
        spare = max(1, len(clips) // every) if len(clips) > 3 else 0
        kept = clips[spare:]
        # Backgrounds and things have no names here; every n-th of the sorted files is as fixed.
        rooms, things = (range(len(each)) for each in (self.backgrounds, self.things))
        return (
            Library(
                [s for s in self.stills if zlib.crc32(s.name.encode()) % every],
                kept,
                chosen(self.backgrounds, [place for place in rooms if place % every]),
                chosen(self.things, [place for place in things if place % every]),
                [name for place, name in enumerate(self.places) if place % every],
                [share for place, share in enumerate(self.claims) if place % every],
            ),
            Library(
                [s for s in self.stills if not zlib.crc32(s.name.encode()) % every],
                clips[:spare],
                chosen(self.backgrounds, rooms[::every]),
                chosen(self.things, things[::every]),
                self.places[::every],
                self.claims[::every],
            ),
        )

    def without(self, sources: tuple[str, ...]) -> tuple["Library", "Library"]:
        """(training, held out): all whose names begin with one of `sources` are held out. Whole
        sources, since pictures of one source resemble each other. Things are trained on."""
        parts = []
        for held in (False, True):
            rooms = [
                index for index, name in enumerate(self.places) if name.startswith(sources) is held
            ]
            parts.append(
                Library(
                    [s for s in self.stills if s.name.startswith(sources) is held],
                    [s for s in self.clips if s.name.startswith(sources) is held],
                    chosen(self.backgrounds, rooms),
                    [] if held else self.things,
                    [self.places[index] for index in rooms],
                    [self.claims[index] for index in rooms] if self.claims else (),
                )
            )
        return parts[0], parts[1]


def fuse(picture: NDArray[np.float32], alpha: NDArray[np.float32]) -> NDArray[np.float32]:
    """Foreground colours by blur fusion, twice (Forte 2021, arXiv 2006.14970).

    picture: (H, W, 3) in [0, 1]; alpha: (H, W, 1). Returns (H, W, 3) in [0, 1], smooth where alpha
    is zero.
    """
    foreground = background = picture
    for radius in (91, 7):
        size = (radius, radius)
        mean = cv2.blur(alpha, size)[..., None]
        f = cv2.blur(foreground * alpha, size) / (mean + 1e-5)
        b = cv2.blur(background * (1 - alpha), size) / (1 - mean + 1e-5)
        foreground = np.clip(f + alpha * (picture - alpha * f - (1 - alpha) * b), 0, 1)
        background = b
    return foreground


def to_bytes(values: NDArray[np.floating[Any]]) -> Bytes:
    """Values in [0, 255], rounded to uint8."""
    return (values + 0.5).astype(np.uint8)


def cut(picture: Bytes, alpha: Bytes) -> Bytes:
    """(H, W, 3) uint8 RGB and (H, W) uint8 alpha to a (H, W, 4) uint8 RGBA cut-out."""
    colours, share = (np.multiply(x, 1 / 255, dtype=np.float32) for x in (picture, alpha))
    return np.dstack([to_bytes(fuse(colours, share[..., None]) * 255), alpha])


def carried(cutout: Bytes) -> Bytes:
    """A cut-out (H, W, 4) uint8 RGBA, straight, whose colours go on past its outline: most programs
    leave black there, and whatever mixes neighbouring pixels would draw a dark line."""
    colours, alpha = (np.multiply(x, 1 / 255, dtype=np.float32) for x in np.split(cutout, [3], 2))
    beyond = np.zeros_like(colours)
    for radius in (91, 7):  # from afar where nothing is nearer
        size = (radius, radius)
        mean = cv2.blur(alpha, size)[..., None]
        near = cv2.blur(colours * alpha, size) / np.maximum(mean, 1e-5)
        beyond = beyond + (near - beyond) * np.minimum(mean * 50, 1)
    known = np.minimum(alpha * 4, 1)  # eight bits of nearly nothing say little of colours
    return np.dstack([to_bytes((colours * known + beyond * (1 - known)) * 255), cutout[..., 3]])


def subject(
    name: str, pictures: list[Bytes] | None, cutouts: list[Bytes], *, complete: bool = True
) -> Subject:
    """A Subject with the measures that framing needs."""
    frames = np.stack(cutouts)
    solid = frames[..., 3] > 127
    rows, columns = (np.flatnonzero(solid[0].any(axis)) for axis in (1, 0))
    box = (
        (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        if len(rows)
        else (0, 0, solid.shape[2], solid.shape[1])
    )
    edges = (
        solid[:, :, :2].all(2),
        solid[:, :2].all(1),
        solid[:, :, -2:].all(2),
        solid[:, -2:].all(1),
    )
    left, top, right, bottom = (bool(edge.mean(1).max() > 0.03) for edge in edges)
    stacked = None if pictures is None else np.stack(pictures)
    return Subject(name, stacked, frames, box, (left, top, right, bottom), complete)


def reduced(picture: Bytes) -> Bytes:
    """The picture (H, W[, C]) with its long side at most LONGEST; RGBA is carried on first."""
    if picture.shape[2:] == (4,):
        picture = carried(picture)
    height, width = picture.shape[:2]
    scale = LONGEST / max(height, width)
    if scale >= 1:
        return picture
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def read(path: Path) -> Bytes:
    """The picture as stored: (H, W), (H, W, 3) RGB or (H, W, 4) RGBA uint8, reduced."""
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise ValueError(f"{path} is not a picture OpenCV can read")
    if picture.dtype != np.uint8:
        picture = (picture / 257).astype(np.uint8)
    if picture.ndim == 3:
        order = cv2.COLOR_BGR2RGB if picture.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        picture = cv2.cvtColor(picture, order)
    return reduced(np.asarray(picture, np.uint8))


def colour(path: Path) -> Bytes:
    """The picture as (H, W, 3) uint8 RGB."""
    picture = read(path)
    return picture[..., :3] if picture.ndim == 3 else np.dstack([picture] * 3)


def gray(path: Path, size: tuple[int, int]) -> Bytes:
    """The alpha as (H, W) uint8 at `size` (height, width)."""
    alpha = read(path)
    alpha = alpha if alpha.ndim == 2 else alpha[..., -1 if alpha.shape[2] == 4 else 0]
    if alpha.shape == size:
        return alpha
    return np.asarray(cv2.resize(alpha, size[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def clip_frames(path: Path, form: str) -> Iterator[Bytes]:
    """The first CLIP_FRAMES frames as `form` ("rgb24", "gray" or "rgba") arrays, reduced."""
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == CLIP_FRAMES:
                return
            yield reduced(np.asarray(frame.to_ndarray(format=form), np.uint8))


def read_pair(path: Path, partial: tuple[str, ...]) -> Subject:
    picture = colour(path)
    alpha = gray(path.with_suffix(".png"), picture.shape[:2])
    complete = not path.name.startswith(partial) if partial else True
    return subject(path.stem, [picture], [cut(picture, alpha)], complete=complete)


def read_clip(path: Path) -> Subject:
    pictures = list(clip_frames(path, "rgb24"))
    alphas = list(clip_frames(path.with_suffix(".alpha.mp4"), "gray"))
    if len(pictures) != len(alphas):
        raise ValueError(f"{path}: {len(pictures)} frames but {len(alphas)} of alpha")
    cutouts = [cut(picture, alpha) for picture, alpha in zip(pictures, alphas, strict=True)]
    return subject(path.stem, pictures, cutouts)


def read_moving(path: Path) -> Subject | None:
    """The moving cut-out of a file; None where it has no alpha."""
    with av.open(str(path)) as container:
        form = container.streams.video[0].format
    if not form or not any(each.is_alpha for each in form.components):
        return None
    return subject(path.stem, None, list(clip_frames(path, "rgba")))


def stored(store: Store | None, path: Path, read: Callable[[Path], Bytes]) -> Bytes:
    """What `read` makes of a file, mapped from the store where there is one."""
    if store is None:
        return read(path)
    return store.array(path, f"{read.__name__} {LONGEST}", lambda: read(path))


def people(
    store: Store | None, kind: str, read: Callable[[Path], Subject | None], path: Path
) -> Subject | None:
    """The subject that `read` makes of a file, its pictures mapped from the store where there is
    one; kind: what the store calls them."""
    if store is None:
        return read(path)
    fresh: list[Subject | None] = []

    def made() -> Subject:
        fresh[:] = fresh or [read(path)]
        assert fresh[0] is not None
        return fresh[0]

    def facts() -> dict[str, Any]:
        fresh[:] = [read(path)]
        one = fresh[0]
        if one is None:
            return {}
        return {
            "photographed": one.pictures is not None,
            "box": one.box,
            "touches": one.touches,
            "complete": one.complete,
        }

    kind = f"{kind} {LONGEST}"
    known = store.facts(path, kind, facts)
    if not known:
        return None
    cutouts = store.array(path, f"{kind} cutouts", lambda: made().cutouts)
    pictures = None
    if known["photographed"]:
        pictures = store.array(path, f"{kind} pictures", lambda: np.asarray(made().pictures))
    box, touches = tuple(known["box"]), tuple(known["touches"])
    return Subject(path.stem, pictures, cutouts, box, touches, known["complete"])


def read_cutout(path: Path) -> Subject | None:
    """The transparent picture of a file as a subject; None where it has no transparency."""
    picture = read(path)
    return subject(path.stem, None, [picture]) if picture.shape[2:] == (4,) else None


def load(
    folder: Path,
    partial: tuple[str, ...] = (),
    *,
    claims: Mapping[str, float] | None = None,
    store: Store | None = None,
) -> Library:
    """Reads everything below `folder`; see the top of this file for what is what.

    partial: beginnings of the file names of pairs in which bystanders are not in the alpha. claims:
    the share of a background that a network took for people, by its file's stem; 0 for all that it
    does not name. store: where decoded pictures are kept and mapped from, instead of in memory.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    present = set(files)
    photos = [path for path in files if path.suffix.lower() in PICTURES]
    pairs = [path for path in photos if path.with_suffix(".png") in present]
    paired = {path.with_suffix(".png") for path in pairs}
    lonely = [path for path in files if path.suffix == ".png" and path not in paired]
    transparent = [path for path in lonely if path.parent.name != THINGS]
    clips = [path for path in files if path.with_suffix(".alpha.mp4") in present]
    films = [path for path in files if path.suffix.lower() == ".mov"]
    rooms = [path for path in photos if path not in set(pairs)]
    pair = bound(read_pair, partial=partial)
    with ThreadPoolExecutor() as pool:  # OpenCV and PyAV release the interpreter lock

        def found(kind: str, read: Callable[[Path], Subject | None], of: list[Path]) -> Any:
            return [one for one in pool.map(bound(people, store, kind, read), of) if one]

        stills = found(f"pair {partial}", pair, pairs)
        stills += found("cut-out", read_cutout, transparent)
        moving = found("clip", read_clip, [path for path in clips if path.suffix == ".mp4"])
        moving += found("film", read_moving, films)
        laid = [path for path in lonely if path.parent.name == THINGS]
        things = [
            each
            for each in pool.map(bound(stored, store, read=read), laid)
            if each.shape[2:] == (4,)
        ]
        empty = list(pool.map(bound(stored, store, read=colour), rooms))
    if not stills and not moving:
        raise ValueError(
            f"no people below {folder}: expected NAME.jpg + NAME.png pairs, "
            "transparent NAME.png or NAME.mov, or NAME.mp4 + NAME.alpha.mp4"
        )
    names = [path.stem for path in rooms]
    shares = [(claims or {}).get(name, 0.0) for name in names] if claims else []
    return Library(stills, moving, empty, things, names, shares)
