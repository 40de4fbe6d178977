"""What a host program will do with a clip: the findings of `mattecast check --for HOST`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from mattecast.inspect.finding import Finding, error, note, ok, warning
from mattecast.inspect.premultiplied import Verdict
from mattecast.media.colour import HIGH_RANGE
from mattecast.media.formats import FILL_KEY, FORMATS
from mattecast.media.host import Colours, Host, Kind


@dataclass(frozen=True, slots=True)
class Shown:
    """What a host sees of a clip.

    verdict: whether its colours are straight, None where it has no alpha. transfer: as H.273
    numbers it. sounds: the audio codecs.
    """

    path: Path
    kind: Kind
    verdict: Verdict | None
    transfer: int
    sounds: tuple[str, ...]


def findings(host: Host, clip: Shown) -> Iterator[Finding]:
    """What the host will show and play, and where that is wrong, how a right clip is made."""
    found = [each for row in host.rows() for each in _of_version(row, clip)]
    yield from found
    if any(each.level == "error" for each in found):
        name = f"{clip.path.stem}-{host.name}{_suffix(host)}"
        yield note("a right one", f"mattecast matte INPUT -o {name} --for {host.name}")


def _of_version(row: Host, clip: Shown) -> Iterator[Finding]:
    yield _alpha(row, clip)
    if row.hdr is False and clip.transfer in HIGH_RANGE:
        yield error(row.title, f"takes {HIGH_RANGE[clip.transfer]} for SDR: wrong colours")
    yield from (_sound(row, codec) for codec in clip.sounds if not _plays(row, codec))


def _plays(row: Host, codec: str) -> bool:
    return bool({codec, "*"} & (row.copies | row.plays))


def _sound(row: Host, codec: str) -> Finding:
    if codec not in row.mute:
        return note(row.title, f"whether it plays {codec} is not known")
    where = row.mute[codec]
    level = warning if where else error
    return level(row.title, f"plays {codec} silently{where}")


def _alpha(row: Host, clip: Shown) -> Finding:
    level, text = _alpha_shown(row, clip)
    unknown = row.reading(clip.kind) is None
    return level(row.title, text if unknown else f"{text} ({row.known})")


def _alpha_shown(row: Host, clip: Shown) -> tuple[Callable[[str, str], Finding], str]:
    reading, kind = row.reading(clip.kind), clip.kind
    if clip.verdict is None and FILL_KEY in row.formats:
        return note, "right as the fill or the key of a pair"
    if reading and reading.alpha == "refused":
        return error, f"does not open {kind}"
    if clip.verdict is None:
        return error, "shows it opaque: the clip has no alpha"
    if reading is None:
        return warning, f"how it reads {kind} is not known"
    faults = [reading.wrong(kind, each) for each in get_args(Colours)]
    if clip.verdict == "unclear" and not all(faults):
        return note, "its pictures do not show whether they are as this program takes them"
    fault = faults[0] if clip.verdict == "unclear" else reading.wrong(kind, clip.verdict)
    if fault:
        return error, fault
    hint = reading.hint.format(clip.verdict)
    return (note, f"right, but {hint}") if hint else (ok, "right")


def _suffix(host: Host) -> str:
    """The suffix of the host's best format; none for a folder of pictures."""
    best = host.formats[0]
    if best == FILL_KEY:
        return ".mov"
    return "" if FORMATS[best].is_sequence else FORMATS[best].suffix
