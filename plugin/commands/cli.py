"""The mattecast command: runs what was asked for, errors as one line, exit codes."""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mattecast.commands.parser import CLOSED, FAILED, OK, USAGE, Runs, line, parser
from mattecast.commands.signals import Stopped, report_stop, stoppable
from mattecast.errors import MattecastError, OutputError, UsageError
from mattecast.media.pipe import is_pipe
from mattecast.version import __version__

if TYPE_CHECKING:
    from mattecast.inspect.finding import Report


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    stops: list[int] = []
    options = argparse.Namespace()
    try:
        with stoppable(stops):
            command_parser().parse_args(arguments, options)
            options.stops = stops
            _share_arenas()
            _limit_blas()
            return _run(options)
    except Stopped as stop:
        return report_stop(stop, streamed=is_pipe(getattr(options, "output", None)))


def _share_arenas() -> None:
    """Let glibc's threads share two memory pools instead of having up to 16 of their own.

    Frames are allocated on one thread and freed on another. With a pool for each thread, runs of
    1080p held 110 MB more, and more the longer they lasted.
    """
    if platform.libc_ver()[0] == "glibc":
        arena_max = -8  # M_ARENA_MAX of malloc.h
        ctypes.CDLL(None).mallopt(arena_max, 2)


def _limit_blas() -> None:
    """Keep numpy's OpenBLAS to one thread, unless told otherwise.

    Nothing here multiplies large matrices, and threads that wait for such work spin. That took a
    fifth of the CPU time up to the first frame.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _run(options: argparse.Namespace) -> int:
    try:
        code: int = options.run(options)
        if options.stops:
            raise Stopped(options.stops[0])  # some module has swallowed the exception
        return code
    except BrokenPipeError:
        return CLOSED  # the program that read our output has seen enough
    except Exception as error:
        return _report_error(error, options)


def _report_error(error: Exception, options: argparse.Namespace, source: Path | None = None) -> int:
    """Print an error in one line; return the exit code for it."""
    if options.stops:
        # A module in C may turn Stopped into an error of its own.
        raise Stopped(options.stops[0]) from error
    if options.debug:
        traceback.print_exception(error)
    where = f"{source}: " if source else ""
    if isinstance(error, MattecastError):
        line(f"mattecast: {error}")
    elif isinstance(error, MemoryError):
        line(f"mattecast: {where}out of memory; --size makes pictures smaller")
    else:
        line(
            f"mattecast: {where}{type(error).__name__}: {error}; this should not happen: "
            "please report what --debug adds"
        )
    return USAGE if isinstance(error, UsageError) else FAILED


def _print(text: str) -> None:
    """Write to standard output, which may be full or closed by its reader."""
    try:
        # File names may hold bytes that are not text.
        print(text.encode("utf-8", "backslashreplace").decode(), flush=True)
    except OSError as error:
        # Python would report the error once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise OutputError(f"standard output: {(error.strerror or 'failed').lower()}") from error


def _train(options: argparse.Namespace) -> int:
    from mattecast.commands.train import run

    return run(options)


def _prepare_engines(options: argparse.Namespace) -> None:
    """Let engines report what they build, unless --quiet; load no more of OpenVINO than runs."""
    from mattecast.commands.models import announce_builds
    from mattecast.engines.openvino_core import skip_converter

    if not options.quiet:
        announce_builds()
    skip_converter()


def _matte(options: argparse.Namespace) -> int:
    from mattecast.commands.matte import run

    _prepare_engines(options)
    code, summaries = run(
        options, report=lambda error, source: _report_error(error, options, source)
    )
    if options.json:
        _print(json.dumps([_plain(asdict(summary)) for summary in summaries], indent=1))
    return code


def _timeline(options: argparse.Namespace) -> int:
    from mattecast.commands.timeline import run

    _prepare_engines(options)
    code, lines, done = run(
        options, report=lambda error, source: _report_error(error, options, source)
    )
    if lines:
        _print("\n".join(lines))
    if options.json and done:
        _print(json.dumps(_plain(done), indent=1))
    return code


def _live(options: argparse.Namespace) -> int:
    from mattecast.commands.live import live

    _prepare_engines(options)
    return live(options)


def _plain(value: object) -> object:
    """A summary in JSON's own types; rates stay exact as 'N/D'."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return round(value, 3)
    return value if isinstance(value, (int, str, type(None))) else str(value)


def _lines(options: argparse.Namespace) -> int:
    _print("\n".join(options.lines(options)))
    return OK


def _probe(options: argparse.Namespace) -> int:
    from mattecast.inspect.probe import probe

    _print("\n".join(probe(options.file, options.format)))
    return OK


def _check(options: argparse.Namespace) -> int:
    from mattecast.inspect.check import check

    return _report(check(options.file, options.host))


def _doctor(options: argparse.Namespace) -> int:
    if options.obs is not None:
        from mattecast.commands.live import checked_obs

        return _report(checked_obs(options), as_json=options.json)
    from mattecast.inspect.doctor import examine

    return _report(examine(), as_json=options.json)


def _report(report: Report, *, as_json: bool = False) -> int:
    """Print a line for each finding, or all of them as JSON."""
    _print(_json(report) if as_json else "\n".join(report.lines()))
    return OK if report.ok else FAILED


def _json(report: Report) -> str:
    return json.dumps({"version": __version__, "ok": report.ok, **asdict(report)}, indent=1)


def command_parser() -> argparse.ArgumentParser:
    """The parser of the command, with what runs each of its commands."""
    return parser(
        Runs(
            matte=_matte,
            timeline=_timeline,
            live=_live,
            probe=_probe,
            check=_check,
            doctor=_doctor,
            train=_train,
            lines=_lines,
            report=_report,
        )
    )


if __name__ == "__main__":
    raise SystemExit(main())
