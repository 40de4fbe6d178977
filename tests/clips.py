"""Clips made on the fly for the tests: a moving picture of known codes, in any codec and timing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a clip; `pts` in units of `time_base`."""

    codec: str = "libx264"
    pixels: str = "yuv420p"
    size: tuple[int, int] = (96, 64)
    rate: Fraction = Fraction(25)
    time_base: Fraction | None = None
    pts: Sequence[int] = tuple(range(8))
    options: tuple[tuple[str, str], ...] = (("preset", "ultrafast"), ("qp", "0"))
    colour: tuple[int, int, int, int] = (1, 1, 1, 1)  # range, matrix, primaries, transfer
    sar: Fraction = Fraction(1)
    rotation: int = 0
    timecode: str | None = None
    audio: tuple[str, ...] = ()
    audio_start: Fraction = Fraction(0)
    layout: str = "stereo"
    audio_rate: int = 48000
    audio_bit_rate: int | None = None
    languages: tuple[str, ...] = ()
    chapters: bool = False
    tags: tuple[tuple[str, str], ...] = ()
    container_options: tuple[tuple[str, str], ...] = ()


def make(path: Path, recipe: Recipe = Recipe()) -> Path:
    """Write the clip a recipe describes and return its path."""
    with av.open(str(path), "w", options=dict(recipe.container_options)) as out:
        stream = _picture_stream(out, recipe)
        tracks = [
            out.add_stream(
                codec,
                rate=recipe.audio_rate,
                layout=recipe.layout,
                bit_rate=recipe.audio_bit_rate or 0,
            )
            for codec in recipe.audio
        ]
        for track, language in zip(tracks, recipe.languages, strict=False):
            track.metadata["language"] = language
        out.metadata.update(dict(recipe.tags))
        if recipe.chapters:
            out.set_chapters(_chapters())
        base = recipe.time_base or 1 / recipe.rate
        for index, pts in enumerate(recipe.pts):
            frame = picture(recipe, index)
            frame.pts, frame.time_base = pts, base
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        seconds = (recipe.pts[-1] + 1) * base - recipe.audio_start
        for track in tracks:
            _sing(out, track, seconds, recipe.audio_start)
    return path


def _picture_stream(out: Any, recipe: Recipe) -> Any:
    stream = out.add_stream(recipe.codec, rate=recipe.rate, options=dict(recipe.options))
    stream.width, stream.height = recipe.size
    stream.pix_fmt = recipe.pixels
    context = stream.codec_context
    context.time_base = recipe.time_base or 1 / recipe.rate
    context.sample_aspect_ratio = recipe.sar
    context.color_range, context.colorspace, context.color_primaries, context.color_trc = (
        recipe.colour
    )
    if recipe.rotation:
        stream.set_display_rotation(recipe.rotation)
    if recipe.timecode:
        stream.metadata["timecode"] = recipe.timecode
    return stream


def picture(recipe: Recipe, index: int) -> av.VideoFrame:
    """Frame number `index`: smooth ramps that move, different in every component and corner."""
    frame = av.VideoFrame(*recipe.size, recipe.pixels)
    frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc = recipe.colour
    for place, part in enumerate(frame.format.components):
        plane = frame.planes[part.plane]
        kind = np.dtype("u1" if part.bits <= 8 else "u2")
        rows = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)
        if len(frame.planes) == 1 and len(frame.format.components) > 1:
            rows[:] = _ramp(rows.shape, 8, index, 0)  # packed RGB: gray ramps
            break
        rows[:, : part.width] = _ramp((part.height, part.width), part.bits, index, place)
    return frame


def _ramp(shape: tuple[int, ...], bits: int, index: int, place: int) -> Any:
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    across, down = x / shape[1], y / shape[0]
    level = 0.25 + 0.3 * across + 0.2 * down * (1 + place) / 2 + 0.01 * index
    if place:
        level = 0.4 + 0.1 * across - 0.1 * down * place + 0.005 * index
    return np.round(level * ((1 << bits) - 1)).astype(int)


def _sing(out: Any, track: Any, seconds: Fraction, start: Fraction) -> None:
    """A click at every half second on top of a quiet tone, which is louder in each next channel of
    more than two."""
    rate, layout = track.rate, track.layout
    count = int(seconds * rate)
    time = np.arange(count) / rate
    wave = 0.1 * np.sin(2 * np.pi * 440 * time)
    wave[(np.arange(count) % (rate // 2)) < 48] = 0.9
    channels = layout.nb_channels
    levels = np.minimum(1 + np.arange(channels) * (0.5 if channels > 2 else 0), 9)
    sound = np.clip(np.outer(levels, wave), -0.9, 0.9).astype(np.float32)
    sample_format = track.format.name
    resampler = av.AudioResampler(sample_format, layout.name, rate)
    for first in range(0, count, 1024):
        block = np.ascontiguousarray(sound[:, first : first + 1024].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, "flt", layout.name)
        frame.sample_rate = rate
        frame.pts = first + int(start * rate)
        frame.time_base = Fraction(1, rate)
        for resampled in resampler.resample(frame):
            out.mux(track.encode(resampled))
    out.mux(track.encode(None))


def _chapters() -> list[Any]:
    base = Fraction(1, 1000)
    return [
        {"id": 1, "start": 0, "end": 100, "time_base": base, "metadata": {"title": "one"}},
        {"id": 2, "start": 100, "end": 300, "time_base": base, "metadata": {"title": "two"}},
    ]


def times(path: Path) -> list[Fraction]:
    """The presentation times of a clip's frames, in seconds, as any player sees them."""
    with av.open(str(path)) as clip:
        stream = clip.streams.video[0]
        assert stream.time_base is not None
        stamps = [frame.pts for frame in clip.decode(stream)]
        return [stamp * stream.time_base for stamp in stamps if stamp is not None]


def planes(path: Path, index: int = 0) -> list[Any]:
    """The component planes of one frame as it decodes, each (h, w)."""
    with av.open(str(path)) as clip:
        for number, frame in enumerate(clip.decode(video=0)):
            if number == index:
                return [
                    np.frombuffer(
                        memoryview(frame.planes[part.plane]),
                        np.dtype("u1" if part.bits <= 8 else "u2"),
                    )
                    .reshape(frame.planes[part.plane].height, -1)[: part.height, : part.width]
                    .copy()
                    for part in frame.format.components
                ]
    raise AssertionError(f"{path} has no frame {index}")
