"""Several inputs in one call: what is matted into what, and how a run is shown while it goes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mattecast.commands.inputs import Inputs, own_names
from mattecast.commands.options import settings_of
from mattecast.commands.pipes import check_stdin, check_stdout
from mattecast.errors import MediaError, UsageError
from mattecast.media.formats import FILL_KEY, FORMATS
from mattecast.media.pictures import is_still
from mattecast.media.pipe import is_pipe
from mattecast.output_names import stem_of
from mattecast.report import Progress, Summary
from mattecast.reuse import keyed, matte_once
from mattecast.run import matte
from mattecast.settings import Settings

# Seconds until the first line of progress, where no terminal shows it, and at most between two.
_FIRST_LINE, _LONGEST_WAIT = 2.0, 60.0
# Seconds between two lines of JSON, at least.
_BETWEEN_JSON = 0.25


def run(
    options: argparse.Namespace, *, report: Callable[[Exception, Path], int]
) -> tuple[int, list[Summary]]:
    """Matte every input; return the exit code and a summary of each run.

    report: prints an error and the input it belongs to, and returns the exit code for it. Raises
    UsageError when the request makes no sense as a whole.
    """
    settings = settings_of(options)
    inputs = Inputs.of(options.inputs, stills=options.stills)
    jobs = list(_jobs(inputs.paths, options, settings))
    if inputs.passed_over and not options.quiet:
        print("\n".join(inputs.passed_over), file=sys.stderr)
    code, summaries = 0, []
    for source, output in jobs:
        try:
            with progress_of(source, options) as progress:
                run_one = matte_once if options.reuse else matte
                summary = run_one(source, output, settings, progress=progress)
        except BrokenPipeError:
            raise  # nobody reads standard output any more
        except Exception as error:  # even a mistake of ours with one clip stops no other clip
            own_code = report(error, source)
            code = own_code if len(jobs) == 1 else 1
            continue
        summaries.append(summary)
        if not options.quiet:
            print("\n".join(summary_lines(summary)), file=sys.stderr)
        if summary.broke_off:
            code = report(_broken_off(summary), source)
    return code, summaries


def _broken_off(summary: Summary) -> MediaError:
    return MediaError(
        f"{summary.source}: broke off before its end; the {summary.frames} frames that came are in "
        f"{summary.outputs[0]}"
    )


def _jobs(
    sources: list[Path], options: argparse.Namespace, settings: Settings
) -> Iterator[tuple[Path, Path]]:
    """Each input with its output."""
    if options.output is not None and options.out_dir is not None:
        raise UsageError("--output and --out-dir: name one of them")
    if options.output is not None and len(sources) > 1:
        raise UsageError(f"--output takes one input, and {len(sources)} were named; use --out-dir")
    if options.output is not None and options.reuse:
        raise UsageError("--reuse names the outputs itself; use --out-dir in place of --output")
    _check_pipes(sources, options)
    if options.output is not None:
        yield sources[0], options.output
        return
    folder = options.out_dir or Path()
    if options.out_dir is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be made ({error.strerror})") from error
    taken: dict[str, Path] = {}
    read = {os.path.abspath(source) for source in sources}
    names = own_names(sources, [named_after(source, settings) for source in sources])
    for source, name in zip(sources, names, strict=True):
        output = folder / (keyed(name, source, settings) if options.reuse else name)
        if other := taken.get(name.casefold()):
            raise UsageError(f"{other} and {source} would both become {output}")
        if os.path.abspath(output) in read:
            raise UsageError(f"{source} would become {output}, which is an input as well")
        taken[name.casefold()] = source
        yield source, output


def _check_pipes(sources: list[Path], options: argparse.Namespace) -> None:
    """Raise UsageError where standard input or output is named and cannot be used."""
    if any(map(is_pipe, sources)):
        check_stdin()
        if options.output is None:
            raise UsageError(
                "-: standard input has no name to call an output by; add -o OUT, or -o - for "
                "standard output"
            )
    if is_pipe(options.output):
        check_stdout(alone=not options.json)


def named_after(source: Path, settings: Settings) -> str:
    """The output's name: talk.mp4 becomes talk.matte.mov, so no input is its own output."""
    name = settings.resolved_format(None)
    stem = stem_of(source)
    if is_still(source) and (settings.format in (None, "matte") or FORMATS[name].is_sequence):
        stem = stem.replace("%", "_")  # %d in the name of an output would stand for a number
        name = "matte-png" if settings.format == "matte" else settings.format or "png"
        return f"{stem}.matte{FORMATS[name].suffix}"
    format = FORMATS["prores" if name == FILL_KEY else name]
    return f"{stem}.matte" if format.is_sequence else f"{stem}.matte{format.suffix}"


