"""Draws training samples: who is where in the frame, before what, and how all of it moves.

A sample is either a photograph with its own background or one or two cut-outs before another
background; now and then a place with nobody in it, half of these such as a network took for people
before. Framing runs from a face to a whole body, most of all head and shoulders above the lower
edge, as webcams show people; whole figures are down to a thirtieth of the frame's height.
"""

from dataclasses import dataclass, replace
from functools import reduce

import cv2
import numpy as np
from numpy.random import Generator

from mattecast.engines.training import augment, datasets
from mattecast.engines.training.augment import Field, Matrix, about, scaling, shifting, turning
from mattecast.engines.training.datasets import Bytes, Library, Subject, to_bytes

SHARPEST = 1.25  # times: a person enlarged further is blurred, and teaches a blurred matte
BEYOND = 0.03  # of the frame's long side: so far outside it a cut ends, to stay there in motion
CORNERED = 0.35  # of the things, cut by the frame's side as neighbouring chairs at a desk are
LARGEST = 2.5  # times: for some still, or whatever is smooth would be taken for background
SMALLEST, MIDDLE = 0.03, 0.45  # of the frame's height: what small figures are between
TRIES = 4  # at most, to draw a sample that is not filled by a body


@dataclass(frozen=True)
class Recipe:
    """Shares of what is drawn, each in [0, 1]."""

    empty: float = 0.1
    hard: float = 0.5  # of the empty ones, drawn by what a network claimed there
    composite: float = 0.55  # of the others; the rest keep their own background
    clip: float = 0.2  # of the subjects
    second: float = 0.25  # composites with two cut-outs
    partial: float = 0.25  # of the photographs with unlabelled bystanders, that keep them
    cluttered: float = 0.5  # of the backgrounds, with pieces of others pasted over them
    furnished: float = 0.5  # of all places, with things standing in them
    still: float = 0.2  # of the multi-frame samples, without any motion
    enlarged: float = 0.5  # of the people, that may be enlarged beyond SHARPEST
    smeared: float = 0.15  # of the cut-outs, as by denoising and beauty filters
    small: float = 0.3  # of the figures that no side of their picture cuts
    lying: float = 0.04  # of the same, turned on their side
    headless: float = 0.05  # of the cut-outs, cut at the neck by the frame's upper side
    masked: float = 0.04  # of the stills, faces made unrecognisable, as published pictures have it
    filled: float = 0.1  # of the samples that a body fills without a head in sight, that are kept
    seen: float = 0.85  # of the photographs, framed with the head in sight
    whole: bool = False  # instead of all this: photographs as they are, squeezed to the size


@dataclass(frozen=True)
class Sample:
    """T frames: picture and foreground (T, H, W, 3) uint8 RGB, alpha (T, H, W) uint8, valid
    (T, H, W) uint8 (1 where alpha may be trusted), known: whether foreground is the truth."""

    picture: Bytes
    alpha: Bytes
    foreground: Bytes
    valid: Bytes
    known: bool


@dataclass(frozen=True)
class Layer:
    """A cut-out in every frame of the sample: straight colours (T, H, W, 3), alpha (T, H, W)."""

    colours: Bytes
    alpha: Bytes


def pick(rng: Generator, library: Library, share: float) -> Subject:
    """A clip with probability `share`, else a still by weight."""
    moving = rng.random() < share
    group, sums = library.clips, library.clip_sums
    if library.stills and not (moving and group):
        group, sums = library.stills, library.still_sums
    return group[int(np.searchsorted(sums, rng.random(), side="right"))]


def moments(rng: Generator, subject: Subject, frames: int) -> list[int]:
    """Which of the subject's frames to show: forth at a random pace, and back at the end."""
    count = subject.frames
    if count == 1:
        return [0] * frames
    pace = int(rng.choice([1, 1, 2, 3, 5]))
    places = (int(rng.integers(count)) + pace * np.arange(frames)) % (2 * count - 2)
    return [int(min(place, 2 * count - 2 - place)) for place in places]


