"""Published data sets by name, each in the folders its authors publish it in.

    read("p3m", Path("P3M-10k"))

gives the same Library as a folder of one's own, except that a picture is read when it is drawn,
because such sets are larger than memory (AISegment has 34,000 people). Nothing here downloads
anything, since most sets ask for a signed form. A path that does not hold the expected set is
refused with what is missing and where the set can be had.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np

from mattecast.engines.errors import MattecastError
from mattecast.engines.training import datasets
from mattecast.engines.training.datasets import Bytes, Library, Subject, cut, subject
from mattecast.engines.training.mapped import Store
from mattecast.engines.training.ondemand import OnDemand

T = TypeVar("T")
Read = partial[Subject]  # a reading function and its paths; the first path names the subject
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
# Colours of Pascal VOC's palette: class 15 (person), and the unlabelled pixels along outlines.
PERSON, VOID = (192, 128, 128), (224, 224, 192)
COMPOSITIONS = 100  # backgrounds for each training foreground of Deep Image Matting


@dataclass(frozen=True)
class Corpus:
    """A published set.

    about: its name in messages. where: where it can be had. needs: folders and files that its root
    must hold. subjects: gives for a root how to read each of its people. backgrounds: gives its
    pictures without people. moving: whether its people are clips.
    """

    name: str
    about: str
    where: str
    needs: tuple[str, ...]
    subjects: Callable[[Path], list[Read]]
    backgrounds: Callable[[Path], list[Path]] = lambda root: []
    moving: bool = False

    def check(self, root: Path) -> None:
        """Raise MattecastError that names the first missing part, unless the root holds the set."""
        for need in self.needs:
            if not (root / need).exists():
                wanted = ", ".join(self.needs)
                raise MattecastError(
                    f"{root}: not {self.about}: {need} is missing there (expected {wanted}); "
                    f"get it from {self.where}"
                )


class LazySubject(Subject):
    """A Subject of a published set whose files are read when its pictures are first used.

    All subjects of a set have the same weight, because the measures that would weigh them are only
    known after reading.
    """

    def __init__(self, name: str, people: OnDemand[Subject], place: int) -> None:
        vars(self).update(name=name, people=people, place=place)

    def __getattr__(self, what: str) -> Any:
        if what not in ("pictures", "cutouts", "box", "touches"):
            raise AttributeError(what)
        return getattr(self.people[self.place], what)

    @property
    def weight(self) -> float:
        """The chance to be drawn, the same for all subjects."""
        return 1.0


def read(
    name: str,
    root: Path,
    *,
    limit: int = 0,
    incomplete: tuple[str, ...] = (),
    claims: Mapping[str, float] | None = None,
    store: Store | None = None,
) -> Library:
    """The Library of a published set, or of a folder of one's own.

    name: a key of CORPORA, or 'folder' for one's own, which is held in memory. limit: the most
    people to take (0: all), evenly spread over the sorted files, so that every call takes the same
    ones. incomplete, claims, store: see datasets.load, which also reduces pictures as this function
    does. Raises MattecastError for an unknown name and a root that does not hold the set.
    """
    if name == "folder":
        return datasets.load(root, incomplete, claims=claims, store=store)
    corpus = named(name)
    corpus.check(root)
    reads, empty = corpus.subjects(root), corpus.backgrounds(root)
    if not reads:
        raise MattecastError(
            f"{root}: the folders of {corpus.about} are there, but no picture with its alpha; get "
            f"it from {corpus.where}"
        )
    reads, backgrounds = spread(reads, limit), spread(empty, limit)
    people = OnDemand(reads)
    subjects: list[Subject] = [
        LazySubject(read.args[0].stem, people, place) for place, read in enumerate(reads)
    ]
    behind = OnDemand([partial(datasets.colour, path) for path in backgrounds])
    return Library([], subjects, behind) if corpus.moving else Library(subjects, [], behind)


def named(name: str) -> Corpus:
    """The set of a name; raises MattecastError with the names there are."""
    if name not in CORPORA:
        raise MattecastError(f"data set '{name}' is not known: folder, {', '.join(CORPORA)}")
    return CORPORA[name]


def spread(items: list[T], limit: int) -> list[T]:
    """At most `limit` of the items, from the middles of equal parts; all of them for 0."""
    if not 0 < limit < len(items):
        return items
    return [items[(2 * index + 1) * len(items) // (2 * limit)] for index in range(limit)]


def pictures(folder: Path) -> list[Path]:
    """The pictures below a folder, sorted, without the ._NAME files that macOS puts in archives."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def paired(images: Path, mattes: Path) -> list[tuple[Path, Path]]:
    """Pictures and mattes whose names differ only in their suffix, from below two folders."""
    by_name = {path.stem: path for path in pictures(mattes)}
    return [(path, by_name[path.stem]) for path in pictures(images) if path.stem in by_name]


