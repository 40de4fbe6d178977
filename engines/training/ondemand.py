"""Sets larger than memory: what is asked for is read from disk, and the latest of it stays."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
# Bytes that stay in memory, in each process that draws: about 1,500 people at datasets.LONGEST. A
# smaller set is read once; of a larger one every picture is read whenever it is drawn.
ROOM = 2 << 30


class OnDemand(Sequence[T]):
    """Things with their `nbytes`, each read when it is asked for."""

    def __init__(self, reads: Sequence[Callable[[], T]]) -> None:
        self.reads = list(reads)
        self.kept: dict[int, Any] = {}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.reads)

    def __getitem__(self, place: Any) -> Any:
        if place not in self.kept:
            found: Any = self.reads[place]()
            self.kept[place], self.bytes = found, self.bytes + found.nbytes
            while self.bytes > ROOM and len(self.kept) > 1:  # what was read first goes first
                self.bytes -= self.kept.pop(next(iter(self.kept))).nbytes
        return self.kept[place]


def chosen(items: Sequence[T], places: Iterable[int]) -> Sequence[T]:
    """Those of a sequence at some places; nothing is read for it."""
    if isinstance(items, OnDemand):
        return OnDemand([items.reads[place] for place in places])
    return [items[place] for place in places]
