"""What a training run goes through: from small and many to large and few."""

from __future__ import annotations

from dataclasses import dataclass

Size = tuple[int, int]


@dataclass(frozen=True)
class Stage:
    """`steps` batches of `batch` clips of `frames` frames; sizes: (height, width), one a batch."""

    name: str
    steps: int
    batch: int
    frames: int
    sizes: tuple[Size, ...]
    rate: float = 1.0  # times the learning rate
    freeze: bool = False  # keep the norms' statistics: batches are few pictures here

    @classmethod
    def read(cls, text: str) -> Stage:
        """A stage from name:steps:batch:frames:HxW,HxW[:rate[:freeze]]; raises ValueError."""
        name, steps, batch, frames, sizes, *rest = text.split(":")
        pairs = [size.split("x") for size in sizes.split(",")]
        if rest[1:] not in ([], ["freeze"]):
            raise ValueError(f"expected 'freeze', got {':'.join(rest[1:])}")
        return cls(
            name,
            int(steps),
            int(batch),
            int(frames),
            tuple((int(h), int(w)) for h, w in pairs),
            rate=float(rest[0]) if rest else 1.0,
            freeze=bool(rest[1:]),
        )


# What a person is, then steadiness, then scale, then both.
STAGES = (
    Stage("a", 3200, 32, 1, ((128, 128), (160, 160), (128, 192), (160, 96), (192, 160))),
    Stage("b", 1800, 6, 4, ((160, 160), (192, 256), (256, 160), (160, 256)), 1.0, True),
    Stage("c", 3000, 8, 2, ((224, 384), (288, 288), (384, 256), (256, 256), (192, 320)), 1.0, True),
    Stage("d", 1350, 3, 4, ((224, 384), (256, 384), (384, 224), (288, 288), (384, 288)), 2.0, True),
)

# The papers' sizes: single pictures for the networks that see no more, and clips.
PICTURES = (Stage("pictures", 20000, 16, 1, ((256, 256),)),)
CLIPS = (Stage("clips", 20000, 4, 3, ((512, 512),)),)