def read_pair(picture: Path, matte: Path) -> Subject:
    """A photograph and its matte: a gray picture, or the alpha of one that has it."""
    colours = datasets.colour(picture)
    return subject(picture.stem, [colours], [cut(colours, datasets.gray(matte, colours.shape[:2]))])


def pairs(images: str, mattes: str) -> Callable[[Path], list[Read]]:
    """The function that pairs the pictures of two folders of a root."""
    return lambda root: [partial(read_pair, *each) for each in paired(root / images, root / mattes)]


def aisegment(root: Path) -> list[Read]:
    """clip_img/GROUP/clip_N/NAME.jpg, with alpha in matting/GROUP/matting_N/NAME.png."""
    found: list[Read] = []
    for picture in pictures(root / "clip_img"):
        group, clip = picture.relative_to(root / "clip_img").parts[:2]
        folder = root / "matting" / group / clip.replace("clip_", "matting_")
        matte = folder / f"{picture.stem}.png"
        if matte.exists():
            found.append(partial(read_pair, picture, matte))
    return found


def voc(root: Path) -> list[Read]:
    """The segmented pictures of train and val that show a person.

    Only the labels show which pictures do, so all labels are read once.
    """
    names = [
        name
        for part in ("train", "val")
        for name in (root / f"ImageSets/Segmentation/{part}.txt").read_text().split()
    ]
    found: list[Read] = []
    for name in names:
        label = root / "SegmentationClass" / f"{name}.png"
        if label.exists() and person_mask(label).max() == 255:
            found.append(partial(read_voc, root / "JPEGImages" / f"{name}.jpg", label))
    return found


def read_voc(picture: Path, label: Path) -> Subject:
    """A picture of Pascal VOC and its person mask."""
    colours = datasets.colour(picture)
    mask = person_mask(label)
    size = colours.shape[1::-1]
    alpha = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)
    return subject(picture.stem, [colours], [cut(colours, alpha)])


def person_mask(label: Path) -> Bytes:
    """(H, W) uint8 of a VOC label: 255 on people, 127 on unlabelled pixels beside them, else 0."""
    stored = cv2.imread(str(label), cv2.IMREAD_COLOR)  # the palette's colours, BGR
    if stored is None:
        raise MattecastError(f"{label}: not a picture that can be read")
    person, void = ((stored == colour[::-1]).all(2) for colour in (PERSON, VOID))
    # The unlabelled outlines are about 5 pixels wide.
    near = cv2.dilate(person.astype(np.uint8), np.ones((11, 11), np.uint8)) > 0
    return np.where(person, 255, np.where(void & near, 127, 0)).astype(np.uint8)


def deep_image_matting(root: Path) -> list[Read]:
    """The training foregrounds, in the order of their list, as cut-outs."""
    return [partial(read_cutout, *_foreground(root, name)) for name in _names(root, "fg")]


def dim_backgrounds(root: Path) -> list[Path]:
    """The training backgrounds, in the order of their list."""
    return [root / "train2014" / name for name in _names(root, "bg")]


def compositions(root: Path) -> Iterator[tuple[Path, Path, Path]]:
    """Paths of foreground, alpha and background of each training picture, in the published order.

    Foreground number i belongs to backgrounds 100 i to 100 i + 99 of their list (Xu et al. 2017,
    "Deep Image Matting", arXiv 1703.03872, and the script that comes with the set).
    """
    named("dim").check(root)
    behind = dim_backgrounds(root)
    for index, name in enumerate(_names(root, "fg")):
        for place in range(index * COMPOSITIONS, (index + 1) * COMPOSITIONS):
            yield *_foreground(root, name), behind[place]


