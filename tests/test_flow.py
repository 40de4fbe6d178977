"""Flow: order, distance, errors and ends of the threads that stages run on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from mattecast.flow import Abreast, Immediate, StageTimes, ahead, run, threaded


class Pairs:
    """A stage that holds an item until the next one comes, and returns both."""

    name = "pairs"

    def __init__(self) -> None:
        self._held: list[int] = []
        self.closed = False

    def push(self, item: int) -> list[int]:
        self._held.append(item)
        if len(self._held) < 2:
            return []
        held, self._held = self._held, []
        return held

    def flush(self) -> list[int]:
        held, self._held = self._held, []
        return held

    def close(self) -> None:
        self.closed = True


class Doubled(Immediate):
    """A stage that doubles items and notes them."""

    name = "doubled"

    def __init__(self) -> None:
        self.seen: list[int] = []

    def push(self, item: int) -> list[int]:
        self.seen.append(item)
        return [2 * item]


def test_what_a_stage_holds_goes_through_the_stages_after_it() -> None:
    times, pairs, doubled = StageTimes(), Pairs(), Doubled()
    assert list(run(range(5), [pairs, doubled], times)) == [0, 2, 4, 6, 8]
    assert doubled.seen == list(range(5)) and set(times.wall) == {"pairs", "doubled"}
    assert pairs.closed


def test_an_item_goes_on_before_the_next_is_taken() -> None:
    taken: list[int] = []
    numbers = (taken.append(number) or number for number in range(9))
    items = run(numbers, [Doubled(), Pairs(), Doubled()], StageTimes())
    assert next(items) == 0 and taken == [0, 1]


def test_closing_early_closes_stages_and_what_they_read() -> None:
    closed: list[str] = []

    def numbers() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append(threading.current_thread().name)

    pairs = Pairs()
    items = threaded(numbers(), [([pairs], 2), ([Doubled()], 1)], StageTimes())
    assert next(items) == 0
    items.close()
    assert closed == ["ahead"] and pairs.closed
    assert not [each for each in threading.enumerate() if each.name == "ahead"]


def test_ahead_keeps_the_order_and_its_distance() -> None:
    made: list[int] = []
    numbers = (made.append(number) or number for number in range(50))
    worker = ahead(numbers, 2)
    assert next(worker) == 0
    time.sleep(0.2)
    assert len(made) <= 4  # one given, two waiting, one in hand
    assert list(worker) == list(range(1, 50))


def test_ahead_closes_what_it_reads() -> None:
    closed = []

    def numbers() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append(threading.current_thread().name)

    worker = ahead(numbers(), 2)
    next(worker)
    worker.close()
    assert closed == ["ahead"]
    ahead(numbers(), 2).close()  # never started: nothing to stop


def test_ahead_raises_what_its_worker_met() -> None:
    def numbers() -> Iterator[int]:
        yield 1
        raise KeyError("boom")

    worker = ahead(numbers(), 2)
    assert next(worker) == 1
    with pytest.raises(KeyError, match="boom") as caught:
        next(worker)
    assert caught.traceback[-1].name == "numbers"
    with pytest.raises(TypeError):
        list(ahead(5, 2))  # type: ignore[type-var]


def test_ahead_of_ahead() -> None:
    def halves(numbers: Iterator[int]) -> Iterator[float]:
        for number in numbers:
            yield 1 / (5 - number)

    inner = ahead(iter(range(100)), 2)
    outer = ahead(halves(inner), 2)
    with pytest.raises(ZeroDivisionError):
        list(outer)
    inner.close()  # the traceback still holds it


def test_abreast_keeps_the_order_and_its_distance() -> None:
    made: list[int] = []
    numbers = (made.append(number) or number for number in range(20))

    def work(number: int) -> tuple[int, str]:
        time.sleep(0.02 if number % 2 else 0)
        return number, threading.current_thread().name

    workers = run(numbers, [Abreast("work", work, 3)], StageTimes())
    assert next(workers)[0] == 0
    assert len(made) == 4  # one given, three begun
    rest = list(workers)
    assert [number for number, _ in rest] == list(range(1, 20))
    assert {name.partition("_")[0] for _, name in rest} == {"abreast"}
    assert not [each for each in threading.enumerate() if each.name.startswith("abreast")]


def test_abreast_raises_what_one_of_them_met_and_begins_no_more() -> None:
    made: list[int] = []
    numbers = (made.append(n) or n for n in range(100))
    workers = run(numbers, [Abreast("work", lambda n: 1 / (5 - n), 2)], StageTimes())
    with pytest.raises(ZeroDivisionError):
        list(workers)
    assert len(made) < 10
    left = run(iter(range(100)), [Abreast("work", lambda n: n, 2)], StageTimes())
    next(left)
    left.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("abreast")]


def test_times_of_stages_survive_an_error() -> None:
    stages = StageTimes()
    with pytest.raises(KeyError), stages.measure("engine"):
        raise KeyError
    assert stages.limiting == "engine"
