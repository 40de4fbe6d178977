"""Damage for tests: packets that are noise, and functions that fail in mid-run."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import av
import pytest

SMALL = (64, 48)  # width, height of clips whose pictures do not matter
X264 = (("preset", "ultrafast"), ("g", "6"))
FASTSTART = (("movflags", "+faststart"),)


def spoil(path: Path, packets: Any, kind: str = "video") -> Path:
    """Overwrite the bodies of some packets with noise; the containers' own bytes stay."""
    data, noise = bytearray(path.read_bytes()), random.Random(1)
    with av.open(str(path)) as whole:
        found = [(packet.pos, packet.size) for packet in whole.demux(**{kind: 0}) if packet.size]
    for index in packets:
        position, size = found[index]
        # In Matroska a packet begins with some bytes that say whose it is.
        skipped = size // 2 if path.suffix in (".mkv", ".webm") else 0
        data[position + skipped : position + size] = noise.randbytes(size - skipped)
    path.write_bytes(data)
    return path


def fail_on_the_third_call(
    monkeypatch: pytest.MonkeyPatch, name: str, error: Exception | None = None
) -> None:
    """Let the third call of a function fail."""
    where, _, attribute = name.rpartition(".")
    owner = named(where)
    real, calls = getattr(owner, attribute), 0

    def fails(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise error or RuntimeError("boom")
        return real(*arguments, **options)

    monkeypatch.setattr(owner, attribute, fails)


def named(name: str) -> Any:
    """The module or class of a dotted name."""
    first, *parts = name.split(".")
    owner: Any = sys.modules[first]
    for part in parts:
        owner = getattr(owner, part)
    return owner
