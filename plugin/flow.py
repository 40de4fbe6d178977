"""How a run flows: stages that items are pushed through, the threads they run on, and their times.

A stage is an object that takes one item and returns those that are ready. `run` pushes items
through a list of stages on the caller's thread, `ahead` runs an iterator on a thread of its own,
and `Abreast` is a stage that works on several items at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from typing import Any, Protocol, TypeVar

import cv2

T = TypeVar("T")
Item = TypeVar("Item", contravariant=True)
Ready = TypeVar("Ready")
_END = object()
# A worker that waits for room in its queue checks this often whether its consumer has gone
# (seconds).
_POLL = 0.05


class Stage(Protocol[Item, Ready]):
    """One step of a run. It may hold items back, but it never changes their order.

    name: what times and benchmarks call the stage.
    """

    name: str

    def push(self, item: Item, /) -> list[Ready]:
        """Take the next item; return the items that are ready now."""
        ...

    def flush(self) -> list[Ready]:
        """Return the items that the stage still holds: no more will come."""
        ...


class Immediate:
    """A stage that holds no item back."""

    def flush(self) -> list[Any]:
        """See Stage."""
        return []


class Timer(Protocol):
    """What takes the time of stages."""

    def measure(self, stage: str, /) -> AbstractContextManager[None]:
        """Count the time inside the block as work of the stage."""
        ...


def run(
    items: Iterable[Any], stages: Sequence[Stage[Any, Any]], times: Timer
) -> Generator[Any, None, None]:
    """Push each item through the stages, in order, then flush the stages one after the other.

    Closing the iterator closes `items` and the stages.
    """
    try:
        for item in items:
            pending = [item]
            del item  # a frame of 4K takes 50 MB, so nothing holds one longer than needed
            yield from through(pending, stages, times)
        for place, stage in enumerate(stages):
            with times.measure(stage.name):
                held = stage.flush()
            yield from through(held, stages[place + 1 :], times)
    finally:
        close([items, *stages])


def through(
    items: list[Any], stages: Sequence[Stage[Any, Any]], times: Timer
) -> Generator[Any, None, None]:
    """Push items through the stages: what a stage returns goes on before it takes the next item.

    items: is emptied on the way.
    """
    stage, others = (stages[0], stages[1:]) if stages else (None, ())
    while items:
        if stage is None:
            yield items.pop(0)
            continue
        with times.measure(stage.name):
            ready = stage.push(items.pop(0))
        yield from through(ready, others, times)


def close(owners: Iterable[Any]) -> None:
    """Release what iterators and stages own, where they own anything."""
    with ExitStack() as stack:
        for owner in reversed(list(owners)):
            if hasattr(owner, "close"):
                stack.callback(owner.close)


class Abreast:
    """A stage that does the same work for several items at once, each on a thread of its own.

    work: gives the item that is ready for an item. threads: how many items are worked on at once.
    """

    def __init__(self, name: str, work: Callable[[Any], Any], threads: int) -> None:
        self.name, self._work, self._threads = name, work, threads
        self._pool: ThreadPoolExecutor | None = None
        self._begun = deque[Future[Any]]()

    def push(self, item: Any) -> list[Any]:
        """Begin the work of an item; wait for the oldest where there are more than threads."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, "abreast")
        self._begun.append(self._pool.submit(self._work, item))
        return [self._begun.popleft().result()] if len(self._begun) > self._threads else []

    def flush(self) -> list[Any]:
        """Wait for all that was begun."""
        ready = [self._begun.popleft().result() for _ in range(len(self._begun))]
        self.close()
        return ready

    def close(self) -> None:
        """Begin nothing more, and wait for what is being worked on; safe to call twice."""
        pool, self._pool = self._pool, None
        for each in self._begun:
            each.cancel()
        self._begun.clear()
        if pool is not None:
            pool.shutdown()


def all_the_cores() -> int:
    """How many threads a stage has that does most of the work."""
    return os.cpu_count() or 1


