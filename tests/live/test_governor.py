"""The governor, the window of measurements, and the threads' tools."""

from __future__ import annotations

import pytest
from waiting import until

from mattecast.live.governor import Governor, Window, percentile
from mattecast.live.threads import Latest, Task, growing


def judged(governor: Governor, seconds: float, age: float, busy: float, start: float) -> float:
    """Ask a governor four times a second; gives the time after."""
    for tick in range(int(4 * seconds)):
        governor.judge(start + tick / 4, age, busy, 1 / 30)
    return start + seconds


def test_the_network_gets_smaller_only_when_it_is_slow_for_a_while():
    governor = Governor(0.1, (512, 384, 256))
    judged(governor, 1.5, 0.3, 0.05, 0.0)
    assert governor.size == 512
    judged(governor, 1.5, 0.3, 0.05, 1.5)
    assert governor.size == 384 and "300 ms" in governor.reason


def test_sizes_that_cannot_fit_are_not_tried():
    governor = Governor(0.1, (512, 480, 384, 320, 256, 192))
    judged(governor, 2.5, 0.3, 0.1, 0.0)  # 100 of 33 ms: a third of the pixels at most
    assert governor.size == 256 and governor.every == 1


def test_the_network_grows_only_when_the_next_size_would_fit():
    governor = Governor(0.1, (512, 384, 256), place=2)
    judged(governor, 60.0, 0.06, 0.020, 0.0)  # at 384 it would take 45 ms of 33
    assert governor.size == 256
    judged(governor, 11.0, 0.03, 0.008, 100.0)
    assert governor.size == 384


def test_hysteresis_waits_longer_after_each_step_that_was_taken_back():
    governor, time_now, changes = Governor(0.1, (512, 256), place=1), 0.0, 0
    for _ in range(100):  # half an hour of a machine that is too slow for 512 and bored by 256
        size = governor.size
        age, busy = (0.2, 0.04) if size == 512 else (0.02, 0.004)
        time_now = judged(governor, 18.0, age, busy, time_now)
        changes += governor.size != size
    assert changes < 40 and governor.patience > 100


def test_at_its_smallest_it_leaves_frames_out_and_comes_back():
    governor = Governor(0.1, (256,))
    judged(governor, 5.0, 0.5, 0.04, 0.0)
    assert (governor.size, governor.every) == (256, 2) and "second frame" in governor.reason
    judged(governor, 11.0, 0.05, 0.030, 5.0)  # 30 of 33 ms are too much for every frame
    assert governor.every == 2
    judged(governor, 25.0, 0.05, 0.020, 16.0)
    assert governor.every == 1


def test_fewer_frames_are_no_remedy_for_a_machine_that_is_late_but_not_busy():
    governor = Governor(0.03, (256,))
    judged(governor, 5.0, 0.05, 0.012, 0.0)
    assert governor.every == 1 and "aimed at" in governor.reason


def test_window_forgets_and_counts():
    window = Window(2.0)
    for tick in range(100):
        window.add(tick / 10, float(tick))
    assert len(window.values(9.9)) == 21 and window.rate(9.9) == pytest.approx(10)
    assert percentile(window.values(9.9), 0.5) == 89 and percentile([], 0.5) == 0
    assert window.values(50.0) == [] and window.rate(50.0) == 0


def test_waits_grow_to_a_limit():
    waits = growing(0.5, 8)
    assert [next(waits) for _ in range(6)] == [0.5, 1, 2, 4, 8, 8]


def test_the_newest_wins_and_nobody_waits():
    slot: Latest[int] = Latest()
    for number in range(5):
        slot.put(number)
    assert slot.take(0) == 4 and slot.dropped == 4
    assert slot.take(0.01) is None


def test_what_a_task_dies_of_is_kept():
    task = Task("fails", lambda stop: (_ for _ in ()).throw(ValueError("so")))
    task.start()
    until(lambda: not task.running, 5, "its end")
    assert isinstance(task.failure, ValueError) and task.close()
