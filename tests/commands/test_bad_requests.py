"""Requests that make no sense: one clear line that says what was expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import call, entries
from hypothesis import given, settings
from hypothesis import strategies as st

import mattecast
import mattecast.commands.matte
from mattecast.media.clip import Clip

pytestmark = pytest.mark.usefixtures("left_half", "no_thread_stays")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--background", "none.png"), 2, "no such file"),
        (("--background", "#12"), 2, "#rrggbb"),
        (("--background", "blur:1000"), 2, "blur strength"),
        (("--background", "BROKEN.png"), 1, "BROKEN.png"),
        (("--background", "BROKEN.mp4"), 1, "BROKEN.mp4"),
        (("--background", "FOLDER"), 1, "not a regular file"),
        (("--range", "5"), 2, "START..END"),
        (("--range", "3..2"), 2, "the end does not come after"),
        (("--range", "99.."), 2, "after the clip ends"),
        (("--range", "1e999999999.."), 2, "expected seconds"),
        (("--range", "00:00:00:99.."), 2, "expected seconds"),
        (("--size", "9x9"), 2, "sides 16 to 16384"),
        (("--size", "99999999999p"), 2, "expected WIDTHxHEIGHT"),
        (("--cfr", "0"), 2, "--cfr"),
        (("--cfr", "1e999999999"), 2, "not a frame rate"),
        (("--threads", "0"), 2, "threads"),
        (("--network-size", "-5"), 2, "network_size"),
        (("--network-size", "5"), 2, "network_size: 5 is out of range (64 to 4096)"),
        (("--model", "none.onnx"), 1, "none.onnx"),
        (("--format", "gif"), 2, "--format"),
        (("--quality", "best"), 2, "--quality"),
        (("--no-such-flag",), 2, "--no-such-flag"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    options: tuple[str, ...], code: int, words: str, talk: Path, tmp_path: Path
) -> None:
    for name in ("BROKEN.png", "BROKEN.mp4"):
        (tmp_path / name).write_text("broken")
    (tmp_path / "FOLDER").mkdir()
    placed = [str(tmp_path / part) if part.split(".")[0].isupper() else part for part in options]
    format = ("--format", "prores") if options[0] != "--format" else ()
    call("matte", talk, "-o", tmp_path / "out.mov", *format, *placed).refuses(code, words)
    assert entries(tmp_path) == ["BROKEN.mp4", "BROKEN.png", "FOLDER"]


def test_no_command_and_no_input() -> None:
    call().refuses(2, "COMMAND")
    call("mat").refuses(2, "invalid choice")
    call("matte").refuses(2, "INPUT", "mattecast matte --help")


@pytest.fixture(scope="module")
def facts(talk: Path) -> Any:
    with Clip(talk) as opened:
        return opened.facts


@settings(database=None, derandomize=True, deadline=None)
@given(text=st.one_of(st.text(max_size=12), st.from_regex(r"[0-9:;.x/p%e+-]{0,12}")))
def test_any_text_is_understood_or_refused_with_a_clear_error(facts: Any, text: str) -> None:
    for parse in (
        mattecast.settings.parse_rate,
        lambda wish: mattecast.settings.parse_size(wish, 1920, 1080),
        lambda wish: mattecast.time_range.parse_time(wish, facts),
    ):
        try:
            assert parse(text) is not None
        except (mattecast.UsageError, ValueError) as error:
            assert len(str(error)) > 10