@contextmanager
def progress_of(
    source: Path, options: argparse.Namespace
) -> Iterator[Callable[[Progress], None] | None]:
    """What shows the progress: JSON, a line that changes on a terminal, else lines now and then."""
    if options.progress == "json":
        yield ProgressJson(source)
        return
    if options.quiet:
        yield None
        return
    name = "standard input" if is_pipe(source) else source.name
    if not sys.stderr.isatty():
        yield ProgressLines(name)
        return
    from tqdm import tqdm  # not needed when piped, and a twelfth of all imports

    # A bar without length makes tqdm cut the line to the terminal's width.
    form = (
        "{desc} {percentage:3.0f}% {n_fmt}/{total_fmt} "
        "[{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]{bar:0}"
    )
    # tqdm shows nothing on a terminal without a size, which containers and scripts have.
    width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    tqdm.monitor_interval = 0  # no thread of tqdm's own, which would wake bars that stand still
    with tqdm(
        desc=name, unit=" frames", bar_format=form, ncols=width, nrows=24, leave=False
    ) as bar:

        def show(progress: Progress) -> None:
            bar.total = progress.total
            bar.set_postfix_str(f"limited by {progress.limiting}", refresh=False)
            bar.update(progress.done - bar.n)

        yield show


class ProgressLines:
    """Progress for a log or a program: a line on standard error, less often as the run goes on."""

    def __init__(self, name: str) -> None:
        self._name, self._due = name, _FIRST_LINE

    def __call__(self, progress: Progress) -> None:
        """Print the line where one is due."""
        if progress.seconds < self._due or progress.done == progress.total:
            return
        wait = min(max(_FIRST_LINE, progress.seconds / 4), _LONGEST_WAIT)
        self._due = progress.seconds + wait
        print(f"{self._name}: {_standing(progress)}", file=sys.stderr, flush=True)


class ProgressJson:
    """Progress for a program that shows it: objects of JSON, one a line, on standard error."""

    def __init__(self, source: Path) -> None:
        self._source, self._due = str(source), 0.0

    def __call__(self, progress: Progress) -> None:
        """Print the line where one is due, and that of the last frame."""
        if progress.seconds < self._due and progress.done != progress.total:
            return
        self._due = progress.seconds + _BETWEEN_JSON
        left = progress.seconds_left
        line = {
            "source": self._source,
            "done": progress.done,
            "total": progress.total,
            "fps": round(progress.fps, 2),
            "seconds_left": None if left is None else round(left, 1),
            "limiting": progress.limiting,
        }
        print(json.dumps(line), file=sys.stderr, flush=True)


def _standing(progress: Progress) -> str:
    """'120 of 300 frames, 12.3 fps, 0:15 left, limited by network'."""
    counted, left = f"{progress.done} frames", ""
    if progress.seconds_left is not None:
        counted = f"{progress.done} of {progress.total} frames"
        seconds = round(progress.seconds_left)
        left = f", {seconds // 60}:{seconds % 60:02d} left"
    return f"{counted}, {progress.fps:.1f} fps{left}, limited by {progress.limiting}"


def summary_lines(summary: Summary) -> Iterator[str]:
    """What a person wants to know after a run: the result, the engine, and what was lost."""
    outputs = " and ".join(str(output) for output in summary.outputs)
    width, height = summary.size
    if summary.reused:
        yield f"{outputs}: {summary.frames} frames of an earlier run, taken as they are"
        return
    frames = "1 frame" if summary.frames == 1 else f"{summary.frames} frames"
    yield (
        f"{outputs}: {frames}, {width}x{height}, {summary.format}, "
        f"{summary.bytes / 1e6:.1f} MB, {summary.seconds:.1f} s ({summary.fps:.1f} fps)"
    )
    if summary.nobody:
        yield f"  nobody found: no frame of {summary.source} has a person in it"
    yield f"  engine: {summary.engine}"
    yield from (f"  sound: {line}" for line in summary.audio)
    if summary.place is not None:
        yield f"  place kept: {summary.place} (--no-place leaves it out)"
    yield from (f"  not kept: {line}" for line in summary.losses)
    yield from (f"  note: {line}" for line in summary.notes)
    yield from (f"  in the source: {line}" for line in summary.damage)
    if summary.step:
        yield f"  {summary.step}"
