#!/usr/bin/env python3
"""Write the sections "All options" of docs/files.md and docs/live.md from the command's parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from mattecast.commands.cli import command_parser

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = {"matte": "files.md", "live": "live.md"}
END = "<!-- end of options -->"


def main() -> None:
    for command, page in PAGES.items():
        path = DOCS / page
        text = path.read_text(encoding="utf-8")
        before, start, rest = text.partition(f"<!-- options of mattecast {command} -->\n")
        after = rest.partition(END)[2]
        table = "\n".join(rows(commands(command_parser())[command]))
        path.write_text(f"{before}{start}{table}\n{END}{after}", encoding="utf-8")


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a parser's sub-commands, by name."""
    found = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A table of options for each group of the help."""
    for group in parser._action_groups:
        options = [one for one in group._group_actions if one.option_strings]
        if not options:
            continue
        yield f"\n### {(group.title or '').capitalize()}\n"
        yield "| option | meaning |"
        yield "|---|---|"
        for option in options:
            name = ", ".join(option.option_strings)
            value = parser._get_formatter()._format_args(option, option.dest.upper())
            meaning = parser._get_formatter()._expand_help(option) if option.help else ""
            yield f"| `{f'{name} {value}'.strip()}` | {meaning} |"


if __name__ == "__main__":
    main()
