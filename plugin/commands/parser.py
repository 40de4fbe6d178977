"""The parser of all commands: their flags, their help, their examples."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeAlias

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

Run: TypeAlias = Callable[[argparse.Namespace], int]


@dataclass(frozen=True, slots=True)
class Runs:
    """What runs each command; all give the exit code. lines: prints the lines that a command's
    function gives. report: prints findings."""

    matte: Run
    timeline: Run
    live: Run
    probe: Run
    check: Run
    doctor: Run
    train: Run
    lines: Run
    report: Callable[[Report], int]


def line(text: str) -> None:
    """Print one line on standard error."""
    print(" ".join(text.split()), file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Reports a wrong request in one line, as all of mattecast does."""

    def error(self, message: str) -> NoReturn:
        line(f"{self.prog}: {message}; see {self.prog} --help")
        self.exit(USAGE)


def parser(runs: Runs) -> argparse.ArgumentParser:
    """The parser of all commands. An option `run` of what it has parsed is what runs."""
    made = _Parser(
        prog="mattecast",
        description="Cut people out of video, without a green screen.",
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"mattecast {__version__}")
    commands = made.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_matte(commands, runs)
    _add_timeline(commands, runs)
    _add_live(commands, runs)
    _add_small(commands, runs)
    return made


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


def _add_matte(commands: argparse._SubParsersAction[_Parser], runs: Runs) -> None:
    from mattecast.commands.options import add_options

    parser = _command(
        commands,
        "matte",
        "Matte clips: people stay, the rest becomes transparent.",
        _MATTE_EXAMPLES,
    )
    parser.set_defaults(run=runs.matte)
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


def _add_timeline(commands: argparse._SubParsersAction[_Parser], runs: Runs) -> None:
    from mattecast.commands.options import add_options

    parser = _command(
        commands,
        "timeline",
        "A timeline of an editing program comes back with mattes above its clips.",
        _TIMELINE_EXAMPLES,
    )
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
    add(
        "--json",
        action="store_true",
        help="print what was done as JSON at the end, or what --list lists",
    )
    add(
        "--quiet",
        action="store_true",
        help="no progress lines, no summary lines, none about clips that are left as they are; "
        "--json names these clips",
    )
    add(
        "--progress",
        choices=("lines", "json"),
        default="lines",
        help="how progress is shown on standard error (default: lines)",
    )
    add_options(parser)
    parser.set_defaults(run=runs.timeline, audio=False)  # --audio is refused


def _add_live(commands: argparse._SubParsersAction[_Parser], runs: Runs) -> None:
    from mattecast.commands.live import EXAMPLES, add_live

    parser = _command(
        commands,
        "live",
        "A camera becomes an OBS source with true alpha.",
        f"{EXAMPLES}\n\n{_EXITS}",
    )
    parser.set_defaults(run=runs.live)
    add_live(parser)


def _add_small(commands: argparse._SubParsersAction[_Parser], runs: Runs) -> None:
    from mattecast.commands.hosts import EXAMPLES as HOSTS
    from mattecast.commands.hosts import add_hosts
    from mattecast.commands.models import add_engines, add_models
    from mattecast.commands.train import EXAMPLES, add_train

    probe = _command(
        commands, "probe", "Show what a file holds, and what an output keeps or loses of it."
    )
    probe.set_defaults(run=runs.probe)
    probe.add_argument("file")
    probe.add_argument("--format", default="prores", help="format of the output (default: prores)")
    check = _command(commands, "check", "Check that a clip with alpha is one editors will accept.")
    check.set_defaults(run=runs.check)
    check.add_argument("file", type=Path, help="video file, picture, or folder of pictures")
    check.add_argument(
        "--for",
        dest="host",
        metavar="HOST",
        help="also say what this program will do with the clip; matte --help lists the programs",
    )
    doctor = _command(commands, "doctor", "Check codecs, engines, models and disk.")
    doctor.set_defaults(run=runs.doctor)
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
    models.set_defaults(run=runs.lines)
    add_models(models)
    built = _command(commands, "engines", "List, build, verify and prune built engines.")
    built.set_defaults(run=runs.lines)
    add_engines(built)
    hosts = _command(
        commands, "hosts", "List, build, install and check plug-ins for host programs.", HOSTS
    )
    add_hosts(hosts, runs.lines, runs.report)
    train = _command(
        commands, "train", "Train the network, or fine-tune it on your own pictures.", EXAMPLES
    )
    train.set_defaults(run=runs.train)
    add_train(train)
