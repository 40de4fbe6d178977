"""The mattecast command for tests: called in this process, or started as a process of its own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mattecast.commands.cli import main
from mattecast.engines import EngineInfo


@dataclass(frozen=True)
class Result:
    """What a call of the command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    def refuses(self, code: int, *words: str) -> None:
        """Check for one clear line, the exit code, and nothing of a traceback."""
        lines = self.err.splitlines()
        assert self.code == code, self.err
        assert len(lines) == 1 and lines[0].startswith("mattecast"), self.err
        assert "should not happen" not in self.err and not self.out
        for word in words:
            assert word in self.err, self.err


def call(*arguments: str | Path) -> Result:
    """The command in this process, as `mattecast ARGUMENTS` with its output piped."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse's way to end
            code = int(end.code or 0)
    return Result(code, out.getvalue(), err.getvalue())


def start(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """The command as a process; everything it prints can be read from it."""
    return subprocess.Popen(
        [sys.executable, "-m", "mattecast", *map(str, arguments)],
        text=True,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


class StandIn:
    """An engine that needs no network: the left half of every picture is a person."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.info = EngineInfo("stand-in", "test", "1", "f32", "CPU", size, "made up")

    def step(self, picture: Any) -> np.ndarray:
        alpha = np.zeros(self.info.size[::-1], np.float32)
        alpha[:, : alpha.shape[1] // 2] = 1
        return alpha

    def reset(self) -> None:
        """Nothing is remembered."""

    def close(self) -> None:
        """Nothing is held."""


def photograph(path: Path, value: int = 90) -> Path:
    """Store a noisy picture of 160 x 96 around a gray `value`."""
    rng = np.random.default_rng(value)
    cv2.imwrite(str(path), rng.integers(value - 30, value + 30, (96, 160, 3)).astype(np.uint8))
    return path


def entries(folder: Path) -> list[str]:
    """Names in a folder, hidden ones too."""
    return sorted(os.listdir(folder))
