"""README and docs/ say what is there: links, commands, options, length."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from mattecast.commands.cli import command_parser

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
LONGEST = 100
# The results below docs/studies are written by scripts/studies/, line by line.
GENERATED = set((ROOT / "docs/studies").glob("*.md")) - {ROOT / "docs/studies/README.md"}
LINK = re.compile(r"\]\(([^)\s]+)\)")
# The two sections that scripts/write_options.py writes.
LISTS = {"matte": "docs/files.md", "live": "docs/live.md"}


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a parser's sub-commands, by name."""
    found = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def options(parser: argparse.ArgumentParser) -> set[str]:
    """All options of a parser and of its sub-commands, as they are typed."""
    own = {name for action in parser._actions for name in action.option_strings}
    return own.union(*(options(one) for one in subcommands(parser).values()))


def command_lines(text: str) -> Iterator[str]:
    """The indented lines of a page that run mattecast, without prompt and comment."""
    for line in text.splitlines():
        match = re.match(r" {4}(?:\./scripts/)?mattecast (.*?)(?:\s+[#|].*|\s*>.*)?$", line)
        if match:
            yield match[1]


def inline_commands(text: str) -> Iterator[str]:
    """`mattecast ...` inside sentences and tables."""
    for match in re.finditer(r"`mattecast ([^`]+)`", text):
        yield match[1]


def complaint(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the real parser says against a command line; nothing when it takes the line."""
    try:
        command_parser().parse_args(shlex.split(line))
    except SystemExit as stop:
        return capsys.readouterr().err or f"exit {stop.code}"
    return ""


def headings(page: Path) -> set[str]:
    """The anchors that a page's headings have on the usual hosts of Markdown."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_readme_is_short() -> None:
    words = len((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert words <= 700, f"README.md has {words} words"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = page.parent / name if name else page
        assert file.exists(), f"{target} does not exist"
        assert not anchor or anchor in headings(file), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_of_the_project_exist(page: Path) -> None:
    """`scripts/bench/evaluate.py` and the like; NAME stands for a name of the reader's own."""
    path = r"(?<![\w/])((?:scripts|tests|plugin|engines|filters|docs)/[\w./-]*\w)"
    for name in re.findall(path, page.read_text(encoding="utf-8")):
        found = "NAME" in name or (ROOT / name).exists() or (page.parent / name).exists()
        assert found, name


@pytest.mark.parametrize("page", sorted(set(PAGES) - GENERATED), ids=lambda page: page.name)
def test_lines_are_wrapped(page: Path) -> None:
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        excepted = line.startswith(("|", "    ")) or LINK.search(line)
        assert excepted or len(line) <= LONGEST, f"line {number} has {len(line)} characters"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page.read_text(encoding="utf-8")
    for line in command_lines(text):
        assert not complaint(line, capsys), line
    for line in inline_commands(text):
        # A sentence may name a command without its file.
        found = complaint(line, capsys)
        assert not found or "arguments are required" in found, f"{line}: {found}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_options_exist(page: Path) -> None:
    """Each `--option` in a sentence or table is one of mattecast's or of scripts/."""
    named = re.findall(r"`(--[a-z][a-z-]*)", page.read_text(encoding="utf-8"))
    strange = set(named) - options(command_parser()) - SCRIPTS
    assert not strange, f"mattecast has no {', '.join(sorted(strange))}"


# Options of scripts/, which some pages name too.
SCRIPTS = {
    name
    for script in (ROOT / "scripts").rglob("*.py")
    for name in re.findall(r'"(--[a-z][a-z-]*)"', script.read_text(encoding="utf-8"))
}


@pytest.mark.parametrize("command", LISTS)
def test_every_option_is_listed(command: str) -> None:
    text = (ROOT / LISTS[command]).read_text(encoding="utf-8")
    section = text.partition("## All options")[2]
    listed = set(
        re.findall(
            r"(?<![\w-])--?[a-z][a-z-]*", " ".join(re.findall(r"^\| (`[^`]+`)", section, re.M))
        )
    )
    expected = options(subcommands(command_parser())[command])
    assert listed == expected, "run scripts/write_options.py"


def test_every_other_option_is_named() -> None:
    """The small commands have no list; a page names each of their options."""
    pages = " ".join(page.read_text(encoding="utf-8") for page in PAGES)
    for command, parser in subcommands(command_parser()).items():
        for name in options(parser) - {"-h", "--help"}:
            assert re.search(rf"{re.escape(name)}(?![\w-])", pages), f"{command} {name}"


def test_every_module_is_on_the_map() -> None:
    """docs/architecture.md has one line for each file of the three source folders."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    named = set()
    for room, table in re.findall(r"^### `(\S+)/`\n((?:(?!^###).*\n)*)", text, re.M):
        named |= {f"{room}/{name}" for name in re.findall(r"^\| `([\w.]+)` \| \S", table, re.M)}
    modules = {
        path.relative_to(ROOT).as_posix()
        for folder in ("plugin", "engines", "filters")
        for path in (ROOT / folder).rglob("*.*")
        if path.suffix in (".py", ".html", ".lua") and path.name != "__init__.py"
    }
    assert named == modules
