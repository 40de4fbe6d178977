"""Disks that are full: one clear line, and no half-written file."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from commands import Result, call, entries

pytestmark = pytest.mark.usefixtures("left_half", "no_thread_stays")


@dataclass
class LittleRoom:
    """A folder that takes no more than `limit` bytes: a small disk, or a limit of the process."""

    folder: Path
    disk: bool
    limit: int = 1 << 16

    def call(self, *arguments: str | Path) -> Result:
        """The command in this room. A limit of the process holds for this call alone: outside it,
        whatever the tests print into would be a file of this process as well."""
        if self.disk:
            return call(*arguments)
        # Python ignores SIGXFSZ, so that writing fails instead of killing.
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, before[1]))
        try:
            return call(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(params=["small disk", "limit of the process"])
def little_room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LittleRoom]:
    folder = tmp_path / "little"
    folder.mkdir()
    disk = request.param == "small disk"
    if disk:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("only root can mount a small disk")
    yield LittleRoom(folder, disk)
    if disk:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a second that no codec makes small."""
    path, source = tmp_path_factory.mktemp("noise") / "noise.mkv", np.random.default_rng(1)
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 200, 152, "yuv420p"
        for _ in range(12):
            picture = source.integers(0, 255, (228, 200), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "yuv420p")))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("output", ["talk.mov", "talk.webm", "frames.png", "pair.mov"])
def test_a_full_disk(output: str, noise: Path, little_room: LittleRoom) -> None:
    format = {"pair.mov": "fill-key", "frames.png": "png"}.get(output)
    wish = ("--format", format) if format else ()
    result = little_room.call("matte", noise, "-o", little_room.folder / output, *wish)
    result.refuses(1, str(little_room.folder), "full" if "full" in result.err else "too large")
    assert entries(little_room.folder) == []


def test_a_disk_that_fills_at_the_very_end(talk: Path, little_room: LittleRoom) -> None:
    """The index of a short clip is written last of all, when the file is closed."""
    little_room.limit = 5000
    if little_room.disk:
        (little_room.folder / "other").write_bytes(bytes((1 << 16) - 8192))
    output = little_room.folder / "talk.mov"
    little_room.call("matte", talk, "-o", output).refuses(1, "talk.mov")
    assert entries(little_room.folder) in ([], ["other"])
