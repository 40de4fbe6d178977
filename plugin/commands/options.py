"""Flags of everything between network and encoder; each sets the setting of the same name."""

from __future__ import annotations

import argparse

from mattecast.settings import SOLVERS

# Settings that files and live pictures have in common; see add_shared.
SHARED = (
    "foreground",
    "despill",
    "choke",
    "feather",
    "gamma",
    "threshold",
    "min_island",
    "min_hole",
    "blend",
    "light_wrap",
    "shadow",
    "colour_match",
    "linear_light",
    "garbage",
    "keep",
    "plate",
    "person",
)


def add_refinement(parser: argparse.ArgumentParser) -> None:
    """Smoothing, edges, colours and guidance of recorded clips."""
    add = parser.add_argument_group("refinement").add_argument
    add(
        "--smooth",
        default="two-way",
        metavar="HOW[:STRENGTH]",
        help="over time: off, causal, delayed or two-way, strength 0 to 1 (default: two-way)",
    )
    add(
        "--cuts",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="look for cuts and remember nothing across them",
    )
    add(
        "--detail",
        default="medium",
        choices=("fast", "medium", "fine"),
        help="medium solves soft edges again from the picture the network sees, fine then from "
        "the picture itself, slower; fast leaves them to the network, which looks at small "
        "pictures once instead of twice (default: medium)",
    )
    add(
        "--refine",
        choices=SOLVERS,
        metavar="SOLVER",
        help=f"a classical solver of soft edges, for stills and short clips: {', '.join(SOLVERS)}; "
        "all but the last three need mattecast[refine]",
    )
    add(
        "--guidance",
        metavar="FILE",
        help="masks, plate, persons, corrections (default: CLIP.mattecast.json if there; or off)",
    )
    add("--first-mask", metavar="PICTURE", help="the true matte of the first frame")
    add(
        "--trimap",
        metavar="PICTURE",
        help="what is sure of the first frame: white person, black not, gray unknown",
    )
    add_shared(parser)


def add_shared(parser: argparse.ArgumentParser) -> None:
    """Edges, composites and masks, alike for recorded clips and live."""
    add = parser.add_argument_group("edges and colours").add_argument
    add(
        "--foreground",
        default="estimate",
        choices=("estimate", "source"),
        help="colours under soft edges: the person's own, or the source's (default: estimate)",
    )
    add(
        "--despill",
        metavar="WALL[:STRENGTH]",
        help="take a green or blue wall's light off the person's edge: green, blue or auto, "
        "strength 0 to 1 (default: off)",
    )
    add(
        "--choke",
        type=float,
        default=0.0,
        metavar="PIXELS",
        help="move the edge inwards, fractions too; negative spreads it (default: 0)",
    )
    add("--feather", type=float, default=0.0, metavar="PIXELS", help="soften the edge (default: 0)")
    add("--gamma", type=float, default=1.0, help="above 1 lifts soft alpha (default: 1)")
    add("--threshold", type=float, metavar="ALPHA", help="hard edge at this alpha (default: none)")
    add(
        "--min-island",
        type=float,
        metavar="PERCENT",
        help="remove pieces smaller than this part of the picture that are faint, brief, or far "
        "from any person as the shot begins; a frame late (default: 2 in files, 0 live)",
    )
    add(
        "--min-hole",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help="fill holes smaller than this part of the picture that are faint or brief; a frame "
        "late (default: 0)",
    )
    add = parser.add_argument_group("composites").add_argument
    add(
        "--blend",
        default="over",
        metavar="HOW",
        help="over, or poisson[:TINT]: the new background's light on the person, from none (0) to "
        "all of it (1, which blackens who stood before a wall and comes before a night); alone "
        "0.25 (default: over)",
    )
    add(
        "--light-wrap",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="background light over the person's edges, 0 to 1 (default: 0)",
    )
    add(
        "--shadow",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="light the person takes from the background, 0 to 1 (default: 0)",
    )
    add(
        "--colour-match",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="bring the person's colours to the background's, 0 to 1 (default: 0)",
    )
    add("--linear-light", action="store_true", help="blend in linear light")
    add = parser.add_argument_group("guidance").add_argument
    add("--garbage", metavar="PICTURE", help="mask of what is never a person, white there")
    add("--keep", metavar="PICTURE", help="mask of what always stays, white there")
    add("--plate", metavar="PICTURE", help="the same view without people")
    add(
        "--person",
        metavar="X,Y[@SECONDS]",
        help="keep only whoever is at this place, in parts of width and height",
    )
