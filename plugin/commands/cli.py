"""The mattecast command: the parser of all commands, errors as one line, exit codes."""

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
from typing import TYPE_CHECKING, NoReturn

from mattecast.commands.signals import Stopped, report_stop, stoppable
from mattecast.errors import MattecastError, OutputError, UsageError
from mattecast.version import __version__

if TYPE_CHECKING:
    from mattecast.inspect.finding import Report

# 128 and the number of SIGPIPE, as shells say of programs that a closed pipe has ended.
OK, FAILED, USAGE, CLOSED = 0, 1, 2, 141

_EXITS = """exit codes:
    0  every input was matted; damage in an input is reported and skipped
    1  at least one input failed, a pipe broke off, or `check` or `doctor` found an error
    2  the request itself is wrong
  130  interrupted by Ctrl-C; 143 by SIGTERM, 129 by SIGHUP
  141  whoever read standard output has closed it"""

_MATTE_EXAMPLES = f"""examples:
  mattecast matte talk.mp4 -o talk.mov               ProRes 4444 with true alpha
  mattecast matte talk.mp4 --for blender             what that program reads rightly
  mattecast matte *.mp4 shots/ --out-dir mattes      many clips; one that fails stops no other
  mattecast matte talk.mp4 -o look.mp4 --background blur
  mattecast matte talk.mov -o frames --format png --range 00:00:10..00:00:20
  mattecast matte shot_%04d.png -o shot.mov --rate 24000/1001
  mattecast matte photo.jpg -o photo.png             one picture; --stills album/ takes many
  ffmpeg -i talk.mp4 -f nut - | mattecast matte - -o - | ffmpeg -i - -c:v qtrle talk.mov

{_EXITS}"""

