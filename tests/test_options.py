"""The table of options: settings are checked at the door, and everything else is made from it."""

from __future__ import annotations

import argparse
from dataclasses import fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from mattecast import Settings, UsageError
from mattecast.commands.options import add_options, settings_of
from mattecast.live.control import slider_rows
from mattecast.live.session import COMMANDS
from mattecast.options import rows

ROWS = {row.name: row for row in rows(Settings)}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cfr": 25.0}, "cfr: got 25.0 (float), expected a Fraction or None"),
        ({"choke": "3"}, "choke: got '3' (str), expected a number"),
        ({"choke": float("nan")}, "choke: got nan (float), expected a number"),
        ({"size": (64, 48)}, "size: got (64, 48) (tuple), expected text or None"),
        ({"range": (0, 1)}, "range: got (0, 1) (tuple), expected text or None"),
        ({"threads": 2.0}, "threads: got 2.0 (float), expected a whole number or None"),
        ({"threads": True}, "threads: got True (bool), expected a whole number or None"),
        ({"audio": 1}, "audio: got 1 (int), expected True or False"),
        ({"smooth": None}, "smooth: got None (NoneType), expected text"),
        ({"garbage": Path("a.png")}, "garbage: got "),
        ({"depth": 9}, "depth '9' is not known: choose one of 8, 16, 32"),
        ({"smooth": "causal:2"}, "smooth strength: 2 is out of range (0 to 1)"),
        ({"despill": "red"}, "despill 'red' is not known: choose one of green, blue, auto"),
    ],
)
def test_wrong_values_are_refused_at_the_door(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Settings(**given)
    assert str(caught.value).startswith(message)


def test_right_values_of_every_type_are_taken() -> None:
    settings = Settings(cfr=Fraction(25), rate=24, choke=3, threads=2, smooth="delayed:0.25")
    assert settings.cfr == 25 and settings.choke == 3 and settings.smooth == "delayed:0.25"


@pytest.mark.parametrize("live", [False, True])
def test_flags_without_values_are_the_defaults(live: bool) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser, live=live)
    settings = settings_of(parser.parse_args([]), live=live)
    changed = {name for name, row in ROWS.items() if getattr(settings, name) != row.default}
    assert changed == {name for name, row in ROWS.items() if live and row.option.live_default}


def test_every_flag_sets_the_setting_of_its_name() -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    for name, row in ROWS.items():
        value = _another(row)
        typed = [row.flag] if row.type is bool else [row.flag, str(value)]
        if row.type is bool and value is False:
            typed = [f"--no-{row.flag[2:]}"]
        settings = settings_of(parser.parse_args(typed))
        assert getattr(settings, name) == value, name


def _another(row: Any) -> Any:
    """A value that is allowed and not the default."""
    option = row.option
    if row.type is bool:
        return not row.default
    if option.choices:
        return next(choice for choice in option.choices if choice != row.default)
    if option.most is not None:
        return row.type(option.most)
    return {str: "poisson" if row.name == "blend" else "9", int: 3, Fraction: Fraction(12)}[
        row.type
    ]


def test_the_control_page_has_a_slider_and_a_command_for_each() -> None:
    named = [each["name"] for each in slider_rows()]
    assert named == [name for name, row in ROWS.items() if row.option.slider]
    assert set(named) < set(COMMANDS) and all(ROWS[name].option.live for name in named)
    for each in slider_rows():
        row = ROWS[str(each["name"])]
        least, most = float(each["least"]), float(each["most"])
        allowed = row.option.amount or (row.option.least, row.option.most)
        assert allowed[0] <= least < most <= allowed[1]


def test_every_setting_is_an_option_that_says_what_it_does() -> None:
    assert [row.name for row in rows(Settings)] == [each.name for each in fields(Settings)]
    assert all(len(row.option.help) > 10 and row.option.group for row in ROWS.values())
