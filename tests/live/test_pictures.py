"""Live pictures: alpha that belongs to its picture, sizes, colours, backgrounds and masks."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import av
import clips
import cv2
import keyed
import numpy as np
import pytest
from pictures import Collected
from sources import captured, transport
from waiting import until

from mattecast.errors import UsageError
from mattecast.live import matter
from mattecast.live.capture import Capture, parse
from mattecast.live.outputs.outlet import Outlet
from mattecast.live.pipeline import Controls
from mattecast.settings import Settings


@pytest.mark.parametrize(
    "options", [{}, {"smooth": "delayed"}, {"min_island": 0.1, "min_hole": 0.1}]
)
def test_every_picture_leaves_with_its_own_alpha(sessions, tmp_path, options):
    kept = Collected()
    clip = parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True)
    sessions(clip, Outlet(kept), foreground="source", **options)
    until(lambda: len(kept.pictures) > 40, 60, "pictures")
    for one in kept.pictures[5:]:
        row = one.bgra[88].astype(int)
        # The network sees the picture four times smaller: two of its pixels at either edge.
        inside = np.flatnonzero(row[:, 1] > 250)
        assert inside.size == keyed.BAR and np.ptp(inside) == keyed.BAR - 1
        alpha = row[:, 3]
        assert (alpha[inside[8:-8]] == 255).all()
        outside = np.r_[alpha[: max(0, inside[0] - 8)], alpha[inside[-1] + 9 :]]
        assert (outside == 0).all()


def test_times_grow_and_ages_are_those_of_the_frames(sessions, tmp_path):
    kept = Collected()
    session = sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True), Outlet(kept))
    until(lambda: len(kept.pictures) > 20, 60, "pictures")
    times = [one.time for one in kept.pictures]
    assert times == sorted(set(times))
    status = session.status()
    assert 0 < status["age_ms"]["p50"] <= status["age_ms"]["p95"] < 5000
    assert set(status["stages_ms"]) >= {"convert", "network", "edges", "colours", "compose"}


def test_a_size_that_changes_in_mid_stream(relay, sessions):
    kept = Collected()
    camera = relay(transport((96, 64), 40) + transport((128, 96), 200))
    camera.plug()
    session = sessions(parse(f"tcp://127.0.0.1:{camera.port}"), Outlet(kept))
    until(lambda: kept.pictures and kept.pictures[-1].size == (128, 96), 60, "the new size")
    assert kept.pictures[0].size in ((96, 64), (128, 96)) and session.check()


def test_a_source_that_falls_silent_shows_nobody(relay, sessions, monkeypatch):
    monkeypatch.setattr(matter, "SILENT", 0.4)
    kept = Collected()
    camera = relay(transport())
    camera.plug()
    sessions(parse(f"tcp://127.0.0.1:{camera.port}"), Outlet(kept))
    until(lambda: len(kept.pictures) > 3, 60, "pictures")
    camera.stalled.set()
    try:
        until(lambda: not kept.pictures[-1].bgra.any(), 10, "an empty picture")
    finally:
        camera.stalled.clear()


def test_a_rotated_source_comes_out_upright(tmp_path, sessions):
    kept = Collected()
    clip = clips.make(tmp_path / "turned.mp4", clips.Recipe(rotation=90, pts=range(60)))
    sessions(parse(str(clip), loop=True), Outlet(kept))
    until(lambda: kept.pictures, 60, "a picture")
    assert kept.pictures[0].size == (64, 96)


def test_squeezed_pixels_come_out_square(tmp_path, sessions):
    kept = Collected()
    clip = clips.make(tmp_path / "wide.mp4", clips.Recipe(sar=Fraction(4, 3), pts=range(60)))
    sessions(parse(str(clip), loop=True), Outlet(kept))
    until(lambda: kept.pictures, 60, "a picture")
    assert kept.pictures[0].size == (128, 64)


@pytest.mark.parametrize(
    "pixels, colour",
    [
        ("yuv420p", (1, 1, 1, 1)),
        ("yuv420p", (1, 6, 6, 6)),
        ("yuv420p", (2, 1, 1, 1)),
        ("yuv422p", (2, 6, 6, 6)),
        ("yuv420p10le", (1, 1, 1, 1)),
    ],
)
def test_colours_are_those_the_source_is_tagged_with(tmp_path, sessions, pixels, colour):
    """range, matrix, primaries and transfer as cameras have them: each its own way to the same."""
    wanted = ((200, 40, 60), (40, 160, 90), (255, 255, 255), (0, 0, 0))
    clip = tmp_path / "flat.mkv"
    with av.open(str(clip), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 64, pixels
        context = stream.codec_context
        (context.color_range, context.colorspace, context.color_primaries, context.color_trc) = (
            colour
        )
        flat = np.repeat(np.repeat(np.array([wanted], np.uint8), 32, axis=1), 64, axis=0)
        for _ in range(20):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(flat), format="rgb24")
            made = frame.reformat(
                format=pixels,
                dst_colorspace={1: 1, 6: 5}[colour[1]],
                src_color_range=2,
                dst_color_range=colour[0],
                interpolation="BICUBIC",
            )
            out.mux(stream.encode(made))
        out.mux(stream.encode(None))
    session = sessions(parse(str(clip), loop=True))
    session.do("off")
    until(lambda: session.newest is not None and session.newest.opaque, 60, "a picture")
    seen = session.newest.bgra[32, 16::32, 2::-1].astype(int)
    # The quick conversion rounds down: by two and a bit.
    assert np.abs(seen - wanted).max() <= 3, seen


@pytest.mark.parametrize("colour", [(1, 1, 1, 1), (1, 6, 6, 6), (2, 6, 6, 6)])
def test_the_quick_guide_is_libswscales_gray(tmp_path, colour):
    """Full-range luma of the source, code for code, as the slow way gives it."""
    from av.video.reformatter import VideoReformatter

    from mattecast.live.pipeline import live_plan
    from mattecast.matting.prepare import Convert

    recipe = clips.Recipe(colour=colour)
    capture = Capture(parse(str(clips.make(tmp_path / "a.mkv", recipe)), loop=True))
    capture.start()
    try:
        (item,) = captured(capture, 1)
    finally:
        capture.close()
    convert = Convert(item.facts, live_plan(item.facts, Controls(Settings())), (48, 32))
    (frame,) = convert.push((item.frame, 0, 1))
    item.frame.colorspace = 5  # so that no matrix is changed on the way
    gray = VideoReformatter().reformat(item.frame, format="gray", dst_color_range=2, threads=1)
    assert np.abs(gray.to_ndarray().astype(int) - frame.guide).max() <= 1


def test_far_outside_all_is_empty_and_black(tmp_path, sessions):
    session = sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True))
    until(lambda: session.newest, 60, "a picture")
    bgra = session.newest.bgra
    empty = bgra[..., 3] == 0
    assert empty.mean() > 0.3 and not bgra[-16:].any()
    # Beside the patches of half alpha the source's own colour is kept.
    assert (bgra[keyed.PATCH_ROWS.start + 40, keyed.patch(0).start + 40, :3] > 0).any()


def test_backgrounds_are_switched_while_it_runs(tmp_path, sessions):
    session = sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True))
    until(lambda: session.newest, 60, "a picture")
    still = clips.make(
        tmp_path / "still.png", clips.Recipe(codec="png", pixels="rgb24", options=(), pts=(0,))
    )
    video = clips.make(tmp_path / "behind.mp4")
    for background in ("blur", "bokeh:3", "#ff8000", str(still), str(video), "none"):
        session.do("background", background)
        until(lambda wanted=background != "none": session.newest.opaque == wanted, 20, background)
    assert session.newest.bgra[5, 5, 3] == 0
    with pytest.raises(UsageError, match="no such file"):
        session.do("background", "nothing.png")
    assert session.check()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"light_wrap": 0.5},
        {"shadow": 1.0},
        {"linear_light": True},
        {"colour_match": 0.5},
        {"blend": "poisson"},
    ],
)
def test_a_composite_is_opaque_whatever_its_options(tmp_path, sessions, options):
    kept = Collected()
    sessions(
        parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True),
        Outlet(kept),
        background="#404040",
        **options,
    )
    until(lambda: len(kept.pictures) > 3, 60, "pictures")
    bgra = kept.pictures[-1].bgra
    behind = bgra[170:190, :, :3].astype(int)  # below the bar
    assert (bgra[..., 3] == 255).all() and np.abs(behind - 64).max() < 60
    assert (behind < 48).any() == ("shadow" in options)


def test_masks_and_a_person_hold_for_a_camera(tmp_path, sessions):
    masks = {}
    for name, columns in (("garbage", slice(320, 640)), ("keep", slice(0, 32))):
        drawn = np.zeros((keyed.SIZE[1], keyed.SIZE[0]), np.uint8)
        drawn[200:, columns] = 255
        masks[name] = str(tmp_path / f"{name}.png")
        cv2.imwrite(masks[name], drawn)
    kept = Collected()
    middle = (keyed.patch(1).start + 20) / keyed.SIZE[0]  # of the half-transparent patch
    session = sessions(
        parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True),
        Outlet(kept),
        person=f"{middle},0.8",
        **masks,
    )
    until(lambda: len(kept.pictures) > 3, 60, "pictures")
    alpha = kept.pictures[-1].bgra[..., 3]
    assert not alpha[200:, 320:].any() and (alpha[200:, :32] == 255).all()
    assert (alpha[260, 240:310] > 100).all() and not alpha[:150].any()
    with pytest.raises(UsageError, match="no such file"):
        session.change(garbage=str(tmp_path / "none.png"))


def rising(path: Path, frames: int = 120) -> Path:
    """A video whose gray level grows by two a frame."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264rgb", rate=30, options={"qp": "0", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *keyed.SIZE, "rgb24"
        for index in range(frames):
            level = np.full((keyed.SIZE[1], keyed.SIZE[0], 3), 2 * index, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def test_a_video_behind_plays_at_its_pace_and_through_other_changes(tmp_path, sessions):
    session = sessions(parse(str(keyed.clip(tmp_path / "bar.mkv")), loop=True))
    until(lambda: session.newest, 60, "a picture")
    session.do("background", str(rising(tmp_path / "rising.mkv")))
    until(lambda: session.newest.opaque, 20, "the first picture over the video")
    began, levels = time.monotonic(), []
    while len(set(levels)) < 6 and time.monotonic() - began < 3:
        levels.append(int(session.newest.bgra[5, 5, 0]))
        if len(levels) % 5 == 0:
            session.do("choke", str(len(levels) % 10))
        time.sleep(0.05)
    # It starts at its beginning, goes on while the edge is moved, and takes its time.
    assert levels[0] < 60 and levels == sorted(levels) and len(set(levels)) > 4
    assert levels[-1] - levels[0] < 2 * 30 * (time.monotonic() - began) + 40