def half_the_cores() -> int:
    """How many threads a stage has while other stages do as much work as it does: the network
    beside the decoding and encoding of large pictures, or an encoder beside the live picture."""
    return max(1, all_the_cores() // 2)


@contextmanager
def opencv_aside() -> Iterator[None]:
    """Limit OpenCV to a quarter of the cores, in the whole process.

    The stages run beside each other anyway. On 2 cores OpenCV's second thread costs a fifth more
    CPU time a frame and saves no time.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(max(1, all_the_cores() // 4))
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def ahead(
    items: Iterable[T], depth: int, stop: Callable[[], None] | None = None
) -> Generator[T, None, None]:
    """Run `items` on a thread of its own, at most `depth` items ahead of the consumer.

    The order is kept. The consumer raises an error of the worker with the worker's traceback.
    Closing the iterator early stops and joins the worker and closes `items`. stop: is called then,
    before the worker is joined, to end what the worker may wait for.
    """
    queue: Queue[object] = Queue(depth)
    stopped = threading.Event()
    failures: list[BaseException] = []
    ended = False
    worker = threading.Thread(
        target=_work, args=(items, queue, stopped, failures), name="ahead", daemon=True
    )
    try:
        worker.start()
        while (item := _take(queue)) is not _END:
            yield item  # type: ignore[misc]
        ended = True
        if failures:
            raise failures[0]
    finally:
        stopped.set()
        if stop and not ended:
            stop()
        if worker.ident is not None:
            worker.join()
        # The error's traceback holds this frame: a list that kept the error would close a ring.
        failures.clear()


def threaded(
    items: Iterable[Any],
    groups: Iterable[tuple[Sequence[Stage[Any, Any]], int]],
    times: Timer,
    stop: Callable[[], None] | None = None,
) -> Generator[Any, None, None]:
    """Push items through groups of stages; each group runs on a thread of its own.

    groups: stages, and how many of their items may wait for the next group. stop: see `ahead`.
    """
    result: Iterable[Any] = items
    for stages, depth in groups:
        result = ahead(run(result, stages, times), depth, stop)
    yield from result


def _work(
    items: Iterable[T],
    queue: Queue[object],
    stopped: threading.Event,
    failures: list[BaseException],
) -> None:
    try:
        for item in items:
            if not _put(queue, item, stopped):
                break
    except BaseException as error:
        failures.append(error)
    finally:
        _close(items, failures)
        _put(queue, _END, stopped)


def _put(queue: Queue[object], item: object, stopped: threading.Event) -> bool:
    while not stopped.is_set():
        try:
            queue.put(item, timeout=_POLL)
            return True
        except Full:
            pass
    return False


def _take(queue: Queue[object]) -> object:
    # A plain get() cannot be interrupted by a signal on every platform: wake now and then.
    while True:
        with suppress(Empty):
            return queue.get(timeout=1.0)


def _close(items: Iterable[T], failures: list[BaseException]) -> None:
    try:
        if hasattr(items, "close"):
            items.close()
    except BaseException as error:
        failures.append(error)


@dataclass(slots=True)
class StageTimes:
    """The seconds that each stage was at work (wall time), by the stage's name.

    A stage that works on threads of its own counts the time that its caller waits for it.
    """

    wall: dict[str, float] = field(default_factory=dict)
    _adding: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time inside the block to `stage`, on whatever thread."""
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._adding:
                self.wall[stage] = self.wall.get(stage, 0.0) + time.perf_counter() - began

    def pulls(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield from `items`, and count the time that each pull takes as work of `stage`."""
        source = iter(items)
        while True:
            with self.measure(stage):
                item = next(source, _END)
            if item is _END:
                return
            yield item  # type: ignore[misc]

    @property
    def limiting(self) -> str:
        """The stage with most wall time at work; '' before any has been measured."""
        return max(self.wall, key=lambda stage: self.wall[stage], default="")
