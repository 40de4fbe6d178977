"""The command `hosts`: plug-ins for host programs, built, put in their places, and checked."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mattecast.errors import OutputError, UsageError
from mattecast.hosts.plugins import NAMES, find
from mattecast.inspect.finding import Report

if TYPE_CHECKING:
    from mattecast.hosts.plugin import Plugin

EXAMPLES = """examples:
  mattecast hosts list
  mattecast hosts install obs
  mattecast hosts check obs"""


def add_hosts(
    parser: argparse.ArgumentParser,
    lines: Callable[[argparse.Namespace], int],
    report: Callable[[Report], int],
) -> None:
    """`mattecast hosts ...`. lines, report: print what an action gives; return the exit code."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")

    def action(name: str, about: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=about, description=about)
        added.add_argument("--debug", action="store_true", help="show the traceback of an error")
        added.set_defaults(run=lines)
        if name != "list":
            added.add_argument("host", choices=NAMES, metavar="HOST", help=", ".join(NAMES))
        return added

    action("list", "Plug-ins, where each goes, and whether it is there.").set_defaults(lines=_list)
    build = action("build", "Write a plug-in into a folder.")
    build.add_argument("--into", type=Path, default=Path(), metavar="DIR", help="default: here")
    build.set_defaults(lines=_build)
    install = action("install", "Put a plug-in where its host looks for it.")
    install.add_argument(
        "--into", type=Path, metavar="DIR", help="this folder (default: where list says)"
    )
    install.set_defaults(lines=_install)
    serve = action("serve", "Answer a plug-in whose host lets it start no program.")
    serve.add_argument("--folder", type=Path, metavar="DIR", help="folder that it asks in")
    serve.add_argument("--once", action="store_true", help="answer once, then end")
    serve.set_defaults(run=_serve)
    check = action("check", "Whether a plug-in is installed and has what it needs.")
    check.set_defaults(run=lambda options: report(Report.of(_plugin(options).findings())))


def _plugin(options: argparse.Namespace) -> Plugin:
    return find(options.host)


def _list(options: argparse.Namespace) -> Iterator[str]:
    for plugin in map(find, NAMES):
        yield f"{plugin.name}: {plugin.title}"
        for place in plugin.places():
            there = (place / plugin.installed).exists()
            yield f"  {'installed in' if there else 'would go into'} {place}"
        if not plugin.places():
            yield f"  not found here; install {plugin.name} --into FOLDER puts it into a folder"


def _build(options: argparse.Namespace) -> Iterator[str]:
    try:
        built = _plugin(options).build(options.into)
    except OSError as failure:
        raise OutputError(f"{options.into}: cannot be written ({failure.strerror})") from failure
    yield f"{built}: {_plugin(options).title}"


def _install(options: argparse.Namespace) -> Iterator[str]:
    return _plugin(options).install(options.into)


def _serve(options: argparse.Namespace) -> int:
    plugin = _plugin(options)
    if plugin.serve is None:
        raise UsageError(f"{plugin.name}: its plug-in starts mattecast itself; nothing to serve")
    if not options.once:
        print(f"mattecast: waiting for {plugin.title}; Ctrl-C ends it", flush=True)
    plugin.serve(options.folder, lambda line: print(f"mattecast: {line}", flush=True), options.once)
    return 0
