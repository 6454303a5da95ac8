"""What `config.json` says of a model: every argument it was built with, validated."""

import dataclasses
import reprlib
from collections.abc import Sequence
from typing import Literal, get_args

from mobilenetv3_cifar.preprocessing import LABELS

Size = Literal["small", "large"]
Blocks = Literal["report", "paper"]

CONFIG_VERSION = 1
MAX_CLASSES = 10_000  # bounds what a config can make us allocate
MAX_LABEL = 100  # characters
IMAGE_SIZES = range(32, 513)
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100


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
    unsure_below: float

    def __post_init__(self) -> None:
        require(self.size in get_args(Size), "size must be small or large", self.size)
        require(self.blocks in get_args(Blocks), "blocks must be report or paper", self.blocks)
        require(
            is_number(self.dropout) and 0 <= self.dropout < 1,
            "dropout must be a number in [0, 1)",
            self.dropout,
        )
        require_classes(self.num_classes)
        require(
            isinstance(self.labels, tuple)
            and all(is_label(label) for label in self.labels)
            and len(set(self.labels)) == len(self.labels) == self.num_classes,
            f"labels must be {self.num_classes} different printable texts, one a class",
            self.labels,
        )
        require(
            is_whole(self.image_size) and self.image_size in IMAGE_SIZES,
            f"image_size must be {IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]}",
            self.image_size,
        )
        require(
            is_number(self.temperature) and MIN_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE,
            f"temperature must be a number from {MIN_TEMPERATURE} to {MAX_TEMPERATURE}",
            self.temperature,
        )
        require(
            is_number(self.unsure_below) and 0 <= self.unsure_below <= 1,
            "unsure_below must be a probability from 0 to 1",
            self.unsure_below,
        )


def fill_labels(labels: Sequence[str] | None, num_classes: int) -> tuple[str, ...]:
    """`labels` as a tuple; without any, CIFAR-10's ten, or "class 0", "class 1" and so on."""
    if labels is not None:
        named = isinstance(labels, list | tuple)
        require(named, "labels must be a list or tuple of texts", labels)
        return tuple(labels)
    return LABELS if num_classes == len(LABELS) else numbered_labels(num_classes)


def numbered_labels(num_classes: int) -> tuple[str, ...]:
    require_classes(num_classes)
    return tuple(f"class {index}" for index in range(num_classes))


def require_classes(value: object) -> None:
    require(
        isinstance(value, int) and is_whole(value) and 1 <= value <= MAX_CLASSES,
        f"num_classes must be a whole number from 1 to {MAX_CLASSES}",
        value,
    )


def require(condition: bool, rule: str, value: object) -> None:
    if not condition:
        raise ValueError(f"{rule}, not {reprlib.repr(value)}")  # shortened: it may be megabytes


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    return is_whole(value) or isinstance(value, float)


def is_label(value: object) -> bool:
    """Printable leaves out control characters, and lone surrogates that UTF-8 cannot write."""
    return isinstance(value, str) and 0 < len(value) <= MAX_LABEL and value.isprintable()