def compose(foreground: Bytes, alpha: Bytes, background: Bytes) -> Bytes:
    """The foreground over the background, as the set's own script composes them.

    foreground: (H, W, 3) uint8. alpha: (H, W) uint8. background: (h, w, 3) uint8; a smaller one is
    enlarged until it covers the foreground, of a larger one the upper left corner is used. Returns
    (H, W, 3) uint8.
    """
    height, width = alpha.shape
    ratio = max(width / background.shape[1], height / background.shape[0])
    if ratio > 1:
        size = (ceil(background.shape[1] * ratio), ceil(background.shape[0] * ratio))
        background = np.asarray(
            cv2.resize(background, size, interpolation=cv2.INTER_CUBIC), np.uint8
        )
    share = alpha[..., None].astype(np.float32) / 255
    mixed = share * foreground + (1 - share) * background[:height, :width]
    return np.round(mixed).astype(np.uint8)


def read_cutout(foreground: Path, matte: Path) -> Subject:
    """A foreground whose colours are its own, and its alpha."""
    colours = datasets.colour(foreground)
    alpha = datasets.gray(matte, colours.shape[:2])
    return subject(foreground.stem, None, [np.dstack([colours, alpha])])


def _names(root: Path, kind: str) -> list[str]:
    lines = (root / f"Training_set/training_{kind}_names.txt").read_text().splitlines()
    return [line.strip() for line in lines if line.strip()]


def _foreground(root: Path, name: str) -> tuple[Path, Path]:
    for source in ("Adobe-licensed images", "Other"):
        folder = root / "Training_set" / source
        if (folder / "fg" / name).exists():
            return folder / "fg" / name, folder / "alpha" / name
    raise MattecastError(
        f"{root}: foreground {name} of training_fg_names.txt is in neither of "
        "Training_set/Adobe-licensed images/fg and Training_set/Other/fg"
    )


def video_matte(root: Path) -> list[Read]:
    """train/fgr/CLIP/FRAME.jpg and train/pha/CLIP/FRAME.jpg: a subject a clip."""
    folder = root / "train"
    clips = sorted(path for path in (folder / "fgr").iterdir() if path.is_dir())
    return [partial(read_frames, clip, folder / "pha" / clip.name) for clip in clips]


def read_frames(colours: Path, mattes: Path) -> Subject:
    """A clip of foregrounds and alphas as cut-outs, of at most datasets.CLIP_FRAMES frames."""
    found = paired(colours, mattes)[: datasets.CLIP_FRAMES]
    if not found:
        raise MattecastError(f"{colours}: no frame has its alpha in {mattes}")
    cutouts = []
    for picture, matte in found:
        front = datasets.colour(picture)
        cutouts.append(np.dstack([front, datasets.gray(matte, front.shape[:2])]))
    return subject(colours.name, None, cutouts)


_KAGGLE = "https://www.kaggle.com/datasets/laurentmih/aisegmentcom-matting-human-datasets"
CORPORA = {
    row.name: row
    for row in (
        Corpus(
            "pairs",
            "a folder of pairs",
            "your own pictures: images/NAME.jpg with masks/NAME.png",
            ("images", "masks"),
            pairs("images", "masks"),
        ),
        Corpus(
            "ppm100",
            "PPM-100",
            "https://github.com/ZHKKKe/PPM",
            ("image", "matte"),
            pairs("image", "matte"),
        ),
        Corpus(
            "voc2012",
            "Pascal VOC 2012 (the folder VOCdevkit/VOC2012)",
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
            (
                "JPEGImages",
                "SegmentationClass",
                "ImageSets/Segmentation/train.txt",
                "ImageSets/Segmentation/val.txt",
            ),
            voc,
        ),
        Corpus(
            "aisegment",
            "AISegment Matting Human",
            f"https://github.com/aisegmentcn/matting_human_datasets or {_KAGGLE}",
            ("clip_img", "matting"),
            aisegment,
        ),
        Corpus(
            "dim",
            "Adobe Deep Image Matting (the folder Combined_Dataset)",
            "https://sites.google.com/view/deepimagematting (its authors send it on request), and "
            "train2014 of https://cocodataset.org for the backgrounds",
            (
                "Training_set/training_fg_names.txt",
                "Training_set/training_bg_names.txt",
                "train2014",
            ),
            deep_image_matting,
            dim_backgrounds,
        ),
        Corpus(
            "p3m",
            "P3M-10k",
            "https://github.com/JizhiziLi/P3M (after signing its agreement)",
            ("train/blurred_image", "train/mask"),
            pairs("train/blurred_image", "train/mask"),
        ),
        Corpus(
            "videomatte240k",
            "VideoMatte240K as JPEG (VideoMatte240K_JPEG_HD or _SD)",
            "https://grail.cs.washington.edu/projects/background-matting-v2/",
            ("train/fgr", "train/pha"),
            video_matte,
            moving=True,
        ),
    )
}