def upright(subject: Subject) -> bool:
    """Whether it looks like a whole body that stands."""
    left, top, right, bottom = subject.box
    return (bottom - top) / max(1, right - left) > 1.7


def head(subject: Subject) -> float:
    """About how much of the person's height, from above, the head has."""
    return 0.14 if upright(subject) else 0.42


def portion(rng: Generator, recipe: Recipe, subject: Subject) -> tuple[float, float]:
    """(part of the person from the head down that is shown, its height as part of the frame's)."""
    left, top, right, bottom = subject.box
    whole_body = upright(subject)
    if not any(subject.touches) and rng.random() < recipe.small:
        part = max(rng.random(2))  # the smallest are the rarest: there is little to learn of them
        return 1.0, SMALLEST * (MIDDLE / SMALLEST) ** part
    if right - left > 1.3 * (bottom - top):  # a group, or somebody who lies
        return 1.0, rng.uniform(0.15, 0.7)
    kind = rng.random()
    if kind < 0.12:  # a face
        return rng.uniform(*((0.14, 0.3) if whole_body else (0.4, 0.75))), rng.uniform(0.7, 1.2)
    if kind < 0.6:  # head and shoulders
        return rng.uniform(*((0.25, 0.6) if whole_body else (0.7, 1.0))), rng.uniform(0.5, 1.0)
    return 1.0, rng.uniform(0.4, 1.05)  # all there is


def flipped(rng: Generator, matrix: Matrix, width: int) -> Matrix:
    """The same, or left and right exchanged in a frame of that width."""
    return shifting(width - 1, 0) @ scaling(-1, 1) @ matrix if rng.random() < 0.5 else matrix


def limit(rng: Generator, recipe: Recipe) -> float:
    """How many times a person may be enlarged this time."""
    return LARGEST if rng.random() < recipe.enlarged else SHARPEST


def place(
    rng: Generator, recipe: Recipe, subject: Subject, size: tuple[int, int], largest: float
) -> Matrix:
    """Where the cut-out stands in a frame of `size`, enlarged at most `largest` times; sides that
    cut it stay at the frame's."""
    height, width = size
    beyond = BEYOND * max(size)
    source_height, source_width = subject.cutouts.shape[1:3]
    left, top, right, bottom = subject.box
    cut_left, cut_top, cut_right, cut_bottom = subject.touches
    part, shown = portion(rng, recipe, subject)
    tall = max(1, bottom - top)
    scale = min(shown * height / (part * tall), largest)
    stretch = float(np.exp(rng.normal(0, 0.05)))
    if cut_left and cut_right:  # or a cut would show inside the frame
        scale = max(scale, (width + 2 * beyond) / source_width / stretch)
    if cut_top and cut_bottom:
        scale = max(scale, (height + 2 * beyond) / source_height)
    # More of the person instead of larger, less where the cuts made it so: the head stays in sight.
    part = min(1.0, shown * height / (scale * tall))
    x_scale = scale * stretch
    # The head's height first; a person cut below stands on the lower edge.
    visible = part * tall * scale
    y = height - visible - top * scale
    if part == 1.0 and not cut_bottom:
        y = rng.uniform(0.2, 1.05) * (height - visible) - top * scale
    if rng.random() < recipe.headless:  # a body cut at the neck
        y = -(top + head(subject) * rng.uniform(0.8, 1.1) * tall) * scale
    if cut_bottom:
        y = max(y, height + beyond - source_height * scale)
    if cut_top:
        y = min(y, -beyond)
    x = rng.normal(0.5, 0.18) * width - (left + right) / 2 * x_scale
    if cut_left:
        x = min(x, -beyond)
    if cut_right:
        x = max(x, width + beyond - source_width * x_scale)
    if cut_left and cut_right:
        x = min(x, -beyond)
    matrix = flipped(rng, shifting(x, y) @ scaling(x_scale, scale), width)
    angle = 0.0 if cut_left or cut_top or cut_right else rng.normal(0, 4)
    return about(width / 2, height * 1.0, turning(angle)) @ matrix


