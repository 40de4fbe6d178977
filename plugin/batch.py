"""Several inputs in one call: what is matted into what, and how a run is shown while it goes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from tqdm import tqdm

from mattecast.errors import MattecastError, MediaError, UsageError
from mattecast.files import Progress, Summary, matte
from mattecast.formats import FILL_KEY, FORMATS
from mattecast.pictures import SUFFIXES, is_pattern
from mattecast.settings import Settings

_VIDEO_SUFFIXES = frozenset({
    ".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".mxf", ".gif", ".wmv", ".flv", ".3gp", ".ogv", ".y4m", ".nut",
})  # fmt: skip


def run(
    options: argparse.Namespace, *, say: Callable[[Exception], int]
) -> tuple[int, list[Summary]]:
    """Matte every input; `say` prints an error and gives its exit code.

    Raises UsageError when the request makes no sense as a whole.
    """
    settings = Settings(**{one.name: getattr(options, one.name) for one in fields(Settings)})
    jobs = list(_jobs(options, settings))
    code, summaries = 0, []
    for source, output in jobs:
        try:
            with _shown(source, quiet=options.quiet) as progress:
                summary = matte(source, output, settings, progress=progress)
        except MattecastError as error:
            code = max(code, say(error)) if len(jobs) == 1 else max(1, say(error) and 1)
            continue
        summaries.append(summary)
        if not options.quiet:
            print("\n".join(_told(summary)), file=sys.stderr)
    return code, summaries


def _jobs(options: argparse.Namespace, settings: Settings) -> Iterator[tuple[Path, Path]]:
    sources = [source for name in options.inputs for source in _expanded(Path(name))]
    if options.output is not None and options.out_dir is not None:
        raise UsageError("--output and --out-dir: name one of them")
    if options.output is not None and len(sources) > 1:
        raise UsageError(f"--output takes one input, and {len(sources)} were named; use --out-dir")
    if options.output is not None:
        yield sources[0], options.output
        return
    folder = options.out_dir or Path()
    if options.out_dir is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made ({error.strerror})") from error
    taken: dict[Path, Path] = {}
    for source in sources:
        output = folder / _named_after(source, settings)
        if output in taken:
            raise UsageError(f"{taken[output]} and {source} would both become {output}")
        taken[output] = source
        yield source, output


def _expanded(path: Path) -> list[Path]:
    """A folder of videos is its videos; a folder of pictures is one clip."""
    if is_pattern(path) or not path.is_dir():
        return [path]
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    videos = [entry for entry in entries if entry.suffix.lower() in _VIDEO_SUFFIXES]
    if videos:
        return videos
    if not any(entry.suffix.lower() in SUFFIXES for entry in entries):
        raise MediaError(f"{path}: neither videos nor pictures in this folder")
    return [path]


def _named_after(source: Path, settings: Settings) -> str:
    """talk.mp4 becomes talk.matte.mov, so that an input is never its own output."""
    name = settings.resolved_format(None)
    stem = source.name.partition("%")[0].rstrip("_.-") or "pictures" if "%" in source.name else (
        source.stem)  # fmt: skip
    format = FORMATS["prores" if name == FILL_KEY else name]
    return f"{stem}.matte" if format.is_sequence else f"{stem}.matte{format.suffix}"


@contextmanager
def _shown(source: Path, *, quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """A progress line on a terminal; nothing when piped or quiet."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    form = "{desc} {percentage:3.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
    with tqdm(desc=source.name, unit=" frames", bar_format=form, file=sys.stderr, leave=False) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total
            bar.set_postfix_str(f"limited by {progress.limiting}", refresh=False)
            bar.update(progress.done - bar.n)

        yield show


def _told(summary: Summary) -> Iterator[str]:
    """What a person wants to know after a run: the result, what runs it, and what was lost."""
    outputs = " and ".join(str(output) for output in summary.outputs)
    width, height = summary.size
    yield (
        f"{outputs}: {summary.frames} frames, {width}x{height}, {summary.format}, "
        f"{summary.bytes / 1e6:.1f} MB, {summary.seconds:.1f} s ({summary.fps:.1f} fps)"
    )
    yield f"  engine: {summary.engine}"
    yield from (f"  sound: {line}" for line in summary.audio)
    yield from (f"  not kept: {line}" for line in summary.losses)
    yield from (f"  damage: {line}" for line in summary.damage)
