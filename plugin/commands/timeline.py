"""`mattecast timeline`: a timeline of an editing program comes back with mattes above its clips."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mattecast.commands.matte import named_after, progress_of, summary_lines
from mattecast.commands.options import settings_of
from mattecast.errors import MediaError, OutputError, UsageError
from mattecast.media.formats import FILL_KEY, FORMATS
from mattecast.report import Summary
from mattecast.reuse import keyed, matte_once
from mattecast.run import matte
from mattecast.settings import Settings
from mattecast.timelines import files
from mattecast.timelines.mattes import Job, Mattes, check_settings
from mattecast.timelines.timeline import Timeline, timecode

# Lines that say the same of each matte, and are shown with the first one.
_ALIKE = ("  engine: ", "  not kept: sound: left out as asked")


def run(
    options: argparse.Namespace, *, report: Callable[[Exception, Path], int]
) -> tuple[int, list[str], dict[str, Any]]:
    """Matte a timeline; return the exit code, lines to print, and what was done as --json has it.

    report: prints an error and the input it belongs to. Raises a MattecastError where nothing can
    be done; then nothing is written.
    """
    if options.list and options.progress == "json" and not options.json:
        raise UsageError("--progress json: --list has no progress; --json gives the list as JSON")
    settings = _settings(options)
    timeline = files.read(options.project)
    if not options.list:
        _check_output(options, timeline, settings)
    mattes = Mattes(timeline, settings, settings.handles, options.only)
    mattes.plan()
    if _names_nothing(mattes) or not (mattes.pieces or options.list):
        print(*_left(timeline), sep="\n", end="\n" * any(_left(timeline)), file=sys.stderr)
        raise MediaError(f"{options.project}: {_nothing(mattes)}")
    folder = _folder(options)
    jobs = mattes.jobs(folder, _name, reuse=options.reuse)
    if options.list:
        if options.json:
            return 0, [], _list(mattes, jobs)
        return 0, list(_listed(mattes, jobs)), {}
    _make(folder)
    summaries: list[Summary] = []
    try:
        good = _matte(options, mattes, jobs, summaries, report)
    finally:
        with suppress(OSError):  # of a folder that is not empty
            folder.rmdir()
    files.write(
        options.output,
        mattes.written(options.output, in_place=options.replace),
        options.project,
    )
    if not options.quiet:
        print("\n".join(_ended(options, mattes)), file=sys.stderr)
    done = {
        "output": options.output,
        "clips": len(mattes.made),
        "left": timeline.found.left,
        "mattes": [asdict(summary) for summary in summaries],
    }
    return 0 if good else 1, [], done


def _settings(options: argparse.Namespace) -> Settings:
    settings = settings_of(options)
    name = settings.resolved_format(None)
    check_settings(settings, name != FILL_KEY and FORMATS[name].container is not None)
    return settings


def _check_output(options: argparse.Namespace, timeline: Timeline, settings: Settings) -> None:
    if options.output is None:
        raise UsageError("name the timeline to write with -o NEW, or ask with --list")
    files.check_output(
        options.project,
        options.output,
        relative=timeline.found.relative,
        overwrite=settings.overwrite,
    )


def _folder(options: argparse.Namespace) -> Path:
    """Where mattes go: as asked for, else a folder beside the timeline that is written."""
    if options.out_dir is not None:
        return Path(options.out_dir)
    output = options.output or options.project
    return Path(output.with_name(f"{output.stem} mattes"))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({(error.strerror or '').lower()})") from error


def _name(media: Path, settings: Settings) -> str:
    return keyed(named_after(media, settings), media, settings)


def _matte(
    options: argparse.Namespace,
    mattes: Mattes,
    jobs: list[Job],
    summaries: list[Summary],
    report: Callable[[Exception, Path], int],
) -> bool:
    """Make the mattes, with one line of progress over all; returns whether all went well."""

    shown: set[str] = set()

    def done(summary: Summary) -> None:
        summaries.append(summary)
        if not options.quiet:
            lines = [
                line
                for line in summary_lines(summary)
                if not (line in shown and line.startswith(_ALIKE))
            ]
            shown.update(lines)
            print("\n".join(lines), file=sys.stderr)

    with progress_of(options.project, options) as progress:
        return mattes.run(
            jobs,
            matte_once if options.reuse else matte,
            progress,
            report,
            done,
        )


def _list(mattes: Mattes, jobs: list[Job]) -> dict[str, Any]:
    """What would be matted, for a program. timecode: of the first frame that a clip shows."""
    return {
        "clips": list(_clips(mattes, jobs)),
        "frames": sum(job.piece.frames for job in jobs if not job.ready),
        "left": mattes.timeline.found.left,
    }


def _clips(mattes: Mattes, jobs: list[Job]) -> Iterator[dict[str, Any]]:
    """The clips that would be matted."""
    for job in jobs:
        for part in job.piece.parts:
            use, rate = mattes.uses[part.index], job.piece.rate
            zero = mattes.facts[part.index].timecode
            first = (zero.frames if zero else 0) + round(part.begin * rate)
            drop = zero is not None and zero.drop
            frames = round((part.end - part.begin) * rate)
            yield {
                "project": use.project or None,
                "track": use.track,
                "at": use.at,
                "name": use.name,
                "media": use.media,
                "timecode": timecode(first, rate, drop=drop),
                "frames": frames,
                "output": job.output,
                "ready": job.ready,
            }


def _listed(mattes: Mattes, jobs: list[Job]) -> Iterator[str]:
    """What would be matted: a line for each clip, and what is left."""
    for clip in _clips(mattes, jobs):
        project = f"{clip['project']}  " if clip["project"] else ""
        yield (
            f"{project}{clip['track']}  {clip['at']}  {clip['name']}: "
            f"{_counted(clip['frames'], 'frame')} from {clip['timecode']} of {clip['media']}"
        )
    to_do = [job for job in jobs if not job.ready]
    media = len({job.piece.media for job in jobs})
    yield (
        f"{_counted(len(mattes.uses), 'clip')}: {_counted(len(jobs), 'part')} of "
        f"{_counted(media, 'file')}; "
        f"{_counted(sum(job.piece.frames for job in to_do), 'frame')} to matte, "
        f"{_counted(len(jobs) - len(to_do), 'part')} ready"
    )
    yield from _left(mattes.timeline)


def _ended(options: argparse.Namespace, mattes: Mattes) -> Iterator[str]:
    where = "in place of" if options.replace else "above"
    clips = "its clip" if len(mattes.made) == 1 else "their clips"
    yield f"{options.output}: {_counted(len(mattes.made), 'matte')} {where} {clips}"
    yield from (f"  {line}" for line in _left(mattes.timeline))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _left(timeline: Timeline) -> Iterator[str]:
    """What stays as it is."""
    yield from timeline.found.left
    kinds = [f"{count} x {kind}" for kind, count in timeline.found.empty.items() if count]
    if kinds:
        yield f"without people to cut out, left as they are: {', '.join(kinds)}"


def _names_nothing(mattes: Mattes) -> bool:
    """Whether --only fits none of the clips that can be matted."""
    uses = mattes.timeline.found.uses
    return bool(mattes.only and uses and not any(map(mattes.wants, uses)))


def _nothing(mattes: Mattes) -> str:
    """Why nothing can be matted."""
    why = "no clip shows media that can be matted"
    if _names_nothing(mattes):
        why = f"no track or clip that can be matted is named '{mattes.only}'"
    elif mattes.matted:
        why = "all clips that can be matted have their mattes already"
    return f"{why}; nothing is written"
