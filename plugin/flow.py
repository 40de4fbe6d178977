"""Threads, all of them: a stage that runs ahead of its consumer, and what each stage costs."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from typing import TypeVar

import cv2

T = TypeVar("T")
R = TypeVar("R")
_END = object()
# A worker that waits for room looks this often whether its consumer has gone (seconds).
_POLL = 0.05


def all_the_cores() -> int:
    """Threads for a stage that most of the work is in."""
    return os.cpu_count() or 1


def half_the_cores() -> int:
    """Threads for a stage that as much work is done beside: for the network while large pictures
    are decoded and encoded, or for an encoder beside the live picture."""
    return max(1, all_the_cores() // 2)


@contextmanager
def opencv_aside() -> Iterator[None]:
    """OpenCV keeps to a quarter of the cores, in the whole process: stages run beside each other
    anyway, and on 2 cores its second thread costs a fifth more CPU time a frame and saves none."""
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

    Order is kept. An error of the worker is raised in the consumer with the worker's traceback.
    Closing the iterator early stops and joins the worker and closes `items`. stop: called before
    the worker is joined, to end what it may wait for; at the end of `items` too.
    """
    queue: Queue[object] = Queue(depth)
    stopped = threading.Event()
    failures: list[BaseException] = []
    worker = threading.Thread(
        target=_work, args=(items, queue, stopped, failures), name="ahead", daemon=True
    )
    try:
        worker.start()
        while (item := _take(queue)) is not _END:
            yield item  # type: ignore[misc]
        if failures:
            raise failures[0]
    finally:
        stopped.set()
        if stop:
            stop()
        if worker.ident is not None:
            worker.join()
        # The error's traceback holds this frame: a list that kept the error would close a ring.
        failures.clear()


def abreast(items: Iterable[T], work: Callable[[T], R], threads: int) -> Generator[R, None, None]:
    """`work` of every item, in order, done for as many of them at once as there are threads."""
    with ThreadPoolExecutor(threads, "abreast") as pool:
        begun = deque[Future[R]]()
        try:
            for item in items:
                begun.append(pool.submit(work, item))
                if len(begun) > threads:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for each in begun:
                each.cancel()


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
    """Seconds each stage was at work (wall and its own thread's CPU), by the stage's name."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    _adding: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Add the time spent inside the block to `stage`, on whatever thread."""
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            with self._adding:
                self.wall[stage] = self.wall.get(stage, 0.0) + time.perf_counter() - wall
                self.cpu[stage] = self.cpu.get(stage, 0.0) + time.thread_time() - cpu

    def pulls(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """Yield from `items`, counting the time each pull takes as work of `stage`."""
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
