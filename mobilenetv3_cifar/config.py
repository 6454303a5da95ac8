"""What `config.json` says of a model: every argument it was built with, validated."""

import dataclasses
from typing import Literal, get_args

Size = Literal["small", "large"]
Blocks = Literal["report", "paper"]

CONFIG_VERSION = 1
MAX_CLASSES = 10_000  # bounds what a config can make us allocate
IMAGE_SIZES = range(32, 513)


@dataclasses.dataclass(frozen=True)
class Config:
    """The arguments of MobileNetV3Cifar; a value out of bounds raises ValueError naming it."""

    size: Size
    blocks: Blocks
    dropout: float
    num_classes: int
    labels: tuple[str, ...]
    image_size: int
    temperature: float

    def __post_init__(self) -> None:
        require(self.size in get_args(Size), f"size must be small or large, not {self.size!r}")
        require(
            self.blocks in get_args(Blocks), f"blocks must be report or paper, not {self.blocks!r}"
        )
        require(
            is_number(self.dropout) and 0 <= self.dropout < 1,
            f"dropout must be a number in [0, 1), not {self.dropout!r}",
        )
        require(
            is_whole(self.num_classes) and 1 <= self.num_classes <= MAX_CLASSES,
            f"num_classes must be a whole number from 1 to {MAX_CLASSES}, not {self.num_classes!r}",
        )
        require(
            len(set(self.labels)) == self.num_classes
            and len(self.labels) == self.num_classes
            and all(isinstance(label, str) for label in self.labels),
            f"labels must be {self.num_classes} different texts, one a class",
        )
        require(
            is_whole(self.image_size) and self.image_size in IMAGE_SIZES,
            f"image_size must be {IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]}, not {self.image_size!r}",
        )
        require(
            is_number(self.temperature) and 0.01 <= self.temperature <= 100,
            f"temperature must be a number from 0.01 to 100, not {self.temperature!r}",
        )


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    return is_whole(value) or isinstance(value, float)