def filling(shape: tuple[int, ...], size: tuple[int, int]) -> float:
    """How many times a picture has to be enlarged to fill a frame of `size`."""
    return max(size[0] / shape[0], size[1] / shape[1])


def cover(
    rng: Generator,
    shape: tuple[int, ...],
    size: tuple[int, int],
    focus: float,
    largest: float,
    *,
    above: float = np.inf,
) -> Matrix:
    """A random view into a picture that it (nearly) fills, enlarged no further than `largest` times
    where that is enough; focus: relative height of interest; above: px of the picture that the view
    leaves out at its upper side at most."""
    height, width = size
    fill = filling(shape, size)
    fit = min(height / shape[0], width / shape[1])
    scale = max(fill, min(fill * np.exp(rng.uniform(0, 0.5)), largest))
    if rng.random() < 0.35:
        scale = max(rng.uniform(fit, fill), 0.7 * fill)
    x_scale = scale * float(np.exp(rng.normal(0, 0.08)))
    free_x, free_y = width - shape[1] * x_scale, height - shape[0] * scale
    aim = np.clip(rng.normal(focus, 0.2), 0, 1)
    y = max(aim * free_y, min(0.0, -above * scale))
    moved = shifting(rng.random() * free_x, y)
    matrix = flipped(rng, moved @ scaling(x_scale, scale), width)
    return about(width / 2, height / 2, turning(rng.normal(0, 3))) @ matrix


def follow(
    source: Bytes,
    moment: list[int],
    matrix: Matrix,
    path: list[Matrix],
    size: tuple[int, int],
    *,
    border: int,
    fields: list[Field] | None = None,
) -> Bytes:
    """The frames `moment` of `source` (N, H, W, C) along a path: (T, H, W, C)."""
    small = {m: augment.shrunk(source[m], matrix) for m in set(moment)}
    frames: list[Bytes] = []
    for t, (m, step) in enumerate(zip(moment, path, strict=True)):
        picture, base = small[m]
        bent = None if fields is None else fields[t]
        if t and fields is None and m == moment[t - 1] and np.array_equal(step, path[t - 1]):
            frames.append(frames[-1])
            continue
        frames.append(augment.warp(picture, step @ base, size, border=border, field=bent))
    return np.stack(frames)


def paths(
    rng: Generator, recipe: Recipe, frames: int, size: tuple[int, int]
) -> tuple[list[Matrix], list[Matrix]]:
    """How the person and the background move: each for itself, or both with the camera."""
    rest = [np.eye(3)] * frames
    if frames == 1 or rng.random() < recipe.still:
        return rest, rest
    held = rng.random() < 0.4
    camera = rest if held else augment.motion(rng, frames, size, float(rng.choice([0.3, 1.0])))
    own = augment.motion(rng, frames, size, float(rng.choice([0.3, 1.0, 2.0, 4.0])))
    return [c @ o for c, o in zip(camera, own, strict=True)], camera


def laid(rng: Generator, subject: Subject) -> Subject:
    """The same person turned on their left or right side: somebody who lies."""
    turns = int(rng.choice([1, 3]))
    cutout = np.ascontiguousarray(np.rot90(subject.cutouts[0], turns))
    return datasets.subject(subject.name, None, [cutout], complete=subject.complete)


