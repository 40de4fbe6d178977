"""Mattes that a timeline has from an earlier run: they lie above their clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction

from mattecast.media.facts import Facts
from mattecast.output_names import is_output, source_stem, stem_of
from mattecast.timelines.pieces import part, timecode_start
from mattecast.timelines.timeline import Use

FactsOf = Callable[[Use], Facts | str]


def with_mattes(uses: Sequence[Use], facts_of: FactsOf) -> set[int]:
    """The indices of the clips that have a matte above them, at the same time, of the same frames.

    A matte belongs to the highest such clip below it. facts_of: the facts of a clip's media, or why
    there are none.
    """
    clips: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for index, use in enumerate(uses):
        clips[use.project, use.at, stem_of(use.media).casefold()].append(index)
    found = set()
    for matte in uses:
        if not is_output(matte.media):
            continue
        below = [
            index
            for index in clips[matte.project, matte.at, source_stem(matte.media).casefold()]
            if _number(uses[index]) < _number(matte) and _shows(matte, uses[index], facts_of)
        ]
        found.update(sorted(below, key=lambda index: _number(uses[index]))[-1:])
    return found


def _shows(matte: Use, use: Use, facts_of: FactsOf) -> bool:
    """Whether a matte and a clip show the same frames."""
    facts, own = facts_of(matte), facts_of(use)
    if isinstance(facts, str) or isinstance(own, str):
        return False
    half = 1 / own.rate / 2
    if abs((matte.end - matte.begin) - (use.end - use.begin)) > half:
        return False
    first, second = _begin(matte, facts), _begin(use, own)
    # Files without timecode do not say which of their source's frames they hold.
    return first is None or second is None or abs(first - second) <= half


def _number(use: Use) -> int:
    """The number of a track: 2 for 'V2', and -1 for the first one below a storyline."""
    return int(use.track.removeprefix("V"))


def _begin(use: Use, facts: Facts) -> Fraction | None:
    """When a clip begins, by the timecode of its media."""
    own, found = timecode_start(facts), part(0, use, facts, 0)
    return None if own is None or isinstance(found, str) else own + found.begin
