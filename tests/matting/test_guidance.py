"""Guidance: masks are exact, a plate helps, the person pointed at stays, nonsense is refused."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Generator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from clips import Recipe, make

import mattecast
from mattecast import Settings, UsageError
from mattecast.filters.pictures.masks import Keyframe, apply_garbage_mask, apply_keep_mask, mask_at
from mattecast.filters.pictures.plate import correct_by_plate
from mattecast.filters.time.correction import Correction
from mattecast.filters.time.person import PersonTracker
from mattecast.matting import corrections, guide, stages
from mattecast.matting.corrections import WARM, Coming, foresee
from mattecast.matting.guidance import find, read
from mattecast.matting.network import Network
from mattecast.matting.second_pass import SecondPass
from mattecast.matting.shots import ShotFrame, Shots
from mattecast.media.frame import Estimated, Frame

SQUARE = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]])


def _noise(shape: tuple[int, ...], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, shape).astype(np.uint16)


def test_a_mask_is_exact() -> None:
    alpha = _noise((80, 120))
    mask = mask_at([Keyframe(Fraction(0), SQUARE)], Fraction(3), (120, 80))
    assert (mask[22:58, 32:88] == 255).all() and not mask[:18].any() and not mask[:, 92:].any()
    gone, solid = apply_garbage_mask(alpha, mask), apply_keep_mask(alpha, mask)
    assert not gone[mask == 255].any() and (solid[mask == 255] == 65535).all()
    assert np.array_equal(gone[mask == 0], alpha[mask == 0])
    assert np.array_equal(solid[mask == 0], alpha[mask == 0])


def test_a_polygon_moves_between_its_keys() -> None:
    keys = [Keyframe(Fraction(1), SQUARE), Keyframe(Fraction(3), SQUARE + np.array([0.25, 0]))]
    masks = [mask_at(keys, Fraction(time), (160, 80)) for time in (0, 1, 2, 3, 9)]
    columns = [np.flatnonzero(mask[40]).mean() for mask in masks]
    assert np.allclose(np.diff(columns), [0, 20, 20, 0], atol=1.1)


def test_a_plate_brings_a_matte_nearer_to_the_truth() -> None:
    random = np.random.default_rng(4)
    y, x = np.mgrid[0:120, 0:160]
    true = np.clip(40 - np.hypot(y - 60, x - 80), 0, 1).astype(np.float32)
    plate = cv2.resize(random.integers(0, 256, (8, 10, 3)).astype(np.uint8), (160, 120))
    front = np.array([200, 120, 90], np.float32)
    seen = plate + true[..., None] * (front - plate) + random.normal(0, 2, plate.shape)
    picture = np.clip(seen, 0, 255).astype(np.uint8)
    for poor in (cv2.GaussianBlur(true, (0, 0), 5), np.maximum(true, 0.4 * np.roll(true, 60, 1))):
        better = correct_by_plate(poor, picture, plate)
        assert np.abs(better - true).mean() < 0.75 * np.abs(poor - true).mean()
        assert better.min() >= 0 and better.max() <= 1
    assert np.abs(correct_by_plate(true, picture, plate) - true).mean() < 0.004


def test_the_person_pointed_at_is_followed() -> None:
    tracker = PersonTracker()
    for frame in range(8):
        alpha = np.zeros((60, 100), np.float32)
        alpha[20:50, 10 + 2 * frame : 25 + 2 * frame] = 1
        alpha[20:50, 70 - frame : 85 - frame] = 1
        if frame == 0:
            assert np.array_equal(tracker.step(alpha), alpha)
            tracker.choose((0.18, 0.6, 0.18, 0.6), alpha.shape)
        kept = tracker.step(alpha)
        assert kept[30, 15 + 2 * frame] == 1 and not kept[:, 60:].any()


def test_a_correction_travels_with_what_it_was_drawn_on() -> None:
    random = np.random.default_rng(3)
    scene = cv2.GaussianBlur(random.integers(0, 256, (96, 200, 3)).astype(np.uint8), (0, 0), 2)
    correction = Correction()
    for frame in range(6):
        picture = np.ascontiguousarray(scene[:, 3 * frame : 3 * frame + 128])
        wrong = np.zeros((96, 128), np.float32)
        true = wrong.copy()
        true[30:70, 60 - 3 * frame : 100 - 3 * frame] = 1
        fixed = correction.step(wrong, picture, true if frame == 0 else None)
        assert np.abs(fixed - true).mean() < 0.35 * np.abs(wrong - true).mean()


def _panned(frames: int, cut: int | None = None) -> list[np.ndarray]:
    """Pictures (96, 128, 3) of a textured wall that moves to the left by 2 pixels a frame; from
    `cut` on it is another wall."""
    random = np.random.default_rng(3)
    wall = cv2.GaussianBlur(random.integers(0, 256, (96, 256, 3)).astype(np.uint8), (0, 0), 2)
    walls = [wall, np.asarray((255 - wall[::-1]) // np.array([1, 2, 4]), np.uint8)]
    shown = [walls[cut is not None and frame >= cut] for frame in range(frames)]
    return [np.ascontiguousarray(wall[:, 2 * at : 2 * at + 128]) for at, wall in enumerate(shown)]


def _square(frame: int) -> np.ndarray:
    """What is corrected, (96, 128) float32: it moves with the wall."""
    alpha = np.zeros((96, 128), np.float32)
    alpha[30:70, 70 - 2 * frame : 110 - 2 * frame] = 1
    return alpha


class _Again:
    """A clip read once more, its network blind; counts the frames of each reading."""

    def __init__(self, pictures: list[np.ndarray], cut: int | None = None) -> None:
        self._pictures, self._cut = pictures, cut
        self.seen: list[int] = []

    def estimates(self, start: Fraction) -> Generator[tuple[Fraction, Estimated], None, None]:
        for at, small, first in self.pictures(start):
            frame = Frame(av.VideoFrame(128, 96), small[..., 0], small, int(at * 25), 1)
            yield at, Estimated(frame, np.zeros((96, 128), np.float32), first)

    def pictures(self, start: Fraction) -> Generator[tuple[Fraction, np.ndarray, bool], None, None]:
        self.seen.append(0)
        first = True
        for at, small in enumerate(self._pictures):
            if Fraction(at, 25) >= start:
                self.seen[-1] += 1
                yield Fraction(at, 25), small, first or at == self._cut
                first = False


def _foreseen(look: _Again, when: int, since: int) -> Coming | None:
    drawn = _square(when)
    return foresee(look, lambda _: drawn, Fraction(when, 25), Fraction(since, 25), Fraction(1, 25))


def test_a_correction_reaches_back_a_piece_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = _panned(30)
    monkeypatch.setattr(corrections, "PIECE", 10 * pictures[0].nbytes)
    look = _Again(pictures)
    coming = _foreseen(look, 29, 3)
    assert coming is not None and coming.start == Fraction(3, 25)
    assert len(look.seen) >= 3 and max(look.seen) <= 10 + 1
    for frame in range(3, 29):
        change = coming.at(Fraction(frame, 25))
        assert change is not None and np.abs(change - _square(frame)).mean() < 0.06
    assert coming.at(Fraction(2, 25)) is None
    middle, last = (coming.share(Fraction(at, 25), Fraction(3, 25)) for at in (16, 29))
    assert (middle, last) == (0.5, 1.0)


def test_a_correction_does_not_reach_back_over_a_cut() -> None:
    coming = _foreseen(_Again(_panned(30, 26), 26), 29, 0)
    assert coming is not None and coming.start == Fraction(26, 25)
    assert _foreseen(_Again(_panned(30, 29), 29), 29, 0) is None


def test_two_corrections_meet_in_between() -> None:
    """Of two that contradict, each holds near its own frame."""
    pictures = [_panned(1)[0]] * 21
    look = _Again(pictures)
    correction = Correction()
    ones, zero = np.ones((96, 128), np.float32), np.zeros((96, 128), np.float32)
    coming = foresee(look, lambda _: zero, Fraction(20, 25), Fraction(0), Fraction(1, 25))
    assert coming is None  # that changes nothing in a blind network's matte
    coming = foresee(look, lambda _: ones, Fraction(20, 25), Fraction(0), Fraction(1, 25))
    assert coming is not None
    levels = []
    for frame in range(20):
        time = Fraction(frame, 25)
        wanted = zero if frame == 0 else None
        alpha = correction.step(
            zero, pictures[frame], wanted, coming.at(time), coming.share(time, Fraction(0))
        )
        levels.append(float(alpha.mean()))
    assert levels[0] < 0.01 and levels[-1] > 0.9
    assert np.abs(np.array(levels) - np.arange(20) / 20).max() < 0.05


def _filmed(path: Path, pictures: list[np.ndarray]) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"qp": "4", "g": "7"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv444p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("wish", [Settings(), Settings(range="0.1..1.0")])
def test_a_correction_late_in_a_clip_mends_what_is_before_it(
    wish: Settings, tmp_path: Path
) -> None:
    """Two drawings, a square on the wall and none: the square is there up to the second one."""
    clip = _filmed(tmp_path / "clip.mp4", _panned(26, 8))
    for name, drawn in (("square", _square(20)), ("none", np.zeros((96, 128)))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.round(drawn * 255).astype(np.uint8))
    _sidecar(
        tmp_path,
        corrections=[{"time": 0.8, "mask": "square.png"}, {"time": 0.96, "mask": "none.png"}],
    )
    off = replace(wish, smooth="off", detail="fast", guidance="off")
    plain = [each.alpha for each in mattecast.mattes(clip, off)]
    mended = [each.alpha for each in mattecast.mattes(clip, replace(off, guidance=None))]
    start = 26 - len(plain) if wish.range is None else 3
    errors = {
        at + start: [
            float(np.abs(each[at] - _square(at + start)).mean()) for each in (plain, mended)
        ]
        for at in range(len(plain))
    }
    for frame in range(8, 21):
        assert errors[frame][1] < 0.45 * errors[frame][0]
    for frame in range(start, 8):  # of another shot
        assert np.array_equal(plain[frame - start], mended[frame - start])
    if wish.range is None:
        assert mended[24].mean() < 0.01 and WARM < 24


def test_a_correction_looks_back_without_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the frames before it, all but the last few are looked at as pictures alone."""
    counts: list[int] = []

    class Counted(Network):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            counts.append(0)
            self.place = len(counts) - 1

        def push(self, item: ShotFrame) -> list[Estimated]:
            counts[self.place] += 1
            return super().push(item)

    monkeypatch.setattr(stages, "Network", Counted)
    clip = _filmed(tmp_path / "clip.mp4", _panned(40))
    cv2.imwrite(str(tmp_path / "square.png"), np.round(_square(38) * 255).astype(np.uint8))
    _sidecar(tmp_path, corrections=[{"time": 1.52, "mask": "square.png"}])
    assert len(list(mattecast.mattes(clip, Settings(smooth="off", detail="fast")))) == 40
    whole, *others = counts
    assert whole == 40 and 0 < sum(others) <= WARM + 4


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no SIGALRM on this system")
def test_a_signal_ends_a_look_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it would take: here some 20 s."""

    class Alarm(Exception):
        pass

    def ring(*_: object) -> None:
        raise Alarm

    class Slow(Shots):
        def push(self, frame: Frame) -> list[ShotFrame]:
            time.sleep(0.5)
            return super().push(frame)

    def slowly(self: SecondPass, start: Fraction) -> Generator[Any, None, None]:
        # The first picture sets the alarm off, so that it rings in the middle of the second pass.
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with monkeypatch.context() as patch:
            patch.setattr(stages, "Shots", Slow)
            yield from pictures(self, start)

    pictures = SecondPass.pictures
    monkeypatch.setattr(SecondPass, "pictures", slowly)
    clip = _filmed(tmp_path / "clip.mp4", _panned(40))
    cv2.imwrite(str(tmp_path / "square.png"), np.round(_square(38) * 255).astype(np.uint8))
    _sidecar(tmp_path, corrections=[{"time": 1.52, "mask": "square.png"}])
    before = signal.signal(signal.SIGALRM, ring)
    began = time.monotonic()
    try:
        with pytest.raises(Alarm):
            list(mattecast.mattes(clip, Settings(smooth="off", detail="fast")))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("cut", [None, 8])
def test_what_was_drawn_before_a_range_is_followed_into_it(cut: int | None, tmp_path: Path) -> None:
    """A range looks as the whole clip does there."""
    clip = _filmed(tmp_path / "clip.mp4", _panned(20, cut))
    cv2.imwrite(str(tmp_path / "square.png"), np.round(_square(4) * 255).astype(np.uint8))
    _sidecar(
        tmp_path,
        corrections=[{"time": 0, "mask": "square.png"}, {"time": 0.16, "mask": "square.png"}],
    )
    wish = Settings(smooth="off", detail="fast")
    whole = [each.alpha for each in mattecast.mattes(clip, wish)][12:]
    part = [each.alpha for each in mattecast.mattes(clip, replace(wish, range="0.48..0.8"))]
    plain = [
        each.alpha
        for each in mattecast.mattes(clip, replace(wish, range="0.48..0.8", guidance="off"))
    ]
    assert len(part) == len(whole) == 8
    assert max(np.abs(a - b).mean() for a, b in zip(part, whole, strict=True)) < 0.02
    moved = np.abs(part[0] - _square(12)).mean() / np.abs(plain[0] - _square(12)).mean()
    assert moved < 0.5 if cut is None else np.array_equal(part[0], plain[0])


def test_a_correction_long_before_a_range_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guide, "LEAD", Fraction(1, 10))
    clip = _filmed(tmp_path / "clip.mp4", _panned(20))
    cv2.imwrite(str(tmp_path / "all.png"), np.full((4, 4), 255, np.uint8))
    wish = Settings(smooth="off", detail="fast", range="0.48..0.6")
    plain = next(mattecast.mattes(clip, wish)).alpha
    _sidecar(tmp_path, corrections=[{"time": 0.16, "mask": "all.png"}])
    assert np.array_equal(next(mattecast.mattes(clip, wish)).alpha, plain)
    assert "left out, the last at 0.16 s" in caplog.text
    drawn = replace(wish, first_mask=str(tmp_path / "all.png"))  # of the run's own first frame
    assert (next(mattecast.mattes(clip, drawn)).alpha == 1).all()


def test_what_is_drawn_far_from_the_person_is_no_island(tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", Recipe(pts=(0, 1, 2)))
    drawn = np.zeros((90, 160), np.uint8)
    drawn[20:90, 10:70] = drawn[70:80, 140:148] = 255
    cv2.imwrite(str(tmp_path / "drawn.png"), drawn)
    wish = Settings(first_mask=str(tmp_path / "drawn.png"), detail="fast")

    def shown(wish: Settings) -> float:
        alpha = next(mattecast.mattes(clip, wish)).alpha
        return float(cv2.resize(alpha, (160, 90))[72:78, 141:147].mean())

    assert shown(wish) > 0.5
    assert shown(replace(wish, min_island=2)) == 0


def test_a_trimap_fixes_only_what_is_sure(tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", Recipe(pts=(0, 1, 2)))
    plain = next(mattecast.mattes(clip, Settings(smooth="off", detail="fast"))).alpha
    height, width = plain.shape
    drawn = np.full((height, width), 128, np.uint8)
    drawn[:, : width // 3], drawn[:, -(width // 3) :] = 255, 0
    cv2.imwrite(str(tmp_path / "trimap.png"), drawn)
    told = next(
        mattecast.mattes(
            clip, Settings(trimap=str(tmp_path / "trimap.png"), smooth="off", detail="fast")
        )
    ).alpha
    margin = width // 8  # the guided filter's reach
    assert (told[:, : width // 3 - margin] == 1).all()
    assert not told[:, -(width // 3) + margin :].any()
    middle = np.s_[:, width // 3 + margin : -(width // 3) - margin]
    assert np.abs(told[middle] - plain[middle]).max() < 0.02


def _sidecar(folder: Path, **content: object) -> Path:
    path = folder / "clip.mattecast.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"garbag": []}, "garbag"),
        ({"garbage": [{"keys": []}]}, "no keys"),
        ({"garbage": [{"keys": [{"polygon": [[0, 0], [1, 1]]}]}]}, "three or more"),
        ({"garbage": [{}]}, "lacks 'keys'"),
        ({"plate": "missing.png"}, "no such file"),
        ({"person": [{"point": [2, 0]}]}, "from 0 to 1"),
        ({"person": [{"point": [0.2, 0.2], "time": "soon"}]}, "soon"),
    ],
)
def test_nonsense_is_refused(content: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read(_sidecar(tmp_path, **content))


def test_the_file_beside_a_clip_is_used(tmp_path: Path) -> None:
    clip = make(tmp_path / "clip.mp4", Recipe(pts=(0, 1, 2)))
    corner = [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]
    _sidecar(tmp_path, keep=[{"keys": [{"polygon": corner}]}])
    first = next(mattecast.mattes(clip))
    assert (first.alpha16[:30, :46] == 65535).all()
    assert not find(clip, Settings(guidance="off")).keep
    cv2.imwrite(str(tmp_path / "all.png"), np.full((4, 4), 255, np.uint8))
    gone = next(mattecast.mattes(clip, Settings(garbage=str(tmp_path / "all.png"))))
    assert not gone.alpha16.any()
