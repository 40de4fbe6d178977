"""Published data sets, each as a tiny tree of its own folders, and what is said of a wrong path."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from mattecast.engines.errors import MattecastError
from mattecast.engines.papers import corpora
from mattecast.engines.training import datasets, ondemand


def write(path, picture):
    """Store a picture, (h, w[, 3 or 4]) uint8 RGB(A), and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    stored = cv2.cvtColor(picture, order[picture.shape[2]]) if picture.ndim == 3 else picture
    assert cv2.imwrite(str(path), stored)


def photo(value=200):
    """A red picture with a white square on it, (24, 32, 3)."""
    picture = np.zeros((24, 32, 3), np.uint8)
    picture[..., 0] = value
    picture[8:16, 10:20] = 255
    return picture


def matte():
    alpha = np.zeros((24, 32), np.uint8)
    alpha[8:16, 10:20] = 255
    return alpha


def pairs(root, images, masks):
    for name in ("one", "two", "three"):
        write(root / images / f"{name}.jpg", photo())
        write(root / masks / f"{name}.png", matte())


def ppm100(root):
    pairs(root, "image", "matte")


def p3m(root):
    pairs(root, "train/blurred_image", "train/mask")


def plain(root):
    pairs(root, "images", "masks")


def aisegment(root):
    for number in range(3):
        name = f"1803151818-0000000{number}"
        write(root / f"clip_img/1803151818/clip_00000000/{name}.jpg", photo())
        rgba = np.dstack([photo(0), matte()])
        write(root / f"matting/1803151818/matting_00000000/{name}.png", rgba)


def voc(root):
    label = np.zeros((24, 32, 3), np.uint8)
    label[8:16, 10:20] = corpora.PERSON
    label[7:8, 10:20] = corpora.VOID  # an open outline of the person
    label[20:22, 30:] = corpora.VOID  # and of something else
    cat = np.zeros((24, 32, 3), np.uint8)
    cat[8:16, 10:20] = (64, 0, 0)
    for name, colours in (("2007_1", label), ("2007_2", cat), ("2007_3", label), ("2007_4", label)):
        write(root / f"JPEGImages/{name}.jpg", photo())
        write(root / f"SegmentationClass/{name}.png", colours)
    lists = root / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("2007_1\n2007_2\n")
    (lists / "val.txt").write_text("2007_3\n2007_4\n")


def dim(root):
    names = ["a.jpg", "b.png", "c.jpg"]
    for name, source in zip(names, ["Adobe-licensed images", "Other", "Other"], strict=True):
        write(root / f"Training_set/{source}/fg/{name}", photo(250))
        write(root / f"Training_set/{source}/alpha/{name}", matte())
    rooms = [f"COCO_train2014_{number:012d}.jpg" for number in range(4)]
    for index, name in enumerate(rooms):
        write(root / "train2014" / name, np.full((12, 40, 3), 40 * index, np.uint8))
    lines = [rooms[index % 4] for index in range(300)]
    (root / "Training_set/training_fg_names.txt").write_text("\n".join(names) + "\n")
    (root / "Training_set/training_bg_names.txt").write_text("\n".join(lines) + "\n")


def video(root):
    for clip in ("0000", "0001", "0002"):
        for frame in range(3):
            write(root / f"train/fgr/{clip}/{frame:04d}.jpg", photo(200 + frame))
            write(root / f"train/pha/{clip}/{frame:04d}.jpg", matte())


TREES = {
    "pairs": plain,
    "ppm100": ppm100,
    "voc2012": voc,
    "aisegment": aisegment,
    "dim": dim,
    "p3m": p3m,
    "videomatte240k": video,
}


def test_every_set_has_a_tree():
    assert TREES.keys() == corpora.CORPORA.keys()


@pytest.mark.parametrize("name", TREES)
def test_a_set_is_read_from_its_own_folders(name, tmp_path):
    TREES[name](tmp_path)
    library = corpora.read(name, tmp_path)
    people = library.clips if name == "videomatte240k" else library.stills
    assert len(people) == 3
    for person in people:
        alpha = person.cutouts[0][..., 3].astype(int)
        assert alpha.shape == (24, 32)
        assert np.abs(alpha - matte())[[2, 12, 22], :].max() < 20
        assert person.box == (10, 8, 20, 16)
        if person.pictures is not None:
            assert person.pictures.shape == (1, 24, 32, 3)
            assert person.pictures[0, 2, 2, 0] > 180 > person.pictures[0, 2, 2, 2]  # RGB, red
    assert len(library.backgrounds) == (300 if name == "dim" else 0)