_TIMELINE_EXAMPLES = f"""examples:
  mattecast timeline cut.fcpxml -o cut-matted.fcpxml --handles 12
  mattecast timeline cut.otio -o cut-matted.otio --only V1 --for resolve
  mattecast timeline cut.xml --list                  what would be matted; nothing is written

{_EXITS}"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    stops: list[int] = []
    try:
        with stoppable(stops):
            options = _parser().parse_args(arguments)
            options.stops = stops
            _share_arenas()
            _limit_blas()
            return _run(options)
    except Stopped as stop:
        return report_stop(stop)


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
        _line(f"mattecast: {error}")
    elif isinstance(error, MemoryError):
        _line(f"mattecast: {where}out of memory; --size makes pictures smaller")
    else:
        _line(
            f"mattecast: {where}{type(error).__name__}: {error}; this should not happen: "
            "please report what --debug adds"
        )
    return USAGE if isinstance(error, UsageError) else FAILED


def _line(text: str) -> None:
    print(" ".join(text.split()), file=sys.stderr)


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


class _Parser(argparse.ArgumentParser):
    """Reports a wrong request in one line, as all of mattecast does."""

    def error(self, message: str) -> NoReturn:
        _line(f"{self.prog}: {message}; see {self.prog} --help")
        self.exit(USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mattecast",
        description="Cut people out of video, without a green screen.",
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"mattecast {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_matte(commands)
    _add_timeline(commands)
    _add_live(commands)
    _add_small(commands)
    return parser


def _command(
    commands: argparse._SubParsersAction[_Parser], name: str, about: str, examples: str = _EXITS
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=about,
        description=about,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def _add_matte(commands: argparse._SubParsersAction[_Parser]) -> None:
    from mattecast.commands.options import add_options

    parser = _command(
        commands,
        "matte",
        "Matte clips: people stay, the rest becomes transparent.",
        _MATTE_EXAMPLES,
    )
    parser.set_defaults(run=_matte)
    add = parser.add_argument
    add(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="video file, folder of videos or of pictures, a pattern (*.mp4, shot_%%04d.png), or - "
        "for standard input",
    )
    add(
        "--stills",
        action="store_true",
        help="take each picture of a folder by itself, not the folder as a clip",
    )
    add(
        "-o",
        "--output",
        metavar="OUT",
        type=Path,
        help="output file or folder, or - for standard output; one input only",
    )
    add("--out-dir", metavar="DIR", type=Path, help="folder for outputs named after their inputs")
    add(
        "--reuse",
        action="store_true",
        help="take an output that an earlier run made of the same clip with the same settings; "
        "names get a key: talk.3f9a2c1b07.matte.mov",
    )
    add("--json", action="store_true", help="print a summary of the run as JSON at the end")
    add("--quiet", action="store_true", help="no progress lines, no summary lines")
    add(
        "--progress",
        choices=("lines", "json"),
        default="lines",
        help="how progress is shown on standard error: lines for people, or JSON for a program "
        "(default: lines)",
    )
    add_options(parser)


def _add_timeline(commands: argparse._SubParsersAction[_Parser]) -> None:
    from mattecast.commands.options import add_options

    parser = _command(
        commands,
        "timeline",
        "A timeline of an editing program comes back with mattes above its clips.",
        _TIMELINE_EXAMPLES,
    )
    parser.set_defaults(run=_timeline)
    add = parser.add_argument
    add(
        "project",
        metavar="PROJECT",
        type=Path,
        help=".otio, .fcpxml, .fcpxmld, or the .xml of Premiere and Final Cut Pro 7",
    )
    add("-o", "--output", metavar="NEW", type=Path, help="the timeline to write, of the same kind")
    add(
        "--out-dir",
        metavar="DIR",
        type=Path,
        help="folder for the mattes (default: 'NEW mattes' beside NEW)",
    )
    add("--list", action="store_true", help="list what would be matted, and write nothing")
    add(
        "--only",
        metavar="NAME",
        help="only this track (V1 is the lowest) or clips of this name; * and ? stand for others",
    )
    add(
        "--replace",
        action="store_true",
        help="put mattes in place of the clips (default: on the track above)",
    )
    add(
        "--reuse",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="take mattes that an earlier run made with the same settings",
    )
    add("--json", action="store_true", help="print what was done as JSON at the end")
    add("--quiet", action="store_true", help="no progress lines, no summary lines")
    add(
        "--progress",
        choices=("lines", "json"),
        default="lines",
        help="how progress is shown on standard error (default: lines)",
    )
    add_options(parser)


def _add_live(commands: argparse._SubParsersAction[_Parser]) -> None:
    from mattecast.commands.live import EXAMPLES, add_live

    parser = _command(
        commands,
        "live",
        "A camera becomes an OBS source with true alpha.",
        f"{EXAMPLES}\n\n{_EXITS}",
    )
    parser.set_defaults(run=_live)
    add_live(parser)


def _add_small(commands: argparse._SubParsersAction[_Parser]) -> None:
    from mattecast.commands.hosts import EXAMPLES as HOSTS
    from mattecast.commands.hosts import add_hosts
    from mattecast.commands.models import add_engines, add_models
    from mattecast.commands.train import EXAMPLES, add_train

    probe = _command(
        commands, "probe", "Show what a file holds, and what an output keeps or loses of it."
    )
    probe.set_defaults(run=_probe)
    probe.add_argument("file")
    probe.add_argument("--format", default="prores", help="format of the output (default: prores)")
    check = _command(commands, "check", "Check that a clip with alpha is one editors will accept.")
    check.set_defaults(run=_check)
    check.add_argument("file", type=Path, help="video file, picture, or folder of pictures")
    check.add_argument(
        "--for",
        dest="host",
        metavar="HOST",
        help="also say what this program will do with the clip; matte --help lists the programs",
    )
    doctor = _command(commands, "doctor", "Check codecs, engines, models and disk.")
    doctor.set_defaults(run=_doctor)
    doctor.add_argument(
        "--obs",
        nargs="?",
        const="",
        metavar="HOST[:PORT]",
        help="check OBS, its WebSocket server and our source there",
    )
    doctor.add_argument(
        "--obs-password-file", type=Path, metavar="FILE", help="file that holds its password"
    )
    doctor.add_argument("--name", default="mattecast", help="name of our source in OBS")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    models = _command(commands, "models", "List, describe, add, fetch and remove networks.")
    models.set_defaults(run=_lines)
    add_models(models)
    built = _command(commands, "engines", "List, build, verify and prune built engines.")
    built.set_defaults(run=_lines)
    add_engines(built)
    hosts = _command(
        commands, "hosts", "List, build, install and check plug-ins for host programs.", HOSTS
    )
    add_hosts(hosts, _lines, _report)
    train = _command(
        commands, "train", "Train the network, or fine-tune it on your own pictures.", EXAMPLES
    )
    train.set_defaults(run=_train)
    add_train(train)


def _train(options: argparse.Namespace) -> int:
    from mattecast.commands.train import run

    return run(options)


def _matte(options: argparse.Namespace) -> int:
    from mattecast.commands.matte import run
    from mattecast.commands.models import announce_builds
    from mattecast.engines.openvino_core import skip_converter

    if not options.quiet:
        announce_builds()
    skip_converter()
    code, summaries = run(
        options, report=lambda error, source: _report_error(error, options, source)
    )
    if options.json:
        _print(json.dumps([_plain(asdict(summary)) for summary in summaries], indent=1))
    return code


def _timeline(options: argparse.Namespace) -> int:
    from mattecast.commands.models import announce_builds
    from mattecast.commands.timeline import run
    from mattecast.engines.openvino_core import skip_converter

    if not options.quiet:
        announce_builds()
    skip_converter()
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
    from mattecast.commands.models import announce_builds
    from mattecast.engines.openvino_core import skip_converter

    if not options.quiet:
        announce_builds()
    skip_converter()
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


if __name__ == "__main__":
    raise SystemExit(main())