def masked(rng: Generator, subject: Subject) -> Subject:
    """The same still with the head's middle blurred or in coarse squares, colours alone: alpha
    stays, for an unrecognisable face is a face."""
    left, top, right, bottom = subject.box
    tall = head(subject) * (bottom - top)
    rows = subject.cutouts[0, top : top + max(1, int(tall)), left:right, 3]
    columns = np.flatnonzero((rows > 127).any(0))
    middle = left + (float(columns.mean()) if len(columns) else (right - left) / 2)
    shape = subject.cutouts.shape[1:3]
    mask = np.zeros(shape, np.uint8)
    axes = (max(1, int(0.32 * tall)), max(1, int(0.42 * tall)))
    cv2.ellipse(mask, (int(middle), int(top + 0.55 * tall)), axes, 0, 0, 360, 255, -1)
    coarse = max(2, int(tall * rng.uniform(0.08, 0.2)))
    squares = rng.random() < 0.3

    def hidden(picture: Bytes) -> Bytes:
        if squares:
            few = (max(1, shape[1] // coarse), max(1, shape[0] // coarse))
            small = cv2.resize(picture, few, interpolation=cv2.INTER_AREA)
            smooth: Bytes = np.asarray(
                cv2.resize(small, shape[::-1], interpolation=cv2.INTER_NEAREST), np.uint8
            )
        else:
            smooth = augment.blurred(picture, coarse)
        mixed: Bytes = blend(smooth[None], mask[None], picture[None])[0]
        return mixed

    colours = hidden(np.ascontiguousarray(subject.cutouts[0, ..., :3]))
    cutout = np.dstack([colours, subject.cutouts[0, ..., 3]])
    pictures = None if subject.pictures is None else hidden(subject.pictures[0])[None]
    return replace(subject, pictures=pictures, cutouts=cutout[None])


def layer(
    rng: Generator, recipe: Recipe, subject: Subject, size: tuple[int, int], path: list[Matrix]
) -> Layer:
    """The subject cut out, placed, moving and lit."""
    frames = len(path)
    if subject.frames == 1:
        if rng.random() < recipe.masked:
            subject = masked(rng, subject)
        if not any(subject.touches) and rng.random() < recipe.lying:
            subject = laid(rng, subject)
    moment = moments(rng, subject, frames)
    fields = augment.wobble(rng, frames, size) if frames > 1 and rng.random() < 0.4 else None
    matrix = place(rng, recipe, subject, size, limit(rng, recipe))
    border = cv2.BORDER_CONSTANT
    moved = follow(subject.cutouts, moment, matrix, path, size, border=border, fields=fields)
    light = augment.look(rng, 0.7)
    colours = [light.on(np.ascontiguousarray(frame[..., :3])) for frame in moved]
    if rng.random() < recipe.smeared:
        sigma = rng.uniform(0.7, 0.012 * max(size) + 0.7)
        colours = [augment.blurred(frame, sigma) for frame in colours]
    return Layer(np.stack(colours), moved[..., 3])


def cluttered(rng: Generator, picture: Bytes, library: Library) -> Bytes:
    """A background (H, W, 3), enlarged, with pieces of others laid over it at their own size: not
    everything that is sharper than what lies behind it, with an outline of its own, is a person."""
    height, width = (side * 3 // 2 for side in picture.shape[:2])
    enlarged = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    large = np.asarray(enlarged, np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        other = library.backgrounds[int(rng.integers(len(library.backgrounds)))]
        move = shifting(*rng.uniform(-0.5, 0.5, 2) * (width, height))
        over = augment.warp(other, move, (height, width), border=cv2.BORDER_REFLECT_101)
        # Any corners near a place that may lie at the frame's edge: a flat thing's outline.
        middle = rng.uniform(0, 1, 2) * (width, height)
        reach = rng.uniform(0.05, 0.4, 2) * (width, height)
        corners = middle + rng.uniform(-1, 1, (int(rng.integers(4, 12)), 2)) * reach
        mask = np.zeros((height, width), np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(corners.astype(np.int32)), 255, cv2.LINE_AA)
        large = blend(over[None], mask[None], large[None])[0]
    return large


def backdrop(
    rng: Generator,
    recipe: Recipe,
    library: Library,
    size: tuple[int, int],
    path: list[Matrix],
    *,
    hard: bool = False,
) -> Bytes:
    """A background (T, H, W, 3), moving and lit, sometimes out of focus, sometimes furnished; hard:
    one that a network took for people, as it is."""
    if hard:
        place = int(np.searchsorted(library.claim_sums, rng.random(), side="right"))
        picture = library.backgrounds[place]
    elif rng.random() < 0.05 or not library.backgrounds:
        base = rng.integers(0, 256, 3)
        flat = np.clip(base + rng.normal(0, 12, (4, 4, 3)), 0, 255).astype(np.uint8)
        picture = np.asarray(cv2.resize(flat, (352, 352), interpolation=cv2.INTER_CUBIC), np.uint8)
    else:
        picture = library.backgrounds[int(rng.integers(len(library.backgrounds)))]
        if rng.random() < recipe.cluttered:
            picture = cluttered(rng, picture, library)
    matrix = cover(rng, picture.shape, size, 0.5, LARGEST)
    border = cv2.BORDER_REFLECT_101
    moved = follow(picture[None], [0] * len(path), matrix, path, size, border=border)
    light = augment.look(rng, 0.7)
    sigma = rng.uniform(0.6, 0.012 * max(size) + 0.7) if rng.random() < 0.3 else 0.0
    frames = [light.on(frame) for frame in moved]
    room = np.stack([augment.blurred(f, sigma) if sigma else f for f in frames])
    things = None if hard else furniture(rng, recipe, library, size, path)
    return blend(things.colours, things.alpha, room) if things else room


def blend(over: Bytes, alpha: Bytes, under: Bytes) -> Bytes:
    """over * alpha + under * (1 - alpha), (T, H, W, 3) uint8."""
    a = alpha[..., None].astype(np.uint16)
    mixed = over * a + under * (255 - a)
    # Division by 255 in whole numbers: exact at both ends, within one level between.
    return np.asarray((mixed + 128 + (mixed >> 8)) >> 8, np.uint8)


def stacked(front: Layer, behind: Layer) -> Layer:
    """Two cut-outs as one: alpha of the union, colours of what is seen."""
    a, b = (layer.alpha.astype(np.float32) / 255 for layer in (front, behind))
    union = a + b * (1 - a)
    share = (a / np.maximum(union, 1e-3))[..., None]
    colours = front.colours * share + behind.colours * (1 - share)
    return Layer(to_bytes(colours), to_bytes(union * 255))


def furniture(
    rng: Generator, recipe: Recipe, library: Library, size: tuple[int, int], path: list[Matrix]
) -> Layer | None:
    """Up to three things as one layer, moving with the background; None for an empty place.

    They stand, hang or lie anywhere, as large as people: what stands out is not always somebody.
    """
    if not library.things or rng.random() >= recipe.furnished:
        return None
    layers = [
        thing(rng, library.things[int(rng.integers(len(library.things)))], size, path)
        for _ in range(int(rng.integers(1, 4)))
    ]
    return reduce(stacked, layers)


def thing(rng: Generator, cutout: Bytes, size: tuple[int, int], path: list[Matrix]) -> Layer:
    """A thing placed, lit and sometimes out of focus."""
    height, width = size
    scale = float(np.exp(rng.uniform(np.log(0.15), np.log(1.1)))) * height / cutout.shape[0]
    scale = min(scale, 1.2 * width / cutout.shape[1], LARGEST)
    tall, wide = (side * scale for side in cutout.shape[:2])
    if rng.random() < CORNERED:
        x = width * rng.integers(2) - wide * rng.uniform(0.2, 0.8)
        y = rng.uniform(0.3, 0.85) * height
    else:
        x = rng.uniform(-0.4 * wide, width - 0.6 * wide)
        y = rng.uniform(0.4, 1.2) * height - tall * rng.uniform(0.6, 1.0)
    turned = about(x + wide / 2, y + tall, turning(rng.normal(0, 3)))  # about its foot
    matrix = flipped(rng, turned @ shifting(x, y) @ scaling(scale, scale), width)
    still = [0] * len(path)
    moved = follow(cutout[None], still, matrix, path, size, border=cv2.BORDER_CONSTANT)
    sigma = rng.uniform(0.5, 0.01 * max(size) + 0.5) if rng.random() < 0.5 else 0.0
    blurred = [augment.blurred(frame, sigma) if sigma else frame for frame in moved]
    light = augment.look(rng, 0.7)
    colours = [light.on(np.ascontiguousarray(frame[..., :3])) for frame in blurred]
    return Layer(np.stack(colours), np.stack([frame[..., 3] for frame in blurred]))


def composite(
    rng: Generator, recipe: Recipe, library: Library, size: tuple[int, int], frames: int
) -> Sample:
    """One or two people before another background."""
    own, camera = paths(rng, recipe, frames, size)
    person = layer(rng, recipe, pick(rng, library, recipe.clip), size, own)
    if rng.random() < recipe.second:
        other, _ = paths(rng, recipe, frames, size)
        person = stacked(person, layer(rng, recipe, pick(rng, library, recipe.clip), size, other))
    behind = backdrop(rng, recipe, library, size, camera)
    picture = blend(person.colours, person.alpha, behind)
    return Sample(picture, person.alpha, person.colours, certain(person.alpha), True)


def certain(alpha: Bytes) -> Bytes:
    """(T, H, W) uint8: 0 in the middle of what is wide and half transparent, else 1.

    Hair and motion are soft in narrow bands. A wide soft area is where the makers of the labels did
    not agree, or their network did not know.
    """
    reach = max(3, max(alpha.shape[1:]) // 14 | 1)
    window = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    kept = []
    for frame in alpha:
        soft = ((frame > 30) & (frame < 225)).astype(np.uint8)
        wide = cv2.morphologyEx(soft, cv2.MORPH_OPEN, window)
        kept.append(np.asarray(1 - wide, np.uint8))
    return np.stack(kept)


def empty(
    rng: Generator, recipe: Recipe, library: Library, size: tuple[int, int], frames: int
) -> Sample:
    """A place with nobody in it."""
    camera = paths(rng, recipe, frames, size)[1]
    hard = any(library.claims) and rng.random() < recipe.hard
    picture = backdrop(rng, recipe, library, size, camera, hard=hard)
    alpha = np.zeros(picture.shape[:3], np.uint8)
    return Sample(picture, alpha, picture, np.ones_like(alpha), False)


def photograph(
    rng: Generator,
    recipe: Recipe,
    library: Library,
    subject: Subject,
    size: tuple[int, int],
    frames: int,
    largest: float,
) -> Sample:
    """A subject before its own background, seen by a moving camera."""
    if subject.frames == 1 and rng.random() < recipe.masked:
        subject = masked(rng, subject)
    assert subject.pictures is not None
    _, camera = paths(rng, recipe, frames, size)
    moment = moments(rng, subject, frames)
    height = subject.cutouts.shape[1]
    focus = min(0.5, subject.box[1] / height + 0.2)
    above = float(subject.box[1]) if rng.random() < recipe.seen else np.inf
    matrix = cover(rng, subject.cutouts.shape[1:], size, focus, largest, above=above)
    border = cv2.BORDER_REFLECT_101
    picture = follow(subject.pictures, moment, matrix, camera, size, border=border)
    cutout = follow(subject.cutouts, moment, matrix, camera, size, border=border)
    alpha = np.ascontiguousarray(cutout[..., 3])
    valid = certain(alpha)
    if not subject.complete:  # bystanders keep some distance: trust what is near the person only
        reach = np.ones((max(3, max(size) // 14 | 1),) * 2, np.uint8)
        valid *= np.stack([np.uint8(cv2.dilate(a, reach) > 25) for a in alpha])
    colours = np.ascontiguousarray(cutout[..., :3])
    things = furniture(rng, recipe, library, size, camera)
    if things:  # between the subject and what is behind it
        picture = blend(blend(colours, alpha, things.colours), things.alpha, picture)
    return Sample(picture, alpha, colours, valid, False)


def whole(
    rng: Generator, recipe: Recipe, library: Library, size: tuple[int, int], frames: int
) -> Sample:
    """A photograph and its alpha resized to `size`, as studies of single pictures train; cut-outs,
    which have no background of their own, get one."""
    subject = pick(rng, library, recipe.clip)
    if subject.pictures is None:
        return composite(rng, recipe, library, size, frames)
    moment, shape = moments(rng, subject, frames), size[::-1]
    picture, cutout = (
        np.stack([cv2.resize(source[m], shape, interpolation=cv2.INTER_AREA) for m in moment])
        for source in (subject.pictures, subject.cutouts)
    )
    alpha = np.ascontiguousarray(cutout[..., 3])
    return Sample(picture, alpha, np.ascontiguousarray(cutout[..., :3]), np.ones_like(alpha), False)


def filmed(rng: Generator, sample: Sample) -> Sample:
    """The sample through one camera: light, focus, noise, compression."""
    light = augment.look(rng, 0.7)
    picture = [light.on(frame) for frame in sample.picture]
    colours = [light.on(frame) for frame in sample.foreground]
    groups = [picture, colours, list(sample.alpha)]  # focus and motion soften alpha as well
    if rng.random() < 0.15:
        sigma = rng.uniform(0.4, 1.3)
        groups = [[augment.blurred(frame, sigma) for frame in group] for group in groups]
    elif rng.random() < 0.08:
        length, angle = int(rng.integers(3, 10)), rng.uniform(0, 180)
        groups = [[augment.streaked(f, length, angle) for f in group] for group in groups]
    picture, colours, alpha = groups
    if rng.random() < 0.5:
        sigma = rng.exponential(4.0)
        picture = [augment.noisy(rng, frame, min(sigma, 20)) for frame in picture]
    if rng.random() < 0.3:
        quality = int(rng.integers(18, 85))
        picture = [augment.compressed(frame, quality) for frame in picture]
    return replace(
        sample, picture=np.stack(picture), foreground=np.stack(colours), alpha=np.stack(alpha)
    )


def body(sample: Sample) -> bool:
    """Whether a body fills the sample, or most of it without a head in sight."""
    solid = sample.alpha[0] > 127
    share, upper = float(solid.mean()), float(solid[: max(1, len(solid) // 40)].mean())
    return share > 0.75 or (share > 0.5 and upper > 0.6)


def draw(
    rng: Generator, recipe: Recipe, library: Library, *, size: tuple[int, int], frames: int
) -> Sample:
    """One random sample of `frames` frames of `size` (height, width)."""
    if recipe.whole:
        return whole(rng, recipe, library, size, frames)
    if library.backgrounds and rng.random() < recipe.empty:
        return filmed(rng, empty(rng, recipe, library, size, frames))
    for _ in range(TRIES):
        sample = peopled(rng, recipe, library, size, frames)
        if not body(sample) or rng.random() < recipe.filled:
            break
    return filmed(rng, sample)


def peopled(
    rng: Generator, recipe: Recipe, library: Library, size: tuple[int, int], frames: int
) -> Sample:
    """A sample with somebody in it, before it is filmed."""
    if rng.random() < recipe.composite:
        return composite(rng, recipe, library, size, frames)
    subject = pick(rng, library, recipe.clip)
    largest = limit(rng, recipe)
    if (
        subject.pictures is None
        or not (subject.complete or rng.random() < recipe.partial)
        or filling(subject.pictures.shape[1:], size) > largest
    ):
        return composite(rng, recipe, library, size, frames)
    return photograph(rng, recipe, library, subject, size, frames, largest)