@pytest.mark.parametrize("name", TREES)
def test_an_error_names_what_is_missing_and_where_the_set_can_be_had(name, tmp_path):
    corpus = corpora.CORPORA[name]
    with pytest.raises(MattecastError) as caught:
        corpora.read(name, tmp_path / "elsewhere")
    said = str(caught.value)
    assert str(tmp_path / "elsewhere") in said and f"{corpus.needs[0]} is missing" in said
    assert corpus.where in said and "\n" not in said
    assert "https://" in said or "http://" in said or name == "pairs"


@pytest.mark.parametrize("name", ["pairs", "ppm100", "aisegment", "p3m"])
def test_empty_folders_and_missing_folders_have_different_errors(name, tmp_path):
    for need in corpora.CORPORA[name].needs:
        (tmp_path / need).mkdir(parents=True)
    with pytest.raises(MattecastError, match="are there, but no picture with its alpha"):
        corpora.read(name, tmp_path)


def test_a_part_of_a_set_is_the_same_part_every_time(tmp_path):
    plain(tmp_path)
    for _ in range(2):
        found = corpora.read("pairs", tmp_path, limit=2).stills
        assert [one.name for one in found] == ["one", "two"]  # of one, three, two
    assert corpora.spread(list(range(10)), 3) == [1, 5, 8]


@pytest.fixture
def looked(monkeypatch):
    """The files that were read for their colours."""
    names, read = [], datasets.colour

    def colour(path):
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(datasets, "colour", colour)
    return names


@pytest.mark.parametrize("name", TREES)
def test_nothing_is_read_before_it_is_looked_at(name, tmp_path, looked):
    TREES[name](tmp_path)
    library = corpora.read(name, tmp_path)
    kept, held = library.split(2)
    assert len(kept.stills) + len(held.stills) == len(library.stills)
    assert str(library).endswith(f"{len(library.backgrounds)} backgrounds")
    people = library.clips or library.stills
    assert [one.weight for one in people] == [1, 1, 1] and not looked
    for _ in range(2):
        assert people[0].cutouts.shape[1:] == (24, 32, 4) and people[0].frames in (1, 3)
    assert len(looked) == people[0].frames


def test_no_more_stays_in_memory_than_there_is_room_for(tmp_path, looked, monkeypatch):
    dim(tmp_path)
    rooms = corpora.read("dim", tmp_path).split(3)[0].backgrounds
    assert len(rooms) == 200 and not looked
    monkeypatch.setattr(ondemand, "ROOM", 3 * rooms[0].nbytes)
    assert [int(room[0, 0, 0]) for room in rooms][:4] == [40, 80, 0, 40]  # of 0, 40, 80, 120
    assert len(looked) == 200 and rooms.bytes == sum(room.nbytes for room in rooms.kept.values())
    assert len(rooms.kept) == 3 and 199 in rooms.kept


def test_worker_processes_get_the_list_and_read_by_themselves(tmp_path, looked):
    plain(tmp_path)
    library = pickle.loads(pickle.dumps(corpora.read("pairs", tmp_path)))
    assert not looked and [one.name for one in library.stills] == ["one", "three", "two"]
    assert library.stills[1].box == (10, 8, 20, 16) and looked == ["three.jpg"]


def test_what_macos_leaves_beside_pictures_is_none(tmp_path):
    aisegment(tmp_path)
    for path in list(tmp_path.rglob("*.??g")):
        path.with_name(f"._{path.name}").write_bytes(b"resource fork")
    assert len(corpora.read("aisegment", tmp_path).stills) == 3


def test_the_error_for_an_unknown_set_lists_the_known_ones(tmp_path):
    with pytest.raises(MattecastError, match="folder, pairs, ppm100, voc2012"):
        corpora.read("ppm", tmp_path)


def test_open_outlines_of_voc_count_half_beside_people_only(tmp_path):
    voc(tmp_path)
    mask = corpora.person_mask(tmp_path / "SegmentationClass/2007_1.png")
    assert set(np.unique(mask)) == {0, 127, 255}
    assert (mask[7, 10:20] == 127).all() and not mask[20:22, 30:].any()


def test_compositions_come_in_the_published_order(tmp_path):
    dim(tmp_path)
    found = list(corpora.compositions(tmp_path))
    assert len(found) == 300
    assert [path.name for path in found[100][:2]] == ["b.png", "b.png"]
    assert found[100][2].name == "COCO_train2014_000000000000.jpg"
    assert found[299][2].name == "COCO_train2014_000000000003.jpg"


def test_a_composition_covers_the_foreground():
    front, room = photo(250), np.full((12, 16, 3), 90, np.uint8)
    mixed = corpora.compose(front, matte(), room)
    assert (mixed[8:16, 10:20] == 255).all() and (mixed[0] == 90).all()
    half = corpora.compose(front, np.full((24, 32), 51, np.uint8), room)
    assert (half[0, 0] == np.round(0.2 * front[0, 0] + 0.8 * 90)).all()
