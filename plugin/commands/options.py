"""Flags from the table of options: each flag sets the setting of the same name."""

from __future__ import annotations

import argparse
from collections.abc import Container
from fractions import Fraction
from itertools import groupby
from typing import Any

from mattecast.options import Row, rows
from mattecast.settings import Settings, parse_rate


def add_options(
    parser: argparse.ArgumentParser, *, live: bool = False, names: Container[str] | None = None
) -> None:
    """Add the flags of the settings, group by group.

    live: as `mattecast live` has them. names: only the options of these names.
    """
    wanted = [row for row in rows(Settings) if row.option.live or not live]
    if names is not None:
        wanted = [row for row in wanted if row.name in names]
    for title, group in groupby(wanted, key=lambda row: row.option.group):
        add = parser.add_argument_group(title)
        for row in group:
            add.add_argument(row.flag, dest=row.name, **_keywords(row, live))


def settings_of(options: argparse.Namespace, *, live: bool = False) -> Settings:
    """The settings that parsed flags ask for.

    live: of `mattecast live`, which has other flags by the names of some options.
    """
    wanted = [row.name for row in rows(Settings) if row.option.live or not live]
    return Settings(**{name: getattr(options, name) for name in wanted})


def _keywords(row: Row, live: bool) -> dict[str, Any]:
    """What argparse is told of an option."""
    option = row.option
    default = option.live_default if live and option.live_default is not None else row.default
    text = option.live_help if live and option.live_help else option.help
    if default is not None and row.type is not bool and "(default" not in text:
        text += f" (default: {default:g})" if row.type is float else f" (default: {default})"
    # argparse formats the help with %.
    keywords: dict[str, Any] = {"default": default, "help": text.replace("%", "%%")}
    if row.type is bool:
        switch = default is False and not row.optional
        keywords["action"] = "store_true" if switch else argparse.BooleanOptionalAction
        return keywords
    if option.metavar:
        keywords["metavar"] = option.metavar
    if option.choices and not option.amount and not option.several:
        keywords["choices"] = option.choices
    keywords["type"] = _rate if row.type is Fraction else row.type
    return keywords


def _rate(text: str) -> Fraction:
    try:
        return parse_rate(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
