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
            name, int(steps), int(batch), int(frames), tuple((int(h), int(w)) for h, w in pairs),
            rate=float(rest[0]) if rest else 1.0, freeze=bool(rest[1:]),
        )  # fmt: skip


# What a person is, then steadiness, then scale and detail.
STAGES = (
    Stage("a", 9000, 32, 1, ((128, 128), (160, 160), (128, 192), (160, 96))),
    Stage("b", 3500, 8, 4, ((192, 192), (160, 256), (256, 160), (192, 320))),
    Stage("c", 1500, 4, 4, ((288, 512), (320, 320), (384, 288), (256, 448), (512, 288)), 0.5, True),
)

# The papers' sizes: single pictures for the networks that see no more, and clips.
PICTURES = (Stage("pictures", 20000, 16, 1, ((256, 256),)),)
CLIPS = (Stage("clips", 20000, 4, 3, ((512, 512),)),)
