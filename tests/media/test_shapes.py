"""Pictures of another shape in mid-clip or in one folder: fitted in whole, never stretched."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from clips import Recipe, make
from commands import StandIn, call

from mattecast import engines


@pytest.fixture(autouse=True)
def everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that takes everything for a person, black borders too."""

    class Everything(StandIn):
        def step(self, picture: np.ndarray) -> np.ndarray:
            return np.ones(self.info.size[::-1], np.float32)

    monkeypatch.setattr(engines, "load", lambda spec, size, **_: Everything(size))


def jpeg(picture: np.ndarray, orientation: int = 1) -> bytes:
    """A JPEG file with an Exif orientation."""
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    tiff = b"MM" + struct.pack(">HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


def colours(path: Path) -> list[np.ndarray]:
    """The pictures of a clip, (H, W, 4) uint8 RGBA."""
    with av.open(str(path)) as clip:
        return [frame.to_ndarray(format="rgba") for frame in clip.decode(video=0)]


def disc(size: tuple[int, int], turned: bool = False) -> np.ndarray:
    """A white disc of 40 pixels on gray, (H, W, 3)."""
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    cv2.circle(picture, (size[0] // 2, size[1] // 2), 20, (255, 255, 255), -1)
    return np.ascontiguousarray(np.rot90(picture)) if turned else picture


def extent(picture: np.ndarray) -> tuple[int, int]:
    """Width and height of what is white."""
    rows, columns = np.nonzero(picture[..., 1] > 200)
    return int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def test_a_folder_of_landscape_and_portrait(tmp_path: Path) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(disc((160, 96))))
    (folder / "b.jpg").write_bytes(jpeg(disc((96, 160))))
    (folder / "c.jpg").write_bytes(jpeg(disc((160, 96), turned=True), 6))  # upright as a.jpg
    cv2.imwrite(str(folder / "d.png"), disc((320, 96)))
    result = call("matte", folder, "-o", tmp_path / "out.mov", "--detail", "fast")
    assert result.code == 0 and "2 frames of another size: fitted into" in result.err, result.err
    first, portrait, turned, wide = colours(tmp_path / "out.mov")
    assert abs(first.astype(int) - turned).mean() < 2
    for picture, scale in ((first, 1), (portrait, 0.6), (turned, 1), (wide, 0.5)):
        width, height = extent(picture)
        assert abs(width - height) <= 2 and abs(width - 41 * scale) <= 3
    for picture, rows, columns in (
        (portrait, slice(0, 96), slice(50, 108)),
        (wide, slice(24, 72), slice(0, 160)),
    ):
        alpha = picture[..., 3].copy()
        assert (alpha[rows, columns] == 255).all()
        alpha[rows, columns] = 0
        assert not alpha.any()
    result = call("matte", folder, "-o", tmp_path / "out.mp4", "--background", "#000000")
    assert result.code == 0, result.err
    assert (colours(tmp_path / "out.mp4")[1][:, :48, :3] < 4).all()


@pytest.mark.parametrize("output", ["out.mov", "out.webm", "frames"])
def test_a_clip_that_changes_its_shape(output: str, tmp_path: Path) -> None:
    data = b""
    for size in ((320, 176), (176, 320)):
        part = make(tmp_path / "part.ts", Recipe(size=size, pts=tuple(range(4))))
        data += part.read_bytes()
    clip = tmp_path / "clip.ts"
    clip.write_bytes(data)
    options = ("--format", "png", "--depth", "8") if output == "frames" else ("--detail", "fast")
    result = call("matte", clip, "-o", tmp_path / output, *options)
    assert result.code == 0 and "4 frames of another size: fitted into" in result.err, result.err
    if output == "out.mov":
        last = colours(tmp_path / output)[-1]
        alpha = last[..., 3]
        assert not alpha[:, :110].any() and not alpha[:, 210:].any()
        assert (alpha[:, 113:207] == 255).all()
